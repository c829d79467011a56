"""The demo: `python3 -m tools.lab.demo up|down|status [--state DIR] [--containerd SOCKET]`.

`up` brings one node of Moorage to life on real components and runs the web example on it; it can be called again at any
time. `down` leaves nothing of it. A cluster named by KUBECONFIG and a containerd named by `--containerd` are used instead
of own ones; what is brought into them is taken out again.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from tools.lab import demo_teardown
from tools.lab.demo_session import NAMESPACE, Session
from tools.lab.leftovers import sweep
from tools.lab.process import ROOT
from tools.progress import ToolError, step

DEFAULT_STATE = ROOT / ".demo"


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.lab.demo", description=__doc__.partition("\n\n")[2])
    parser.add_argument("action", choices=["up", "down", "status"])
    parser.add_argument("--state", type=Path, default=DEFAULT_STATE, help="the folder for everything that it keeps")
    parser.add_argument(
        "--containerd",
        metavar="SOCKET",
        default=os.environ.get("MOORAGE_CONTAINERD", ""),
        help="use this containerd (default: MOORAGE_CONTAINERD, else one of its own)",
    )
    options = parser.parse_args(arguments)
    state = options.state.resolve()
    try:
        if options.action == "up":
            up(Session.open(state, kubeconfig=os.environ.get("KUBECONFIG", ""), containerd=options.containerd))
            return 0
        return demo_teardown.down(state) if options.action == "down" else status(state)
    except ToolError as error:
        print(f"error: {error}", file=sys.stderr)
        if options.action == "up":
            print(f"logs are below {state}; `make demo-down` removes what there is", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def up(session: Session) -> None:
    """Start everything that does not run yet, and show the example at work. The last line names the kubeconfig."""
    lab = session.lab()
    lab.start()
    lab.push_images()
    session.install_crds()
    session.start_moorage()
    kubectl = session.kubectl
    with step("kubectl apply the web example"):
        kubectl("apply", "--filename", "-", stdin=session.example())
    try:
        with step("kubectl wait --for=condition=Ready cw/web"):
            kubectl("wait", "--namespace", NAMESPACE, "--for=condition=Ready", "cw/web", "--timeout=60s", timeout=90)
    except ToolError as error:
        raise ToolError(f"{error}\n{session.explain()}") from error
    print(kubectl("get", "cw,ci,rn", "--namespace", NAMESPACE, "--output", "wide").stdout.rstrip())
    with step(f"fetch http://127.0.0.1:{session.page_port}/"):
        page = session.fetch_page()
    print("\n".join(f"    {line}" for line in page.splitlines() if line.startswith(("<h1", "<p"))))
    print(f"It keeps running in namespace {NAMESPACE}; `make demo-down` removes it.")
    print(f"KUBECONFIG={session.kubeconfig}")


def status(state: Path) -> int:
    """Print what there is of the demo; 1 when there is nothing."""
    found = sweep(state).describe()
    print("\n".join(found) if found else f"nothing is up in {state}")
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main())
