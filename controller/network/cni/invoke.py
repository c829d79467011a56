"""Running one plugin: a process with a deadline, a clean environment, an answer of bounded size (CNI SPEC 1.1, section 2)."""

import asyncio
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from controller.network.cni.result import INCOMPATIBLE, UNKNOWN_CONTAINER, parse_error, shown
from controller.network.node import among_the_files_of
from controller.network.port import NetworkFailure

INTERFACE: Final = "eth0"
"""Name of the interface in an instance's namespace, as in a pod."""

PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where plugins find iptables, nft and the like. The one variable beside the specification's: the agent's own, which may hold
credentials and proxies, are nobody else's business."""

_MOST_ANSWER: Final = 2**20
_MOST_LOG: Final = 2**16
"""Bytes that are kept of what a plugin writes; the rest is read and dropped."""

_END_SECONDS: Final = 5.0
"""How long the end of a killed plugin is waited for; one that the kernel does not let go of is left behind."""


class PluginFailure(NetworkFailure):
    """A plugin failed; `str()` of it names the plugin, what it was to do, and what it said."""

    def __init__(self, message: str, code: int = 0, *, absent: bool = False, late: bool = False) -> None:
        super().__init__(message)
        self.code = code
        """As the plugin says it; 0 when it did not."""
        self.absent = absent
        """There is no such plugin."""
        self.late = late
        """It was killed at its deadline, and has said nothing of what it found."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a plugin is to work on."""

    container: str
    namespace: str
    """Path of the network namespace; empty when there is none any more."""
    interface: str = INTERFACE


@dataclass(frozen=True, slots=True)
class Plugins:
    """The plugins of a folder."""

    folder: str
    seconds: float = 60.0
    """Deadline of one call."""
    process: Callable[[], str] = lambda: ""
    """Gives the folder in /proc of a process among whose files plugins are run; empty: among the agent's own.

    Where the agent is in a container, it is the container runtime's, which finds namespaces by path, too. Plugins keep leases,
    locks and sockets in places of their own (/var/lib/cni, /run/xtables.lock, ...), and use the node's iptables, which must be
    of the kind that made its other rules.
    """

    async def run(self, kind: str, command: str, target: Target | None, config: bytes) -> bytes:
        """Run a plugin; what it wrote to its standard output.

        Raises:
            PluginFailure: when it is not there, fails, or does not end in time; then it is killed, with all that it started.
        """
        path = f"{self.folder}/{kind}"
        process = self.process()
        environment = self._environment(command, target)
        try:
            if process:
                ended = await among_the_files_of(process, lambda: _run(path, environment, config, self.seconds))
            else:
                ended = await _run(path, environment, config, self.seconds)
        except TimeoutError as exc:
            raise PluginFailure(
                f"CNI plugin {kind} has not ended its {command} within {self.seconds:g} s; it was killed", late=True
            ) from exc
        except FileNotFoundError as exc:
            raise PluginFailure(
                f"CNI plugin {kind} is not in {self.folder} of the node: install it there", absent=True
            ) from exc
        except OSError as exc:
            raise PluginFailure(f"CNI plugin {path} cannot be run: {exc.strerror}") from exc
        if ended.code != 0:
            raise _failure(kind, command, ended)
        return ended.answer

    def _environment(self, command: str, target: Target | None) -> Mapping[str, str]:
        given = {"CNI_COMMAND": command, "CNI_PATH": self.folder, "PATH": PATH}
        if target is not None:
            given |= {"CNI_CONTAINERID": target.container, "CNI_IFNAME": target.interface}
            given |= {"CNI_NETNS": target.namespace} if target.namespace else {}
        return given


@dataclass(frozen=True, slots=True)
class _Ended:
    """A plugin that has ended."""

    code: int | None
    answer: bytes
    log: bytes


async def _run(path: str, environment: Mapping[str, str], config: bytes, seconds: float) -> _Ended:
    """One process, from its start to its end.

    Raises:
        TimeoutError: when it did not end in time.
        OSError: when it cannot be started.
    """
    process = await asyncio.create_subprocess_exec(
        path,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
        cwd="/",
        start_new_session=True,
    )
    done = False
    try:
        async with asyncio.timeout(seconds):
            answer, log = await _spoken_with(process, config)
        done = True
    finally:
        if not done:
            await _end(process)
    return _Ended(process.returncode, answer, log)


async def _spoken_with(process: asyncio.subprocess.Process, config: bytes) -> tuple[bytes, bytes]:
    """Hand it its configuration, and take what it writes until it has ended."""
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise AssertionError("started with pipes")

    async def fed(stdin: asyncio.StreamWriter) -> None:
        try:
            stdin.write(config)
            await stdin.drain()
            stdin.close()
            await stdin.wait_closed()
        except (BrokenPipeError, ConnectionResetError):
            return  # it ended without reading; its exit code and its answer say why

    _, answer, log = await asyncio.gather(
        fed(process.stdin), _read(process.stdout, _MOST_ANSWER), _read(process.stderr, _MOST_LOG)
    )
    await process.wait()
    return answer, log


async def _read(stream: asyncio.StreamReader, most: int) -> bytes:
    kept = bytearray()
    while piece := await stream.read(2**16):
        kept += piece[: most - len(kept)]
    return bytes(kept)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill it, and whatever it has started and holds its output."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    try:
        async with asyncio.timeout(_END_SECONDS):
            await process.wait()
    except TimeoutError:
        return


def _failure(kind: str, command: str, ended: _Ended) -> PluginFailure:
    """What a plugin that ended with another code than 0 says: an error, on either of its streams, or whatever else it wrote."""
    error = parse_error(ended.answer) or parse_error(ended.log)
    if error is not None:
        return PluginFailure(f"CNI plugin {kind} failed at {command}: {error}", error.code)
    said = shown(ended.answer if ended.answer.strip() else ended.log)
    return PluginFailure(
        f"CNI plugin {kind} failed at {command} with exit code {ended.code} and no error as CNI has it, but: {said}"
    )


def is_gone(failure: PluginFailure, *, added: bool) -> bool:
    """Whether a DEL failed only because nothing is there to be deleted.

    Where ADD has never succeeded, a plugin that is not there, or does not speak the configuration's version, has done nothing:
    a mistake in the configuration does not keep its instances from being deleted.
    """
    return failure.code == UNKNOWN_CONTAINER or (not added and (failure.absent or failure.code == INCOMPATIBLE))
