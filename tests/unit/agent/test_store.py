"""The desired instances on disk."""

import asyncio
import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from controller.agent.store import FLUSH_SECONDS, Store
from tests.unit.agent.values import UID, instance_object


def loaded(folder: Path) -> Store:
    """A store as the next agent finds it."""
    store = Store(folder)
    store.load()
    return store


@pytest.fixture(name="changes")
def _changes() -> list[str]:
    return []


@pytest.fixture(name="store")
def _store(tmp_path: Path, changes: list[str]) -> Store:
    store = Store(tmp_path / "instances", changes.append)
    store.load()
    return store


def deletion() -> dict[str, object]:
    """An instance that is being deleted."""
    return instance_object(generation=2, meta={"deletionTimestamp": "2027-01-15T08:00:00Z"})


async def test_what_is_put_is_there_for_the_next_agent(store: Store, tmp_path: Path, changes: list[str]) -> None:
    """Spec and metadata survive; status and managed fields are not kept."""
    store.put(instance_object(meta={"managedFields": [{"manager": "x"}]}) | {"status": {"phase": "Running"}})
    (again,) = loaded(tmp_path / "instances")
    found = store.get(UID)
    assert found is not None
    assert again == replace(found, kept=True)
    assert changes == [UID]
    text = (tmp_path / "instances" / f"{UID}.json").read_text()
    assert "managedFields" not in text
    assert "Running" not in text


async def test_files_are_for_root_only(store: Store, tmp_path: Path) -> None:
    """A spec's environment may hold what others must not read."""
    store.put(instance_object())
    folder = tmp_path / "instances"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [stat.S_IMODE(p.stat().st_mode) for p in folder.iterdir()] == [0o600]


async def test_a_reader_never_meets_half_a_file(store: Store, tmp_path: Path) -> None:
    """A file that was being written when the agent died is thrown away, and the one before it holds."""
    store.put(instance_object())
    (tmp_path / "instances" / f"{UID}.new").write_text('{"gone": fal')
    (again,) = loaded(tmp_path / "instances")
    assert again.uid == UID
    assert [p.name for p in (tmp_path / "instances").iterdir()] == [f"{UID}.json"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "1",
        "{}",
        '{"gone": false}',
        '{"gone": false, "object": {}}',
        '{"gone": false, "object": []}',
        "\0\0",
        "\udcff",
    ],
)
async def test_a_file_that_cannot_be_used_is_skipped(text: str, store: Store, tmp_path: Path) -> None:
    """Whatever is in it, the agent starts, knows the others, and takes the instance from the API server."""
    store.put(instance_object())
    bad = tmp_path / "instances" / "0.json"
    bad.write_bytes(text.encode("utf-8", "surrogateescape"))
    again = loaded(tmp_path / "instances")
    assert [d.uid for d in again] == [UID]
    again.put(instance_object(uid="0"))
    assert len(tuple(loaded(tmp_path / "instances"))) == 2


@pytest.mark.parametrize(
    ("sentence", "meta", "generation", "wakes"),
    [
        ("another spec", {}, 2, True),
        ("a deletion", {"deletionTimestamp": "2027-01-15T08:00:00Z"}, 1, True),
        ("a label", {"labels": {"a": "b"}, "resourceVersion": "2"}, 1, False),
        ("another's finalizer", {"finalizers": ["moorage.dev/agent", "other/x"]}, 1, False),
        ("ours taken off", {"finalizers": []}, 1, True),
        ("only our own status", {"managedFields": [1]}, 1, False),
    ],
)
async def test_only_what_matters_wakes(
    sentence: str,
    meta: dict[str, object],
    generation: int,
    wakes: bool,  # noqa: FBT001 - a table
    store: Store,
    changes: list[str],
) -> None:
    """Of a change that the node need not act upon only the metadata is kept current."""
    store.put(instance_object())
    changes.clear()
    store.put(instance_object(meta=meta, generation=generation))
    assert changes == ([UID] if wakes else []), sentence
    found = store.get(UID)
    assert found is not None
    assert found.instance.metadata.generation == generation
    assert list(found.instance.metadata.finalizers) == meta.get("finalizers", ["moorage.dev/agent"])


