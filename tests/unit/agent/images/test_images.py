"""One look-up and one pull for many waiters, and a back-off for each reference."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from controller.agent.credentials.credentials import Credentials
from controller.agent.decide.credentials.claim import NOTHING, Claim
from controller.agent.decide.observation import Pull
from controller.agent.decide.pulling import PullView
from controller.agent.images.access import Access
from controller.agent.images.backoff import MAX_SECONDS
from controller.agent.images.images import Images
from controller.agent.images.records import PullRecords
from controller.agent.images.waiter import Waiter
from controller.api.reasons import Reason
from controller.runtime.memory import MemoryImage, MemoryNode, MemoryRuntime
from controller.runtime.port import Credential, ImageState, PullProgress, RegistryUnreachable, Unavailable
from tests.unit.agent.clock import now, until

IMAGE = "registry.test/app:1"
GONE = "registry.test/none:1"
AWAY = "elsewhere.test/app:1"
SECRET = "registry.test/secret:1"
NGINX = "docker.io/library/nginx:latest"


class SlowRuntime(MemoryRuntime):
    """Pulls take ten seconds, and look-ups as long as they are held."""

    def __init__(self, node: MemoryNode) -> None:
        super().__init__(node)
        self.lookups = 0
        self.pulls: list[str] = []
        self.at_once = self.most_at_once = 0
        self.held = asyncio.Event()
        self.held.set()
        self.broken: Exception | None = None
        self.seconds = 10.0
        self.steps: list[tuple[float, int]] = []
        """When how many bytes of 20 MB are there."""

    async def image(self, reference: str) -> ImageState:
        """One image, as it was when asked."""
        self.lookups += 1
        try:
            return await super().image(reference)
        finally:
            await self.held.wait()

    async def pull(
        self,
        reference: str,
        progress: Callable[[PullProgress], None] | None = None,
        *,
        credential: Credential | None = None,
        digest: str = "",
    ) -> ImageState:
        """Fetch an image, slowly."""
        self.pulls.append(reference)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            passed = 0.0
            for at, done in self.steps:
                await asyncio.sleep(at - passed)
                passed = at
                assert progress is not None
                progress(PullProgress(done, 20_000_000))
            await asyncio.sleep(self.seconds - passed)
            if self.broken is not None:
                raise self.broken
            return await super().pull(reference, progress, credential=credential, digest=digest)
        finally:
            self.at_once -= 1


class Ends(list[tuple[ImageState | None, Pull | None]]):
    """What waiters were told."""

    def __call__(self, image: ImageState | None, failed: Pull | None) -> None:
        """Be told."""
        self.append((image, failed))

    async def come(self) -> None:
        """Wait until somebody is told."""
        await until(lambda: self)


def made(runtime: SlowRuntime, folder: Path) -> Images:
    """The images of a node."""
    return Images(runtime, Credentials(), Access(PullRecords(folder / "images.json")), parallel_pulls=2)


@pytest.fixture(name="runtime")
async def _runtime() -> SlowRuntime:
    return SlowRuntime(
        MemoryNode([MemoryImage(IMAGE, size=7), MemoryImage("registry.test/b:1"), MemoryImage(SECRET, forbidden=True)])
    )


@pytest.fixture(name="images")
async def _images(runtime: SlowRuntime, tmp_path: Path) -> AsyncIterator[Images]:
    images = made(runtime, tmp_path)
    yield images
    await images.close()


async def test_a_pull_is_one_for_all_who_wait(images: Images, runtime: SlowRuntime) -> None:
    """The first begins it, the others join; all are told once."""
    ends = Ends()
    assert [images.pull(IMAGE, Waiter(ends)) for _ in range(3)] == [True, False, False]
    view = await images.view(IMAGE)
    assert view.present is None
    assert view.pull is not None
    assert (view.pull.running, view.pull.reason) == (True, Reason.PULLING)
    assert await until(lambda: ends) == pytest.approx(10, abs=0.1)
    assert [(i and i.size, f) for i, f in ends] == [(7, None)] * 3
    assert runtime.pulls == [IMAGE]
    view = await images.view(IMAGE)
    assert (view.present and view.present.size, view.pull) == (7, None)


async def test_an_image_is_looked_up_once_until_it_may_have_changed(images: Images, runtime: SlowRuntime) -> None:
    """A hundred instances of one image ask the runtime once; after the runtime's own news, once more."""
    views = await asyncio.gather(*(images.view(IMAGE) for _ in range(100)))
    await images.view(IMAGE)
    assert runtime.lookups == 1
    assert {v.present for v in views} == {None}
    await MemoryRuntime(runtime.node).pull(IMAGE)
    assert (await images.view(IMAGE)).present is None
    images.changed(IMAGE)
    assert (await images.view(IMAGE)).present is not None
    assert runtime.lookups == 2


