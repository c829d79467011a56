"""Running one plugin: a process with a deadline, a clean environment, an answer of bounded size (CNI SPEC 1.1, section 2)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from controller.network.cni.result import INCOMPATIBLE, UNKNOWN_CONTAINER, parse_error, shown
from controller.network.node import among_the_files_of
from controller.network.port import NetworkFailure
from controller.program import Call, Ended, run

INTERFACE: Final = "eth0"
"""Name of the interface in an instance's namespace, as in a pod."""

PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where plugins find iptables, nft and the like. The one variable beside the specification's: the agent's own, which may hold
credentials and proxies, are nobody else's business."""


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
                ended = await among_the_files_of(process, lambda: run(Call(path, environment, config, self.seconds)))
            else:
                ended = await run(Call(path, environment, config, self.seconds))
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


def _failure(kind: str, command: str, ended: Ended) -> PluginFailure:
    """What a plugin that ended with another code than 0 says: an error, on either of its streams, or whatever else it wrote."""
    error = parse_error(ended.answer) or parse_error(ended.words)
    if error is not None:
        return PluginFailure(f"CNI plugin {kind} failed at {command}: {error}", error.code)
    said = shown(ended.answer if ended.answer.strip() else ended.words)
    return PluginFailure(
        f"CNI plugin {kind} failed at {command} with exit code {ended.code} and no error as CNI has it, but: {said}"
    )


def is_gone(failure: PluginFailure, *, added: bool) -> bool:
    """Whether a DEL failed only because nothing is there to be deleted.

    Where ADD has never succeeded, a plugin that is not there, or does not speak the configuration's version, has done nothing:
    a mistake in the configuration does not keep its instances from being deleted.
    """
    return failure.code == UNKNOWN_CONTAINER or (not added and (failure.absent or failure.code == INCOMPATIBLE))