async def test_gone_is_kept_and_told_once(store: Store, tmp_path: Path, changes: list[str]) -> None:
    """An object that vanished is torn down, also by the next agent."""
    store.put(instance_object())
    store.gone(UID)
    store.gone(UID)
    assert changes == [UID, UID]
    (again,) = loaded(tmp_path / "instances")
    assert (again.gone, again.deleting) == (True, True)


async def test_gone_is_the_last_word_of_a_uid(store: Store, tmp_path: Path) -> None:
    """A uid never comes back: an answer that was still on its way when the deletion came raises nobody from the dead."""
    store.put(instance_object())
    store.gone(UID)
    store.put(instance_object(generation=2))
    found = store.get(UID)
    assert found is not None
    assert found.gone
    (again,) = loaded(tmp_path / "instances")
    assert again.gone


async def test_gone_of_what_is_not_known_is_nothing(store: Store, changes: list[str]) -> None:
    """Somebody else's news."""
    store.gone("unknown")
    assert changes == []
    assert "unknown" not in store


async def test_what_is_finished_stays_finished(store: Store, tmp_path: Path, changes: list[str]) -> None:
    """After the teardown, late news of that uid are ignored; another object of the same name is new."""
    store.put(deletion())
    store.remove(UID)
    changes.clear()
    store.put(deletion())
    assert (changes, UID in store, list((tmp_path / "instances").iterdir())) == ([], False, [])
    store.put(instance_object(uid="another"))
    assert changes == ["another"]


async def test_finished_uids_do_not_pile_up(store: Store) -> None:
    """Years of short instances cost a bounded memory."""
    for number in range(5000):
        store.remove(str(number))
    assert len(store._finished) <= 4096


async def test_what_is_no_instance_is_refused_and_harms_nothing(store: Store, tmp_path: Path, changes: list[str]) -> None:
    """An object of a version that is not understood leaves what is known as it was."""
    store.put(instance_object())
    before = store.get(UID)
    with pytest.raises(ValidationError):
        store.put(instance_object({"name": "x"}, generation=2))
    assert store.get(UID) == before
    assert changes == [UID]
    assert [d.uid for d in loaded(tmp_path / "instances")] == [UID]


async def test_a_full_disk_does_not_keep_the_node_from_its_work(
    store: Store, changes: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be written is told in the log; the instance runs all the same, and its deletion is heard."""

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("controller.disk.os.open", full)
    store.put(instance_object())
    store.gone(UID)
    assert changes == [UID, UID]
    assert "No space left" in caplog.text


async def test_written_files_are_flushed(store: Store, tmp_path: Path) -> None:
    """In the background, also when a file has gone in the meantime."""
    flusher = asyncio.create_task(store.flush_for_ever())
    store.put(instance_object())
    store.put(instance_object(uid="b"))
    (tmp_path / "instances" / "b.json").unlink()
    await asyncio.sleep(FLUSH_SECONDS + 0.1)
    assert not store._unflushed
    assert not flusher.done()
    flusher.cancel()
    await asyncio.gather(flusher, return_exceptions=True)


async def test_the_file_says_what_it_is(store: Store, tmp_path: Path) -> None:
    """One JSON object a file, so that people can read it: whether it is gone, and the object."""
    store.put(instance_object())
    kept = json.loads((tmp_path / "instances" / f"{UID}.json").read_bytes())
    assert kept["gone"] is False
    assert kept["object"]["spec"]["nodeName"] == "node1"


async def test_labels_matter_where_a_volume_tells_of_them(store: Store, changes: list[str]) -> None:
    """Its files are renewed when they change."""
    volumes = [{"name": "about", "downwardAPI": {"items": []}}]
    store.put(instance_object(volumes=volumes))
    changes.clear()
    store.put(instance_object(volumes=volumes, meta={"labels": {"a": "b"}}))
    assert changes == [UID]
    store.put(instance_object(volumes=volumes, meta={"labels": {"a": "b"}, "annotations": {"c": "d"}}))
    assert changes == [UID, UID]
