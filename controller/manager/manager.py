"""The manager: composition, start and graceful end."""

import asyncio
import contextlib
import logging
import os
import random
import socket
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import TypeVar

from controller.api.labels import NODE_LEASE_NAMESPACE
from controller.api.spec import InstanceSpec
from controller.api.workload import ContainerWorkload
from controller.kube.client import Client
from controller.kube.connection import Connection
from controller.kube.definitions import DefinitionCheck
from controller.kube.errors import ApiAlreadyExists, ApiFailure, ApiNotFound, ApiUnavailable
from controller.kube.informer import Informer
from controller.kube.pauses import Forever
from controller.kube.resources import CONTAINER_IMAGES, INSTANCES, NAMESPACES, NODE_IMAGES, NODES, WORKLOADS
from controller.manager import metrics
from controller.manager.cache import Cache
from controller.manager.decide.heartbeats import SILENCE_SECONDS
from controller.manager.decide.values import Key
from controller.manager.ears import Ears
from controller.manager.images.room import ImageRoom
from controller.manager.leader import Leader
from controller.manager.nodes import NodeReconciler
from controller.manager.operator import NODE, ManagerOperator
from controller.manager.queue import WorkQueue
from controller.manager.reconciler import HOLD_SECONDS, NotTaken, Reconciler
from controller.telemetry.health import Health

log = logging.getLogger(__name__)

T = TypeVar("T")


def _identity() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


@dataclass(frozen=True, slots=True)
class ManagerSettings:
    """What the manager can be told."""

    kubeconfig: str | None = None
    """Path of a kubeconfig file; None for the pod's service account."""
    workers: int = 8
    """Workloads that are reconciled at once."""
    hold_seconds: float = HOLD_SECONDS
    """How long a status that only tells of progress is held back."""
    silence_seconds: float = SILENCE_SECONDS
    """A node without a heartbeat for this long is not ready; four times the agents' pause between two."""
    leader_elect: bool = False
    """Whether several managers may run, of which one works."""
    leader_lease: str = "moorage-manager"
    leader_namespace: str = "moorage-system"
    """Name and namespace of the Lease that they agree by."""
    identity: str = field(default_factory=_identity)
    """Name of this manager among them."""


async def run(settings: ManagerSettings, stop: asyncio.Event, health: Health | None = None) -> None:
    """Run until `stop` is set. With leader election, also wait for the lead, and end when it is lost.

    Args:
        settings: what the manager is told.
        stop: when set, it ends in good order.
        health: where its checks go, if somebody asks.

    Raises:
        NoConnection: when no API server is configured.
        LostLead: when another manager leads; the process should end and start afresh.
    """
    for model in (ContainerWorkload, InstanceSpec):
        model.model_rebuild()  # its validator is built here, and not when the first workload is waited for
    connection = await Connection.load(settings.kubeconfig)
    client = Client(connection)
    health = health if health is not None else Health()
    refresh = asyncio.create_task(connection.keep_fresh(), name="credentials")
    try:
        if settings.leader_elect:
            await _lead(settings, connection, client, stop, health)
        else:
            await _work(settings, connection, client, stop, health)
    finally:
        refresh.cancel()
        await asyncio.gather(refresh, return_exceptions=True)
        await client.close()


class LostLead(Exception):  # noqa: N818 - said to people as it is
    """This manager led, and does not any more."""


async def _lead(settings: ManagerSettings, connection: Connection, client: Client, stop: asyncio.Event, health: Health) -> None:
    leader = Leader(client, settings.leader_lease, settings.leader_namespace, settings.identity)
    health.ready["manager"] = lambda: ""  # one that stands by does what it is there for
    if not await _unless(stop, leader.acquire()):
        return  # stopped before it led
    lost = asyncio.Event()
    both = asyncio.Event()

    async def keep() -> None:
        await leader.keep()
        lost.set()
        both.set()

    async def stopped() -> None:
        await stop.wait()
        both.set()

    tasks = [asyncio.create_task(keep(), name="leader"), asyncio.create_task(stopped(), name="stop")]
    try:
        await _work(settings, connection, client, both, health)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if not lost.is_set():
            await leader.release()
    if lost.is_set() and not stop.is_set():
        raise LostLead("another manager leads, or the API server could not be asked in time")


