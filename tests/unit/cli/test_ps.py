"""`moorage ps`."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from controller.api import labels
from controller.cli.inventory import read_state, take
from controller.cli.ps import render
from controller.cli.rows import rows, short_image
from controller.runtime.memory import MemoryRuntime
from controller.runtime.port import ContainerConfig
from tests.unit.cli.world import IMAGES, NOW, World, instance

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def busy(world: World) -> World:
    """A node with one of everything."""
    world.now = NOW - 300
    web = world.want(instance("web-0", containers=["main", "side"]))
    world.make(web, "main", attempt=1)
    world.make(web, "side")
    world.make(world.want(instance("leaving-0", namespace="shop", deleting=True)))
    old = world.make(instance("old-0", namespace="shop"))
    batch = world.make(world.want(instance("batch-0", image=IMAGES[1], restartPolicy="Never")))
    crash = world.make(world.want(instance("crash-1a2b3c4d", image=IMAGES[2])), attempt=4)
    world.want(instance("late-0"))
    world.want(instance("off-0", suspend=True))
    world.end(old, None)
    world.now = NOW - 95
    world.end(batch, 0)
    world.now = NOW - 3
    world.end(crash, 137, oom=True)
    world.now = NOW
    stray = ContainerConfig(id="by-hand", image=IMAGES[1], args=("serve",), labels={})
    asyncio.run(_create(world, stray))
    return world


async def _create(world: World, config: ContainerConfig) -> None:
    await MemoryRuntime(world.node).create(config)


def shown(world: World, width: int | None, **how: bool) -> str:
    """The table as it is printed."""
    containers = asyncio.run(MemoryRuntime(world.node).list())
    listed = rows(take(read_state(world.state_dir), containers))
    return "\n".join(line.rstrip() for line in render(listed, world.now, width, **how)) + "\n"


def listed(world: World) -> dict[str, dict[str, Any]]:
    """What `ps -o json` says, by instance and container."""
    result = world.run("ps", "-o", "json")
    assert result.exit_code == 0
    return {f"{item['instance']}/{item['container']}": item for item in json.loads(result.stdout)}


@pytest.mark.parametrize(
    ("width", "golden"), [(160, "ps_160.txt"), (None, "ps_160.txt"), (110, "ps_110.txt"), (80, "ps_80.txt")]
)
def test_the_table_fits_the_terminal(busy: World, width: int | None, golden: str) -> None:
    """At 160 columns everything is shown; in narrower terminals no name is cut or wrapped, and the image goes first."""
    assert shown(busy, width) == (GOLDEN / golden).read_text()


def test_colour_changes_no_text(busy: World) -> None:
    """Without its escape sequences a coloured table is the plain one."""
    coloured = shown(busy, 160, colour=True)
    assert "\x1b[32mRunning 5m" in coloured
    assert "\x1b[" not in busy.run("ps").stdout


def test_wide_shows_what_leads_elsewhere(busy: World) -> None:
    """The wide table names the runtime's id, for ctr, and the log file."""
    table = busy.run("ps", "-o", "wide").stdout
    web = next(line for line in table.splitlines() if "web-0" in line and "main" in line)
    held = next(c for c in busy.node.containers.values() if c.state.labels.get(labels.INSTANCE_NAME) == "web-0")
    assert held.state.id in web
    assert held.state.labels[labels.LOG_PATH] in web


def test_json_is_complete_and_typed(busy: World) -> None:
    """Machines get numbers as numbers, times in RFC 3339, and null for what is not known."""
    found = listed(busy)
    web = found["web-0/main"]
    assert web["ready"] is True
    assert web["wanted"] is True
    assert web["restarts"] == 1
    assert web["node"] == "node1"
    assert web["startedAt"] == "2027-01-15T07:55:00Z"
    assert web["exitCode"] is None
    assert found["batch-0/main"]["exitCode"] == 0
    assert found["late-0/main"]["phase"] == "waiting"
    assert found["late-0/main"]["containerID"] is None
    assert found["old-0/main"]["wanted"] is False
    assert found["old-0/main"]["exitCode"] is None
    assert found["crash-1a2b3c4d/main"]["oomKilled"] is True


