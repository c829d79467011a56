"""Archives of images: which images are in one, and what they are called; reading and writing."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from controller.runtime.archives import ArchiveWriter, blob_name, docker_images, images_of, index_of, read
from controller.runtime.platforms import Platform
from controller.runtime.port import ImageDamaged, ImageFailure, InvalidReference, PlatformMissing, Unsupported
from controller.runtime.reference import distinct, parse, tagged
from tests.archives import docker, packed, tar
from tools.images import Image, make_layer
from tools.images.layers import File

NODE = Platform("linux", "amd64")
NAME = "io.containerd.image.name"
REF = "org.opencontainers.image.ref.name"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"


def entry(digest: str, platform: str = "", kind: str = MANIFEST, **annotations: str) -> dict[str, Any]:
    """An entry of an archive's index; `name` and `ref` are its annotations."""
    found: dict[str, Any] = {"digest": digest, "size": 1, "mediaType": kind}
    if platform:
        found["platform"] = dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))
    return found | {"annotations": {{"name": NAME, "ref": REF}[key]: value for key, value in annotations.items()}}


WEB = "docker.io/library/web:1"
ARM, AMD, NONE = "linux/arm64", "linux/amd64", "unknown/unknown"
BY_DIGEST = f"x.test/y@sha256:{'0' * 64}"

FOUND: dict[str, tuple[list[dict[str, Any]], str, dict[str, str]]] = {
    "by containerd's name": ([entry("a", name=WEB, ref="1")], "", {WEB: "a"}),
    "by a short name": ([entry("a", ref="web:1")], "", {WEB: "a"}),
    "by two names": ([entry("a", name=WEB), entry("a", name="x.test/y:2")], "", {WEB: "a", "x.test/y:2": "a"}),
    "two images": ([entry("a", name=WEB), entry("b", name="x.test/y:2")], "", {WEB: "a", "x.test/y:2": "b"}),
    "for several platforms": ([entry("a", ARM, name=WEB), entry("b", AMD, name=WEB)], "", {WEB: "b"}),
    "for several platforms, by a name of one's own": ([entry("a", ARM), entry("b", AMD)], "web:1", {WEB: "b"}),
    "beside its attestation": ([entry("a", AMD), entry("b", NONE)], "web:1", {WEB: "a"}),
    "a tag alone": ([entry("a", ref="latest")], "web:1", {WEB: "a"}),
    "a name of one's own": ([entry("a", name="x.test/y:2"), entry("a", name="x.test/y:3")], "web:1", {WEB: "a"}),
    "a name with a digest": ([entry("a", name=BY_DIGEST)], "", {BY_DIGEST: "a"}),
}


@pytest.mark.parametrize("case", FOUND)
def test_images_of_an_archive(case: str) -> None:
    """By normalised names, those for this node."""
    entries, name, wanted = FOUND[case]
    assert {one.name: one.entry["digest"] for one in images_of(entries, name, NODE, "a.tar")} == wanted