async def _make_lease_namespace(client: Client) -> None:
    """The agents' heartbeat Leases need their namespace; where an installer made it, the right to make one is not needed."""
    for pause in Forever():
        try:
            await _find_or_create(client, NODE_LEASE_NAMESPACE)
        except ApiUnavailable as exc:
            log.info("waiting for the API server: %s", exc)
        except ApiFailure as exc:
            log.warning("namespace %s cannot be made, and no node is known before it is there: %s", NODE_LEASE_NAMESPACE, exc)
            return
        else:
            return
        await asyncio.sleep(pause)


async def _find_or_create(client: Client, namespace: str) -> None:
    try:
        await client.get(NAMESPACES, namespace)
    except ApiNotFound:
        with contextlib.suppress(ApiAlreadyExists):
            await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})


async def _work(settings: ManagerSettings, connection: Connection, client: Client, stop: asyncio.Event, health: Health) -> None:
    health.ready["manager"] = lambda: "its caches are not filled yet"
    cache = Cache(settings.silence_seconds)

    def all_matter() -> None:
        operator.wake_all()

    kinds = (WORKLOADS, INSTANCES, NODES, CONTAINER_IMAGES, NODE_IMAGES)
    definitions = DefinitionCheck(client, "manager", kinds, all_matter)
    reconciler = Reconciler(client, cache, settings.hold_seconds, lambda: definitions.message)
    nodes = NodeReconciler(client, cache)
    images = ImageRoom(client, cache, settings.hold_seconds, lambda: definitions.message)

    async def handle(key: Key) -> float | None:
        kind = "node" if key.namespace == NODE else "workload"
        metrics.RECONCILES.labels(kind).inc()
        with metrics.FAILURES.labels(kind).count_exceptions(), metrics.SECONDS.time():
            if key.namespace != NODE:
                return await reconciler.reconcile(key)
            changed, again = await nodes.reconcile(key.name)
            if changed:
                operator.wake_all()
            return again

    await _unless(stop, _make_lease_namespace(client))
    queue = WorkQueue(handle, expected=(ApiFailure, NotTaken), workers=settings.workers)
    operator = ManagerOperator(cache, queue, reconciler, nodes, images, definitions.wake)
    informer = await _unless(stop, _fill(operator, connection, client))
    if informer is None:
        return
    await informer.start()
    ears = Ears(operator, informer, client)
    health.live["manager heartbeats"], health.live["manager watch"] = ears.incurable, informer.incurable
    health.ready["manager"] = lambda: ""
    metrics.follow(cache, queue, images)
    known = len(cache.workloads), len(cache.instances), len(cache.nodes), len(images.cache.images)
    log.info("manager runs: %d workloads, %d instances, %d nodes, %d images", *known)
    tasks = [
        asyncio.create_task(queue.run(), name="queue"),
        asyncio.create_task(images.queue.run(), name="queue of images"),
        asyncio.create_task(ears.listen(), name="liveness"),
        asyncio.create_task(definitions.run(), name="definitions"),
        asyncio.create_task(stop.wait(), name="stop"),
    ]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        metrics.unfollow()
        await asyncio.gather(*tasks, return_exceptions=True)
        await informer.stop()


async def _fill(operator: ManagerOperator, connection: Connection, client: Client) -> Informer:
    """Fill the cache; the API server, or the definitions, may come later than the manager."""
    while True:
        try:
            return await operator.fill(connection, client)
        except ApiFailure as exc:
            log.warning("waiting for the API server: %s", exc)
            await asyncio.sleep(random.uniform(0.5, 1.5))  # noqa: S311 - jitter


async def _unless(stop: asyncio.Event, work: Awaitable[T]) -> T | None:
    """The result of some work, or None when `stop` is set before there is one."""
    task, stopped = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        for each in (task, stopped):
            each.cancel()
        await asyncio.gather(task, stopped, return_exceptions=True)
