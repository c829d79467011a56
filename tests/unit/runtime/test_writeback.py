"""When what a pull unpacks is brought to the disk."""

import asyncio
import errno
from collections.abc import Coroutine

import pytest

from controller.runtime.containerd.image.writeback import PAUSE_SECONDS, STEP_BYTES, written_along
from controller.runtime.port import PullProgress
from tests.unit.agent.clock import PassingLoop


class Disk:
    """Counts syncs."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.syncs, self._failure = 0, failure

    async def sync(self) -> None:
        """One more."""
        self.syncs += 1
        if self._failure is not None:
            raise self._failure


def passing(story: Coroutine[None, None, None]) -> None:
    """Run it on a loop whose time passes at once."""
    with asyncio.Runner(loop_factory=PassingLoop) as runner:
        runner.run(story)


def test_a_sync_for_so_many_bytes() -> None:
    """However long they take to come; of those that were there before nothing is unpacked."""

    async def story() -> None:
        disk, seen = Disk(), list[PullProgress]()
        async with written_along(disk.sync, seen.append) as told:
            for step in range(21):  # the first half of the image was there
                told(PullProgress(10 * STEP_BYTES + step * STEP_BYTES // 4, 20 * STEP_BYTES, 10 * STEP_BYTES))
                await asyncio.sleep(PAUSE_SECONDS)
        assert disk.syncs == 5
        assert len(seen) == 21

    passing(story())


def test_what_comes_at_once_is_synced_with_pauses() -> None:
    """One sync is enough for all that came before it."""

    async def story() -> None:
        disk = Disk()
        async with written_along(disk.sync, None) as told:
            for step in range(1, 8):
                told(PullProgress(step * STEP_BYTES, 100 * STEP_BYTES))
                await asyncio.sleep(PAUSE_SECONDS / 4)
        assert disk.syncs == 2

    passing(story())


def test_while_a_large_image_is_unpacked_time_decides() -> None:
    """Nothing is told then. A small one is left to the kernel."""

    async def story() -> None:
        for size, syncs in ((STEP_BYTES, 4), (STEP_BYTES - 1, 0)):
            disk = Disk()
            async with written_along(disk.sync, None) as told:
                told(PullProgress(size, size))
                await asyncio.sleep(3.5 * PAUSE_SECONDS)
            assert disk.syncs == syncs

    passing(story())


def test_a_disk_that_takes_nothing_is_not_asked_again() -> None:
    """The pull goes on; its own sync tells."""

    async def story() -> None:
        disk = Disk(OSError(errno.EIO, "Input/output error"))
        async with written_along(disk.sync, None) as told:
            told(PullProgress(STEP_BYTES, STEP_BYTES))
            await asyncio.sleep(5 * PAUSE_SECONDS)
        assert disk.syncs == 1

    passing(story())


def test_a_pull_that_fails_fails() -> None:
    """With its own failure."""

    async def story() -> None:
        disk = Disk()
        with pytest.raises(ValueError, match="of the pull"):
            async with written_along(disk.sync, None):
                raise ValueError("of the pull")
        assert disk.syncs == 0

    passing(story())
