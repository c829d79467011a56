"""The node half from end to end: one instance's life, with trouble on every side."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from controller.agent.decide.plan import RUNTIME_PATIENCE_SECONDS
from controller.agent.slots import Priority
from controller.api import labels
from controller.api.reasons import Reason
from controller.network.port import NetworkRequest, NetworkState
from controller.runtime.memory import MemoryImage, MemoryRuntime
from controller.runtime.port import (
    Conflict,
    DeadlineExceeded,
    ImageConfig,
    InvalidConfig,
    Phase,
    RuntimeFailure,
    StartFailure,
    Unavailable,
)
from tests.unit.agent import rig as rigs
from tests.unit.agent.api import Object
from tests.unit.agent.clock import until
from tests.unit.agent.rig import IMAGE, Rig
from tests.unit.agent.values import container

WRITES = "containerinstances/status"


@pytest.fixture(name="rig")
async def _rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rigs.node(tmp_path) as rig:
        yield rig


def app(**fields: Any) -> Object:
    """A container of the image that the registry has."""
    return container(image=IMAGE, **fields)


# --- the straight way


async def test_a_fresh_instance_runs_and_costs_one_write(rig: Rig) -> None:
    """Pulled, made, started, told: one status write, and Events for the pull and for the start."""
    rig.apply()
    await rig.settle()
    await asyncio.sleep(30)
    assert rig.running() is not None
    assert rig.api.written(WRITES) == 1
    events = [o for (plural, _, _), o in rig.api.objects.items() if plural == "events"]
    assert sorted(e["reason"] for e in events) == ["Pulled", "Pulling", "Started"]
    assert all(word in next(e["message"] for e in events if e["reason"] == "Started") for word in ("Created", "Started"))
    assert [w for w in rig.api.writes if w[1] == "containerinstances"] == [], "the finalizer was there from the beginning"


async def test_a_settled_instance_costs_nothing(rig: Rig) -> None:
    """No call to the API server, and of the runtime only the list once a minute."""
    rig.apply()
    await rig.settle()
    await asyncio.sleep(10)
    writes, calls = len(rig.api.writes), rig.runtime.calls
    await asyncio.sleep(3600)
    assert (len(rig.api.writes), rig.runtime.calls) == (writes, calls)


async def test_a_crash_is_mended_at_once_and_told(rig: Rig) -> None:
    """The first restart has no pause; the status shows the count and the last end."""
    rig.apply()
    await rig.settle()
    first = rig.running()
    assert first is not None
    rig.node.crash(first.id, 3)
    assert await until(rig.running) < 0.1
    await until(lambda: (rig.api.instance() or {})["status"]["restarts"] == 1)
    (shown,) = (rig.api.instance() or {})["status"]["containers"]
    assert shown["lastState"]["terminated"]["exitCode"] == 3
    assert shown["containerID"] == f"memory://{rig.containers()[-1].id}"
    await until(lambda: len(rig.containers()) == 1)


async def test_a_crash_loop_backs_off_and_is_told(rig: Rig) -> None:
    """Ever longer pauses, the reason, and an Event; what ended is removed."""
    rig.apply(app(command=["false"]))
    await rig.settle("CrashLoopBackOff")
    await asyncio.sleep(16)
    assert len(rig.runtime.started) in {6, 7}, "at 0, 0, 1, 3, 7, 15 seconds"
    await asyncio.sleep(5)
    assert len(rig.containers()) == 1
    reasons = {o["reason"] for (plural, _, _), o in rig.api.objects.items() if plural == "events"}
    assert "BackOff" in reasons


async def test_a_job_ends_and_stays_ended(rig: Rig) -> None:
    """RestartPolicy Never: one run, its end told, nothing started again, also by the next agent."""
    rig.apply(app(command=["sleep", "5"]), restartPolicy="Never")
    await rig.settle("Completed")
    await rig.restart()
    await asyncio.sleep(120)
    assert len(rig.runtime.started) == 1
    assert (rig.api.instance() or {})["status"]["phase"] == "Succeeded"


OWN: Object = {"hostNetwork": False, "network": "None"}


async def test_a_network_of_its_own_comes_first_and_goes_last(rig: Rig) -> None:
    """Made before the container, kept over restarts of container and agent, gone with the instance."""
    uid = rig.apply(**OWN)
    await rig.settle()
    (config,) = [c.config for c in rig.node.containers.values()]
    assert config.network_namespace.endswith(f"/{uid}")
    assert rig.networks.there == {uid: NetworkState.READY}
    rig.node.crash(rig.runtime.started[-1], 1)
    await until(lambda: len(rig.runtime.started) == 2)
    await rig.restart()
    await asyncio.sleep(60)
    assert rig.networks.there == {uid: NetworkState.READY}
    rig.api.delete("web")
    await until(lambda: rig.api.instance() is None)
    assert rig.networks.there == {}


async def test_a_network_that_cannot_be_made_is_told_and_tried_again(rig: Rig) -> None:
    """NetworkSetupFailed with the cause, in status and Event; nothing is started meanwhile, and pauses double."""
    rig.networks.failures = ["no more memory"] * 4
    rig.apply(**OWN)
    await rig.settle("NetworkSetupFailed")
    shown = (rig.api.instance() or {})["status"]
    assert "no more memory" in shown["containers"][0]["state"]["waiting"]["message"]
    assert rig.runtime.started == []
    assert await rig.settle() == pytest.approx(1 + 2 + 4 + 8, abs=3)
    events = [o for (plural, _, _), o in rig.api.objects.items() if plural == "events"]
    assert "NetworkSetupFailed" in {e["reason"] for e in events if e["type"] == "Warning"}


async def test_a_network_that_broke_while_its_instance_waited_is_not_made_in_a_turn(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plugin that hangs keeps nobody waiting that needs none, also when it is needed only by the time the turn comes."""
    slots, create, ready = rig.hands.slots, rig.networks.create, asyncio.Event()

    async def hangs(uid: str, request: NetworkRequest, pids: Sequence[int] = ()) -> None:
        await ready.wait()
        await create(uid, request, pids)

    async with AsyncExitStack() as others:
        for _ in range(slots.count):
            await others.enter_async_context(slots.take(Priority.REMOVE))
        uid = rig.apply(**OWN)
        await until(lambda: slots.waiting()[Priority.START] == 1)
        monkeypatch.setattr(rig.networks, "create", hangs)
        rig.networks.there[uid] = NetworkState.BROKEN
        rig.wake(uid)
    await asyncio.sleep(1)
    assert slots.in_use == 0
    assert rig.running() is None
    ready.set()
    await rig.settle()
    assert rig.networks.there == {uid: NetworkState.READY}


