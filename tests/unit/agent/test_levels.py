"""Which level holds where, as the agent knows it: from labels, from disk, and not at all."""

import asyncio
import json
from pathlib import Path
from typing import Any

from controller.agent.levels import Levels
from controller.api.podsecurity.levels import BASELINE, ENFORCE, ENFORCE_VERSION
from tests.unit.agent.clock import until


def namespace(name: str, **labels: str) -> dict[str, Any]:
    """A namespace with labels, of which `enforce` and `version` are Pod Security's."""
    known = {"enforce": ENFORCE, "version": ENFORCE_VERSION}
    return {"metadata": {"name": name, "labels": {known.get(k, k): v for k, v in labels.items()}}}


def test_what_was_never_seen_is_not_known(tmp_path: Path) -> None:
    """No labels is the default; no namespace is nothing."""
    told: list[str] = []
    found = Levels(tmp_path / "n.json", BASELINE, told.append)
    assert found.level("a") is None
    found.put({"metadata": {"name": "a"}})
    found.put(namespace("b", enforce="restricted", version="v1.30", team="x"))
    assert (str(found.level("a")), str(found.level("b"))) == ("baseline:latest", "restricted:v1.30")
    assert told == ["a", "b"]


def test_only_labels_that_matter_wake_anybody(tmp_path: Path) -> None:
    """A team's label is nobody's business; a level's change is told, and so is its going."""
    told: list[str] = []
    found = Levels(tmp_path / "n.json", BASELINE, told.append)
    found.put(namespace("a"))
    found.put(namespace("a", team="x"))
    found.put(namespace("a", enforce="privileged"))
    found.put(namespace("a", team="x"))
    assert told == ["a", "a", "a"]
    assert found.level("a") == BASELINE
    found.gone("a")
    assert found.level("a") is None


async def test_it_is_kept_on_disk(tmp_path: Path) -> None:
    """A new agent knows what the earlier one knew, and no more than that of a namespace is written down."""
    path = tmp_path / "n.json"
    before = Levels(path, BASELINE, lambda _: None)
    keeping = asyncio.create_task(before.keep_for_ever())
    before.put(namespace("a", enforce="restricted", team="x"))
    await until(path.exists)
    before.put(namespace("b"))
    await until(lambda: "b" in json.loads(path.read_text()))
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    assert json.loads(path.read_text()) == {"a": {ENFORCE: "restricted"}, "b": {}}
    assert path.stat().st_mode & 0o777 == 0o600
    after = Levels(path, BASELINE, lambda _: None)
    after.load()
    assert (str(after.level("a")), str(after.level("b"))) == ("restricted:latest", "baseline:latest")


def test_a_broken_file_is_as_none(tmp_path: Path) -> None:
    """Half a file, or something else: nothing is known, until the API server answers."""
    path = tmp_path / "n.json"
    for text in ("{", "[]", '{"a": 1}'):
        path.write_text(text)
        found = Levels(path, BASELINE, lambda _: None)
        found.load()
        assert found.level("a") is None
