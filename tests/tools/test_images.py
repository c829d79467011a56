"""The test images come out the same every time, in both manifest formats."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tools.images import File, Folder, Format, Image, Link, all_images, make_layer, write_layout


def test_a_layer_depends_on_its_content_alone() -> None:
    """The order in which entries are given does not matter; folders above a path may be left out."""
    one = make_layer({"a/b": File(b"x"), "c": Link("a")})
    two = make_layer({"c": Link("a"), "a/b": File(b"x"), "a": Folder()})
    assert one.blob.digest == two.blob.digest
    assert one.diff_id == two.diff_id
    assert make_layer({"a/b": File(b"y")}).diff_id != one.diff_id


def test_a_docker_image_differs_from_an_oci_image_in_media_types_only() -> None:
    """Both formats share config and layers, so their digests; the manifests name other media types."""
    layer = make_layer({"a": File(b"x")})
    oci = json.loads(Image("i", "1", [layer], {"Cmd": ["sh"]}).manifest.data)
    docker = json.loads(Image("i", "1", [layer], {"Cmd": ["sh"]}, Format.DOCKER).manifest.data)
    assert oci["config"]["digest"] == docker["config"]["digest"]
    assert oci["layers"][0]["digest"] == docker["layers"][0]["digest"]
    assert "oci" in oci["mediaType"]
    assert "docker" in docker["mediaType"]


def test_a_layout_holds_all_that_it_refers_to(tmp_path: Path) -> None:
    """Every descriptor of a layout leads to a blob of that size whose content has that digest."""
    write_layout(tmp_path, all_images())
    waiting = json.loads((tmp_path / "index.json").read_text())["manifests"]
    assert {entry["annotations"]["org.opencontainers.image.ref.name"] for entry in waiting} == {
        "busybox:1",
        "busybox:docker",
        "web:1",
        "web:2",
        "pause:1",
        "links:1",
        "user:1",
    }
    while waiting:
        descriptor = waiting.pop()
        algorithm, _, digest = descriptor["digest"].partition(":")
        data = (tmp_path / "blobs" / algorithm / digest).read_bytes()
        assert len(data) == descriptor["size"]
        assert hashlib.sha256(data).hexdigest() == digest
        if "manifest" in descriptor["mediaType"]:
            manifest = json.loads(data)
            waiting += [manifest["config"], *manifest["layers"]]
