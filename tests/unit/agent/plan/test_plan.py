"""The plan for one instance: what to do, when to look again, and what is the case. One table a subject."""

from dataclasses import replace
from typing import Any

import pytest

from controller.agent.decide.actions import CreateContainer, KillContainer, PullImage, StopContainer
from controller.agent.decide.observation import Desired, ImageView, Observation
from controller.agent.decide.plan import RUNTIME_PATIENCE_SECONDS, Plan, plan, pull_policy
from controller.agent.decide.stop import KILL_AGAIN_SECONDS
from controller.api import labels
from controller.api.reasons import Reason
from controller.runtime.port import Phase
from tests.unit.agent.values import (
    HERE,
    IMAGE,
    NOW,
    PRESENT,
    container,
    current_hash,
    deleted,
    desired,
    kinds,
    pulling,
    remembered,
    seen,
    state,
    trouble,
)

CREATED, RUNNING, PAUSED, EXITED = Phase.CREATED, Phase.RUNNING, Phase.PAUSED, Phase.EXITED
WEB = desired()
OLD = "older"
"""A spec hash that is not the current one."""


def planned(wanted: Desired, observation: Observation, now: float = NOW) -> tuple[str, float | None, str]:
    """Actions in short, seconds until the next look, and the first container's reason."""
    result = plan(wanted, observation, now)
    reason = next((v.reason.value for v in result.verdicts.values()), "")
    return kinds(result.actions), None if result.wake_at is None else round(result.wake_at - now, 3), reason


def creations(result: Plan) -> list[CreateContainer]:
    """The containers that the plan makes."""
    return [a for a in result.actions if isinstance(a, CreateContainer)]


# --- bringing up


@pytest.mark.parametrize(
    ("sentence", "observation", "then"),
    [
        ("nothing is there", seen(), ("Create main/0, Start main", None, "ContainerCreating")),
        ("it was made and not started", seen(state(WEB, CREATED)), ("Start main-0", None, "ContainerCreating")),
        ("it runs", seen(state(WEB)), ("", None, "Running")),
        ("it is paused: somebody looks at it", seen(state(WEB, PAUSED)), ("", None, "Running")),
        (
            "it was made from an older spec",
            seen(state(WEB, CREATED, spec_hash=OLD)),
            ("Remove main-0", None, "ContainerCreating"),
        ),
        ("no image", seen(images={IMAGE: ImageView()}), (f"Pull {IMAGE}", None, "Pulling")),
        ("it runs and its image is gone", seen(state(WEB), images={IMAGE: ImageView()}), ("", None, "Running")),
        (
            "made, and its image is gone",
            seen(state(WEB, CREATED), images={IMAGE: ImageView()}),
            ("Start main-0", None, "ContainerCreating"),
        ),
        (
            "the pull that it asked for is under way",
            seen(images=pulling(), pulling={"main": current_hash(WEB)}),
            ("", None, "Pulling"),
        ),
        ("another instance pulls it: join, to be told of its end", seen(images=pulling()), (f"Pull {IMAGE}", None, "Pulling")),
        (
            "the pull failed",
            seen(images=pulling(running=False, reason=Reason.ERR_IMAGE_PULL, retry_at=NOW + 4)),
            ("", 4, "ErrImagePull"),
        ),
        (
            "the pull failed a while ago",
            seen(images=pulling(running=False, reason=Reason.ERR_IMAGE_PULL, retry_at=NOW)),
            (f"Pull {IMAGE}", None, "Pulling"),
        ),
        (
            "the image's name cannot be parsed",
            seen(images=pulling(running=False, reason=Reason.INVALID_IMAGE_NAME, terminal=True)),
            ("", None, "InvalidImageName"),
        ),
    ],
)
def test_a_container_is_brought_up(sentence: str, observation: Observation, then: tuple[str, float | None, str]) -> None:
    """Image first, then the container, then its process; whatever is there already is taken as it is."""
    assert planned(WEB, observation) == then, sentence


@pytest.mark.parametrize(
    ("image", "written", "policy"),
    [
        ("app", None, "Always"),
        ("app:latest", None, "Always"),
        ("app:1", None, "IfNotPresent"),
        ("localhost:5000/app", None, "Always"),
        ("localhost:5000/app:1", None, "IfNotPresent"),
        ("app@sha256:0", None, "IfNotPresent"),
        ("app:latest@sha256:0", None, "IfNotPresent"),
        ("app:latest", "Never", "Never"),
        ("app:1", "Always", "Always"),
    ],
)
def test_the_default_pull_policy_is_kubernetes(image: str, written: Any, policy: str) -> None:
    """Always for the tag `latest` or none, else IfNotPresent; what is written holds."""
    assert pull_policy(written, image) == policy


