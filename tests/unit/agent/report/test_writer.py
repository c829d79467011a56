"""The coalescing status writer."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.agent.decide.observation import Observation
from controller.agent.decide.plan import plan
from controller.agent.decide.pulling import PullView
from controller.agent.decide.status import instance_status
from controller.agent.report.writer import FRESH_HOLD_SECONDS, PASSING_HOLD_SECONDS, StatusWriter
from controller.api.instance import InstanceStatus
from controller.api.reasons import Reason
from controller.kube.errors import ApiDenied, ApiForbidden, ApiInvalid
from controller.kube.patch import delta
from controller.runtime.port import Phase
from tests.unit.agent.api import Api
from tests.unit.agent.clock import now, until
from tests.unit.agent.values import IMAGE, NODE, UID, desired, instance_object, pulling, seen, state
from tests.unit.mergepatch import merge

WRITES = "containerinstances/status"
WEB = desired()
MAKING, RUNS = seen(), seen(state(WEB))
FAILING = seen(images=pulling(running=False, reason=Reason.ERR_IMAGE_PULL, message="no such tag", retry_at=9e9))


def status(observation: Observation) -> InstanceStatus:
    """What is told of it now."""
    return instance_status(WEB, plan(WEB, observation, now()), NODE, now())


class Rig:
    """A writer on an API server that has one instance."""

    def __init__(self, kept: dict[str, Any] | None = None) -> None:
        self.api = Api()
        self.api.apply(instance_object())
        self.shown["status"] |= kept or {}
        client: Any = self.api
        self.writer = StatusWriter(client)
        self.task = asyncio.create_task(self.writer.run())
        self.know()

    @property
    def shown(self) -> dict[str, Any]:
        """The instance in the API."""
        found = self.api.instance()
        assert found is not None
        return found

    @property
    def writes(self) -> int:
        """Status writes so far."""
        return self.api.written(WRITES)

    def know(self) -> None:
        """The watch delivers the instance as it is."""
        self.writer.known(UID, "default", "web", self.shown["status"])

    def submit(self, observation: Observation) -> None:
        """A supervisor tells."""
        self.writer.submit(UID, status(observation))


@pytest.fixture(name="rig")
async def _rig() -> AsyncIterator[Rig]:
    rig = Rig()
    yield rig
    assert not rig.task.done()
    rig.task.cancel()
    await asyncio.gather(rig.task, return_exceptions=True)


def at(done: int) -> Observation:
    """A pull that is so far."""
    return seen(images=pulling(progress=PullView("x", done, 100, 10, 100 - done)))


async def test_the_progress_of_a_pull_is_written_every_two_seconds_at_most(rig: Rig) -> None:
    """Whatever is told in between; the newest is written, what is not new is not, and it is gone at the end."""
    for done in range(1, 41):
        rig.submit(at(done))
        await asyncio.sleep(0.25)
    assert 4 <= rig.writes <= 6
    await asyncio.sleep(10)
    writes = rig.writes
    assert (rig.shown["status"]["pull"]["percent"], rig.shown["status"]["summary"]) == (40, "Pulling 40% 10B/s")
    rig.submit(at(40))
    await asyncio.sleep(10)
    assert rig.writes == writes
    rig.submit(at(41))
    rig.submit(RUNS)
    await until(lambda: rig.shown["status"]["summary"] == "Running")
    assert rig.writes == writes + 1
    assert "pull" not in rig.shown["status"]


async def test_a_quick_start_is_one_write(rig: Rig) -> None:
    """Being made is held back in the hope of running; then running is told at once."""
    rig.submit(MAKING)
    await asyncio.sleep(1)
    assert rig.writes == 0
    rig.submit(RUNS)
    assert await until(lambda: rig.writes) < 0.1
    await asyncio.sleep(60)
    assert rig.writes == 1
    assert rig.shown["status"]["conditions"][0]["reason"] == "Running"


async def test_a_slow_start_is_told_after_a_while(rig: Rig) -> None:
    """Nobody waits longer than the hold for a first sign."""
    rig.submit(MAKING)
    assert await until(lambda: rig.writes) == pytest.approx(FRESH_HOLD_SECONDS, abs=0.1)
    rig.submit(RUNS)
    await until(lambda: rig.shown["status"]["observedGeneration"] == 1)
    assert rig.writes == 2


async def test_a_hold_is_not_prolonged_by_more_of_the_same(rig: Rig) -> None:
    """A status that changes all the time is still told in time."""
    took = asyncio.create_task(until(lambda: rig.writes))
    while not took.done():
        rig.submit(MAKING)
        await asyncio.sleep(0.1)
    assert await took == pytest.approx(FRESH_HOLD_SECONDS, abs=0.2)


async def test_trouble_is_told_at_once(rig: Rig) -> None:
    """Only what is passing and well is held back."""
    rig.submit(FAILING)
    assert await until(lambda: rig.writes) < 0.1


async def test_a_blink_is_not_told(rig: Rig) -> None:
    """Back to what was told before the hold is over: no write at all."""
    rig.submit(RUNS)
    await until(lambda: rig.writes)
    rig.submit(MAKING)
    await asyncio.sleep(PASSING_HOLD_SECONDS / 2)
    rig.submit(RUNS)
    await asyncio.sleep(60)
    assert rig.writes == 1


async def test_only_what_changed_is_sent(rig: Rig) -> None:
    """A delta against what the API server has; the times of conditions stay while their status does."""
    rig.submit(RUNS)
    await until(lambda: rig.writes)
    since = rig.shown["status"]["conditions"][0]["lastTransitionTime"]
    began = rig.shown["status"]["startedAt"]
    await asyncio.sleep(100)
    rig.submit(seen(state(WEB, attempt=1)))
    await until(lambda: rig.writes == 2)
    assert set(rig.api.bodies[-1]["status"]) == {"containers", "restarts"}
    assert rig.shown["status"]["conditions"][0]["lastTransitionTime"] == since
    assert rig.shown["status"]["startedAt"] == began


async def test_the_first_write_says_everything(rig: Rig) -> None:
    """Also what is zero, so that no column of `kubectl get` is empty."""
    rig.submit(RUNS)
    await until(lambda: rig.writes)
    shown = rig.shown["status"]
    assert (shown["restarts"], shown["ready"], shown["phase"]) == (0, "1/1", "Running")
    rig.writer.forget(UID)


async def test_a_fresh_status_that_waits_has_its_phase(rig: Rig) -> None:
    """Pending is said, although it is the default."""
    rig.submit(FAILING)
    await until(lambda: rig.writes)
    assert rig.shown["status"]["phase"] == "Pending"
    assert rig.shown["status"]["restarts"] == 0


async def test_adoption_writes_nothing(rig: Rig) -> None:
    """A new agent that finds things as the API server has them is silent."""
    rig.submit(RUNS)
    await until(lambda: rig.writes)
    client: Any = rig.api
    again = StatusWriter(client)
    task = asyncio.create_task(again.run())
    await asyncio.sleep(100)
    again.submit(UID, status(RUNS))
    again.known(UID, "default", "web", rig.shown["status"])
    await asyncio.sleep(60)
    assert rig.writes == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_nothing_is_written_before_it_is_known_what_is_there(rig: Rig) -> None:
    """Without knowing the old there is no delta; as soon as it is known, it is written."""
    rig.api.apply(instance_object(name="other", uid="other"))
    rig.writer.submit("other", status(RUNS))
    await asyncio.sleep(60)
    assert rig.writes == 0
    rig.writer.known("other", "default", "other", {"observedGeneration": -1})
    await until(lambda: rig.writes == 1)


async def test_an_outage_delays_and_the_latest_wins(rig: Rig) -> None:
    """However long: what is written at its end is the newest, and only that."""
    rig.api.down = True
    rig.submit(FAILING)
    await asyncio.sleep(100)
    rig.submit(RUNS)
    rig.submit(seen(state(WEB, attempt=5)))
    await asyncio.sleep(100)
    rig.api.down = False
    assert await until(lambda: rig.writes) <= 13
    await asyncio.sleep(60)
    assert rig.writes == 1
    assert rig.shown["status"]["restarts"] == 5


async def test_what_is_submitted_during_a_write_is_written_after_it(rig: Rig) -> None:
    """Nothing is lost between."""
    rig.api.slow = 5
    rig.submit(RUNS)
    await asyncio.sleep(2)
    rig.submit(seen(state(WEB, attempt=1)))
    await until(lambda: rig.writes == 2)
    assert rig.shown["status"]["restarts"] == 1


@pytest.mark.parametrize("refusal", [ApiDenied("no"), ApiInvalid("no")])
async def test_a_refused_status_is_not_tried_for_ever(rig: Rig, refusal: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """Told in the log; the next change is tried again, and says everything that was refused before."""
    rig.api.refusal = refusal  # type: ignore[assignment]
    rig.submit(RUNS)
    await asyncio.sleep(60)
    rig.submit(RUNS)
    await asyncio.sleep(60)
    assert caplog.text.count("refuses") == 1
    rig.api.refusal = None
    await asyncio.sleep(600)
    assert rig.writes == 0
    rig.submit(seen(state(WEB, attempt=1)))
    await until(lambda: rig.writes == 1)
    assert rig.shown["status"]["restarts"] == 1
    assert rig.shown["status"]["conditions"][0]["reason"] == "Running"


@pytest.mark.parametrize("seconds", [0.5, 600])
async def test_a_missing_right_is_waited_for(rig: Rig, seconds: float, caplog: pytest.LogCaptureFixture) -> None:
    """As an API server that has just been started refuses for a moment; told once, and tried ever more rarely."""
    rig.api.refusal = ApiForbidden("no")
    rig.submit(RUNS)
    await asyncio.sleep(seconds)
    assert caplog.text.count("refuses") == 1
    rig.api.refusal = None
    await until(lambda: rig.writes == 1, 2 if seconds < 1 else 80)
    assert rig.shown["status"]["conditions"][0]["reason"] == "Running"
    await asyncio.sleep(600)
    assert rig.writes == 1


async def test_an_object_that_is_gone_needs_no_status(rig: Rig) -> None:
    """No error, no endless tries."""
    rig.api.objects.clear()
    rig.submit(RUNS)
    await asyncio.sleep(60)
    assert rig.writes == 0


async def test_what_is_forgotten_is_not_written(rig: Rig) -> None:
    """Not after a hold, not after an outage."""
    rig.submit(MAKING)
    rig.writer.forget(UID)
    rig.know()
    rig.api.down = True
    rig.submit(RUNS)
    await asyncio.sleep(5)
    rig.writer.forget(UID)
    rig.api.down = False
    await asyncio.sleep(60)
    assert rig.writes == 0


async def test_many_instances_are_written_side_by_side(rig: Rig) -> None:
    """One slow write does not hold up all the others."""
    rig.api.slow = 1
    for number in range(8):
        name = f"n{number}"
        rig.api.apply(instance_object(name=name, uid=name))
        rig.writer.known(name, "default", name, {"observedGeneration": -1})
        rig.writer.submit(name, status(RUNS))
    assert await until(lambda: rig.writes == 8) == pytest.approx(2, abs=0.1)


async def test_a_failed_condition_gets_a_new_time(rig: Rig) -> None:
    """LastTransitionTime moves with the condition's status."""
    rig.submit(RUNS)
    await until(lambda: rig.writes)
    since = rig.shown["status"]["conditions"][0]["lastTransitionTime"]
    await asyncio.sleep(100)
    rig.submit(seen(state(WEB, Phase.EXITED, crashes=5, exited_at=now()), images={IMAGE: seen().images[IMAGE]}))
    await until(lambda: rig.writes == 2)
    assert rig.shown["status"]["conditions"][0]["lastTransitionTime"] > since


JSON = st.recursive(st.integers() | st.text(max_size=3), lambda inner: st.dictionaries(st.text(max_size=2), inner, max_size=3))
OBJECTS = st.dictionaries(st.text(max_size=2), JSON, max_size=4)


@given(OBJECTS, OBJECTS)
def test_a_delta_turns_the_old_into_the_new(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Applied as a merge patch (RFC 7386), whatever the two are; and of the same there is no delta."""
    assert merge(old, delta(old, new)) == new
    assert delta(new, new) == {}