async def test_a_network_that_cannot_be_removed_keeps_the_instance(rig: Rig) -> None:
    """The finalizer goes when nothing is left, and not before."""
    uid = rig.apply(**OWN)
    await rig.settle()
    rig.networks.failures = ["busy"] * 3
    rig.api.delete("web")
    await until(lambda: not rig.node.containers)
    await asyncio.sleep(2)
    assert rig.api.instance() is not None
    assert uid in rig.networks.there
    await until(lambda: rig.api.instance() is None)
    assert rig.networks.there == {}


async def test_a_changed_spec_replaces_the_container(rig: Rig) -> None:
    """Stop, end, new one; at no time two (the rig asserts that), and observedGeneration follows."""
    rig.apply()
    await rig.settle()
    before = rig.running()
    rig.apply(app(args=["--new"]))
    await until(lambda: rig.running() not in (before, None))
    await until(lambda: (rig.api.instance() or {})["status"]["observedGeneration"] == 2)
    assert rig.reason() == "Running"
    assert len(rig.containers()) == 1


async def test_a_container_that_ignores_its_stop_signal_is_killed(rig: Rig) -> None:
    """After the grace period, not before."""
    rig.apply(app(command=["sleep", "infinity"]), terminationGracePeriodSeconds=7)
    await rig.settle()
    rig.api.delete("web")
    assert await until(lambda: rig.api.instance() is None) == pytest.approx(7, abs=0.2)


