"""A network of a test's own: a CNI configuration with real plugins, on a bridge that is removed at the end with all on it."""

import json
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.waiting import eventually
from tools.build import BIN

PLUGINS = ("bridge", "host-local", "portmap", "firewall", "bandwidth", "loopback")

PASS_ON = """sed -e 's/.*"prevResult": //' -e 's/}$//'"""
"""Of a plugin that changes nothing: its result is the one that it is given."""


@dataclass(frozen=True)
class Wire:
    """The network, with its folders below one of the test's."""

    folder: Path
    number: int
    """Of the subnet, and of the bridge: 0 to 255, another one for each test that may run at the same time."""
    seconds: int = 10
    """Deadline of a plugin; short only where one is to miss it, since on a busy machine the real ones take seconds, too."""

    @property
    def bridge(self) -> str:
        """Name of the bridge."""
        return f"mrgt{self.number}"

    @property
    def subnet(self) -> str:
        """What all addresses on it begin with."""
        return f"10.213.{self.number}."

    @property
    def conf(self) -> Path:
        """Folder of configurations."""
        return self.folder / "net.d"

    @property
    def bin(self) -> Path:
        """Folder of plugins."""
        return self.folder / "bin"

    @property
    def leases(self) -> Path:
        """Folder of host-local's addresses."""
        return self.folder / "ipam" / "wire"

    @property
    def options(self) -> list[str]:
        """Of an agent that is on it."""
        return ["--cni-conf-dir", str(self.conf), "--cni-bin-dir", str(self.bin), "--cni-timeout-seconds", str(self.seconds)]

    def make(self) -> None:
        """Plugins and a configuration."""
        self.conf.mkdir(parents=True)
        self.bin.mkdir()
        for name in PLUGINS:
            (self.bin / name).symlink_to(BIN / name)
        self.configure()

    def configure(self, *more: dict[str, Any], version: str = "1.0.0", masquerade: bool = True, **top: Any) -> None:
        """Write the configuration; `more` are plugins behind the usual ones."""
        bridge = {
            "type": "bridge",
            "bridge": self.bridge,
            "isGateway": True,
            "ipMasq": masquerade,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "dataDir": str(self.folder / "ipam"),
                "ranges": [[{"subnet": f"{self.subnet}0/24"}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }
        chain = [
            bridge,
            {"type": "portmap", "capabilities": {"portMappings": True}},
            {"type": "firewall"},
            {"type": "bandwidth", "capabilities": {"bandwidth": True}},
            *more,
        ]
        text = json.dumps({"cniVersion": version, "name": "wire", "plugins": chain, **top})
        (self.conf / "10-wire.conflist").write_text(text)

    def script(self, name: str, text: str) -> Path:
        """A plugin of the test's own, as a shell script."""
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    def leased(self) -> set[str]:
        """Addresses that host-local has given and not got back."""
        if not self.leases.is_dir():
            return set()
        return {p.name for p in self.leases.iterdir() if p.name.startswith(self.subnet)}

    def links(self) -> list[str]:
        """Interfaces on the bridge."""
        folder = Path(f"/sys/class/net/{self.bridge}/brif")
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []

    def rules(self) -> list[str]:
        """Rules of iptables that name an address of the network."""
        found = run("iptables-save").splitlines()
        return [line for line in found if line.startswith("-A") and self.subnet in line]

    def left(self) -> list[str]:
        """Everything that an attachment has left."""
        return (
            [f"address {a}" for a in self.leased()] + [f"link {n}" for n in self.links()] + [f"rule {r}" for r in self.rules()]
        )

    def forget_rules(self) -> None:
        """Remove what `rules` finds, as a restart of the node does."""
        chains = set()
        for line in self.rules():
            words = shlex.split(line)
            chains.add(words[1])
            for table in ("nat", "filter"):
                try_to("iptables", "-w", "-t", table, "-D", *words[1:])
        for chain in chains - {"POSTROUTING", "CNI-FORWARD"}:
            try_to("iptables", "-w", "-t", "nat", "-F", chain)
            try_to("iptables", "-w", "-t", "nat", "-X", chain)

    def remove(self) -> None:
        """The bridge, and whatever a failed test has left."""
        self.forget_rules()
        for link in (*self.links(), self.bridge):
            try_to("ip", "link", "del", link)


def run(*command: str) -> str:
    """What a command says, that must succeed."""
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout


def try_to(*command: str) -> None:
    """Run a command that may have nothing to do."""
    subprocess.run(command, capture_output=True, check=False, timeout=10)


@contextmanager
def wire(folder: Path, number: int, seconds: int = 10) -> Iterator[Wire]:
    """A network; nothing may be left of its attachments at the end."""
    found = Wire(folder, number, seconds)
    found.make()
    try:
        yield found
        # the kernel removes links of a namespace that has ended when it gets to it
        left = eventually(found.left, lambda left: not left, 5)
        assert not left, left
    finally:
        found.remove()
