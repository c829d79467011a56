"""The step for one container of the spec: made, kept, swapped, started again or left, as its newest one is now. Pure."""

from dataclasses import replace
from typing import Final

from controller.agent.decide import backoff, health
from controller.agent.decide.actions import CreateContainer, RemoveContainer, StartContainer
from controller.agent.decide.hashing import made_from, spec_hash
from controller.agent.decide.health import State
from controller.agent.decide.observation import Health, Observation, crashes, restart_count
from controller.agent.decide.plan import resize
from controller.agent.decide.plan.bringup import brought_up, failed, refused
from controller.agent.decide.plan.teardown import torn_down
from controller.agent.decide.plan.values import Case, Step, Verdict, earliest, how
from controller.agent.decide.stop import stop
from controller.agent.decide.terminated import before, terminated
from controller.api.reasons import Reason
from controller.api.spec import Container
from controller.runtime.port import ContainerState, Phase

LOOK_AGAIN_SECONDS: Final = 2.0
"""Pause before a container is looked at again whose state the runtime could not tell."""


def container_step(container: Container, case: Case) -> Step:
    """One container of the spec. At most its newest one in the runtime is of use; older ones are removed."""
    spec, seen, now = case.spec, case.seen, case.now
    wanted = spec_hash(container, spec)
    mine = seen.of(container.name)
    older = torn_down(mine[:-1], spec, seen, now, "a newer one has taken its place")
    step = _with_words(_current(container, wanted, mine[-1] if mine else None, case), seen)
    if any(c.phase is not Phase.EXITED and c.phase is not Phase.CREATED for c in mine[:-1]):
        kept = tuple(a for a in step.actions if not isinstance(a, CreateContainer | StartContainer))
        return Step(step.verdict, kept + older.actions, earliest([step.wake_at, older.wake_at]))
    return Step(step.verdict, step.actions + older.actions, earliest([step.wake_at, older.wake_at]))


def _with_words(step: Step, seen: Observation) -> Step:
    """The step with what the container said of its end, and the one before it of its own."""
    current = step.verdict.container
    own, before = (seen.last_words.get(current.id, ""), seen.words_before.get(current.id, "")) if current else ("", "")
    return replace(step, verdict=replace(step.verdict, last_words=own, words_before=before)) if own or before else step


def _current(container: Container, wanted: str, current: ContainerState | None, case: Case) -> Step:
    seen, now = case.seen, case.now
    if current is None:
        lost = seen.remembered.get(container.name)
        first = CreateContainer(
            container,
            wanted,
            restart_count=lost.restart_count + 1 if lost else 0,
            crashes=lost.crashes + 1 if lost else 0,
            last=terminated(lost.last) if lost else None,
        )
        return brought_up(first, None, case)
    found = seen.health.get(current.id) or health.noted(current)
    same = made_from(current, container, case.spec) and not resize.needs_restart(container, current, case)
    up_to_date = same and (current.id not in seen.stopping or bool(found.failed))
    judged = health.state(container, found)
    match current.phase:
        case Phase.RUNNING | Phase.PAUSED if up_to_date and judged.unhealthy:
            return _unhealthy(current, judged, case)
        case Phase.RUNNING | Phase.PAUSED if up_to_date:
            return resize.resized(container, current, _running(container, current, judged, case), case)
        case Phase.RUNNING | Phase.PAUSED:
            return _swapped(container, wanted, current, judged, case)
        case Phase.UNKNOWN:
            told = "the runtime cannot tell its state"
            return Step(Verdict(Reason.CONTAINER_STATUS_UNKNOWN, told, current), (), now + LOOK_AGAIN_SECONDS)
        case Phase.CREATED if up_to_date:
            start = StartContainer(container.name, wanted, current.id)
            held = refused(current, case) or failed(container, wanted, current, case)
            return held or Step(Verdict(Reason.CONTAINER_CREATING, container=current), (start,))
        case Phase.CREATED:
            return Step(Verdict(Reason.CONTAINER_CREATING), (RemoveContainer(current.id),))
        case _:
            return _ended(container, wanted, current, found, case, changed=not up_to_date)


