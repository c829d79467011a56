"""What is left of a start that was interrupted."""

import asyncio
from pathlib import Path

import pytest

from controller.runtime.containerd.container import cgroups


@pytest.fixture(name="root")
def _root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Hierarchies, of which a cgroup is in two; one of them is called by a second name."""
    for name in ("memory/m/x", "cpu/m/x", "pids/m", "cpu/m/other"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "alias").symlink_to("cpu")
    monkeypatch.setattr(cgroups, "_ROOT", tmp_path)
    return tmp_path


async def test_it_goes_from_every_hierarchy(root: Path) -> None:
    """And nothing beside it does."""
    await cgroups.clear("/m/x")
    left = ["alias", "cpu", "cpu/m", "cpu/m/other", "memory", "memory/m", "pids", "pids/m"]
    assert sorted(str(path.relative_to(root)) for path in root.rglob("*")) == left


@pytest.mark.parametrize("cgroup", ["", "/", "/m/none"])
async def test_none_is_none(root: Path, cgroup: str) -> None:
    """What has no cgroup loses nobody's."""
    before = sorted(root.rglob("*"))
    await cgroups.clear(cgroup)
    assert sorted(root.rglob("*")) == before


async def test_what_stays_is_told(root: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is in it is killed first, but for what cannot be seen from here."""
    monkeypatch.setattr(cgroups, "_TRIES", 2)
    process = await asyncio.create_subprocess_exec("sleep", "60")
    (root / "memory/m/x/cgroup.procs").write_text(f"0\n{process.pid}\n")
    await cgroups.clear("/m/x")
    assert await process.wait() == -9
    assert not (root / "cpu/m/x").exists()
    assert "memory/m/x stays: Directory not empty" in caplog.text