REFUSED: dict[str, tuple[list[dict[str, Any]], str, type[ImageFailure], str]] = {
    "nothing": ([], "", ImageFailure, "a.tar holds no image"),
    "an attestation alone": ([entry("b", NONE)], "", ImageFailure, "holds no image"),
    "no name": ([entry("a")], "", ImageFailure, "give it a name"),
    "one without a name": ([entry("a"), entry("b", name=WEB)], "", ImageFailure, "one of its images"),
    "several for one name": (
        [entry("a"), entry("b", name=WEB)],
        "x:1",
        ImageFailure,
        "2 images, .*/web:1, one without a",
    ),
    "many for one name": ([entry(str(n), ref=f"x:{n}") for n in range(8)], "x:1", ImageFailure, "holds 8 images.* and 3 more"),
    "other machines": ([entry("a", ARM, name=WEB)], "", PlatformMissing, "linux/amd64; it has linux/arm64"),
    "no name that is one": ([entry("a", name="A:B")], "", InvalidReference, "archive a.tar gives"),
    "schema 1": ([entry("a", kind=SCHEMA_1)], "", ImageFailure, "schema 1"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_archives_that_are_refused(case: str) -> None:
    """With the file and the reason."""
    entries, name, kind, words = REFUSED[case]
    with pytest.raises(kind, match=words) as told:
        images_of(entries, name, NODE, "a.tar")
    assert type(told.value) is kind
    assert "a.tar" in str(told.value)


def test_an_archive_of_docker_is_read(tmp_path: Path) -> None:
    """Its entries have the platform of the configs; a layer that is a link to another one is that one."""
    image = Image("web", "1", [make_layer({"a": File(b"a")})], {"Cmd": ["a"]})
    files = docker((image, ["web:1", "web:2"]))
    (layer,) = [name for name in files if name.endswith("layer.tar")]
    listed = json.loads(files["manifest.json"])
    listed[0]["Layers"] = ["linked/layer.tar"]
    buffer = io.BytesIO(tar(files | {"manifest.json": json.dumps(listed).encode()}))
    with tarfile.open(fileobj=buffer, mode="a") as archive:
        link = tarfile.TarInfo("linked/layer.tar")
        link.type, link.linkname = tarfile.SYMTYPE, f"../{layer}"
        archive.addfile(link)
    (tmp_path / "a.tar").write_bytes(buffer.getvalue())
    found = read(str(tmp_path / "a.tar"))
    assert [one["annotations"][NAME] for one in found.entries] == ["web:1", "web:2"]
    assert {one["platform"]["os"] for one in found.entries} == {"linux"}
    manifest = found.documents[found.entries[0]["digest"]]
    assert [one["digest"] for one in manifest["layers"]] == [image.layers[0].diff_id]


BROKEN: dict[str, tuple[bytes, str, str]] = {
    "packed by xz": (tar({"a": b"a"}), "xz", "is packed by xz: only gzip and zstd are read"),
    "packed by bzip2": (tar({"a": b"a"}), "bzip2", "is packed by bzip2"),
    "no list": (tar({"manifest.json": b"{}"}), "", "manifest.json is no document"),
    "a list of nothing that is known": (tar({"manifest.json": b'[{"Name": "x"}]'}), "", "not made as archives of images are"),
    "a list of what is absent": (tar({"manifest.json": b'[{"Config": "x", "Layers": []}]'}), "", "lacks a part of an image: x"),
    "an index that is none": (tar({"oci-layout": b"{}", "index.json": b"[]"}), "", "index.json is no document"),
    "an index of texts": (tar({"oci-layout": b"{}", "index.json": b'{"manifests": ["x"]}'}), "", "not made as archives"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_archives_that_are_not_made_as_such(tmp_path: Path, case: str) -> None:
    """No file is so strange that it is not told as a failure of that file."""
    data, by, words = BROKEN[case]
    path = packed(tmp_path / "a.tar", data, by)
    with pytest.raises(ImageFailure, match=words) as told:
        read(path)
    assert path in str(told.value)


def test_a_packed_archive_that_is_cut_off(tmp_path: Path) -> None:
    """Told as one that is not packed; zstd is told as what it is."""
    path = Path(packed(tmp_path / "a.tar.gz", tar({"a": bytes(range(256)) * 100}), "gzip"))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ImageFailure, match="ends in its middle"):
        read(str(path))
    with pytest.raises(Unsupported):
        read(packed(tmp_path / "a.tar.zst", b"\x28\xb5\x2f\xfd\0\0\0\0"))


def test_a_part_that_lies_is_damage(tmp_path: Path) -> None:
    """Its name is its digest."""
    path = packed(tmp_path / "a.tar", tar({"oci-layout": b"{}", f"blobs/sha256/{'0' * 64}": b"x"}))
    with pytest.raises(ImageDamaged, match="not what its digest says"):
        read(path)


def written(path: Path, files: Mapping[str, Sequence[bytes]], size: int | None = None) -> None:
    """Write an archive, the files of their own sizes, or of that which is said."""
    with ArchiveWriter(str(path)) as archive:
        for name, parts in files.items():
            archive.begin(name, sum(map(len, parts)) if size is None else size)
            for part in parts:
                archive.write(part)
        archive.finish()


def test_what_is_written_is_a_tar_file(tmp_path: Path) -> None:
    """Whatever the size of its files; of names that are long, too."""
    long = blob_name(f"sha512:{'0' * 128}")
    files = {"empty": [b""], "a": [b"1", b"2"], "block": [bytes(512)], long: [b"x" * 513]}
    written(tmp_path / "a.tar", files)
    with tarfile.open(tmp_path / "a.tar") as archive:
        members = {member.name: member for member in archive}
        for name, parts in files.items():
            source = archive.extractfile(members[name])
            assert source
            assert source.read() == b"".join(parts)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]


@pytest.mark.parametrize("parts", [[b"too", b"long"], [b"x"]])
def test_a_file_of_another_size_than_was_said(tmp_path: Path, parts: list[bytes]) -> None:
    """Is never written to its end; what was there before stays."""
    (tmp_path / "a.tar").write_text("before")
    with pytest.raises(ImageFailure, match="than was said"):
        written(tmp_path / "a.tar", {"a": parts}, size=4)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]


def test_names_in_an_archive() -> None:
    """Docker has its own, none with a digest, and one entry for each image; others have them in full."""
    web, other, by_digest = parse("web:1"), parse("example.com/web:1"), parse(f"example.com/web@sha256:{'0' * 64}")
    target = {"digest": "sha256:a", "size": 1, "mediaType": MANIFEST}
    manifests = index_of([(web, target), (by_digest, target)])["manifests"]
    assert [one["annotations"] for one in manifests] == [{NAME: str(web), REF: "1"}, {NAME: str(by_digest)}]
    manifest = {"config": {"digest": "sha256:c"}, "layers": [{"digest": "sha256:l"}]}
    assert docker_images([(name, manifest) for name in (web, other, by_digest)]) == [
        {"Config": "blobs/sha256/c", "RepoTags": ["web:1", "example.com/web:1"], "Layers": ["blobs/sha256/l"]}
    ]


def test_names_as_people_write_them() -> None:
    """`familiar` means the same as the whole name."""
    for name in ("web:1", "shop/web:1", "example.com/web:1", "docker.io/library/web:1", "localhost:5000/library/web:1"):
        assert str(parse(parse(name).familiar)) == str(parse(name))
    assert parse("docker.io/library/web:1").familiar == "web:1"


def test_several_names_and_names_for_a_registry() -> None:
    """The same name counts once; a push goes to a tag."""
    assert [str(one) for one in distinct(["web:1", "docker.io/library/web:1", "b"])] == [WEB, "docker.io/library/b:latest"]
    with pytest.raises(InvalidReference):
        distinct([])
    assert tagged("web").tag == "latest"
    with pytest.raises(InvalidReference, match="tag"):
        tagged(f"web@sha256:{'0' * 64}")
