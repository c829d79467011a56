"""The node's own credentials: a file that may change, and plugins that are real programs."""

import asyncio
import base64
import json
import logging
import os
from pathlib import Path

import pytest

from controller.agent import metrics
from controller.agent.credentials import plugins as module
from controller.agent.credentials.credentials import Credentials
from controller.agent.credentials.nodewide import MOST_BYTES, ConfigFile
from controller.agent.credentials.plugins import Plugin, PluginFailure, load
from controller.agent.decide.credentials.claim import NOTHING, Claim
from controller.agent.decide.credentials.keyring import Source
from controller.runtime.port import Credential

REPOSITORY = "r.test/team/app"
PASSWORD = "hidden-3c"


def config(username: str, registry: str = "r.test") -> str:
    """A config.json."""
    auth = base64.b64encode(f"{username}:{PASSWORD}".encode()).decode()
    return json.dumps({"auths": {registry: {"auth": auth}}})


def users(source: Source | None) -> list[str]:
    """Of all of its entries."""
    return [credential.username for credential in source.entries.values()] if source else []


# --- the file


def test_the_file_is_read_anew_when_it_changes(tmp_path: Path) -> None:
    """It may come late, be replaced or be written over, and go."""
    path = tmp_path / "config.json"
    file = ConfigFile(path)
    assert users(file.source()) == []
    path.write_text(config("one"))
    assert users(file.source()) == ["one"]
    path.write_text(config("three"))
    assert users(file.source()) == ["three"]
    (tmp_path / "new").write_text(config("other"))
    (tmp_path / "new").rename(path)
    assert users(file.source()) == ["other"]
    path.unlink()
    assert users(file.source()) == []


def test_what_is_wrong_with_the_file_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And for people who wait for an image; without anything of it."""
    path = tmp_path / "config.json"
    path.write_text(f'{{"auths": {{"r.test": {{"auth": "{PASSWORD}"}}}}}}')
    file = ConfigFile(path)
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            assert users(file.source()) == []
    assert [record.message for record in caplog.records] == [f'{path}: auths["r.test"]: auth is not base64 of user:password']
    assert file.problems == ('the node\'s config.json: auths["r.test"]: auth is not base64 of user:password',)
    assert PASSWORD not in caplog.text
    path.unlink()
    path.mkdir()
    assert users(file.source()) == []
    assert "cannot be read" in file.problems[0]


def test_a_file_without_end_is_not_read(tmp_path: Path) -> None:
    """Whatever it is, it is no config.json."""
    path = tmp_path / "config.json"
    with path.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    found = ConfigFile(path)
    assert users(found.source()) == []
    assert "larger than" in found.problems[0]


# --- plugins


class Folder:
    """A folder of plugins, and the configuration of one."""

    def __init__(self, root: Path) -> None:
        self.bin, self.config = root / "bin", root / "providers.yaml"
        self.bin.mkdir()
        self.calls = root / "calls"
        """Each question that was asked, a line."""
        self.clock = 0.0

    def plugin(self, script: str, name: str = "plugin", **fields: object) -> Plugin:
        """A configured plugin that is a shell script; its questions are kept."""
        program = self.bin / name
        program.write_text(f"#!/bin/sh\ncat >> {self.calls}; echo >> {self.calls}\n{script}\n")
        program.chmod(0o755)
        self.config.write_text(providers(name, **fields))
        (found,) = load(self.config, self.bin)
        found._clock = lambda: self.clock
        return found

    def asked(self) -> list[str]:
        """The images that were asked for."""
        return [json.loads(line)["image"] for line in self.calls.read_text().splitlines()] if self.calls.exists() else []


def providers(name: str = "plugin", **fields: object) -> str:
    """A CredentialProviderConfig of one plugin."""
    version = "credentialprovider.kubelet.k8s.io/v1"
    provider = {"name": name, "matchImages": ["r.test"], "defaultCacheDuration": "5m", "apiVersion": version, **fields}
    head = {"apiVersion": "kubelet.config.k8s.io/v1", "kind": "CredentialProviderConfig"}
    return json.dumps({**head, "providers": [provider]})


def says(username: str = "me", kind: str = "Image", duration: str | None = None, registry: str = "r.test") -> str:
    """The script of a plugin that answers."""
    body = {
        "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
        "kind": "CredentialProviderResponse",
        "cacheKeyType": kind,
        "auth": {registry: {"username": username, "password": PASSWORD}},
    } | ({"cacheDuration": duration} if duration is not None else {})
    return f"echo '{json.dumps(body)}'"


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


async def test_a_plugin_is_asked_by_the_kubelets_protocol(folder: Folder) -> None:
    """Its arguments and environment are as configured, beside the agent's; the question comes by standard input alone."""
    marks = folder.bin.parent / "marks"
    plugin = folder.plugin(
        f'echo "$# $1 $2 $OWN $HOME" > {marks}\n{says()}',
        args=["get-credentials", "two words; $(no shell)"],
        env=[{"name": "OWN", "value": "given"}],
    )
    source = await plugin.source(REPOSITORY)
    assert source is not None
    assert source.entries == {"r.test": Credential("me", PASSWORD)}
    assert marks.read_text() == f"2 get-credentials two words; $(no shell) given {os.environ['HOME']}\n"
    assert json.loads(folder.calls.read_text()) == {
        "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
        "kind": "CredentialProviderRequest",
        "image": REPOSITORY,
    }


