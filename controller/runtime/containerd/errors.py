"""From gRPC's statuses and the texts of shim, OCI runtime and registry to the port's errors: here, and nowhere else.

containerd tells most failures of the OCI runtime and of a registry with code UNKNOWN and a text, so the texts are what there
is to go by. The tables below hold those of containerd 2.x and runc 1.x; a text that is not known still becomes the right
class, with its last part, the most specific one, as the message.
"""

import re
from typing import Final

import grpc
import grpc.aio

from controller.runtime.port import (
    AlreadyExists,
    CommandFailure,
    Conflict,
    DeadlineExceeded,
    InvalidConfig,
    NotFound,
    RuntimeFailure,
    StartFailure,
    Unavailable,
    Unsupported,
)

_CODES: Final[dict[grpc.StatusCode, type[RuntimeFailure]]] = {
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.FAILED_PRECONDITION: Conflict,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidConfig,
    grpc.StatusCode.OUT_OF_RANGE: InvalidConfig,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.CANCELLED: Unavailable,
    grpc.StatusCode.ABORTED: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.UNIMPLEMENTED: Unsupported,
}

_QUERY: Final = re.compile(r"(https?://[^\s\"?]+)\?[^\s\"]*?(?=:?(?:[\s\"]|$))")
"""The query of a URL: a registry that redirects puts signatures there, which are secrets. The colon of the sentence stays."""

_STATE: Final = re.compile(r"cannot (?P<verb>\w+) (?:a |in a |task in )?(?P<state>created|running|paused|stopped)\b")
"""How a shim says that a task is not in the state that a call needs; the code is lost on the way from it."""

_WRAPPING: Final = re.compile(
    r"^.*(?:error during container init|unable to start container process|runc create failed|OCI runtime \w+ failed"
    r"|failed to create shim task|failed to start shim): ",
    re.DOTALL,
)


def translate(error: grpc.aio.AioRpcError) -> RuntimeFailure:
    """The error of a call in the port's words."""
    text = _clean(error.details() or "")
    kind = _of_state(text) or _CODES.get(error.code(), RuntimeFailure)
    if kind is DeadlineExceeded:
        return DeadlineExceeded("containerd did not answer in time")
    if kind is Unavailable:
        return Unavailable(f"containerd is not available: {text}")
    return kind(text or f"containerd failed without a message ({error.code().name})")


def _of_state(text: str) -> type[RuntimeFailure] | None:
    """The class of a failure that is about a task's state: nothing of it runs, or it runs and should not."""
    if "init process is not running" in text:
        return NotFound
    match = _STATE.search(text)
    if match is None:
        return None
    runs = match["state"] in {"running", "paused"}
    return Conflict if runs or match["verb"] in {"start", "delete"} else NotFound


def is_too_large(failure: RuntimeFailure) -> bool:
    """True when an answer did not fit into one message."""
    cause = failure.__cause__
    return isinstance(cause, grpc.aio.AioRpcError) and cause.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def _clean(text: str) -> str:
    return _QUERY.sub(r"\1", text)


# --- starting a process -----------------------------------------------------------------------------------------------

_START: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(pattern), message)
    for pattern, message in (
        (r'exec: "(?P<what>.*?)": executable file not found in \$PATH', "command {what!r} not found in PATH"),
        (r'exec: "(?P<what>.*?)": stat .*: no such file or directory', "command {what!r} not found"),
        (r'exec: "(?P<what>.*?)": permission denied', "permission denied: {what!r} is not executable for this user"),
        (r'exec: "(?P<what>.*?)": is a directory', "command {what!r} is a directory"),
        (r"exec (?P<what>\S+): exec format error", "command {what!r} is not for this node's architecture"),
        (r"exec format error", "the command is not for this node's architecture, or a script without an interpreter line"),
        (r'chdir to cwd \("(?P<what>.*?)"\).*: (?P<why>[^:]+)$', "working directory {what!r}: {why}"),
        (r"error during container init: mkdir (?P<what>\S+): (?P<why>[^:]+)$", "working directory {what!r}: {why}"),
        (
            r"unable to set memory limit to (?P<what>\d+) \(current usage: (?P<why>\d+)",
            "memory limit of {what} bytes is too low: {why} are in use before the command even runs",
        ),
        (r"OOM-killed|oom-kill|memory limit too low", "the memory limit is too low: the process was killed before it ran"),
        (r"failed to fulfil mount request: open (?P<what>.*?): (?P<why>[^:]+)$", "mount of {what!r}: {why}"),
        (
            r'error mounting "(?P<what>.*?)" to rootfs at "(?P<where>.*?)".*: (?P<why>[^:]+)$',
            "mount of {what!r} at {where!r}: {why}",
        ),
        (r"invalid netns path: .*?(?P<what>/\S+): (?P<why>[^:]+)$", "network namespace {what!r}: {why}"),
        (r"(?P<what>[^:]*): no space left on device", "no space left on the node's disk ({what})"),
    )
)  # fmt: skip

_OF_COMMAND: Final = re.compile(r'exec: "|exec format error')
"""The command itself is at fault."""

_KEPT: Final = (Unavailable, NotFound, AlreadyExists, Conflict, Unsupported)
"""Failures that say nothing of the process."""


def start_failure(failure: RuntimeFailure) -> RuntimeFailure:
    """What a failure to start a process means."""
    if isinstance(failure, _KEPT):
        return failure
    text = str(failure)
    return (CommandFailure if _OF_COMMAND.search(text) else StartFailure)(_explain(text))


_SHIM_ENDED: Final = re.compile(r"ttrpc: (?:server )?closed|failed to create TTRPC connection")
"""The shim ended under the call, or was on its way to when it was asked."""


def shim_ended(failure: RuntimeFailure) -> bool:
    """True when a call went to a shim that ended meanwhile."""
    return _SHIM_ENDED.search(str(failure)) is not None


_IN_USE: Final = re.compile(
    r"unable to set memory limit to (\d+) \(current usage: (\d+)|rejecting memory limit (\d+) <= usage (\d+)"
)
"""What runc says of cgroups of version 1 and of version 2."""


def config_failure(failure: RuntimeFailure) -> RuntimeFailure:
    """What a refused change of limits means."""
    if isinstance(failure, _KEPT):
        return failure
    text = str(failure)
    if "not running" in text or "does not exist" in text:
        return NotFound(text)
    if in_use := _IN_USE.search(text):
        limit, used = (n for n in in_use.groups() if n)
        return Conflict(f"a memory limit of {limit} bytes is below what is in use: {used} bytes")
    return InvalidConfig(_explain(text))


def _explain(text: str) -> str:
    for pattern, message in _START:
        match = pattern.search(text)
        if match:
            return message.format(**match.groupdict())
    return _WRAPPING.sub("", text)
