"""Who has how much of what the node has to give: the agent's own check, behind the manager's placement.

Instances that are written by hand name their node themselves, and requests change in place. So the agent looks again, as a
kubelet does at admission, but level-triggered: who finds no room is not failed for good, but waits, and is woken when room is
made. Who has a place keeps it, whatever comes.
"""

from collections.abc import Callable, Iterable, Iterator

from controller.agent.decide.observation import Desired, Shortage
from controller.agent.decide.resources import held_by
from controller.agent.view import NodeView
from controller.api.amounts import NOTHING, Amounts


def taken(store: Iterable[Desired], view: NodeView, overhead: Callable[[str | None], Amounts]) -> Iterator[tuple[str, Amounts]]:
    """What the instances hold that have containers, by their uids; `overhead` is that of a RuntimeClass."""
    for desired in store:
        if containers := view.of(desired.uid):
            held = held_by(desired.instance, containers)
            yield desired.uid, held + overhead(desired.instance.spec.runtime_class_name)


class Room:
    """The places of one node. Asking and taking are one step of the event loop, so nobody comes in between."""

    def __init__(
        self, allocatable: Amounts, before: Callable[[], Iterable[tuple[str, Amounts]]], wake: Callable[[str], None]
    ) -> None:
        """Prepare it.

        Args:
            allocatable: what there is for all instances.
            before: what instances hold that ran before this began; asked once, when the first one asks for room.
            wake: called with the uid of each that waits, when room is made.
        """
        self._allocatable, self._wake = allocatable, wake
        self._before: Callable[[], Iterable[tuple[str, Amounts]]] | None = before
        self._held: dict[str, Amounts] = {}
        self._sum = NOTHING
        self._waiting: set[str] = set()

    def shortage(self, uid: str, wanted: Amounts) -> Shortage | None:
        """What the node lacks for an instance that wants this much."""
        self._begin()
        held = self._held.get(uid)
        if held is None and wanted == NOTHING:
            return None
        used = self._sum - (held or NOTHING)
        growing = wanted.beyond(held) if held is not None else tuple(wanted.by_name())
        lacking = [name for name in wanted.beyond(self._allocatable - used) if name in growing]
        if not lacking:
            return None
        name = lacking[0]
        amounts = (amount.by_name().get(name, 0) for amount in (wanted, used, self._allocatable))
        told = "node didn't have enough resource: {}, requested: {}, used: {}, capacity: {}".format(name, *amounts)
        return Shortage(name, told, ever=name in wanted.beyond(self._allocatable), held=held is not None)

    def take(self, uid: str, wanted: Amounts) -> None:
        """An instance has this much now, and no more what it had before."""
        self._begin()
        held = self._held.get(uid, NOTHING)
        self._waiting.discard(uid)
        if uid in self._held and held == wanted:
            return
        self._sum = self._sum - held + wanted
        self._held[uid] = wanted
        if held.beyond(wanted):
            self._room_made()

    def wait(self, uid: str) -> None:
        """An instance finds no room now."""
        self._waiting.add(uid)

    def leave(self, uid: str) -> None:
        """Nothing of an instance runs, nor is to run."""
        self._begin()
        self._waiting.discard(uid)
        held = self._held.pop(uid, NOTHING)
        if held != NOTHING:
            self._sum = self._sum - held
            self._room_made()

    def _begin(self) -> None:
        if self._before is None:
            return
        before, self._before = self._before, None
        self._held = dict(before())
        self._sum = sum(self._held.values(), NOTHING)

    def _room_made(self) -> None:
        for uid in tuple(self._waiting):
            self._wake(uid)