ALWAYS = desired(container(imagePullPolicy="Always"))
NEVER_PULL = desired(container(imagePullPolicy="Never"))
FAILED = ImageView(PRESENT, pulling(running=False, reason=Reason.ERR_IMAGE_PULL, retry_at=NOW + 4)[IMAGE].pull)


@pytest.mark.parametrize(
    ("sentence", "wanted", "observation", "actions"),
    [
        ("Always asks for a new instance", ALWAYS, seen(), f"Pull {IMAGE}"),
        ("Always, asked", ALWAYS, seen(pulled={"main": current_hash(ALWAYS)}), "Create main/0, Start main"),
        ("Always, asked for another spec", ALWAYS, seen(pulled={"main": OLD}), f"Pull {IMAGE}"),
        ("Always and the registry fails: what is there is not used", ALWAYS, seen(images={IMAGE: FAILED}), ""),
        ("Always does not ask for a restart", ALWAYS, seen(state(ALWAYS, EXITED)), "Create main/1, Start main"),
        (
            "Always asks for a changed spec, and the old one runs on",
            ALWAYS,
            seen(state(ALWAYS, spec_hash=OLD)),
            f"Pull {IMAGE}",
        ),
        (
            "IfNotPresent takes what is there, whatever a pull did",
            WEB,
            seen(images={IMAGE: FAILED}),
            "Create main/0, Start main",
        ),
        ("Never takes what is there", NEVER_PULL, seen(), "Create main/0, Start main"),
        ("Never does not pull", NEVER_PULL, seen(images={IMAGE: ImageView()}), ""),
    ],
)
def test_pull_policies(sentence: str, wanted: Desired, observation: Observation, actions: str) -> None:
    """When the registry is asked, and when it is not needed."""
    assert planned(wanted, observation)[0] == actions, sentence


def test_an_image_that_is_missing_under_never_is_terminal() -> None:
    """Nothing will bring it by itself: said as Kubernetes says it."""
    (verdict,) = plan(NEVER_PULL, seen(images={IMAGE: ImageView()}), NOW).verdicts.values()
    assert (verdict.reason, verdict.terminal) == (Reason.ERR_IMAGE_NEVER_PULL, True)


# --- ends and restarts


@pytest.mark.parametrize(
    ("sentence", "crashes", "ago", "then"),
    [
        ("the first end: at once", 0, 0, ("Create main/1, Start main", None, "ContainerCreating")),
        ("the second waits initialSeconds", 1, 0, ("", 1, "CrashLoopBackOff")),
        ("and its time is up", 1, 1, ("Create main/1, Start main", None, "ContainerCreating")),
        ("the third waits twice as long", 2, 0.5, ("", 1.5, "CrashLoopBackOff")),
        ("never longer than maxSeconds", 40, 0, ("", 60, "CrashLoopBackOff")),
        ("the clock was set back an hour: no longer than the pause", 2, -3600, ("", 2, "CrashLoopBackOff")),
    ],
)
def test_ended_containers_are_restarted(sentence: str, crashes: int, ago: float, then: tuple[str, float | None, str]) -> None:
    """At once, then after 1, 2, 4 ... seconds, up to a minute, counted from the end."""
    ended = state(WEB, EXITED, crashes=crashes, exited_at=NOW - ago, started_at=NOW - ago - 10)
    assert planned(WEB, seen(ended)) == then, sentence


def test_a_restart_counts_and_tells_what_came_before() -> None:
    """The new container carries the number of restarts, of ends in a row, and how the last run ended."""
    (create,) = creations(plan(WEB, seen(state(WEB, EXITED, attempt=4, crashes=0, exit_code=3)), NOW))
    assert (create.restart_count, create.crashes) == (5, 1)
    assert create.last is not None
    assert (create.last.exit_code, create.last.reason, create.last.container_id) == (3, "Error", "main-4")


