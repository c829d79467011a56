"""What GitOps tools see of a workload at every moment of its life: recorded on real components, judged by the real judges."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import pytest

from tests.harness import Object, condition
from tests.integration.story import Story, told
from tests.recording import Version, collapsed
from tests.verdicts import AGREES, ROOT, Argo, kstatus, kubectl_wait
from tools.lab import Containerd, ControlPlane, Registry

pytestmark = pytest.mark.timeout(180)

PAGE = ROOT / "docs" / "gitops.md"
MOMENTS = ROOT / "tests" / "unit" / "gitops" / "moments.json"

SLACK_SECONDS = 0.2
"""containerd stamps an event when it passes it on, which is a little after what it tells of; and a word of a run that was true
when it was written may reach the recorder when that run has just ended."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One recorded version, and what the judges make of it."""

    version: Version
    kstatus: str
    argo: str
    message: str
    wait: str

    @property
    def obj(self) -> Object:
        """The object; only of one that is there."""
        assert self.version.object is not None
        return self.version.object

    @property
    def generation(self) -> int:
        """Its generation; 0 when it is not there."""
        return int(self.version.object["metadata"]["generation"]) if self.version.object else 0


@pytest.fixture(scope="module")
def story(
    plane: ControlPlane, containerd: Containerd, registry: Registry, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Story]:
    """The story, told once for all tests here."""
    with told(plane, containerd, registry, tmp_path_factory.mktemp("story")) as found:
        yield found


@pytest.fixture(scope="module")
def judged(story: Story) -> list[Judged]:
    """Every version of every object, judged."""
    versions, argo = list(story.recorder.versions), Argo()
    verdicts = kstatus([v.object for v in versions])
    return [
        Judged(v, verdict, *argo.health(v.object), kubectl_wait(v.object))
        for v, verdict in zip(versions, verdicts, strict=True)
    ]


def _moments(story: Story, judged: list[Judged]) -> dict[str, list[Judged]]:
    """The versions that belong to each moment of the table in docs/gitops.md."""
    killed, back = story.marks["agent killed"], story.marks["lost ready 1"]
    node = next(j.version.name for j in judged if j.version.kind == "RuntimeNode")

    def of(name: str, kind: str = "ContainerWorkload") -> list[Judged]:
        return [j for j in judged if (j.version.kind, j.version.name) == (kind, name)]

    def before(name: str) -> list[Judged]:
        return [j for j in of(name) if j.version.at < killed]

    def in_generation(name: str, generation: int) -> list[Judged]:
        return [j for j in before(name) if j.generation == generation]

    def around_the_loss(found: list[Judged], until: float) -> list[Judged]:
        last = [j for j in found if j.version.at < killed][-1:]
        return last + [j for j in found if killed <= j.version.at <= until]

    return {
        "first rollout": before("good"),
        "slow pull": before("slow"),
        "one-shot work": before("job"),
        "one-shot work that fails": before("hopeless"),
        "crash loop": before("crash"),
        "crash loop, with `minReadySeconds`": before("sturdy"),
        "unknown image": before("untagged"),
        "invalid image name": before("misnamed"),
        "suspend": in_generation("paused", 2),
        "resume": in_generation("paused", 3),
        "rolling update": in_generation("rolling", 2),
        "failed update": in_generation("failing", 2),
        "the mended update": in_generation("failing", 3),
        "node lost and back": around_the_loss(of("lost"), back),
        "cordon": [j for j in of(node, "RuntimeNode") if j.generation == 2],
        "its RuntimeNode": around_the_loss(of(node, "RuntimeNode"), float("inf")),
        "delete, background": [j for j in of("gone") if j.version.object is None or j.kstatus == "Terminating"],
        "its instance": [
            j
            for name in {j.version.name for j in judged if j.version.name.startswith("gone-")}
            for j in of(name, "ContainerInstance")
            if j.version.object is None or j.kstatus == "Terminating"
        ],
        "delete, foreground": [j for j in of("going") if j.version.object is None or j.kstatus == "Terminating"],
    }


