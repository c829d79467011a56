"""Images that a loss of power may take a part of: real syncs, and boots that are told by labels and times."""

import asyncio
import errno
import itertools
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import AsyncMock

import pytest

from controller.runtime.containerd.container.evidence import boot_id
from controller.runtime.containerd.image import synced
from controller.runtime.containerd.image.images import UNSYNCED
from controller.runtime.containerd.runtime import ContainerdRuntime
from controller.runtime.port import ImageFailure, NotFound, Unavailable
from tests.contract.containerd_subject import ContainerdSubject, cut_short
from tests.contract.subject import SECONDS

IMAGE = "user:1"


async def later_boot(real: ContainerdSubject) -> ContainerdRuntime:
    """An agent that takes all that is on the node for what an earlier boot has left."""
    runtime = await real.connect()
    runtime._synced._booted_at = time.time() + 2
    return runtime


async def labelled(real: ContainerdSubject, boot: str) -> None:
    """Have an image as an agent leaves it that is killed before it has synced."""
    await real.pull(IMAGE)
    await real.runtime._images.set_label(real.ref(IMAGE), UNSYNCED, boot)


async def test_a_pulled_image_was_synced(real: ContainerdSubject, monkeypatch: pytest.MonkeyPatch) -> None:
    """The snapshotter's file system is, while nobody takes the image for present; then its label goes."""
    seen: list[tuple[str, int]] = []
    loop, other = asyncio.get_running_loop(), await real.connect()

    def watched(root: str, *, real_sync: object = synced.sync) -> None:
        found = asyncio.run_coroutine_threadsafe(other.images(), loop).result()
        seen.append((root, len(found)))
        assert callable(real_sync)
        real_sync(root)

    monkeypatch.setattr(synced, "sync", watched)
    await real.pull(IMAGE)
    assert seen == [((await real.runtime.info()).root_dir, 0)]
    assert UNSYNCED not in (await real.runtime._images.record(real.ref(IMAGE))).labels
    assert len(await other.images()) == 1
    await real.pull(IMAGE)  # nothing was unpacked
    assert len(seen) == 1