async def test_it_is_not_asked_for_other_images(folder: Folder) -> None:
    """By its matchImages."""
    assert await folder.plugin(says()).source("other.test/app") is None
    assert folder.asked() == []


@pytest.mark.parametrize(
    ("kind", "known"),
    [
        ("Image", [REPOSITORY]),
        ("Registry", [REPOSITORY, "r.test/other"]),
        ("Global", [REPOSITORY, "r.test/other", "r.test:5000/app"]),
    ],
)
async def test_an_answer_is_kept_for_what_and_as_long_as_it_says(folder: Folder, kind: str, known: list[str]) -> None:
    """Then it is asked for anew."""
    images = [REPOSITORY, "r.test/other", "r.test:5000/app"]
    plugin = folder.plugin(says(kind=kind, duration="10m"), matchImages=["r.test", "r.test:5000"])
    for image in images:
        assert users(await plugin.source(image)) == ["me"]
    first = folder.asked()
    assert first == [REPOSITORY, *(image for image in images if image not in known)]
    folder.clock = 599
    for image in images:
        await plugin.source(image)
    assert folder.asked() == first
    folder.clock = 601
    await plugin.source(REPOSITORY)
    assert folder.asked() == [*first, REPOSITORY]


@pytest.mark.parametrize(
    ("duration", "default", "seconds"), [(None, "5m", 300), ("0s", "5m", 0), (None, "0s", 0), ("1m", "0s", 60)]
)
async def test_how_long_it_is_kept(folder: Folder, duration: str | None, default: str, seconds: int) -> None:
    """Its own word goes before the configuration's; 0 is not at all."""
    plugin = folder.plugin(says(duration=duration), defaultCacheDuration=default)
    await plugin.source(REPOSITORY)
    folder.clock = seconds - 0.5
    await plugin.source(REPOSITORY)
    assert len(folder.asked()) == (1 if seconds else 2)
    folder.clock = seconds + 0.5
    await plugin.source(REPOSITORY)
    assert len(folder.asked()) == (2 if seconds else 3)


async def test_what_a_registry_does_not_take_is_asked_for_anew(folder: Folder) -> None:
    """A token may end before its time."""
    plugin = folder.plugin(says(kind="Global"))
    await plugin.source(REPOSITORY)
    Credentials(None, [plugin]).refused("r.test/other")
    await plugin.source(REPOSITORY)
    assert len(folder.asked()) == 2


async def test_all_who_need_an_image_ask_once(folder: Folder) -> None:
    """While an answer is on its way, and although it is not to be kept."""
    plugin = folder.plugin(f"sleep 0.1; {says(duration='0s')}")
    found = await asyncio.gather(*(plugin.source(REPOSITORY) for _ in range(5)))
    assert [users(one) for one in found] == [["me"]] * 5
    assert folder.asked() == [REPOSITORY]


FAILURES = {
    "it fails": (f"echo {PASSWORD}; echo what is wrong >&2; exit 3", "exit code 3"),
    "it says nothing": ("true", "no CredentialProviderResponse"),
    "it says something else": (f"echo '{{\"{PASSWORD}\": 1}}'", "no CredentialProviderResponse"),
    "it says too much": (f"{says()}; head -c 2000000 /dev/zero", "no CredentialProviderResponse"),
}


