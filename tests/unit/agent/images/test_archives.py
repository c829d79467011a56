"""Images from archives: which files are read, whose the image is, and that it takes no name from others."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controller.agent.credentials.credentials import Credentials
from controller.agent.decide.credentials.access import Policy, Rule
from controller.agent.decide.credentials.claim import NOTHING, Claim
from controller.agent.decide.observation import Pull
from controller.agent.images.access import Access
from controller.agent.images.archives import ArchiveNotAllowed, ArchiveNotFound, Archives, InvalidArchive
from controller.agent.images.images import Images
from controller.agent.images.records import PullRecords
from controller.agent.images.waiter import Waiter
from controller.api.reasons import Reason
from controller.runtime.memory import MemoryImage, MemoryNode, MemoryRuntime
from controller.runtime.port import ImageFailure, ImageState
from tests.archives import docker, packed, tar
from tests.unit.agent.clock import until
from tools.images import File, Image, make_layer

WEB = "registry.test/web:1"
MINE, OTHER = Claim(namespace="mine"), Claim(namespace="other")


def made(text: str) -> Image:
    """A small image."""
    return Image("web", "1", [make_layer({"file": File(text.encode())})], {"Cmd": [text]})


ONE, TWO = made("one"), made("two")


def write(path: Path, image: Image = ONE) -> str:
    """An archive of an image, as `docker save` writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return packed(path, tar(docker((image, ["whatever:1"]))))


# --- which files are read

