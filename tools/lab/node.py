"""A node of its own on this machine: what a kubelet and its pods see as one, and what this machine does not.

It is a mount namespace in which `/` is shared (a kubelet needs that for mounts that go both ways), with `/run`, `/var/lib` and
`/var/log` of its own, and a network namespace that a cable (veth) joins to this machine. So components in it have their usual
paths, ports, bridges and firewall rules, and all of it ends with the last process in it.

    with Node(folder / "node") as node, ControlPlane(folder / "plane", address=node.gateway, pods=True) as plane:
        ...
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tools.lab.claims import claim
from tools.lab.command import run
from tools.lab.component import Component
from tools.lab.leftovers import NETNS, cgroup_hierarchies
from tools.lab.process import ROOT, Process
from tools.progress import ToolError

READY_SECONDS = 15.0

CABLES = ipaddress.IPv4Network("198.18.0.0/16")
"""Addresses for cables between nodes and this machine, four each: a range for tests of networks (RFC 2544)."""

FOLDERS = ("/run", "/var/lib", "/var/log")
"""The folders of a node that are its own; they are in `<state>/root`."""

TUNED = {"vm/overcommit_memory": "1", "kernel/panic": "10", "kernel/panic_on_oops": "1"}
"""What a kubelet would set for the whole machine. In the node it finds it set, and leaves the machine as it is."""

# Each own folder is shared for itself: as a part of the shared `/`, what is mounted in it would be mounted in the state too.
SETUP = """\
mount --make-rshared /
{binds}
touch {ready}
exec sleep infinity
"""
BIND = "mount --bind {source} {target}; mount --make-private {target}; mount --make-shared {target}"


class Node(Component):
    """A mount and a network namespace, held open by a process; others enter it with `inside`."""

    def __init__(self, state: Path, *, name: str = "node1") -> None:
        """Prepare the node; `name` is what it is registered as.

        Raises:
            ToolError: when the state or the checkout would be hidden by one of the node's own folders.
        """
        for path in (ROOT, state.resolve()):
            if any(path.is_relative_to(folder) for folder in FOLDERS):
                raise ToolError(f"{path} would not be seen on the node: use a folder outside of {', '.join(FOLDERS)}")
        super().__init__(state)
        self.name = name
        mark = hashlib.sha256(str(self.state).encode()).hexdigest()[:8]
        self.network = f"moorage-{mark}"
        self.cgroup = f"/moorage-lab-{mark}"
        """The parent of all cgroups of the node's pods."""
        self.cable = f"mrg{mark}"
        """The network device at this machine's end of the cable."""
        self._ready = self.state / "ready"
        self.holder = Process("node", ["unshare", "--mount", "sh", "-euc", self._setup()], self.state)

    @property
    def gateway(self) -> str:
        """The address of this machine at its end of the cable."""
        return str(self._addresses()[0])

    @property
    def address(self) -> str:
        """The address of the node."""
        return str(self._addresses()[1])

    @property
    def processes(self) -> list[Process]:
        """The process that holds the namespaces."""
        return [self.holder]

    def start(self) -> None:
        """Make the namespaces and the cable, unless they are there."""
        if self.holder.running:
            return
        self._ready.unlink(missing_ok=True)
        self._make_network()
        claim(self.state, "cgroup", self.cgroup)
        for hierarchy in cgroup_hierarchies():
            (hierarchy / self.cgroup.strip("/")).mkdir(exist_ok=True)
        for folder in (*map(self.path, FOLDERS), self.state / "tuned"):
            folder.mkdir(parents=True, exist_ok=True)
        for key, value in TUNED.items():
            (self.state / "tuned" / key.replace("/", ".")).write_text(f"{value}\n")
        self.holder.start()
        self.holder.wait_ready(self._ready.exists, READY_SECONDS)

    def inside(self, arguments: Sequence[str | Path]) -> list[str | Path]:
        """The command that runs a command on the node.

        Raises:
            ToolError: when the node is not up.
        """
        spaces = [f"--mount=/proc/{self.holder.pid}/ns/mnt", f"--net={NETNS / self.network}"]
        return ["nsenter", *spaces, "--", *arguments]

    def run(
        self, *arguments: str | Path, stdin: str = "", timeout: float = 60.0, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on the node; see `tools.lab.command.run`."""
        return run(self.inside(arguments), self.state, stdin=stdin, timeout=timeout, check=check)

    def path(self, inner: str) -> Path:
        """Where a file in one of the node's own folders is on this machine.

        Raises:
            ValueError: when it is not in one of them.
        """
        if not any(Path(inner).is_relative_to(folder) for folder in FOLDERS):
            raise ValueError(f"{inner} is not in {', '.join(FOLDERS)}")
        return self.state / "root" / inner.lstrip("/")

    @contextmanager
    def cut_off(self) -> Iterator[None]:
        """Take the cable away for as long as the block runs: nothing gets through, and neither end is told."""
        self._ip("link", "set", self.cable, "down")
        try:
            yield
        finally:
            self._ip("link", "set", self.cable, "up")

    def _setup(self) -> str:
        binds = [BIND.format(source=self.path(folder), target=folder) for folder in FOLDERS]
        binds += [f"mount --bind {self.state}/tuned/{key.replace('/', '.')} /proc/sys/{key}" for key in TUNED]
        return SETUP.format(binds="\n".join(binds), ready=self._ready)

    def _addresses(self) -> tuple[ipaddress.IPv4Address, ipaddress.IPv4Address]:
        """Both ends of the cable: four addresses that nothing on this machine uses, the same ever after."""
        file = self.state / "cable"
        if not file.exists():
            shown = json.loads(run(["ip", "-json", "-4", "address"], self.state).stdout)
            used = {ipaddress.IPv4Address(entry["local"]) for link in shown for entry in link["addr_info"]}
            start = int(self.network[-4:], 16)
            nets = list(CABLES.subnets(new_prefix=30))
            free = next(net for net in nets[start % len(nets) :] + nets if not any(address in net for address in used))
            file.write_text(str(free))
        first, second = ipaddress.IPv4Network(file.read_text()).hosts()
        return first, second

    def _make_network(self) -> None:
        claim(self.state, "netns", self.network)
        if not (NETNS / self.network).exists():
            self._ip("netns", "add", self.network)
            self._ip("link", "add", self.cable, "type", "veth", "peer", "name", "eth0", "netns", self.network)
        self._ip("address", "replace", f"{self.gateway}/30", "dev", self.cable)
        self._ip("link", "set", self.cable, "up")
        here = ("-netns", self.network)
        self._ip(*here, "address", "replace", f"{self.address}/30", "dev", "eth0")
        self._ip(*here, "link", "set", "lo", "up")
        self._ip(*here, "link", "set", "eth0", "up")
        self._ip(*here, "route", "replace", "default", "via", self.gateway)

    def _ip(self, *arguments: str) -> None:
        run(["ip", *arguments], self.state, timeout=10)
