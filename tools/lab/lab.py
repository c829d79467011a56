"""The whole lab: control plane, containerd and registry in one state folder, with the test images pushed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tools.images import all_images, push
from tools.lab.component import Component
from tools.lab.containerd import Containerd
from tools.lab.control_plane import ControlPlane
from tools.lab.process import make_state
from tools.lab.registry import Registry
from tools.progress import step

REGISTRY_PORT = 5000
"""The port that the examples name; another one is used where it is taken."""


class Lab:
    """The components that the demo and the command line run, each in a folder of its own below `state`."""

    def __init__(
        self, state: Path, *, crds: Sequence[Path] = (), with_cluster: bool = True, with_containerd: bool = True
    ) -> None:
        """Prepare the components.

        Args:
            state: the folder for all that they keep; `down(state)` removes it.
            crds: see `ControlPlane`.
            with_cluster: False leaves the control plane out.
            with_containerd: False leaves containerd out.
        """
        self.state = make_state(state)
        self.registry = Registry(self.state / "registry", port=REGISTRY_PORT)
        self.containerd = Containerd(self.state / "containerd") if with_containerd else None
        self.control_plane = ControlPlane(self.state / "control-plane", crds=crds) if with_cluster else None

    @property
    def components(self) -> dict[str, Component]:
        """The components by the names that people are shown, in the order in which they are started."""
        found: dict[str, Component | None] = {
            "registry": self.registry,
            "containerd": self.containerd,
            "control plane": self.control_plane,
        }
        return {name: component for name, component in found.items() if component is not None}

    def start(self) -> None:
        """Start what does not run yet, with a line for each step."""
        for name, component in self.components.items():
            with step(f"{name} runs already" if component.running else f"start {name}"):
                component.start()

    def push_images(self) -> None:
        """Push the test images; quick when the registry has them."""
        with step(f"push test images to {self.registry.host}"):
            push(self.registry.host, all_images())
