"""`python3 -m tools.lab up|down|status --state DIR`: real components in the background, for work by hand."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tools.lab.lab import Lab
from tools.lab.leftovers import sweep
from tools.lab.teardown import down
from tools.progress import ToolError, step


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python3 -m tools.lab",
        description="A control plane, containerd and a registry in a state folder; they run until they are taken down.",
    )
    parser.add_argument("action", choices=["up", "down", "status"])
    parser.add_argument("--state", type=Path, required=True, help="the folder for everything that they keep")
    options = parser.parse_args(arguments)
    actions = {"up": up, "down": remove, "status": status}
    try:
        return actions[options.action](options.state)
    except ToolError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def up(state: Path) -> int:
    """Start what does not run yet, and say where it is."""
    lab = Lab(state)
    lab.start()
    lab.push_images()
    _show(lab)
    return 0


def remove(state: Path) -> int:
    """Remove everything of the state folder; 1 when something resists, with a line for each."""
    if not sweep(state) and not state.exists():
        print(f"nothing is up in {state}")
        return 0
    with step(f"take down {state}"):
        left = down(state)
    for line in left.describe():
        print(f"left: {line}", file=sys.stderr)
    return 1 if left else 0


def status(state: Path) -> int:
    """Say what runs; 1 when not all of it does."""
    if not state.exists():
        print(f"nothing is up in {state}")
        return 1
    lab = Lab(state)
    for name, component in lab.components.items():
        print(f"{name:15} {'runs' if component.running else 'does not run'}")
    _show(lab)
    return 0 if all(component.running for component in lab.components.values()) else 1


def _show(lab: Lab) -> None:
    assert lab.containerd is not None
    assert lab.control_plane is not None
    print(f"registry        {lab.registry.host}")
    print(f"containerd      {lab.containerd.address}")
    print(f"kubeconfig      {lab.control_plane.kubeconfig}")


if __name__ == "__main__":
    sys.exit(main())
