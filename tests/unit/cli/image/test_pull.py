"""`moorage image pull`: what registries are shown, and how far it is."""

import base64
import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from controller.agent.decide.pulling import PullView
from controller.cli.image.progress import LINE_SECONDS, Bars, Lines, words
from controller.runtime.memory import MemoryImage
from controller.runtime.port import Credential, PullProgress
from tests.unit.cli.world import IMAGES, World

PRIVATE = "registry.test/team/private:1"
ROBOT = Credential("robot", "s3cret")


@pytest.fixture
def fresh(world: World) -> World:
    """A node without images, whose registry has a private one."""
    world.node.images.clear()
    world.node.registry[PRIVATE] = MemoryImage(PRIVATE, size=2_000_000, credentials=(ROBOT,))
    return world


def config(folder: Path) -> None:
    """Have the node's own file know the robot."""
    folder.mkdir(parents=True, exist_ok=True)
    auth = base64.b64encode(b"robot:s3cret").decode()
    (folder / "config.json").write_text(json.dumps({"auths": {"registry.test": {"auth": auth}}}))


def test_what_came_is_told_in_a_line_for_each(fresh: World) -> None:
    """Name, digest, size, and what of it had to be fetched."""
    result = fresh.run("image", "pull", "busybox:1", IMAGES[0])
    assert (result.exit_code, result.stderr) == (0, "")
    digest = fresh.node.images[IMAGES[1]].digest[7:19]
    assert result.stdout.splitlines()[0] == f"{IMAGES[1]}: {digest}, 1kB, fetched 1kB in 0s"
    assert set(fresh.node.images) == set(IMAGES[:2])


def test_quiet_prints_what_can_be_pulled_again(fresh: World) -> None:
    """Name and digest, one a line."""
    digest = fresh.node.registry[IMAGES[1]].state().digest
    assert fresh.run("image", "pull", "-q", "busybox:1").stdout == f"{IMAGES[1]}@{digest}\n"


def test_one_that_fails_keeps_no_other_from_being_fetched(fresh: World) -> None:
    """Exit code 1; machines read which and why."""
    result = fresh.run("image", "pull", "-o", "json", "registry.test/nope:1", "No Name", IMAGES[0])
    assert result.exit_code == 1
    missing, invalid, web = json.loads(result.stdout)
    assert "has no image registry.test/nope:1" in missing["error"]
    assert "is not a repository name" in invalid["error"]
    assert (web["name"], web["error"], web["fetchedBytes"]) == (IMAGES[0], None, 1000)
    assert result.stderr.splitlines() == [f"moorage: {missing['error']}", f"moorage: {invalid['error']}"]


def test_the_nodes_own_credentials_are_used(fresh: World) -> None:
    """Those of the config file in the state folder, as by the agent."""
    refused = fresh.run("image", "pull", PRIVATE)
    assert refused.exit_code == 1
    assert "credentials are needed" in refused.stderr
    config(fresh.state_dir)
    assert fresh.run("image", "pull", PRIVATE).exit_code == 0


def test_another_file_can_be_named(fresh: World, tmp_path: Path) -> None:
    """By the agent's own option."""
    config(tmp_path / "other")
    assert fresh.run("image", "pull", "--registry-config", str(tmp_path / "other" / "config.json"), PRIVATE).exit_code == 0


def test_a_password_comes_from_standard_input_alone(fresh: World) -> None:
    """And takes the place of what the node has; a wrong one is told, and does not end in another try without."""
    config(fresh.state_dir)
    wrong = fresh.run("image", "pull", "-u", "robot", "--password-stdin", PRIVATE, stdin="wrong\n")
    assert wrong.exit_code == 1
    assert "wrong" not in wrong.output
    right = fresh.run("image", "pull", "-u", "robot", "--password-stdin", PRIVATE, stdin="s3cret\n")
    assert right.exit_code == 0
    assert "s3cret" not in right.output


@pytest.mark.parametrize(
    ("arguments", "stdin", "told"),
    [
        (("-u", "robot", PRIVATE), None, "one needs the other"),
        (("--password-stdin", PRIVATE), "s3cret\n", "one needs the other"),
        (("-u", "robot", "--password-stdin", PRIVATE), "", "standard input is empty"),
        (("-u", "robot", "--password-stdin", PRIVATE, "busybox"), "s3cret\n", "for one registry"),
        ((), None, "IMAGE"),
    ],
)
def test_credentials_that_cannot_be_meant_are_refused(
    fresh: World, arguments: tuple[str, ...], stdin: str | None, told: str
) -> None:
    """Before any registry is asked; a password is shown to one registry alone."""
    result = fresh.run("image", "pull", *arguments, stdin=stdin)
    assert result.exit_code == 2
    assert told in " ".join(result.stderr.replace("│", " ").split())


def test_what_is_no_reference_is_told_beside_typed_credentials_too(fresh: World) -> None:
    """In one line, and the others are fetched."""
    result = fresh.run("image", "pull", "-u", "robot", "--password-stdin", "No Name", PRIVATE, stdin="s3cret\n")
    assert result.exit_code == 1
    assert "is not a repository name" in result.stderr
    assert PRIVATE in fresh.node.images


# --- progress


@pytest.mark.parametrize(
    ("view", "told"),
    [
        (None, "asking the registry"),
        (PullView("x", 12_000_000, 45_000_000, 5_100_000, 7), "12MB of 45MB, 5.1MB/s, 7s left"),
        (PullView("x", 12_000_000, 45_000_000, 0, None), "12MB of 45MB, nothing comes"),
        (PullView("x", 45_000_000, 45_000_000, 0, 0), "45MB, being unpacked"),
    ],
)
def test_progress_in_words(view: PullView | None, told: str) -> None:
    """Bytes, rate and time to go, whatever shows them."""
    assert words(view, "being unpacked") == told


def test_lines_come_seldom() -> None:
    """None for what is quick, and then one in two seconds."""
    written: list[str] = []
    now = 0.0
    lines = Lines(written.append, clock=lambda: now)
    with lines.transfer("web:1", "being unpacked") as transfer:
        for step in range(1, 51):
            now = step / 10
            transfer(PullProgress(step, 100))
    assert [line.partition(",")[0] for line in written] == ["web:1: 20B of 100B", "web:1: 40B of 100B"]
    assert LINE_SECONDS == 2.0


@pytest.mark.parametrize("width", [80, 110, 160])
def test_bars_fit_the_terminal(width: int) -> None:
    """Of a name that is too long the beginning is left out, and of bytes, rate and time to go nothing."""
    shown = io.StringIO()
    console = Console(file=shown, width=width, force_terminal=True, color_system=None)
    name = "registry.example.com:5000/a/rather/long/path/to/an/image:2026.11.24"
    with Bars(console) as bars, bars.transfer(name, "being unpacked") as transfer:
        transfer(PullProgress(12_000_000, 45_000_000, 12_000_000))
        bars.refresh()
    line = next(
        line for line in re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.getvalue())) if "of 45MB" in line
    )
    assert len(line) <= width
    assert line.rstrip().endswith("12MB of 45MB, nothing comes")
    assert "/image:2026.11.24 " in line
    assert (name in line) == (width > 130)
