"""The step for one container of the spec: made, kept, swapped, started again or left, as its newest one is now. Pure."""

from dataclasses import replace
from typing import Final

from controller.agent.decide import backoff, health
from controller.agent.decide.actions import CreateContainer, MarkSuspended, RemoveContainer, StartContainer
from controller.agent.decide.hashing import made_from, spec_hash
from controller.agent.decide.health import State
from controller.agent.decide.observation import Health, Observation, crashes, restart_count
from controller.agent.decide.order import Place, Role
from controller.agent.decide.plan import resize
from controller.agent.decide.plan.bringup import brought_up, failed, refused
from controller.agent.decide.plan.teardown import torn_down
from controller.agent.decide.plan.values import Case, Gate, Step, Verdict, earliest, how
from controller.agent.decide.restart import restarts
from controller.agent.decide.stop import stop
from controller.agent.decide.terminated import before, terminated
from controller.api import labels
from controller.api.reasons import Reason
from controller.runtime.port import ContainerState, Phase

LOOK_AGAIN_SECONDS: Final = 2.0
"""Pause before a container is looked at again whose state the runtime could not tell."""


def container_step(place: Place, case: Case, gate: Gate) -> Step:
    """One container of the spec. At most its newest one in the runtime is of use; older ones are removed."""
    spec, seen, now = case.spec, case.seen, case.now
    mine = seen.of(place.container.name)
    older = torn_down(mine[:-1], spec, seen, now, "a newer one has taken its place")
    newest = mine[-1] if mine else None
    step = with_words(_alone(place, newest, case) or _current(place, newest, case, gate), seen)
    if any(c.phase is not Phase.EXITED and c.phase is not Phase.CREATED for c in mine[:-1]):
        step = replace(step, actions=tuple(a for a in step.actions if not isinstance(a, CreateContainer | StartContainer)))
    return replace(step, actions=step.actions + older.actions, wake_at=earliest([step.wake_at, older.wake_at]))


def with_words(step: Step, seen: Observation) -> Step:
    """The step with what the container said of its end, and the one before it of its own."""
    current = step.verdict.container
    own, before = (seen.last_words.get(current.id, ""), seen.words_before.get(current.id, "")) if current else ("", "")
    return replace(step, verdict=replace(step.verdict, last_words=own, words_before=before)) if own or before else step


def _current(place: Place, current: ContainerState | None, case: Case, gate: Gate) -> Step:
    seen, now, container = case.seen, case.now, place.container
    wanted = spec_hash(container, case.spec)
    if current is None:
        return _first(place, wanted, case, gate)
    found = seen.health.get(current.id) or health.noted(current)
    same = (
        made_from(current, container, case.spec)
        and _in_order(place, current)
        and not resize.needs_restart(container, current, case)
    )
    up_to_date = same and (current.id not in seen.stopping or bool(found.failed))
    judged = health.state(container, found)
    match current.phase:
        case Phase.RUNNING | Phase.PAUSED if up_to_date and judged.unhealthy:
            return _unhealthy(current, judged, case)
        case Phase.RUNNING | Phase.PAUSED if up_to_date:
            return resize.resized(container, current, _running(place, current, judged, case), case)
        case Phase.RUNNING | Phase.PAUSED:
            return _swapped(place, wanted, current, judged, case, gate)
        case Phase.UNKNOWN:
            told = "the runtime cannot tell its state"
            return Step(Verdict(Reason.CONTAINER_STATUS_UNKNOWN, told, current), (), now + LOOK_AGAIN_SECONDS)
        case Phase.CREATED if up_to_date and not gate.open:
            return _held(current)
        case Phase.CREATED if up_to_date:
            start = StartContainer(container.name, wanted, current.id)
            held = refused(current, case) or failed(container, wanted, current, case)
            return held or Step(Verdict(Reason.CONTAINER_CREATING, container=current), (start,))
        case Phase.CREATED:
            return Step(Verdict(Reason.CONTAINER_CREATING), (RemoveContainer(current.id),))
        case _:
            return _ended(place, wanted, current, found, case, gate, changed=not up_to_date)


def _alone(place: Place, current: ContainerState | None, case: Case) -> Step | None:
    """What its own `suspend` asks for; None when nothing.

    That it was running is written down before it is stopped, so that it is started again by whatever policy.
    """
    container = place.container
    if not container.suspend:
        runs_on = current is not None and current.phase is Phase.RUNNING and current.id not in case.seen.stopping
        if current is None or not runs_on or labels.SUSPENDED not in current.labels:
            return None
        unmark = MarkSuspended(container.name, current.id, suspended=False)
        return Step(Verdict(Reason.RUNNING, container=current), (unmark,))
    told = Verdict(Reason.SUSPENDED, "it is suspended by its spec", current)
    if current is None or current.phase is Phase.EXITED:
        return Step(told)
    if current.phase is Phase.CREATED:
        return Step(replace(told, container=None), (RemoveContainer(current.id),))
    mark = () if labels.SUSPENDED in current.labels else (MarkSuspended(container.name, current.id),)
    action, wake = stop(current, case.spec, case.spec.termination_grace_period_seconds, case.seen, case.now, told.message)
    stopping = replace(told, reason=Reason.TERMINATING, health=State(unready=told.message))
    return Step(stopping, mark + ((action,) if action else ()), wake)