def _table() -> dict[str, tuple[str, str, str]]:
    """The table of the documentation: the verdicts of kstatus, Argo CD and kubectl wait by moment."""
    section = PAGE.read_text().partition("## What they see, moment by moment")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("|")]
    return {moment: (judged, health, wait) for moment, _, judged, health, wait in rows[2:]}


def test_the_table_in_the_documentation_is_what_happens(story: Story, judged: list[Judged]) -> None:
    """Each moment goes through the verdicts that docs/gitops.md promises, in that order and through no others."""
    found = {
        moment: tuple(" → ".join(collapsed([getattr(j, judge) for j in row])) for judge in ("kstatus", "argo", "wait"))
        for moment, row in _moments(story, judged).items()
    }
    promised = _table()
    assert found.keys() == promised.keys()
    assert {m: (row, promised[m]) for m, row in found.items() if row != promised[m]} == {}


def test_a_workload_is_current_only_when_what_it_asks_for_runs(story: Story, judged: list[Judged]) -> None:
    """Whenever kstatus says Current, containerd runs the present spec's image as often as asked, or nothing if suspended."""
    checked = 0
    for j in judged:
        if j.version.kind != "ContainerWorkload" or j.kstatus != "Current":
            continue
        spec, at = j.obj["spec"], j.version.at
        runs = story.truth.runs(j.version.name)
        if spec["suspend"]:
            assert not [r for r in runs if r.covers(at)], f"{j.version.name} is suspended and runs"
        else:
            image = spec["template"]["spec"]["containers"][0]["image"]
            right = [r for r in runs if r.image == image and r.started - SLACK_SECONDS <= at]
            if condition(j.obj, "Ready")["reason"] != "Complete":
                right = [r for r in right if r.ended > at - SLACK_SECONDS]
            assert len(right) == spec["replicas"], f"{j.version.name} in generation {j.generation}: {runs}"
        checked += 1
    assert checked >= 10


def test_an_instance_is_current_only_when_its_container_runs_or_has_done_its_work(story: Story, judged: list[Judged]) -> None:
    """The same for each instance, crashing ones included."""
    current = [j for j in judged if j.version.kind == "ContainerInstance" and j.kstatus == "Current"]
    for j in current:
        if j.obj["spec"]["suspend"]:
            continue
        runs = story.truth.runs(j.version.name)
        image = j.obj["spec"]["containers"][0]["image"]
        assert [r for r in runs if r.image == image and r.started - SLACK_SECONDS <= j.version.at], j.version.name
    assert len(current) > 15


def test_every_verdict_follows_from_the_three_shapes_of_the_contract(judged: list[Judged]) -> None:
    """Ready=True alone, Unknown with Reconciling, False with Stalled: never another mixture, each for a generation that was.

    Work that has ended says so besides, as a Job does, and no other way round.
    """
    for j in judged:
        if j.version.object is None or j.version.kind == "RuntimeNode" or not condition(j.obj, "Ready"):
            continue
        conditions = j.obj["status"]["conditions"]
        shape = {c["type"]: c["status"] for c in conditions}
        assert shape in (
            {"Ready": "True"},
            {"Ready": "Unknown", "Reconciling": "True"},
            {"Ready": "False", "Stalled": "True"},
            {"Ready": "True", "Complete": "True"},
            {"Ready": "False", "Stalled": "True", "Failed": "True"},
        )
        assert len({(c["reason"], c["message"], c["observedGeneration"]) for c in conditions}) == 1
        assert conditions[0]["observedGeneration"] <= j.generation
        assert (j.kstatus == "Failed") <= ("Stalled" in shape)


