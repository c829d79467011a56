"""Damaged images: found by reading them, kept from being used, and fetched anew."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from controller.runtime.containerd.image.layers import Layers, on_top_of
from controller.runtime.port import (
    Conflict,
    Damage,
    DamageKind,
    ImageDamaged,
    InvalidReference,
    NotFound,
    Phase,
    StartFailure,
)
from tests.contract.containerd_subject import ContainerdSubject, cut_short
from tests.contract.subject import Subject

USER = "user:1"
"""Two layers, of which the lower one is busybox."""
BASE = "busybox:1"
"""That layer alone."""


async def verified(subject: Subject, name: str = USER) -> tuple[Damage, ...]:
    """What is damaged of an image."""
    return await subject.runtime.verify(subject.ref(name))


async def mended(subject: Subject, name: str = USER) -> None:
    """Take what is damaged away, fetch it anew, and find all well."""
    await subject.runtime.quarantine(subject.ref(name), await verified(subject, name))
    await subject.pull(name)
    assert await verified(subject, name) == ()


async def test_a_whole_image_has_no_damage(subject: Subject) -> None:
    """And reading it changes nothing."""
    await subject.pull(USER)
    before = await subject.runtime.images()
    assert await verified(subject) == ()
    assert await subject.runtime.images() == before


async def test_only_what_is_on_the_node_can_be_verified(subject: Subject) -> None:
    """Nothing is fetched for it."""
    with pytest.raises(NotFound):
        await verified(subject)
    with pytest.raises(NotFound):
        await subject.runtime.quarantine(subject.ref(USER), ())
    with pytest.raises(InvalidReference):
        await subject.runtime.verify("no such::name")


@pytest.mark.parametrize("what", DamageKind)
async def test_damage_is_found_and_mended(subject: Subject, what: DamageKind) -> None:
    """Whatever it is of; in the end containers can be made of the image."""
    await subject.pull(USER)
    await subject.damage(USER, what)
    assert {damage.what for damage in await verified(subject)} == {what}
    await mended(subject)
    state = await subject.run("true", image=subject.ref(USER))
    assert (await subject.ended(state.id)).exit_code == 0


@pytest.mark.parametrize("what", [DamageKind.SNAPSHOT, DamageKind.FILE])
async def test_nothing_is_made_of_damaged_files(subject: Subject, what: DamageKind) -> None:
    """The image is not on the node until it is pulled, also for another connection."""
    await subject.pull(USER)
    await subject.damage(USER, what)
    await subject.runtime.quarantine(subject.ref(USER), await verified(subject))
    other = await subject.connect()
    try:
        for runtime in (subject.runtime, other):
            assert await runtime.images() == ()
            with pytest.raises(NotFound):
                await runtime.image(subject.ref(USER))
            with pytest.raises(NotFound):
                await runtime.create(subject.config("true", image=subject.ref(USER)))
    finally:
        await other.close()


async def test_a_damaged_program_ends_at_once(subject: Subject) -> None:
    """By that it is noticed. What ended containers have written holds up nothing."""
    await subject.pull(USER)
    container_id = await subject.create("true", image=subject.ref(USER))
    await subject.damage(USER, DamageKind.FILE)
    await subject.runtime.start(container_id)
    assert (await subject.ended(container_id)).exit_code == 255
    await mended(subject)
    await subject.runtime.remove(container_id)


async def test_a_layer_that_is_gone_fails_the_start(subject: Subject) -> None:
    """The container is removed as any other."""
    await subject.pull(USER)
    container_id = await subject.create("true", image=subject.ref(USER))
    await subject.damage(USER, DamageKind.SNAPSHOT)
    with pytest.raises(StartFailure, match="no such file"):
        await subject.runtime.start(container_id)
    await subject.runtime.remove(container_id)
    await mended(subject)


async def test_a_blob_is_fetched_anew_under_what_runs(subject: Subject) -> None:
    """What was unpacked of it is whole, and is used all the time."""
    state = await subject.run(image=subject.ref(USER))
    await subject.damage(USER, DamageKind.BLOB)
    await subject.runtime.quarantine(subject.ref(USER), await verified(subject))
    assert (await subject.runtime.image(subject.ref(USER))).name == subject.ref(USER)
    await subject.pull(USER)
    assert await verified(subject) == ()
    assert (await subject.runtime.inspect(state.id)).phase is Phase.RUNNING


async def test_what_runs_keeps_damaged_files(subject: Subject) -> None:
    """It is not disturbed, and nothing more is made of the image; when it has ended, the image can be mended."""
    state = await subject.run(image=subject.ref(USER))
    await subject.damage(USER, DamageKind.FILE)
    with pytest.raises(Conflict, match=state.id):
        await subject.runtime.quarantine(subject.ref(USER), await verified(subject))
    with pytest.raises(NotFound):
        await subject.runtime.image(subject.ref(USER))
    with pytest.raises(ImageDamaged, match=state.id):
        await subject.pull(USER)
    assert (await subject.runtime.inspect(state.id)).phase is Phase.RUNNING
    await subject.runtime.signal(state.id, "SIGKILL")
    await subject.ended(state.id)
    await subject.pull(USER)
    assert await verified(subject) == ()
    await subject.runtime.remove(state.id)


async def test_a_container_that_is_gone_holds_nothing_of_its_image(
    real: ContainerdSubject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though garbage is collected at any moment: containerd's collector would leave the snapshot's name with its parent."""
    state = await real.run(image=real.ref(USER))
    containers = real.runtime._lifecycle._containers

    async def delete(container_id: str, *, really: Callable[[str], Awaitable[None]] = containers.delete) -> None:
        await really(container_id)
        await real.collect_garbage()

    monkeypatch.setattr(containers, "delete", delete)
    await real.runtime.remove(state.id)
    await real.damage(USER, DamageKind.FILE)
    await mended(real)


