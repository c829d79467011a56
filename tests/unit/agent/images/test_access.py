"""Several tenants on one node: who is let in to an image, by which credentials, and what each is told."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from controller.agent.credentials.credentials import Credentials
from controller.agent.credentials.nodewide import ConfigFile
from controller.agent.decide.credentials.access import Policy, Rule
from controller.agent.decide.credentials.claim import NOTHING, Claim
from controller.agent.decide.credentials.keyring import SecretId, Source
from controller.agent.decide.observation import ImageView, Pull
from controller.agent.images.access import PASSES, Access
from controller.agent.images.images import Images
from controller.agent.images.records import PullRecords
from controller.agent.images.waiter import Waiter
from controller.api.reasons import Reason
from controller.runtime.memory import MemoryImage, MemoryNode, MemoryRuntime
from controller.runtime.port import Credential, ImageState, PullProgress, RegistryUnreachable, Unavailable
from tests.unit.agent.clock import until

PRIVATE, PUBLIC, GONE = "r.test/team/private:1", "r.test/public:1", "r.test/team/none:1"
A, B, WRONG = Credential("a", "hidden-a"), Credential("b", "hidden-b"), Credential("x", "hidden-x")


def claim(credential: Credential, namespace: str, name: str = "regcred") -> Claim:
    """The Secret of a namespace."""
    return Claim((Source({"r.test": credential}, f"Secret {name}", SecretId(namespace, name, f"uid-{namespace}")),))


TEAM_A, TEAM_B, STRANGER = claim(A, "team-a"), claim(B, "team-b"), claim(WRONG, "stranger")


class Registry(MemoryRuntime):
    """Pulls take a second; what was asked for is kept."""

    def __init__(self, node: MemoryNode) -> None:
        super().__init__(node)
        self.asked: list[tuple[str, str]] = []
        """User, and whether it was for a digest or a tag."""
        self.broken: Exception | None = None

    async def pull(
        self,
        reference: str,
        progress: Callable[[PullProgress], None] | None = None,
        *,
        credential: Credential | None = None,
        digest: str = "",
    ) -> ImageState:
        """Fetch an image."""
        self.asked.append((credential.username if credential else "", "digest" if digest else "tag"))
        await asyncio.sleep(1)
        if self.broken is not None:
            raise self.broken
        return await super().pull(reference, progress, credential=credential, digest=digest)


class Node:
    """A node's images, over the lives of several agents."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        known = [MemoryImage(PRIVATE, credentials=(A, B)), MemoryImage(PUBLIC)]
        self.runtime = Registry(MemoryNode(known))
        self.config = folder / "config.json"
        self.rule = Rule()
        self.begin()

    def begin(self) -> None:
        """An agent begins."""
        self.records = PullRecords(self.folder / "images.json")
        self.records.load()
        credentials = Credentials(ConfigFile(self.config))
        self.images = Images(self.runtime, credentials, Access(self.records, self.rule), parallel_pulls=2)

    async def pull(self, image: str, who: Claim = NOTHING, *, anew: bool = False) -> "tuple[ImageState | None, Pull | None]":
        """Pull, and wait for the end."""
        ends: list[tuple[ImageState | None, Pull | None]] = []
        self.images.pull(image, Waiter(lambda *end: ends.append(end), who, anew))
        await until(lambda: ends)
        return ends[0]

    async def sees(self, image: str, who: Claim = NOTHING) -> bool:
        """Whether somebody may use an image."""
        return (await self.images.view(image, who)).present is not None


@pytest.fixture(name="node")
async def _node(tmp_path: Path) -> AsyncIterator[Node]:
    node = Node(tmp_path)
    yield node
    await node.images.close()


async def test_an_image_is_there_for_who_was_let_in_and_for_nobody_else(node: Node) -> None:
    """To others it looks as one that is not there."""
    image, failed = await node.pull(PRIVATE, TEAM_A)
    assert image is not None
    assert failed is None
    assert await node.sees(PRIVATE, TEAM_A)
    for other in (NOTHING, TEAM_B, STRANGER):
        assert await node.images.view(PRIVATE, other) == ImageView(None, None)
    assert node.runtime.asked == [("a", "tag")]


async def test_another_is_let_in_once_by_its_own_credentials(node: Node) -> None:
    """By its digest, without a pull; and is not asked for again."""
    await node.pull(PRIVATE, TEAM_A)
    image, failed = await node.pull(PRIVATE, TEAM_B)
    assert (image, failed) == (node.runtime.node.images[PRIVATE], None)
    assert node.runtime.asked == [("a", "tag"), ("b", "digest")]
    for one in (TEAM_A, TEAM_B):
        assert await node.sees(PRIVATE, one)
    assert not await node.sees(PRIVATE, STRANGER)


