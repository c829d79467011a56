"""Pulls from a registry that misbehaves, by containerd: each fault is told by its cause, and nothing is fetched twice."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from controller.runtime.containerd.image import pull
from controller.runtime.containerd.runtime import ContainerdRuntime
from controller.runtime.port import (
    CredentialsMissing,
    ImageDamaged,
    ImageFailure,
    ImageForbidden,
    ImageNotFound,
    PlatformMissing,
    PullProgress,
    PullStalled,
    RateLimited,
    RegistryUnreachable,
    RegistryUntrusted,
    RuntimeFailure,
)
from tests.contract.containerd_subject import ContainerdSubject, runtime
from tools.images import Image, push
from tools.images.layers import File, make_layer
from tools.lab import Fault, FaultyRegistry, Registry
from tools.lab.authority import Authority

MIB = 2**20
LAYERS = 4
LAYER_BYTES = 3 * MIB


@pytest.fixture(scope="module")
def big(registry: Registry) -> Image:
    """An image of four layers of 3 MiB that cannot be compressed."""
    layers = [make_layer({f"data/{number}": File(os.urandom(LAYER_BYTES))}) for number in range(LAYERS)]
    image = Image("big", "1", layers, {"Cmd": ["sh"]})
    push(registry.host, [image])
    return image


@pytest.fixture
def faulty(registry: Registry) -> Iterator[FaultyRegistry]:
    """The registry, misbehaving as it is told."""
    with FaultyRegistry(registry.host) as found:
        yield found


# --- what is told


@dataclass
class Wrong:
    """Something that goes wrong, and how it is told."""

    kind: type[ImageFailure]
    words: tuple[str, ...]
    faults: list[Fault] = field(default_factory=list)
    image: str = "busybox:1"


WRONG = {
    "no such repository": Wrong(ImageNotFound, ("there is no repository nope",), image="nope:1"),
    "no such tag": Wrong(ImageNotFound, ("its repository busybox has no tag nope",), image="busybox:nope"),
    "no such digest": Wrong(ImageNotFound, ("has no digest sha256:00",), image=f"busybox@sha256:{'0' * 64}"),
    "a registry that does not say which": Wrong(
        ImageNotFound, ("no such repository, or no tag 1",), [Fault("tags/list", status=401)], "nope:1"
    ),
    "no credentials": Wrong(
        CredentialsMissing,
        ("wants credentials", "imagePullSecrets"),
        [Fault("/manifests/", status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})],
    ),
    "no permission": Wrong(ImageForbidden, ("does not permit",), [Fault("/manifests/", status=403)]),
    "rate limited": Wrong(RateLimited, ("429", "mirror"), [Fault("/manifests/", status=429)]),
    "overloaded": Wrong(RegistryUnreachable, ("503 Service Unavailable",), [Fault("/manifests/", status=503)]),
    "broken in the middle": Wrong(RegistryUnreachable, ("500 Internal",), [Fault("GET .*/blobs/", status=500)]),
    "no such blob": Wrong(ImageNotFound, ("lacks a part of",), [Fault("GET .*/blobs/", status=404)]),
    "a manifest that lies": Wrong(
        ImageDamaged, ("not what its digest says",), [Fault("GET .*/manifests/", corrupt=True)], "busybox:docker"
    ),
    "a layer that lies": Wrong(ImageDamaged, ("not what its digest says",), [Fault("GET .*/blobs/", corrupt=True)]),
    "connections that break": Wrong(RegistryUnreachable, ("broke while image",), [Fault("GET .*/blobs/", cut_after=10)]),
    "no answer": Wrong(PullStalled, ("nothing was received for 1 s",), [Fault("/manifests/", stall_after=0)]),
    "silence in a layer": Wrong(PullStalled, ("nothing was received for 1 s",), [Fault("GET .*/blobs/", stall_after=0)]),
    "another platform": Wrong(
        PlatformMissing, ("this node's platform linux/", "it has linux/mips64le"), image="busybox:foreign"
    ),
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_went_wrong_is_told_by_its_cause(real: ContainerdSubject, faulty: FaultyRegistry, name: str) -> None:
    """Each with the image, and what to do."""
    wrong = WRONG[name]
    faulty.faults = [replace(fault) for fault in wrong.faults]
    reference = f"{faulty.host}/{wrong.image}"
    async with runtime(real, silence=1.0) as pulling:
        with pytest.raises(ImageFailure) as caught:
            await pulling.pull(reference)
        assert type(caught.value) is wrong.kind
        assert wrong.image in str(caught.value)
        assert all(word in str(caught.value) for word in wrong.words)
        await pulling._puller._kept.release(reference)


TLS = {
    "an authority that nobody knows": ("", ("IP:127.0.0.1",), False, "signed by an authority that this node does not know"),
    "expired": ("ca", ("IP:127.0.0.1",), True, "has expired, or the node's clock is wrong"),
    "of another host": ("ca", ("DNS:elsewhere.test",), False, "is for another host"),
    "trusted": ("ca", ("IP:127.0.0.1",), False, ""),
}


@pytest.mark.parametrize("name", TLS)
async def test_tls_with_a_private_authority(real: ContainerdSubject, registry: Registry, tmp_path: Path, name: str) -> None:
    """By containerd's own hosts.toml; without it, or with a certificate that is wrong, the message says which."""
    known, hosts, expired, words = TLS[name]
    authority = Authority(tmp_path / "authority")
    context: ssl.SSLContext = authority.server("server", hosts=hosts, expired=expired)
    with FaultyRegistry(registry.host, tls=context) as faulty:
        configured = tmp_path / "certs.d" / faulty.host
        configured.mkdir(parents=True)
        ca = f'ca = "{authority.ca}"' if known else ""
        (configured / "hosts.toml").write_text(f'server = "https://{faulty.host}"\n{ca}\n')
        async with runtime(real, hosts_dir=str(configured.parent)) as pulling:
            if not words:
                assert (await pulling.pull(f"{faulty.host}/busybox:1")).size
                return
            with pytest.raises(RegistryUntrusted, match=words):
                await pulling.pull(f"{faulty.host}/busybox:1")


