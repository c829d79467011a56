"""ConfigMaps and Secrets with the API server away: a node restarts what ran, and a Secret never reaches a disk."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests import service_accounts
from tests.files import files
from tests.harness import Object, Objects, Site, message, ready, reason, workload
from tests.waiting import eventually
from tools.lab import ControlPlane
from tools.lab.rights import LEVELS, render

HIDDEN = "so-hidden-5309"


@pytest.fixture(name="named")
def _named(own_site: Site) -> Iterator[Site]:
    """A container that names a ConfigMap and a Secret runs; both go at the end."""
    yield own_site
    own_site.plane.start_apiserver()  # also when a test has failed without it
    own_site.plane.kubectl("delete", "--ignore-not-found", "cm/settings", "secret/password")


def settings(value: str) -> tuple[Object, Object]:
    """The two objects."""
    return (
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"LEVEL": value}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "password"}, "stringData": {"p": HIDDEN}},
    )


def environment(pid: int) -> dict[str, str]:
    """That of a process."""
    entries = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(e.split("=", 1) for e in entries if e)


def started_with(pid: int, wanted: dict[str, str]) -> None:
    """The process has these variables: from the moment on at which the OCI runtime has given way to it."""
    found = eventually(lambda: environment(pid), lambda found: wanted.items() <= found.items(), 5)
    assert wanted.items() <= found.items()


def restarted(site: Site, before: int) -> int:
    """Kill the container, and wait for the next one; its pid."""
    os.kill(before, signal.SIGKILL)
    found = eventually(lambda: set(site.containers().values()) - {before}, bool, 15)
    assert found, "it is not restarted"
    return found.pop()


def all_ready(found: Objects) -> bool:
    """The one instance is."""
    return len(found) == 1 and all(map(ready, found.values()))


@pytest.mark.timeout(200)
def test_a_node_needs_no_api_server_to_restart_what_names_a_secret(named: Site) -> None:
    """Also after a restart of the agent; after one of the node it waits for the Secret, and says so."""
    site = named
    env = [{"name": "P", "valueFrom": {"secretKeyRef": {"name": "password", "key": "p"}}}]
    container = {"env": env, "envFrom": [{"configMapRef": {"name": "settings"}}]}
    site.apply(*settings("one"), workload("web", site.registry, container=container))
    site.instances(all_ready)
    (pid,) = site.containers().values()
    wanted = {"LEVEL": "one", "P": HIDDEN}
    started_with(pid, wanted)
    kept_in_memory(site)

    site.plane.stop_apiserver()
    pid = restarted(site, pid)
    started_with(pid, wanted)
    site.agent.kill()
    site.agent.start()
    pid = restarted(site, pid)
    started_with(pid, wanted)

    # as a boot does: what is in memory is lost
    site.agent.stop()
    subprocess.run(["umount", str(site.memory)], check=True, timeout=10)
    os.kill(pid, signal.SIGKILL)
    site.agent.start()
    assert site.containers() == {}
    site.plane.start_apiserver()
    site.instances(lambda o: all_ready(o) and all(i["status"]["restarts"] == 3 for i in o.values()), 40)
    (pid,) = site.containers().values()
    started_with(pid, wanted)


@pytest.mark.timeout(200)
def test_what_was_never_read_is_waited_for_in_words(named: Site) -> None:
    """A right that is missing is told as such; the container starts when it is given."""
    site = named
    env = [{"name": "P", "valueFrom": {"secretKeyRef": {"name": "password", "key": "p"}}}]
    with agents_without(site.plane, "secrets"):
        site.apply(*settings("one"), workload("web", site.registry, container={"env": env}))
        found = site.instances(lambda o: len(o) == 1 and all(reason(i) == "CreateContainerConfigError" for i in o.values()))
        (told,) = (message(i) for i in found.values())
        assert "agents have no right to read Secrets here" in told
        assert HIDDEN not in str(found)
        # for one namespace, and one Secret
        site.plane.kubectl("create", "role", "x", "--verb=list,watch", "--resource=secrets", "--resource-name=password")
        site.plane.kubectl("create", "rolebinding", "x", "--role=x", "--group=moorage:nodes")
        site.instances(all_ready, 60)
        (pid,) = site.containers().values()
        started_with(pid, {"P": HIDDEN})


@pytest.mark.timeout(200)
def test_a_node_needs_no_api_server_to_restart_what_has_a_token(own_site: Site) -> None:
    """Also after a restart of the agent: the token in the volume is good for longer; a new one comes with the API server."""
    site = own_site
    volume = {"name": "token", **service_accounts.volume()}
    container = {"volumeMounts": [{"name": "token", "mountPath": "/t"}]}
    with service_accounts.allowed(site.plane):
        site.apply(workload("web", site.registry, container=container, instance={"volumes": [volume]}))
        site.instances(all_ready)
        (pid,) = site.containers().values()
        token = service_accounts.content(pid)
        site.plane.stop_apiserver()
        try:
            site.agent.kill()
            site.agent.start()
            pid = restarted(site, pid)
            assert eventually(lambda: read(pid), lambda found: found == token, 10) == token
        finally:
            site.plane.start_apiserver()
        site.instances(lambda o: all_ready(o) and all(i["status"]["restarts"] == 1 for i in o.values()), 40)
        fresh = eventually(lambda: read(pid), lambda found: found not in {token, ""}, 20)
        assert service_accounts.review(site.plane, fresh)["authenticated"]
        assert service_accounts.claims(fresh)["jti"] != service_accounts.claims(token)["jti"]


def read(pid: int) -> str:
    """The token that a process sees; empty until the OCI runtime has given way to it."""
    try:
        return service_accounts.content(pid)
    except FileNotFoundError:
        return ""


@contextmanager
def agents_without(plane: ControlPlane, resource: str) -> Iterator[None]:
    """For as long as the block runs, the agents' role gives no right to a resource; what was given besides goes at the end."""
    documents = yaml.safe_load_all(render(*LEVELS))
    (role,) = (d for d in documents if d and (d["kind"], d["metadata"]["name"]) == ("ClusterRole", "moorage-agent"))
    (rule,) = (rule for rule in role["rules"] if resource in rule["resources"])
    rule["resources"].remove(resource)
    try:
        plane.kubectl("apply", "--server-side", "--filename", "-", stdin=yaml.safe_dump(role))
        yield
    finally:
        service_accounts.apply_rights(plane)
        plane.kubectl("delete", "--ignore-not-found", "role/x", "rolebinding/x")


def kept_in_memory(site: Site) -> None:
    """On a tmpfs, readable by root only, and in no file of the agent's on a disk, nor in its log."""
    (kept,) = (path for path in site.memory.rglob("*") if path.is_file())
    assert kept.stat().st_mode & 0o777 == 0o600
    mount = next(line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f" {site.memory} " in line)
    assert " - tmpfs " in mount
    folders = (site.state / "agent", site.state / "logs", site.state / "containers")
    found = [p for folder in folders for p in files(folder) if HIDDEN.encode() in p.read_bytes()]
    assert not found
