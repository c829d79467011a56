"""Taking Moorage out of a cluster so that nothing of it stands in the way of whatever is deleted later.

What could: instances carry a finalizer that only their node's agent takes off. So before the agents go for good, either they
stop everything and confirm it (`stop`), or the finalizers are taken off in their stead, once no agent is there to put them
back (`keep`).

Every step may be repeated: an uninstallation that was interrupted is simply run again.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from controller.cli import remaining
from controller.cli.errors import CommandError
from controller.kube.bell import Bell, Collection
from controller.kube.client import Client, Object, Objects
from controller.kube.connection import Connection
from controller.kube.errors import ApiConflict, ApiNotFound, ApiUnavailable
from controller.kube.patch import without_finalizer
from controller.kube.resources import (
    CONTAINER_IMAGES,
    DAEMONSETS,
    DEPLOYMENTS,
    INSTANCES,
    NODE_IMAGES,
    NODES,
    PODS,
    WORKLOADS,
    Resource,
)

log = logging.getLogger(__name__)

PARALLEL: Final = 16
"""Calls to the API server that are under way at the same time."""

LOOK_SECONDS: Final = 10.0
"""Longest pause between two looks at what is left."""

END_SECONDS: Final = 60.0
"""How long the pods of a half may take to end; those on nodes that are away never do."""

RETURN_SECONDS: Final = 2.0
"""An agent that still runs somewhere puts its finalizer back within this time."""

MOST_TIMES: Final = 2
"""So often the finalizer is taken off an instance: when it comes back again, an agent still runs."""

AGENT: Final = "moorage-agent"
MANAGER: Final = "moorage-manager"
"""The names of the DaemonSet and of the Deployment."""


@dataclass(slots=True)
class Removal:
    """One uninstallation."""

    connection: Connection
    client: Client
    namespace: str
    """Where Moorage is installed."""
    deadline: float
    """By the loop's clock: when to give up."""
    say: Callable[[str], None]
    """Told how it goes on, one line at a time."""

    async def stop(self) -> None:
        """Delete everything, wait until the agents have confirmed that nothing of it runs, and end both halves.

        Raises:
            CommandError: when the deadline passes before; names the nodes that did not confirm.
        """
        await self._empty()
        await self._end(DAEMONSETS, AGENT)
        await self._end(DEPLOYMENTS, MANAGER)
        for resource in (CONTAINER_IMAGES, NODES, NODE_IMAGES):
            await self._delete_all(resource)
        self.say("nothing of Moorage runs on any node any more")

    async def keep(self) -> None:
        """End both halves and leave the containers running, and workloads and instances in place, deletable.

        The manager ends first: without agents it would take the nodes for lost, and give their instances to others. The
        RuntimeNodes stay, by which the next manager knows that the nodes are only silent.

        Raises:
            CommandError: when the deadline passes before, or an agent outside of the cluster still runs.
        """
        await self._end(DEPLOYMENTS, MANAGER)
        await self._end(DAEMONSETS, AGENT)
        self.say(f"{remaining.count(await self._release(), 'instance')} left in place; the containers run on")

    # --- stopping

    async def _empty(self) -> None:
        told = ""
        async with Bell.on(self.connection, Collection(INSTANCES), Collection(WORKLOADS)) as changed:
            while True:
                workloads = await self._delete_all(WORKLOADS)
                instances = await self._delete_all(INSTANCES)
                if not workloads and not instances:
                    return
                left = remaining.left_on_nodes(instances, {n["metadata"]["name"]: n for n in await self._list(NODES)})
                line = remaining.progress(len(workloads), left)
                if line != told:
                    self.say(line)
                told = line
                if self._left() <= 0:
                    raise CommandError(f"not everything is confirmed to have stopped: {line}. {remaining.advice(left)}")
                await changed.wait(min(LOOK_SECONDS, max(self._left(), 0.1)))

    async def _delete_all(self, resource: Resource) -> Objects:
        """Delete what is there, as of now; all that is left."""
        found = await self._list(resource)
        await self._each(
            [o for o in found if not o["metadata"].get("deletionTimestamp")],
            lambda o: self._delete(resource, o["metadata"]["name"], o["metadata"].get("namespace", ""), o["metadata"]["uid"]),
        )
        return found

    # --- keeping

    async def _release(self) -> int:
        """Take the finalizer off every instance, and see that it stays off; how many instances there are."""
        times: Counter[str] = Counter()
        while True:
            found = await self._list(INSTANCES)
            held = [o for o in found if without_finalizer(o)]
            if not held:
                return len(found)
            if back := [o for o in held if times[o["metadata"]["uid"]] == MOST_TIMES]:
                where = ", ".join(left.node for left in remaining.left_on_nodes(back, {}))
                raise CommandError(
                    f"instances keep getting their finalizer back, so an agent still runs on {where}. Stop the agents that run "
                    "outside of the cluster's pods, and try again"
                )
            if self._left() <= 0:
                raise CommandError(f"{remaining.count(len(held), 'instance')} could not be let go of in time: try again")
            before = times.total()
            await self._each(held, lambda o: self._release_one(o, times))
            if done := times.total() - before:
                self.say(f"took the agents' finalizer off {remaining.count(done, 'instance')}")
            await asyncio.sleep(RETURN_SECONDS)

    async def _release_one(self, instance: Object, times: Counter[str]) -> None:
        """Take it off one; counted in `times` when that was done."""
        meta, body = instance["metadata"], without_finalizer(instance)
        assert body is not None
        try:
            await self.client.patch(INSTANCES, meta["name"], body, meta["namespace"])
        except ApiNotFound:
            pass  # it was being deleted, and this was all that held it
        except ApiConflict as exc:  # somebody wrote in between: the next look takes it up again
            log.debug("%s/%s: %s", meta["namespace"], meta["name"], exc)
            return
        times[meta["uid"]] += 1

    # --- the halves

    async def _end(self, resource: Resource, name: str) -> None:
        """Delete a half and wait for the end of its pods, but not for ever: a node that is away will not end its own."""
        try:
            await self.client.delete(resource, name, self.namespace, propagation="Foreground")
        except ApiNotFound:
            return
        self.say(f"ending {name}")
        loop = asyncio.get_running_loop()
        until = min(self.deadline, loop.time() + END_SECONDS)
        async with Bell.on(self.connection, Collection(resource, self.namespace, name)) as changed:
            while await self._exists(resource, name):
                if loop.time() >= until:
                    await self._tell_unended(name)
                    return
                await changed.wait(max(min(LOOK_SECONDS, until - loop.time()), 0.1))

    async def _exists(self, resource: Resource, name: str) -> bool:
        try:
            await self.client.get(resource, name, self.namespace)
        except ApiNotFound:
            return False
        except ApiUnavailable as exc:
            log.debug("%s: %s", name, exc)
        return True

    async def _tell_unended(self, name: str) -> None:
        pods = [p for p in await self.client.list(PODS, self.namespace) if p["metadata"]["name"].startswith(f"{name}-")]
        nodes = sorted({str(p["spec"].get("nodeName", "")) for p in pods})
        self.say(f"pods of {name} do not end on {', '.join(nodes) or 'any node'}: going on without them")

    # --- calls

    async def _list(self, resource: Resource) -> Objects:
        """All objects; none where the kind is not installed."""
        while True:
            try:
                return await self.client.list(resource)
            except ApiNotFound:
                return []
            except ApiUnavailable as exc:
                if self._left() <= 0:
                    raise CommandError(str(exc)) from exc
                log.warning("%s", exc)
                await asyncio.sleep(1.0)

    async def _delete(self, resource: Resource, name: str, namespace: str = "", uid: str = "") -> None:
        try:
            await self.client.delete(resource, name, namespace, uid)
        except ApiNotFound:
            pass
        except ApiConflict as exc:  # another object by that name: the next look takes it up
            log.debug("%s %s/%s: %s", resource.plural, namespace, name, exc)

    async def _each(self, objects: Sequence[Object], act: Callable[[Object], Awaitable[None]]) -> None:
        """Act on all of them, some at a time; one that the API server does not take now is left for the next look."""
        limit = asyncio.Semaphore(PARALLEL)

        async def one(obj: Object) -> None:
            async with limit:
                try:
                    await act(obj)
                except ApiUnavailable as exc:
                    log.warning("%s", exc)

        for failure in await asyncio.gather(*map(one, objects), return_exceptions=True):
            if failure is not None:
                raise failure

    def _left(self) -> float:
        return self.deadline - asyncio.get_running_loop().time()
