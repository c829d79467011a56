"""containerd of our own: root, state, sockets and plugins apart from any other on the machine."""

from __future__ import annotations

from pathlib import Path

from tools.lab.claims import make_run_folder, run_folder
from tools.lab.command import Ctr, tool
from tools.lab.component import Component
from tools.lab.node import Node
from tools.lab.process import Process

READY_SECONDS = 30.0

# The shims' sockets have a folder of their own, which containerd wants to be at most 42 characters long.
CONFIGURATION = """\
version = 4
root = '{root}'
state = '{state}'
temp = '{folder}/temp'
imports = []
disabled_plugins = [{disabled}]

[plugins.'io.containerd.server.v1.grpc']
  address = '{run}/containerd.sock'
[plugins.'io.containerd.server.v1.ttrpc']
  address = '{run}/containerd.sock.ttrpc'
[plugins.'io.containerd.shim.v1.manager']
  socket_dir = '{run}/s'
[plugins.'io.containerd.internal.v1.opt']
  path = '{folder}/opt'
[plugins.'io.containerd.image-verifier.v1.bindir']
  bin_dir = '{folder}/opt/image-verifier'
[plugins.'io.containerd.nri.v1.nri']
  disable = true
"""

# A process without CAP_SYS_RESOURCE cannot lower the score of its containers below its own.
CRI = """\
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
"""

CRI_PLUGINS = (
    "io.containerd.grpc.v1.cri",
    "io.containerd.cri.v1.images",
    "io.containerd.cri.v1.runtime",
    "io.containerd.podsandbox.controller.v1.podsandbox",
)


class Containerd(Component):
    """A containerd with the overlayfs snapshotter and runc, both pinned; without the CRI plugin unless asked for."""

    def __init__(self, state: Path, *, cri: bool = False, extra: str = "", node: Node | None = None) -> None:
        """Prepare the configuration.

        Args:
            state: the folder for everything that it keeps.
            cri: load the CRI plugin too, as a kubelet needs it.
            extra: more configuration in TOML, appended.
            node: the node of the lab to run on, at the paths that are usual there; it has to be up. None: on this machine.
        """
        super().__init__(state)
        self._node = node
        self._root = Path("/var/lib/containerd") if node else self.state / "root"
        self._state = Path("/run/containerd") if node else self.state / "state"
        self._run = self._state if node else run_folder(self.state)
        self._settings = (cri, extra)
        self.ctr = Ctr(self.address, self.state, node.inside(()) if node else ())
        command: list[str | Path] = [tool("containerd"), "--config", self._config_file]
        self.process = Process("containerd", node.inside(command) if node else command, self.state)

    @property
    def address(self) -> str:
        """The path of the gRPC socket, as it is seen where containerd runs."""
        return str(self._run / "containerd.sock")

    @property
    def _config_file(self) -> Path:
        return self.state / "config.toml"

    def start(self) -> None:
        """Start containerd and wait until all of its services answer; running shims are taken over."""
        if not self.process.running:
            if self._node is None:
                make_run_folder(self.state)
            (self.state / "temp").mkdir(exist_ok=True)
            self._config_file.write_text(self._configuration())
            self.process.start()
        self.process.wait_ready(self._ready, READY_SECONDS)

    def kill(self) -> None:
        """End containerd, and only it, with SIGKILL: shims and containers go on."""
        self.process.kill()

    def stop(self) -> None:
        """End containerd, and only it, as an upgrade does."""
        self.process.stop()

    @property
    def processes(self) -> list[Process]:
        """Containerd alone; its shims and containers are no children of it."""
        return [self.process]

    def _configuration(self) -> str:
        cri, extra = self._settings
        disabled = ", ".join(f"'{plugin}'" for plugin in ([] if cri else CRI_PLUGINS))
        paths = {"root": self._root, "state": self._state, "folder": self.state, "run": self._run}
        return CONFIGURATION.format(**paths, disabled=disabled) + (CRI if cri else "") + extra

    def _ready(self) -> bool:
        socket = self._node.path(self.address) if self._node else Path(self.address)
        return socket.exists() and self.ctr("version", check=False).returncode == 0