@pytest.mark.parametrize(
    ("sentence", "crashes", "ran", "told", "wake"),
    [
        ("its first restart is immediate, and so is its readiness", 1, 0, "", None),
        ("after a pause of 1 s it has to run for 1 s", 2, 0.4, "crashed 2 times in a row; runs again, and is ready", 0.6),
        ("and then is as good as any", 2, 1, "", None),
        ("a longer pause asks for a longer run", 4, 3, "ready when it has run for 4 s", 1),
        ("never longer than the longest pause", 50, 60, "", None),
        ("a clock that was set back does not lengthen it", 2, -100, "runs again", 1),
    ],
)
def test_after_a_back_off_a_container_is_ready_when_it_has_run_for_as_long(
    sentence: str, crashes: int, ran: float, told: str, wake: float | None
) -> None:
    """So a container that crashes for ever is not reported as ready at each of its starts."""
    result = plan(WEB, seen(state(WEB, crashes=crashes, started_at=NOW - ran)), NOW)
    verdict = result.verdicts["main"]
    assert (result.actions, verdict.reason) == ((), Reason.RUNNING), sentence
    assert told in verdict.unproven
    assert bool(told) == bool(verdict.unproven)
    assert result.wake_at == (None if wake is None else pytest.approx(NOW + wake))


def test_a_long_run_makes_the_next_restart_immediate() -> None:
    """After `resetAfterSeconds` of running the row begins anew."""
    ended = state(WEB, EXITED, attempt=9, crashes=9, started_at=NOW - 120, exited_at=NOW)
    (create,) = creations(plan(WEB, seen(ended), NOW))
    assert (create.restart_count, create.crashes) == (10, 1)


@pytest.mark.parametrize(
    ("policy", "code", "actions", "reason"),
    [
        ("Always", 0, "Create main/1, Start main", "ContainerCreating"),
        ("OnFailure", 0, "", "Completed"),
        ("OnFailure", 1, "Create main/1, Start main", "ContainerCreating"),
        ("OnFailure", None, "Create main/1, Start main", "ContainerCreating"),
        ("Never", 0, "", "Completed"),
        ("Never", 1, "", "Error"),
        ("Never", None, "", "ContainerStatusUnknown"),
    ],
)
def test_restart_policies(policy: str, code: int | None, actions: str, reason: str) -> None:
    """Whether an end is the last word; an end with an unknown code is a failure."""
    wanted = desired(restartPolicy=policy)
    assert planned(wanted, seen(state(wanted, EXITED, exit_code=code))) == (actions, None, reason)


def test_a_changed_spec_starts_what_had_ended_for_good() -> None:
    """RestartPolicy is about one spec; a new one is a new start, without a back-off."""
    wanted = desired(restartPolicy="Never")
    ended = state(wanted, EXITED, attempt=2, crashes=5, exit_code=0, spec_hash=OLD)
    (create,) = creations(plan(wanted, seen(ended), NOW))
    assert (create.restart_count, create.crashes) == (3, 0)


def test_after_a_reboot_everything_is_started_again() -> None:
    """Containers that the reboot took carry no exit code; Always and OnFailure start them, at once."""
    lost = state(WEB, EXITED, attempt=1, crashes=0, exit_code=None, exited_at=None)
    (create,) = creations(plan(WEB, seen(lost), NOW))
    assert create.restart_count == 2
    assert create.last is not None
    assert (create.last.reason, create.last.exit_code) == ("ContainerStatusUnknown", 137)


# --- a changed spec

RUNS_OLD = state(WEB, spec_hash=OLD)


@pytest.mark.parametrize(
    ("sentence", "observation", "then"),
    [
        (
            "the image is pulled while the old one runs",
            seen(RUNS_OLD, images={IMAGE: ImageView()}),
            (f"Pull {IMAGE}", None, "Pulling"),
        ),
        ("then the old one is stopped", seen(RUNS_OLD), ("Stop main-0", None, "Updating")),
        ("it has the grace period", seen(RUNS_OLD, stopping={"main-0": NOW - 10}), ("", 20, "Updating")),
        ("then it is killed", seen(RUNS_OLD, stopping={"main-0": NOW - 30}), ("Kill main-0", None, "Updating")),
        (
            "the new one comes when the old one has ended",
            seen(state(WEB, EXITED, spec_hash=OLD, crashes=9), stopping={"main-0": NOW}),
            ("Create main/1, Start main", None, "ContainerCreating"),
        ),
        (
            "a bad image leaves the old one running",
            seen(RUNS_OLD, images=pulling(running=False, reason=Reason.INVALID_IMAGE_NAME, terminal=True)),
            ("", None, "InvalidImageName"),
        ),
        (
            "a spec that just failed leaves the old one running",
            seen(RUNS_OLD, troubles=trouble(WEB)),
            ("", 1, "CreateContainerError"),
        ),
    ],
)
def test_a_changed_spec_is_brought_in(sentence: str, observation: Observation, then: tuple[str, float | None, str]) -> None:
    """Pull while the old one runs, stop, wait for its end, then the new one."""
    assert planned(WEB, observation) == then, sentence


