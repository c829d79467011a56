"""Images of every format that is in use, by several makers: what a container sees is what was put into them."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from controller.runtime.port import ImageFailure, ImageFiles
from tests.contract.containerd_subject import ContainerdSubject
from tests.contract.formats.layout import EMPTY, MACHINE, archive, image, index, push
from tests.contract.formats.tools import Buildah, Umoci, run, skopeo
from tests.contract.formats.tree import Entry, above, below, listing
from tools.lab import Fault, FaultyRegistry, Registry

OWN = {"os": "linux", "architecture": MACHINE}
FOREIGN = {"os": "linux", "architecture": "mips64le"}
NONE = {"os": "unknown", "architecture": "unknown"}
HISTORY: list[dict[str, Any]] = [
    {"created_by": "below"},
    {"created_by": "a setting", "empty_layer": True},
    {"created_by": "above"},
]

SUFFIXES = {"gzip": ".gz", "zstd": ".zst"}

CHANGED = ("changed", "replaced", "replaced/new", "was-file", "was-file/file", "was-folder")
HIDDEN = (".wh.gone", ".wh.gone-folder", "replaced/.wh..wh..opq")


@dataclass(frozen=True)
class Bench:
    """Where images are made."""

    host: str
    """The registry that they are pushed to."""
    folder: Path
    tree: Path
    """The tree as it is to come out."""
    layers: tuple[bytes, bytes]
    """The same as two layers of our own making."""
    umoci: Umoci
    inserted: str
    """The tree by umoci; as skopeo names it."""
    buildah: Buildah

    def ours(self, name: str, kind: str, compression: str, *layers: bytes, history: bool = False) -> str:
        """Push an image of our own making."""
        blobs = image(layers or self.layers, kind, compression, history=HISTORY if history else None)
        push(self.host, f"formats/{name}", blobs, "1")
        return f"{self.host}/formats/{name}:1"

    def ours_indexed(self, name: str, kind: str) -> str:
        """Push one of several platforms, with an attestation as builders add it."""
        mine, other = image(self.layers, kind, "gzip"), image([EMPTY], kind, "gzip")
        attestation = image([archive(self.tree, ["data/kept"])], kind, "gzip", os_="unknown")
        for blobs in (mine, other, attestation):
            push(self.host, f"formats/{name}", blobs)
        entries = [(attestation[-1], NONE), (other[-1], FOREIGN), (mine[-1], OWN)]
        push(self.host, f"formats/{name}", [index(entries, kind)], "1")
        return f"{self.host}/formats/{name}:1"

    def copied(self, name: str, source: str, *options: str) -> str:
        """Push by skopeo."""
        skopeo(source, f"docker://{self.host}/formats/{name}:1", *options)
        return f"{self.host}/formats/{name}:1"

    def repacked(self, name: str, source: str, *options: str) -> str:
        """Push by skopeo what it has packed otherwise, in a folder first."""
        skopeo(source, f"dir:{self.folder / name}", *options)
        return self.copied(name, f"dir:{self.folder / name}", "--preserve-digests")

    def built(self, name: str, made: str, *options: str) -> str:
        """Push by buildah."""
        self.buildah.push(made, f"docker://{self.host}/formats/{name}:1", *options)
        return f"{self.host}/formats/{name}:1"

    def archived(self, name: str, kind: str) -> str:
        """Write by skopeo."""
        path = self.folder / f"skopeo-{name}.tar"
        skopeo(self.inserted, f"{kind}:{path}:formats/{name}:1")
        return str(path)

    def stored(self, made: str, kind: str) -> str:
        """Write by buildah."""
        path = self.folder / f"buildah-{made}.{kind}.tar"
        self.buildah.push(made, f"{kind}:{path}:formats/{made}:1")
        return str(path)

    def packed(self, path: str, program: str) -> str:
        """Pack a file by a program that writes beside it."""
        subprocess.run([program, "-q", "-f", "-k", path], check=True, timeout=60)
        return f"{path}{SUFFIXES[program]}"

    def listed(self, name: str, made: str, kind: str) -> str:
        """Push a list by buildah."""
        target = f"{self.host}/formats/{name}:1"
        self.buildah.push_list(made, target, kind)
        return target


@pytest.fixture(scope="module")
def bench(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """With both layers made, and the tools' own stores."""
    folder = tmp_path_factory.mktemp("formats")
    tree = folder / "tree"
    tree.mkdir()
    below(tree)
    first = archive(tree, sorted(str(path.relative_to(tree)) for path in tree.rglob("*")))
    above(tree)
    second = archive(tree, [f"data/{name}" for name in CHANGED], [f"data/{name}" for name in HIDDEN])
    umoci, buildah = Umoci(folder / "layout"), Buildah(folder / "storage")
    buildah.layered()
    return Bench(registry.host, folder, tree, (first, second), umoci, f"oci:{umoci.inserted(tree)}", buildah)