async def test_a_label_of_the_name_outlives_the_agent(real: ContainerdSubject) -> None:
    """What runs keeps damaged files from going, and another agent knows that they are damaged."""
    state = await real.run(image=real.ref(USER))
    await real.damage(USER, DamageKind.FILE)
    with pytest.raises(Conflict):
        await real.runtime.quarantine(real.ref(USER), await verified(real))
    other = await real.connect()
    assert await other.images() == ()
    with pytest.raises(NotFound, match="damaged"):
        await other.image(real.ref(USER))
    await other.remove(state.id)
    await other.pull(real.ref(USER))
    assert await other.verify(real.ref(USER)) == ()


@pytest.mark.parametrize("how", ["cut short", "changed", "gone"])
@pytest.mark.parametrize("part", ["manifest", "config", "lower layer", "upper layer"])
async def test_every_blob_is_read(real: ContainerdSubject, part: str, how: str) -> None:
    """Each in its own way: its size, its digest, and that it is there at all."""
    await real.pull(USER)
    digest = (await real.runtime.image(real.ref(USER))).digest
    layers = await real.layers(USER)
    if part == "config":
        digest = _config(real.blob(digest))
    elif part != "manifest":
        digest = layers[0 if part == "lower layer" else -1]
    _spoil(real.blob(digest), how)
    (damage,) = await verified(real)
    said = {"cut short": "bytes long", "changed": "another content", "gone": "missing"}[how]
    assert (damage.what, damage.digest) == (DamageKind.BLOB, digest)
    assert said in damage.message
    await mended(real)


@pytest.mark.parametrize("how", ["cut short", "changed", "gone"])
async def test_every_unpacked_file_is_compared(real: ContainerdSubject, how: str) -> None:
    """One that has its length, but not its content, is found, too."""
    await real.pull(USER)
    folders = await real.folders(USER)
    _spoil(folders[0] / "bin/busybox", how)
    _spoil(folders[1] / "bin/show", how)
    found = await verified(real)
    assert ["/bin/busybox" in found[0].message, "/bin/show" in found[1].message] == [True, True]
    assert [damage.what for damage in found] == [DamageKind.FILE] * 2
    assert len({damage.digest for damage in found}) == 2
    await mended(real)