async def test_news_are_about_the_normalised_name(images: Images, runtime: SlowRuntime) -> None:
    """People write `app`, the runtime tells `docker.io/library/app:latest`: one image, looked up once, and anew after that."""
    await images.view("app")
    await images.view("docker.io/library/app")
    images.changed("docker.io/library/app:latest")
    images.changed("docker.io/library/other:latest")
    await images.view("app")
    await images.view("docker.io/library/app")
    assert runtime.lookups == 2


async def test_two_spellings_of_an_image_are_one_pull(images: Images, runtime: SlowRuntime) -> None:
    """Whoever writes less of the name waits for the same pull, and finds the same image."""
    runtime.node.registry[NGINX] = MemoryImage(NGINX)
    ends = Ends()
    assert [images.pull(written, Waiter(ends)) for written in ("nginx", NGINX, "library/nginx")] == [True, False, False]
    await until(lambda: len(ends) == 3)
    assert runtime.pulls == [NGINX]
    assert {i and i.name for i, _ in ends} == {NGINX}
    assert (await images.view("nginx:latest")).present == (await images.view(NGINX)).present is not None


async def test_news_that_come_during_a_look_up_are_not_lost(images: Images, runtime: SlowRuntime) -> None:
    """An answer from before the change is not taken for the present."""
    runtime.held.clear()
    looking = asyncio.create_task(images.view(IMAGE))
    await asyncio.sleep(1)
    await MemoryRuntime(runtime.node).pull(IMAGE)
    images.changed(IMAGE)
    joining = asyncio.create_task(images.view(IMAGE))
    await asyncio.sleep(1)
    runtime.held.set()
    assert (await joining).present is not None
    assert (await looking).present is not None


async def test_a_look_up_does_not_undo_a_pull_that_ended_meanwhile(images: Images, runtime: SlowRuntime) -> None:
    """The runtime tells of an image before its pull is done: whoever looked then must not find it missing afterwards."""
    ends = Ends()
    images.pull(IMAGE, Waiter(ends))
    await asyncio.sleep(5)
    runtime.held.clear()
    images.changed(IMAGE)
    looking = asyncio.create_task(images.view(IMAGE))
    await until(lambda: ends)
    runtime.held.set()
    assert (await looking).present is not None
    assert (await images.view(IMAGE)).present is not None


async def test_after_an_outage_everything_is_looked_up_anew(images: Images, runtime: SlowRuntime) -> None:
    """Nobody told what happened to the images meanwhile."""
    assert (await images.view(IMAGE)).present is None
    await MemoryRuntime(runtime.node).pull(IMAGE)
    images.doubt()
    assert (await images.view(IMAGE)).present is not None


