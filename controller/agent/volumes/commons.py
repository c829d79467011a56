"""What the containers of an instance share as those of a pod do: their IPC namespace, and the memory below /dev/shm.

The namespace is mounted on a file and the memory is a tmpfs, so that no process has to hold either: they are there before the
first container, stay over restarts of containers, agent and runtime, and go with all else of the instance's volumes.
"""

import os
from contextlib import suppress
from typing import Final

from controller import kernel
from controller.agent.decide.volumes.mounts import Shared
from controller.agent.volumes import paths

_OWN: Final = "/proc/thread-self/ns/ipc"

_SIZE: Final = "mode=1777,size=65536k"
"""As in a pod below containerd's CRI, and in a container of Docker's; all may write, and remove what is theirs."""


def make(shared: Shared) -> None:
    """See to it that both are there; what is there stays as it is.

    To be called in a thread that ends after it: it is left in the new namespace.

    Raises:
        OSError: when one of them cannot be made.
    """
    paths.make_all(os.path.dirname(shared.memory), 0o700)  # noqa: PTH120 - plain calls throughout
    with suppress(FileExistsError):
        os.mkdir(shared.memory, 0o700)  # noqa: PTH102
    if _device(shared.memory) == _device(os.path.dirname(shared.memory)):  # noqa: PTH120
        kernel.mount("shm", shared.memory, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC, _SIZE)
    os.close(os.open(shared.namespace, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o400))
    if _device(shared.namespace) != _device(_OWN):
        with kernel.doing("a new IPC namespace"):
            kernel.unshare(kernel.CLONE_NEWIPC)
        kernel.mount(_OWN, shared.namespace, flags=kernel.MS_BIND)


def _device(path: str) -> int:
    """Of the file system that it is on: that of namespaces is one of its own (namespaces(7))."""
    return os.stat(path).st_dev  # noqa: PTH116 - as above
