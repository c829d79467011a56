"""Take the demo down, also after a crash half way."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tools.lab import teardown
from tools.lab.demo_session import CRDS, EXAMPLE, NODE, Session
from tools.lab.leftovers import sweep
from tools.progress import ToolError, step

RUNTIME_NAMESPACE = "moorage"
LEASES = "moorage-node-lease"


def down(state: Path) -> int:
    """Remove everything; returns 1 when something resists, with a line for each on stderr.

    In a cluster or a containerd that is not ours nothing may be thrown away by force. So there, Moorage itself removes what
    it made: the example is deleted while manager and agent run (they are started again if they had died), then the node,
    then the CRDs if this demo brought them and nobody else uses them, last the image. What is ours goes with the folder.
    """
    session = Session.load(state)
    problems: list[str] = []
    if session is not None and not (session.own_cluster and session.own_containerd):
        for clean in (_delete_example, _end_moorage, _clean_containerd, _clean_cluster):
            try:
                clean(session)
            except ToolError as error:
                problems.append(str(error))
    if not state.exists() and not sweep(state):
        print(f"nothing is up in {state}")
        return 0
    with step(f"take down {state}"):
        left = teardown.down(state)
    problems += left.describe()
    for problem in problems:
        print(f"left: {problem}", file=sys.stderr)
    return 1 if problems else 0


def _delete_example(session: Session) -> None:
    """Delete the example and wait until the agent has confirmed that nothing of it is left."""
    if session.kubectl("get", "crd/containerworkloads.moorage.dev", check=False).returncode != 0:
        return  # the crash came before the CRDs, or our own cluster is gone
    session.lab().start()
    session.start_moorage()
    with step("delete the example and wait for its containers"):
        options = ["--ignore-not-found", "--cascade=foreground", "--timeout=60s"]
        session.kubectl("delete", *options, "--filename", EXAMPLE, timeout=90)


def _end_moorage(session: Session) -> None:
    with step("stop moorage agent and moorage manager"):
        for process in reversed(session.moorage):
            process.stop()


def _clean_containerd(session: Session) -> None:
    """Remove from a containerd that stays: containers whose logs are in our folder, and the images of our registry."""
    if session.own_containerd:
        return
    ctr = session.ctr
    listed = ctr("containers", "list", "--quiet", namespace=RUNTIME_NAMESPACE).stdout.split()
    for name in listed:
        shown = ctr("containers", "info", name, namespace=RUNTIME_NAMESPACE, check=False)
        labels = json.loads(shown.stdout).get("Labels") or {} if shown.returncode == 0 else {}
        if Path(labels.get("moorage.dev/log-path", "/")).is_relative_to(session.state):
            ctr("tasks", "delete", "--force", name, namespace=RUNTIME_NAMESPACE, check=False)
            ctr("containers", "delete", name, namespace=RUNTIME_NAMESPACE)
    host = session.lab().registry.host
    images = ctr("images", "list", "--quiet", namespace=RUNTIME_NAMESPACE).stdout.split()
    ours = [image for image in images if image.startswith(f"{host}/")]
    if ours:
        ctr("images", "remove", "--sync", *ours, namespace=RUNTIME_NAMESPACE)
    ctr("namespaces", "remove", RUNTIME_NAMESPACE, check=False)  # refused while others have something in it


def _clean_cluster(session: Session) -> None:
    """Remove from a cluster that stays: our node, its lease, and the CRDs if we brought them and they are not in use."""
    if session.own_cluster:
        return
    kubectl = session.kubectl
    kubectl("delete", f"lease/{NODE}", "--namespace", LEASES, "--ignore-not-found")
    if kubectl("get", "crd/runtimenodes.moorage.dev", check=False).returncode != 0:
        return
    kubectl("delete", f"rn/{NODE}", "--ignore-not-found")
    if not session.installed_crds:
        return
    if kubectl("get", "cw,ci,rn", "--all-namespaces", "--output", "name").stdout.strip():
        print(f"  the CRDs stay in the cluster of {session.kubeconfig}: others use them")
        return
    with step("remove the CRDs"):
        kubectl("delete", "--filename", CRDS, "--timeout=30s")
        kubectl("delete", f"namespace/{LEASES}", "--ignore-not-found", "--timeout=30s")
