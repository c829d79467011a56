"""A pure little world for the planner: one instance, a runtime that does as it is told (or not), and time that passes.

The agent half of it is the real planner and the real notes; only the carrying out is modelled here.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from controller.agent.decide import health
from controller.agent.decide import observation as seen
from controller.agent.decide.actions import (
    Action,
    CreateContainer,
    CreateNetwork,
    KillContainer,
    MarkSuspended,
    PullImage,
    RemoveContainer,
    RemoveNetwork,
    ResizeContainer,
    RunPreStop,
    StartContainer,
    StopContainer,
)
from controller.agent.decide.hashing import spec_hash
from controller.agent.decide.observation import Desired, ImageView, NetworkTrouble, Observation, Pull, ResizeTrouble, Trouble
from controller.agent.decide.order import Role, places
from controller.agent.decide.plan import Plan, plan
from controller.agent.decide.resolve import container_config
from controller.agent.decide.resources import applied
from controller.agent.observe import Notes
from controller.api import labels
from controller.api.instance import ContainerInstance
from controller.api.reasons import Reason
from controller.network.port import NetworkState
from controller.runtime.port import ContainerState, ImageConfig, ImageState, Phase
from tests.unit.agent.values import IMAGE, NODE, NOW, container, instance_object

CREATED, RUNNING, PAUSED, EXITED = Phase.CREATED, Phase.RUNNING, Phase.PAUSED, Phase.EXITED
ALIVE = {RUNNING, PAUSED}
PRESENT = ImageState(IMAGE, "sha256:0", 1, ImageConfig(cmd=("run",)))


@dataclass
class World:
    """One instance on one node."""

    spec: dict[str, Any] = field(default_factory=lambda: {"containers": [container()], "terminationGracePeriodSeconds": 5})
    now: float = NOW
    containers: dict[str, ContainerState] = field(default_factory=dict)
    image: bool = True
    lacking: str = ""
    """What the first container names that is not there."""
    up: bool = True
    deleted: bool = False
    notes: Notes = field(default_factory=Notes)
    pull: Pull | None = None
    network: NetworkState = NetworkState.ABSENT
    inside: set[str] = field(default_factory=set)
    """Ids of the containers that were made for the instance's own network."""
    failing: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("create", "start", "pull", "stop", "network", "resize"), 0)
    )
    """How many of the next calls of a kind fail; a `stop` that fails is a signal that the process ignores."""
    down_since: float = 0.0
    known: tuple[ContainerState, ...] = ()
    """What was there when the runtime was last seen."""
    generation: int = 1
    boots: int = 0
    completed: defaultdict[str, set[tuple[str, int]]] = field(default_factory=lambda: defaultdict(set))
    """Of each name, the spec hashes that ended with success, and in which boot."""

    @property
    def boot_id(self) -> str:
        """Of the node as it runs now."""
        return f"boot{self.boots}"

    # --- what the agent sees and does

    @property
    def desired(self) -> Desired:
        """What is wanted now."""
        meta = {"generation": self.generation} | ({"deletionTimestamp": "2027-01-15T08:00:00Z"} if self.deleted else {})
        return Desired(ContainerInstance.model_validate(instance_object(*self.spec["containers"], meta=meta, **self.rest)))

    @property
    def rest(self) -> dict[str, Any]:
        """The spec without its containers."""
        return {k: v for k, v in self.spec.items() if k != "containers"}

    def observe(self) -> Observation:
        """One moment, as `observe` gives it."""
        if self.up:
            self.known = tuple(self.containers.values())
        self.notes.follow(self.known, {c["name"] for c in (*self.spec["containers"], *self.spec.get("initContainers", ()))})
        ending = self.deleted or self.spec.get("suspend", False)
        self.notes.active_since = self.notes.active_since if ending else (self.notes.active_since or self.now)
        self.notes.ending_since = (self.notes.ending_since or self.now) if ending else None
        view = ImageView(PRESENT if self.image else None, self.pull)
        return Observation(
            containers=self.known,
            images={IMAGE: view} if self.up else {},
            troubles=dict(self.notes.troubles),
            resizes=dict(self.notes.resizes),
            stopping=dict(self.notes.stopping),
            killed=dict(self.notes.killed),
            hooks=dict(self.notes.hooks),
            signalled=dict(self.notes.signalled),
            health={c.id: health.noted(c) for c in self.known},
            pulled=dict(self.notes.pulled),
            pulling=dict(self.notes.pulling),
            remembered=dict(self.notes.remembered),
            missing={self.spec["containers"][0]["name"]: seen.Missing(self.lacking)} if self.lacking else {},
            network=self.network,
            network_trouble=self.notes.network,
            runtime_error="" if self.up else "refused",
            runtime_down_since=self.down_since,
            boot_id=self.boot_id,
            active_since=self.notes.active_since,
            ending_since=self.notes.ending_since,
        )

    def plan(self) -> Plan:
        """The plan of this moment."""
        return plan(self.desired, self.observe(), self.now)

    def round(self) -> Plan:
        """Observe, plan, act."""
        decided = self.plan()
        failed: set[str] = set()
        made = ""
        for action in decided.actions:
            assert self.up, "nothing may be done while the runtime does not answer"
            match action:
                case CreateNetwork() | RemoveNetwork():
                    if not self.change_network(removing=isinstance(action, RemoveNetwork)):
                        return decided
                case CreateContainer():
                    made = self.create(action)
                    failed |= set() if made else {action.container.name}
                case StartContainer() if action.container not in failed:
                    self.start(action, action.container_id or made)
                case _:
                    self.do(action)
        if decided.torn_down:
            assert not self.containers, "it is told as gone with containers"
            assert self.network is NetworkState.ABSENT, "it is told as gone with a network"
            self.notes.forget()
        return decided

    def change_network(self, *, removing: bool) -> bool:
        """Make or remove the network, or note that it failed."""
        if self.fails("network"):
            before = self.notes.network
            count = before.count + 1 if before is not None and before.removing == removing else 1
            self.notes.network = NetworkTrouble("failed", self.now, count, removing=removing)
            return False
        if removing:
            using = [c.id for c in self.containers.values() if c.phase in ALIVE and c.id in self.inside]
            assert not using, f"the network goes while {using} are in it"
        self.network = NetworkState.ABSENT if removing else NetworkState.READY
        self.notes.network = None
        return True

    def create(self, action: CreateContainer) -> str:
        """Make a container, or note that it failed."""
        if self.fails("create"):
            self.trouble(action.container.name, action.spec_hash, started=False)
            return ""
        config = container_config(self.desired.instance, action, PRESENT, replace(NODE, boot_id=self.boot_id))
        assert config.id not in self.containers, f"{config.id} is made twice"
        assert self.image, "a container is made without its image"
        first = action.container.name == self.spec["containers"][0]["name"]
        assert not (first and self.lacking), "a container is made without what it names"
        (self.inside.add if config.network_namespace else self.inside.discard)(config.id)
        self.containers[config.id] = ContainerState(config.id, CREATED, config.labels, IMAGE, created_at=self.now)
        return config.id

    def start(self, action: StartContainer, container_id: str) -> None:
        """Start a container: the moment at which no other of its name may be alive."""
        if self.fails("start"):
            self.trouble(action.container, action.spec_hash, started=True)
            del self.containers[container_id]
            return
        alive = [c.id for c in self.named(action.container) if c.phase in ALIVE]
        assert not alive, f"{container_id} is started beside {alive}"
        self.check_order(action.container)
        assert self.containers[container_id].phase is CREATED, "only what was never started is started"
        assert container_id not in self.inside or self.network is NetworkState.READY, "it is started without its network"
        self.change(container_id, phase=RUNNING, pid=1, started_at=self.now)
        self.notes.troubles.pop(action.container, None)

    def do(self, action: Action) -> None:
        """The simpler actions."""
        match action:
            case PullImage():
                self.notes.pulling[action.container] = action.spec_hash
                self.pull = Pull(running=True)
            case ResizeContainer():
                assert self.containers[action.container_id].phase in ALIVE, "only what runs is resized"
                wanted = applied(action.container)
                if self.fails("resize"):
                    self.notes.resizes[action.container_id] = ResizeTrouble(wanted, "in use", self.now, 1)
                    return
                self.notes.resizes.pop(action.container_id, None)
                before = self.containers[action.container_id].labels
                self.change(
                    action.container_id, labels={**before, labels.RESOURCES: wanted, labels.SPEC_HASH: action.spec_hash}
                )
            case RunPreStop():
                assert action.container_id not in self.notes.hooks, "a handler is run twice"
                self.notes.stopping[action.container_id] = self.now
                self.notes.hooks[action.container_id] = False
            case MarkSuspended():
                marks = self.containers[action.container_id].labels
                new = (
                    {**marks, labels.SUSPENDED: "true"}
                    if action.suspended
                    else {k: v for k, v in marks.items() if k != labels.SUSPENDED}
                )
                self.change(action.container_id, labels=new)
            case StopContainer():
                assert action.container_id not in self.notes.signalled, "it is asked to stop twice"
                self.notes.stopping.setdefault(action.container_id, self.now)
                self.notes.signalled[action.container_id] = self.now
                if not self.fails("stop"):
                    self.end(action.container_id, 143)
            case KillContainer():
                self.notes.killed[action.container_id] = self.now
                self.end(action.container_id, 137)
            case RemoveContainer():
                assert self.containers[action.container_id].phase is not RUNNING, "what runs is stopped before it is removed"
                del self.containers[action.container_id]

    def trouble(self, name: str, spec_hash: str, *, started: bool) -> None:
        """Note a failed try, as the actor does."""
        before = self.notes.troubles.get(name)
        count = before.count + 1 if before is not None and before.spec_hash == spec_hash else 1
        held_to = next(applied(c) for c in self.desired.instance.spec.all_containers if c.name == name)
        self.notes.troubles[name] = Trouble(spec_hash, Reason.START_ERROR, "failed", self.now, count, held_to, started=started)

    def fails(self, kind: str) -> bool:
        """Whether this call fails."""
        self.failing[kind] -= self.failing[kind] > 0
        return self.failing[kind] > 0

    # --- what happens to it

    def named(self, name: str) -> list[ContainerState]:
        """The containers of that name."""
        return [c for c in self.containers.values() if c.labels[labels.CONTAINER] == name]

    def change(self, container_id: str, **fields: Any) -> None:
        """Change one container."""
        self.containers[container_id] = replace(self.containers[container_id], **fields)

    def check_order(self, name: str) -> None:
        """What starts has nothing beside it that it must not have, and before it what must be."""
        spec = self.desired.instance.spec
        place = next(p for p in places(spec) if p.container.name == name)
        if place.role is Role.SIDECAR:
            return
        for other in places(spec):
            alive = [c.id for c in self.named(other.container.name) if c.phase in ALIVE]
            if other.role is Role.INIT and other.index < place.index:
                done = (spec_hash(other.container, spec), self.boots)
                assert done in self.completed[other.container.name], f"{name} starts before {other.container.name} completed"
            if other is not place and other.role is not Role.SIDECAR and place.role is Role.INIT:
                assert not alive, f"init container {name} starts beside {alive}"

    def end(self, container_id: str, code: int | None) -> None:
        """Its process ends."""
        if container_id in self.containers and self.containers[container_id].phase in ALIVE:
            self.change(container_id, phase=EXITED, pid=0, exited_at=self.now, exit_code=code)
            marks = self.containers[container_id].labels
            if code == 0 and labels.UNHEALTHY not in marks:
                self.completed[marks[labels.CONTAINER]].add((marks[labels.SPEC_HASH], self.boots))

    def every(self, phases: set[Phase], act: Callable[[ContainerState], None]) -> None:
        """Do something to every container in one of these phases."""
        for found in tuple(self.containers.values()):
            if found.phase in phases:
                act(found)

    def crash(self, code: int) -> None:
        """Every process ends by itself."""
        self.every({RUNNING}, lambda c: self.end(c.id, code))

    def sicken(self, cause: str) -> None:
        """A probe or handler finds that what runs must be restarted."""
        self.every({RUNNING}, lambda c: self.change(c.id, labels={**c.labels, labels.UNHEALTHY: f"{cause} bad"}))

    def finish_hooks(self) -> None:
        """The preStop handlers that run end."""
        self.notes.hooks.update(dict.fromkeys(self.notes.hooks, True))

    def with_hooks(self, there: bool) -> None:  # noqa: FBT001 - an event with one argument
        """The user gives the first container handlers, or takes them away."""
        first, *rest = self.spec["containers"]
        hooks = {"preStop": {"sleep": {"seconds": 1}}, "postStart": {"sleep": {"seconds": 0}}} if there else {}
        self.edit(containers=[{**first, "lifecycle": hooks}, *rest])

    def tamper(self) -> None:
        """Somebody removes every container behind our back."""
        self.containers.clear()

    def freeze(self) -> None:
        """Somebody pauses what runs."""
        self.every({RUNNING}, lambda c: self.change(c.id, phase=PAUSED))

    def reboot(self) -> None:
        """Processes and the agent are lost; what was on disk stays, and says nothing of how it ended."""
        self.every({RUNNING, PAUSED}, lambda c: self.change(c.id, phase=EXITED, pid=0, exit_code=None))
        self.boots += 1
        if self.spec.get("restartPolicy") == "Never":  # what was done stays done
            for done in self.completed.values():
                done |= {(spec, self.boots) for spec, _ in done}
        self.restart_agent()
        self.up = True
        self.network = NetworkState.ABSENT if self.network is NetworkState.ABSENT else NetworkState.BROKEN

    def restart_agent(self) -> None:
        """The agent forgets what it had in memory only."""
        self.notes, self.pull = Notes(), None

    def outage(self) -> None:
        """The runtime stops answering."""
        self.down_since = self.now if self.up else self.down_since
        self.up = False

    def edit(self, **fields: Any) -> None:
        """The user changes the spec."""
        self.spec = {**self.spec, **fields}
        self.generation += 1

    def change_main(self, text: str) -> None:
        """The user changes the first container."""
        first, *rest = self.spec["containers"]
        self.edit(containers=[{**first, "args": [text]}, *rest])

    def limit_main(self, cpu: str) -> None:
        """The user limits the first container, or takes the limit away."""
        first, *rest = self.spec["containers"]
        self.edit(containers=[{**first, "resources": {"limits": {"cpu": cpu}} if cpu else {}}, *rest])

    def resize_main(self, policy: str) -> None:
        """The user says how changed limits reach it."""
        first, *rest = self.spec["containers"]
        self.edit(containers=[{**first, "resizePolicy": [{"resourceName": "cpu", "restartPolicy": policy}]}, *rest])

    def change_field(self, name: str, value: object) -> None:
        """The user sets a field of the first container."""
        first, *rest = self.spec["containers"]
        self.edit(containers=[{**first, name: value}, *rest])

    def with_inits(self, *inits: dict[str, Any]) -> None:
        """The user gives it these init containers, and no others."""
        self.edit(initContainers=list(inits))

    def finish_inits(self, code: int = 0) -> bool:
        """The init containers that run end; whether there were any."""
        spec = self.desired.instance.spec
        names = {p.container.name for p in places(spec) if p.role is Role.INIT}
        found = [c for c in self.containers.values() if c.labels[labels.CONTAINER] in names and c.phase in ALIVE]
        for container_state in found:
            self.end(container_state.id, code)
        return bool(found)

    def with_side(self, there: bool) -> None:  # noqa: FBT001 - an event with one argument
        """The user adds or takes away a second container."""
        self.edit(containers=[self.spec["containers"][0], *([container("side")] if there else [])])

    def give_network(self, own: bool) -> None:  # noqa: FBT001 - an event with one argument
        """The user gives it a network of its own, or the node's."""
        self.edit(hostNetwork=not own, network="None" if own else None)

    def lose_network(self) -> None:
        """Somebody unmounts the network's namespace."""
        self.network = NetworkState.ABSENT

    def lose_image(self) -> None:
        """Somebody removes the image."""
        self.image = False

    def lack(self, what: str) -> None:
        """What the first container names goes, or comes back."""
        self.lacking = what

    def finish_pull(self) -> None:
        """The pull that is under way ends."""
        if self.pull is None or not self.pull.running:
            return
        waiting, self.notes.pulling = self.notes.pulling, {}
        if self.fails("pull"):
            self.pull = Pull(running=False, reason=Reason.ERR_IMAGE_PULL, retry_at=self.now + 1)
        else:
            self.notes.pulled |= waiting
            self.pull, self.image = None, True

    def settle(self, most: int = 300) -> None:
        """Let everything be well, and rounds go by, until there is nothing to do and nothing to wait for."""
        self.up, self.failing, self.lacking = True, dict.fromkeys(self.failing, 0), ""
        for _ in range(most):
            decided = self.round()
            if decided.actions:
                continue
            if self.pull is not None and self.pull.running:
                self.finish_pull()
            elif self.finish_inits():
                continue
            elif decided.wake_at is None:
                return
            else:
                assert decided.wake_at > self.now, "it wakes at once and does nothing"
                self.now = decided.wake_at
        raise AssertionError(f"does not settle: {self.plan()}")


def counts(container_state: ContainerState) -> tuple[int, int]:
    """Its restarts and ends in a row."""
    return seen.restart_count(container_state), seen.crashes(container_state)


__all__ = ["ALIVE", "EXITED", "World", "counts"]
