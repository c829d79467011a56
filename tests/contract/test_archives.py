"""Archives of images: brought in, written, and what is wrong with them."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from controller.runtime.containerd.runtime import ContainerdRuntime
from controller.runtime.port import (
    DiskFull,
    EventKind,
    ImageConfig,
    ImageDamaged,
    ImageFailure,
    InvalidReference,
    NotFound,
    PlatformMissing,
    PullProgress,
    PullStalled,
)
from tests.archives import Files, blob_path, docker, index, layout, nested, packed, tar
from tests.contract.containerd_subject import ContainerdSubject
from tests.contract.subject import Subject
from tools.images import Format, Image, make_layer
from tools.images.layers import File
from tools.lab.command import tool

NAME = "io.containerd.image.name"
REF = "org.opencontainers.image.ref.name"
WEB = "example.com/shop/web:1"


def made(text: str = "one", format: Format = Format.OCI) -> Image:  # noqa: A002 - as Image calls it
    """A small image of two layers."""
    layers = [make_layer({"below": File(b"below")}), make_layer({"file": File(text.encode())})]
    return Image("web", "1", layers, {"Cmd": ["sh"], "Env": ["A=b"], "WorkingDir": "/w", "User": "7"}, format)


ONE, TWO = made(), made("two")
OWN = {"os": "linux", "architecture": json.loads(ONE.configuration.data)["architecture"]}

ARCHIVES: dict[str, tuple[Files, list[str]]] = {
    "of docker save": (docker((ONE, ["web:1"])), ["docker.io/library/web:1"]),
    "of docker save with two names": (docker((ONE, ["web:1", WEB])), ["docker.io/library/web:1", WEB]),
    "of two images": (docker((ONE, ["a:1"]), (TWO, ["b:1"])), ["docker.io/library/a:1", "docker.io/library/b:1"]),
    "a layout by containerd's name": (layout((ONE, {NAME: WEB, REF: "1"})), [WEB]),
    "a layout by the specification's name": (layout((ONE, {REF: "shop/web:2"})), ["docker.io/shop/web:2"]),
    "a layout with a manifest of Docker": (layout((made(format=Format.DOCKER), {NAME: WEB})), [WEB]),
    "a layout of a build for several platforms": (
        nested(
            layout((ONE, {}), platform={"os": "linux", "architecture": json.loads(ONE.configuration.data)["architecture"]}),
            {NAME: WEB},
        ),
        [WEB],
    ),
}


@pytest.mark.parametrize("case", ARCHIVES)
async def test_an_archive_is_brought_in(subject: Subject, tmp_path: Path, case: str) -> None:
    """Its images have the names that it says, and can be run: they are complete, and listed."""
    files, names = ARCHIVES[case]
    images = await subject.runtime.import_images(packed(tmp_path / "a.tar", tar(files)))
    assert [image.name for image in images] == names
    for image in images:
        assert image == await subject.runtime.image(image.name)
        assert image.config == ImageConfig(cmd=("sh",), env=("A=b",), working_dir="/w", user="7")
        assert image.platform.startswith("linux/")
        assert len(image.layers) == 2
        assert image.size > 0
    assert {image.name for image in await subject.runtime.images()} == set(names)
    assert {name.name for name in await subject.runtime.image_names()} == set(names)


async def test_a_packed_archive_is_brought_in(subject: Subject, tmp_path: Path) -> None:
    """By gzip here; the progress is that of the file."""
    path = packed(tmp_path / "a.tar.gz", tar(docker((ONE, ["web:1"]))), "gzip")
    told: list[PullProgress] = []
    async with subject.watch() as watch:
        await subject.runtime.import_images(path, progress=told.append)
        name = "docker.io/library/web:1"
        await watch.until(lambda event: event.kind is EventKind.IMAGE_CHANGED and event.image == name)
    assert told[-1].bytes_done == told[-1].bytes_total == Path(path).stat().st_size


async def test_a_name_of_ones_own(subject: Subject, tmp_path: Path) -> None:
    """In place of what the archive says, be that nothing, a tag alone, or several names."""
    for number, files in enumerate(
        (docker((ONE, [])), layout((ONE, {REF: "latest"})), layout((ONE, {})), docker((ONE, ["a:1", "b:1"])))
    ):
        path = packed(tmp_path / f"{number}.tar", tar(files))
        (image,) = await subject.runtime.import_images(path, name=f"example.com/own:{number}")
        assert image.name == f"example.com/own:{number}"
    assert {image.name for image in await subject.runtime.images()} == {f"example.com/own:{n}" for n in range(4)}


async def test_an_import_may_be_repeated_and_moves_names(subject: Subject, tmp_path: Path) -> None:
    """The same archive changes nothing; another one lets the name mean another image."""
    first = packed(tmp_path / "a.tar", tar(layout((ONE, {NAME: WEB}))))
    other = packed(tmp_path / "b.tar", tar(layout((TWO, {NAME: WEB}))))
    (image,) = await subject.runtime.import_images(first)
    assert await subject.runtime.import_images(first) == (replace(image, since=(await subject.runtime.image(WEB)).since),)
    (moved,) = await subject.runtime.import_images(other)
    assert moved.digest != image.digest
    assert (await subject.runtime.image(WEB)).digest == moved.digest


def _without(files: Files, digest: str) -> Files:
    return {name: data for name, data in files.items() if name != blob_path(digest)}


def _foreign(files: Files) -> Files:
    entries = json.loads(files["index.json"])["manifests"]
    platform = {"os": "linux", "architecture": "mips64le"}
    return files | {"index.json": index([{**entry, "platform": platform} for entry in entries])}


def _config_for(architecture: str) -> Files:
    image = ONE
    document = json.loads(image.configuration.data) | {"architecture": architecture}
    files = docker((image, ["web:1"]))
    (name,) = [name for name in files if name.endswith(".json") and name != "manifest.json"]
    return files | {name: json.dumps(document).encode()}


_LAYOUT = layout((ONE, {NAME: WEB}))
_LAYER = ONE.layers[1].blob.digest

WRONG: dict[str, tuple[Callable[[], bytes], type[ImageFailure], str]] = {
    "no tar file": (lambda: b"Not an archive. " * 100, ImageFailure, "is no tar file"),
    "an empty file": (lambda: b"", ImageFailure, "tar file"),
    "a tar file of something else": (lambda: tar({"README": b"hello"}), ImageFailure, "no archive of images"),
    "cut off": (lambda: tar(_LAYOUT | {"blobs/big": os.urandom(50_000)})[:-40_000], ImageFailure, "ends in its middle"),
    "of an old Docker": (
        lambda: tar({"repositories": b"{}", "abc/VERSION": b"1.0", "abc/json": b"{}", "abc/layer.tar": tar({})}),
        ImageFailure,
        "Docker before 1.10",
    ),
    "a manifest of schema 1": (
        lambda: tar(
            _LAYOUT
            | {
                "index.json": index(
                    [
                        {
                            "mediaType": "application/vnd.docker.distribution.manifest.v1+prettyjws",
                            "digest": ONE.manifest.digest,
                            "size": len(ONE.manifest.data),
                            "annotations": {NAME: WEB},
                        }
                    ]
                )
            }
        ),
        ImageFailure,
        "schema 1",
    ),
    "without a layer": (lambda: tar(_without(_LAYOUT, _LAYER)), ImageDamaged, "lacks a part of an image"),
    "with a layer that is not what its digest says": (
        lambda: tar(_LAYOUT | {blob_path(_LAYER): b"x" + ONE.layers[1].blob.data[1:]}),
        ImageDamaged,
        "not what its digest says",
    ),
    "without its index": (lambda: tar({n: d for n, d in _LAYOUT.items() if n != "index.json"}), ImageDamaged, "index.json"),
    "for other machines, as its index says": (lambda: tar(_foreign(_LAYOUT)), PlatformMissing, "platform linux/"),
    "for other machines, as its config says": (lambda: tar(_config_for("mips64le")), PlatformMissing, "mips64le"),
    "without a name": (lambda: tar(layout((ONE, {REF: "latest"}))), ImageFailure, "give it a name"),
    "with one image without a name": (lambda: tar(docker((ONE, ["a:1"]), (TWO, []))), ImageFailure, "one of its images"),
    "with a name that is none": (lambda: tar(layout((ONE, {NAME: "No: Name"}))), InvalidReference, "No: Name"),
    "of nothing": (lambda: tar({"oci-layout": _LAYOUT["oci-layout"], "index.json": index([])}), ImageFailure, "no image"),
}


@pytest.mark.parametrize("case", WRONG)
async def test_what_is_wrong_is_told_and_leaves_nothing(subject: Subject, tmp_path: Path, case: str) -> None:
    """With the file's name and the cause; no name and no part of an image has come of it."""
    make, kind, words = WRONG[case]
    path = packed(tmp_path / "wrong.tar", make())
    with pytest.raises(ImageFailure) as told:
        await subject.runtime.import_images(path)
    assert type(told.value) is kind
    assert words in str(told.value)
    assert path in str(told.value)
    assert await subject.runtime.image_names() == ()
    (image,) = await subject.runtime.import_images(packed(tmp_path / "right.tar", tar(_LAYOUT)))
    assert image.name == WEB


