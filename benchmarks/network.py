"""The network of the benchmark: a CNI configuration as most nodes have it, on a bridge of its own."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from tools.build import BIN


class Network:
    """Bridge with host-local addresses and masquerading, portmap and firewall: four programs for each instance."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._bridge = f"mrgb{os.getpid() % 10**7}"

    @property
    def options(self) -> list[str | Path]:
        """Of the agent."""
        return ["--cni-conf-dir", self._folder / "conf", "--cni-bin-dir", BIN]

    def make(self) -> None:
        """Write the configuration; the bridge is made by its plugin."""
        ipam = {
            "type": "host-local",
            "dataDir": str(self._folder / "ipam"),
            "ranges": [[{"subnet": "10.214.0.0/16"}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        }
        bridge = {"type": "bridge", "bridge": self._bridge, "isGateway": True, "ipMasq": True, "ipam": ipam}
        plugins = [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}, {"type": "firewall"}]
        (self._folder / "conf").mkdir(parents=True)
        (self._folder / "conf" / "10-bench.conflist").write_text(
            json.dumps({"cniVersion": "1.0.0", "name": "bench", "plugins": plugins})
        )

    def remove(self) -> None:
        """Remove the bridge, which no plugin does."""
        subprocess.run(["ip", "link", "del", self._bridge], capture_output=True, check=False, timeout=10)
