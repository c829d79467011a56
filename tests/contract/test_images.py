"""Images: pulling, reading, naming, removing, and what can go wrong with them."""

import time
from dataclasses import replace

import pytest

from controller.runtime.port import (
    EventKind,
    ImageConfig,
    ImageForbidden,
    ImageName,
    ImageNotFound,
    InvalidReference,
    NotFound,
    PlatformMissing,
    PullProgress,
    RegistryUnreachable,
)
from tests.contract.subject import Subject


async def test_a_pulled_image_is_on_the_node(subject: Subject) -> None:
    """`pull` returns what `image` tells after it, and `images` lists it without its config."""
    pulled = await subject.runtime.pull(subject.ref("busybox:1"))
    assert pulled == await subject.runtime.image(subject.ref("busybox:1"))
    assert pulled.name == subject.ref("busybox:1")
    assert pulled.digest.startswith("sha256:")
    assert pulled.size > 0
    assert await subject.runtime.images() == (replace(pulled, config=ImageConfig()),)
    assert await subject.runtime.image_names() == (ImageName(pulled.name, pulled.digest, pulled.since),)


async def test_what_an_image_says_of_itself(subject: Subject) -> None:
    """What it is for, when it was built, its layers; and since when its name means it."""
    before = time.time()
    image = await subject.runtime.pull(subject.ref("busybox:1"))
    assert image.platform.startswith("linux/")
    assert image.created_at == 0.0
    assert len(image.layers) == len(set(image.layers)) > 0
    assert all(layer.startswith("sha256:") for layer in image.layers)
    assert before - 1 <= image.since <= time.time() + 1


async def test_a_pull_may_be_repeated(subject: Subject) -> None:
    """Pulling an image that is there changes nothing but since when its name is known to mean it."""
    first = await subject.runtime.pull(subject.ref("busybox:1"))
    second = await subject.runtime.pull(subject.ref("busybox:1"))
    assert second == replace(first, since=second.since)
    assert second.since >= first.since


async def test_another_name_means_the_same_image(subject: Subject) -> None:
    """It comes without a pull, stays when the first one goes, and giving it again changes nothing."""
    image = await subject.runtime.pull(subject.ref("busybox:1"))
    async with subject.watch() as watch:
        tagged = await subject.runtime.tag(subject.ref("busybox:1"), "example.com/shop/web")
        await watch.until(lambda event: event.kind is EventKind.IMAGE_CHANGED and event.image == "example.com/shop/web:latest")
    assert tagged == replace(image, name="example.com/shop/web:latest", since=tagged.since)
    assert tagged.since >= image.since
    assert await subject.runtime.tag(subject.ref("busybox:1"), "example.com/shop/web:latest") == tagged
    await subject.runtime.remove_image(subject.ref("busybox:1"))
    assert await subject.runtime.image("example.com/shop/web") == tagged
    assert [name.name for name in await subject.runtime.image_names()] == ["example.com/shop/web:latest"]


async def test_a_name_that_meant_another_image_means_the_new_one(subject: Subject) -> None:
    """As with `docker tag`."""
    first = await subject.runtime.pull(subject.ref("busybox:1"))
    other = await subject.runtime.pull(subject.ref("user:1"))
    await subject.runtime.tag(first.name, "example.com/web:1")
    assert (await subject.runtime.tag(other.name, "example.com/web:1")).digest == other.digest
    assert (await subject.runtime.image("example.com/web:1")).config == other.config


async def test_a_name_with_a_digest_is_for_that_digest_alone(subject: Subject) -> None:
    """Else it would lie."""
    image = await subject.runtime.pull(subject.ref("busybox:1"))
    named = await subject.runtime.tag(image.name, f"example.com/web@{image.digest}")
    assert named.name == f"example.com/web@{image.digest}"
    with pytest.raises(InvalidReference, match="digest"):
        await subject.runtime.tag(image.name, f"example.com/web@sha256:{'0' * 64}")


async def test_only_what_is_on_the_node_gets_a_name(subject: Subject) -> None:
    """And only by a name that is one."""
    with pytest.raises(NotFound):
        await subject.runtime.tag(subject.ref("busybox:1"), "example.com/web:1")
    await subject.pull()
    with pytest.raises(InvalidReference):
        await subject.runtime.tag(subject.ref("busybox:1"), "Not A Reference")
    assert len(await subject.runtime.image_names()) == 1


async def test_a_docker_image_is_an_image(subject: Subject) -> None:
    """Manifests of Docker's schema 2 are read as those of OCI are."""
    image = await subject.runtime.pull(subject.ref("busybox:docker"))
    assert image.config.cmd == ("sh",)


async def test_the_config_says_how_to_run_it(subject: Subject) -> None:
    """Every field of `ImageConfig` comes from the image."""
    config = (await subject.runtime.pull(subject.ref("user:1"))).config
    assert config.entrypoint == ("/bin/show",)
    assert config.cmd == ("one", "two words")
    assert "GREETING=ahoy" in config.env
    assert (config.working_dir, config.user, config.stop_signal) == ("/home/app", "app:staff", "SIGINT")


