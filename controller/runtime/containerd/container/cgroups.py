"""Cgroups of containers that have no task, which is what they go with otherwise.

When whoever asks for a task is killed, containerd gives the task up and ends its shim. The OCI runtime, which the shim had just
called, may have made the cgroup by then, and may even have begun a process in it: nobody knows of them any more.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from controller.runtime.containerd.container.containers import Containers
from controller.runtime.containerd.container.records import decode_facts
from controller.runtime.port import NotFound

log = logging.getLogger(__name__)

_ROOT: Final = Path("/sys/fs/cgroup")

_TRIES: Final = 50
_PAUSE_SECONDS: Final = 0.02
"""Between two tries: nothing tells that a killed process has left its cgroup."""


async def clear_of(container_id: str, containers: Containers) -> None:
    """Clear the cgroup of a container by its record; a container without one has none."""
    with suppress(NotFound):
        await clear(decode_facts(await containers.get(container_id)).cgroup)


async def clear(cgroup: str) -> None:
    """Kill what is left in a cgroup, and remove it. That there is none is success; what cannot be removed is logged."""
    for folder in _folders(cgroup):
        for _ in range(_TRIES):
            _kill(folder)
            try:
                folder.rmdir()
            except FileNotFoundError:
                break
            except OSError as exc:
                failure = exc
            else:
                log.info("removed %s, which was left by a container that was never made", folder)
                break
            await asyncio.sleep(_PAUSE_SECONDS)
        else:
            log.warning("%s stays: %s", folder, failure.strerror)


def _folders(cgroup: str) -> Iterator[Path]:
    """Where it is: in one hierarchy (cgroup v2), or in each of some (v1)."""
    below = cgroup.strip("/")
    if not below:
        return
    with os.scandir(_ROOT) as entries:
        tops = [_ROOT, *(Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))]
    yield from (top / below for top in tops if (top / below).is_dir())


def _kill(folder: Path) -> None:
    with suppress(OSError):
        for line in (folder / "cgroup.procs").read_text().split():
            if line != "0":  # that is one that cannot be seen from here
                with suppress(ProcessLookupError):
                    os.kill(int(line), signal.SIGKILL)
