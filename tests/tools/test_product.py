"""Moorage's image: made the same every time, and fit for an unprivileged user on a read-only root."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

import controller
from tools.images.product.wheels import runtime_pins
from tools.lab import Containerd
from tools.lab.process import ROOT

LOCK = """\
# made by a tool
app==1.0 \\
    --hash=sha256:aa \\
    --hash=sha256:ab
    # via moorage (pyproject.toml)
checker==2.0 \\
    --hash=sha256:bb
    # via moorage (pyproject.toml:dev)
deep==3.0 ; python_version < '4' \\
    --hash=sha256:cc
    # via
    #   checker
    #   helper
helper==4.0 \\
    --hash=sha256:dd
    # via app
linter==5.0 \\
    --hash=sha256:ee
    # via checker
"""

NAME = f"docker.io/library/moorage:{controller.__version__}"

LIMIT = 150_000_000
"""Bytes of all layers, compressed."""

IMPORTS = (
    "ssl, ctypes, sqlite3, zlib, lzma, bz2, readline, uuid, multiprocessing, kopf, kubernetes.aio, pydantic, aiohttp, yaml"
)
CHECK = f"""
import os, sys, {IMPORTS}
import controller.agent.operator, controller.manager.operator, controller.runtime.containerd.runtime
from importlib.metadata import version
assert ssl.create_default_context().cert_store_stats()["x509_ca"] > 100
assert yaml.__with_libyaml__
assert version("moorage") == controller.__version__
compiled = [(name, getattr(module, "__cached__", None)) for name, module in list(sys.modules.items())]
print(os.getuid(), [name for name, path in compiled if path and not os.path.exists(path)])
"""


def test_the_lock_gives_the_runtime_requirements_alone() -> None:
    """What Moorage and its requirements ask for is taken, with markers and hashes; what only development asks for is not."""
    pins = runtime_pins(LOCK)
    assert [pin.partition("==")[0] for pin in pins] == ["app", "deep", "helper"]
    assert pins[0] == "app==1.0 \\\n    --hash=sha256:aa \\\n    --hash=sha256:ab"
    assert pins[1].startswith("deep==3.0 ; python_version < '4' \\\n")


@pytest.mark.timeout(300)
def test_the_image_is_made_the_same_from_another_copy(product_image: Path, tmp_path: Path) -> None:
    """Another checkout, at another time, with another umask and nothing cached, gives the same archive to the last bit."""
    copy, archive = tmp_path / "copy", tmp_path / "image.tar"
    copy_sources(copy)
    kept = str(ROOT / ".image" / "wheels")  # each is used by its hash alone
    command = [sys.executable, "-m", "tools.images.product", "--no-cache", "--wheels", kept, "--output", str(archive)]
    built = subprocess.run(
        command,
        cwd=copy,
        env=os.environ | {"PYTHONPATH": str(copy)} | repository(),
        capture_output=True,
        text=True,
        umask=0o077,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    assert manifest(archive) == manifest(product_image)
    assert archive.read_bytes() == product_image.read_bytes()


def test_the_image_is_small_and_says_what_it_is(product_image: Path) -> None:
    """Three layers below the limit, the version in name and labels, an ordinary user by default; scanners find its packages."""
    layers = manifest(product_image)["layers"]
    config = json.loads(content(product_image, manifest(product_image)["config"]["digest"]))["config"]
    assert len(layers) == 3
    assert sum(layer["size"] for layer in layers) < LIMIT
    assert entry(product_image)["annotations"]["io.containerd.image.name"] == NAME
    assert config["Labels"]["org.opencontainers.image.version"] == controller.__version__
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["moorage"]


def test_the_image_runs_for_an_ordinary_user_on_a_read_only_root(product_image: Path, containerd: Containerd) -> None:
    """Both halves load all that they need, from bytecode that is in the image; the command answers and knows the kinds."""
    ctr = containerd.ctr
    ctr("images", "import", str(product_image))

    def run(*arguments: str) -> str:
        return ctr("run", "--rm", "--read-only", "--user", "65532:65532", NAME, f"image-{os.getpid()}", *arguments).stdout

    assert run("moorage", "--version").strip() == f"moorage {controller.__version__}"
    crds = run("moorage", "crds")
    assert len(re.findall(r"^kind: CustomResourceDefinition$", crds, re.MULTILINE)) == len(list((ROOT / "crds").glob("*.yaml")))
    user, missing = run("python3", "-c", CHECK).split(" ", 1)
    assert user == "65532"
    assert missing.strip() == "[]"


def test_nothing_in_the_image_gives_more_rights(product_image: Path) -> None:
    """No set-user-ID program, no file that others may write, no device, no shell."""
    for layer in manifest(product_image)["layers"]:
        with tarfile.open(fileobj=io.BytesIO(content(product_image, layer["digest"]))) as archive:
            for member in archive:
                assert member.isfile() or member.isdir() or member.issym(), member.name
                assert not member.mode & 0o6000, member.name
                assert member.issym() or not member.mode & 0o022 or member.name == "tmp", member.name
                assert (member.uid, member.gid, member.mtime) == (0, 0, 0), member.name
                assert member.name not in {"usr/bin/sh", "usr/bin/bash", "usr/bin/dash"}


def test_the_containerfile_copies_all_that_its_steps_need(tmp_path: Path) -> None:
    """The files that it copies, and that the ignore file lets through, suffice to tell the requirements and build the wheel."""
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(copied()) == let_through
    copy_sources(tmp_path)
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    for words in (["tools.images.product", "--requirements"], ["hatchling", "build", "--target", "wheel"]):
        done = subprocess.run(
            [sys.executable, "-m", *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert list((tmp_path / "dist").glob("moorage-*.whl"))


def copied() -> list[str]:
    """What the Containerfile copies to build from."""
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Containerfile").read_text(), re.MULTILINE)
    return " ".join(lines).split()


def copy_sources(folder: Path) -> None:
    """Copy what an image is built from, with times of now."""
    folder.mkdir(exist_ok=True)
    for name in copied():
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, folder / name, copy_function=shutil.copy, ignore=ignored)
        else:
            shutil.copy(ROOT / name, folder / name)


def repository() -> dict[str, str]:
    """The environment in which git answers for this checkout, from any folder; empty where it is no checkout of git."""
    asked = ["git", "-c", "safe.directory=*", "rev-parse", "--absolute-git-dir"]
    found = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    return {"GIT_DIR": found.stdout.strip()} if found.returncode == 0 else {}


def content(archive: Path, digest: str) -> bytes:
    """A blob of an archive in OCI layout."""
    with tarfile.open(archive) as opened:
        found = opened.extractfile(f"blobs/{digest.replace(':', '/')}")
        assert found is not None
        return found.read()


def entry(archive: Path) -> dict[str, Any]:
    """The one image that an archive lists."""
    with tarfile.open(archive) as opened:
        found = opened.extractfile("index.json")
        assert found is not None
        (only,) = json.load(found)["manifests"]
    return dict(only)


def manifest(archive: Path) -> dict[str, Any]:
    """Its manifest."""
    return dict(json.loads(content(archive, entry(archive)["digest"])))
