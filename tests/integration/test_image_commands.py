"""`moorage image` as a user runs it: on a real containerd, a real registry, and beside an agent at work."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.harness import GROUP, MOORAGE, NAMESPACE, Site, ready, started, workload
from tests.private import GOOD, USERS, WRONG, docker_config
from tools.images import File, Image, make_layer, push
from tools.lab import Containerd, ControlPlane, FaultyRegistry, Registry

MIB = 2**20
SECONDS = 60.0


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containerd]:
    """A containerd of these tests alone: they remove all images that nothing uses."""
    with Containerd(tmp_path_factory.mktemp("images") / "s") as found:
        yield found


@pytest.fixture
def site(plane: ControlPlane, own: Containerd, registry: Registry, tmp_path: Path) -> Iterator[Site]:
    """Manager and agent on it."""
    with started(Site(plane, own, registry, tmp_path / "s", "commands1")) as found:
        yield found


class Node:
    """Commands on one node."""

    def __init__(self, containerd: Containerd, state_dir: Path) -> None:
        self.containerd, self.state_dir = containerd, state_dir

    def command(self, verb: str, *arguments: str) -> list[str]:
        """The whole command line."""
        places = ["--containerd", self.containerd.address]
        places += [] if verb in {"tag", "import", "export", "verify"} else ["--state-dir", str(self.state_dir)]
        return [str(MOORAGE), "image", verb, *places, *arguments]

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run one to its end, without a terminal."""
        command = self.command(*arguments)
        return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=SECONDS, check=False)

    def json(self, *arguments: str) -> Any:
        """Run one, and read what it prints."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def names(self) -> set[str]:
        """The names of all images."""
        return {image["name"] for image in self.json("ls", "-o", "json")}

    def empty(self) -> None:
        """Remove all images, whatever state they are in."""
        if names := self.containerd.ctr("images", "ls", "-q", namespace=NAMESPACE).stdout.split():
            self.containerd.ctr("images", "rm", "--sync", *names, namespace=NAMESPACE)


@pytest.fixture
def node(own: Containerd, tmp_path: Path) -> Iterator[Node]:
    """A node without an agent and, before and after, without images."""
    found = Node(own, tmp_path / "agent")
    found.empty()
    yield found
    found.empty()


@pytest.fixture
def large(registry: Registry) -> Image:
    """An image of 6 MiB that nobody has fetched yet."""
    image = Image("commands", "1", [make_layer({f"ballast/{n}": File(os.urandom(2 * MIB))}) for n in range(3)], {"Cmd": ["sh"]})
    push(registry.host, [image])
    return image


def in_terminal(command: Sequence[str], answer: str = "", columns: int = 100) -> tuple[int, str]:
    """Run a command on a terminal of its own; exit code, and all that was shown."""
    person, program = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": "24"}
    shown = bytearray()
    with subprocess.Popen(command, stdin=program, stdout=program, stderr=program, env=environment) as process:
        os.close(program)
        try:
            os.write(person, answer.encode())
            deadline = time.monotonic() + SECONDS
            while select.select([person], [], [], deadline - time.monotonic())[0]:
                try:
                    shown += os.read(person, 65536)
                except OSError:  # its end is closed: the command has ended
                    break
            return process.wait(SECONDS), shown.decode(errors="replace")
        finally:
            process.kill()
            os.close(person)


def plain(text: str) -> str:
    """Without escape sequences."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_a_terminal_shows_bars(node: Node, registry: Registry, large: Image) -> None:
    """Bytes, rate and time to go while it lasts, and one line in the end."""
    with FaultyRegistry(registry.host, bytes_per_second=2 * MIB) as slow:
        code, shown = in_terminal(node.command("pull", f"{slow.host}/commands:1"))
    assert code == 0, shown
    assert "━" in shown
    assert re.search(r"[\d.]+MB of 6\.\d+MB, [\d.]+[kM]B/s, \d+s left", plain(shown)), plain(shown)
    assert re.search(rf"{slow.host}/commands:1: [0-9a-f]{{12}}, 6\.\d+MB, fetched 6\.\d+MB in \d+s", plain(shown))


def test_without_a_terminal_there_are_lines(node: Node, registry: Registry, large: Image) -> None:
    """Progress on stderr, the result on stdout, and no escape sequence in either."""
    with FaultyRegistry(registry.host, bytes_per_second=MIB) as slow:
        done = node.run("pull", f"{slow.host}/commands:1")
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(rf"{slow.host}/commands:1: [0-9a-f]{{12}}, 6\.\d+MB, fetched 6\.\d+MB in \d+s\n", done.stdout)
    lines = done.stderr.splitlines()
    assert 1 <= len(lines) <= 5, lines
    assert all(line.startswith(f"{slow.host}/commands:1: ") for line in lines)
    assert "\x1b" not in done.stdout + done.stderr


