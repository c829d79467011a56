"""The dependencies layer: the wheels that Moorage runs on, as `requirements.lock` names them, each by its hash.

pip fetches and verifies the wheels for the image's Python, whatever Python this machine has. To install them they are only
unpacked, so that nothing of this machine gets into the image.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
import sys
import zipfile
from pathlib import Path

from tools.images.layers import Entry, File, Layer, make_layer
from tools.images.product.cache import Cache, key_of
from tools.images.product.root import compile_python, read_tree, write_tree
from tools.progress import ToolError, step

SITE = "usr/local/lib/python3.11/dist-packages"
"""Where Debian's Python looks for what does not come from Debian."""

ROOT_PROJECT = "moorage (pyproject.toml)"
"""How the lock file names our own run-time requirements; those of development are `moorage (pyproject.toml:dev)`."""

GLIBC = 36
"""Debian bookworm has glibc 2.36, so wheels for any older one fit (PEP 600)."""

SECONDS = 600.0
CODE = [Path(__file__).resolve().with_name(name) for name in ("wheels.py", "root.py")]

UNUSED = re.compile(
    r"""
    kubernetes/client/api/                # the synchronous half of the client: Moorage and Kopf use the other one
    | kubernetes/(aio/)?(docs|e2e_test|test)/
    | .*/(testing|tests)/
    | .*\.(c|cpp|h|hpp|pyx|pxd|pxi|pyi)$  # sources of compiled modules, annotations for type checkers
    """,
    re.VERBOSE,
)
"""What is left out of the wheels, by path."""

RARE = r"/kubernetes/(aio/)?client/(api/|models/(?!__init__|v1_(managed_fields_entry|object_meta|owner_reference)\.))"
"""Modules without bytecode: thousands, of which a process loads a few."""


def dependencies_layer(lock: Path, base: Layer, root: Path, cache: Cache) -> Layer:
    """The layer of the run-time dependencies.

    Args:
        lock: requirements.lock.
        base: the layer below.
        root: a root file system with the base; the dependencies may be left in it.
        cache: wheels and layers of builds before.

    Raises:
        ToolError: when pip cannot get a wheel.
    """
    pins = runtime_pins(lock.read_text())
    key = key_of(base.diff_id.encode(), *(pin.encode() for pin in pins), *(path.read_bytes() for path in CODE))
    kept = cache.layer("dependencies", key)
    if kept is not None:
        return kept
    with step(f"dependencies: {len(pins)} wheels"):
        for wheel in fetch(pins, cache.wheels):
            write_tree(root, unpack_wheel(wheel))
    with step("dependencies: bytecode"):
        compile_python(root, f"/{SITE}", skip=RARE)
    with step("dependencies: layer"):
        layer = make_layer(read_tree(root, SITE))
    cache.keep("dependencies", key, layer)
    return layer


def fetch(pins: list[str], folder: Path) -> list[Path]:
    """The wheel of each requirement, in the order of their names; fetched are only those that the folder does not have."""
    hashes = {pin: set(re.findall(r"--hash=sha256:(\w+)", pin)) for pin in pins}
    folder.mkdir(parents=True, exist_ok=True)
    held = {hashlib.sha256(wheel.read_bytes()).hexdigest(): wheel for wheel in folder.glob("*.whl")}
    missing = [pin for pin, wanted in hashes.items() if not wanted & held.keys()]
    if missing:
        _download(missing, folder)
        held = {hashlib.sha256(wheel.read_bytes()).hexdigest(): wheel for wheel in folder.glob("*.whl")}
    return sorted(held[digest] for wanted in hashes.values() for digest in wanted & held.keys())


def runtime_pins(lock: str) -> list[str]:
    """The requirements of a lock file that Moorage runs on: its own, and whatever these need in turn.

    Each requirement is followed by comments that say who asked for it; those lead from our own requirements to all the others.
    """
    blocks = re.findall(r"^([^\s#=]+)==(.*?)(?=^[^\s]|\Z)", lock, re.MULTILINE | re.DOTALL)
    askers = {name: set(re.findall(r"^    #(?: via)? +(\S.*)$", text, re.MULTILINE)) for name, text in blocks}
    wanted = {ROOT_PROJECT}
    while more := {name for name, via in askers.items() if via & wanted} - wanted:
        wanted |= more
    return [f"{name}=={text.partition('    # via')[0].rstrip()}" for name, text in blocks if name in wanted]


def unpack_wheel(wheel: Path) -> dict[str, Entry]:
    """The files of a wheel by their path in the image.

    Raises:
        ToolError: when it would need more than unpacking.
    """
    tree: dict[str, Entry] = {}
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            scheme = re.match(r"[^/]+\.data/(\w+)/(.*)", info.filename)
            if scheme and scheme.group(1) not in {"purelib", "platlib"}:
                continue  # commands, headers and manual pages
            path = scheme.group(2) if scheme else info.filename
            if ".." in Path(path).parts or path.startswith("/"):
                raise ToolError(f"{wheel.name} reaches out of its folder with {path}")
            if not info.is_dir() and not UNUSED.match(path):
                tree[f"{SITE}/{path}"] = File(archive.read(info))
    return tree


def _download(pins: list[str], folder: Path) -> None:
    """Have pip fetch and verify wheels that fit the image's Python and machine."""
    requirements = folder / f".requirements.{os.getpid()}"
    requirements.write_text("\n".join(pins) + "\n")
    machine = platform.machine()
    tags = [f"manylinux_2_{minor}_{machine}" for minor in range(GLIBC, 4, -1)]
    tags += [f"manylinux{year}_{machine}" for year in ("2014", "2010", "1")]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--no-deps", "--require-hashes", "--only-binary=:all:", "--python-version=3.11", "--implementation=cp"]
    command += [*(f"--platform={tag}" for tag in tags), f"--dest={folder}", f"--requirement={requirements}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    finally:
        requirements.unlink()
    if done.returncode != 0:
        raise ToolError(f"pip cannot get the wheels:\n{done.stderr.strip()[-2000:]}")
