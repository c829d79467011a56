"""postStart, preStop, stop signals and termination messages, as Kubernetes promises them, on a real containerd.

Source of the rules, unless a case names another: kubernetes.io, "Container Lifecycle Hooks" (docs/concepts/containers/) and
"Determine the Reason for Pod Failure" (docs/tasks/debug/debug-application/).
"""

from typing import Any

import pytest

from tests.integration.semantics.cases import Case, command, ended, is_ready, main, restarted, shell
from tests.integration.semantics.world import World

NEVER = {"restartPolicy": "Never"}
POLITE = "trap 'echo asked; exit 0' TERM; echo up; while true; do sleep 0.1; done"


def post(handler: dict[str, Any]) -> dict[str, Any]:
    """A container with a postStart handler."""
    return {"lifecycle": {"postStart": handler}}


def fails(text: str, **fields: Any) -> dict[str, Any]:
    """A container that does something and ends with exit code 3."""
    return shell(f"{text}; exit 3") | fields


HOOK = {"preStop": command("sh", "-c", "echo hook >/proc/1/fd/1")}
FALLBACK = {"terminationMessagePolicy": "FallbackToLogsOnError"}

CASES = {
    "post-exec": Case(
        "postStart runs in the container beside its process",
        shell("until [ -e /tmp/hook ]; do sleep 0.05; done; exec sleep 1000000")
        | post(command("touch", "/tmp/hook"))
        | {"readinessProbe": command("test", "-e", "/tmp/hook")},
        is_ready,
    ),
    "post-http": Case(
        "by HTTP any answer is success",
        shell("exec httpd -f -p 8080") | post({"httpGet": {"port": 8080, "path": "/nothing-here"}}),
        lambda o: is_ready(o) or (restarted()(o) and main(o)["ready"]),
    ),
    "post-sleep": Case(
        "the container does not count as running before postStart has ended; it can be stopped before",
        shell(POLITE) | post({"sleep": {"seconds": 600}}),
        lambda o: main(o).get("state", {}).get("waiting", {}).get("reason") == "ContainerCreating" and not main(o)["started"],
        {"terminationGracePeriodSeconds": 600},
    ),
    "post-zero": Case("a sleep may be of no length (KEP-3960)", post({"sleep": {"seconds": 0}}), is_ready),
    "post-fails": Case(
        "when postStart fails, the container is killed, and comes again by its restartPolicy",
        post(command("false")),
        restarted(1, exitCode=137),
        events=(
            "FailedPostStartHook: container main: postStart handler failed",
            "Killing: Stopping container main: its postStart handler failed",
        ),
    ),
    "post-fails-never": Case("under Never it does not", post(command("nosuch")), ended("Failed", exitCode=137), NEVER),
    # --- termination messages
    "words": Case(
        "what is written to /dev/termination-log is the message",
        fails("printf 'no such port' >/dev/termination-log"),
        ended("Failed", exitCode=3, reason="Error", message="no such port"),
        NEVER,
    ),
    "words-path": Case(
        "or to terminationMessagePath",
        fails("echo here >/tmp/end", terminationMessagePath="/tmp/end"),
        ended("Failed", message="here\n"),
        NEVER,
    ),
    "words-success": Case(
        "also of a success", shell("echo done >/dev/termination-log"), ended("Succeeded", exitCode=0, message="done\n"), NEVER
    ),
    "words-user": Case(
        "any user may write it",
        fails("id -u >/dev/termination-log", securityContext={"runAsUser": 1234}),
        ended("Failed", message="1234\n"),
        NEVER,
    ),
    "words-long": Case(
        "it is at most 4096 bytes, of the end",
        fails("(yes aaaaaaa | head -n 1000; printf end) >/dev/termination-log"),
        lambda o: ended("Failed")(o) and _long(main(o)["state"]["terminated"]["message"]),
        NEVER,
    ),
    "words-of-last": Case(
        "the message of the last run is in lastState, whole",
        fails("(yes aaaaaaa | head -n 1000; printf end) >/dev/termination-log"),
        lambda o: restarted(1)(o) and _long(main(o)["lastState"]["terminated"].get("message", "")),
        {"backoff": {"initialSeconds": 3600, "maxSeconds": 3600}},
    ),
    "log-not-used": Case(
        "by default the log is not looked at", fails("echo in the log"), lambda o: ended("Failed")(o) and _words(o) == "", NEVER
    ),
    "log-on-error": Case(
        "FallbackToLogsOnError: the end of the log, when the file is empty and the container failed",
        fails("echo in the log", **FALLBACK),
        ended("Failed", message="in the log\n"),
        NEVER,
    ),
    "log-on-success": Case(
        "but not when it succeeded",
        shell("echo all well") | FALLBACK,
        lambda o: ended("Succeeded")(o) and _words(o) == "",
        NEVER,
    ),
    "log-after-file": Case(
        "and not when the file has something",
        fails("echo log; printf file >/dev/termination-log", **FALLBACK),
        ended("Failed", message="file"),
        NEVER,
    ),
    "log-lines": Case(
        "of the log at most 80 lines",
        fails("seq 1 100", **FALLBACK),
        lambda o: ended("Failed")(o) and _words(o).split() == [str(n) for n in range(21, 101)],
        NEVER,
    ),
    "log-bytes": Case(
        "or 2048 bytes",
        fails("yes 0123456789012345678901234567890123456789 | head -n 79", **FALLBACK),
        lambda o: ended("Failed")(o) and len(_words(o)) == 2048,
        NEVER,
    ),
}  # fmt: skip


