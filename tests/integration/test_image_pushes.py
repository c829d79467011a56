"""Pushes by ContainerImages on real components: two nodes, the registry that they pull from, and one that wants a password."""

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from controller.runtime.port import Credential
from tests.harness import GROUP, NAMESPACE, Object, Objects, Site, condition, message, ready, reason
from tests.private import GOOD, USERS, WRONG, docker_config
from tests.verdicts import AGREES, Argo, kstatus
from tests.waiting import eventually
from tools.lab import Containerd, ControlPlane, FaultyRegistry, Registry

NAMES = ("pushes1", "pushes2")
SPACE = "pushes"
IMAGES = f"{GROUP}/namespaces/{SPACE}/containerimages"
LISTS = f"{GROUP}/nodeimages"


class Place:
    """Two nodes, of which the first has the manager beside it, and the registry that is pushed to."""

    def __init__(self, sites: list[Site], target: FaultyRegistry) -> None:
        self.sites, self.target = sites, target
        self.first, self.api = sites[0], sites[0].api

    def secret(self, name: str, credential: Credential) -> None:
        """A Secret with credentials for that registry."""
        meta = {"name": name, "namespace": SPACE}
        kind, data = "kubernetes.io/dockerconfigjson", {".dockerconfigjson": docker_config(self.target.host, credential)}
        self.first.apply({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": kind, "stringData": data})

    def want(self, name: str, *secrets: str, **spec: Any) -> str:
        """A ContainerImage that is pushed; the place where to."""
        target = f"{self.target.host}/copies/{name}:1"
        push = [{"image": target, "secrets": [{"name": secret} for secret in secrets]}]
        wanted = {"image": f"{self.first.registry.host}/busybox:1", "push": push, **spec}
        meta = {"name": name, "namespace": SPACE}
        self.first.apply({"apiVersion": "moorage.dev/v1alpha1", "kind": "ContainerImage", "metadata": meta, "spec": wanted})
        return target

    def until(self, name: str, true: Any = ready, generation: int = 1, seconds: float = 30.0) -> Object:
        """A ContainerImage, once its status is about this generation and something is true of it."""

        def known(found: Objects) -> bool:
            told = condition(found[name], "Ready") if name in found else {}
            return bool(told) and told["observedGeneration"] == generation and true(found[name])

        return self.api.until(IMAGES, known, seconds)[name]

    def heard(self, name: str) -> None:
        """Wait until a manager that has just begun hears of images."""
        meta = {"name": name, "namespace": SPACE}
        obj = {"apiVersion": "moorage.dev/v1alpha1", "kind": "ContainerImage", "metadata": meta, "spec": {"image": "Not one"}}
        self.first.apply(obj)
        self.until(name, lambda o: reason(o) == "InvalidImageName")

    def at_registry(self, target: str) -> str:
        """The digest that it has there, by the registry's own word; empty when there is nothing."""
        path, _, tag = target.removeprefix(f"{self.target.host}/").rpartition(":")
        request = urllib.request.Request(f"http://{self.target.host}/v2/{path}/manifests/{tag}", method="HEAD")
        login = base64.b64encode(f"{GOOD.username}:{GOOD.password}".encode()).decode()
        request.add_header("Authorization", f"Basic {login}")
        kinds = ("oci.image.manifest.v1+json", "oci.image.index.v1+json", "docker.distribution.manifest.v2+json")
        request.add_header("Accept", ", ".join(f"application/vnd.{kind}" for kind in kinds))
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return str(answer.headers["Docker-Content-Digest"])
        except urllib.error.HTTPError as exc:
            if exc.code != 404:
                raise
            return ""

    def digest(self, site: Site, image: str) -> str:
        """What a name stands for in a node's containerd."""
        lines = site.containerd.ctr("images", "ls", namespace=NAMESPACE).stdout.splitlines()
        return next(line.split()[2] for line in lines if line.split()[0] == image)

    def manifests(self, name: str) -> int:
        """How often a manifest was put there."""
        return sum(request.method == "PUT" and f"/copies/{name}/manifests/" in request.path for request in self.requests)

    @property
    def requests(self) -> list[Any]:
        """All requests to that registry so far."""
        return list(self.target.requests)

    def asked(self, name: str) -> list[str]:
        """The nodes that are asked to push what a ContainerImage says."""
        entries = {node: o["spec"].get("images", []) for node, o in self.api.objects(LISTS).items()}
        return [node for node, all_ in entries.items() if any(e["name"] == name and e.get("push") for e in all_)]


@pytest.fixture(scope="module")
def place(plane: ControlPlane, registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Both nodes run, and the registry is empty."""
    folder = tmp_path_factory.mktemp("pushes")
    with ExitStack() as stack:
        private = stack.enter_context(Registry(folder / "r", users=USERS))
        target = stack.enter_context(FaultyRegistry(private.host))
        sites = [_site(plane, stack, registry, folder / name, name) for name in NAMES]
        plane.kubectl("create", "namespace", SPACE)
        try:
            sites[0].start()
            sites[1].agent.start()
            found = Place(sites, target)
            found.api.until(f"{GROUP}/runtimenodes", lambda all_: set(NAMES) <= {n for n, o in all_.items() if ready(o)})
            yield found
        finally:
            plane.kubectl("delete", "cimg", "--all", "-n", SPACE, "--wait=false", check=False)
            sites[1].agent.stop()
            sites[0].stop()
            plane.kubectl("delete", "nodeimages,rn", *NAMES, "--ignore-not-found", check=False)
            plane.kubectl("delete", "namespace", "--wait=false", SPACE)


def _site(plane: ControlPlane, stack: ExitStack, registry: Registry, folder: Path, name: str) -> Site:
    return Site(plane, stack.enter_context(Containerd(folder / "c")), registry, folder / "s", name)


def test_one_of_the_nodes_pushes_it(place: Place) -> None:
    """Once; the ContainerImage is Ready when the registry has it, and tells the digest that it has there."""
    place.secret("robot", GOOD)
    target = place.want("once", "robot")
    found = place.until("once")
    (push,) = found["status"]["pushes"]
    assert (push["image"], push["state"]) == (target, "Pushed")
    assert push["node"] in NAMES
    assert push["digest"] == place.at_registry(target)
    assert push["source"] == place.digest(place.first, f"{place.first.registry.host}/busybox:1")
    assert place.manifests("once") == 1
    assert eventually(lambda: not place.asked("once"), bool, 10), "nobody is asked for what is done"
    assert kstatus([found]) == ["Current"]


def test_nothing_is_pushed_again_by_who_starts_anew(place: Place) -> None:
    """Neither when the manager does, nor the agents: not one further request for it arrives."""

    def requests() -> int:  # those that others have left to be tried again do not count
        return sum("/copies/still/" in request.path for request in place.requests)

    place.secret("robot", GOOD)
    place.want("still", "robot")
    before = place.until("still")
    assert eventually(lambda: not place.asked("still"), bool, 10)
    counted = requests()
    assert counted
    place.first.manager.stop()
    for site in place.sites:
        site.agent.stop()
    place.first.manager.start()
    for site in place.sites:
        site.agent.start()
    place.heard("anew")
    place.api.until(LISTS, lambda found: all(len(found[n]["status"]["images"]) >= 1 and ready(found[n]) for n in NAMES))
    assert requests() == counted
    assert place.api.objects(IMAGES)["still"]["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


def test_it_is_pushed_again_when_somebody_says_so(place: Place) -> None:
    """By a new refreshedAt, and to a further place; what is there is not sent again."""
    place.secret("robot", GOOD)
    place.want("again", "robot", pullPolicy="Always")
    first = place.until("again")["status"]["pushes"][0]
    place.want("again", "robot", pullPolicy="Always", refreshedAt="2")
    second = place.until("again", generation=2)["status"]["pushes"][0]
    assert second["revision"] != first["revision"]
    assert second["digest"] == first["digest"]


def test_a_push_that_is_refused_is_told(place: Place) -> None:
    """With the registry's words and the Secret that was tried, and without its password; with another one it goes on."""
    place.secret("wrong", WRONG)
    target = place.want("refused", "wrong", progressDeadlineSeconds=2)
    found = place.until("refused", lambda o: condition(o, "Stalled").get("status") == "True")
    (push,) = found["status"]["pushes"]
    assert (push["state"], push["reason"], reason(found)) == ("Failed", "ErrImagePush", "ErrImagePush")
    assert "credentials" in message(found)
    assert "tried with Secret wrong" in message(found)
    assert (found["status"]["ready"], place.at_registry(target)) == ("2/2", "")
    assert kstatus([found]) == ["Failed"]
    assert Argo().health(found)[0] in AGREES["Failed"]
    everything = json.dumps([place.api.objects(IMAGES), place.api.objects(LISTS)])
    assert WRONG.password not in everything
    place.secret("wrong", GOOD)
    found = place.until("refused", seconds=60)
    assert found["status"]["pushes"][0]["digest"] == place.at_registry(target)


def test_without_secrets_no_credentials_are_shown(place: Place) -> None:
    """Not those of the node, by which whoever may create ContainerImages could write where he has no right to."""
    for site in place.sites:
        (site.state / "agent" / "config.json").write_text(docker_config(place.target.host, GOOD))
    try:
        target = place.want("anonymous")
        found = place.until("anonymous", lambda o: reason(o) == "ErrImagePush")
        assert "tried with" not in message(found)
        assert place.at_registry(target) == ""
    finally:
        for site in place.sites:
            (site.state / "agent" / "config.json").unlink()


def test_a_node_that_is_lost_gives_the_task_to_another(place: Place) -> None:
    """The first node cannot end it, for want of the right credentials; then it is taken away, and they come."""
    place.secret("late", WRONG)
    target = place.want("handed", "late")
    place.until("handed", lambda o: reason(o) == "ErrImagePush")
    (lost,) = place.asked("handed")
    (other,) = set(NAMES) - {lost}
    site = next(site for site in place.sites if site.node == lost)
    site.agent.stop()
    place.first.plane.kubectl("delete", "rn", lost)
    place.secret("late", GOOD)
    found = place.until("handed", seconds=60)
    assert found["status"]["pushes"][0]["node"] == other
    assert place.at_registry(target)
    site.agent.start()
    place.api.until(LISTS, lambda found: lost in found and ready(found[lost]))
    assert place.manifests("handed") == 1
