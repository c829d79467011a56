"""Hooks and probes of all containers of a node: who looks after which, and what is known."""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from controller.agent.decide import health
from controller.agent.decide.hashing import made_from
from controller.agent.decide.observation import Desired, Health, NodeFacts
from controller.agent.probes.attendant import Attendant, Room
from controller.agent.probes.handlers import Handlers, subject
from controller.agent.probes.outcome import NoOutcome
from controller.agent.report.events import EventRecorder
from controller.agent.slots import Slots
from controller.agent.view import NodeView
from controller.api import labels
from controller.api.instance import ContainerInstance
from controller.api.probes import LifecycleHandler
from controller.api.reasons import Reason
from controller.api.spec import Container
from controller.network.dial import Dialer
from controller.runtime.port import ContainerState, Phase, Runtime

PARALLEL_CONNECTIONS: Final = 32
PARALLEL_COMMANDS: Final = 2


class Probes:
    """See `Attendant`. Lives beside the supervisors: each tells what is to be looked after, and is woken by what is found."""

    def __init__(
        self,
        runtime: Runtime,
        view: NodeView,
        events: EventRecorder,
        node: NodeFacts,
        slots: Slots,
        wake: Callable[[str], None],
        addresses: Callable[[str], Sequence[str]],
    ) -> None:
        """As the rest of the agent has them; `addresses` gives those of an instance by its uid."""
        self._events, self._node, self._wake, self._addresses = events, node, wake, addresses
        self._dialer = Dialer()
        self.handlers = Handlers(runtime, self._dialer)
        self._room = Room(
            self.handlers,
            view,
            asyncio.Semaphore(PARALLEL_CONNECTIONS),
            asyncio.Semaphore(PARALLEL_COMMANDS),
            slots.calm,
            time.time(),
        )
        self._attendants: dict[str, dict[str, Attendant]] = {}
        """By uid of the instance, and id of the container; also of those without probes, which may be given some."""
        self._stopping: dict[str, dict[str, asyncio.Task[None]]] = {}
        """The preStop handlers that run, likewise."""

    def of(self, uid: str, container: ContainerState) -> Health:
        """What is known of a container."""
        found = self._attendants.get(uid, {}).get(container.id)
        return found.health if found is not None else health.noted(container)

    def follow(self, desired: Desired, containers: Iterable[ContainerState], stopping: Collection[str] = ()) -> None:
        """Look after what runs of an instance, but for what is stopping; to be told again whenever something has changed."""
        mine = self._attendants.setdefault(desired.uid, {})
        there = {c.id: c for c in containers}
        for gone in mine.keys() - there.keys():
            mine.pop(gone).rest()
        for container_id, task in tuple(self._stopping.get(desired.uid, {}).items()):
            if container_id not in there or there[container_id].phase is Phase.EXITED:
                task.cancel()
        ending = desired.deleting or desired.instance.spec.suspend
        by_name = {c.name: c for c in desired.instance.spec.all_containers}
        for state in there.values():
            wanted = None if ending or state.id in stopping else by_name.get(state.labels.get(labels.CONTAINER, ""))
            self._attend(mine, desired.instance, wanted, state)
        if not mine:
            del self._attendants[desired.uid]

    def _attend(
        self, mine: dict[str, Attendant], instance: ContainerInstance, wanted: Container | None, state: ContainerState
    ) -> None:
        """One container. One with an older spec is left to what was known of it: the new one's probes are not for it."""
        known = mine.get(state.id)
        if wanted is None or state.phase is not Phase.RUNNING:
            if known is not None:
                known.rest()
            return
        if not made_from(state, wanted, instance.spec):
            return
        if known is None:
            tell = self._teller(instance, wanted.name)
            known = mine[state.id] = Attendant(self._room, state, lambda: self._wake(instance.metadata.uid), tell)
        known.attend(subject(instance, wanted, state.id, self._node, self._addresses(instance.metadata.uid)))

    def _teller(self, instance: ContainerInstance, name: str) -> Callable[[Reason, str], None]:
        def tell(reason: Reason, message: str) -> None:
            self._events.record(instance, reason, f"container {name}: {message}", warning=True)

        return tell

    def pre_stop(
        self,
        instance: ContainerInstance,
        state: ContainerState,
        handler: LifecycleHandler,
        grace: float,
        done: Callable[[], None],
    ) -> None:
        """Begin a preStop handler; nothing else is asked of the container from now on.

        Args:
            instance: the container's.
            state: the container.
            handler: what to do.
            grace: seconds after which it is given up.
            done: called when it has ended, however that was.
        """
        uid = instance.metadata.uid
        known = self._attendants.get(uid, {}).get(state.id)
        if known is not None:
            known.rest()
        mine = self._stopping.setdefault(uid, {})
        deadline = asyncio.timeout_at(asyncio.get_running_loop().time() + grace)
        task = mine[state.id] = asyncio.create_task(
            self._pre_stop(instance, state, handler, grace, deadline), name=f"preStop of {state.id}"
        )

        def ended(_: object) -> None:
            mine.pop(state.id, None)
            if not mine and self._stopping.get(uid) is mine:
                del self._stopping[uid]
            done()

        task.add_done_callback(ended)

    async def _pre_stop(
        self,
        instance: ContainerInstance,
        state: ContainerState,
        handler: LifecycleHandler,
        grace: float,
        deadline: asyncio.Timeout,
    ) -> None:
        name = state.labels.get(labels.CONTAINER, "")
        gone = Container(name=name or "gone", image="gone")
        spec = next((c for c in instance.spec.all_containers if c.name == name), gone)
        tell = self._teller(instance, name)
        late = f"preStop handler failed: it did not end within the grace period of {grace:g} s"
        try:
            async with deadline:
                outcome = await self.handlers.hook(
                    handler, subject(instance, spec, state.id, self._node, self._addresses(instance.metadata.uid))
                )
        except TimeoutError:
            tell(Reason.FAILED_PRE_STOP_HOOK, late)
        except asyncio.CancelledError:
            if deadline.expired():  # the container has ended of its stop signal while the handler was being given up
                tell(Reason.FAILED_PRE_STOP_HOOK, late)
            raise
        except NoOutcome as exc:
            tell(Reason.FAILED_PRE_STOP_HOOK, f"preStop handler failed: {exc}")
        else:
            if not outcome.ok:
                tell(Reason.FAILED_PRE_STOP_HOOK, f"preStop handler failed: {outcome.said}")

    def close(self) -> None:
        """End everything."""
        for mine in self._attendants.values():
            for attendant in mine.values():
                attendant.rest()
        self._attendants.clear()
        for running in self._stopping.values():
            for task in running.values():
                task.cancel()
        self._dialer.close()
