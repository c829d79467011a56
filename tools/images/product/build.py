"""Put the image together: the layer of Moorage itself, the configuration, and the archive."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tools.images.image import Image
from tools.images.layers import Entry, File, Layer, make_layer
from tools.images.product.base import base_layer
from tools.images.product.cache import Cache
from tools.images.product.root import compile_python, read_tree, unpack, write_tree
from tools.images.product.wheels import SITE, dependencies_layer, unpack_wheel
from tools.progress import ToolError, step

SECONDS = 120.0
LOCK = "requirements.lock"
LAYERS = ("base", "dependencies", "moorage")

COMMAND = """\
#!/usr/bin/python3.11 -IB
import sys

from controller.cli import main

sys.exit(main())
"""
"""`/usr/bin/moorage`: isolated from variables and folders that could bring in other code, and writing no bytecode."""


@dataclass(frozen=True)
class Source:
    """A checkout, and what is known of the commit that it stands at."""

    folder: Path

    @property
    def version(self) -> str:
        """The version of the package."""
        text = (self.folder / "controller" / "__init__.py").read_text()
        found = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
        if found is None:
            raise ToolError("controller/__init__.py does not set __version__")
        return found.group(1)

    @property
    def revision(self) -> str:
        """The commit; empty outside of a repository."""
        return self._git("rev-parse", "HEAD")

    @property
    def created(self) -> datetime:
        """The time of the commit: SOURCE_DATE_EPOCH where that is set, else git's; the epoch outside of a repository."""
        seconds = os.environ.get("SOURCE_DATE_EPOCH") or self._git("log", "-1", "--format=%ct") or "0"
        return datetime.fromtimestamp(int(seconds), UTC)

    def _git(self, *arguments: str) -> str:
        try:
            done = subprocess.run(
                # Nothing is run from the checkout, so it may belong to another user, as it does where root builds.
                ["git", "-c", "safe.directory=*", "-C", self.folder, *arguments],
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )
        except FileNotFoundError:
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""


def build(source: Source, cache: Cache) -> Image:
    """Build the image.

    Args:
        source: the checkout to build from.
        cache: what may be used again.

    Raises:
        ToolError: when a step fails, with what its tool said.
    """
    with tempfile.TemporaryDirectory(prefix="moorage-image-") as folder, _umask(0o022):
        scratch = Path(folder)
        base = base_layer(scratch, cache)
        root = scratch / "root"
        root.mkdir()
        unpack(base, root)
        dependencies = dependencies_layer(source.folder / LOCK, base, root, cache)
        moorage = _moorage_layer(source, root, scratch)
    return Image("moorage", source.version, [base, dependencies, moorage], _configuration(source), created=source.created)


@contextmanager
def _umask(mask: int) -> Iterator[None]:
    """Have new folders get the same mode for everyone who builds."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def _configuration(source: Source) -> dict[str, object]:
    return {
        "Entrypoint": ["moorage"],
        "Cmd": ["--help"],
        "User": "65532:65532",
        "WorkingDir": "/",
        "Env": [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG=C.UTF-8",
            "PYTHONDONTWRITEBYTECODE=1",
            "PYTHONUNBUFFERED=1",
        ],
        "Labels": {
            "org.opencontainers.image.title": "moorage",
            "org.opencontainers.image.description": "Declarative containers on plain nodes: manager and agent of Moorage",
            "org.opencontainers.image.licenses": "Apache-2.0",
            "org.opencontainers.image.version": source.version,
            "org.opencontainers.image.created": f"{source.created:%Y-%m-%dT%H:%M:%SZ}",
        }
        | ({"org.opencontainers.image.revision": source.revision} if source.revision else {}),
    }


def _moorage_layer(source: Source, root: Path, scratch: Path) -> Layer:
    """The layer of our own wheel and the command that starts it; only what it adds to the root file system."""
    with step("moorage: wheel, bytecode and layer"):
        tree: dict[str, Entry] = {
            **unpack_wheel(_wheel(source, scratch / "wheel")),
            "usr/bin/moorage": File(COMMAND.encode(), 0o755),
        }
        write_tree(root, tree)
        compile_python(root, f"/{SITE}/controller")
        return make_layer(tree | read_tree(root, f"{SITE}/controller"))


def _wheel(source: Source, folder: Path) -> Path:
    """Build the wheel of the checkout; hatchling gives every file in it the same time."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    done = subprocess.run(command, cwd=source.folder, capture_output=True, text=True, timeout=SECONDS, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        raise ToolError(f"hatchling cannot build the wheel:\n{(done.stdout + done.stderr).strip()[-2000:]}")
    return wheels[0]