async def test_progress_reaches_the_whole(subject: Subject) -> None:
    """Progress never goes beyond its total, and in the end all bytes are there."""
    told: list[PullProgress] = []
    await subject.runtime.pull(subject.ref("user:1"), told.append)
    assert all(part.bytes_done <= part.bytes_total for part in told if part.bytes_total)
    assert told[-1].bytes_done == told[-1].bytes_total > 0


async def test_an_image_that_is_not_there_is_not_found(subject: Subject) -> None:
    """`image` tells what is on the node, not what could be pulled."""
    with pytest.raises(NotFound):
        await subject.runtime.image(subject.ref("busybox:1"))


async def test_a_removed_image_is_gone_and_removing_it_again_succeeds(subject: Subject) -> None:
    """`remove_image` is idempotent."""
    await subject.pull()
    await subject.runtime.remove_image(subject.ref("busybox:1"))
    await subject.runtime.remove_image(subject.ref("busybox:1"))
    assert await subject.runtime.images() == ()


async def test_a_removal_that_waits_is_a_removal(subject: Subject) -> None:
    """Also of what is not there; other images stay, and it can be pulled again."""
    await subject.pull("busybox:1")
    other = await subject.runtime.pull(subject.ref("user:1"))
    for _ in range(2):
        await subject.runtime.remove_image(subject.ref("busybox:1"), wait=True)
    assert [image.name for image in await subject.runtime.images()] == [other.name]
    assert await subject.runtime.image(other.name) == other
    await subject.pull("busybox:1")
    assert len(await subject.runtime.images()) == 2


async def test_a_new_image_is_told(subject: Subject) -> None:
    """Whoever watches sees that images changed."""
    async with subject.watch() as watch:
        await subject.pull()
        await watch.until(lambda event: event.kind is EventKind.IMAGE_CHANGED and event.image == subject.ref("busybox:1"))


async def test_unknown_names_are_not_found(subject: Subject) -> None:
    """A registry that answers and has no such thing is not the same as one that does not answer."""
    for name in ("nope:1", "busybox:nope"):
        with pytest.raises(ImageNotFound, match=name):
            await subject.runtime.pull(subject.ref(name))


async def test_a_registry_that_does_not_answer(subject: Subject) -> None:
    """The message names the registry."""
    with pytest.raises(RegistryUnreachable, match=r"127\.0\.0\.1:1"):
        await subject.runtime.pull(subject.unreachable)


async def test_a_registry_that_refuses(subject: Subject) -> None:
    """No permission is not the same as not found."""
    with pytest.raises(ImageForbidden):
        await subject.runtime.pull(subject.forbidden)


async def test_an_image_for_other_machines(subject: Subject) -> None:
    """An index without this node's platform is told as such."""
    with pytest.raises(PlatformMissing, match="platform"):
        await subject.runtime.pull(subject.ref("busybox:foreign"))


@pytest.mark.parametrize("call", ["image", "pull", "remove_image"])
async def test_what_is_no_reference_is_refused(subject: Subject, call: str) -> None:
    """Every call that takes a reference parses it first."""
    with pytest.raises(InvalidReference):
        await getattr(subject.runtime, call)("Not A Reference")


async def test_files_of_an_image_are_held(subject: Subject) -> None:
    """By a name of the holder's, as often as it asks; a name that is gone, and another connection, change nothing."""
    await subject.pull("busybox:1")
    assert await subject.runtime.image_holders() == frozenset()
    files = await subject.runtime.hold_image("a.1", subject.ref("busybox:1"))
    assert files.source or files.options
    other = await subject.connect()
    try:
        assert await other.hold_image("a.1", subject.ref("busybox:1")) == files
        await other.hold_image("b.1", subject.ref("busybox:1"))
        assert await other.image_holders() == {"a.1", "b.1"}
        await other.remove_image(subject.ref("busybox:1"))
        assert await other.hold_image("a.1", subject.ref("busybox:1")) == files
        with pytest.raises(NotFound):
            await other.hold_image("c.1", subject.ref("busybox:1"))
        assert await other.image_holders() == {"a.1", "b.1"}
    finally:
        for holder in ("a.1", "b.1", "b.1", "never"):
            await other.release_image(holder)
        assert await other.image_holders() == frozenset()
        await other.close()


async def test_what_is_held_must_be_on_the_node(subject: Subject) -> None:
    """Nothing is pulled for it, and a name that is none is told as one."""
    with pytest.raises(NotFound):
        await subject.runtime.hold_image("a.1", subject.ref("busybox:1"))
    with pytest.raises(InvalidReference):
        await subject.runtime.hold_image("a.1", "no such::name")
    assert await subject.runtime.image_holders() == frozenset()
