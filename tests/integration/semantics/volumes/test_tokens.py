"""serviceAccountToken in projected volumes: a table of cases, what the API server says of a token, and how it stays fresh.

Source of the rules: kubernetes.io, "Configure Service Accounts for Pods" and "Projected Volumes"; owner and mode of the file as
in the kubelet's pkg/volume/projected.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import service_accounts
from tests.harness import Object, Site, ready, started, workload
from tests.integration.semantics.cases import Case, both, is_ready, main
from tests.integration.semantics.volumes import hasty
from tests.integration.semantics.volumes.cases import at, case, fails, waits
from tests.integration.semantics.world import SECONDS, World
from tests.service_accounts import claims, content, review, volume
from tests.waiting import eventually
from tools.lab import Containerd, ControlPlane, Registry

NODE = "volumes-3"
BUILDER = {"serviceAccountName": "builder"}
MODE = "stat -L -c %a-%u-%g /d/token"


def account(name: str) -> Object:
    """A ServiceAccount."""
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "default"}}


def mounted(sentence: str, *lines: str, **fields: Any) -> Case:
    """A case with a token at /d/token, where a volume `data` says nothing else."""
    volumes = fields.pop("volumes", {"data": volume()})
    return case(sentence, [at("/d")], *lines, volumes=volumes, **fields)


def with_modes(sentence: str, wanted: str, **fields: Any) -> Case:
    """A case whose token has this mode and these owners."""
    return mounted(sentence, f"[ $({MODE}) = {wanted} ]", "[ -s /d/token ]", **fields)


USER, GROUP = {"runAsUser": 1234}, {"fsGroup": 4321}
FIRST: Object = {"name": "first", "command": ["true"]}
NOWHERE = 'ServiceAccount "nowhere" (serviceAccountName) does not exist in namespace "default"'

CASES = {
    "plain": with_modes("the file has the volume's defaultMode, 0644", "644-0-0"),
    "default-mode": with_modes(
        "or what that says", "440-0-0", volumes={"data": {"projected": volume()["projected"] | {"defaultMode": 0o440}}}
    ),
    "user": with_modes(
        "where all containers run as one user it is that user's alone", "600-1234-0", spec={"securityContext": USER}
    ),
    "own-user": with_modes("wherever that is written", "600-1234-0", securityContext=USER),
    "two-users": with_modes(
        "where they run as several users, everybody may read it",
        "644-0-0",
        securityContext=USER,
        spec={"initContainers": [FIRST | {"securityContext": {"runAsUser": 1235}}]},
    ),
    "unknown-user": with_modes(
        "and where one leaves its user to its image", "644-0-0", securityContext=USER, spec={"initContainers": [FIRST]}
    ),
    "group": with_modes(
        "fsGroup may read it beside the owner",
        "640-1234-4321",
        spec={"securityContext": USER | GROUP},
    ),
    "group-alone": with_modes("or beside root", "640-0-4321", spec={"securityContext": GROUP}),
    "in-memory": mounted(
        "it is in memory, and read-only", "[ $(stat -f -c %T /d) = tmpfs ]", fails("touch /d/token"), fails("rm /d/token")
    ),
    "together": mounted(
        "it goes into one folder with other sources",
        "[ $(cat /d/name) = together ]",
        "[ -s /d/in/deep ]",
        volumes={
            "data": volume(
                {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
                {"serviceAccountToken": {"path": "in/deep", "audience": "harbour"}},
            )
        },
    ),
    "twice": mounted(
        "two files at one path contradict each other",
        then=waits("FailedMount", "conflicting duplicate paths: token"),
        volumes={"data": volume({"serviceAccountToken": {"path": "token", "audience": "harbour"}})},
    ),
    "missing": mounted(
        "an account that is not there is waited for, in words",
        then=waits("FailedMount", f'MountVolume.SetUp failed for volume "data" : {NOWHERE}: create it, or name another one'),
        spec={"serviceAccountName": "nowhere"},
        events=(f'FailedMount: MountVolume.SetUp failed for volume "data" : {NOWHERE}',),
    ),
    "later": mounted("and the container starts when it is", "[ -s /d/token ]", spec={"serviceAccountName": "later"}),
    "no-token": case(
        "a name alone mounts nothing, and asks for nothing",
        [],
        "[ ! -e /var/run/secrets/kubernetes.io ]",
        spec={"serviceAccountName": "nowhere"},
    ),
}


@pytest.fixture(scope="module")
def world(
    plane: ControlPlane, containerd: Containerd, registry: Registry, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """Manager and agent, which is in a hurry; agents have no right to tokens yet, and the namespace no label."""
    site = Site(plane, containerd, registry, tmp_path_factory.mktemp("tokens") / "s", NODE)
    site.agent.arguments[:1] = [sys.executable, str(Path(hasty.__file__))]
    try:
        with started(site):
            yield World(site)
    finally:
        plane.kubectl("delete", "node", NODE, "--ignore-not-found")
        plane.kubectl("delete", "serviceaccount", "builder", "later", "--ignore-not-found")
        service_accounts.label(plane, allowed=False)
        service_accounts.apply_rights(plane)


@pytest.fixture(scope="module", name="applied")
def _applied(world: World) -> World:
    """What keeps tokens from agents is told and taken away, one after the other; then all cases, applied at once."""
    plane = world.site.plane
    world.site.apply(account("builder"))
    world.apply({"no-right": CASES["plain"]})
    told = 'ServiceAccount "default" (serviceAccountName)'
    world.until("no-right", waits("FailedMount", f"agents have no right to tokens of {told} here", "of the chart"))
    service_accounts.apply_rights(plane, service_accounts.ENABLED)
    how = "only in namespaces with the label moorage.dev/service-account-tokens: allowed, and default has none"
    world.apply({"no-label": CASES["plain"]})
    world.until("no-label", waits("FailedMount", f"no token of {told} is given out: agents get tokens", how))
    service_accounts.label(plane, allowed=True)
    world.apply(CASES)
    world.told("later", ("FailedMount: MountVolume.SetUp failed",))
    world.site.apply(account("later"))
    return world


@pytest.mark.parametrize("name", CASES)
def test_case(applied: World, name: str) -> None:
    """The instance comes to be as its case says."""
    applied.holds(name, CASES[name])


@pytest.mark.parametrize("name", ["no-right", "no-label"])
def test_what_was_refused_goes_on(applied: World, name: str) -> None:
    """When somebody has changed that; nobody tells the agent, which asks again."""
    applied.until(name, CASES["plain"].then)


def test_the_api_server_knows_whose_token_it_is(applied: World) -> None:
    """By the name of the account, for the audience that it was asked for and no other, for the time that was asked for."""
    plane = applied.site.plane
    more = {"serviceAccountToken": {"path": "harbour", "audience": "harbour", "expirationSeconds": 7200}}
    applied.apply({"known": mounted("", "exec sleep 1000000", then=is_ready, volumes={"data": volume(more)}, spec=BUILDER)})
    applied.until("known", is_ready)
    pid = applied.pid("known")
    own, harbour = content(pid, "/d/token"), content(pid, "/d/harbour")
    found = review(plane, own)
    assert found["authenticated"]
    assert found["user"]["username"] == "system:serviceaccount:default:builder"
    assert "authentication.kubernetes.io/node-name" not in found["user"]["extra"]
    assert not review(plane, own, "harbour").get("authenticated")
    assert review(plane, harbour, "harbour")["audiences"] == ["harbour"]
    assert not review(plane, harbour).get("authenticated")
    assert [c["exp"] - c["iat"] for c in map(claims, (own, harbour))] == [3600, 7200]


def test_a_token_ends_with_its_node(applied: World) -> None:
    """Where there is a Node of the agent's name, it is bound to that; long lives are cut where there is none."""
    plane = applied.site.plane
    month = {"data": volume({"serviceAccountToken": {"path": "other", "audience": "x"}}, expirationSeconds=30 * 86400)}
    sleeping = mounted("", "exec sleep 1000000", then=is_ready, volumes=month, spec=BUILDER)
    applied.apply({"unbound": sleeping})
    applied.until("unbound", is_ready)
    unbound = claims(content(applied.pid("unbound"), "/d/token"))
    assert unbound["exp"] - unbound["iat"] == 86400
    assert "node" not in unbound["kubernetes.io"]
    plane.kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}))
    applied.apply({"bound": sleeping})
    applied.until("bound", is_ready)
    pid = applied.pid("bound")
    token, other = content(pid, "/d/token"), content(pid, "/d/other")
    assert claims(token)["exp"] - claims(token)["iat"] == 30 * 86400
    assert review(plane, token)["user"]["extra"]["authentication.kubernetes.io/node-name"] == [NODE]
    plane.kubectl("delete", "node", NODE)

    def ends() -> bool:
        return not review(plane, other, "x").get("authenticated")

    assert eventually(ends, bool, SECONDS), "it outlives its node"


