"""ContainerImages on real components: three nodes with a containerd each, a registry, an API server, and the manager."""

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
import yaml

from tests.harness import GROUP, NAMESPACE, Object, Objects, Site, condition, message, ready, reason
from tests.traces import traced
from tests.verdicts import AGREES, Argo, kstatus
from tests.waiting import eventually
from tools.images import File, all_images, make_layer, push
from tools.lab import Containerd, ControlPlane, FaultyRegistry, Registry

MIB = 2**20
NAMES = ("images1", "images2", "images3")
IMAGES = f"{GROUP}/namespaces/default/containerimages"
LISTS = f"{GROUP}/nodeimages"


class Nodes:
    """The first node has the manager beside it; what belongs to the third is started by a test."""

    def __init__(self, sites: list[Site]) -> None:
        self.sites = {site.node: site for site in sites}
        self.first = sites[0]
        self.api, self.plane, self.registry = self.first.api, self.first.plane, self.first.registry

    def push(self, tag: str, text: str = "1") -> str:
        """A small image of its own under a tag; its reference."""
        base = next(image for image in all_images() if (image.name, image.tag) == ("busybox", "1"))
        layer = make_layer({"which": File(f"{tag} {text}\n".encode())})
        push(self.registry.host, [replace(base, name="wanted", tag=tag, layers=[*base.layers, layer])])
        return f"{self.registry.host}/wanted:{tag}"

    def apply(self, name: str, image: str, **spec: Any) -> None:
        """`kubectl apply` of a ContainerImage."""
        meta = {"name": name, "namespace": "default"}
        obj = {"apiVersion": "moorage.dev/v1alpha1", "kind": "ContainerImage", "metadata": meta}
        self.plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump({**obj, "spec": {"image": image, **spec}}))

    def until(self, name: str, true: Callable[[Object], bool], seconds: float = 30.0) -> Object:
        """A ContainerImage, once something is true of it."""
        return self.api.until(IMAGES, lambda found: name in found and true(found[name]), seconds)[name]

    def heard(self) -> None:
        """Wait until the manager hears of images: it has just begun, or the API server has."""
        self.apply("marker", "Not an image")
        self.until("marker", lambda o: reason(o) == "InvalidImageName")

    def have(self, image: str) -> list[str]:
        """The nodes whose containerd has an image."""
        return [node for node, site in self.sites.items() if image in images_of(site)]

    def digest(self, node: str, image: str) -> str:
        """What the reference stands for in a node's containerd."""
        lines = self.sites[node].containerd.ctr("images", "ls", namespace=NAMESPACE).stdout.splitlines()
        return next(line.split()[2] for line in lines if line.split()[0] == image)

    def nodes(self, image: Object) -> dict[str, int]:
        """The counts of a ContainerImage's status."""
        counts = image["status"]["nodes"]
        return {state: count for state, count in counts.items() if count}


def images_of(site: Site) -> list[str]:
    """The images that a node's containerd has, by name."""
    return site.containerd.ctr("images", "ls", "-q", namespace=NAMESPACE).stdout.split()