@pytest.fixture(scope="module")
def expected(bench: Bench) -> dict[str, Entry]:
    """What every one of them is to contain."""
    return listing(bench.tree)


MADE: dict[str, Callable[[Bench], str]] = {
    "OCI, gzip": lambda b: b.ours("oci-gzip", "oci", "gzip"),
    "OCI, zstd": lambda b: b.ours("oci-zstd", "oci", "zstd"),
    "OCI, not compressed": lambda b: b.ours("oci-plain", "oci", ""),
    "OCI, with history": lambda b: b.ours("oci-history", "oci", "gzip", history=True),
    "OCI, empty layers between, one of them twice": lambda b: b.ours(
        "oci-empty", "oci", "gzip", EMPTY, b.layers[0], EMPTY, b.layers[1], EMPTY
    ),
    "OCI index with other platforms and an attestation": lambda b: b.ours_indexed("oci-index", "oci"),
    "Docker schema 2, gzip": lambda b: b.ours("docker-gzip", "docker", "gzip"),
    "Docker schema 2, zstd": lambda b: b.ours("docker-zstd", "docker", "zstd"),
    "Docker schema 2, not compressed": lambda b: b.ours("docker-plain", "docker", ""),
    "Docker manifest list": lambda b: b.ours_indexed("docker-list", "docker"),
    "umoci insert, a layer for each change": lambda b: b.copied("umoci-insert", b.inserted),
    "umoci, by skopeo to Docker schema 2": lambda b: b.copied("skopeo-docker", b.inserted, "--format", "v2s2"),
    "umoci, by skopeo to zstd": lambda b: b.repacked(
        "skopeo-zstd", b.inserted, "--dest-compress", "--dest-compress-format", "zstd"
    ),
    "umoci, by skopeo not compressed": lambda b: b.repacked("skopeo-plain", b.inserted, "--dest-decompress"),
    "buildah, OCI": lambda b: b.built("buildah-oci", "oci"),
    "buildah, Docker schema 2": lambda b: b.built("buildah-docker", "docker", "--format", "v2s2"),
    "buildah, OCI index": lambda b: b.listed("buildah-index", "oci", "oci"),
    "buildah, Docker manifest list": lambda b: b.listed("buildah-list", "docker", "v2s2"),
}
"""Makers by what they make; each pushes it, and tells where."""


@pytest.mark.parametrize("name", MADE)
async def test_a_pulled_image_has_what_was_put_into_it(
    real: ContainerdSubject, bench: Bench, expected: dict[str, Entry], tmp_path: Path, name: str
) -> None:
    """Every file with its kind, mode, owner, content, links, attributes and time; nothing that was removed; and it runs."""
    reference = MADE[name](bench)
    pulled = await real.runtime.pull(reference)
    assert pulled.config.cmd == ("sh",)
    await same_files(real, reference, expected, tmp_path)


async def test_umoci_repack_makes_a_layer_for_each_step(real: ContainerdSubject, bench: Bench, tmp_path: Path) -> None:
    """With a whiteout for each file that is gone, also of folders that are."""
    reference = bench.copied("umoci-repack", f"oci:{bench.umoci.repacked('repacked', file_for_folder=False)}")
    tree = tmp_path / "tree"
    tree.mkdir()
    below(tree)
    above(tree, file_for_folder=False)
    await real.runtime.pull(reference)
    await same_files(real, reference, listing(tree), tmp_path)


async def test_a_layer_that_contradicts_itself_is_told(real: ContainerdSubject, bench: Bench) -> None:
    """Of a folder that became a file, umoci 0.4 hides what was in it, too: containerd cannot unpack that."""
    reference = bench.copied("umoci-swap", f"oci:{bench.umoci.repacked('swapped', file_for_folder=True)}")
    try:
        with pytest.raises(ImageFailure, match="hides files below what is a file in it") as told:
            await real.runtime.pull(reference)
        assert reference in str(told.value)
        assert await real.runtime.images() == ()
    finally:
        await real.runtime._puller._kept.release(reference)


