"""Pulling from registries that ask who one is: real ones, through the real containerd."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from controller.runtime.port import Credential, ImageForbidden, ImageNotFound
from tests.contract.containerd_subject import ContainerdSubject
from tests.private import GOOD, PASSWORD, USERS, WRONG, token_registry
from tools.lab import Registry
from tools.lab.faults import FaultyRegistry


@pytest.fixture(scope="module")
def private(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyRegistry]:
    """A registry with the test images that wants user and password, and counts what it serves."""
    state = tmp_path_factory.mktemp("private") / "s"
    with Registry(state, users=USERS, images=registry.images) as found, FaultyRegistry(found.host) as counting:
        yield counting


REFUSED = {
    "none": None,
    "wrong": WRONG,
    "an empty password": Credential("harbourmaster"),
    "a token": Credential(registry_token="x"),
}


async def test_user_and_password(real: ContainerdSubject, private: FaultyRegistry) -> None:
    """They are shown when the registry asks."""
    image = await real.runtime.pull(f"{private.host}/busybox:1", credential=GOOD)
    assert (await real.runtime.image(f"{private.host}/busybox:1")).digest == image.digest


@pytest.mark.parametrize("case", REFUSED)
async def test_what_is_refused(real: ContainerdSubject, private: FaultyRegistry, case: str) -> None:
    """Told as that, whatever was shown; nothing of it is in the text, and no image comes of it."""
    with pytest.raises(ImageForbidden) as told:
        await real.runtime.pull(f"{private.host}/busybox:1", credential=REFUSED[case])
    assert private.host in str(told.value)
    assert WRONG.password not in str(told.value)
    assert await real.runtime.images() == ()


async def test_a_registry_that_asks_for_nothing_is_shown_nothing(real: ContainerdSubject) -> None:
    """Wrong credentials do no harm there."""
    pulled = await real.runtime.pull(real.ref("busybox:1"), credential=WRONG)
    assert pulled.name == real.ref("busybox:1")


async def test_the_right_to_an_image_that_is_on_the_node_costs_one_question(
    real: ContainerdSubject, private: FaultyRegistry
) -> None:
    """By its digest: nothing is fetched, and the name means what it meant."""
    reference = f"{private.host}/busybox:1"
    image = await real.runtime.pull(reference, credential=GOOD)
    private.forget()
    again = await real.runtime.pull(reference, credential=GOOD, digest=image.digest)
    assert again == replace(image, since=again.since)
    assert {request.method for request in private.asked()} == {"HEAD"}
    assert len(private.asked()) == 2  # without, as it begins, and with
    assert all(request.path.endswith(image.digest) for request in private.asked())
    for credential in (None, WRONG):
        with pytest.raises(ImageForbidden) as told:
            await real.runtime.pull(reference, credential=credential, digest=image.digest)
        assert image.digest not in str(told.value), "it is nobody's who was not let in"
    assert await real.runtime.image(reference) == again
    assert private.served("/blobs/") == 0


async def test_a_digest_that_the_registry_does_not_have(real: ContainerdSubject, private: FaultyRegistry) -> None:
    """Said as for a tag."""
    with pytest.raises(ImageNotFound):
        await real.runtime.pull(f"{private.host}/busybox:1", credential=GOOD, digest=f"sha256:{'0' * 64}")


async def test_tokens(real: ContainerdSubject, registry: Registry) -> None:
    """By user and password, or by an identity token, of the registry's own server."""
    async with token_registry(registry.host) as tokens:
        reference = f"{tokens.host}/busybox:1"
        for credential, asked in ((GOOD, "password"), (Credential("u", "", tokens.identity_token), "refresh_token")):
            await real.runtime.pull(reference, credential=credential)
            assert set(tokens.asked) == {asked}
            tokens.asked.clear()
        for refused in (None, WRONG, Credential(identity_token="wrong-1")):
            with pytest.raises(ImageForbidden):
                await real.runtime.pull(reference, credential=refused)
        tokens.public = True
        await real.runtime.pull(reference)


async def test_a_registry_token(real: ContainerdSubject, registry: Registry) -> None:
    """It is shown as it is, and nobody asks for another."""
    async with token_registry(registry.host) as tokens:
        await real.runtime.pull(f"{tokens.host}/busybox:1", credential=Credential(registry_token=tokens.token()))
        assert tokens.asked == []
        with pytest.raises(ImageForbidden):
            await real.runtime.pull(f"{tokens.host}/busybox:1", credential=Credential(registry_token="wrong"))


async def test_nothing_of_it_is_left(real: ContainerdSubject, private: FaultyRegistry) -> None:
    """Neither in what containerd writes nor in what it keeps."""
    await real.runtime.pull(f"{private.host}/busybox:1", credential=GOOD)
    state = Path(real.containerd.state)
    for path in (
        p for p in state.rglob("*") if p.is_file() and not p.is_relative_to(state / "root/io.containerd.content.v1.content")
    ):
        assert PASSWORD.encode() not in path.read_bytes(), path