async def test_a_stop_signal_that_is_none_does_not_make_it_immortal(rig: Rig) -> None:
    """An image with a STOPSIGNAL that does not exist: killed when the grace period is over."""
    rig.node.registry[IMAGE] = MemoryImage(IMAGE, ImageConfig(entrypoint=("app",), stop_signal="SIGNONE"))
    rig.apply(terminationGracePeriodSeconds=3)
    await rig.settle()
    rig.api.delete("web")
    assert await until(lambda: rig.api.instance() is None) == pytest.approx(3, abs=0.2)
    assert rig.node.containers == {}


async def test_suspend_and_resume(rig: Rig) -> None:
    """The containers go, the object stays; then they come again."""
    rig.apply()
    await rig.settle()
    rig.apply(suspend=True)
    await rig.settle("Suspended")
    assert rig.node.containers == {}
    rig.apply(suspend=False)
    await rig.settle()
    assert rig.running() is not None


async def test_a_deletion_leaves_nothing(rig: Rig) -> None:
    """Container, state file and logs are gone before the finalizer is, and nobody is left to supervise it."""
    uid = rig.apply()
    await rig.settle()
    assert list((rig.folder / "logs").iterdir())
    rig.api.delete("web")
    await until(lambda: rig.api.instance() is None)
    await until(lambda: uid not in rig.supervisors)
    assert rig.node.containers == {}
    assert list((rig.folder / "instances").iterdir()) == []
    assert list((rig.folder / "logs").iterdir()) == []
    assert rig.writer._entries == {}


async def test_a_namesake_is_another_instance(rig: Rig) -> None:
    """Deleted and created again under the same name: the new one is told of its own state only."""
    rig.apply()
    await rig.settle()
    rig.api.slow = 0.3
    rig.node.crash(rig.runtime.started[-1])
    await asyncio.sleep(0.01)
    rig.api.delete("web")
    await until(lambda: rig.api.instance() is None)
    rig.api.apply(
        {
            "metadata": {"name": "web", "namespace": "default", "uid": "another", "finalizers": [labels.FINALIZER]},
            "spec": {"nodeName": "node1", "hostNetwork": True, "containers": [app()]},
        }
    )
    await rig.settle()
    assert (rig.api.instance() or {})["status"]["restarts"] == 0


# --- tampering


async def test_a_removed_container_is_made_again(rig: Rig) -> None:
    """`ctr container rm`: mended within a second, and counted."""
    rig.apply()
    await rig.settle()
    await MemoryRuntime(rig.node).remove(rig.runtime.started[-1])
    assert await until(rig.running) < 1
    assert rig.containers()[0].labels[labels.RESTART_COUNT] == "1"


async def test_a_removed_image_is_pulled_when_it_is_needed(rig: Rig) -> None:
    """Nothing happens while the container runs; for a restart the image is fetched again."""
    rig.apply()
    await rig.settle()
    await MemoryRuntime(rig.node).remove_image(IMAGE)
    await asyncio.sleep(60)
    assert len(rig.runtime.started) == 1
    rig.node.crash(rig.runtime.started[-1])
    await until(rig.running)
    assert IMAGE in rig.node.images


# --- images


async def test_all_who_wait_for_a_pull_are_told_of_its_end(rig: Rig) -> None:
    """Five instances, one image that is not there: each says so, not only the one that began the pull."""
    names = [f"web{n}" for n in range(5)]
    for name in names:
        rig.apply(container(image="registry.test/none:1"), name=name)
    await until(lambda: {rig.reason(name) for name in names} <= {"ErrImagePull", "ImagePullBackOff"})