def test_a_changed_container_leaves_the_others_alone() -> None:
    """Only what changed is replaced."""
    wanted = desired(container(), container("side"))
    result = plan(wanted, seen(state(wanted, spec_hash=OLD), state(wanted, name="side")), NOW)
    assert kinds(result.actions) == "Stop main-0"


@pytest.mark.parametrize("policy", ["Always", "OnFailure", "Never"])
def test_what_was_asked_to_stop_is_seen_through_when_the_wish_is_taken_back(policy: str) -> None:
    """A spec changed back, or a suspension undone, in the grace period: the signal is out, so the stop goes on to its end.

    Then the container starts again, whatever its restartPolicy, since it did not end by itself.
    """
    wanted = desired(restartPolicy=policy)
    asked = {"main-0": NOW - 10}
    assert planned(wanted, seen(state(wanted), stopping=asked))[:2] == ("", 20)
    assert planned(wanted, seen(state(wanted), stopping=asked), NOW + 20)[0] == "Kill main-0"
    (create,) = creations(plan(wanted, seen(state(wanted, EXITED, exit_code=0, crashes=7), stopping=asked), NOW))
    assert (create.restart_count, create.crashes) == (1, 0)


# --- stopping


@pytest.mark.parametrize(
    ("sentence", "grace", "observation", "then"),
    [
        ("the stop signal first", 30, seen(state(WEB)), ("Stop main-0", None)),
        ("no grace: SIGKILL at once", 0, seen(state(WEB)), ("Kill main-0", None)),
        ("asked: wait", 30, seen(state(WEB), stopping={"main-0": NOW - 1}), ("", 29)),
        ("the grace period is over", 30, seen(state(WEB), stopping={"main-0": NOW - 30}), ("Kill main-0", None)),
        (
            "a shorter grace period counts from the asking",
            5,
            seen(state(WEB), stopping={"main-0": NOW - 10}),
            ("Kill main-0", None),
        ),
        (
            "killed: wait again",
            30,
            seen(state(WEB), stopping={"main-0": NOW - 31}, killed={"main-0": NOW - 1}),
            ("", KILL_AGAIN_SECONDS - 1),
        ),
        (
            "still there: kill again",
            30,
            seen(state(WEB), stopping={"main-0": NOW - 60}, killed={"main-0": NOW - KILL_AGAIN_SECONDS}),
            ("Kill main-0", None),
        ),
        ("no grace, killed: wait", 0, seen(state(WEB), killed={"main-0": NOW}), ("", KILL_AGAIN_SECONDS)),
        ("ended: remove", 30, seen(state(WEB, EXITED)), ("Remove main-0", None)),
        ("never started: remove", 30, seen(state(WEB, CREATED)), ("Remove main-0", None)),
        ("several", 30, seen(state(WEB, EXITED), state(WEB, attempt=1)), ("Remove main-0, Stop main-1", None)),
        ("nothing is left", 30, seen(), ("", None)),
    ],
)
@pytest.mark.parametrize("way", ["deleted", "gone", "suspended"])
def test_teardown(way: str, sentence: str, grace: int, observation: Observation, then: tuple[str, float | None]) -> None:
    """Stop signal, grace period, SIGKILL, SIGKILL again, removal; the same for deletion and suspension."""
    ways = {
        "deleted": deleted(terminationGracePeriodSeconds=grace),
        "gone": desired(gone=True, terminationGracePeriodSeconds=grace),
        "suspended": desired(suspend=True, terminationGracePeriodSeconds=grace),
    }
    result = plan(ways[way], observation, NOW)
    assert (kinds(result.actions), None if result.wake_at is None else result.wake_at - NOW) == then, sentence
    assert result.torn_down is not bool(observation.containers)