async def test_who_is_not_let_in_is_told_as_if_the_image_were_not_there(node: Node) -> None:
    """With what was tried; and waits for the next try by its own clock, which nobody else's success turns back."""
    unseen, elsewhere = await node.pull(PRIVATE, STRANGER)
    assert unseen is None
    assert elsewhere is not None
    await node.pull(PRIVATE, TEAM_A)
    still = (await node.images.view(PRIVATE, STRANGER)).pull
    assert still == elsewhere
    image, failed = await node.pull(PRIVATE, STRANGER)
    assert image is None
    assert failed is not None
    assert (failed.reason, failed.message) == (Reason.IMAGE_PULL_BACK_OFF, elsewhere.message)
    assert "tried with Secret regcred" in failed.message
    assert "hidden" not in failed.message
    assert node.runtime.asked[-2:] == [("x", "digest"), ("", "digest")]
    assert not await node.sees(PRIVATE, STRANGER)
    assert (await node.images.view(PRIVATE, TEAM_A)).pull is None


async def test_wrong_credentials_are_in_nobody_elses_way(node: Node) -> None:
    """Who joins a pull that is refused tries for itself, at once."""
    ends: dict[str, tuple[ImageState | None, Pull | None]] = {}
    for name, who in (("stranger", STRANGER), ("other", STRANGER), ("a", TEAM_A)):
        node.images.pull(PRIVATE, Waiter(lambda *end, name=name: ends.update({name: end}), who))
    await until(lambda: len(ends) == 3)
    assert ends["stranger"][1] == ends["other"][1] is not None
    assert ends["a"] == (None, None)
    assert (await node.images.view(PRIVATE, TEAM_A)).pull is None
    assert (await node.images.view(PRIVATE, STRANGER)).pull is not None
    assert (await node.pull(PRIVATE, TEAM_A))[0] is not None


async def test_nobody_reads_of_the_secrets_of_others(node: Node) -> None:
    """Neither their names nor what is wrong with them; each is told of its own."""
    owns = {
        "none": NOTHING,
        "missing": Claim(problems=('secret "missing" not found',)),
        "first": claim(WRONG, "team-x", "first"),
        "second": claim(WRONG, "team-y", "second"),
    }
    for who in owns.values():
        await node.pull(PRIVATE, who)
    for name, who in owns.items():
        failed = (await node.images.view(PRIVATE, who)).pull
        assert failed is not None
        assert {word for word in owns if word in failed.message.split("needed")[-1]} == {name} - {"none"}


async def test_one_pull_brings_the_image_to_all_who_wait(node: Node) -> None:
    """Who has the same credentials has it, also by another Secret; who has others looks again, and is asked for."""
    ends: dict[str, tuple[ImageState | None, Pull | None]] = {}
    same = claim(A, "team-c", "copy")
    for name, who in (("a", TEAM_A), ("b", TEAM_B), ("c", same)):
        node.images.pull(PRIVATE, Waiter(lambda *end, name=name: ends.update({name: end}), who))
    await until(lambda: len(ends) == 3)
    image = node.runtime.node.images[PRIVATE]
    assert ends == {"a": (image, None), "b": (None, None), "c": (image, None)}
    assert node.runtime.asked == [("a", "tag")]


async def test_a_failure_that_is_of_nobodys_credentials_is_everybodys(node: Node) -> None:
    """A registry that is away is not asked by each tenant for itself."""
    node.runtime.broken = RegistryUnreachable("away")
    await node.pull(PRIVATE, TEAM_A)
    for one in (TEAM_A, TEAM_B, NOTHING):
        failed = (await node.images.view(PRIVATE, one)).pull
        assert failed is not None
        assert (failed.running, failed.reason) == (False, Reason.REGISTRY_UNAVAILABLE)
    node.runtime.broken = None
    await node.pull(PRIVATE, TEAM_B)
    assert (await node.images.view(PRIVATE, TEAM_A)).pull is None


async def test_credentials_are_tried_in_their_order_and_last_none(node: Node) -> None:
    """Secrets in theirs, then the node's; equal ones once."""
    auths = {
        "auths": {"r.test/team": {"username": "b", "password": "hidden-b"}, "r.test": {"username": "x", "password": "hidden-x"}}
    }
    node.config.write_text(json.dumps(auths))
    who = Claim(STRANGER.sources + claim(Credential("y", "z"), "team-c", "second").sources)
    assert (await node.pull(PRIVATE, who))[0] is not None
    assert [user for user, _ in node.runtime.asked] == ["x", "y", "b"]
    node.runtime.asked.clear()
    assert (await node.pull(PUBLIC, Claim(problems=('secret "gone" not found',))))[0] is not None
    assert [user for user, _ in node.runtime.asked] == ["x"]