async def test_one_name_is_not_enough_for_several_images(subject: Subject, tmp_path: Path) -> None:
    """They are named."""
    path = packed(tmp_path / "a.tar", tar(docker((ONE, ["a:1"]), (TWO, ["b:1"]))))
    with pytest.raises(ImageFailure, match=r"holds 2 images.*library/a:1, .*library/b:1"):
        await subject.runtime.import_images(path, name=WEB)
    assert await subject.runtime.image_names() == ()


async def test_a_file_that_is_not_there(subject: Subject, tmp_path: Path) -> None:
    """Told in the system's words; nor is a folder one, or a pipe, for which nobody waits."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "absent.tar", tmp_path, tmp_path / "pipe"):
        with pytest.raises(ImageFailure, match=f"archive {path} cannot be read: "):
            await subject.runtime.import_images(str(path))
    with pytest.raises(InvalidReference):
        await subject.runtime.import_images(str(tmp_path / "absent.tar"), name="Not A Reference")


async def test_what_is_written_is_brought_in_elsewhere(subject: Subject, tmp_path: Path) -> None:
    """By the same names, to be run in the same way."""
    path = str(tmp_path / "out.tar")
    user = await subject.runtime.pull(subject.ref("user:1"))
    await subject.pull("busybox:1")
    await subject.runtime.tag(subject.ref("user:1"), WEB)
    await subject.runtime.export_images([subject.ref("user:1"), WEB, subject.ref("busybox:1"), WEB], path)
    names = {subject.ref("user:1"), WEB, subject.ref("busybox:1")}
    for name in names:
        await subject.runtime.remove_image(name)
    found = {image.name: image for image in await subject.runtime.import_images(path)}
    assert found.keys() == names
    assert found[WEB].config == user.config
    assert found[WEB].platform == user.platform
    assert found[WEB].created_at == user.created_at
    assert found[WEB].digest == found[subject.ref("user:1")].digest != found[subject.ref("busybox:1")].digest


async def test_the_same_images_make_the_same_file(subject: Subject, tmp_path: Path) -> None:
    """It replaces what was there, and nothing lies beside it."""
    await subject.pull("busybox:1")
    path = tmp_path / "out.tar"
    path.write_text("what was there")
    await subject.runtime.export_images([subject.ref("busybox:1")], str(path))
    first = path.read_bytes()
    await subject.runtime.export_images([subject.ref("busybox:1")], str(path))
    assert path.read_bytes() == first
    assert [found.name for found in tmp_path.glob("*out*")] + [found.name for found in tmp_path.glob(".*out*")] == ["out.tar"]


async def test_what_cannot_be_written(subject: Subject, tmp_path: Path) -> None:
    """No image, no folder, no name: told, and no file is there, not even half of one."""
    path = tmp_path / "out.tar"
    with pytest.raises(NotFound):
        await subject.runtime.export_images([subject.ref("busybox:1")], str(path))
    with pytest.raises(InvalidReference):
        await subject.runtime.export_images([], str(path))
    await subject.pull("busybox:1")
    with pytest.raises(ImageFailure, match="cannot be written: No such file or directory"):
        await subject.runtime.export_images([subject.ref("busybox:1")], str(tmp_path / "absent" / "out.tar"))
    with pytest.raises(InvalidReference):
        await subject.runtime.export_images([subject.ref("busybox:1"), "Not A Reference"], str(path))
    assert [found for found in tmp_path.iterdir() if "out" in found.name] == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk with room for next to nothing."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], check=True, timeout=10)
    yield folder
    subprocess.run(["umount", folder], check=True, timeout=10)


async def test_a_disk_without_room(subject: Subject, tmp_path: Path, small_disk: Path) -> None:
    """Told as such; what was there stays, and nothing else is."""
    archive = packed(tmp_path / "a.tar", tar(layout(*((made(f"{n}" * 5000), {NAME: f"x:{n}"}) for n in range(8)))))
    names = [image.name for image in await subject.runtime.import_images(archive)]
    (small_disk / "out.tar").write_text("what was there")
    (small_disk / "fill").write_bytes(bytes(56 << 10))
    with pytest.raises(DiskFull, match="no room on its disk"):
        await subject.runtime.export_images(names, str(small_disk / "out.tar"))
    assert (small_disk / "out.tar").read_text() == "what was there"
    assert {path.name for path in small_disk.iterdir()} == {"out.tar", "fill"}


# --- by containerd alone


async def test_zstd(real: ContainerdSubject, tmp_path: Path) -> None:
    """Containerd unpacks it itself; what is wrong inside is told by what it says."""
    path = packed(tmp_path / "a.tar.zst", tar(layout((ONE, {NAME: WEB}))), "zstd")
    (image,) = await real.runtime.import_images(path)
    assert image.digest == ONE.manifest.digest
    await real.runtime.remove_image(WEB)
    cut = tmp_path / "cut.tar.zst"
    cut.write_bytes(Path(path).read_bytes()[:-100])
    wrong = {
        str(cut): "ends in its middle",
        packed(tmp_path / "b.tar.zst", tar({"README": b"x"}), "zstd"): "no archive of images",
        packed(tmp_path / "c.tar.zst", b"nothing " * 1000, "zstd"): "is no tar file",
        packed(tmp_path / "d.tar.zst", tar(_without(_LAYOUT, _LAYER)), "zstd"): "lacks a part",
        packed(tmp_path / "e.tar.zst", tar(_foreign(_LAYOUT)), "zstd"): "nothing for this node's platform",
    }
    for path, words in wrong.items():
        with pytest.raises(ImageFailure, match=f"{path}.*{words}"):
            await real.runtime.import_images(path)
    assert await real.runtime.image_names() == ()


async def test_a_failed_import_leaves_no_byte(real: ContainerdSubject, tmp_path: Path) -> None:
    """Neither of content nor of layers, also not in part: the next import would go on with that. The same when broken off."""
    before = _stored(real)
    big = Image("big", "1", [make_layer({"a": File(os.urandom(4 << 20))}), make_layer({"b": File(os.urandom(4 << 20))})])
    files = layout((big, {NAME: WEB}))
    data = tar(_without(files, big.layers[1].blob.digest) | {blob_path(big.layers[1].blob.digest): b"too short"})
    for number, wrong in enumerate((data, data[: 6 << 20])):
        with pytest.raises(ImageFailure):
            await real.runtime.import_images(packed(tmp_path / f"{number}.tar", wrong))
        assert _stored(real) - before == set()
        assert await real.leftovers() == []
    half = asyncio.Event()
    task = asyncio.create_task(
        real.runtime.import_images(packed(tmp_path / "b.tar", tar(files)), progress=lambda told: half.set())  # noqa: ARG005
    )
    await half.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await real.collect_garbage()  # what was on its way when the import was broken off
    assert _stored(real) - before == set()
    assert await real.snapshots() == await real.leftovers() == []


def _stored(real: ContainerdSubject) -> set[Path]:
    """All that containerd keeps of content."""
    content = Path(real.containerd.state) / "root/io.containerd.content.v1.content"
    return {path for path in content.rglob("*") if path.is_file() or path.parent.name == "ingest"}


async def test_an_import_that_stands_still_is_given_up(real: ContainerdSubject, tmp_path: Path) -> None:
    """After the silence that is borne, and not before: containerd is frozen for longer, and thawed again. Nothing is left."""
    big = Image("big", "1", [make_layer({"a": File(os.urandom(16 << 20))})])
    path = packed(tmp_path / "a.tar", tar(layout((big, {NAME: WEB}))))
    frozen: list[float] = []

    def freeze(told: PullProgress) -> None:
        if not frozen and told.bytes_done < told.bytes_total:
            frozen.append(time.monotonic())
            os.kill(real.containerd.process.pid, signal.SIGSTOP)
            asyncio.get_running_loop().call_later(2.5, os.kill, real.containerd.process.pid, signal.SIGCONT)

    runtime = ContainerdRuntime(real.containerd.address, namespace=real.namespace, pull_silence=1.0, run_dir=str(real.run_dir))
    try:
        with pytest.raises(PullStalled, match=f"archive {path}: containerd has taken nothing more of it for 1 s"):
            await runtime.import_images(path, progress=freeze)
    finally:
        os.kill(real.containerd.process.pid, signal.SIGCONT)
        await runtime.close()
    assert time.monotonic() - frozen[0] >= 1.0
    await real.collect_garbage()
    assert await real.runtime.image_names() == ()
    assert await real.snapshots() == await real.leftovers() == []


async def test_digests_survive(real: ContainerdSubject, tmp_path: Path) -> None:
    """What was pulled is the same image after it was written and brought in, and can be run; also one of an index."""
    pulled = await real.runtime.pull(real.ref("busybox:1"))
    path = str(tmp_path / "out.tar")
    await real.runtime.export_images([pulled.name], path)
    await real.runtime.remove_image(pulled.name, wait=True)
    (image,) = await real.runtime.import_images(path)
    assert image == replace(pulled, since=image.since)
    state = await real.run("sh", "-c", "exit 3")
    assert (await real.ended(state.id)).exit_code == 3


async def test_others_read_what_is_written(real: ContainerdSubject, tmp_path: Path) -> None:
    """`ctr images import` reads it, by all names; so does whoever reads archives of Docker."""
    pulled = await real.runtime.pull(real.ref("user:1"))
    await real.runtime.tag(pulled.name, "web:1")
    path = str(tmp_path / "out.tar")
    await real.runtime.export_images([pulled.name, "web:1"], path)
    for name in (pulled.name, "web:1"):
        await real.runtime.remove_image(name, wait=True)
    ctr = [str(tool("ctr")), "--address", real.containerd.address, "--namespace", real.namespace, "images", "import", path]
    await asyncio.to_thread(subprocess.run, ctr, check=True, timeout=60, capture_output=True)
    assert {(name.name, name.digest) for name in await real.runtime.image_names()} == {
        (pulled.name, pulled.digest),
        ("docker.io/library/web:1", pulled.digest),
    }
    with tarfile.open(path) as archive:
        files = {member.name: (archive.extractfile(member) or io.BytesIO()).read() for member in archive}
    (listed,) = json.loads(files["manifest.json"])
    assert listed["RepoTags"] == [pulled.name, "web:1"]
    assert {listed["Config"], *listed["Layers"]} <= files.keys()
    without_layout = {name: data for name, data in files.items() if name not in {"oci-layout", "index.json"}}
    images = await real.runtime.import_images(packed(tmp_path / "docker.tar", tar(without_layout)))
    assert {image.config for image in images} == {pulled.config}


async def test_what_is_damaged_on_the_node_is_not_written(real: ContainerdSubject, tmp_path: Path) -> None:
    """Its bytes are compared with its digest on the way."""
    (image,) = await real.runtime.import_images(packed(tmp_path / "a.tar", tar(layout((made("to be damaged"), {NAME: WEB})))))
    stored = Path(real.containerd.state) / "root/io.containerd.content.v1.content/blobs" / image.layers[1].replace(":", "/")
    stored.chmod(0o600)
    stored.write_bytes(b"x" + stored.read_bytes()[1:])
    with pytest.raises(ImageDamaged, match=image.layers[1]):
        await real.runtime.export_images([WEB], str(tmp_path / "out.tar"))
    assert not (tmp_path / "out.tar").exists()