def test_argo_cd_agrees_with_kstatus_on_every_version_of_every_object(judged: list[Judged]) -> None:
    """Healthy or Suspended for Current, Degraded for Failed, Progressing for the rest; and always with words."""
    for j in judged:
        assert j.argo in AGREES[j.kstatus], j
        assert j.version.object is None or j.message
        if j.kstatus == "Current":
            assert (j.argo == "Suspended") == bool(j.obj["spec"].get("suspend"))
    assert {j.argo for j in judged} == {"Healthy", "Suspended", "Progressing", "Degraded", "Missing"}


def test_observed_generation_never_goes_back_and_never_runs_ahead(judged: list[Judged]) -> None:
    """It moves with what is settled only, so nobody takes an old verdict for one on the new spec."""
    rows: dict[tuple[str, str], list[int]] = {}
    for j in judged:
        if j.version.object is not None:
            observed = j.obj["status"]["observedGeneration"]
            assert observed <= j.generation
            rows.setdefault((j.version.kind, j.version.name), []).append(observed)
    for key, row in rows.items():
        assert all(a <= b for a, b in pairwise(row)), (key, row)


def test_kubectl_wait_returns_when_it_is_true_and_not_before(story: Story, judged: list[Judged]) -> None:
    """`Ready` and `Stalled`, and `Complete` and `Failed` of work that ends; after an update, not on the old word."""
    assert {name: wait.code for name, wait in story.waits.items()} == {
        "good": 0,
        "untagged": 0,
        "misnamed": 1,  # Ready never comes, so it ran into its timeout
        "failing": 0,
        "rolling updated": 0,
        "job": 0,
        "hopeless": 0,
    }
    updated = next(
        j.version.at
        for j in judged
        if (j.version.kind, j.version.name, j.generation, j.kstatus) == ("ContainerWorkload", "rolling", 2, "Current")
    )
    assert story.waits["rolling updated"].ended > updated - SLACK_SECONDS


def test_an_instance_is_gone_only_when_its_containers_are(story: Story, judged: list[Judged]) -> None:
    """NotFound, which pruning waits for, means that nothing of it runs any more."""
    gone = [j for j in judged if j.version.kind == "ContainerInstance" and j.version.object is None]
    for j in gone:
        assert not [r for r in story.truth.runs(j.version.name) if r.covers(j.version.at)], j.version.name
    assert len(gone) >= 12


def test_the_recorded_moments_are_judged_as_they_were_recorded(judged: list[Judged]) -> None:
    """The fixture of the unit tests holds real objects and kstatus' own words; `MOORAGE_RECORD=1` writes it anew."""
    if os.environ.get("MOORAGE_RECORD"):
        _record(judged)
    moments = json.loads(MOMENTS.read_text())
    assert kstatus([m["object"] for m in moments]) == [m["kstatus"] for m in moments]
    assert {(m["object"]["kind"], m["kstatus"]) for m in moments} >= {
        (kind, verdict)
        for kind in ("ContainerWorkload", "ContainerInstance")
        for verdict in ("Current", "InProgress", "Failed", "Terminating")
    }


def _record(judged: list[Judged]) -> None:
    """Keep one object of each kind, verdict and reason, without what differs from run to run."""
    kept: dict[tuple[str, ...], Object] = {}
    for j in judged:
        if j.version.object is None:
            continue
        key = (j.version.kind, j.kstatus, j.argo, str(condition(j.obj, "Ready").get("reason")))
        meta = {k: v for k, v in j.obj["metadata"].items() if k in {"name", "generation", "deletionTimestamp"}}
        status = {k: v for k, v in j.obj["status"].items() if k in {"observedGeneration", "conditions"}}
        spec = {k: v for k, v in j.obj["spec"].items() if k == "suspend"}
        short = {"apiVersion": j.obj["apiVersion"], "kind": j.version.kind, "metadata": meta, "spec": spec, "status": status}
        kept.setdefault(key, {"kstatus": j.kstatus, "object": short})
    MOMENTS.parent.mkdir(exist_ok=True)
    text = json.dumps([kept[key] for key in sorted(kept)], indent=1)
    MOMENTS.write_text(re.sub(r"127\.0\.0\.1:\d+", "registry.example", text) + "\n")