async def test_plain_http_where_https_is_expected(real: ContainerdSubject, registry: Registry, tmp_path: Path) -> None:
    """The commonest mistake with a registry of one's own."""
    configured = tmp_path / "certs.d" / registry.host
    configured.mkdir(parents=True)
    (configured / "hosts.toml").write_text(f'server = "https://{registry.host}"\n')
    async with runtime(real, hosts_dir=str(configured.parent)) as pulling:
        with pytest.raises(RegistryUntrusted, match="speaks plain HTTP where HTTPS is expected"):
            await pulling.pull(f"{registry.host}/busybox:1")


# --- what is fetched again


def layer_bytes(faulty: FaultyRegistry) -> int:
    """Bytes that were served of anything but manifests."""
    return faulty.served("GET .*/blobs/")


def size(image: Image) -> int:
    """Bytes of its layers and its config."""
    return sum(len(blob.data) for blob in image.blobs)


def layer(image: Image, number: int) -> str:
    """The digest of one of its layers, from 0."""
    return image.layers[number].blob.digest


SLACK = 400_000
"""Bytes that may have been on their way, in buffers, when a connection broke."""


async def test_after_a_cut_the_rest_is_fetched(real: ContainerdSubject, faulty: FaultyRegistry, big: Image) -> None:
    """A layer breaks in its middle, in the second try, too: neither complete layers nor what came of it are fetched again."""
    faulty.bytes_per_second = 16 * MIB
    faulty.faults = [Fault(f"GET .*/{layer(big, 2)}", cut_after=LAYER_BYTES // 3, times=2)]
    reference = f"{faulty.host}/big:1"
    async with runtime(real) as pulling:
        for _ in range(2):
            with pytest.raises(RegistryUnreachable):
                await pulling.pull(reference)
        told: list[PullProgress] = []
        await pulling.pull(reference, told.append)
    assert told[-1].bytes_done == told[-1].bytes_total > told[-1].bytes_present > 2 * LAYER_BYTES // 3 - SLACK
    assert layer_bytes(faulty) <= size(big) + 3 * SLACK  # three layers are fetched at once
    ranges = [int(request.range.removeprefix("bytes=").rstrip("-") or 0) for request in faulty.asked(layer(big, 2))]
    assert ranges == sorted(ranges), "each try begins where the one before it ended"
    assert ranges[-1] > LAYER_BYTES // 3
    assert await real.leftovers() == []


async def test_a_killed_agent_loses_nothing(real: ContainerdSubject, faulty: FaultyRegistry, big: Image) -> None:
    """Its connection ends with it, and containerd gives the pull up; the garbage collector leaves what was fetched."""
    faulty.bytes_per_second = 8 * MIB
    reference = f"{faulty.host}/big:1"
    async with runtime(real) as first:
        await _until_half(first, reference, big)
    await real.collect_garbage()
    faulty.bytes_per_second = 0
    async with runtime(real) as second:
        await second.pull(reference)
    assert layer_bytes(faulty) <= size(big) + 3 * SLACK  # three layers are fetched at once
    assert await real.leftovers() == []


async def test_a_killed_containerd_loses_nothing(real: ContainerdSubject, faulty: FaultyRegistry, big: Image) -> None:
    """The pull fails as unavailable, and goes on when containerd is back."""
    faulty.bytes_per_second = 8 * MIB
    reference = f"{faulty.host}/big:1"
    async with runtime(real) as pulling:
        await _until_half(pulling, reference, big, real.containerd.kill)
        real.containerd.start()
        await real.collect_garbage()
        faulty.bytes_per_second = 0
        await _when_back(pulling, reference)
    assert layer_bytes(faulty) <= size(big) + 3 * (MIB + SLACK)  # what it had in its memory of three layers
    await real.collect_garbage()  # of the layer that was being unpacked
    assert await real.leftovers() == []


async def _until_half(pulling: ContainerdRuntime, reference: str, image: Image, end: Callable[[], None] = lambda: None) -> None:
    """Pull until half of it has come; then the pull is broken off, by whatever ends it."""
    half = asyncio.Event()
    task = asyncio.create_task(
        pulling.pull(reference, lambda progress: half.set() if progress.bytes_done > size(image) / 2 else None)
    )
    async with asyncio.timeout(20):
        await half.wait()
    await asyncio.to_thread(end)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _when_back(pulling: ContainerdRuntime, reference: str) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                await pulling.pull(reference)
            except RuntimeFailure:
                await asyncio.sleep(0.1)
                continue
            return


async def test_a_registry_without_ranges(real: ContainerdSubject, faulty: FaultyRegistry, big: Image) -> None:
    """What came in part is sent again; what was complete is not."""
    faulty.faults = [Fault(f"GET .*/{layer(big, 0)}", cut_after=LAYER_BYTES // 2, times=1), Fault(ranges=False)]
    reference = f"{faulty.host}/big:1"
    async with runtime(real) as pulling:
        with pytest.raises(RegistryUnreachable):
            await pulling.pull(reference)
        await pulling.pull(reference)
    assert layer_bytes(faulty) > size(big)


async def test_what_was_damaged_is_fetched_anew(real: ContainerdSubject, faulty: FaultyRegistry, big: Image) -> None:
    """A part whose bytes are wrong is not kept, else no later try could succeed."""
    faulty.faults = [Fault("GET .*/blobs/", corrupt=True, times=1)]
    reference = f"{faulty.host}/big:1"
    async with runtime(real) as pulling:
        with pytest.raises(ImageDamaged):
            await pulling.pull(reference)
        assert (await pulling.pull(reference)).size > LAYERS * LAYER_BYTES


async def test_a_slow_line_is_not_a_dead_one(real: ContainerdSubject, faulty: FaultyRegistry) -> None:
    """As long as anything comes, however little, the pull goes on, by new connections: it never times out."""
    faulty.faults = [Fault("GET .*/blobs/", stall_after=2000, times=3)]
    async with runtime(real, silence=1.6) as pulling:
        await pulling.pull(f"{faulty.host}/busybox:1")
    assert faulty.faults[0].hits == 3


async def test_what_is_kept_goes_after_a_day(
    real: ContainerdSubject, faulty: FaultyRegistry, big: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If nobody asks for the image any more; a pull that is under way keeps its own."""
    faulty.faults = [Fault("GET .*/blobs/", cut_after=LAYER_BYTES // 2)]
    reference = f"{faulty.host}/big:1"
    async with runtime(real) as pulling:
        with pytest.raises(RegistryUnreachable):
            await pulling.pull(reference)
        await pulling.tidy()
        assert any(line.startswith("lease") for line in await real.leftovers())
        monkeypatch.setattr(pull, "KEEP_SECONDS", 0.0)
        with pulling._puller._busy(reference):
            await pulling.tidy()
        assert any(line.startswith("lease") for line in await real.leftovers())
        await pulling.tidy()
    await real.collect_garbage()
    assert await real.leftovers() == []


async def test_what_is_kept_goes_when_the_room_is_needed(real: ContainerdSubject, faulty: FaultyRegistry, big: Image) -> None:
    """It is gone from the disk by then, but for what came just now; the next try begins anew."""
    faulty.faults = [Fault(f"GET .*/{layer(big, 2)}", cut_after=LAYER_BYTES // 2, times=1)]
    reference = f"{faulty.host}/big:1"
    async with runtime(real) as pulling:
        with pytest.raises(RegistryUnreachable):
            await pulling.pull(reference)
        assert await pulling.discard_parts(60.0) == 0
        assert any(line.startswith("lease") for line in await real.leftovers())
        assert await pulling.discard_parts(0.0) == 1
        assert await real.leftovers() == []
        assert not [name for name in map(layer, [big] * LAYERS, range(LAYERS)) if real.blob(name).exists()]
        assert await pulling.discard_parts(0.0) == 0
        told: list[PullProgress] = []
        await pulling.pull(reference, told.append)
    assert told[-1].bytes_present < LAYER_BYTES


async def test_pulls_of_the_same_image_do_not_disturb_each_other(
    real: ContainerdSubject, faulty: FaultyRegistry, big: Image
) -> None:
    """Neither those of one process nor, as with a command beside the agent, those of two."""
    faulty.bytes_per_second = 16 * MIB
    reference = f"{faulty.host}/big:1"
    async with runtime(real) as one, runtime(real) as other:
        images = await asyncio.gather(*(pulling.pull(reference) for pulling in (one, one, other, other)))
    assert len({image.digest for image in images}) == 1
    assert layer_bytes(faulty) <= size(big) + SLACK
    await real.collect_garbage()
    assert await real.leftovers() == []