def test_an_interrupted_pull_ends_at_once_and_is_gone_on_with(node: Node, registry: Registry, large: Image) -> None:
    """By Ctrl-C, as shells have it: 130, no traceback, and what came need not be fetched again."""
    with FaultyRegistry(registry.host, bytes_per_second=MIB) as slow:
        name = f"{slow.host}/commands:1"
        # what a shell runs in the background does not hear of Ctrl-C, and these tests may be
        command = ["env", "--default-signal=INT", *node.command("pull", name)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert process.stderr is not None
                first = process.stderr.readline()
                process.send_signal(signal.SIGINT)
                out, errors = process.communicate(timeout=SECONDS)
            finally:
                process.kill()
        assert first.startswith(f"{name}: "), first
        assert (process.returncode, out) == (130, "")
        assert "Traceback" not in errors
        slow.bytes_per_second = 0
        (pulled,) = node.json("pull", "-o", "json", name)
    assert pulled["fetchedBytes"] < pulled["size"] - MIB // 2


def test_a_private_registry_is_shown_what_the_node_has_or_what_is_typed(node: Node, registry: Registry, tmp_path: Path) -> None:
    """Neither is ever in the list of processes; who has none is told where they come from."""
    with Registry(tmp_path / "private", users=USERS, images=registry.images) as private:
        name = f"{private.host}/busybox:1"
        refused = node.run("pull", name)
        assert refused.returncode == 1
        assert f"registry {private.host} wants credentials" in refused.stderr
        assert "--password-stdin" in refused.stderr
        wrong = node.run("pull", "-u", WRONG.username, "--password-stdin", name, stdin=f"{WRONG.password}\n")
        assert wrong.returncode == 1
        assert WRONG.password not in wrong.stderr
        typed = node.run("pull", "-u", GOOD.username, "--password-stdin", name, stdin=f"{GOOD.password}\n")
        assert typed.returncode == 0, typed.stderr
        node.empty()
        node.state_dir.mkdir(exist_ok=True)
        (node.state_dir / "config.json").write_text(docker_config(private.host, GOOD))
        known = node.run("pull", name)
        assert known.returncode == 0, known.stderr
        pushed = node.run("push", name, f"{private.host}/pushed/private:1")
        assert pushed.returncode == 0, pushed.stderr


def test_ls_and_inspect_tell_the_same_of_a_real_image(node: Node, registry: Registry) -> None:
    """Digest, platform, size, layers and config as the registry has them."""
    (pulled,) = node.json("pull", "-o", "json", f"{registry.host}/user:1")
    (listed,) = node.json("ls", "-o", "json")
    (inspected,) = node.json("inspect", f"{registry.host}/user:1")
    assert {key: inspected[key] for key in listed} == listed
    assert (listed["digest"], listed["size"], listed["complete"]) == (pulled["digest"], pulled["size"], True)
    assert re.fullmatch(r"linux/\w+", listed["platform"])
    assert abs(time.time() - datetime.fromisoformat(listed["since"]).timestamp()) < SECONDS
    assert len(inspected["layers"]) == 2
    assert inspected["config"]["User"] == "app:staff"
    assert inspected["config"]["StopSignal"] == "SIGINT"


def test_an_image_of_which_a_part_is_gone_is_shown_as_incomplete(node: Node, own: Containerd, registry: Registry) -> None:
    """And mended by a pull."""
    name = f"{registry.host}/links:1"
    node.run("pull", name)
    (found,) = node.json("inspect", name)
    own.ctr("content", "rm", found["layers"][-1], namespace=NAMESPACE)
    own.ctr("content", "rm", found["digest"], namespace=NAMESPACE)
    (listed,) = node.json("ls", "-o", "json")
    assert (listed["complete"], listed["size"]) == (False, None)
    code, shown = in_terminal(node.command("ls"))
    assert (code, "incomplete" in shown) == (0, True)
    assert node.run("pull", name).returncode == 0
    assert node.json("ls", "-o", "json")[0]["complete"]


def test_a_damaged_image_is_told_and_mended(node: Node, own: Containerd, registry: Registry, large: Image) -> None:
    """Which blob, and what to do; when that is done, all is well."""
    name = f"{registry.host}/commands:1"
    node.run("pull", name)
    whole = node.run("verify")
    assert (whole.returncode, whole.stdout) == (0, f"{name}: whole\n")
    layer = node.json("inspect", name)[0]["layers"][1]
    (blob,) = own.state.rglob(f"blobs/sha256/{layer.removeprefix('sha256:')}")
    content = bytearray(blob.read_bytes())
    content[1000] ^= 0xFF
    blob.write_bytes(content)
    damaged = node.run("verify", name)
    assert damaged.returncode == 1
    assert damaged.stdout.splitlines()[0] == f"{name}: damaged"
    assert f"  blob {layer}: " in damaged.stdout
    assert f"moorage image verify --discard {name} ; moorage image pull {name}" in damaged.stdout
    assert node.run("verify", "--discard", name).returncode == 1
    assert node.run("pull", name).returncode == 0
    mended = node.run("verify", "-o", "json", name)
    assert mended.returncode == 0, mended.stdout


def test_a_tag_is_another_name_and_removing_it_leaves_the_first(node: Node, registry: Registry) -> None:
    """Both mean the same content, which goes with the last."""
    name = f"{registry.host}/busybox:1"
    node.run("pull", name)
    node.run("tag", name, "known:good")
    assert len({(image["digest"], image["size"]) for image in node.json("ls", "-o", "json")}) == 1
    assert node.names() == {name, "docker.io/library/known:good"}
    assert node.run("rm", name).stdout == f"removed {name}\n"
    assert node.json("ls", "-o", "json")[0]["complete"]


def test_what_is_pushed_can_be_pulled(node: Node, registry: Registry, large: Image) -> None:
    """By another name, with the same digest; a second time nothing is sent."""
    node.run("pull", f"{registry.host}/commands:1")
    source, target = f"{registry.host}/commands:1", f"{registry.host}/pushed/again:1"
    code, shown = in_terminal(node.command("push", source, target))
    assert code == 0, shown
    assert node.json("push", "-o", "json", source, target)["sentBytes"] == 0
    (pulled,) = node.json("pull", "-o", "json", target)
    assert pulled["digest"] == node.json("inspect", source)[0]["digest"]
    assert f"{target}: {pulled['digest']}, sent" in plain(shown)


def test_what_is_exported_can_be_imported(node: Node, registry: Registry, tmp_path: Path) -> None:
    """By the same names and digests, also on a node that has no registry."""
    names = [f"{registry.host}/{name}:1" for name in ("busybox", "user")]
    node.run("pull", *names)
    before = {image["name"]: image["digest"] for image in node.json("ls", "-o", "json")}
    written = node.run("export", *names, "-o", str(tmp_path / "two.tar"))
    assert written.returncode == 0, written.stderr
    assert written.stdout.endswith(f"with {', '.join(names)}\n")
    node.empty()
    imported = node.json("import", "-o", "json", str(tmp_path / "two.tar"))
    assert {image["name"]: image["digest"] for image in imported} == before
    code, shown = in_terminal(node.command("import", str(tmp_path / "two.tar")))
    assert code == 0, shown
    assert all(f"{name}: " in plain(shown) for name in names)


def test_rm_frees_the_room_before_it_ends(node: Node, own: Containerd, registry: Registry, large: Image) -> None:
    """No content of it is left when the command has ended."""
    name = f"{registry.host}/commands:1"
    node.run("pull", name)
    layers = node.json("inspect", name)[0]["layers"]
    assert all(layer in own.ctr("content", "ls", namespace=NAMESPACE).stdout for layer in layers)
    assert node.run("rm", name).returncode == 0
    left = own.ctr("content", "ls", namespace=NAMESPACE).stdout
    assert [layer for layer in layers if layer in left] == []


def test_prune_asks_a_person(node: Node, registry: Registry, large: Image) -> None:
    """No removes nothing; yes removes, and tells what became free."""
    names = {f"{registry.host}/commands:1", f"{registry.host}/busybox:1"}
    node.run("pull", *names)
    code, shown = in_terminal(node.command("prune"), answer="n\n")
    assert code == 1, shown
    assert "Remove 2 images?" in shown
    assert node.names() == names
    code, shown = in_terminal(node.command("prune"), answer="y\n")
    assert code == 0, shown
    assert re.search(r"removed 2 images, [\d.]+[kMG]?B are free again", plain(shown))
    assert node.names() == set()


def test_what_a_workload_runs_stays(node: Node, site: Site, registry: Registry, large: Image) -> None:
    """Beside an agent at work: rm says who uses it, prune takes the others alone, and a ContainerImage pins."""
    here = Node(site.containerd, site.state / "agent")
    used, pinned, free = (f"{registry.host}/{name}:1" for name in ("busybox", "pause", "commands"))
    site.apply(workload("web", registry))
    site.instances(lambda found: len(found) == 1 and all(map(ready, found.values())))
    image = {
        "apiVersion": "moorage.dev/v1alpha1",
        "kind": "ContainerImage",
        "metadata": {"name": "kept", "namespace": "default"},
        "spec": {"image": pinned, "placement": {"nodeName": "commands1"}},
    }
    site.apply(image)
    try:
        site.api.until(f"{GROUP}/namespaces/default/containerimages", lambda found: all(map(ready, found.values())))
        assert here.run("pull", free).returncode == 0
        (instance,) = site.instances()
        uses = {image["name"]: image["usedBy"] for image in here.json("ls", "-o", "json")}
        assert uses == {
            used: {"containers": [f"default/{instance}/main"], "instances": [], "pinnedBy": []},
            pinned: {"containers": [], "instances": [], "pinnedBy": ["default/kept"]},
            free: {"containers": [], "instances": [], "pinnedBy": []},
        }
        refused = here.run("rm", used, pinned)
        assert refused.returncode == 1
        assert f"{used} is used by container default/{instance}/main" in refused.stderr
        assert f"{pinned} is pinned by ContainerImage default/kept" in refused.stderr
        pruned = here.json("prune", "--yes", "-o", "json")
        assert pruned["removed"] == [free]
        assert here.names() == {used, pinned}
    finally:
        site.plane.kubectl("delete", "cimg", "kept", "-n", "default")
        site.plane.kubectl("delete", "nodeimages", "--all", check=False)