def _in_order(place: Place, current: ContainerState) -> bool:
    """Whether the init containers before it are still those that it was made after. To a sidecar they do not matter."""
    return place.role is Role.SIDECAR or not place.after or current.labels.get(labels.INIT) == place.after


def _held(current: ContainerState | None = None) -> Step:
    """Its turn has not come."""
    return Step(Verdict(Reason.POD_INITIALIZING, container=current))


def _first(place: Place, wanted: str, case: Case, gate: Gate) -> Step:
    """There is none: the first one is made, or another for one that the runtime has lost."""
    lost = case.seen.remembered.get(place.container.name)
    if not (gate.open if lost else gate.fresh):
        return _held()
    first = CreateContainer(
        place.container,
        wanted,
        restart_count=lost.restart_count + 1 if lost else 0,
        crashes=lost.crashes + 1 if lost else 0,
        last=terminated(lost.last) if lost else None,
        after=place.after,
        active_since=case.active_since,
    )
    return brought_up(first, None, case)


def _unhealthy(current: ContainerState, judged: State, case: Case) -> Step:
    """A probe or hook says that it must go: it is stopped, and what comes then is as after any other end."""
    grace = judged.grace if judged.grace is not None else case.spec.termination_grace_period_seconds
    action, wake = stop(current, case.spec, grace, case.seen, case.now, judged.unhealthy)
    return Step(Verdict(Reason.RUNNING, container=current, health=judged), (action,) if action else (), wake)


def _running(place: Place, current: ContainerState, judged: State, case: Case) -> Step:
    """It runs. After a back-off it counts as ready only when it has run as long as that pause was.

    Otherwise a container that crashes for ever would be reported as ready at each of its starts. One that has a readiness probe
    need not be doubted like that.
    """
    if judged.hooking:
        return Step(Verdict(Reason.CONTAINER_CREATING, judged.unready, current, health=judged))
    if place.role is Role.INIT:
        return Step(Verdict(Reason.RUNNING, container=current, health=State(unready="it has not completed yet")))
    if place.container.readiness_probe is not None or judged.unready:
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


def _swapped(place: Place, wanted: str, current: ContainerState, judged: State, case: Case, gate: Gate) -> Step:
    """A changed spec: the old container runs until the new one's image is there, and its turn has come; then it is stopped."""
    nxt = CreateContainer(
        place.container,
        wanted,
        restart_count(current) + 1,
        0,
        terminated(current),
        after=place.after,
        active_since=case.active_since,
    )
    step = brought_up(nxt, current, case)
    ready_to_swap = any(isinstance(a, CreateContainer) for a in step.actions)
    if not ready_to_swap:
        told = step.verdict
        verdict = Verdict(told.reason, told.message, current, told.terminal, outdated=True, health=judged, missing=told.missing)
        return Step(verdict, step.actions, step.wake_at)
    verdict = Verdict(Reason.UPDATING, "", current, outdated=True, health=judged)
    if not gate.fresh:
        return Step(verdict, ready_to_swap=True)
    return swapped_out(verdict, current, case)


def swapped_out(verdict: Verdict, current: ContainerState, case: Case) -> Step:
    """All is ready: it is stopped, and what comes in its place is made when it has ended."""
    grace = case.spec.termination_grace_period_seconds
    action, wake = stop(current, case.spec, grace, case.seen, case.now, "its spec has changed")
    return Step(verdict, (action,) if action else (), wake)


def _ended(place: Place, wanted: str, current: ContainerState, found: Health, case: Case, gate: Gate, *, changed: bool) -> Step:
    """Start it again, now or later, or leave it as its restartPolicy says."""
    spec, seen, now, container = case.spec, case.seen, case.now, place.container
    end = terminated(current, seen.last_words.get(current.id, ""))
    anew = labels.SUSPENDED in current.labels or (place.role is Role.INIT and not case.of_this_boot(current))
    if changed or anew:
        after_it = CreateContainer(
            container, wanted, restart_count(current) + 1, 0, end, after=place.after, active_since=case.active_since
        )
        return brought_up(after_it, current, case) if gate.fresh else _held(current)
    if not restarts(container, spec, current.exit_code, failed=bool(found.failed)):
        done = place.role is Role.INIT and current.exit_code == 0 and not found.failed
        return Step(Verdict(Reason(end.reason), end.message, current, ended=True, completed=done))
    if not gate.open:
        return _held(current)
    row = backoff.ends_in_a_row(current, crashes(current), spec.backoff)
    pause = backoff.delay(row, spec.backoff)
    due = min(backoff.restart_due(current, crashes(current), spec.backoff), now + pause)  # a clock may be set back
    if now < due:
        message = f"{how(end)}; restarted after a back-off of {pause:g} s"
        return Step(Verdict(Reason.CRASH_LOOP_BACK_OFF, message, current), (), due)
    again = CreateContainer(
        container, wanted, restart_count(current) + 1, row + 1, end, after=place.after, active_since=case.active_since
    )
    return brought_up(again, current, case)