def test_the_images_own_stop_signal_is_used() -> None:
    """STOPSIGNAL of the image, as its container's label says; SIGTERM without one."""
    (stop,) = plan(deleted(), seen(state(WEB, labels={labels.STOP_SIGNAL: "SIGQUIT"})), NOW).actions
    assert isinstance(stop, StopContainer)
    assert stop.signal == "SIGQUIT"
    (stop,) = plan(deleted(), seen(state(WEB)), NOW).actions
    assert isinstance(stop, StopContainer)
    assert stop.signal == "SIGTERM"


def test_containers_that_left_the_spec_go_with_grace_and_the_rest_stays() -> None:
    """A name that is no longer in the spec is stopped, then removed."""
    both = desired(container(), container("side"))
    main, side = state(both), state(both, name="side")
    assert kinds(plan(WEB, seen(main, side), NOW).actions) == "Stop side-0"
    assert kinds(plan(WEB, seen(main, replace(side, phase=EXITED)), NOW).actions) == "Remove side-0"


def test_resume_starts_afresh() -> None:
    """After a suspension nothing is there, and nothing is remembered: the containers are made anew."""
    assert planned(WEB, seen())[0] == "Create main/0, Start main"


# --- tampering


@pytest.mark.parametrize(
    ("sentence", "last", "restarts", "crashes", "reason", "code"),
    [
        ("it ran when it was removed", state(WEB, attempt=2), 3, 1, "ContainerStatusUnknown", 137),
        ("it had ended before it was removed", state(WEB, EXITED, attempt=2, exit_code=5), 3, 1, "Error", 5),
    ],
)
def test_a_container_that_vanished_is_made_again(
    sentence: str, last: Any, restarts: int, crashes: int, reason: str, code: int
) -> None:
    """Removed behind our back: made again at once, with its history told truly."""
    (create,) = creations(plan(WEB, seen(remembered=remembered(last, attempt=2)), NOW))
    assert (create.restart_count, create.crashes) == (restarts, crashes), sentence
    assert create.last is not None
    assert (create.last.reason, create.last.exit_code) == (reason, code), sentence


def test_a_killed_process_is_an_end_like_any_other() -> None:
    """`ctr task kill` or `kill -9`: started again at once."""
    assert planned(WEB, seen(state(WEB, EXITED, exit_code=137)))[0] == "Create main/1, Start main"


@pytest.mark.parametrize(
    ("sentence", "older", "newest", "actions"),
    [
        ("the older one is ended: removed", state(WEB, EXITED), state(WEB, attempt=1), "Remove main-0"),
        ("both run: the older one is stopped", state(WEB), state(WEB, attempt=1), "Stop main-0"),
        ("the older one runs: the newer one is not started", state(WEB), state(WEB, CREATED, attempt=1), "Stop main-0"),
        ("the older one runs: no further one is made", state(WEB), state(WEB, EXITED, attempt=1), "Stop main-0"),
        (
            "the older one has ended: the newer one is started",
            state(WEB, EXITED),
            state(WEB, CREATED, attempt=1),
            "Start main-1, Remove main-0",
        ),
    ],
)
def test_of_several_containers_of_a_name_only_one_may_run(sentence: str, older: Any, newest: Any, actions: str) -> None:
    """The newest attempt is the one in force; nothing starts beside one that may still run."""
    assert planned(WEB, seen(newest, older))[0] == actions, sentence


def test_attempts_are_ordered_as_numbers() -> None:
    """Attempt 10 is newer than attempt 9, in whatever order the runtime lists them."""
    result = plan(WEB, seen(state(WEB, attempt=10), state(WEB, EXITED, attempt=9)), NOW)
    assert kinds(result.actions) == "Remove main-9"


@pytest.mark.parametrize("text", ["", "-1", "x", "1.5", "²"])
def test_labels_that_somebody_broke_count_as_nothing(text: str) -> None:
    """A label that is no number does not stop the agent."""
    broken = state(WEB, EXITED, labels={labels.RESTART_COUNT: text, labels.CRASHES: text})
    (create,) = creations(plan(WEB, seen(broken), NOW))
    assert (create.restart_count, create.crashes) == (1, 1)


# --- the runtime does not answer