def test_a_changed_spec_is_marked(world: World) -> None:
    """A container that still runs with an older spec is being updated."""
    world.make(world.want(instance("web-0", command=["old"])))
    world.want(instance("web-0", command=["new"]))
    assert listed(world)["web-0/main"]["notes"] == ["updating"]


def test_init_containers_and_what_is_suspended_alone(world: World) -> None:
    """Init containers are listed after the containers, wanted ones that are not there yet as well; logs has them by name."""
    inits: list[dict[str, Any]] = [
        {"name": n, "image": "registry.test/team/web:1.2", "command": ["true"]} for n in ("one", "two")
    ]
    inits[1] |= {"restartPolicy": "Always", "suspend": True}
    web = world.want(instance("web-0", initContainers=inits))
    world.end(world.make(web, "one"), 0)
    world.log(web, "one").write_text("prepared\n")
    found = listed(world)
    assert list(found) == ["web-0/main", "web-0/one", "web-0/two"]
    assert (found["web-0/one"]["exitCode"], found["web-0/two"]["phase"]) == (0, "waiting")
    assert found["web-0/two"]["notes"] == ["suspended"]
    assert world.run("logs", "web-0", "-c", "one", "--follow").stdout == "prepared\n"


def test_it_works_without_an_agent_and_touches_nothing(world: World) -> None:
    """Where no agent ever ran, containers are listed, nothing is called unwanted, and no folder appears."""
    world.make(instance("web-0"))
    result = world.run("ps")
    assert result.exit_code == 0
    assert "web-0" in result.stdout
    assert "unwanted" not in result.stdout
    assert f"no agent keeps its state in {world.state_dir}" in result.stderr
    assert not world.state_dir.exists()


def test_an_empty_node_is_no_error(world: World) -> None:
    """Nothing to list is said on stderr, and is an empty list in JSON."""
    (world.state_dir / "instances").mkdir(parents=True)
    assert world.run("ps").stdout == ""
    assert json.loads(world.run("ps", "-o", "json").stdout) == []


def test_a_silent_runtime_is_one_line(world: World) -> None:
    """A runtime that does not answer is told in one line, with exit code 1."""
    world.node.stop_answering()
    result = world.run("ps")
    assert result.exit_code == 1
    assert result.stderr == "moorage: the runtime does not answer\n"


def test_half_a_state_file_hides_no_other(world: World) -> None:
    """A file that cannot be understood, or is being written, does not keep the others from being listed."""
    world.want(instance("web-0"))
    (world.state_dir / "instances" / "broken.json").write_text("{")
    (world.state_dir / "instances" / "other.new").write_text("{")
    assert list(listed(world)) == ["web-0/main"]


def test_an_unknown_output_is_a_usage_error(world: World) -> None:
    """What cannot be understood ends with 2, as command lines do."""
    assert world.run("ps", "-o", "xml").exit_code == 2


@pytest.mark.parametrize(
    ("image", "short"),
    [
        ("docker.io/library/nginx:1.27", "nginx:1.27"),
        ("docker.io/team/web:1", "team/web:1"),
        ("ghcr.io/team/web@sha256:" + "a" * 64, "ghcr.io/team/web@aaaaaaaaaaaa"),
    ],
)
def test_images_are_shown_as_people_write_them(image: str, short: str) -> None:
    """Docker Hub's prefix goes, and a digest is cut to 12 digits."""
    assert short_image(image) == short


def test_the_store_on_disk_is_read_as_the_agent_writes_it(world: World, tmp_path: Path) -> None:
    """The commands and the agent agree on the format of the state files."""
    world.want(instance("web-0", uid="u1"))
    assert read_state(tmp_path / "nowhere") is None
    state = read_state(world.state_dir)
    assert state is not None
    assert state["u1"].instance.metadata.name == "web-0"
    assert not state["u1"].deleting