@pytest.mark.parametrize(
    ("image", "first", "later", "words"),
    [
        (GONE, Reason.ERR_IMAGE_PULL, Reason.IMAGE_PULL_BACK_OFF, "has no image"),
        (SECRET, Reason.ERR_IMAGE_PULL, Reason.IMAGE_PULL_BACK_OFF, "credentials"),
        (AWAY, Reason.REGISTRY_UNAVAILABLE, Reason.REGISTRY_UNAVAILABLE, "nothing listens"),
    ],
)
async def test_failed_pulls_back_off_and_say_why(images: Images, image: str, first: Reason, later: Reason, words: str) -> None:
    """1, 2, 4 ... seconds up to a minute, with up to a fifth more, so that a fleet does not come back as one.

    The failure stays in sight while it is tried again.
    """
    pauses = []
    for number in range(9):
        ends = Ends()
        assert images.pull(image, Waiter(ends))
        running = (await images.view(image)).pull
        assert running is not None
        assert running.reason == (Reason.PULLING if number == 0 else first if number == 1 else later)
        await ends.come()
        ((found, failed),) = ends
        assert found is None
        assert failed is not None
        assert (failed.running, failed.terminal, failed.reason) == (False, False, first if number == 0 else later)
        assert words in failed.message
        pauses.append(failed.retry_at - now())
    wanted = [1, 2, 4, 8, 16, 32, MAX_SECONDS, MAX_SECONDS, MAX_SECONDS]
    assert all(w - 0.1 <= p <= w * 1.2 for p, w in zip(pauses, wanted, strict=True)), pauses


async def test_success_clears_the_history(images: Images, runtime: SlowRuntime) -> None:
    """The next failure is a first one again."""
    runtime.node.registry.pop(IMAGE)
    for _ in range(3):
        ends = Ends()
        images.pull(IMAGE, Waiter(ends))
        await ends.come()
    runtime.node.registry[IMAGE] = MemoryImage(IMAGE)
    ends = Ends()
    images.pull(IMAGE, Waiter(ends))
    await until(lambda: ends)
    runtime.node.registry.pop(IMAGE)
    ends = Ends()
    images.pull(IMAGE, Waiter(ends))
    await until(lambda: ends)
    assert ends[0][1] is not None
    assert ends[0][1].reason == Reason.ERR_IMAGE_PULL


async def test_one_reference_does_not_hold_up_another(images: Images) -> None:
    """Each backs off for itself."""
    for image in (GONE, IMAGE):
        images.pull(image, Waiter(Ends()))
    await asyncio.sleep(11)
    assert (await images.view(IMAGE)).present is not None
    failed = (await images.view(GONE)).pull
    assert failed is not None
    assert not failed.running


async def test_what_is_pulled_tells_how_far_it_is(images: Images, runtime: SlowRuntime) -> None:
    """Every two seconds, while it is something else than before; a stall is told once, with a rate of nothing."""
    runtime.seconds, runtime.steps = 9.0, [(1, 2_000_000), (3, 6_000_000), (5, 10_000_000)]
    seen: list[PullView | None] = []
    ends = Ends()

    def moved() -> None:
        found = images._pulls.of(IMAGE, images._access.key(IMAGE, NOTHING))
        seen.append(found.progress if found else None)

    images.pull(IMAGE, Waiter(ends, moved=moved))
    await until(lambda: ends)
    assert [v and v.percent for v in seen] == [10, 30, 50, 50]
    assert [v and v.bytes_per_second for v in seen] == pytest.approx([1_000_000, 1_500_000, 1_666_667, 1_250_000], rel=0.01)
    assert (await images.view(IMAGE)).pull is None


async def test_how_far_it_is_is_told_to_those_alone_who_have_the_same_credentials(images: Images, runtime: SlowRuntime) -> None:
    """Whoever joins with others sees that somebody asks for it, which says nothing of whether the image exists."""
    runtime.steps = [(1, 2_000_000)]
    others = Claim(problems=('secret "mine" not found',))
    ends, moves = Ends(), []
    images.pull(IMAGE, Waiter(ends, moved=lambda: moves.append("same")))
    images.pull(IMAGE, Waiter(ends, others, moved=lambda: moves.append("others")))
    await asyncio.sleep(5)
    mine, theirs = (await images.view(IMAGE)).pull, (await images.view(IMAGE, others)).pull
    assert mine is not None
    assert theirs is not None
    assert mine.progress is not None
    assert (theirs.running, theirs.progress) == (True, None)
    assert set(moves) == {"same"}


async def test_a_quick_pull_tells_nothing(images: Images, runtime: SlowRuntime) -> None:
    """It costs no write more."""
    runtime.seconds, runtime.steps = 1.9, [(1, 2_000_000)]
    ends = Ends()
    images.pull(IMAGE, Waiter(ends, moved=lambda: pytest.fail("nobody would see it")))
    await until(lambda: ends)


