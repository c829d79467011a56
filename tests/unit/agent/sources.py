"""ConfigMaps and Secrets in memory: what a node's agent may ask of whatever serves them."""

from collections.abc import Callable
from dataclasses import dataclass, field

from controller.agent.sources.port import Absent, Found, Kind, Ref, View


def config_map(name: str = "settings", namespace: str = "default") -> Ref:
    """A ConfigMap."""
    return Ref(Kind.CONFIG_MAP, namespace, name)


def secret(name: str = "password", namespace: str = "default") -> Ref:
    """A Secret."""
    return Ref(Kind.SECRET, namespace, name)


def found(**data: str) -> Found:
    """An object that holds some texts."""
    return Found({key: value.encode() for key, value in data.items()})


@dataclass
class SimulatedSources:
    """The objects, and who follows them. What is not there is absent."""

    wake: Callable[[str], None] = lambda _: None
    objects: dict[Ref, View] = field(default_factory=dict)
    followed: dict[str, frozenset[Ref]] = field(default_factory=dict)
    """By uid of the instance."""

    def follow(self, uid: str, refs: frozenset[Ref]) -> None:
        """What an instance names."""
        self.followed = {k: v for k, v in (self.followed | {uid: refs}).items() if v}

    def view(self, ref: Ref) -> View:
        """What there is."""
        return self.objects.get(ref, Absent())

    def watches(self) -> dict[tuple[str, ...], float]:
        """How many are followed."""
        followed = frozenset[Ref]().union(*self.followed.values())
        return {(kind.value,): float(sum(ref.kind is kind for ref in followed)) for kind in Kind}

    def tidy(self) -> None:
        """Nothing is kept."""

    def change(self, ref: Ref, view: View) -> None:
        """An object changes, and whoever names it is told."""
        self.objects[ref] = view
        for uid, refs in self.followed.items():
            if ref in refs:
                self.wake(uid)
