"""configMap, secret, downwardAPI and projected volumes: a table of cases, then changes that reach the files of what runs.

Source of the rules: kubernetes.io, "ConfigMaps", "Secrets", "Downward API", "Projected Volumes" and "Configure a Security
Context for a Pod or Container" (fsGroup).
"""

import base64
import time
from typing import Any

import pytest

from tests.harness import Object
from tests.integration.semantics.cases import Case, is_ready, main, shell
from tests.integration.semantics.volumes.cases import at, case, fails, waits
from tests.integration.semantics.world import COLLECTION, World
from tests.waiting import eventually

NODE = "volumes-2"
SECONDS = 10.0
"""Within which a change must reach the files."""


def config_map(name: str, **data: str) -> Object:
    """A ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": data}


def secret(name: str, **data: str) -> Object:
    """A Secret."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "default"}, "stringData": data}


OBJECTS = (
    config_map("settings", colour="blue", size="large") | {"binaryData": {"raw": base64.b64encode(b"\x00\xff").decode()}},
    secret("login", user="ada", password="lovelace"),
    config_map("changing", one="0", other="0"),
    secret("rotated", key="0"),
)
SETTINGS = {"configMap": {"name": "settings"}}
LOGIN = {"secret": {"secretName": "login"}}
FIELDS = {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}}


def mounted(sentence: str, source: Object, *lines: str, **fields: Any) -> Case:
    """A case with one such volume at /d."""
    return case(sentence, [at("/d")], *lines, volumes={"data": source}, **fields)


def missing(sentence: str, source: Object, told: str) -> Case:
    """A case whose volume cannot be made."""
    why = f'MountVolume.SetUp failed for volume "data" : {told}'
    return mounted(sentence, source, then=waits("FailedMount", why), events=(f"FailedMount: {why}",))


def items(*pairs: tuple[str, str], **more: Any) -> list[Object]:
    """Keys and their paths."""
    return [{"key": key, "path": path, **more} for key, path in pairs]


CASES = {
    "map": mounted(
        "every key of a ConfigMap is a file, read-only, with mode 0644",
        SETTINGS,
        "[ $(cat /d/colour)-$(cat /d/size) = blue-large ]",
        "[ $(stat -L -c %a /d/colour) = 644 ]",
        "[ $(wc -c < /d/raw) = 2 ]",
        fails("touch /d/colour"),
        fails("rm /d/size"),
    ),
    "map-items": mounted(
        "items choose keys, their paths and modes; others are left out",
        {"configMap": {"name": "settings", "items": items(("colour", "deep/down/c"), mode=0o400), "defaultMode": 0o640}},
        "[ $(cat /d/deep/down/c) = blue ]",
        "[ $(stat -L -c %a /d/deep/down/c) = 400 ]",
        "[ ! -e /d/size ]",
    ),
    "map-mode": mounted(
        "defaultMode is the mode of all others",
        {"configMap": {"name": "settings", "defaultMode": 0o555}},
        "[ $(stat -L -c %a /d/size) = 555 ]",
    ),
    "map-missing": missing(
        "a ConfigMap that is not there is waited for", {"configMap": {"name": "nowhere"}}, 'configmap "nowhere" not found'
    ),
    "map-later": mounted("and the container starts when it is", {"configMap": {"name": "later"}}, "[ $(cat /d/a) = b ]"),
    "map-no-key": missing(
        "so is a key that is chosen and not there",
        {"configMap": {"name": "settings", "items": items(("nothing", "x"))}},
        "configmap references non-existent config key: nothing",
    ),
    "map-optional": mounted(
        "optional: what is not there is left out",
        {"configMap": {"name": "nowhere", "optional": True}},
        '[ -z "$(ls /d)" ]',
    ),
    "key-optional": mounted(
        "keys, too",
        {"configMap": {"name": "settings", "optional": True, "items": items(("nothing", "x"), ("size", "s"))}},
        '[ "$(ls /d)" = s ]',
    ),
    "secret": mounted(
        "every key of a Secret is a file, in memory",
        LOGIN,
        "[ $(cat /d/user)-$(wc -c < /d/password) = ada-8 ]",
        "[ $(stat -f -c %T /d) = tmpfs ]",
        fails("touch /d/user"),
    ),
    "secret-missing": missing(
        "a Secret that is not there is waited for", {"secret": {"secretName": "nowhere"}}, 'secret "nowhere" not found'
    ),
    "group": mounted(
        "fsGroup owns the files, and may read what its owner may",
        {"secret": {"secretName": "login", "defaultMode": 0o400}},
        "[ $(stat -L -c %a-%g /d/user) = 440-4321 ]",
        "[ $(cat /d/user) = ada ]",
        spec={"securityContext": {"fsGroup": 4321, "runAsUser": 1234}},
    ),
    "no-group": mounted(
        "without it, a mode of the owner's alone keeps others out",
        {"secret": {"secretName": "login", "defaultMode": 0o400}},
        fails("cat /d/user"),
        spec={"securityContext": {"runAsUser": 1234}},
    ),
    "fields": mounted("downwardAPI tells of the instance", FIELDS, "[ $(cat /d/name) = fields ]"),
    "projected": mounted(
        "projected puts several sources into one folder",
        {
            "projected": {
                "sources": [
                    {"configMap": {"name": "settings", "items": items(("colour", "c"))}},
                    {"secret": {"name": "login", "items": items(("user", "in/u"))}},
                    FIELDS,
                ],
                "defaultMode": 0o600,
            }
        },
        "[ $(cat /d/c)-$(cat /d/in/u)-$(cat /d/name) = blue-ada-projected ]",
        "[ $(stat -L -c %a /d/c) = 600 ]",
    ),
    "projected-twice": missing(
        "two sources that make one file contradict each other",
        {
            "projected": {
                "sources": [
                    {"configMap": {"name": "settings", "items": items(("colour", "x"))}},
                    {"secret": {"name": "login", "items": items(("user", "x"))}},
                ]
            }
        },
        "conflicting duplicate paths: x",
    ),
    "sub-path": case(
        "subPath mounts one of the files",
        [at("/etc/colour", subPath="colour")],
        "[ $(cat /etc/colour) = blue ]",
        volumes={"data": SETTINGS},
    ),
}


