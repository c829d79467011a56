"""An image that is damaged on the node's disk: its instance comes up again by itself, and nobody else notices."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import GROUP, NAMESPACE, Object, Objects, Site, message, ready, reason, workload
from tools.images import File, Image, all_images, make_layer, push

PROGRAM = "opt/app"


@pytest.fixture
def image(site: Site) -> Iterator[str]:
    """A program of its own on the busybox that others run, too; each time another one."""
    script = f"#!/bin/sh\n# {os.urandom(8).hex()}\nexec sleep 1000000\n".encode()
    built = Image("damaged", "1", [all_images()[0].layers[0], make_layer({PROGRAM: File(script, 0o755)})], {})
    push(site.registry.host, [built])
    yield f"{site.registry.host}/damaged:1"
    site.containerd.ctr("images", "rm", "--sync", f"{site.registry.host}/damaged:1", namespace=NAMESPACE)


def damage(site: Site) -> Path:
    """Empty the program's file, as a loss of power does whose writes had not reached the disk."""
    (file,) = (site.containerd.state / "root/io.containerd.snapshotter.v1.overlayfs/snapshots").glob(f"*/fs/{PROGRAM}")
    os.truncate(file, 0)
    return file


def runs(site: Site, image: str, **changes: object) -> Object:
    """A workload that runs the image's program."""
    return workload("app", site.registry, container={"image": image, "command": [f"/{PROGRAM}"], **changes})


def of(found: Objects, name: str) -> Object:
    """The instance of a workload."""
    return next(obj for key, obj in found.items() if key.startswith(f"{name}-"))


def events(site: Site, instance: Object) -> list[str]:
    """What Events with the reason ImageDamaged say of an instance, once there are any."""

    def mine(found: Objects) -> list[str]:
        uid = instance["metadata"]["uid"]
        told = [e for e in found.values() if e["involvedObject"].get("uid") == uid and e["reason"] == "ImageDamaged"]
        return [event["message"] for event in told]

    return mine(site.api.until("/api/v1/namespaces/default/events", lambda found: bool(mine(found))))


def test_an_instance_whose_image_is_damaged_comes_up_by_itself(site: Site, image: str) -> None:
    """It crashes, its program cannot be executed any more, the image is fetched again, and it runs; a neighbour runs on."""
    site.apply(workload("other", site.registry), runs(site, image))
    before = site.instances(lambda found: len(found) == 2 and all(map(ready, found.values())))
    pids = site.containers()
    mine, others = ({key: pid for key, pid in pids.items() if key.startswith(f"{name}-")} for name in ("app", "other"))
    file = damage(site)
    os.kill(next(iter(mine.values())), signal.SIGKILL)
    (told, *_) = events(site, of(before, "app"))
    assert "damaged" in told
    assert f"/{PROGRAM} is 0 bytes long" in told
    assert "it is fetched again" in told
    assert not file.exists()
    site.instances(lambda found: ready(of(found, "app")), 60)
    assert others.items() <= site.containers().items()
    found = site.instances()
    assert of(found, "other")["metadata"]["resourceVersion"] == of(before, "other")["metadata"]["resourceVersion"]


def test_a_damaged_image_that_may_not_be_fetched_is_told(site: Site, image: str) -> None:
    """With imagePullPolicy Never it waits, with words that say why, until somebody brings it."""
    site.apply(runs(site, image))
    site.instances(lambda found: len(found) == 1 and all(map(ready, found.values())))
    site.plane.kubectl("delete", "cw", "app")
    site.instances(lambda found: not found)
    damage(site)
    site.apply(runs(site, image, imagePullPolicy="Never"))
    found = site.instances(lambda found: len(found) == 1 and reason(of(found, "app")) == "ErrImageNeverPull", 40)
    assert "damaged" in message(of(found, "app"))
    site.containerd.ctr("images", "pull", "--plain-http", image, namespace=NAMESPACE)
    site.instances(lambda found: all(map(ready, found.values())), 40)


def test_a_pinned_image_is_fetched_again(site: Site, image: str) -> None:
    """What an instance has found out, the node's own list of images makes good, whether that instance is there or not."""
    site.apply(
        {
            "apiVersion": "moorage.dev/v1alpha1",
            "kind": "ContainerImage",
            "metadata": {"name": "pinned", "namespace": "default"},
            "spec": {"image": image},
        }
    )
    path = f"{GROUP}/namespaces/default/containerimages"
    site.api.until(path, lambda found: all(map(ready, found.values())))
    file = damage(site)
    site.apply(runs(site, image, imagePullPolicy="Never"))
    found = site.instances(lambda found: len(found) == 1)
    assert events(site, of(found, "app"))  # one that ends at once is Ready for a moment
    assert not file.exists()
    site.instances(lambda found: all(map(ready, found.values())), 60)
    site.plane.kubectl("delete", "cimg", "pinned")