@pytest.mark.parametrize("case", FAILURES)
async def test_a_plugin_that_fails(folder: Folder, caplog: pytest.LogCaptureFixture, case: str) -> None:
    """Its own words are in the log; nothing that it may have meant as an answer is anywhere. It is counted."""
    script, wanted = FAILURES[case]
    plugin = folder.plugin(script)
    failures = metrics.CREDENTIAL_PROVIDER_FAILURES.labels("plugin")
    before = failures._value.get()
    with pytest.raises(PluginFailure, match=f"^credential provider plugin: .*{wanted}"):
        await plugin.source(REPOSITORY)
    assert failures._value.get() == before + 1
    assert ("what is wrong" in caplog.text) is (case == "it fails")
    assert PASSWORD not in caplog.text


async def test_one_that_does_not_end_is_killed_with_what_it_began(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """At its deadline."""
    monkeypatch.setattr(module, "SECONDS", 0.3)
    pids = folder.bin.parent / "pids"
    plugin = folder.plugin(f"sleep 60 & echo $! $$ > {pids}; wait")
    with pytest.raises(PluginFailure, match="has not ended within"):
        await plugin.source(REPOSITORY)
    for pid in map(int, pids.read_text().split()):
        async with asyncio.timeout(10):
            while _runs(pid):
                await asyncio.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


async def test_one_that_is_gone(folder: Folder) -> None:
    """It was there when the agent began."""
    plugin = folder.plugin(says())
    (folder.bin / "plugin").unlink()
    with pytest.raises(PluginFailure, match="No such file"):
        await plugin.source(REPOSITORY)


def test_at_the_start_what_is_configured_must_be_there(folder: Folder) -> None:
    """Said with the file and the program."""
    folder.config.write_text(providers("absent"))
    with pytest.raises(ValueError, match=f"{folder.config}: provider 'absent': there is no program {folder.bin}/absent"):
        load(folder.config, folder.bin)
    (folder.bin / "absent").write_text("not executable")
    with pytest.raises(ValueError, match="there is no program"):
        load(folder.config, folder.bin)
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        load(folder.config.with_name("none.yaml"), folder.bin)
    folder.config.write_text("{}")
    with pytest.raises(ValueError, match=f"{folder.config}: "):
        load(folder.config, folder.bin)


def test_a_folder_of_configurations(folder: Folder, tmp_path: Path) -> None:
    """By name; a provider once."""
    several = tmp_path / "several"
    several.mkdir()
    with pytest.raises(ValueError, match=r"there is no \*\.yaml"):
        load(several, folder.bin)
    for name in ("b", "a"):
        folder.plugin(says(), name)
        (several / f"{name}.yaml").write_text(folder.config.read_text())
    (several / "README").write_text("not one")
    assert [plugin.name for plugin in load(several, folder.bin)] == ["a", "b"]
    (several / "c.json").write_text(providers("a"))
    with pytest.raises(ValueError, match="'a' is in another file"):
        load(several, folder.bin)


# --- all together


async def test_an_instances_own_go_first_then_the_file_then_plugins(folder: Folder, tmp_path: Path) -> None:
    """As a kubelet orders them; one plugin that fails keeps no other from being used, and is told."""
    path = tmp_path / "config.json"
    path.write_text(config("file", "r.test/team"))
    good, bad = folder.plugin(says("plugin")), folder.plugin("exit 1", "bad")
    claim = Claim((Source({"r.test": Credential("secret", "x")}, "Secret regcred"),), problems=('secret "other" not found',))
    found = await Credentials(ConfigFile(path), [bad, good]).find(REPOSITORY, claim)
    assert [(c.credential.username, c.said) for c in found.candidates] == [
        ("secret", "Secret regcred"),
        ("file", "the node's config.json"),
        ("plugin", "credential provider plugin"),
    ]
    assert found.problems[0] == 'secret "other" not found'
    assert found.problems[1].startswith("credential provider bad: it ended with exit code 1")
    assert PASSWORD not in repr(found)
    assert (await Credentials().find(REPOSITORY, NOTHING)).candidates == ()


async def test_an_agent_that_ends_leaves_no_plugin(folder: Folder) -> None:
    """What asks is given up, and the process with it."""
    pids = folder.bin.parent / "pids"
    plugin = folder.plugin(f"echo $$ > {pids}; exec sleep 60")
    task = asyncio.create_task(plugin.source(REPOSITORY))
    async with asyncio.timeout(10):
        while not pids.exists() or not pids.read_text().strip():
            await asyncio.sleep(0.01)
    pid = int(pids.read_text())
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await plugin.close()
    assert not _runs(pid)