async def test_an_image_that_appears_is_found_at_the_next_try(rig: Rig) -> None:
    """The back-off goes on in the background, and ends by itself."""
    rig.apply(container(image="registry.test/late:1", command=["app"]))
    await until(lambda: "ImagePull" in rig.reason())
    rig.node.registry["registry.test/late:1"] = MemoryImage("registry.test/late:1")
    await rig.settle()


async def test_an_image_under_never_is_found_when_somebody_loads_it(rig: Rig) -> None:
    """Told as terminal, and still: `ctr image import` starts it."""
    rig.apply(app(imagePullPolicy="Never"))
    await rig.settle("ErrImageNeverPull")
    await MemoryRuntime(rig.node).pull(IMAGE)
    await rig.settle()


async def test_an_image_that_somebody_loaded_while_the_runtime_was_away(rig: Rig) -> None:
    """Found when the runtime is back, although no event told of it."""
    rig.apply(app(imagePullPolicy="Never"))
    await rig.settle("ErrImageNeverPull")
    rig.node.stop_answering()
    await until(lambda: rig.view.error)
    rig.node.images[IMAGE] = rig.node.registry[IMAGE].state()
    rig.node.answer_again()
    await rig.settle()


# --- failing calls


@pytest.mark.parametrize(
    ("call", "trouble", "reason", "words"),
    [
        ("create", RuntimeFailure("no space left"), "CreateContainerError", "no space left"),
        ("start", StartFailure("memory limit too low"), "StartError", "memory limit too low"),
        ("start", RuntimeFailure("internal"), "RunContainerError", "internal"),
    ],
)
async def test_a_failed_try_is_told_and_repeated(rig: Rig, call: str, trouble: Exception, reason: str, words: str) -> None:
    """With its reason and cause, until it works; nothing of the failed tries is left."""
    rig.runtime.troubles[call] = [trouble] * 3
    rig.apply()
    await rig.settle(reason)
    assert words in (rig.api.instance() or {})["status"]["conditions"][0]["message"]
    assert await rig.settle() == pytest.approx(7, abs=1), "after 1, 2 and 4 seconds"
    assert len(rig.containers()) == 1


async def test_a_configuration_that_cannot_work_is_tried_once(rig: Rig) -> None:
    """Until the spec changes."""
    rig.runtime.troubles["create"] = [InvalidConfig("no such user")]
    rig.apply()
    await rig.settle("CreateContainerConfigError")
    calls = rig.runtime.calls
    await asyncio.sleep(600)
    assert rig.runtime.calls == calls
    rig.apply(app(args=["x"]))
    await rig.settle()


async def test_a_making_that_was_not_answered_is_found_again(rig: Rig) -> None:
    """The deadline passed and the container was made none the less: taken as it is, not made twice."""
    rig.runtime.troubles["create"] = [DeadlineExceeded("too slow")]
    rig.runtime.late.add("create")
    rig.apply()
    await rig.settle()
    assert len(rig.node.containers) == 1


async def test_a_deletion_waits_for_what_was_not_answered(rig: Rig) -> None:
    """Deleted while it is not known whether a container was made: nothing may be left of it."""
    rig.runtime.troubles["create"] = [DeadlineExceeded("too slow") for _ in range(100)]
    rig.runtime.late.add("create")
    rig.apply()
    await until(lambda: rig.node.containers)
    rig.api.delete("web")
    await until(lambda: rig.api.instance() is None)
    assert rig.node.containers == {}


@pytest.mark.parametrize("call", ["start", "signal", "remove"])
async def test_a_call_that_was_not_answered_is_repeated(rig: Rig, call: str) -> None:
    """Whether or not it took effect, the instance runs, changes and goes as it should."""
    rig.runtime.late.add(call)
    for late in (True, False):
        rig.runtime.troubles[call] = [Unavailable("gone away")]
        rig.runtime.late = {call} if late else set()
        rig.apply()
        await rig.settle()
        rig.apply(app(args=["x"]))
        await until(lambda: (rig.api.instance() or {})["status"]["observedGeneration"] == 2)
        rig.api.delete("web")
        await until(lambda: rig.api.instance() is None)
        assert rig.node.containers == {}
        await asyncio.sleep(1)
        rig.store._finished.clear()