ARCHIVED: dict[str, Callable[[Bench], str]] = {
    "skopeo, docker-archive": lambda b: b.archived("docker", "docker-archive"),
    "skopeo, OCI archive": lambda b: b.archived("oci", "oci-archive"),
    "buildah, docker-archive": lambda b: b.stored("docker", "docker-archive"),
    "buildah, OCI archive": lambda b: b.stored("oci", "oci-archive"),
    "docker-archive, packed by gzip": lambda b: b.packed(b.archived("gzip", "docker-archive"), "gzip"),
    "OCI archive, packed by zstd": lambda b: b.packed(b.archived("zstd", "oci-archive"), "zstd"),
}
"""Makers of archives by what they make; each tells which file it wrote."""


@pytest.mark.parametrize("name", ARCHIVED)
async def test_an_imported_image_has_what_was_put_into_it(
    real: ContainerdSubject, bench: Bench, expected: dict[str, Entry], tmp_path: Path, name: str
) -> None:
    """As one that was pulled."""
    (imported,) = await real.runtime.import_images(ARCHIVED[name](bench), name="formats.test/imported:1")
    assert imported.name == "formats.test/imported:1"
    await same_files(real, imported.name, expected, tmp_path)


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
async def test_an_exported_image_is_read_by_others(
    real: ContainerdSubject, bench: Bench, expected: dict[str, Entry], tmp_path: Path, kind: str
) -> None:
    """Skopeo takes the archive for either kind, and umoci unpacks what was put into it."""
    reference = MADE["buildah, OCI"](bench)
    await real.runtime.pull(reference)
    await real.runtime.export_images([reference], str(tmp_path / "exported.tar"))
    named = f":{reference}" if kind == "docker-archive" else ""
    skopeo(f"{kind}:{tmp_path / 'exported.tar'}{named}", f"oci:{tmp_path / 'layout'}:1")
    run("umoci", "unpack", "--image", f"{tmp_path / 'layout'}:1", tmp_path / "bundle")
    assert listing(tmp_path / "bundle" / "rootfs") == expected


async def same_files(real: ContainerdSubject, reference: str, expected: dict[str, Entry], folder: Path) -> None:
    """Hold an image to what it is to contain: as a volume, and as what a container sees."""
    files = await real.runtime.hold_image("formats", reference)
    try:
        with mounted(files, folder / "mounted") as root:
            found = listing(root)
    finally:
        await real.runtime.release_image("formats")
    assert {path: (found.get(path), entry) for path, entry in expected.items() if found.get(path) != entry} == {}
    assert found.keys() - expected.keys() == set()
    state = await real.run("/bin/busybox", "cat", "/data/changed", "/data/replaced/new", image=reference)
    await real.ended(state.id)
    assert real.log(state.id) == "after\nnew\n"


@contextmanager
def mounted(files: ImageFiles, folder: Path) -> Iterator[Path]:
    """Mount the files of an image, read-only."""
    folder.mkdir()
    options = ",".join(["ro", *files.options])
    kind = ["--bind"] if files.type == "bind" else ["-t", files.type]
    subprocess.run(["mount", *kind, "-o", options, files.source, folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("told", ["with its digest", "without"])
async def test_docker_schema_1_is_refused_by_name(real: ContainerdSubject, bench: Bench, registry: Registry, told: str) -> None:
    """Whoever meets one is told what it is and what to do, also where the registry sends no digest of it."""
    folder = bench.folder / f"schema 1 {told}"
    skopeo(bench.inserted, f"dir:{folder}", "--format", "v2s1")
    manifest = (folder / "manifest.json").read_bytes()
    assert json.loads(manifest)["schemaVersion"] == 1
    headers = {"Content-Type": "application/vnd.docker.distribution.manifest.v1+prettyjws"}
    if told == "with its digest":
        headers["Docker-Content-Digest"] = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
    with FaultyRegistry(registry.host) as faulty:
        faulty.faults = [Fault("/manifests/", status=200, headers=headers, body=manifest)]
        with pytest.raises(ImageFailure, match="Docker schema 1, which is not supported: have it built or pushed anew"):
            await real.runtime.pull(f"{faulty.host}/formats/old:1")