async def test_by_the_nodes_own_credentials_an_image_is_for_all_on_the_node(node: Node) -> None:
    """As one that needs none."""
    node.config.write_text(json.dumps({"auths": {"r.test": {"username": "a", "password": "hidden-a"}}}))
    for image in (PRIVATE, PUBLIC):
        await node.pull(image)
        for one in (NOTHING, TEAM_B, STRANGER):
            assert await node.sees(image, one)


async def test_a_public_image_that_was_pulled_by_a_secret_opens_to_all_by_one_question(node: Node) -> None:
    """Whether a registry would have needed the credentials is not known before."""
    await node.pull(PUBLIC, TEAM_A)
    assert not await node.sees(PUBLIC)
    await node.pull(PUBLIC)
    assert node.runtime.asked == [("a", "tag"), ("", "digest")]
    for one in (NOTHING, TEAM_B, STRANGER):
        assert await node.sees(PUBLIC, one)


async def test_what_was_found_out_outlives_the_agent(node: Node) -> None:
    """Also while the API server is away, and nobody can tell what is in the Secret."""
    await node.pull(PRIVATE, TEAM_A)
    node.begin()
    assert await node.sees(PRIVATE, TEAM_A)
    assert await node.sees(PRIVATE, Claim(unread=(SecretId("team-a", "regcred"),)))
    assert not await node.sees(PRIVATE, Claim(unread=(SecretId("team-b", "regcred"),)))
    assert not await node.sees(PRIVATE, TEAM_B)
    kept = (node.folder / "images.json").read_text()
    assert not any(part in kept for part in ("hidden", '"a"'))
    assert (node.folder / "images.json").stat().st_mode & 0o777 == 0o600


async def test_what_an_instance_is_made_of_it_may_be_made_of_again(node: Node) -> None:
    """Nothing that ran needs a registry, or a Secret, to be restarted; but another image of the same name does."""
    image, _ = await node.pull(PRIVATE, TEAM_A)
    assert image is not None
    assert (await node.images.view(PRIVATE, NOTHING, {(PRIVATE, image.digest)})).present == image
    assert (await node.images.view(PRIVATE, NOTHING, {(PRIVATE, "sha256:0"), ("r.test/x:1", image.digest)})).present is None


async def test_renewed_credentials_of_a_secret_are_let_in_without_a_question(node: Node) -> None:
    """It is the same Secret, whose right was shown; credentials for another registry are none at all."""
    await node.pull(PRIVATE, TEAM_A)
    assert await node.sees(PRIVATE, claim(WRONG, "team-a"))
    other = Claim((Source({"other.test": A}, "", SecretId("team-a", "regcred", "uid-team-a")),))
    assert not await node.sees(PRIVATE, other)


@pytest.mark.parametrize(
    ("policy", "preloaded", "pulled"),
    [
        (Policy.NEVER_VERIFY, True, True),
        (Policy.NEVER_VERIFY_PRELOADED_IMAGES, True, False),
        (Policy.NEVER_VERIFY_ALLOWLISTED_IMAGES, False, False),
        (Policy.ALWAYS_VERIFY, False, False),
    ],
)
async def test_images_that_were_not_pulled(node: Node, policy: Policy, *, preloaded: bool, pulled: bool) -> None:
    """Loaded by hand, or before Moorage kept records: for all, unless the node's policy says otherwise."""
    node.rule = Rule(policy)
    node.begin()
    await MemoryRuntime(node.runtime.node).pull(PRIVATE, credential=A)
    assert await node.sees(PRIVATE, STRANGER) is preloaded
    await node.pull(PRIVATE, TEAM_A)
    assert await node.sees(PRIVATE, STRANGER) is pulled
    assert await node.sees(PRIVATE, TEAM_A)


async def test_an_agent_that_is_killed_in_a_pull_opens_nothing(node: Node) -> None:
    """The image may be there, and who was let in is not known."""
    node.images.pull(PRIVATE, Waiter(lambda *_: None, TEAM_A))
    await asyncio.sleep(0.5)
    await MemoryRuntime(node.runtime.node).pull(PRIVATE, credential=A)  # what the runtime does by itself
    await node.images.close()
    node.begin()
    for one in (NOTHING, STRANGER, TEAM_A):
        assert not await node.sees(PRIVATE, one)
    await node.pull(PRIVATE, TEAM_A)
    node.begin()
    assert await node.sees(PRIVATE, TEAM_A)
    assert not await node.sees(PRIVATE, STRANGER)


