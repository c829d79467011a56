"""Init containers and sidecars, as Kubernetes promises them, on a real containerd.

Source of the rules, unless a case names another: kubernetes.io, "Init Containers" and "Sidecar Containers"
(docs/concepts/workloads/pods/).
"""

import os
import signal
from typing import Any

import pytest

from tests.harness import ready
from tests.integration.semantics.cases import Case, Check, both, command, ended, init, is_ready, main, shell, summary
from tests.integration.semantics.world import World

NEVER = {"restartPolicy": "Never"}
SLOW = {"backoff": {"initialSeconds": 3600, "maxSeconds": 3600}}
POLITE = "trap 'echo bye; exit 0' TERM; while true; do sleep 0.1; done"
DEAF = "trap 'echo asked' TERM; while true; do sleep 0.1; done"


def step(name: str, text: str = "true", **fields: Any) -> dict[str, Any]:
    """An init container that runs a script."""
    return {"name": name, **shell(text), **fields}


def sidecar(name: str, text: str = POLITE, **fields: Any) -> dict[str, Any]:
    """A sidecar."""
    return step(name, text, restartPolicy="Always", **fields)


def row(*inits: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A spec with these init containers."""
    return {"initContainers": list(inits), **spec}


def did(name: str, *, times: int = 0) -> Check:
    """An init container has completed, after so many restarts."""

    def true(obj: dict[str, Any]) -> bool:
        end = init(obj, name).get("state", {}).get("terminated") or {}
        return bool(end) and end["exitCode"] == 0 and init(obj, name)["ready"] and init(obj, name)["restartCount"] == times

    return true


def waits(reason: str = "PodInitializing") -> Check:
    """The main container waits, for that reason."""
    return lambda obj: bool(main(obj).get("state", {}).get("waiting", {}).get("reason") == reason)


def phase(word: str) -> Check:
    """The phase is this."""
    return lambda obj: bool(obj["status"].get("phase") == word)


def counts(text: str) -> Check:
    """READY is this."""
    return lambda obj: bool(obj["status"].get("ready") == text)


CASES = {
    "in-order": Case(
        "init containers run to their end, one after another, before the containers",
        {},
        both(is_ready, did("one"), did("two"), summary("Running"), counts("1/1")),
        row(step("one", "echo one"), step("two", "echo two")),
    ),
    "first-runs": Case(
        "while the first runs, the instance is Pending, and the others wait: Init:0/2",
        {},
        both(summary("Init:0/2"), waits(), phase("Pending"), lambda o: "running" in init(o, "one").get("state", {})),
        row(step("one", "sleep 1000000"), step("two")),
    ),
    "second-runs": Case(
        "when it has completed, the second comes: Init:1/2",
        {},
        both(summary("Init:1/2"), waits(), did("one"), lambda o: "running" in init(o, "two").get("state", {})),
        row(step("one"), step("two", "sleep 1000000")),
    ),
    "fails-always": Case(
        "one that fails is run again until it succeeds, also under restartPolicy Always; after pauses",
        {},
        both(summary("Init:CrashLoopBackOff"), waits(), lambda o: init(o, "one")["restartCount"] == 1),
        row(step("one", "exit 3"), **SLOW),
        events=("BackOff: container 'one': ended with exit code 3",),
    ),
    "fails-then-works": Case(
        "and goes on when it does",
        {},
        both(lambda o: ready(o) and o["status"]["restarts"] == 0, did("one", times=1)),
        row(step("one", "grep -q /one/1.termination /proc/self/mountinfo")),
    ),
    "fails-never": Case(
        "under restartPolicy Never the instance has Failed, and nothing else is started",
        {},
        both(summary("Init:Error"), phase("Failed"), waits(), lambda o: "waiting" in init(o, "two").get("state", {})),
        row(step("one", "exit 3"), step("two"), **NEVER),
    ),
    "own-never": Case(
        "also when it is its own policy (KEP-5307)",
        {},
        both(summary("Init:Error"), phase("Failed")),
        row(step("one", "exit 3", restartPolicy="Never")),
    ),
    "own-rule": Case(
        "and not for an exit code that a rule excepts",
        {},
        lambda o: init(o, "one").get("restartCount", 0) >= 1,
        row(
            step(
                "one",
                "exit 42",
                restartPolicy="Never",
                restartPolicyRules=[{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}],
            ),
            **SLOW,
        ),
    ),
    "not-found": Case(
        "a command that is not there is a failure like others",
        {},
        both(phase("Failed"), summary("Init:ContainerCannotRun")),
        row({"name": "one", "command": ["/no/such"]}, **NEVER),
    ),
    "no-image": Case(
        "an image that cannot be: the containers wait",
        {},
        both(summary("Init:InvalidImageName"), waits()),
        row({"name": "one", "image": "No Such Image"}),
    ),
    "words": Case(
        "its last words are told",
        {},
        both(is_ready, lambda o: init(o, "one")["state"]["terminated"].get("message") == "prepared"),
        row(step("one", "printf prepared >/dev/termination-log")),
    ),
    # --- sidecars
    "sidecar": Case(
        "a sidecar stays, counts for READY, and the next one starts as soon as it runs",
        {},
        both(is_ready, counts("2/2"), did("two"), lambda o: init(o, "proxy")["ready"] and init(o, "proxy")["started"]),
        row(sidecar("proxy"), step("two")),
    ),
    "sidecar-gates": Case(
        "its startup probe holds the next one until it has succeeded",
        {},
        both(summary("Init:0/2"), waits(), lambda o: "running" in init(o, "proxy").get("state", {})),
        row(sidecar("proxy", startupProbe=command("false") | {"failureThreshold": 1000}), step("two")),
    ),
    "sidecar-opens": Case(
        "and lets it go then",
        {},
        both(is_ready, did("two")),
        row(
            sidecar("proxy", f"touch /tmp/up; {POLITE}", startupProbe=command("test", "-e", "/tmp/up") | {"periodSeconds": 1}),
            step("two"),
        ),
    ),
    "sidecar-post-start": Case(
        "postStart holds it as well",
        {},
        both(waits(), lambda o: init(o, "proxy").get("state", {}).get("waiting") is not None),
        row(sidecar("proxy", lifecycle={"postStart": {"sleep": {"seconds": 600}}}), terminationGracePeriodSeconds=600),
    ),
    "sidecar-unready": Case(
        "its readiness counts for the instance's",
        {},
        lambda o: counts("1/2")(o) and not ready(o) and main(o)["ready"],
        row(sidecar("proxy", readinessProbe=command("false"))),
    ),
    "sidecar-restarts": Case(
        "it is restarted alone, also under Never",
        {},
        both(lambda o: init(o, "proxy")["restartCount"] == 1 and main(o).get("restartCount") == 0, did("one")),
        row(step("one"), sidecar("proxy", "sleep 1; exit 0"), **NEVER | SLOW),
    ),
    "sidecar-ends": Case(
        "it does not keep a run to completion from its end, nor make it a failure",
        shell("true"),
        both(ended("Succeeded"), summary("Completed"), lambda o: init(o, "proxy")["state"]["terminated"]["exitCode"] == 7),
        row(sidecar("proxy", "trap 'exit 7' TERM; while true; do sleep 0.1; done"), **NEVER, terminationGracePeriodSeconds=5),
    ),
    "sidecar-ends-failed": Case(
        "nor hide one",
        shell("exit 3"),
        ended("Failed", exitCode=3),
        row(sidecar("proxy"), **NEVER, terminationGracePeriodSeconds=5),
    ),
    "sidecar-of-failure": Case(
        "when an init container has failed for good, sidecars are stopped",
        {},
        both(phase("Failed"), lambda o: "terminated" in init(o, "proxy").get("state", {})),
        row(sidecar("proxy"), step("two", "exit 1"), **NEVER, terminationGracePeriodSeconds=5),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def settled(world: World) -> World:
    """Every case at once."""
    world.apply(CASES)
    return world


@pytest.mark.parametrize("name", CASES)
def test_case(settled: World, name: str) -> None:
    """The manifest leads to the state of the world."""
    settled.holds(name, CASES[name])


def test_sidecars_stop_last_and_in_reverse_order(settled: World) -> None:
    """The containers first, then the last sidecar, then the first; all within the grace period of the instance."""
    log = "read now _ </proc/uptime; echo $now"
    case = Case(
        "",
        shell(f"trap '{log}; exit 0' TERM; while true; do sleep 0.1; done"),
        both(is_ready, counts("3/3")),
        row(
            *(sidecar(n, f"trap '{log}; exit 0' TERM; while true; do sleep 0.1; done") for n in ("first", "last")),
            terminationGracePeriodSeconds=10,
        ),
    )
    settled.apply({"order": case})
    settled.holds("order", case)
    settled.apply({"order": Case("", case.container, case.then, case.spec | {"suspend": True})})
    settled.until("order", suspended)
    times = [float(settled.said("order", name)[0]) for name in ("main", "last", "first")]
    assert times == sorted(times)
    assert len(set(times)) == 3


def test_a_sidecar_has_what_is_left_of_the_grace_period(settled: World) -> None:
    """A container that takes it all leaves two seconds, so that the sidecar can say goodbye."""
    case = Case("", shell(DEAF), both(is_ready, counts("2/2")), row(sidecar("proxy"), terminationGracePeriodSeconds=2))
    settled.apply({"left": case})
    settled.holds("left", case)
    settled.apply({"left": Case("", case.container, case.then, case.spec | {"suspend": True})})
    settled.until("left", suspended)
    assert settled.said("left") == ["asked"]
    assert settled.said("left", "proxy") == ["bye"]


def suspended(obj: dict[str, Any]) -> bool:
    """It has come to rest."""
    return any(c["reason"] == "Suspended" and c["status"] == "True" for c in obj["status"]["conditions"])


def test_what_runs_again(settled: World) -> None:
    """A main container that restarts or is changed runs no init container again; a changed one and those after it do."""
    inits = [step("one", "echo one"), step("two", "echo two")]
    settled.apply({"again": Case("", {}, is_ready, row(*inits))})
    settled.until("again", is_ready)
    os.kill(settled.pid("again"), signal.SIGKILL)
    settled.until("again", lambda o: main(o)["restartCount"] == 1 and ready(o))
    env = {"env": [{"name": "A", "value": "b"}]}
    settled.apply({"again": Case("", env, is_ready, row(*inits))})
    settled.until("again", lambda o: main(o)["restartCount"] == 2 and ready(o) and did("one")(o) and did("two")(o))
    inits[1] = step("two", "echo more")
    settled.apply({"again": Case("", env, is_ready, row(*inits))})
    settled.until("again", lambda o: main(o)["restartCount"] == 3 and ready(o) and did("one")(o) and did("two", times=1)(o))
    assert settled.said("again", "two", 1) == ["more"]


def test_a_new_agent_runs_nothing_again(settled: World) -> None:
    """What has completed is known from the containers, and a sidecar is adopted as it is."""
    settled.holds("sidecar", CASES["sidecar"])
    mine = ("sidecar-proxy-", "sidecar-main-")
    before = {key: pid for key, pid in settled.site.containers().items() if key.startswith(mine)}
    settled.site.agent.stop()
    settled.site.agent.start()
    settled.until("sidecar", is_ready)
    late = Case("", {}, is_ready, row(step("one")))
    settled.apply({"late": late})
    settled.holds("late", late)
    assert {key: pid for key, pid in settled.site.containers().items() if key.startswith(mine)} == before
