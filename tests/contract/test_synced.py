"""Images that a loss of power may take a part of: real syncs, and boots that are told by labels and times."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from controller.runtime.containerd.container.evidence import boot_id
from controller.runtime.containerd.image import synced
from controller.runtime.containerd.image.images import UNSYNCED
from controller.runtime.containerd.runtime import ContainerdRuntime
from controller.runtime.port import NotFound
from tests.contract.containerd_subject import ContainerdSubject, cut_short

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


async def test_what_an_earlier_boot_left_goes_though_other_images_lay_on_it(real: ContainerdSubject) -> None:
    """Those were collected, and containerd's collector leaves their names with what they lay on."""
    await real.pull("links:1")
    await labelled(real, "an earlier boot")
    await real.runtime.remove_image(real.ref("links:1"), wait=True)
    cut_short((await real.folders(IMAGE))[0] / "bin/busybox")
    other = await later_boot(real)
    await other.pull(real.ref(IMAGE))
    assert await other.verify(real.ref(IMAGE)) == ()


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
