"""The files by which instances know names: /etc/hosts, /etc/hostname and /etc/resolv.conf, a folder for each instance.

Containers have them mounted, so they are written in place, where those that run see what has changed. A container may write
into them, too, and cannot put anything else in their place.
"""

import ipaddress
import os
import shutil
import stat
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Final

from controller.agent.decide import names
from controller.agent.decide.observation import NodeFacts
from controller.api.instance import ContainerInstance
from controller.network.port import Resolver

FOLDER: Final = "files"
"""Below the agent's state folder."""

RESOLV_CONF: Final = "/etc/resolv.conf"

BEHIND_THE_STUB: Final = "/run/systemd/resolve/resolv.conf"
"""Whom systemd-resolved itself asks. Its own address is a loopback one, which leads nowhere in another network."""

_MOST_BYTES: Final = 2**20
_MODE: Final = 0o644
"""Whatever the umask says: processes of any user read them."""


class InstanceFiles:
    """The files of this node's instances."""

    def __init__(self, node: NodeFacts, *, root: Callable[[], str] = lambda: "", resolv_conf: str = RESOLV_CONF) -> None:
        """`root` gives where the node's root folder is found, if it is not the agent's.

        The resolver at its usual place is the agent's own: in a pod, that is what its kubelet takes for the node's.
        """
        self._node, self._folder, self._root, self._resolv_conf = node, node.files_dir, root, resolv_conf

    def write(self, instance: ContainerInstance, addresses: Collection[str]) -> None:
        """Write them as they are to be now.

        Raises:
            OSError: when they cannot be written.
            InvalidConfig: when there can be no such host name.
        """
        node_hosts = self._read("/etc/hosts") if instance.spec.host_network else ""
        content = names.files(instance, self._node, addresses, node_hosts, self._node_resolver(instance))
        folder = self._of(instance.metadata.uid)
        os.makedirs(folder, mode=0o700, exist_ok=True)  # noqa: PTH103 - plain calls, done at each start
        _write(folder, content)

    def refresh(self, instance: ContainerInstance, addresses: Collection[str]) -> None:
        """Write them anew if they are there: the addresses have changed. Raises as `write`."""
        if Path(self._of(instance.metadata.uid)).is_dir():
            self.write(instance, addresses)

    def resolver(self, instance: ContainerInstance) -> Resolver:
        """What its /etc/resolv.conf says."""
        return names.resolver(instance, self._node, self._node_resolver(instance))

    def uids(self) -> frozenset[str]:
        """Of whom there are files."""
        try:
            return frozenset(os.listdir(self._folder))  # noqa: PTH208 - names are all that is needed
        except FileNotFoundError:
            return frozenset()

    def remove(self, uid: str) -> None:
        """Remove an instance's files; that there are none is success."""
        shutil.rmtree(self._of(uid), ignore_errors=True)

    def _of(self, uid: str) -> str:
        return f"{self._folder}/{uid}"

    def _node_resolver(self, instance: ContainerInstance) -> Resolver:
        own = self._resolv_conf == RESOLV_CONF
        found = names.parse_resolv_conf(_read(RESOLV_CONF) if own else self._read(self._resolv_conf))
        if instance.spec.host_network or not found.servers or not all(map(_loopback, found.servers)):
            return found
        behind = names.parse_resolv_conf(self._read(BEHIND_THE_STUB))
        return behind if behind.servers else found

    def _read(self, path: str) -> str:
        """A file of the node's; where the node's files cannot be reached, the agent's own, which a kubelet makes like it."""
        root = self._root()
        try:
            return _read(root + path)
        except PermissionError:
            if not root:
                raise
            return _read(path)


def _read(path: str) -> str:
    """The beginning of a file of the node's; empty when there is none."""
    try:
        with Path(path).open(errors="replace") as file:
            return file.read(_MOST_BYTES)
    except FileNotFoundError:
        return ""


def _write(folder: str, content: Mapping[str, str]) -> None:
    """Write what is not there already: a container that runs would find a file empty for a moment."""
    for name, text in content.items():
        data = text.encode()
        descriptor = os.open(f"{folder}/{name}", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, _MODE)
        try:
            if stat.S_IMODE(os.fstat(descriptor).st_mode) != _MODE:
                os.fchmod(descriptor, _MODE)
            if os.read(descriptor, len(data) + 1) != data:
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, data, 0)
        finally:
            os.close(descriptor)


def _loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False