async def test_a_runtime_that_goes_away_in_a_pull_opens_nothing(node: Node) -> None:
    """It may have the image when it is back."""
    node.runtime.broken = Unavailable("gone")
    await node.pull(PRIVATE, TEAM_A)
    await MemoryRuntime(node.runtime.node).pull(PRIVATE, credential=A)
    node.images.doubt()
    node.runtime.broken = None
    assert not await node.sees(PRIVATE, STRANGER)
    await node.pull(PRIVATE, STRANGER)
    node.begin()
    assert not await node.sees(PRIVATE, STRANGER)


async def test_a_pull_that_failed_makes_no_image_of_others_private(node: Node) -> None:
    """What is loaded by hand later is for all."""
    await node.pull(PRIVATE, STRANGER)
    await MemoryRuntime(node.runtime.node).pull(PRIVATE, credential=A)
    node.begin()
    assert await node.sees(PRIVATE, STRANGER)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"salt": "zz"}', '{"salt": "00", "pulled": [], "pulling": [], "lost": false}']
)
async def test_records_that_cannot_be_used_open_nothing(node: Node, caplog: pytest.LogCaptureFixture, text: str) -> None:
    """Every right has to be shown anew, also to the next agents."""
    await node.pull(PRIVATE, TEAM_A)
    (node.folder / "images.json").write_text(text)
    node.begin()
    assert "cannot be used" in caplog.text
    assert not await node.sees(PRIVATE, TEAM_A)
    await node.pull(PUBLIC)
    node.begin()
    assert not await node.sees(PRIVATE, NOTHING)
    await node.pull(PRIVATE, TEAM_A)
    assert await node.sees(PRIVATE, TEAM_A)


async def test_a_moved_tag_does_not_move_for_who_only_asks_for_a_right(node: Node) -> None:
    """IfNotPresent: what is there is used, by whoever may; unless the registry does not have it any more."""
    await node.pull(PRIVATE, TEAM_A)
    old = node.runtime.node.images[PRIVATE]
    moved = old.digest.replace(old.digest[-6:], "abcdef")
    node.runtime.node.images[PRIVATE] = ImageState(PRIVATE, moved)
    node.images.changed(PRIVATE)
    image, failed = await node.pull(PRIVATE, TEAM_B)
    assert failed is None
    assert image is not None
    assert image.digest == old.digest
    assert node.runtime.asked[-2:] == [("b", "digest"), ("b", "tag")]
    node.runtime.node.registry[PRIVATE] = MemoryImage(PRIVATE, credentials=(A, B), older=(moved,))
    node.runtime.node.images[PRIVATE] = ImageState(PRIVATE, moved)
    node.images.changed(PRIVATE)
    image, _ = await node.pull(PRIVATE, TEAM_B)
    assert image is not None
    assert image.digest == moved
    assert node.runtime.asked[-1] == ("b", "digest")


async def test_who_wants_it_anew_asks_for_the_tag(node: Node) -> None:
    """ImagePullPolicy Always; who joins a mere question is told to look again."""
    await node.pull(PRIVATE, TEAM_A)
    await node.pull(PRIVATE, TEAM_A, anew=True)
    assert node.runtime.asked == [("a", "tag"), ("a", "tag")]
    ends: dict[str, tuple[ImageState | None, Pull | None]] = {}
    node.images.pull(PRIVATE, Waiter(lambda *end: ends.update(asks=end), TEAM_B))
    node.images.pull(PRIVATE, Waiter(lambda *end: ends.update(anew=end), TEAM_B, anew=True))
    await until(lambda: len(ends) == 2)
    assert ends["asks"][0] is not None
    assert ends["anew"] == (None, None)


async def test_what_is_known_of_images_that_are_gone_is_forgotten(node: Node) -> None:
    """After two looks, hours apart; of those that are there, nothing is."""
    await node.pull(PRIVATE, TEAM_A)
    await node.pull(PUBLIC)
    gone = node.runtime.node.images[PUBLIC].digest
    await node.runtime.remove_image(PUBLIC)
    for look in range(2):
        assert (node.records.of(gone) is not None) is (look in {0, 1})
        for _ in range(PASSES):
            await node.images.tidy()
    assert node.records.of(gone) is None
    assert await node.sees(PRIVATE, TEAM_A)
    node.begin()
    assert node.records.of(gone) is None
    assert await node.sees(PRIVATE, TEAM_A)


async def test_a_registry_that_says_not_found_of_what_somebody_may_not_see(node: Node) -> None:
    """All credentials are tried; what says most is told."""
    who = Claim(TEAM_A.sources + TEAM_B.sources)
    _, failed = await node.pull(GONE, who)
    assert failed is not None
    assert "has no image" in failed.message
    assert [user for user, _ in node.runtime.asked] == ["a", "b"]