def test_a_runtime_that_does_not_answer_gives_no_action_and_patience() -> None:
    """Nothing is concluded from silence; only after a while is it told."""
    for observation in (seen(), seen(state(WEB, EXITED)), seen(state(WEB, spec_hash=OLD))):
        away = replace(observation, runtime_error="connection refused", runtime_down_since=NOW)
        early = plan(WEB, away, NOW + 1)
        assert (early.actions, early.blocked) == ((), "")
        assert early.wake_at is not None
        assert NOW + 1 < early.wake_at <= NOW + RUNTIME_PATIENCE_SECONDS
        late = plan(WEB, away, NOW + RUNTIME_PATIENCE_SECONDS)
        assert (late.actions, late.blocked) == ((), "connection refused")
        assert late.wake_at is not None, "whoever cannot ask now has to ask again, also when nobody says that it is back"


@pytest.mark.parametrize("wanted", [deleted(), desired(gone=True), desired(suspend=True)], ids=["deleted", "gone", "suspended"])
def test_silence_is_never_absence(wanted: Desired) -> None:
    """An instance is not torn down because the runtime does not say what there is."""
    result = plan(wanted, seen(runtime_error="no answer", runtime_down_since=NOW - 3600), NOW)
    assert not result.torn_down
    assert result.actions == ()


# --- failed tries


@pytest.mark.parametrize(
    ("sentence", "wanted", "fields", "then"),
    [
        ("a failed try waits", WEB, {}, ("", 1, "CreateContainerError")),
        ("longer each time", WEB, {"count": 3}, ("", 4, "CreateContainerError")),
        ("its time is up", WEB, {"at": NOW - 1}, ("Create main/0, Start main", None, "ContainerCreating")),
        ("a terminal one is not tried again", WEB, {"at": NOW - 9999, "terminal": True}, ("", None, "CreateContainerError")),
        (
            "a changed spec is tried at once",
            WEB,
            {"spec_hash": OLD, "terminal": True},
            ("Create main/0, Start main", None, "ContainerCreating"),
        ),
        (
            "under Never a failed start is the end",
            desired(restartPolicy="Never"),
            {"started": True, "reason": Reason.START_ERROR, "at": NOW - 9999},
            ("", None, "StartError"),
        ),
        (
            "under Never a failed making is not: nothing has run",
            desired(restartPolicy="Never"),
            {"at": NOW - 9999},
            ("Create main/0, Start main", None, "ContainerCreating"),
        ),
        (
            "under OnFailure a failed start is tried again",
            desired(restartPolicy="OnFailure"),
            {"started": True, "at": NOW - 9999},
            ("Create main/0, Start main", None, "ContainerCreating"),
        ),
    ],
)
def test_failed_tries(sentence: str, wanted: Desired, fields: dict[str, Any], then: tuple[str, float | None, str]) -> None:
    """A try that failed is repeated with a growing pause, unless it makes no sense."""
    assert planned(wanted, seen(troubles=trouble(wanted, **fields))) == then, sentence


def test_a_trouble_of_one_container_does_not_hold_another() -> None:
    """Each container goes its own way."""
    wanted = desired(container(), container("side"))
    result = plan(wanted, seen(troubles=trouble(wanted)), NOW)
    assert kinds(result.actions) == "Create side/0, Start side"
    assert result.wake_at == NOW + 1


# --- the plan as a whole


def test_the_earliest_time_wakes() -> None:
    """Of several containers the first one due decides when to look again."""
    wanted = desired(container(), container("side"))
    ends = (state(wanted, EXITED, crashes=3), state(wanted, EXITED, name="side", crashes=1))
    assert plan(wanted, seen(*ends), NOW).wake_at == NOW + 1


def test_two_containers_of_one_missing_image_pull_it_once_each() -> None:
    """Both say what they wait for; that it is fetched once is the puller's business."""
    wanted = desired(container(), container("side"))
    actions = plan(wanted, seen(images={IMAGE: ImageView()}), NOW).actions
    assert [a.container for a in actions if isinstance(a, PullImage)] == ["main", "side"]


def test_a_plan_is_a_function() -> None:
    """The same moment gives the same plan: it depends on nothing else."""
    observation = seen(state(WEB, EXITED, crashes=2), images=HERE)
    assert plan(WEB, observation, NOW) == plan(WEB, observation, NOW)


def test_kill_names_the_container() -> None:
    """So that what is told of it carries its name."""
    (kill,) = plan(deleted(terminationGracePeriodSeconds=0), seen(state(WEB)), NOW).actions
    assert kill == KillContainer("main", "main-0")