@pytest.fixture(scope="module", name="applied")
def _applied(world: World) -> World:
    """All cases, applied at once; then one ConfigMap comes that is waited for."""
    world.site.apply(*OBJECTS)
    world.apply(CASES)
    world.told("map-later", ('FailedMount: MountVolume.SetUp failed for volume "data" : configmap "later" not found',))
    world.site.apply(config_map("later", a="b"))
    return world


@pytest.mark.parametrize("name", CASES)
def test_case(applied: World, name: str) -> None:
    """The instance comes to be as its case says."""
    applied.holds(name, CASES[name])


def test_changes_reach_the_files_of_what_runs(applied: World) -> None:
    """All files of a volume at once, in 10 s, without a restart; a subPath keeps what it had.

    The watcher holds a folder of files while it compares them; of one that is replaced meanwhile, files may be gone.
    """
    watch = (
        "while true; do cd -P /m/..data; if a=$(cat one) && b=$(cat other) && [ $a != $b ]; then echo torn $a $b; fi; cd /; "
        "echo $(cat /m/one) $(cat /s/key) $(cat /l/labels) $(cat /sub); sleep 0.1; done"
    )
    volumes = [
        {"name": "m", "configMap": {"name": "changing"}},
        {"name": "s", "secret": {"secretName": "rotated"}},
        {"name": "l", "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels['step']"}}]}},
    ]
    mounts = [at("/m", "m"), at("/s", "s"), at("/l", "l"), at("/sub", "m", subPath="one")]
    applied.apply({"watcher": Case("", shell(watch) | {"volumeMounts": mounts}, is_ready, {"volumes": volumes})})
    applied.until("watcher", is_ready)
    applied.site.plane.kubectl("label", "ci/watcher", "step=0")
    shown(applied, "0 0 0 0")
    for step in (1, 2):
        began = time.monotonic()
        applied.site.apply(config_map("changing", one=str(step), other=str(step)), secret("rotated", key=str(step)))
        applied.site.plane.kubectl("label", "--overwrite", "ci/watcher", f"step={step}")
        shown(applied, f"{step} {step} {step} 0")
        assert time.monotonic() - began < SECONDS
        applied.site.agent.kill()
        applied.site.agent.start()
    said = applied.said("watcher")
    assert not [line for line in said if line.startswith("torn")]
    assert main(applied.until("watcher", is_ready))["restartCount"] == 0


def shown(world: World, line: str) -> None:
    """Wait until the watcher has just said something."""
    said = eventually(lambda: world.said("watcher")[-3:], lambda said: line in said, SECONDS)
    assert line in said, said


def test_what_was_there_stays_when_its_object_goes(applied: World) -> None:
    """A deleted Secret takes nothing from what runs, nor from its next restart; its next instance waits."""
    applied.site.apply(secret("leaving", key="x"))
    keeps = shell("cat /d/key; sleep 0.5; exit 1") | {"volumeMounts": [at("/d")]}
    spec = {"volumes": [{"name": "data", "secret": {"secretName": "leaving"}}]}
    applied.apply({"keeper": Case("", keeps, is_ready, spec)})
    applied.until("keeper", lambda o: main(o).get("restartCount", 0) >= 1)
    applied.site.plane.kubectl("delete", "secret", "leaving")
    gone = main(applied.site.api.get(f"{COLLECTION}/keeper"))["restartCount"] + 2
    applied.until("keeper", lambda o: main(o).get("restartCount", 0) >= gone)
    assert eventually(lambda: applied.said("keeper", attempt=gone), bool, SECONDS) == ["x"]


def test_no_content_is_told_anywhere(applied: World) -> None:
    """Neither in a status nor in an Event, nor in the agent's log."""
    everything = applied.site.plane.kubectl("get", "ci,events", "-o", "yaml").stdout + applied.site.agent.log.read_text()
    assert "lovelace" not in everything
    assert base64.b64encode(b"lovelace").decode() not in everything