async def test_an_action_without_effect_is_not_repeated_at_full_speed(rig: Rig) -> None:
    """A runtime that contradicts itself costs calls now and then, not all of a core."""
    rig.runtime.troubles["start"] = [Conflict("it runs") for _ in range(10_000)]
    rig.apply()
    await asyncio.sleep(60)
    assert rig.runtime.calls < 60


async def test_one_bad_instance_does_not_disturb_another(rig: Rig) -> None:
    """A crash loop beside, a missing image beside: the good one starts at once."""
    rig.apply(app(command=["false"]), name="bad")
    rig.apply(container(image="elsewhere.test/x:1"), name="worse")
    rig.apply(name="web")
    assert await rig.settle() < 5


# --- outages


async def test_the_api_server_away_during_a_crash(rig: Rig) -> None:
    """Restarted while it is away; what happened is told when it is back."""
    rig.apply()
    await rig.settle()
    rig.api.down = True
    rig.node.crash(rig.runtime.started[-1])
    assert await until(rig.running) < 0.1
    await asyncio.sleep(60)
    rig.api.down = False
    await until(lambda: (rig.api.instance() or {})["status"]["restarts"] == 1)
    assert len(rig.runtime.started) == 2


async def test_a_new_agent_without_an_api_server(rig: Rig) -> None:
    """After a reboot with the control plane away, everything comes back from the disk."""
    rig.apply()
    await rig.settle()
    await rig.kill()
    rig.api.down = True
    rig.node.reboot()
    rig.build()
    await rig.start()
    await until(rig.running)
    rig.api.down = False
    rig.relist()
    await until(lambda: (rig.api.instance() or {})["status"]["restarts"] == 1)


async def test_a_deletion_that_was_missed(rig: Rig) -> None:
    """Deleted by force while the agent was down: torn down at the first sync, and nothing is written to anybody."""
    rig.apply()
    await rig.settle()
    await rig.kill()
    rig.api.objects.clear()
    writes = len(rig.api.writes)
    rig.build()
    await rig.start()
    await until(lambda: not rig.node.containers)
    await until(lambda: not list(rig.store))
    await asyncio.sleep(10)
    assert [w for w in rig.api.writes[writes:] if w[1] != "events"] == []


async def test_adoption_changes_nothing(rig: Rig) -> None:
    """A new agent finds what runs, and neither touches it nor writes a status."""
    rig.apply()
    await rig.settle()
    await asyncio.sleep(5)
    writes = len(rig.api.writes)
    await rig.restart()
    await asyncio.sleep(60)
    assert (len(rig.runtime.started), len(rig.api.writes)) == (1, writes)


async def test_a_short_runtime_outage_is_nobodys_business(rig: Rig) -> None:
    """A restart of the runtime: nothing is started, nothing is told."""
    rig.apply()
    await rig.settle()
    await asyncio.sleep(5)
    writes = len(rig.api.writes)
    rig.node.stop_answering()
    await asyncio.sleep(RUNTIME_PATIENCE_SECONDS / 2)
    rig.node.answer_again()
    await asyncio.sleep(60)
    assert (len(rig.runtime.started), len(rig.api.writes)) == (1, writes)


async def test_a_short_runtime_outage_in_a_back_off_tells_nothing_wrong(rig: Rig) -> None:
    """What waits for its restart is not told as pulling because the images cannot be asked for."""
    rig.apply(app(command=["false"]), backoff={"initialSeconds": 4, "maxSeconds": 4})
    await rig.settle("CrashLoopBackOff")
    rig.node.stop_answering()
    told = set()
    for _ in range(8):
        await asyncio.sleep(1)
        told.add(rig.reason())
    assert told == {"CrashLoopBackOff"}


