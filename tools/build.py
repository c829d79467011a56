"""Build the pinned tools into `.tools/bin`: `python3 -m tools.build [--with kubelet] [--only helm] [--list]`.

Each folder beside this file that holds a `go.mod` is one Go module of tools that belong together. Its `tool` directives
say which commands there are, its `require` lines pin their versions; `GROUPS` below adds only how they are compiled. A
tool is built when it is missing, or when its module or its flags changed since it was built. Needs nothing but Python's
standard library, since it runs before there is a virtual environment.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tools import host
from tools.progress import ToolError, step

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / ".tools"
BIN = OUT / "bin"
STAMPS = OUT / "stamps"
LOGS = OUT / "logs"

TAIL_LINES = 25
"""How much of go's output a failure shows."""


@dataclass(frozen=True)
class Group:
    """How the tools of one Go module are compiled."""

    folder: str
    module: str
    """The required module whose version is the version of the tools."""
    variables: tuple[str, ...] = ()
    """Go string variables set by the linker; `{version}` stands for the version with its `v`, `{bare}` for it without."""
    tags: tuple[str, ...] = ()
    cgo: bool = False
    makes: str = ""
    """Instead of commands: a file that `make.py` beside the go.mod puts together from what the modules hold."""


@dataclass(frozen=True)
class Tool:
    """One command to build, or one file to make."""

    name: str
    package: str
    version: str
    group: Group

    def command(self, target: Path) -> list[str]:
        """The command that builds the tool into `target`."""
        if self.group.makes:
            return ["python3", "make.py", str(target)]
        values = {"version": self.version, "bare": self.version.removeprefix("v")}
        linker = ["-s", "-w", *(f"-X {variable.format(**values)}" for variable in self.group.variables)]
        tags = ",".join(self.group.tags + EXTRA_TAGS.get(self.name, ()))
        flags = ["-mod=readonly", "-trimpath", "-buildvcs=false", f"-tags={tags}", f"-ldflags={' '.join(linker)}"]
        return ["go", "build", *flags, "-o", str(target), self.package]

    def fingerprint(self) -> str:
        """A hash over all that decides what the binary will be: the module's pins, its own sources if any, and the flags.

        A `tool` line of its own names another command and decides nothing about this one, so that a new tool does not have the
        others built again.
        """
        digest = hashlib.sha256()
        folder = HERE / self.group.folder
        for part in ("go.mod", "go.sum", *sorted(path.name for end in ("go", "py") for path in folder.glob(f"*.{end}"))):
            text = (folder / part).read_text()
            digest.update(re.sub(rf"^tool (?!\(|{re.escape(self.package)}$)\S+\n", "", text, flags=re.MULTILINE).encode())
        digest.update("\0".join([*self.command(Path(self.name)), str(self.group.cgo)]).encode())
        return digest.hexdigest()

    def is_current(self) -> bool:
        """True when the binary is there and was built from today's pins and flags."""
        stamp = STAMPS / self.name
        return (BIN / self.name).exists() and stamp.exists() and stamp.read_text() == self.fingerprint()


GROUPS = (
    Group("etcd", "go.etcd.io/etcd/server/v3"),
    Group(
        "containerd",
        "github.com/containerd/containerd/v2",
        variables=("github.com/containerd/containerd/v2/version.Version={version}",),
        tags=("no_btrfs", "no_devmapper", "no_zfs", "urfave_cli_no_docs"),
    ),
    Group("runc", "github.com/opencontainers/runc", tags=("seccomp", "urfave_cli_no_docs"), cgo=True),
    Group(
        "cni",
        "github.com/containernetworking/plugins",
        variables=("github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion={version}",),
    ),
    # A program of our own; its version is that of the parser in it.
    Group("promql", "github.com/prometheus/prometheus"),
    Group("helm", "helm.sh/helm/v3", variables=("helm.sh/helm/v3/internal/version.version={version}",)),
    # Helm 4 waits otherwise than Helm 3 does, so both are there.
    Group("helm4", "helm.sh/helm/v4", variables=("helm.sh/helm/v4/internal/version.version={version}",)),
    # A program of our own; its version is that of the library that it asks.
    Group("kstatus", "sigs.k8s.io/cli-utils"),
    # The definitions of Flux and Argo CD, which the examples for them are held against.
    Group("gitops", "github.com/argoproj/argo-cd/v3", makes="gitops-definitions.yaml"),
    Group(
        "kubernetes",
        "k8s.io/kubernetes",
        # Without these kubectl and the API server report v0.0.0-master, which Helm and others refuse to parse.
        variables=(
            "k8s.io/component-base/version.gitVersion={version}",
            "k8s.io/client-go/pkg/version.gitVersion={version}",
        ),
    ),
)