def test_another_account_replaces_what_mounts_its_token(applied: World) -> None:
    """In a workload, as every change of its template: in the same instance, and only the container that mounts it."""
    site = applied.site
    beside = {"name": "beside", "image": f"{site.registry.host}/busybox:1", "command": ["sleep", "1000000"]}
    main_ = beside | {"name": "main", "volumeMounts": [at("/t", "token")]}
    spec: Object = {"containers": [main_, beside], "volumes": [{"name": "token", **volume()}]}
    site.apply(workload("acting", site.registry, instance=spec | BUILDER))
    before = site.workloads(lambda found: "acting" in found and ready(found["acting"]))

    def subject() -> str:
        (pid,) = (pid for key, pid in site.containers().items() if key.startswith("acting-") and "-main-" in key)
        return str(claims(content(pid))["sub"])

    assert subject() == "system:serviceaccount:default:builder"
    site.apply(workload("acting", site.registry, instance=spec | {"serviceAccountName": "default"}))
    generation = before["acting"]["metadata"]["generation"]
    site.workloads(lambda found: found["acting"]["metadata"]["generation"] > generation and ready(found["acting"]))
    assert subject() == "system:serviceaccount:default:default"
    (instance,) = (i for name, i in site.instances().items() if name.startswith("acting-"))
    assert instance["spec"]["serviceAccountName"] == "default"
    counts = {c["name"]: c["restartCount"] for c in instance["status"]["containers"]}
    assert counts == {"main": 1, "beside": 0}
    site.plane.kubectl("delete", "cw/acting")


