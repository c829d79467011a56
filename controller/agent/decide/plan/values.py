"""What the planner gives and works with: frozen values. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from controller.agent.decide import eviction
from controller.agent.decide.actions import Action
from controller.agent.decide.health import WELL, State
from controller.agent.decide.observation import Observation, active_since
from controller.agent.decide.order import Place, places
from controller.agent.decide.pulling import PullView
from controller.api import labels
from controller.api.instance import ContainerInstanceSpec, ContainerStateTerminated
from controller.api.podsecurity.check import refusal
from controller.api.podsecurity.levels import Level
from controller.api.reasons import REFUSALS, Reason
from controller.runtime.port import ContainerState, Phase


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is the case with one container of the spec."""

    reason: Reason
    message: str = ""
    container: ContainerState | None = None
    """The newest one in the runtime."""
    terminal: bool = False
    """It cannot go on until somebody changes something."""
    ended: bool = False
    """It ended, and by its restartPolicy it is not started again."""
    outdated: bool = False
    """It runs with an older spec, and is about to be replaced."""
    start_failure: str = ""
    """Why its process could not even be started, when that is its end."""
    unproven: str = ""
    """It runs, but has crashed again and again and does not count as ready yet; what a person should know."""
    resizing: str = ""
    """It runs, and its changed resources are not in force yet; what a person should know."""
    resize: Reason = Reason.RESIZING
    """Why so: Resizing, Deferred or Infeasible."""
    health: State = WELL
    """What its hooks and probes say of it, while it runs."""
    last_words: str = ""
    """Its termination message, when it has ended."""
    words_before: str = ""
    """That of the run before."""
    missing: bool = False
    """Something that it names is not to be had, and it waits for that."""
    completed: bool = False
    """An init container that has done its part."""
    pull: PullView | None = None
    """How far the pull is that it waits for, when that is known."""

    @property
    def idle(self) -> bool:
        """Whether nothing of it runs, nor is to run as things stand."""
        gone = self.container is None or self.container.phase is Phase.EXITED
        return gone and (self.ended or self.terminal)

    def told(self, name: str, message: str) -> str:
        """What to say of the instance: words on a refusal or on volumes are about all of it, others about this container."""
        as_a_whole = self.reason in {*REFUSALS, Reason.FAILED_MOUNT, Reason.DEADLINE_EXCEEDED, Reason.EVICTED}
        return message if as_a_whole else f"container {name!r}: {message}"


@dataclass(frozen=True, slots=True)
class Ending:
    """What ends an instance as a whole, whatever its restartPolicy is."""

    reason: Reason
    message: str
    at: float
    """From when on, in seconds since the epoch."""
    grace: int
    """Seconds that its containers have to stop."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now, when to look again, and what is the case."""

    actions: tuple[Action, ...] = ()
    wake_at: float | None = None
    """Seconds since the epoch; None: only when something happens."""
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    torn_down: bool = False
    """Nothing of the instance is left, no container, network or volume, as its deletion or suspension asks."""
    ending: Ending | None = None
    """What has ended the instance as a whole."""
    waits: bool = False
    """The runtime does not answer now: nothing is concluded, and nothing new is told until `blocked` says so."""
    blocked: str = ""
    """Why nothing can be done now: the runtime has not answered for a while."""
    addresses: tuple[str, ...] = ()
    """Addresses of the instance on a network of its own."""

    @property
    def idle(self) -> bool:
        """Whether the instance needs no place on the node."""
        return self.torn_down or (bool(self.verdicts) and all(v.idle for v in self.verdicts.values()))


@dataclass(frozen=True, slots=True)
class Step:
    """The plan for one container."""

    verdict: Verdict
    actions: tuple[Action, ...] = ()
    wake_at: float | None = None
    ready_to_swap: bool = False
    """All that its successor needs is there, but for its turn."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What those in the row before a container let it do."""

    open: bool = True
    """It may be started again: they have all had their turn."""
    fresh: bool = True
    """It may be made anew: all sidecars before it have started, too."""


@dataclass(frozen=True)
class Case:
    """What is the same for all containers of an instance."""

    spec: ContainerInstanceSpec
    seen: Observation
    now: float

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """The containers of the spec, in their order."""
        return places(self.spec)

    @cached_property
    def active_since(self) -> float:
        """When the instance was first acted upon, as its containers tell, or else this agent."""
        told = [since for c in self.seen.containers if (since := active_since(c)) is not None]
        return min([*told, self.now if self.seen.active_since is None else self.seen.active_since])

    @cached_property
    def ending(self) -> Ending | None:
        """What ends the instance as a whole, now or later; of two, what comes first."""
        found, spec, exceeded = [], self.spec, self.seen.exceeded
        if (limit := spec.active_deadline_seconds) is not None:
            told = f"it was active for longer than its activeDeadlineSeconds of {limit} s"
            own = spec.termination_grace_period_seconds
            found.append(Ending(Reason.DEADLINE_EXCEEDED, told, self.active_since + limit, own))
        if exceeded is not None and exceeded.limit in eviction.size_limits(spec):
            own = min(eviction.GRACE_SECONDS, spec.termination_grace_period_seconds)
            found.append(Ending(Reason.EVICTED, exceeded.limit.exceeded, min(exceeded.at, self.now), own))
        return min(found, key=lambda ending: ending.at, default=None)

    def passed(self, place: Place) -> bool:
        """Whether something that comes later in the row was made, in this boot, after the init containers as they are now."""
        return place.index < self._last_begun

    @cached_property
    def _last_begun(self) -> int:
        begun = (p.index for p in self.places for c in self.seen.of(p.container.name) if self.follows(c, p))
        return max(begun, default=0)

    def follows(self, container: ContainerState, place: Place) -> bool:
        """Whether it was made after the init containers that are to be before it."""
        return container.labels.get(labels.INIT, "") == place.after and self.of_this_boot(container)

    def of_this_boot(self, container: ContainerState) -> bool:
        """Whether what it has done still counts: after a reboot an instance begins anew, unless it is to run only once."""
        return self.spec.restart_policy == "Never" or container.labels.get(labels.BOOT_ID, "") == self.seen.boot_id

    @cached_property
    def refusal(self) -> str:
        """What Pod Security says against the instance; judged when one of its containers is to be started, and once for all.

        The instance is judged as a whole, as a pod is: one container that violates keeps the others from being started, too.
        """
        enforced = self.seen.pod_security
        if enforced is None or enforced.level is Level.PRIVILEGED:
            return ""
        return refusal(self.spec.to_json(), enforced)


def how(end: ContainerStateTerminated) -> str:
    """How it ended, in words."""
    if end.reason == Reason.CONTAINER_STATUS_UNKNOWN:
        return "ended while nobody was looking"
    return f"ended with exit code {end.exit_code}" + (f" ({end.reason})" if end.reason == Reason.OOM_KILLED else "")


def earliest(times: Iterable[float | None]) -> float | None:
    """The first of those times that are set."""
    return min((t for t in times if t is not None), default=None)
