"""Short commands of the lab: clients that run, answer and end."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.build import BIN, OPTIONAL
from tools.lab.process import lab_environment
from tools.progress import ToolError


def tool(name: str) -> Path:
    """The path of a pinned tool.

    Raises:
        ToolError: when it has not been built.
    """
    path = BIN / name
    if not path.exists():
        how = f"python3 -m tools.build --with {name}" if name in OPTIONAL else "make tools"
        raise ToolError(f"{path} is missing: run `{how}` first")
    return path


def run(
    arguments: Sequence[str | Path], state: Path, *, stdin: str = "", timeout: float = 60.0, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a command for the lab in `state`, with its output captured as text.

    Args:
        arguments: the program and its arguments.
        state: the state folder it belongs to, so that it is ended with it.
        stdin: its input.
        timeout: seconds until it is killed.
        check: whether an exit code other than 0 is an error.

    Raises:
        ToolError: with what the command said, when it fails and `check` is set, or when it takes too long.
    """
    shown = " ".join(map(str, [Path(arguments[0]).name, *arguments[1:]]))
    try:
        done = subprocess.run(
            list(arguments),
            env=lab_environment(state),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        raise ToolError(f"`{shown}` takes more than {timeout:.0f} s") from exc
    if check and done.returncode != 0:
        raise ToolError(f"`{shown}` failed: {done.stderr.strip() or done.stdout.strip()}")
    return done


@dataclass(frozen=True)
class Kubectl:
    """kubectl with a kubeconfig; its cache stays in the state folder."""

    kubeconfig: Path
    state: Path

    def __call__(
        self, *arguments: str | Path, stdin: str = "", timeout: float = 60.0, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl; see `run`."""
        options: list[str | Path] = ["--kubeconfig", self.kubeconfig, "--cache-dir", self.state / "cache"]
        return run([tool("kubectl"), *options, *arguments], self.state, stdin=stdin, timeout=timeout, check=check)


@dataclass(frozen=True)
class Ctr:
    """containerd's own client with the address of a containerd."""

    address: str
    state: Path
    prefix: Sequence[str | Path] = ()
    """A command that runs others where the address is."""

    def __call__(
        self, *arguments: str, namespace: str = "default", timeout: float = 30.0, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run ctr in a containerd namespace; see `run`."""
        command, *rest = arguments
        if command == "run":  # keep its pipes out of /run/containerd, where nobody would remove them
            rest = ["--fifo-dir", str(self.state / "fifo"), *rest]
        options = ["--address", self.address, "--namespace", namespace]
        return run([*self.prefix, tool("ctr"), *options, command, *rest], self.state, timeout=timeout, check=check)
