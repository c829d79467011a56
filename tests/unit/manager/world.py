"""A small world for the decisions: API objects as the server would keep them, and agents that do as they are told."""

from collections import Counter
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from controller.api.conditions import Condition, timestamp
from controller.api.node import Taint
from controller.api.runtimeclass import RuntimeClass
from controller.manager.decide import availability, rollout
from controller.manager.decide.decision import Decision
from controller.manager.decide.values import Fleet, Instance, Node, Workload, parse_instance, parse_workload
from tests.unit.mergepatch import merge

NAMESPACE = "default"
START = 1_800_000_000.0
HOST = "kubernetes.io/hostname"


def node(name: str, *, labels: Mapping[str, str] | None = None, taints: tuple[str, ...] = (), **fields: Any) -> Node:
    """A node; taints as `key=value:Effect`."""
    parsed = []
    for text in taints:
        pair, _, effect = text.partition(":")
        key, _, value = pair.partition("=")
        parsed.append(Taint.model_validate({"key": key, "value": value, "effect": effect}))
    return Node(name=name, labels={HOST: name, **(labels or {})}, taints=tuple(parsed), **fields)


def condition(status: str, reason: str, message: str = "", at: float = START, generation: int = 1) -> Condition:
    """A Ready condition."""
    return Condition.model_validate(
        {
            "type": "Ready",
            "status": status,
            "reason": reason,
            "message": message,
            "lastTransitionTime": timestamp(at),
            "observedGeneration": generation,
        }
    )


@dataclass
class World:
    """One workload, its nodes, and a clock."""

    spec: dict[str, Any] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)
    now: float = START
    generation: int = 1
    name: str = "web"
    foreign: set[str] = field(default_factory=set)
    absent: dict[str, float] = field(default_factory=dict)
    classes: dict[str, RuntimeClass] = field(default_factory=dict)
    _count: int = 0

    @classmethod
    def of(cls, *nodes: Node, image: str = "web:1", **spec: Any) -> "World":
        """A world with these nodes, and a workload with this spec."""
        template = {"spec": {"hostNetwork": True, "containers": [{"name": "web", "image": image}]}}
        return cls(spec={"template": template} | spec, nodes={n.name: n for n in nodes})

    # --- what the decisions see

    @property
    def workload(self) -> Workload:
        """The workload."""
        return parse_workload(
            {
                "metadata": {
                    "name": self.name,
                    "namespace": NAMESPACE,
                    "uid": "uid-of-workload",
                    "generation": self.generation,
                    "creationTimestamp": timestamp(START),
                },
                "spec": self.spec,
                "status": self.status,
            }
        )

    @property
    def instances(self) -> list[Instance]:
        """All instances, those on their way out included."""
        return [parse_instance(obj) for obj in self.objects.values()]

    @property
    def live(self) -> list[Instance]:
        """Those that are not on their way out."""
        return [i for i in self.instances if not i.deleting]

    @property
    def fleet(self) -> Fleet:
        """The nodes."""
        load = Counter(i.node for i in self.instances)
        absent = {n: self.absent.get(n, self.now) for n in load if n not in self.nodes}
        return Fleet(self.nodes, load, absent, classes=self.classes)

    def decide(self) -> Decision:
        """What the manager would do now."""
        return rollout.decide(self.workload, self.instances, self.fleet, self.now, self.foreign)

    def available(self) -> list[Instance]:
        """The live ones that are available."""
        return [i for i in self.live if availability.available(self.workload, i, self.fleet, self.now)]

    # --- what happens

    def edit(self, **spec: Any) -> None:
        """The user changes the spec."""
        self.spec = merge(self.spec, spec)
        self.generation += 1

    def set_image(self, image: str) -> None:
        """The user changes the image."""
        template = deepcopy(self.spec["template"])
        template["spec"]["containers"][0]["image"] = image
        self.edit(template=template)

    def apply(self, decision: Decision) -> None:
        """The API server takes the writes."""
        for delete in decision.deletes:
            self.delete(delete.instance.key.name)
        for patch in decision.patches:
            old = self.objects[patch.instance.key.name]
            assert patch.body["metadata"]["uid"] == old["metadata"]["uid"]
            new = merge(old, patch.body)
            if new["spec"] != old["spec"]:
                new["metadata"]["generation"] += 1
            self.objects[patch.instance.key.name] = new
        for create in decision.creates:
            assert create.name not in self.objects, "the name is taken"
            self._count += 1
            obj = deepcopy(create.body)
            obj["metadata"] |= {
                "uid": f"uid-{self._count}",
                "generation": 1,
                "creationTimestamp": timestamp(self.now),
            }
            self.objects[create.name] = obj

    def delete(self, name: str) -> None:
        """Somebody deletes an instance: it stays until its agent is done."""
        self.objects[name]["metadata"].setdefault("deletionTimestamp", timestamp(self.now))

    def tell(self, name: str, status: str, reason: str, message: str = "", *, stalled: bool = False, **more: Any) -> None:
        """The agent writes a status."""
        obj = self.objects[name]
        generation = obj["metadata"]["generation"]
        told = condition(status, reason, message, self.now, generation)
        old = next((c for c in obj.get("status", {}).get("conditions", []) if c["type"] == "Ready"), None)
        if old and old["status"] == status:
            told = told.model_copy(update={"last_transition_time": old["lastTransitionTime"]})
        conditions = [told.to_json()]
        if stalled:
            conditions.append(told.model_copy(update={"type": "Stalled", "status": "True"}).to_json())
        containers = [self._container(obj, c, status) for c in obj["spec"]["containers"]]
        obj["status"] = {
            "observedGeneration": generation,
            "conditions": conditions,
            "phase": "Running",
            "containers": containers,
            **more,
        }

    def _container(self, obj: dict[str, Any], container: dict[str, Any], status: str) -> dict[str, Any]:
        """A container is started anew when its image changed."""
        told = {"name": container["name"], "image": container["image"]}
        if status != "True":
            return told
        before: dict[str, Any] = next(
            (c for c in obj.get("status", {}).get("containers", []) if c["image"] == container["image"]), {}
        )
        return told | {"state": before.get("state") or {"running": {"startedAt": timestamp(self.now)}}}

    def ready(self, *names: str) -> None:
        """These instances (all, when none is named) become ready."""
        for name in names or tuple(self.objects):
            self.tell(name, "True", "Running")

    def agents(self) -> None:
        """Every agent that lives does all of its work."""
        for name, obj in list(self.objects.items()):
            found = self.nodes.get(obj["spec"]["nodeName"])
            if found is None or not found.alive:
                continue
            if "deletionTimestamp" in obj["metadata"]:
                del self.objects[name]
            elif obj["spec"].get("suspend"):
                self.tell(name, "True", "Suspended")
            else:
                self.tell(name, "True", "Running")

    def settle(self, rounds: int = 60) -> None:
        """Decide, write and let the agents work, until nothing is left to do."""
        for _ in range(rounds):
            decision = self.decide()
            self.apply(decision)
            self.agents()
            self.now += 1
            if decision.idle and self.decide().idle:
                return
        raise AssertionError(f"no rest after {rounds} rounds: {self.decide()}")
