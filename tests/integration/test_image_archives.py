"""Images from archives on a real node: an API server, containerd, and no registry at all."""

import gzip
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.archives import blob_path, docker, layout, packed, tar
from tests.harness import GROUP, NAMESPACE, Object, Objects, Site, condition, message, ready, reason, started
from tests.waiting import eventually
from tools.images import File, Image, all_images, make_layer
from tools.lab import Containerd, ControlPlane, Registry

TENANTS = ("archives-a", "archives-b")
NOWHERE = "registry.invalid/shop"


class Place:
    """A node, and its folder of archives."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.archives = site.state / "agent" / "archives"

    def image(self, text: str) -> Image:
        """The shell, with a file that tells it from others."""
        base = next(image for image in all_images() if (image.name, image.tag) == ("busybox", "1"))
        return replace(base, layers=[*base.layers, make_layer({"which": File(f"{text}\n".encode())})])

    def write(self, file: str, text: str, by: str = "") -> str:
        """An archive, as `docker save` writes it; its path."""
        return packed(self.archives / file, tar(docker((self.image(text), ["anything:1"]))), by)

    def want(self, name: str, archive: str, namespace: str = TENANTS[0], image: str = "", **spec: Any) -> None:
        """A ContainerImage."""
        wanted = {"image": image or f"{NOWHERE}/{name}:1", "source": {"archive": archive}, **spec}
        meta = {"name": name, "namespace": namespace}
        self.site.apply({"apiVersion": "moorage.dev/v1alpha1", "kind": "ContainerImage", "metadata": meta, "spec": wanted})

    def until(self, name: str, *reasons: str, namespace: str = TENANTS[0], generation: int = 1) -> Object:
        """A ContainerImage, once it is ready, or not for one of these reasons."""

        def true(known: Objects) -> bool:
            found = known.get(name)
            if found is None or found["metadata"]["generation"] < generation or not condition(found, "Ready"):
                return False
            about = condition(found, "Ready")["observedGeneration"] == generation
            return about and (reason(found) in reasons if reasons else ready(found))

        return self.site.api.until(f"{GROUP}/namespaces/{namespace}/containerimages", true)[name]

    def instance(self, namespace: str, name: str, image: str) -> None:
        """An instance that prints which image it runs, and pulls nothing."""
        container = {"name": "main", "image": image, "command": ["sleep", "1000000"], "imagePullPolicy": "Never"}
        spec = {"nodeName": self.site.node, "network": "None", "terminationGracePeriodSeconds": 0, "containers": [container]}
        meta = {"name": name, "namespace": namespace}
        self.site.apply({"apiVersion": "moorage.dev/v1alpha1", "kind": "ContainerInstance", "metadata": meta, "spec": spec})

    def digest(self, image: str) -> str:
        """What a name stands for in containerd."""
        lines = self.site.containerd.ctr("images", "ls", namespace=NAMESPACE).stdout.splitlines()
        return next((line.split()[2] for line in lines if line.split()[0] == image), "")


@pytest.fixture(scope="module")
def place(
    plane: ControlPlane, containerd: Containerd, registry: Registry, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    """A node, and two tenants."""
    site = Site(plane, containerd, registry, tmp_path_factory.mktemp("archives") / "s", "archives1")
    found = Place(site)
    found.archives.mkdir(parents=True)
    for tenant in TENANTS:
        plane.kubectl("create", "namespace", tenant)
    try:
        with started(site):
            yield found
    finally:
        plane.kubectl("delete", "namespace", "--wait=false", *TENANTS)


@pytest.mark.parametrize("by", ["", "gzip", "zstd"])
def test_an_archive_makes_an_image_ready(place: Place, by: str) -> None:
    """Packed or not; the registry that its name tells of does not exist."""
    name = f"packed-{by or 'not'}"
    place.want(name, place.write(f"{name}.tar", name, by))
    found = place.until(name)
    (digest,) = found["status"]["digests"]
    assert digest["digest"] == place.digest(f"{NOWHERE}/{name}:1")
    assert (found["status"]["ready"], found["status"]["summary"]) == ("1/1", "Pulled")


def test_an_oci_archive_does_too(place: Place) -> None:
    """With the digest that it has there, whatever it is called in it."""
    image = place.image("oci")
    place.want("oci", packed(place.archives / "oci.tar", tar(layout((image, {"io.containerd.image.name": "other.test/x:9"})))))
    assert place.until("oci")["status"]["digests"][0]["digest"] == image.manifest.digest
    assert place.digest("other.test/x:9") == ""


def test_it_is_for_instances_of_its_namespace_alone(place: Place) -> None:
    """Others find it missing, until they bring the archive themselves, which they cannot under a name that is taken."""
    archive, image = place.write("own.tar", "own"), f"{NOWHERE}/own:1"
    place.want("own", archive)
    place.until("own")
    for tenant in TENANTS:
        place.instance(tenant, "own", image)
    path = f"{GROUP}/namespaces/{{}}/containerinstances"
    place.site.api.until(path.format(TENANTS[0]), lambda known: "own" in known and ready(known["own"]))
    place.site.api.until(path.format(TENANTS[1]), lambda known: "own" in known and reason(known["own"]) == "ErrImageNeverPull")
    place.want("own", archive, TENANTS[1])
    found = place.until("own", "ArchiveNotAllowed", namespace=TENANTS[1])
    assert "no archive takes its place" in message(found)
    place.want("mine", archive, TENANTS[1])
    place.until("mine", namespace=TENANTS[1])


FAILURES: dict[str, tuple[str, str, str]] = {
    "beside": ("../beside.tar", "ArchiveNotAllowed", "is in none of the folders that this node reads archives from"),
    "link": ("link.tar", "ArchiveNotAllowed", "a link in its path leads out of"),
    "missing": ("missing.tar", "ArchiveNotFound", "there is no such file on this node"),
    "truncated": ("truncated.tar", "InvalidArchive", "ends in its middle"),
    "truncated-gz": ("truncated.tar.gz", "InvalidArchive", "ends in its middle"),
    "garbage": ("garbage.tar", "InvalidArchive", "is no tar file"),
    "other-tar": ("other.tar", "InvalidArchive", "archive"),
    "damaged": ("damaged.tar", "InvalidArchive", "is not what its digest says"),
    "two-images": ("two.tar", "InvalidArchive", "holds 2 images"),
    "a-folder": ("folder", "InvalidArchive", "is no regular file"),
}


def test_each_kind_of_failure_has_its_reason(place: Place) -> None:
    """And names the file; nothing of it is on the node."""
    folder = place.archives
    whole = Path(place.write("whole.tar", "whole")).read_bytes()
    (folder.parent / "beside.tar").write_bytes(whole)
    (folder / "link.tar").symlink_to(folder.parent / "beside.tar")
    (folder / "truncated.tar").write_bytes(whole[: len(whole) // 2])
    (folder / "truncated.tar.gz").write_bytes(gzip.compress(whole)[: len(whole) // 4])
    (folder / "garbage.tar").write_bytes(os.urandom(100_000))
    packed(folder / "other.tar", tar({"hello": b"world"}))
    packed(folder / "two.tar", tar(docker((place.image("1"), ["a:1"]), (place.image("2"), ["b:1"]))))
    (folder / "folder").mkdir()
    damaged = place.image("damaged")
    files, part = layout((damaged, {})), blob_path(damaged.layers[-1].blob.digest)  # the other layers may be here already
    packed(folder / "damaged.tar", tar(files | {part: bytes([files[part][0] ^ 1]) + files[part][1:]}))
    for name, (file, _, _) in FAILURES.items():
        place.want(name, os.path.normpath(folder / file))
    for name, (file, expected, said) in FAILURES.items():
        found = place.until(name, "ArchiveNotAllowed", "ArchiveNotFound", "InvalidArchive")
        assert (reason(found), said in message(found)) == (expected, True), (name, message(found))
        assert f"archive {os.path.normpath(folder / file)}" in message(found)
        assert place.digest(f"{NOWHERE}/{name}:1") == ""


def test_a_file_that_comes_later_is_found(place: Place) -> None:
    """It is looked for again and again."""
    place.want("later", str(place.archives / "later.tar"))
    place.until("later", "ArchiveNotFound")
    place.write("later.tar", "later")
    place.until("later")


def test_always_reads_the_archive_once_more_when_it_is_asked_to(place: Place) -> None:
    """The file is another one by then, which nobody notices by himself."""
    archive = place.write("moving.tar", "one")
    place.want("moving", archive, pullPolicy="Always")
    before = place.until("moving")["status"]["digests"][0]["digest"]
    place.write("moving.tar", "two")
    place.want("moving", archive, pullPolicy="Always", refreshedAt="2")
    after = place.until("moving", generation=2)["status"]["digests"][0]["digest"]
    assert before != after == place.digest(f"{NOWHERE}/moving:1")


def test_what_was_removed_by_hand_comes_back_from_the_archive(place: Place) -> None:
    """It is pinned, as any image."""
    place.want("kept", place.write("kept.tar", "kept"))
    place.until("kept")
    image = f"{NOWHERE}/kept:1"
    place.site.containerd.ctr("images", "rm", image, namespace=NAMESPACE)
    assert eventually(lambda: place.digest(image), bool, 20)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a relative path": ({"source": {"archive": "web.tar"}}, "must be an absolute path"),
    "a way up": ({"source": {"archive": "/var/lib/moorage/archives/../config.json"}}, "must be an absolute path"),
    "a folder": ({"source": {"archive": "/var/lib/moorage/archives/"}}, "must be an absolute path"),
    "a digest": ({"image": "web@sha256:" + "0" * 64, "source": {"archive": "/a/web.tar"}}, "has a tag and no digest"),
    "Secrets": ({"source": {"archive": "/a/web.tar"}, "pullSecrets": [{"name": "regcred"}]}, "pullSecrets are shown"),
    "a source that is none": ({"source": {}}, "archive"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_work_is_refused_at_once(place: Place, case: str) -> None:
    """By the API server, with what to do."""
    spec, said = REFUSED[case]
    obj = {"apiVersion": "moorage.dev/v1alpha1", "kind": "ContainerImage", "metadata": {"name": "refused"}}
    text = yaml.safe_dump({**obj, "spec": {"image": "web:1"} | spec})
    answer = place.site.plane.kubectl("apply", "-n", TENANTS[0], "-f", "-", stdin=text, check=False)
    assert answer.returncode != 0
    assert said in answer.stderr
