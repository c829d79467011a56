"""The lab: real components, started and ended for the demo, the tests and the benchmark.

    with ControlPlane(folder / "control-plane") as plane, Containerd(folder / "containerd") as containerd:
        plane.kubectl("get", "namespaces")
        containerd.ctr("version")

Each component has a state folder of its own, listens on 127.0.0.1 or a unix socket only, and writes logs into the folder.
"""

from tools.lab.claims import claim
from tools.lab.command import Ctr, Kubectl
from tools.lab.component import Component
from tools.lab.containerd import Containerd
from tools.lab.control_plane import ControlPlane
from tools.lab.faults import Fault, FaultyRegistry
from tools.lab.kubelet import Kubelet
from tools.lab.lab import Lab
from tools.lab.leftovers import Leftovers, sweep
from tools.lab.node import Node
from tools.lab.process import Process, free_port
from tools.lab.registry import Registry
from tools.lab.teardown import down
from tools.progress import ToolError

__all__ = [
    "Component",
    "Containerd",
    "ControlPlane",
    "Ctr",
    "Fault",
    "FaultyRegistry",
    "Kubectl",
    "Kubelet",
    "Lab",
    "Leftovers",
    "Node",
    "Process",
    "Registry",
    "ToolError",
    "claim",
    "down",
    "free_port",
    "sweep",
]