async def test_a_link_and_a_folder_are_compared(real: ContainerdSubject) -> None:
    """What is not there, leads elsewhere or is no folder any more."""
    await real.pull("links:1")
    below, _, above = await real.folders("links:1")
    (above / "outside").unlink()
    (above / "within").unlink()
    (above / "within").symlink_to("elsewhere")
    (below / "home").rmdir()
    (below / "home").write_text("")
    assert {damage.message.partition(" (")[0] for damage in await verified(real, "links:1")} == {
        "file /outside is missing",
        "file /within leads elsewhere than its layer has it",
        "file /home is of another kind than its layer has it",
    }
    await mended(real, "links:1")


@pytest.mark.parametrize(
    ("part", "how"),
    [("layer", "cut short"), ("layer", "changed"), ("layer", "gone"), ("config", "cut short"), ("config", "gone")],
)
async def test_a_pull_mends_what_it_stumbles_over(real: ContainerdSubject, part: str, how: str) -> None:
    """What was fetched before for another image, and is to be unpacked now, is no fault of the registry's."""
    await real.pull("links:1")
    await real.pull(USER)
    manifest = real.blob((await real.runtime.image(real.ref(USER))).digest)
    blob = real.blob(_config(manifest) if part == "config" else (await real.layers("links:1"))[0])
    found = await real.runtime._snapshots.list()
    await Layers(real.channel, real.runtime._snapshots).remove(on_top_of(found, found))
    _spoil(blob, how)
    other = await real.connect()
    await other.pull(real.ref(USER))
    assert await verified(real) == ()


async def test_images_on_a_damaged_layer_are_unpacked_anew(real: ContainerdSubject) -> None:
    """The one that was not looked at is not on the node until it is pulled; what ended containers wrote goes, too."""
    await real.pull("links:1")
    state = await real.run("true", image=real.ref("links:1"))
    await real.ended(state.id)
    await real.pull(USER)
    await real.damage(USER, DamageKind.FILE)
    await mended(real)
    assert [image.name for image in await real.runtime.images()] == [real.ref(USER)]
    await real.pull("links:1")
    assert await verified(real, "links:1") == ()
    await real.runtime.remove(state.id)


async def test_a_layer_goes_that_images_lay_on_which_were_collected(real: ContainerdSubject) -> None:
    """Also where it is the uppermost of an image's: containerd's collector leaves the name of a snapshot with its parent."""
    await real.pull(BASE)
    await real.pull("links:1")
    await real.runtime.remove_image(real.ref("links:1"), wait=True)
    await real.damage(BASE, DamageKind.FILE)
    await mended(real, BASE)


async def test_garbage_is_collected_while_layers_go(real: ContainerdSubject, monkeypatch: pytest.MonkeyPatch) -> None:
    """That takes a layer which nothing needs any more, now that what lay on it is gone, out of the middle."""
    await real.pull("links:1")
    await real.pull(USER)
    snapshots, removed = real.runtime._snapshots, list[str]()

    async def remove(key: str, *, really: Callable[[str], Awaitable[None]] = snapshots.remove) -> None:
        await really(key)
        removed.append(key)
        if len(removed) == 1:
            await real.collect_garbage()

    await real.damage(USER, DamageKind.FILE)
    found = await verified(real)
    with monkeypatch.context() as patched:
        patched.setattr(snapshots, "remove", remove)
        await real.runtime.quarantine(real.ref(USER), found)
    assert len(removed) > 2
    await mended(real)


async def test_a_layer_that_is_lost_names_some_of_its_files(real: ContainerdSubject) -> None:
    """And says how many more there are."""
    await real.pull(USER)
    for file in ((await real.folders(USER))[0] / "bin").iterdir():
        file.unlink()
    found = await verified(real)
    assert len(found) == 21
    assert "more files" in found[-1].message


def _config(manifest: Path) -> str:
    digest: str = json.loads(manifest.read_bytes())["config"]["digest"]
    return digest


def _spoil(file: Path, how: str) -> None:
    """Damage a file, which may be one that nobody is to write to."""
    file.chmod(0o755)
    if how == "gone":
        file.unlink()
    elif how == "cut short":
        cut_short(file)
    else:
        size = file.stat().st_size
        with file.open("r+b") as opened:
            opened.seek(size // 2)
            byte = opened.read(1)
            opened.seek(size // 2)
            opened.write(bytes([byte[0] ^ 1]))
        assert file.stat().st_size == size