def test_a_fresh_token_reaches_what_runs(applied: World) -> None:
    """Again and again, each of them good, and never half of one; no container is restarted."""
    watch = "while true; do cat /d/token | md5sum; sleep 0.1; done"
    volumes = {"data": volume(expirationSeconds=int(hasty.HASTY_LIFE))}
    applied.apply({"watcher": mounted("", watch, then=is_ready, volumes=volumes, spec=BUILDER | {"restartPolicy": "Always"})})
    applied.until("watcher", is_ready)
    pid = applied.pid("watcher")
    seen: dict[str, str] = {}

    def another() -> int:
        token = content(pid, "/d/token")
        seen[str(claims(token)["jti"])] = token
        return len(seen)

    assert eventually(another, lambda count: count >= 4, SECONDS) >= 4
    users = {review(applied.site.plane, token)["user"]["username"] for token in seen.values()}
    assert users == {"system:serviceaccount:default:builder"}
    assert applied.pid("watcher") == pid
    assert main(applied.until("watcher", both(is_ready)))["restartCount"] == 0
    said = {line for line in applied.said("watcher") if line.endswith(" -")}
    assert len(said) <= len(seen) + 3, "half of a token was read"


def test_no_token_is_told_anywhere(applied: World) -> None:
    """Neither in a status nor in an Event, nor in the agent's log, nor in its state; it is in the volume alone."""
    everything = applied.site.plane.kubectl("get", "ci,events", "-o", "yaml").stdout + applied.site.agent.log.read_text()
    assert ".eyJ" not in everything
    kept = [p for p in (applied.site.state / "agent").rglob("*") if p.is_file() and "volumes" not in p.parts]
    assert not [p for p in kept if b".eyJ" in p.read_bytes()]
    assert not [p for p in applied.site.memory.rglob("*") if p.is_file()]