async def test_a_long_runtime_outage_is_told_and_nothing_is_done_blindly(rig: Rig) -> None:
    """RuntimeUnavailable after a while; a crash inside is mended when the runtime is back."""
    rig.apply()
    await rig.settle()
    rig.node.stop_answering()
    assert await rig.settle("RuntimeUnavailable") == pytest.approx(RUNTIME_PATIENCE_SECONDS, abs=2)
    (shown,) = (rig.api.instance() or {})["status"]["containers"]
    assert list(shown["state"]) == ["running"]
    rig.node.end(rig.runtime.started[-1], 9)
    await asyncio.sleep(60)
    assert len(rig.runtime.started) == 1
    rig.node.answer_again()
    await rig.settle()
    assert len(rig.runtime.started) == 2


async def test_a_look_up_that_is_not_answered_is_repeated(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event stream is well, one question was not answered: it is asked again, since no news will come of it."""
    asked = []
    ask = rig.runtime.image

    async def failing(reference: str) -> object:
        asked.append(reference)
        if len(asked) < 3:
            raise DeadlineExceeded("too slow")
        return await ask(reference)

    monkeypatch.setattr(rig.runtime, "image", failing)
    rig.apply()
    assert await rig.settle() < RUNTIME_PATIENCE_SECONDS


async def test_a_deletion_with_the_api_server_away(rig: Rig) -> None:
    """The containers are gone; the finalizer goes when somebody answers."""
    rig.apply()
    await rig.settle()
    rig.api.delete("web")
    await asyncio.sleep(0)
    rig.api.down = True
    await until(lambda: not rig.node.containers)
    await asyncio.sleep(30)
    assert rig.api.instance() is not None
    rig.api.down = False
    assert await until(lambda: rig.api.instance() is None) < 6


# --- written by hand


async def test_an_instance_written_by_hand_gets_the_finalizer(rig: Rig) -> None:
    """One write, so that its deletion waits for the teardown."""
    rig.apply(meta={"finalizers": []})
    await rig.settle()
    assert (rig.api.instance() or {})["metadata"]["finalizers"] == [labels.FINALIZER]
    assert rig.api.written("containerinstances") == 1
    rig.api.delete("web")
    await until(lambda: rig.api.instance() is None)
    assert rig.node.containers == {}


async def test_an_edit_during_an_answer_is_not_undone(rig: Rig) -> None:
    """The answer to the finalizer's write is older than the edit that the watch has brought: the edit holds."""
    rig.apply(meta={"finalizers": []})
    await rig.settle()
    old = rig.api.instance()
    assert old is not None
    rig.apply(app(args=["newer"]))
    await until(lambda: len(rig.runtime.started) == 2)
    rig.operator.answered(old)
    await asyncio.sleep(5)
    assert len(rig.runtime.started) == 2


async def test_agents_that_are_killed_again_and_again(rig: Rig) -> None:
    """Twenty kills during a rollout of ten instances: each container of each spec is started once."""
    for number in range(10):
        rig.apply(name=f"web{number}")
    for number in range(20):
        await asyncio.sleep(0.001 * number)
        if number == 8:
            for each in range(10):
                rig.apply(app(args=["new"]), name=f"web{each}")
        await rig.restart()

    def settled() -> bool:
        found = [rig.api.instance(f"web{number}") or {} for number in range(10)]
        return all(one["status"]["observedGeneration"] == 2 for one in found)

    await until(settled)
    assert len([c for c in rig.containers() if c.phase is Phase.RUNNING]) == len(rig.containers()) == 10
    assert len(set(rig.runtime.started)) == len(rig.runtime.started) <= 20


async def test_reasons_are_words_of_the_api(rig: Rig) -> None:
    """Whatever is told is in the enumeration that the documentation is made from."""
    rig.apply()
    await rig.settle()
    assert Reason(rig.reason()) is Reason.RUNNING