EXTRA_TAGS = {"containerd-shim-runc-v2": ("no_grpc",)}
"""The shim speaks ttrpc only; containerd's own releases leave gRPC out of it too, which saves memory in every shim."""

NAMES = {"go.etcd.io/etcd/server/v3": "etcd", "helm.sh/helm/v4/cmd/helm": "helm4"}
"""Commands whose import path does not end in the name that people know."""

OPTIONAL = frozenset({"kubelet", "kube-scheduler"})
"""Pinned with the others, but built only when asked for: only the tests of the installation and comparisons need them."""


def read_tools(group: Group) -> list[Tool]:
    """The tools which the go.mod of `group` declares, in its order."""
    text = (HERE / group.folder / "go.mod").read_text()
    pin = re.search(rf"^\s*(?:require )?{re.escape(group.module)} (v\S+)", text, re.MULTILINE)
    if pin is None:
        raise ToolError(f"tools/{group.folder}/go.mod does not require {group.module}")
    if group.makes:
        return [Tool(group.makes, group.module, pin.group(1), group)]
    block = re.search(r"^tool \(\n(.*?)^\)", text, re.MULTILINE | re.DOTALL)
    packages = [*(block.group(1).split() if block else ()), *re.findall(r"^tool ([^(\s]\S*)$", text, re.MULTILINE)]
    return [Tool(NAMES.get(package, package.rsplit("/", 1)[-1]), package, pin.group(1), group) for package in packages]


def all_tools() -> list[Tool]:
    """Every pinned tool, the optional ones too, quick builds first."""
    return [tool for group in GROUPS for tool in read_tools(group)]


def build(tool: Tool) -> None:
    """Build one tool and put it into place in one move, so that nobody ever sees half a binary.

    Raises:
        ToolError: with the tail of go's output; the whole of it stays in `.tools/logs`.
    """
    unfinished = BIN / f".{tool.name}.{os.getpid()}"
    log = LOGS / f"{tool.name}.log"
    environment = os.environ | {"CGO_ENABLED": "1" if tool.group.cgo else "0", "GOWORK": "off"}
    try:
        with log.open("wb") as output:
            done = subprocess.run(
                ["nice", *tool.command(unfinished)],
                cwd=HERE / tool.group.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if done.returncode != 0:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-TAIL_LINES:])
            raise ToolError(f"go could not build {tool.name} {tool.version} (all of its output: {log}):\n{tail}")
        unfinished.replace(BIN / tool.name)
        (STAMPS / tool.name).write_text(tool.fingerprint())
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def one_at_a_time() -> Iterator[IO[str]]:
    """Hold the build lock, so that two make runs in one checkout do not build the same tool twice."""
    with (OUT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock


def main(arguments: list[str] | None = None) -> int:
    """Bring `.tools/bin` up to date; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.build", description="Build the pinned tools into .tools/bin.")
    parser.add_argument(
        "--with", dest="extra", action="append", default=[], choices=sorted(OPTIONAL), help="also build this one"
    )
    parser.add_argument(
        "--list", action="store_true", help="only list the tools, their versions and whether they are up to date"
    )
    parser.add_argument("--only", action="append", default=[], metavar="TOOL", help="build this one, and no others but such")
    parser.add_argument("--quiet", action="store_true", help="say nothing when there is nothing to do")
    options = parser.parse_args(arguments)
    tools = all_tools()
    if unknown := set(options.only) - {tool.name for tool in tools}:
        parser.error(f"no such tool: {', '.join(sorted(unknown))} (--list shows them)")
    if options.list:
        for tool in tools:
            print(f"{tool.name:25} {tool.version:10} {'up to date' if tool.is_current() else 'to build'}")
        return 0
    for folder in (BIN, STAMPS, LOGS):
        folder.mkdir(parents=True, exist_ok=True)
    wanted = [tool for tool in tools if _is_wanted(tool.name, options.only, options.extra)]
    try:
        host.prepare()
        with one_at_a_time():
            stale = [tool for tool in wanted if not tool.is_current()]
            for tool in stale:
                with step(f"build {tool.name} {tool.version}"):
                    build(tool)
    except ToolError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if stale or not options.quiet:
        print(f"tools: {len(wanted)} in {BIN}, {len(stale)} of them built now")
    return 0


def _is_wanted(name: str, only: list[str], extra: list[str]) -> bool:
    if only:
        return name in only
    return name not in OPTIONAL or name in extra


if __name__ == "__main__":
    sys.exit(main())