FILES: dict[str, tuple[str, type[ImageFailure] | None, str]] = {
    "a file of the folder": ("allowed/web.tar", None, ""),
    "one in a folder below it": ("allowed/team/web.tar", None, ""),
    "one of another folder": ("second/web.tar", None, ""),
    "a link that stays below the folder": ("allowed/inner.tar", None, ""),
    "a file beside the folder": ("outside.tar", ArchiveNotAllowed, "is in none of the folders"),
    "a folder that begins alike": ("allowed-not/web.tar", ArchiveNotAllowed, "is in none of the folders"),
    "a way up and out": ("allowed/../outside.tar", ArchiveNotAllowed, "is in none of the folders"),
    "a way up and back": ("allowed/team/../web.tar", ArchiveNotAllowed, "is in none of the folders"),
    "a link to a file outside": ("allowed/out.tar", ArchiveNotAllowed, "a link in its path leads out of"),
    "a link to a folder outside": ("allowed/door/outside.tar", ArchiveNotAllowed, "a link in its path leads out of"),
    "a link in circles": ("allowed/circle.tar", ArchiveNotAllowed, "a link in its path leads out of"),
    "nothing": ("allowed/none.tar", ArchiveNotFound, "there is no such file on this node"),
    "nothing, in a folder that is not there": ("absent/web.tar", ArchiveNotFound, "there is no such file on this node"),
    "something below a file": ("allowed/web.tar/web.tar", ArchiveNotFound, "there is no such file on this node"),
    "a folder": ("allowed/team", InvalidArchive, "is no regular file"),
    "a pipe that nobody writes into": ("allowed/pipe", InvalidArchive, "is no regular file"),
    "an empty file": ("allowed/empty", InvalidArchive, ""),
    "something else": ("allowed/garbage", InvalidArchive, ""),
    "a file that ends in its middle": ("allowed/half.tar", InvalidArchive, ""),
    "two images": ("allowed/two.tar", InvalidArchive, ""),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Folders with archives, and what should not be there."""
    allowed = tmp_path / "allowed"
    for path in ("allowed/web.tar", "allowed/team/web.tar", "second/web.tar", "outside.tar", "allowed-not/web.tar"):
        write(tmp_path / path)
    (allowed / "inner.tar").symlink_to("team/web.tar")
    (allowed / "out.tar").symlink_to("../outside.tar")
    (allowed / "door").symlink_to(tmp_path)
    (allowed / "circle.tar").symlink_to("circle.tar")
    os.mkfifo(allowed / "pipe")
    (allowed / "empty").touch()
    (allowed / "garbage").write_bytes(os.urandom(4096))
    whole = (allowed / "web.tar").read_bytes()
    (allowed / "half.tar").write_bytes(whole[: len(whole) // 2])
    packed(allowed / "two.tar", tar(docker((ONE, ["a:1"]), (TWO, ["b:1"]))))
    return tmp_path


def open_files() -> list[str]:
    """Descriptors of this process that stand for archives."""
    return [str(where) for one in Path("/proc/self/fd").iterdir() if one.is_symlink() and ".tar" in str(where := one.resolve())]


@pytest.mark.parametrize("case", FILES)
async def test_only_archives_of_the_folders_are_read(root: Path, case: str) -> None:
    """Failures name the file as it was asked for, and nothing of it is on the node."""
    path, failure, said = FILES[case]
    runtime = MemoryRuntime(MemoryNode())
    archives = Archives(runtime, [root / "allowed", root / "second", root / "absent"])
    if failure is None:
        assert (await archives.load(str(root / path), WEB, lambda _: None)).name == WEB
    else:
        with pytest.raises(failure) as raised:
            await archives.load(str(root / path), WEB, lambda _: None)
        assert str(raised.value).startswith(f"archive {root / path}")
        assert said in str(raised.value)
        assert "/proc/" not in str(raised.value)
        assert not runtime.node.images
    assert not open_files()


async def test_of_two_folders_the_inner_one_is_the_border(tmp_path: Path) -> None:
    """A link from it into the outer one leads out."""
    write(tmp_path / "web.tar")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "link.tar").symlink_to("../web.tar")
    archives = Archives(MemoryRuntime(MemoryNode()), [tmp_path, tmp_path / "inner"])
    with pytest.raises(ArchiveNotAllowed):
        await archives.load(str(tmp_path / "inner" / "link.tar"), WEB, lambda _: None)


# --- whose the image is


class Node:
    """A node's images, over the lives of several agents."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.archives = folder, folder / "archives"
        self.runtime = MemoryRuntime(MemoryNode([MemoryImage(WEB)]))
        self.one, self.two = write(self.archives / "one.tar"), write(self.archives / "two.tar", TWO)
        self.rule = Rule()
        self.begin()

    def begin(self) -> None:
        """An agent begins."""
        self.records = PullRecords(self.folder / "images.json")
        self.records.load()
        access = Access(self.records, self.rule)
        self.images = Images(self.runtime, Credentials(), access, archive_dirs=[self.archives])

    async def get(self, who: Claim, archive: str = "", *, anew: bool = False) -> "tuple[ImageState | None, Pull | None]":
        """Pull it, or bring it from an archive, and wait for the end."""
        ends: list[tuple[ImageState | None, Pull | None]] = []
        self.images.pull(WEB, Waiter(lambda *end: ends.append(end), who, anew, archive))
        await until(lambda: ends)
        return ends[0]

    async def sees(self, who: Claim) -> bool:
        """Whether somebody may use it."""
        return (await self.images.view(WEB, who)).present is not None

    @property
    def cmd(self) -> tuple[str, ...]:
        """Tells which of the images it is."""
        return self.runtime.node.images[WEB].config.cmd


@pytest.fixture(name="node")
async def _node(tmp_path: Path) -> AsyncIterator[Node]:
    node = Node(tmp_path)
    yield node
    await node.images.close()


def reason(end: "tuple[ImageState | None, Pull | None]") -> Reason | None:
    """Why it failed."""
    image, pull = end
    assert (image is None) is (pull is not None)
    return pull.reason if pull is not None else None


@pytest.mark.parametrize("policy", list(Policy))
async def test_it_is_for_the_namespace_that_named_the_archive(node: Node, policy: Policy) -> None:
    """Whatever the node's setting: to others it is as if it were not there. Also for the next agent."""
    node.rule = Rule(policy, ("registry.test/web",) if policy is Policy.NEVER_VERIFY_ALLOWLISTED_IMAGES else ())
    node.begin()
    assert reason(await node.get(MINE, node.one)) is None
    for _ in range(2):
        assert [await node.sees(one) for one in (MINE, OTHER, NOTHING)] == [True, False, False]
        node.begin()
    assert reason(await node.get(OTHER, node.one)) is Reason.ARCHIVE_NOT_ALLOWED


async def test_others_get_what_the_registry_has(node: Node) -> None:
    """And from then on that is what the name means, which no archive changes any more."""
    await node.get(MINE, node.one)
    image, _ = await node.get(OTHER)
    assert image is not None
    assert node.cmd != ("one",)
    assert await node.sees(OTHER)
    failed = await node.get(MINE, node.one, anew=True)
    assert reason(failed) is Reason.ARCHIVE_NOT_ALLOWED
    assert failed[1] is not None
    assert "is on the node already" in failed[1].message
    assert await node.sees(OTHER)


async def test_what_was_loaded_by_hand_stays_for_all(node: Node) -> None:
    """No archive takes its place."""
    await MemoryRuntime(node.runtime.node).pull(WEB)
    assert reason(await node.get(MINE, node.one, anew=True)) is Reason.ARCHIVE_NOT_ALLOWED
    assert await node.sees(OTHER)


async def test_what_was_loaded_by_hand_stays_for_all_when_an_archive_holds_the_same(node: Node) -> None:
    """A right to one name says nothing of another."""
    twin = "registry.test/twin:1"
    await node.runtime.import_images(node.one, name=twin)
    await node.get(MINE, node.one)
    assert (await node.images.view(twin, OTHER)).present is not None
    assert not await node.sees(OTHER)


async def test_a_namespace_replaces_its_own(node: Node) -> None:
    """By another archive, and by the same one anew; what the registry has is not asked for."""
    await node.get(MINE, node.one)
    assert reason(await node.get(MINE, node.two, anew=True)) is None
    assert node.cmd == ("two",)
    write(node.archives / "two.tar", ONE)
    await node.get(MINE, node.two, anew=True)
    assert node.cmd == ("one",)
    assert await node.sees(MINE)


async def test_who_wants_the_registrys_word_is_not_served_by_an_archive(node: Node) -> None:
    """Nor the other way round: both get their own, one after the other."""
    ends: dict[str, list[object]] = {"archive": [], "registry": []}
    node.images.pull(WEB, Waiter(lambda image, _: ends["archive"].append(image), MINE, anew=True, archive=node.one))
    node.images.pull(WEB, Waiter(lambda image, _: ends["registry"].append(image), MINE, anew=True))
    await until(lambda: all(ends.values()))
    assert ends["registry"] == [None]
    image, _ = await node.get(MINE, anew=True)
    assert image is not None
    assert node.cmd != ("one",)


async def test_a_failure_of_one_is_none_of_the_other(node: Node) -> None:
    """A missing file says nothing of the registry, nor a registry that is away of the file."""
    missing = str(node.archives / "none.tar")
    assert reason(await node.get(MINE, missing)) is Reason.ARCHIVE_NOT_FOUND
    assert (await node.images.view(WEB, MINE)).pull is None
    assert (await node.images.view(WEB, MINE, archive=missing)).pull is not None
    assert (await node.images.view(WEB, OTHER, archive=missing)).pull is None
    node.runtime.node.registry.clear()
    assert reason(await node.get(OTHER)) is not None
    assert (await node.images.view(WEB, MINE, archive=node.one)).pull is None
    assert reason(await node.get(MINE, node.one)) is None


async def test_an_agent_that_is_killed_in_an_import_may_do_it_again(node: Node) -> None:
    """What it left behind is nobody's until then."""
    await node.records.begin(WEB)
    await node.runtime.import_images(node.one, name=WEB)
    node.begin()
    assert [await node.sees(one) for one in (MINE, OTHER)] == [False, False]
    assert reason(await node.get(MINE, node.one)) is None
    assert [await node.sees(one) for one in (MINE, OTHER)] == [True, False]
