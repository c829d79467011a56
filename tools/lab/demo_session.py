"""The state of one demo: whose cluster and containerd it uses, and the two processes of Moorage."""

from __future__ import annotations

import json
import re
import sys
import time
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from tools.lab.claims import claim
from tools.lab.command import Ctr, Kubectl
from tools.lab.lab import REGISTRY_PORT, Lab
from tools.lab.process import ROOT, Process, free_port, make_state
from tools.progress import ToolError, step

NODE = "demo"
CGROUP = f"/moorage/{NODE}"
CRDS = ROOT / "crds"
EXAMPLE = ROOT / "manifests" / "examples" / "web.yaml"
NAMESPACE = "example-web"
"""The namespace that the example makes for itself."""
PAGE_PORT = 8080
FETCH_SECONDS = 5.0
NODE_SECONDS = 30.0


@dataclass
class Session:
    """What a demo has to remember, kept in `<state>/demo.json`."""

    state: Path
    own_cluster: bool
    own_containerd: bool
    kubeconfig: Path
    containerd: str
    page_port: int
    installed_crds: bool = False

    @classmethod
    def open(cls, state: Path, *, kubeconfig: str, containerd: str) -> Self:
        """Begin a demo, or go on with the one that `state` holds.

        Raises:
            ToolError: when it was begun with another cluster or containerd.
        """
        running = cls.load(state)
        session = running or cls._begin(make_state(state), kubeconfig, containerd)
        asked = Path(kubeconfig).expanduser().resolve() if kubeconfig else session.kubeconfig
        if asked != session.kubeconfig or (containerd or session.containerd) != session.containerd:
            raise ToolError(f"the demo in {state} uses {session.kubeconfig} and {session.containerd}: `make demo-down` first")
        session.save()
        return session

    @classmethod
    def load(cls, state: Path) -> Self | None:
        """The demo that `state` holds; None when there is none."""
        file = state / "demo.json"
        if not file.exists():
            return None
        kept = json.loads(file.read_text())
        return cls(**kept | {"state": Path(kept["state"]), "kubeconfig": Path(kept["kubeconfig"])})

    @classmethod
    def _begin(cls, state: Path, kubeconfig: str, containerd: str) -> Self:
        lab = Lab(state)
        assert lab.control_plane is not None
        assert lab.containerd is not None
        own = lab.control_plane.kubeconfig  # as an earlier demo printed it, so it may well be set
        asked = Path(kubeconfig).expanduser().resolve() if kubeconfig else own
        return cls(
            state=state,
            own_cluster=asked == own,
            own_containerd=not containerd,
            kubeconfig=asked,
            containerd=containerd or lab.containerd.address,
            page_port=free_port(PAGE_PORT),
        )

    def save(self) -> None:
        """Write it down, in one move."""
        unfinished = self.state / ".demo.json"
        unfinished.write_text(json.dumps(asdict(self), default=str, indent=2) + "\n")
        unfinished.replace(self.state / "demo.json")

    def lab(self) -> Lab:
        """The components of our own."""
        return Lab(self.state, crds=[CRDS], with_cluster=self.own_cluster, with_containerd=self.own_containerd)

    @property
    def kubectl(self) -> Kubectl:
        """Kubectl for the cluster that is used."""
        return Kubectl(self.kubeconfig, self.state)

    @property
    def ctr(self) -> Ctr:
        """Ctr for the containerd that is used."""
        return Ctr(self.containerd, self.state)

    @property
    def moorage(self) -> list[Process]:
        """The two processes of Moorage; nothing else knows their command lines."""
        command = _console_script()
        common: list[str | Path] = ["--kubeconfig", self.kubeconfig]
        node = ["--containerd", self.containerd, "--node-name", NODE]
        folders: list[str | Path] = ["--state-dir", self.state / "agent", "--log-dir", self.state / "agent-logs"]
        return [
            Process("manager", [command, "manager", *common], self.state),
            Process("agent", [command, "agent", *common, *node, *folders], self.state),
        ]

    def install_crds(self) -> None:
        """Install the CRDs into a cluster that is not our own; ours has them from its start."""
        if self.own_cluster:
            return
        if self.kubectl("get", "crd/containerworkloads.moorage.dev", check=False).returncode != 0:
            self.installed_crds = True
            self.save()
        with step(f"install the CRDs into the cluster of {self.kubeconfig}"):
            self.kubectl("apply", "--server-side", "--filename", CRDS)
            self.kubectl("wait", "--for=condition=Established", "--timeout=30s", "--filename", CRDS)

    def start_moorage(self) -> None:
        """Start manager and agent, and wait until the node reports."""
        claim(self.state, "cgroup", CGROUP)
        with step("start moorage manager and moorage agent"):
            manager, agent = self.moorage
            manager.start()
            agent.start()
            agent.wait_ready(self._node_ready, NODE_SECONDS)
            if not manager.running:
                raise ToolError(f"the manager ended right after its start; {manager.log} ends with:\n{manager.tail()}")

    def example(self) -> str:
        """The example's text, with the registry and the port that are used here."""
        text = EXAMPLE.read_text().replace(f"127.0.0.1:{REGISTRY_PORT}/", f"{self.lab().registry.host}/")
        return re.sub(rf"\b{PAGE_PORT}\b", str(self.page_port), text)

    def fetch_page(self) -> str:
        """The page that the example serves.

        Raises:
            ToolError: when it does not answer within some seconds.
        """
        deadline = time.monotonic() + FETCH_SECONDS
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.page_port}/", timeout=FETCH_SECONDS) as answer:
                    return str(answer.read().decode())
            except OSError as exc:  # ready means started: there is no probe in the example, httpd may still be binding
                if time.monotonic() > deadline:
                    raise ToolError(f"the page of the example cannot be fetched: {exc}") from exc
                time.sleep(0.05)

    def explain(self) -> str:
        """What may tell why the example does not become ready: objects, events and the ends of the logs."""
        parts = [
            self.kubectl("get", "cw,ci,rn", "--namespace", NAMESPACE, "--output", "wide", check=False).stdout,
            self.kubectl("get", "events", "--namespace", NAMESPACE, "--sort-by=.lastTimestamp", check=False).stdout,
            *(f"{process.log} ends with:\n{process.tail()}" for process in self.moorage),
        ]
        return "\n".join(part.rstrip() for part in parts if part)

    def _node_ready(self) -> bool:
        path = '{.status.conditions[?(@.type=="Ready")].status}'
        done = self.kubectl("get", f"rn/{NODE}", "--output", f"jsonpath={path}", check=False)
        return done.stdout.strip() == "True"


def _console_script() -> Path:
    """The `moorage` command of the virtual environment.

    Raises:
        ToolError: when it is not installed.
    """
    for folder in (Path(sys.executable).parent, ROOT / ".venv" / "bin"):
        if (folder / "moorage").exists():
            return folder / "moorage"
    raise ToolError("the moorage command is not installed: run `make venv` first")
