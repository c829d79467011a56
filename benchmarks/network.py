"""The network of the benchmark: a CNI configuration as most nodes have it, on a bridge of its own; and its floor."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from controller.network import namespace
from tools.build import BIN
from tools.progress import ToolError

VERSION = "1.0.0"
NAME = "bench"
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


class Network:
    """Bridge with host-local addresses and masquerading, portmap and firewall: four programs for each instance."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._bridge = f"mrgb{os.getpid() % 10**7}"
        self._results: dict[str, dict[str, Any]] = {}
        """What the last plugin said, of each attachment of the floor."""

    @property
    def options(self) -> list[str | Path]:
        """Of the agent."""
        return ["--cni-conf-dir", self._folder / "conf", "--cni-bin-dir", BIN]

    def make(self) -> None:
        """Write the configuration; the bridge is made by its plugin."""
        (self._folder / "conf").mkdir(parents=True)
        (self._folder / "conf" / "10-bench.conflist").write_text(
            json.dumps({"cniVersion": VERSION, "name": NAME, "plugins": self.plugins()})
        )

    def remove(self) -> None:
        """Remove the bridge, which no plugin does."""
        subprocess.run(["ip", "link", "del", self._bridge], capture_output=True, check=False, timeout=10)

    def detach_all(self) -> None:
        """Detach what the floor has left, as it does when it fails."""

        async def each() -> None:
            for name in list(self._results):
                await self.detach(name)

        asyncio.run(each())

    async def attach(self, name: str) -> str:
        """The floor: a network namespace and the same plugins, one after another and nothing else; the path of the namespace.

        Raises:
            ToolError: when a plugin fails.
        """
        path = self._path(name)
        await asyncio.to_thread(namespace.create, path)
        self._results[name] = {}
        for plugin in self.plugins():
            self._results[name] = json.loads(await self._run("ADD", name, plugin))
        return path

    async def detach(self, name: str) -> None:
        """The reverse.

        Raises:
            ToolError: when a plugin fails.
        """
        for plugin in reversed(self.plugins()):
            await self._run("DEL", name, plugin)
        await asyncio.to_thread(namespace.remove, self._path(name))
        del self._results[name]

    def _path(self, name: str) -> str:
        return str(self._folder / "floor" / name)

    def plugins(self) -> list[dict[str, Any]]:
        """The configuration's plugins, in the order of ADD."""
        ipam = {
            "type": "host-local",
            "dataDir": str(self._folder / "ipam"),
            "ranges": [[{"subnet": "10.214.0.0/16"}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        }
        bridge = {"type": "bridge", "bridge": self._bridge, "isGateway": True, "ipMasq": True, "ipam": ipam}
        return [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}, {"type": "firewall"}]

    async def _run(self, command: str, name: str, plugin: dict[str, Any]) -> bytes:
        """Run one plugin (CNI SPEC 1.1, section 2)."""
        given = {"cniVersion": VERSION, "name": NAME, **plugin}
        if result := self._results[name]:
            given["prevResult"] = result
        about = {"CNI_CONTAINERID": name, "CNI_IFNAME": "eth0", "CNI_NETNS": self._path(name)}
        process = await asyncio.create_subprocess_exec(
            BIN / plugin["type"],
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={"CNI_COMMAND": command, "CNI_PATH": str(BIN), "PATH": PATH, **about},
        )
        said, _ = await process.communicate(json.dumps(given).encode())
        if process.returncode != 0:
            raise ToolError(f"CNI plugin {plugin['type']} failed at {command}: {said.decode(errors='replace').strip()}")
        return said