async def test_what_comes_further_each_time_is_tried_again_soon(images: Images, runtime: SlowRuntime) -> None:
    """A registry whose connections break is not one that does not answer."""
    runtime.steps, runtime.broken = [(1, 1_000_000)], RegistryUnreachable("the connection broke")
    for _ in range(3):
        ends = Ends()
        images.pull(IMAGE, Waiter(ends))
        await ends.come()
        failed = ends[0][1]
        assert failed is not None
        assert failed.retry_at - now() < 1.3


async def test_a_runtime_that_is_back_is_asked_at_once(images: Images, runtime: SlowRuntime) -> None:
    """The pause was for its absence; other failures keep theirs."""
    runtime.broken = Unavailable("containerd is not available")
    ends = Ends()
    for _ in range(4):
        ends.clear()
        images.pull(IMAGE, Waiter(ends))
        await until(lambda: ends)
    runtime.broken = None
    images.pull(GONE, Waiter(ends))
    await until(lambda: len(ends) == 2)
    images.doubt()
    away, gone = (await images.view(IMAGE)).pull, (await images.view(GONE)).pull
    assert away is not None
    assert gone is not None
    assert away.retry_at == 0
    assert gone.retry_at > now()


async def test_whoever_waits_for_a_turn_says_so(images: Images) -> None:
    """And no more, once it is its turn."""
    for image in (IMAGE, "registry.test/b:1", SECRET):
        images.pull(image, Waiter(Ends()))
    await asyncio.sleep(5)
    waits = (await images.view(SECRET)).pull
    assert waits is not None
    assert waits.message == f"{SECRET} waits for its turn: other images are being pulled"
    await asyncio.sleep(10)
    pulls = (await images.view(SECRET)).pull
    assert pulls is not None
    assert pulls.message == f"pulling {SECRET}"


async def test_only_so_many_are_pulled_at_once(images: Images, runtime: SlowRuntime) -> None:
    """The others wait for their turn."""
    ends = Ends()
    for image in (IMAGE, "registry.test/b:1", GONE, SECRET):
        images.pull(image, Waiter(ends))
    assert await until(lambda: len(ends) == 4) == pytest.approx(20, abs=0.1)
    assert runtime.most_at_once == 2


async def test_a_name_that_cannot_be_parsed_is_terminal(images: Images, runtime: SlowRuntime) -> None:
    """It is never tried, and says what is wrong with it."""
    for _ in range(2):
        view = await images.view("Bad Name")
        assert view.pull is not None
        assert (view.pull.terminal, view.pull.reason) == (True, Reason.INVALID_IMAGE_NAME)
        assert "Bad Name" in view.pull.message
    assert runtime.lookups == 0


async def test_a_runtime_that_does_not_answer_is_no_missing_image(images: Images, runtime: SlowRuntime) -> None:
    """Raised, and asked again the next time."""
    runtime.node.stop_answering()
    with pytest.raises(Unavailable):
        await images.view(IMAGE)
    runtime.node.answer_again()
    assert (await images.view(IMAGE)).present is None


@pytest.mark.parametrize("trouble", [Unavailable("broken pipe"), ValueError("a defect")])
async def test_however_a_pull_ends_its_waiters_are_told(images: Images, runtime: SlowRuntime, trouble: Exception) -> None:
    """Nobody waits for ever, and it is tried again."""
    runtime.broken = trouble
    ends = Ends()
    images.pull(IMAGE, Waiter(ends))
    await until(lambda: ends)
    assert ends[0][1] is not None
    assert str(trouble) in ends[0][1].message
    runtime.broken = None
    images.pull(IMAGE, Waiter(ends))
    await until(lambda: len(ends) == 2)
    assert ends[1][0] is not None


async def test_closing_gives_up_what_is_under_way(runtime: SlowRuntime, tmp_path: Path) -> None:
    """No task of it is left."""
    images = made(runtime, tmp_path)
    images.pull(IMAGE, Waiter(Ends()))
    await asyncio.sleep(1)
    await images.close()
    assert runtime.at_once == 0
    assert len(asyncio.all_tasks()) == 1