@pytest.fixture(scope="module")
def nodes(plane: ControlPlane, registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """Two nodes that run, and one that does not yet."""
    folder = tmp_path_factory.mktemp("images")
    with ExitStack() as stack:
        sites = [
            Site(plane, stack.enter_context(Containerd(folder / name / "c")), registry, folder / name / "s", name)
            for name in NAMES
        ]
        found = Nodes(sites)
        try:
            sites[0].start()
            sites[1].agent.start()
            found.api.until(f"{GROUP}/runtimenodes", lambda all_: len(all_) == 2 and all(map(ready, all_.values())))
            yield found
        finally:
            plane.kubectl("delete", "cimg", "--all", "-n", "default", "--wait=false", check=False)
            for site in sites[1:]:
                site.agent.stop()
            sites[0].stop()
            plane.kubectl("delete", "nodeimages", "--all", check=False)


@pytest.fixture
def third(nodes: Nodes) -> Iterator[Callable[[], None]]:
    """Starts the third node; at the end it is gone."""
    yield nodes.sites["images3"].agent.start
    nodes.sites["images3"].agent.stop()
    nodes.plane.kubectl("delete", "rn", "images3")
    nodes.api.until(LISTS, lambda found: "images3" not in found)


@pytest.fixture(autouse=True)
def clean(nodes: Nodes) -> Iterator[None]:
    """After each test no node is asked for anything any more."""
    yield
    nodes.plane.kubectl("delete", "cimg", "--all", "-n", "default")
    nodes.api.until(LISTS, lambda found: not any(o["spec"].get("images") for o in found.values()))


def test_each_node_has_a_list_of_its_own(nodes: Nodes) -> None:
    """It belongs to the RuntimeNode, and its agent says at once that it knows of images."""
    found = nodes.api.until(LISTS, lambda found: set(NAMES[:2]) <= set(found) and all(map(ready, found.values())))
    for name in NAMES[:2]:
        (owner,) = found[name]["metadata"]["ownerReferences"]
        uid = nodes.api.get(f"{GROUP}/runtimenodes/{name}")["metadata"]["uid"]
        assert (owner["kind"], owner["name"], owner["uid"]) == ("RuntimeNode", name, uid)
        assert found[name]["status"]["ready"] == "0/0"


def test_an_image_comes_is_replaced_and_let_go_of(nodes: Nodes) -> None:
    """On every node; its digest and size are told; an edit brings another one; a deletion takes nothing off the nodes' disks.

    Every version of its status is read alike by kstatus and Argo CD.
    """
    one, two = nodes.push("one"), nodes.push("two")
    with traced(nodes.api, IMAGES) as trace, traced(nodes.api, LISTS) as lists:
        nodes.apply("app", one)
        found = nodes.until("app", lambda o: ready(o) and nodes.nodes(o) == {"wanted": 2, "ready": 2})
        assert nodes.have(one) == list(NAMES[:2])
        (digest,) = found["status"]["digests"]
        assert digest["digest"] == nodes.digest("images1", one)
        assert (digest["nodes"], found["status"]["ready"], reason(found)) == (2, "2/2", "Pulled")
        assert found["status"]["size"].endswith("MB")
        assert found["status"]["image"] == one

        nodes.apply("app", two)
        nodes.until("app", lambda o: ready(o) and o["status"]["image"] == two)
        assert nodes.have(two) == list(NAMES[:2])
        asked = {name: [e["image"] for e in o["spec"]["images"]] for name, o in nodes.api.objects(LISTS).items()}
        assert asked == {name: [two] for name in NAMES[:2]}

        nodes.plane.kubectl("delete", "cimg", "app")
        nodes.api.until(LISTS, lambda found: all(not o["status"].get("images") for o in found.values()))
        assert nodes.have(two) == list(NAMES[:2])
    judged = [*trace.versions(), *lists.versions()]
    argo = Argo()
    for obj, verdict in zip(judged, kstatus(judged), strict=True):
        assert argo.health(obj)[0] in AGREES[verdict], json.dumps(obj)
    assert {kstatus([o])[0] for o in trace.versions()} >= {"InProgress", "Current"}


def test_how_far_it_is_is_told_as_it_goes_on(nodes: Nodes) -> None:
    """By each node every two seconds, in bytes and percent; of the whole in tens, which costs as many writes at most."""
    ballast = make_layer({"ballast": File(os.urandom(8 * MIB))})
    base = next(image for image in all_images() if (image.name, image.tag) == ("busybox", "1"))
    push(nodes.registry.host, [replace(base, name="wanted", tag="large", layers=[*base.layers, ballast])])
    with FaultyRegistry(nodes.registry.host, bytes_per_second=2 * MIB) as slow:
        with traced(nodes.api, IMAGES) as trace, traced(nodes.api, LISTS) as lists:
            nodes.apply("large", f"{slow.host}/wanted:large")
            nodes.until("large", lambda o: ready(o) and o["status"]["ready"] == "2/2", 60)
        told = [s["pull"] for o in lists.versions() for s in o.get("status", {}).get("images", []) if "pull" in s]
        assert len(told) >= 4, "two nodes, for eight seconds"
        assert all(pull["percent"] == 100 * pull["bytesDone"] // pull["bytesTotal"] for pull in told)
        assert max(pull["bytesTotal"] for pull in told) > 8 * MIB
        assert not any("pull" in s for o in nodes.api.objects(LISTS).values() for s in o["status"]["images"])
        summaries = list(dict.fromkeys(o["status"]["summary"] for o in trace.versions() if "summary" in o.get("status", {})))
        steps = [s for s in summaries if re.fullmatch(r"Pulling [1-9]0%|Pulling 100%", s)]
        assert len(steps) >= 2, summaries
        assert summaries[-1] == "Pulled"
        assert len([o for o in trace.versions() if "summary" in o.get("status", {})]) <= len(steps) + 4
        assert "Pulled" in nodes.plane.kubectl("get", "cimg", "large", "-n", "default").stdout


def test_a_node_that_comes_gets_what_others_have(nodes: Nodes, third: Callable[[], None]) -> None:
    """One that matches; and where a label leaves the node, the image is let go of."""
    image = nodes.push("late")
    nodes.apply("all", image)
    nodes.apply("chosen", image, placement={"nodeSelector": {"disk": "ssd"}})
    nodes.until("all", lambda o: ready(o) and o["status"]["ready"] == "2/2")
    assert message(nodes.until("chosen", ready)) == "no node is selected"
    third()
    found = nodes.until("all", lambda o: ready(o) and o["status"]["ready"] == "3/3")
    assert found["status"]["digests"][0]["nodes"] == 3
    assert nodes.have(image) == list(NAMES)
    nodes.plane.kubectl("label", "rn", "images3", "disk=ssd")
    nodes.until("chosen", lambda o: ready(o) and o["status"]["ready"] == "1/1")
    nodes.plane.kubectl("label", "rn", "images3", "disk-")
    nodes.until("chosen", lambda o: ready(o) and o["status"]["ready"] == "0/0")


def test_only_so_many_nodes_pull_at_once(nodes: Nodes, third: Callable[[], None]) -> None:
    """At no moment is a second node asked while one has not ended."""
    third()
    nodes.api.until(LISTS, lambda found: set(found) == set(NAMES) and all(condition(o, "Ready") for o in found.values()))
    image = nodes.push("turns")
    with traced(nodes.api, LISTS) as trace:
        nodes.apply("turns", image, parallelism=1)
        found = nodes.until("turns", lambda o: ready(o) and o["status"]["ready"] == "3/3")
    assert nodes.nodes(found) == {"wanted": 3, "ready": 3}
    at_work = [sum(map(busy, moment.values())) for moment in trace.moments]
    assert max(at_work) == 1, at_work
    asked = [sum(bool(o["spec"].get("images")) for o in moment.values()) for moment in trace.moments]
    assert sorted(set(asked)) == [0, 1, 2, 3]


def busy(listed: Object) -> bool:
    """Whether a node was asked for something and has not ended."""
    states = {(s["name"], s["revision"]): s["state"] for s in listed.get("status", {}).get("images", [])}
    asked = listed["spec"].get("images", [])
    return any(states.get((e["name"], e["revision"]), "Pulling") == "Pulling" for e in asked)


def test_failing_nodes_are_named_until_the_image_is_there(nodes: Nodes) -> None:
    """With the reason and the registry's words; stalled after the deadline; ready when somebody pushes it after all."""
    image = f"{nodes.registry.host}/wanted:missing"
    nodes.apply("missing", image, progressDeadlineSeconds=2)
    found = nodes.until("missing", lambda o: condition(o, "Stalled").get("status") == "True")
    failures = found["status"]["failures"]
    assert [f["node"] for f in failures] == list(NAMES[:2])
    assert {f["reason"] for f in failures} <= {"ErrImagePull", "ImagePullBackOff"}
    assert all("missing" in f["message"] for f in failures)
    assert reason(found) == failures[0]["reason"]
    assert "0 of" in message(found)
    assert kstatus([found]) == ["Failed"]
    nodes.push("missing")
    found = nodes.until("missing", ready, 90)
    assert "failures" not in found["status"] or found["status"]["failures"] == []


def test_what_was_removed_by_hand_comes_back_where_it_is_pinned(nodes: Nodes) -> None:
    """Without a pin it stays away, which is told, and is no failure."""
    pinned, loose = nodes.push("pinned"), nodes.push("loose")
    nodes.apply("pinned", pinned, placement={"nodeName": "images1"})
    nodes.apply("loose", loose, placement={"nodeName": "images1"}, pin=False)
    for name in ("pinned", "loose"):
        nodes.until(name, lambda o: ready(o) and o["status"]["ready"] == "1/1")
    containerd = nodes.sites["images1"].containerd
    containerd.ctr("images", "rm", pinned, loose, namespace=NAMESPACE)
    assert eventually(lambda: pinned in images_of(nodes.sites["images1"]), bool, 20)
    found = nodes.until("loose", lambda o: nodes.nodes(o) == {"wanted": 1, "removed": 1})
    assert ready(found)
    assert loose not in images_of(nodes.sites["images1"])


def test_always_follows_a_tag_when_it_is_asked_to(nodes: Nodes) -> None:
    """A moved tag is not noticed by itself; `refreshedAt` has each node ask once more."""
    image = nodes.push("moving", "1")
    nodes.apply("moving", image, pullPolicy="Always")
    found = nodes.until("moving", ready)
    (old,) = found["status"]["digests"]
    nodes.push("moving", "2")
    nodes.apply("moving", image, pullPolicy="Always", refreshedAt="2")
    found = nodes.until("moving", lambda o: ready(o) and o["metadata"]["generation"] == 2)
    (new,) = found["status"]["digests"]
    assert new["digest"] != old["digest"]
    assert new["digest"] == nodes.digest("images1", image) == nodes.digest("images2", image)


def test_pins_are_known_without_an_api_server(nodes: Nodes) -> None:
    """An agent that starts while it is away still brings back what was removed: what is wanted lies on its disk."""
    image = nodes.push("kept")
    site = nodes.sites["images2"]
    nodes.apply("kept", image)
    nodes.until("kept", ready)
    site.agent.stop()
    site.containerd.ctr("images", "rm", image, namespace=NAMESPACE)
    nodes.plane.stop_apiserver()
    try:
        site.agent.start()
        assert eventually(lambda: image in images_of(site), bool, 20)
    finally:
        nodes.plane.start_apiserver()
    nodes.heard()


def test_a_list_that_was_deleted_is_made_anew(nodes: Nodes) -> None:
    """With all that it said, so that nothing is let go of in between; and one that was changed by hand is put right."""
    image = nodes.push("again")
    nodes.apply("again", image)
    nodes.until("again", ready)
    before = nodes.api.objects(LISTS)["images1"]
    with traced(nodes.api, LISTS) as trace:
        nodes.plane.kubectl("delete", "nodeimages", "images1")
        found = nodes.api.until(LISTS, lambda found: "images1" in found and ready(found["images1"]))["images1"]
        assert found["metadata"]["uid"] != before["metadata"]["uid"]
        nodes.plane.kubectl("patch", "nodeimages", "images1", "--type=merge", "-p", '{"spec": {"images": []}}')
        nodes.api.until(LISTS, lambda found: [e["image"] for e in found["images1"]["spec"]["images"]] == [image])
    mine = [moment["images1"] for moment in trace.moments if "images1" in moment]
    anew = [o for o in mine if o["metadata"]["uid"] == found["metadata"]["uid"]]
    assert [e["image"] for e in anew[0]["spec"]["images"]] == [image]
    nodes.until("again", ready)


def test_nothing_is_written_when_nothing_happens(nodes: Nodes) -> None:
    """Also by a manager that starts anew: what it finds is what it would write."""
    nodes.apply("still", nodes.push("still"))
    nodes.until("still", ready)
    nodes.api.until(LISTS, lambda found: all(map(ready, found.values())))
    before = versions(nodes)
    nodes.first.manager.stop()
    nodes.first.manager.start()
    nodes.heard()
    assert versions(nodes) == before


def versions(nodes: Nodes) -> dict[str, str]:
    """ResourceVersions of all that the test before has settled."""
    found: Objects = {**nodes.api.objects(LISTS), "still": nodes.api.objects(IMAGES)["still"]}
    return {name: o["metadata"]["resourceVersion"] for name, o in found.items()}


def test_an_instance_finds_the_image_there(nodes: Nodes) -> None:
    """It starts without a pull: that is what it is there early for."""
    image = nodes.push("early")
    nodes.apply("early", image)
    nodes.until("early", ready)
    container = {"name": "main", "image": image, "command": ["sleep", "1000000"], "imagePullPolicy": "Never"}
    spec = {"hostNetwork": True, "terminationGracePeriodSeconds": 1, "containers": [container]}
    meta = {"name": "early", "namespace": "default"}
    workload = {"apiVersion": "moorage.dev/v1alpha1", "kind": "ContainerWorkload", "metadata": meta}
    nodes.first.apply({**workload, "spec": {"template": {"spec": spec}}})
    nodes.first.workloads(lambda found: ready(found["early"]))
    nodes.plane.kubectl("delete", "cw", "early")
    nodes.first.instances(lambda found: not found)