async def test_an_image_that_was_removed_is_synced_again(real: ContainerdSubject, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is unpacked anew was not synced with what was there before, and until it is, the image is not on the node."""
    seen: list[int] = []
    loop = asyncio.get_running_loop()

    def watched(root: str, *, real_sync: Callable[[str], None] = synced.sync) -> None:
        seen.append(len(asyncio.run_coroutine_threadsafe(real.runtime.images(), loop).result()))
        real_sync(root)

    monkeypatch.setattr(synced, "sync", watched)
    for pulls in (1, 2):
        await real.pull(IMAGE)
        assert seen == [0] * pulls
        assert len(await real.runtime.images()) == 1
        await real.runtime.remove_image(real.ref(IMAGE), wait=True)


async def test_a_killed_agent_is_followed_by_one_that_syncs(real: ContainerdSubject) -> None:
    """In the same boot nothing was lost: no pull is needed."""
    await labelled(real, boot_id())
    other = await real.connect()
    with pytest.raises(NotFound, match="loss of power"):
        await other.image(real.ref(IMAGE))
    await other.tidy()
    assert (await other.image(real.ref(IMAGE))).name == real.ref(IMAGE)


async def test_what_an_earlier_boot_left_is_unpacked_anew(real: ContainerdSubject) -> None:
    """An image that was not synced is not used, and none of its layers is."""
    await labelled(real, "an earlier boot")
    cut_short((await real.folders(IMAGE))[0] / "bin/busybox")
    other = await later_boot(real)
    await other.tidy()
    assert await other.images() == ()
    await other.pull(real.ref(IMAGE))
    assert await other.verify(real.ref(IMAGE)) == ()
    state = await real.run("true", image=real.ref(IMAGE))
    assert (await real.ended(state.id)).exit_code == 0


async def test_what_an_earlier_boot_left_is_looked_for_until_it_was(
    real: ContainerdSubject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runtime may not answer at first; and of two pulls neither begins before the other has looked."""
    await labelled(real, "an earlier boot")
    cut_short((await real.folders(IMAGE))[0] / "bin/busybox")
    other = await later_boot(real)
    with monkeypatch.context() as patched:
        patched.setattr(other._snapshots, "list", AsyncMock(side_effect=Unavailable("containerd does not answer")))
        with pytest.raises(Unavailable):
            await other.pull(real.ref(IMAGE))
    await asyncio.gather(other.pull(real.ref("busybox:1")), other.pull(real.ref(IMAGE)))
    assert await other.verify(real.ref(IMAGE)) == ()


async def test_what_an_earlier_boot_left_goes_though_other_images_lay_on_it(real: ContainerdSubject) -> None:
    """Those were collected, and containerd's collector leaves their names with what they lay on."""
    await real.pull("links:1")
    await labelled(real, "an earlier boot")
    await real.runtime.remove_image(real.ref("links:1"), wait=True)
    cut_short((await real.folders(IMAGE))[0] / "bin/busybox")
    other = await later_boot(real)
    await other.pull(real.ref(IMAGE))
    assert await other.verify(real.ref(IMAGE)) == ()


def failing(pulls: int) -> Callable[[str], None]:
    """A disk that could not take what was written, and tells so once, as the kernel does: when so many ask at the same time."""
    calls, asking, failed = itertools.count(1), threading.Barrier(pulls), threading.Event()

    def sync(_: str) -> None:
        call = next(calls)
        if call <= pulls:
            asking.wait(SECONDS)
        if call == 1:
            failed.set()
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        assert failed.wait(SECONDS)

    return sync


async def unpacked(real: ContainerdSubject) -> dict[str, int]:
    """When each layer was unpacked."""
    return {key: info.created_at.ToNanoseconds() for key, info in (await real.runtime._snapshots.list()).items()}


@pytest.mark.parametrize("restarted", [False, True], ids=["the same agent", "the next agent"])
async def test_what_the_disk_has_not_taken_is_unpacked_anew(
    real: ContainerdSubject, monkeypatch: pytest.MonkeyPatch, *, restarted: bool
) -> None:
    """Though the next sync finds nothing wrong; what was synced before that is kept."""
    await real.pull("busybox:1")
    kept = await unpacked(real)
    monkeypatch.setattr(synced, "sync", failing(pulls=1))
    with pytest.raises(ImageFailure, match="Input/output error"):
        await real.pull(IMAGE)
    lost = await unpacked(real)
    runtime = await real.connect() if restarted else real.runtime
    await runtime.tidy()
    assert [image.name for image in await runtime.images()] == [real.ref("busybox:1")]
    await runtime.pull(real.ref(IMAGE))
    now = await unpacked(real)
    assert now.keys() == lost.keys() > kept.keys()
    assert {key for key in now if now[key] == lost[key]} == set(kept)
    assert len(await runtime.images()) == 2


async def test_a_failed_sync_is_of_all_pulls_under_way(real: ContainerdSubject, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel tells one of them, and not whose files it has lost."""
    monkeypatch.setattr(synced, "sync", failing(pulls=2))
    results = await asyncio.gather(real.pull(IMAGE), real.pull("links:1"), return_exceptions=True)
    assert [type(result) for result in results] == [ImageFailure] * 2
    assert await real.runtime.images() == ()
    await asyncio.gather(real.pull(IMAGE), real.pull("links:1"))
    assert len(await real.runtime.images()) == 2


async def test_what_was_synced_is_kept(real: ContainerdSubject) -> None:
    """Also where an image that was not shares layers with it, and also one that somebody else has brought."""
    await labelled(real, "an earlier boot")
    real.containerd.ctr("--namespace", real.namespace, "images", "pull", "--plain-http", real.ref("links:1"))
    base, own = (await real.folders(IMAGE))[:2]
    other = await later_boot(real)
    await other.pull(real.ref("busybox:1"))
    assert [image.name for image in await other.images()] == [real.ref("busybox:1"), real.ref("links:1")]
    await real.collect_garbage()
    assert (base.is_dir(), own.is_dir()) == (True, False)


def test_a_file_system_that_cannot_be_seen(tmp_path: Path) -> None:
    """All there are is synced then; either takes no longer than the disk does."""
    synced.sync(str(tmp_path / "nothing here"))
    synced.sync("")
    synced.sync(str(tmp_path))
