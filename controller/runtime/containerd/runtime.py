"""`ContainerdRuntime`: the port on containerd's gRPC API."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from functools import partial
from typing import Final

from controller.runtime.containerd import leases
from controller.runtime.containerd.about import describe, ensure_namespace
from controller.runtime.containerd.channel import Channel
from controller.runtime.containerd.container import orphans
from controller.runtime.containerd.container.containers import Containers
from controller.runtime.containerd.container.ends import Ends
from controller.runtime.containerd.container.exec import ContainerdExec, start_exec
from controller.runtime.containerd.container.lifecycle import Lifecycle
from controller.runtime.containerd.container.records import is_holder
from controller.runtime.containerd.container.snapshots import Snapshots
from controller.runtime.containerd.container.states import States
from controller.runtime.containerd.container.tasks import Tasks
from controller.runtime.containerd.errors import config_failure
from controller.runtime.containerd.events import events, publish_end
from controller.runtime.containerd.handlers import Handler, table
from controller.runtime.containerd.image.exports import Exporter
from controller.runtime.containerd.image.held import HeldImages
from controller.runtime.containerd.image.images import Images
from controller.runtime.containerd.image.imports import Importer
from controller.runtime.containerd.image.passing import remove_abandoned
from controller.runtime.containerd.image.pull import Order, Puller
from controller.runtime.containerd.image.push import Errand, Pusher
from controller.runtime.containerd.image.quarantine import Quarantine
from controller.runtime.containerd.image.synced import SyncedImages
from controller.runtime.containerd.image.verify import Verifier
from controller.runtime.containerd.image.whole import WholePulls
from controller.runtime.oci import resource_changes
from controller.runtime.port import (
    ContainerConfig,
    ContainerState,
    ContainerStats,
    Credential,
    Damage,
    ExecConfig,
    ImageFiles,
    ImageName,
    ImageState,
    PullProgress,
    Resources,
    RuntimeEvent,
    RuntimeFailure,
    RuntimeInfo,
)
from controller.runtime.reference import distinct, parse, tagged
from controller.runtime.signals import signal_number

NAMESPACE: Final = "moorage"
"""Moorage's own namespace in containerd, apart from those of Kubernetes (`k8s.io`) and Docker (`moby`)."""


