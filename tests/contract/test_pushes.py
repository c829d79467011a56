"""Pushes: what a registry has then, what is not sent again, and what can go wrong."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from controller.runtime.containerd import methods
from controller.runtime.containerd.api import images_pb2
from controller.runtime.containerd.image.passing import SECONDS, remove_abandoned
from controller.runtime.platforms import node_platform
from controller.runtime.port import (
    Credential,
    CredentialsMissing,
    ImageFailure,
    ImageForbidden,
    ImageNotFound,
    InvalidReference,
    NotFound,
    PullProgress,
    PullStalled,
    RateLimited,
    RegistryUnreachable,
)
from tests.contract.containerd_subject import ContainerdSubject, runtime
from tests.contract.subject import Subject
from tests.private import GOOD, USERS, WRONG
from tools.lab import Fault, FaultyRegistry, Registry


async def test_a_pushed_image_can_be_pulled(subject: Subject) -> None:
    """By its new name, and by the digest that the push told."""
    image = await subject.runtime.pull(subject.ref("user:1"))
    told: list[PullProgress] = []
    digest = await subject.runtime.push(subject.ref("user:1"), subject.ref("pushed/user:9"), told.append)
    assert digest == image.digest
    assert told[-1].bytes_done == told[-1].bytes_total > 0
    assert [name.name for name in await subject.runtime.image_names()] == [subject.ref("user:1")]
    await subject.runtime.remove_image(subject.ref("user:1"))
    pulled = await subject.runtime.pull(subject.ref("pushed/user:9"), digest=digest)
    assert (pulled.digest, pulled.config, pulled.layers) == (digest, image.config, image.layers)


async def test_what_cannot_be_pushed(subject: Subject) -> None:
    """What is not on the node, what is no name, and a digest, which nobody chooses."""
    with pytest.raises(NotFound):
        await subject.runtime.push(subject.ref("busybox:1"), subject.ref("pushed:1"))
    image = await subject.runtime.pull(subject.ref("busybox:1"))
    for target in ("Not A Reference", f"{subject.ref('pushed')}@{image.digest}"):
        with pytest.raises(InvalidReference):
            await subject.runtime.push(subject.ref("busybox:1"), target)


async def test_registries_that_take_no_push(subject: Subject) -> None:
    """One that does not answer, and one that refuses; each is named."""
    await subject.pull("busybox:1")
    with pytest.raises(RegistryUnreachable, match=r"127\.0\.0\.1:1"):
        await subject.runtime.push(subject.ref("busybox:1"), subject.unreachable)
    with pytest.raises(ImageForbidden, match=r"refuses|credentials"):
        await subject.runtime.push(subject.ref("busybox:1"), subject.forbidden)


# --- by containerd, from a registry that misbehaves


@pytest.fixture
def faulty(registry: Registry, tmp_path: Path) -> Iterator[FaultyRegistry]:
    """A registry of its own, empty, misbehaving as it is told."""
    with Registry(tmp_path / "registry") as empty, FaultyRegistry(empty.host) as found:
        yield found


@dataclass
class Trouble:
    """Something that goes wrong, and how it is told."""

    kind: type[ImageFailure]
    words: str
    faults: list[Fault] = field(default_factory=list)


ASKS = {"WWW-Authenticate": 'Basic realm="x"'}
UPLOAD = "POST .*/uploads/"

TROUBLE = {
    "no credentials": Trouble(
        CredentialsMissing, "wants credentials of somebody who may push", [Fault("", status=401, headers=ASKS)]
    ),
    "no permission": Trouble(ImageForbidden, "does not permit to push image", [Fault(UPLOAD, status=403)]),
    "no permission to look": Trouble(ImageForbidden, "does not permit to push image", [Fault("HEAD", status=403)]),
    "no such project": Trouble(ImageNotFound, "may have to be made first", [Fault(UPLOAD, status=404)]),
    "read-only": Trouble(ImageForbidden, "takes no pushes", [Fault(UPLOAD, status=405)]),
    "too large": Trouble(ImageFailure, "no layer as large as", [Fault("(PUT|PATCH) .*/uploads/", status=413)]),
    "rate limited": Trouble(RateLimited, "needed to push image", [Fault(UPLOAD, status=429)]),
    "out of order": Trouble(RegistryUnreachable, "503 Service Unavailable", [Fault(UPLOAD, status=503)]),
    "out of order at the end": Trouble(RegistryUnreachable, "500 Internal", [Fault("PUT .*/manifests/", status=500)]),
    "no answer": Trouble(PullStalled, "has taken nothing more of image", [Fault("HEAD", stall_after=0)]),
    "no answer to a layer": Trouble(PullStalled, "has taken nothing more", [Fault(UPLOAD, stall_after=0)]),
}


@pytest.mark.parametrize("case", TROUBLE)
async def test_what_went_wrong_is_told_as_of_a_push(real: ContainerdSubject, faulty: FaultyRegistry, case: str) -> None:
    """By its cause, with the image; nobody is told of a pull. The next push is not hindered by it."""
    trouble = TROUBLE[case]
    image = await real.runtime.pull(real.ref("user:1"))
    faulty.faults = [replace(fault) for fault in trouble.faults]
    target = f"{faulty.host}/shop/user:1"
    async with runtime(real, silence=1.0) as pushing:
        with pytest.raises(ImageFailure) as told:
            await pushing.push(image.name, target)
        assert type(told.value) is trouble.kind
        assert trouble.words in str(told.value)
        assert target in str(told.value)
        assert "pull" not in str(told.value)
        faulty.faults = []
        faulty.release()
        assert await pushing.push(image.name, target) == image.digest
    assert [name.name for name in await real.runtime.image_names()] == [image.name]


async def test_what_the_registry_has_is_not_sent_again(real: ContainerdSubject, faulty: FaultyRegistry) -> None:
    """Neither when it is pushed again, nor the layers that another image has, too."""
    links = await real.runtime.pull(real.ref("links:1"))
    busybox = await real.runtime.pull(real.ref("busybox:1"))
    await real.runtime.push(busybox.name, f"{faulty.host}/shop/links:base")
    faulty.forget()
    told: list[PullProgress] = []
    await real.runtime.push(links.name, f"{faulty.host}/shop/links:1", told.append)
    assert len(faulty.asked(UPLOAD)) == len(set(links.layers) - set(busybox.layers)) + 1  # and its config
    assert 0 < told[-1].bytes_present < told[-1].bytes_total == told[-1].bytes_done
    faulty.forget()
    await real.runtime.push(links.name, f"{faulty.host}/shop/links:1", told.append)
    assert faulty.asked(UPLOAD) == faulty.asked("PUT") == []


CREDENTIALS: dict[str, Credential | None] = {"none": None, "wrong ones": WRONG, "a token": Credential(registry_token="x")}


@pytest.mark.parametrize("case", CREDENTIALS)
async def test_a_registry_that_asks_who_pushes(real: ContainerdSubject, tmp_path: Path, case: str) -> None:
    """It is shown the credentials of this push; nothing of them is told."""
    image = await real.runtime.pull(real.ref("busybox:1"))
    with Registry(tmp_path / "private", users=USERS) as private:
        target = f"{private.host}/shop/busybox:1"
        with pytest.raises(ImageForbidden) as told:
            await real.runtime.push(image.name, target, credential=CREDENTIALS[case])
        assert WRONG.password not in str(told.value)
        assert await real.runtime.push(image.name, target, credential=GOOD) == image.digest
        await real.runtime.remove_image(image.name)
        assert (await real.runtime.pull(target, credential=GOOD)).digest == image.digest


async def test_registries_as_the_node_has_them(real: ContainerdSubject, faulty: FaultyRegistry, tmp_path: Path) -> None:
    """By hosts.toml: pushed to the one that may be pushed to, and told when there is none."""
    image = await real.runtime.pull(real.ref("busybox:1"))
    folder = tmp_path / "certs.d" / "registry.test"
    folder.mkdir(parents=True)
    async with runtime(real, hosts_dir=str(folder.parent)) as pushing:
        mirror = '[host."http://127.0.0.1:1"]\ncapabilities = ["pull", "resolve"]\n'
        (folder / "hosts.toml").write_text(f'server = "http://{faulty.host}"\n{mirror}')
        assert await pushing.push(image.name, "registry.test/busybox:1") == image.digest
        assert faulty.asked("PUT .*/manifests/1")
        (folder / "hosts.toml").write_text(f'server = "http://{faulty.host}"\ncapabilities = ["pull"]\n')
        with pytest.raises(ImageForbidden, match="capability push"):
            await pushing.push(image.name, "registry.test/busybox:2")


async def test_of_several_platforms_the_one_that_is_here_is_pushed(real: ContainerdSubject, faulty: FaultyRegistry) -> None:
    """By its manifest; an index of which all is here goes as it is."""
    whole = await _index(real, "all")
    part = await _index(real, "part", {"os": "linux", "architecture": "mips64le"})
    own = await real.runtime.pull(real.ref("busybox:1"))
    assert await real.runtime.push(whole, f"{faulty.host}/shop/whole:1") == (await real.runtime.image(whole)).digest
    assert await real.runtime.push(part, f"{faulty.host}/shop/part:1") == own.digest != (await real.runtime.image(part)).digest
    for name in ("whole:1", "part:1"):
        assert (await real.runtime.pull(f"{faulty.host}/shop/{name}")).layers == own.layers


async def _index(real: ContainerdSubject, tag: str, *others: dict[str, str]) -> str:
    """Have an image whose name points at an index of busybox for this node, and of what is not fetched."""
    accepted = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    url = f"http://{real.registry.host}/v2/busybox/manifests"

    def put() -> None:
        entries: list[dict[str, Any]] = []
        for name, platform in [("1", None), *(("foreign-one", other) for other in others)]:
            with urllib.request.urlopen(urllib.request.Request(f"{url}/1", headers=accepted), timeout=10) as answer:
                data = answer.read()
            manifest = json.loads(data)
            if name != "1":
                data = json.dumps(manifest | {"annotations": {"is": name}}).encode()
                _put(f"{url}/{name}", data, accepted["Accept"])
            with urllib.request.urlopen(urllib.request.Request(f"{url}/{name}", headers=accepted), timeout=10) as answer:
                digest = answer.headers["Docker-Content-Digest"]
            entry = {"mediaType": accepted["Accept"], "digest": digest, "size": len(data)}
            entries.append(entry | {"platform": platform or real_platform()})
        kind = "application/vnd.oci.image.index.v1+json"
        _put(f"{url}/{tag}", json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": entries}).encode(), kind)

    await asyncio.to_thread(put)
    return (await real.runtime.pull(real.ref(f"busybox:{tag}"))).name


def real_platform() -> dict[str, str]:
    """That of this machine, as an index has it."""
    own = node_platform()
    return {"os": own.os, "architecture": own.architecture}


def _put(url: str, data: bytes, kind: str) -> None:
    with urllib.request.urlopen(
        urllib.request.Request(url, data=data, headers={"Content-Type": kind}, method="PUT"), timeout=10
    ):
        pass


async def test_a_push_that_is_broken_off_leaves_no_name(real: ContainerdSubject, faulty: FaultyRegistry) -> None:
    """Nor does one whose process was killed, in the end; and nobody sees such names, nor hears of them."""
    image = await real.runtime.pull(real.ref("busybox:1"))
    faulty.faults = [Fault(UPLOAD, stall_after=0, times=1)]
    pushing = asyncio.create_task(real.runtime.push(image.name, f"{faulty.host}/shop/busybox:1"))
    async with asyncio.timeout(20):
        while not faulty.faults[0].hits:  # the proxy has no event; the request comes within milliseconds
            await asyncio.sleep(0.01)
    assert len(await _records(real)) == 2
    assert [name.name for name in await real.runtime.image_names()] == [image.name]
    await remove_abandoned(real.channel, time.time() + 3600)
    assert len(await _records(real)) == 2
    await remove_abandoned(real.channel, time.time() + SECONDS + 60)
    assert await _records(real) == [image.name]
    pushing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pushing
    faulty.release()
    async with real.watch() as watch:
        await real.runtime.push(image.name, f"{faulty.host}/shop/busybox:1")
        await real.runtime.tag(image.name, "last:1")
        await watch.until(lambda event: event.image == "docker.io/library/last:1")
        assert {event.image for event in watch.events} == {"", "docker.io/library/last:1"}
    assert await _records(real) == [image.name, "docker.io/library/last:1"]


async def _records(real: ContainerdSubject) -> list[str]:
    """Every name that containerd has."""
    answer = await real.channel.call(methods.LIST_IMAGES, images_pb2.ListImagesRequest())
    return sorted(found.name for found in answer.images)
