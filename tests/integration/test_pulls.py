"""Pulls as users see them: how far they are, what that costs, and that nothing is fetched twice."""

import itertools
import os
import re
from collections.abc import Iterator

import pytest

from tests.harness import Object, Site, message, ready, reason, workload
from tests.recording import Recorder
from tools.images import File, Image, all_images, make_layer, push
from tools.lab import Fault, FaultyRegistry, Registry

MIB = 2**20
BALLAST = 6 * MIB
SLACK = 400_000
"""Bytes that may have been on their way, in buffers, when a connection broke."""


@pytest.fixture(name="site")
def _site(kept_site: Site) -> Site:
    """One for all tests here, empty for each of them."""
    return kept_site


@pytest.fixture
def large(registry: Registry) -> Image:
    """A shell, and three layers that no other test has fetched."""
    base = all_images()[0].layers[0]
    layers = [make_layer({f"ballast/{number}": File(os.urandom(BALLAST // 3))}) for number in range(3)]
    image = Image("pulled", "1", [base, *layers], {"Cmd": ["sh"]})
    push(registry.host, [image])
    return image


@pytest.fixture
def slow(registry: Registry) -> Iterator[FaultyRegistry]:
    """The registry, at a megabyte a second."""
    with FaultyRegistry(registry.host, bytes_per_second=MIB) as found:
        yield found


def size(image: Image) -> int:
    """Bytes of its layers and its config."""
    return sum(len(blob.data) for blob in image.blobs)


def test_a_pull_is_told_as_it_goes_on(site: Site, slow: FaultyRegistry, large: Image) -> None:
    """Bytes, percent, rate and time to go, every two seconds at most, by few writes; when it is over, nothing of it is left."""
    recorder = Recorder(site.api)
    with recorder.running():
        site.apply(workload("seen", site.registry, container={"image": f"{slow.host}/pulled:1"}))
        site.instances(lambda found: len(found) == 1 and all(map(ready, found.values())))
        site.workloads(lambda found: all(map(ready, found.values())))
    (name,) = {v.name for v in recorder.versions if v.kind == "ContainerInstance"}
    told = [(v.at, v.object) for v in recorder.of("ContainerInstance", name) if v.object is not None]
    pulls = [(at, obj["status"]["pull"], obj["status"]["summary"]) for at, obj in told if "pull" in obj.get("status", {})]
    assert 2 <= len(pulls) <= 4, pulls
    assert all(later - earlier > 1.8 for (earlier, *_), (later, *_) in itertools.pairwise(pulls))
    for _, pull, summary in pulls:
        assert pull["image"] == f"{slow.host}/pulled:1"
        assert BALLAST < pull["bytesTotal"] <= size(large) + len(large.manifest.data)  # the shell's layer may be here already
        assert pull["percent"] == 100 * pull["bytesDone"] // pull["bytesTotal"]
        assert summary == "Unpacking" or re.fullmatch(rf"Pulling {pull['percent']}% [\d.]+[kM]?B/s", summary)
    steady = pulls[1][1]
    assert steady["bytesPerSecond"] == pytest.approx(MIB, rel=0.5)
    assert steady["etaSeconds"] == pytest.approx((steady["bytesTotal"] - steady["bytesDone"]) / MIB, abs=4)
    done = [pull["bytesDone"] for _, pull, _ in pulls]
    assert done == sorted(done)
    last = told[-1][1]
    assert ("pull" in last["status"], last["status"]["summary"], reason(last)) == (False, "Running", "Running")
    assert len(told) <= 2 + len(pulls) + 3, "made, bound, told as pulling, each progress, running"
    of_workload = [v.object for v in recorder.of("ContainerWorkload", "seen") if v.object is not None]
    assert any(re.search(r"1 pulls an image \(\d0% is there\)", message(obj)) for obj in of_workload), list(
        map(message, of_workload)
    )


def test_an_agent_that_is_killed_goes_on_with_the_pull(site: Site, slow: FaultyRegistry, large: Image) -> None:
    """Its next one fetches what is missing, and no more."""
    site.apply(workload("killed", site.registry, container={"image": f"{slow.host}/pulled:1"}))
    site.instances(lambda found: any(_percent(obj) >= 30 for obj in found.values()))
    site.agent.kill()
    slow.bytes_per_second = 8 * MIB
    site.agent.start()
    site.instances(lambda found: all(map(ready, found.values())))
    assert slow.served("GET .*/blobs/") <= size(large) + 3 * SLACK  # three layers are fetched at once
    assert any(request.range for request in slow.asked("GET .*/blobs/"))


def test_a_registry_that_breaks_is_told_by_its_cause(site: Site, slow: FaultyRegistry, large: Image) -> None:
    """And the pull goes on when it is whole again."""
    slow.faults = [Fault("/manifests/", status=503)]
    site.apply(workload("broken", site.registry, container={"image": f"{slow.host}/pulled:1"}))
    found = site.instances(lambda found: any(reason(obj) == "RegistryUnavailable" for obj in found.values()))
    (told,) = map(message, found.values())
    assert f"registry {slow.host} is out of order, needed for image {slow.host}/pulled:1" in told
    assert "503 Service Unavailable" in told
    slow.bytes_per_second = 0
    slow.faults = []
    site.instances(lambda found: all(map(ready, found.values())))


def _percent(obj: Object) -> int:
    return int(obj.get("status", {}).get("pull", {}).get("percent", 0))