def _unhealthy(current: ContainerState, judged: State, case: Case) -> Step:
    """A probe or hook says that it must go: it is stopped, and what comes then is as after any other end."""
    grace = judged.grace if judged.grace is not None else case.spec.termination_grace_period_seconds
    action, wake = stop(current, case.spec, grace, case.seen, case.now, judged.unhealthy)
    return Step(Verdict(Reason.RUNNING, container=current, health=judged), (action,) if action else (), wake)


def _running(container: Container, current: ContainerState, judged: State, case: Case) -> Step:
    """It runs. After a back-off it counts as ready only when it has run as long as that pause was.

    Otherwise a container that crashes for ever would be reported as ready at each of its starts. One that has a readiness probe
    need not be doubted like that.
    """
    if judged.hooking:
        return Step(Verdict(Reason.CONTAINER_CREATING, judged.unready, current, health=judged))
    if container.readiness_probe is not None or judged.unready:
        return Step(Verdict(Reason.RUNNING, container=current, health=judged))
    pause = backoff.delay(crashes(current) - 1, case.spec.backoff)
    began = current.started_at if current.started_at is not None else current.created_at
    began = min(began, case.now)  # a clock may be set back
    if case.now >= began + pause:
        return Step(Verdict(Reason.RUNNING, container=current))
    last = before(current)
    known = f" (the last: {how(last)})" if last else ""
    told = f"crashed {crashes(current)} times in a row{known}; runs again, and is ready when it has run for {pause:g} s"
    return Step(Verdict(Reason.RUNNING, container=current, unproven=told), (), began + pause)


def _swapped(container: Container, wanted: str, current: ContainerState, judged: State, case: Case) -> Step:
    """A changed spec: the old container runs until the new one's image is there, then it is stopped."""
    nxt = CreateContainer(container, wanted, restart_count(current) + 1, 0, terminated(current))
    step = brought_up(nxt, current, case)
    ready_to_swap = any(isinstance(a, CreateContainer) for a in step.actions)
    if not ready_to_swap:
        told = step.verdict
        verdict = Verdict(told.reason, told.message, current, told.terminal, outdated=True, health=judged, missing=told.missing)
        return Step(verdict, step.actions, step.wake_at)
    grace = case.spec.termination_grace_period_seconds
    action, wake = stop(current, case.spec, grace, case.seen, case.now, "its spec has changed")
    return Step(Verdict(Reason.UPDATING, "", current, outdated=True, health=judged), (action,) if action else (), wake)


def _ended(container: Container, wanted: str, current: ContainerState, found: Health, case: Case, *, changed: bool) -> Step:
    """Start it again, now or later, or leave it as its restartPolicy says."""
    spec, seen, now = case.spec, case.seen, case.now
    end = terminated(current, seen.last_words.get(current.id, ""))
    if changed:
        return brought_up(CreateContainer(container, wanted, restart_count(current) + 1, 0, end), current, case)
    if not _restarts(spec.restart_policy, current, failed=bool(found.failed)):
        return Step(Verdict(Reason(end.reason), end.message, current, ended=True))
    row = backoff.ends_in_a_row(current, crashes(current), spec.backoff)
    pause = backoff.delay(row, spec.backoff)
    due = min(backoff.restart_due(current, crashes(current), spec.backoff), now + pause)  # a clock may be set back
    if now < due:
        message = f"{how(end)}; restarted after a back-off of {pause:g} s"
        return Step(Verdict(Reason.CRASH_LOOP_BACK_OFF, message, current), (), due)
    again = CreateContainer(container, wanted, restart_count(current) + 1, row + 1, end)
    return brought_up(again, current, case)


def _restarts(policy: str, container: ContainerState, *, failed: bool) -> bool:
    """One that was stopped because a probe or hook failed has failed, whatever its exit code is."""
    return policy == "Always" or (policy == "OnFailure" and (failed or container.exit_code != 0))