def _words(obj: dict[str, Any]) -> str:
    return str(main(obj)["state"]["terminated"].get("message", ""))


def _long(message: str) -> bool:
    return len(message) == 4096 and message.endswith("aaaaaaa\nend")


@pytest.fixture(scope="module")
def settled(world: World) -> World:
    """Every case at once."""
    world.apply(CASES)
    return world


@pytest.mark.parametrize("name", CASES)
def test_case(settled: World, name: str) -> None:
    """The manifest leads to the state of the world."""
    settled.holds(name, CASES[name])


STOPS: dict[str, tuple[Case, list[str], tuple[str, ...]]] = {
    "stop-exec": (
        Case("preStop is run before the stop signal", shell(POLITE) | {"lifecycle": HOOK}, is_ready),
        ["up", "hook", "asked"],
        (),
    ),
    "stop-sleep": (
        Case(
            "a sleep puts the stop signal off",
            shell("trap 'echo asked; exit 0' TERM; echo up; sleep 1 & wait; echo still; while true; do sleep 0.1; done")
            | {"lifecycle": {"preStop": {"sleep": {"seconds": 2}}}},
            is_ready,
        ),
        ["up", "still", "asked"],
        (),
    ),
    "stop-hangs": (
        Case(
            "the grace period runs meanwhile; a handler that does not end in it is given up, and the signal still sent",
            shell(POLITE) | {"lifecycle": {"preStop": command("sleep", "600")}},
            is_ready,
            {"terminationGracePeriodSeconds": 1},
        ),
        ["up", "asked"],
        ("FailedPreStopHook: container main: preStop handler failed: it did not end within the grace period of 1 s",),
    ),
    "stop-fails": (
        Case("a handler that fails holds nothing up", shell(POLITE) | {"lifecycle": {"preStop": command("false")}}, is_ready),
        ["up", "asked"],
        ("FailedPreStopHook: container main: preStop handler failed",),
    ),
    "stop-signal": (
        Case(
            "lifecycle.stopSignal is sent in place of SIGTERM (KEP-4960)",
            shell("trap 'echo usr1; exit 0' USR1; echo up; while true; do sleep 0.1; done")
            | {"lifecycle": {"stopSignal": "SIGUSR1"}},
            is_ready,
        ),
        ["up", "usr1"],
        (),
    ),
}  # fmt: skip


def test_stops(settled: World) -> None:
    """What a suspended instance does at its end, each in its log: handler first, then signal, all within the grace period."""
    cases = {
        name: Case(c.sentence, c.container, c.then, {"terminationGracePeriodSeconds": 5} | c.spec)
        for name, (c, _, _) in STOPS.items()
    }
    settled.apply(cases)
    for name, case in cases.items():
        settled.holds(name, case)
        settled.until_said(name, "up")
    settled.apply({n: Case("", c.container, c.then, c.spec | {"suspend": True}) for n, c in cases.items()})
    for name, (case, said, events) in STOPS.items():
        settled.until(
            name, lambda o: any(c["reason"] == "Suspended" and c["status"] == "True" for c in o["status"]["conditions"])
        )
        assert settled.said(name) == said, case.sentence
        settled.told(name, events)


def test_a_container_that_ends_by_itself_has_no_pre_stop(settled: World) -> None:
    """Ends that are asked for have their preStop: one that completes by itself has none, and a liveness probe's end has."""
    hook = {"lifecycle": HOOK}
    itself = Case("", shell("echo up; sleep 1") | hook, ended("Succeeded"), NEVER)
    probed = Case(
        "",
        shell(POLITE) | hook | {"livenessProbe": command("false") | {"periodSeconds": 1, "failureThreshold": 1}},
        ended("Succeeded"),
        NEVER | {"terminationGracePeriodSeconds": 5},
    )
    settled.apply({"itself": itself, "probed": probed})
    settled.holds("itself", itself)
    settled.holds("probed", probed)
    assert settled.said("itself") == ["up"]
    assert settled.said("probed") == ["up", "hook", "asked"]


def test_hooks_of_a_container_that_left_the_spec(settled: World) -> None:
    """A container that an update takes out of the spec is stopped with the preStop that it had, and no other is touched."""
    hook = {"lifecycle": HOOK | {"stopSignal": "SIGINT"}}
    image = f"{settled.site.registry.host}/busybox:1"
    script = "trap 'echo int; exit 0' INT; echo up; while true; do sleep 0.1; done"
    side = {"name": "side", "image": image, **shell(script), **hook}
    kept = {"name": "main", "image": image, "command": ["sleep", "1000000"]}
    grace = {"terminationGracePeriodSeconds": 5}
    settled.apply({"pair": Case("", {}, is_ready, grace | {"containers": [kept, side]})})
    settled.until("pair", lambda o: o.get("status", {}).get("ready") == "2/2")
    settled.until_said("pair", "up", "side")
    settled.apply({"pair": Case("", {}, is_ready, grace | {"containers": [kept]})})
    settled.until("pair", lambda o: o["status"]["ready"] == "1/1")
    settled.until_said("pair", "int", "side")
    assert settled.said("pair", "side") == ["up", "hook", "int"]