class ContainerdRuntime:
    """A node's containerd, 2.0 or newer. Implements `controller.runtime.port.Runtime`; errors are those of the port."""

    def __init__(
        self,
        address: str,
        *,
        namespace: str = NAMESPACE,
        snapshotter: str = "overlayfs",
        hosts_dir: str = "/etc/containerd/certs.d",
        run_dir: str = "/run/moorage",
        pull_silence: float = 60.0,
        heartbeat: float = 30.0,
        handlers: Mapping[str, Handler] | None = None,
        programs_dir: str = "/var/lib/moorage/programs",
    ) -> None:
        """Prepare the connection; it is made with the first call.

        Args:
            address: path of containerd's socket.
            namespace: containerd's namespace to work in; made by `info` if it is not there.
            snapshotter: containerd's plugin that keeps root file systems.
            hosts_dir: folder with a hosts.toml for each registry that needs one (mirrors, certificates).
            run_dir: folder for what need not outlive a boot; made if it is not there.
            pull_silence: seconds without progress after which a pull, a push or an import is given up.
            heartbeat: seconds between two checks that the event stream is alive.
            handlers: the runtime handlers by name, the default one first (`handlers.table`); only that one when not given.
            programs_dir: folder for what runs beside containers, at the same path for containerd; made when needed.
        """
        self._address = address
        self._lost: frozenset[orphans.Process] = frozenset()
        self._begun_tidily = False
        self._channel = Channel(address, namespace)
        self._run_dir = run_dir
        self._heartbeat = heartbeat
        self._handlers = handlers or table()
        self._snapshots = Snapshots(self._channel, snapshotter)
        self._containers = Containers(self._channel, snapshotter)
        self._tasks = Tasks(self._channel)
        self._images = Images(self._channel, self._snapshots)
        self._verifier = Verifier(self._channel, self._snapshots, self._images)
        self._synced = SyncedImages(self._channel, self._snapshots, self._images)
        self._held = HeldImages(self._channel, self._snapshots, self._images)
        self._states = States(self._containers, self._tasks)
        self._quarantine = Quarantine(self._channel, self._snapshots, self._images, self._states)
        self._ends = Ends(self._states.inspect, partial(publish_end, self._channel))
        self._puller = Puller(self._channel, snapshotter, hosts_dir, pull_silence)
        self._importer = Importer(self._channel, self._images, self._synced, snapshotter, pull_silence)
        self._exporter = Exporter(self._channel, self._images)
        self._pusher = Pusher(self._channel, self._images, hosts_dir, pull_silence)
        self._whole = WholePulls(self._puller, self._verifier, self._quarantine, self._synced)
        self._lifecycle = Lifecycle(
            self._containers,
            self._tasks,
            self._snapshots,
            self._images,
            self._states,
            self._handlers,
            programs_dir,
            run_dir,
        )

    async def info(self) -> RuntimeInfo:
        """What containerd is. Raises `Unsupported` when it is too old or lacks the snapshotter."""
        info = await describe(self._channel, self._snapshots.snapshotter, tuple(self._handlers))
        await ensure_namespace(self._channel)
        return info

    def events(self) -> AsyncGenerator[RuntimeEvent, None]:
        """Events of this namespace, `SUBSCRIBED` first; ends with `Unavailable` at once when containerd does."""
        return self._ends.listen(events(self._channel, self._heartbeat, self._lifecycle.task_deleted))

    async def list(self) -> tuple[ContainerState, ...]:
        """Every container of this namespace, by two calls at the same time."""
        states = await self._states.list()
        self._ends.follow(states)
        return states

    async def inspect(self, container_id: str) -> ContainerState:
        """One container."""
        return await self._states.inspect(container_id)

    async def images(self) -> tuple[ImageState, ...]:
        """Every image that is complete and unpacked."""
        return await self._images.list()

    async def image(self, reference: str) -> ImageState:
        """One image with its config."""
        return (await self._images.get(str(parse(reference)))).state()

    async def image_names(self) -> tuple[ImageName, ...]:
        """Every name."""
        return await self._images.names()

    async def tag(self, reference: str, target: str) -> ImageState:
        """Another name for an image: nothing is written when it has that already."""
        return (await self._images.tag(str(parse(reference)), parse(target))).state()

    async def pull(
        self,
        reference: str,
        progress: Callable[[PullProgress], None] | None = None,
        *,
        credential: Credential | None = None,
        digest: str = "",
    ) -> ImageState:
        """Fetch and unpack an image, going on with what an earlier pull has left; two of the same one are not merged here."""
        parsed = parse(reference)
        await self._whole.pull(Order(parsed, credential, digest), progress)
        return (await self._images.get(str(parsed))).state()

    async def import_images(
        self, path: str, *, name: str = "", progress: Callable[[PullProgress], None] | None = None
    ) -> tuple[ImageState, ...]:
        """Import an archive."""
        called = str(parse(name)) if name else ""
        return tuple(image.state() for image in await self._importer.load(path, called, progress))

    async def export_images(self, references: Sequence[str], path: str) -> None:
        """Write an archive."""
        await self._exporter.save(distinct(references), path)

    async def push(
        self,
        reference: str,
        target: str,
        progress: Callable[[PullProgress], None] | None = None,
        *,
        credential: Credential | None = None,
    ) -> str:
        """Send an image to a registry."""
        return await self._pusher.push(Errand(str(parse(reference)), tagged(target), credential), progress)

    async def verify(self, reference: str) -> tuple[Damage, ...]:
        """Read all of an image, and tell what is damaged."""
        return await self._verifier.verify(str(parse(reference)))

    async def quarantine(self, reference: str, damage: Sequence[Damage]) -> None:
        """Take what is damaged of an image away."""
        await self._quarantine.begin(str(parse(reference)), damage)

    async def remove_image(self, reference: str, *, wait: bool = False) -> None:
        """Remove a name; containerd collects the content when no other name and no container needs it."""
        await self._images.remove(str(parse(reference)), wait=wait)

    async def discard_parts(self, age: float) -> int:
        """End the leases of unfinished pulls."""
        return await self._puller.discard(age)

    async def hold_image(self, holder: str, reference: str) -> ImageFiles:
        """Hold a view of an image's layers."""
        return await self._held.hold(holder, str(parse(reference)))

    async def release_image(self, holder: str) -> None:
        """Remove what a holder holds."""
        await self._held.release(holder)

    async def image_holders(self) -> frozenset[str]:
        """Who holds anything."""
        return await self._held.holders()

    async def create(self, config: ContainerConfig) -> ContainerState:
        """Make a container: its record and its snapshot."""
        return await self._lifecycle.create(config)

    async def start(self, container_id: str) -> ContainerState:
        """Start its process."""
        state = await self._lifecycle.start(container_id)
        self._ends.follow([state])
        return state

    async def signal(self, container_id: str, signal: str) -> None:
        """Send a signal to its main process."""
        await self._tasks.kill(container_id, signal_number(signal))

    async def remove(self, container_id: str) -> None:
        """Remove it and all that belongs to it."""
        await self._lifecycle.remove(container_id)

    async def exec(self, container_id: str, config: ExecConfig) -> ContainerdExec:
        """Start a further process in it."""
        record = await self._containers.get(container_id)
        return await start_exec(self._channel, record, config, self._run_dir)

    async def update_resources(self, container_id: str, resources: Resources) -> None:
        """Change the limits of what runs of it."""
        changes = resource_changes(resources, self._lifecycle.host)
        try:
            await self._tasks.update(container_id, changes)
        except RuntimeFailure as failure:
            raise config_failure(failure) from failure

    async def set_labels(self, container_id: str, labels: Mapping[str, str]) -> None:
        """Write some of its labels; all others stay."""
        await self._containers.set_labels(container_id, labels)

    async def pause(self, container_id: str) -> None:
        """Freeze it."""
        await self._tasks.pause(container_id)

    async def resume(self, container_id: str) -> None:
        """Thaw it."""
        await self._tasks.resume(container_id)

    async def stats(self) -> tuple[ContainerStats, ...]:
        """What every running container uses."""
        return tuple(stats for stats in await self._tasks.stats() if not is_holder(stats.id))

    async def tidy(self) -> int:
        """End the shims that containerd has lost, and that had been lost at the call before; at first also what was held open.

        Holders of process ids that nobody shares any more are removed, too.

        Only the process before this one can have left leases, so they are looked for once. Looks into images that it was
        killed in are no loss, and not counted.
        """
        if not self._begun_tidily:
            await leases.end_abandoned(self._channel)
            await remove_abandoned(self._channel, time.time())
            self._begun_tidily = True
        await self._puller.tidy()
        await self._synced.tidy()
        before = self._lost
        shims = frozenset(handler.shim for handler in self._handlers.values())
        self._lost = await asyncio.to_thread(orphans.lost_shims, self._address, self._channel.namespace, shims)
        idle = await self._lifecycle.holders.tidy(await self._containers.list())
        return idle + sum(orphans.end(process) for process in before & self._lost)

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()
