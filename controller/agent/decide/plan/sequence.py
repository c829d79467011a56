"""The containers of the spec, one after another: each does what those before it in the row let it do. Pure.

Source: kubernetes.io, "Init Containers" and "Sidecar Containers" (docs/concepts/workloads/pods/).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from controller.agent.decide import health
from controller.agent.decide.actions import CreateContainer, RemoveContainer, StartContainer
from controller.agent.decide.order import Place, Role
from controller.agent.decide.plan.container import container_step, swapped_out, with_words
from controller.agent.decide.plan.teardown import in_order, torn_down
from controller.agent.decide.plan.values import Case, Ending, Gate, Step, Verdict, earliest
from controller.agent.decide.terminated import terminated
from controller.api.reasons import Reason
from controller.runtime.port import Phase

_RUNS: Final = frozenset({Phase.RUNNING, Phase.PAUSED})


@dataclass(frozen=True, slots=True)
class Sequence:
    """What the containers do."""

    steps: dict[str, Step]
    """By their names."""
    wake_at: float | None = None
    """When the instance has to have ended."""
    ending: Ending | None = None
    """What has ended it."""


def sequence(case: Case) -> Sequence:
    """The steps of the containers of the spec."""
    steps = _in_turn(case)
    over, at = _over(steps, case)
    ending = case.ending
    if ending is None or (over and at < ending.at):
        return Sequence(_wound_down(steps, over, case))
    if case.now < ending.at:
        return Sequence(_wound_down(steps, over, case), None if over else ending.at)
    return Sequence(_cut_short(ending, case), ending=ending)


def _in_turn(case: Case) -> dict[str, Step]:
    steps: dict[str, Step] = {}
    gate = Gate()
    for place in case.places:
        passed = place.role is Role.INIT and case.passed(place)
        step = _passed(place, case) if passed else container_step(place, case, gate)
        steps[place.container.name] = step
        gate = _gate(gate, place, step, case)
    return _begun_anew(steps, case)


def _gate(gate: Gate, place: Place, step: Step, case: Case) -> Gate:
    """What a container in the row lets those behind it do."""
    match place.role:
        case Role.INIT:
            return gate if step.verdict.completed else Gate(open=False, fresh=False)
        case Role.SIDECAR if place.container.suspend:
            return gate
        case Role.SIDECAR:
            started = _started(step.verdict)
            return Gate(open=gate.open and (started or case.passed(place)), fresh=gate.fresh and started)
        case _:
            return gate


def _started(verdict: Verdict) -> bool:
    container = verdict.container
    return container is not None and container.phase in _RUNS and not verdict.health.hooking and verdict.health.started


def _passed(place: Place, case: Case) -> Step:
    """An init container that has completed, as what was made after it proves. What is left of it tells how."""
    mine = case.seen.of(place.container.name)
    newest = mine[-1] if mine else None
    if newest is not None and newest.phase is Phase.EXITED and newest.exit_code == 0:
        older = torn_down(mine[:-1], case.spec, case.seen, case.now, "it has completed")
        step = Step(Verdict(Reason.COMPLETED, "", newest, ended=True, completed=True), older.actions, older.wake_at)
        return with_words(step, case.seen)
    gone = torn_down(
        [c for c in mine if c.phase is not Phase.EXITED], case.spec, case.seen, case.now, "it has completed before"
    )
    return Step(Verdict(Reason.COMPLETED, ended=True, completed=True), gone.actions, gone.wake_at)


def _begun_anew(steps: dict[str, Step], case: Case) -> dict[str, Step]:
    """An init container has changed: it does not run beside what came after the one before it.

    So those run on until all that is new is there, and are then stopped together.
    """
    first = next((p for p in case.places if p.role is Role.INIT and not steps[p.container.name].verdict.completed), None)
    if first is None:
        return steps
    alive = [
        (p.container.name, c)
        for p in case.places
        if p.role is not Role.SIDECAR and (p.role is Role.MAIN or p.index > first.index)
        for c in case.seen.of(p.container.name)[-1:]
        if c.phase not in {Phase.CREATED, Phase.EXITED}
    ]
    if not alive:
        return steps
    step = steps[first.container.name]
    begins = any(isinstance(a, CreateContainer | StartContainer) for a in step.actions)
    held = tuple(a for a in step.actions if not isinstance(a, CreateContainer | StartContainer))
    steps = {**steps, first.container.name: replace(step, actions=held)}
    if begins and all(steps[name].ready_to_swap for name, _ in alive):
        steps |= {name: swapped_out(steps[name].verdict, container, case) for name, container in alive}
    return steps


def _wound_down(steps: dict[str, Step], over: str, case: Case) -> dict[str, Step]:
    """When all is over, the sidecars end, the last one first. How they end counts for nothing."""
    if not over:
        return steps
    for name, step in steps.items():  # behind an init container that has failed
        if step.verdict.reason is Reason.POD_INITIALIZING:
            steps[name] = replace(step, verdict=replace(step.verdict, terminal=True, ended=True))
    sidecars = [p.container.name for p in case.places if p.role is Role.SIDECAR]
    return steps | _stopped(sidecars, 0.0, Verdict(Reason.TERMINATING, f"it is being stopped: {over}"), case)


def _cut_short(ending: Ending, case: Case) -> dict[str, Step]:
    """Whatever runs is stopped in its order, and nothing is started again."""
    names = [p.container.name for p in case.places]
    hurried = replace(case, spec=case.spec.model_copy(update={"termination_grace_period_seconds": ending.grace}))
    return _stopped(names, ending.at, Verdict(ending.reason, ending.message), hurried)


def _stopped(names: Iterable[str], since: float, why: Verdict, case: Case) -> dict[str, Step]:
    """Steps to the end of these containers, which keep what tells how they ended; the grace begins `since` then, or later."""
    seen, steps = case.seen, {}
    newest = {name: c for name in names for c in seen.of(name)[-1:]}
    alive = {name: c for name, c in newest.items() if c.phase not in {Phase.CREATED, Phase.EXITED}}
    asked = [at for c in newest.values() if (at := seen.stopping.get(c.id)) is not None and at >= since]
    stops = in_order(alive.values(), case.spec, seen, case.now, min(asked, default=case.now), why.message)
    orders = dict(zip(alive, stops, strict=True))
    for name in names:
        container = newest.get(name)
        older = torn_down(seen.of(name)[:-1], case.spec, seen, case.now, why.message)
        if name in orders:
            action, wake = orders[name]
            told = replace(why, container=container, health=replace(health.WELL, unready=why.message))
            step = Step(told, (action,) if action else (), wake)
        elif container is not None and container.phase is Phase.EXITED:
            step = Step(Verdict(Reason(terminated(container).reason), "", container, ended=True))
        else:
            reason = Reason.POD_INITIALIZING if why.reason is Reason.TERMINATING else why.reason
            step = Step(Verdict(reason, ended=True), (RemoveContainer(container.id),) if container else ())
        step = replace(step, actions=older.actions + step.actions, wake_at=earliest([older.wake_at, step.wake_at]))
        steps[name] = with_words(step, seen)
    return steps


def _over(steps: dict[str, Step], case: Case) -> tuple[str, float]:
    """Why the instance has come to its end, and when; empty when it has not."""
    for place in case.places:
        verdict = steps[place.container.name].verdict
        if place.role is Role.INIT and verdict.ended and not verdict.completed:
            return f"init container {place.container.name!r} has failed", _ended_at(verdict)
    mains = [steps[p.container.name].verdict for p in case.places if p.role is Role.MAIN]
    return ("all containers have ended", max(map(_ended_at, mains))) if all(v.ended for v in mains) else ("", 0.0)


def _ended_at(verdict: Verdict) -> float:
    """When it ended; the beginning of time for one that was never started."""
    return (verdict.container.exited_at or 0.0) if verdict.container is not None else 0.0
