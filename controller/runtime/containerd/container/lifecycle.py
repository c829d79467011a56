"""Making, starting and removing containers.

A container is its record in containerd's database, a snapshot with the same key, and, once started, a task. Each step leaves
behind only what `States` can read and `remove` can remove, so that this process may be killed between any two of them.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace

from controller.runtime.containerd.api.containers_pb2 import Container
from controller.runtime.containerd.api.process_pb2 import CREATED
from controller.runtime.containerd.api.types_pb2 import Mount
from controller.runtime.containerd.container import cgroups, evidence
from controller.runtime.containerd.container.containers import Containers
from controller.runtime.containerd.container.fifos import open_input
from controller.runtime.containerd.container.groups import GROUP, Groups
from controller.runtime.containerd.container.holders import Holders
from controller.runtime.containerd.container.records import Facts, created_state, decode_facts, running_state, was_started
from controller.runtime.containerd.container.snapshots import Snapshots
from controller.runtime.containerd.container.states import States
from controller.runtime.containerd.container.tasks import Tasks
from controller.runtime.containerd.container.terminals import append_only
from controller.runtime.containerd.errors import shim_ended, start_failure
from controller.runtime.containerd.handlers import RUNC, Handler, find
from controller.runtime.containerd.host import detect_host, devices
from controller.runtime.containerd.image.images import Images, LocalImage
from controller.runtime.containerd.image.users import Users
from controller.runtime.oci import runtime_spec
from controller.runtime.port import (
    AlreadyExists,
    Conflict,
    ContainerConfig,
    ContainerState,
    InvalidConfig,
    NotFound,
    RuntimeFailure,
    Unavailable,
)


def _group(config: ContainerConfig) -> str:
    """Whom it shares a shim with: those of its group that another handler runs have another one."""
    return f"{config.group}.{config.runtime_handler}" if config.group and config.runtime_handler else config.group


@dataclass(frozen=True, slots=True)
class _Created:
    """A container that can be started."""

    record: Container
    facts: Facts
    mounts: Sequence[Mount] | None
    """None when its task is there already, with its command not started."""
    pid: int = 0
    """Of what is to become its command, when its task is there."""


class Lifecycle:
    """Changes the containers of one namespace."""

    def __init__(
        self,
        containers: Containers,
        tasks: Tasks,
        snapshots: Snapshots,
        images: Images,
        states: States,
        handlers: Mapping[str, Handler],
        programs_dir: str,
        run_dir: str,
    ) -> None:
        self._handlers, self._run_dir = handlers, run_dir
        self._containers = containers
        self._tasks = tasks
        self._snapshots = snapshots
        self._images = images
        self._states = states
        self._users = Users(snapshots)
        self.host = detect_host()
        """What the node can do."""
        self._groups = Groups()
        self.holders = Holders(containers, tasks, snapshots, self._groups, self.host, programs_dir)
        self._created: dict[str, _Created] = {}
        """What `create` made here and `start` has not taken yet: it saves the questions that `start` would ask."""

    async def create(self, config: ContainerConfig) -> ContainerState:
        """Make the record, then the snapshot.

        The order is what makes a lease needless: containerd's garbage collector keeps a snapshot that a record names, and the
        record names it before it exists. A record whose snapshot is missing is what a killed agent leaves at worst; `start`
        makes the snapshot then.
        """
        handler = find(self._handlers, config.runtime_handler)
        if config.shared_pids:
            self.holders.check()
            if handler.type != RUNC:
                raise InvalidConfig(
                    f"process ids cannot be shared by the runtime handler {handler.name!r}: it is not of {RUNC}"
                )
        if config.tty and handler.type != RUNC:
            raise InvalidConfig(f"tty cannot be had with the runtime handler {handler.name!r}: it is not of {RUNC}")
        image = await self._images.get(config.image)
        user = await self._users.resolve(config, image.contents.chain_id)
        host = replace(self.host, devices=devices()) if config.security.privileged else self.host
        spec = runtime_spec(config, user, host)
        facts = Facts(
            image_digest=image.digest,
            parent=image.contents.chain_id,
            log_path=config.log_path,
            tty=config.tty,
            stdin=config.stdin,
            cgroup=spec["linux"]["cgroupsPath"],
            boot_id=evidence.boot_id(),
            shares=config.group if config.shared_pids else "",
        )
        known = self._groups.knows(config.id)
        spec["annotations"] = {GROUP: self._groups.join(config.id, _group(config))}
        try:
            if facts.shares:
                await self.holders.join(config.id, facts.shares)
            record = await self._containers.create(config, facts, json.dumps(spec).encode(), handler.runtime())
            mounts = await self._prepare(config.id, image)
        except BaseException as failure:
            if not known:
                self._groups.leave(config.id)
            if facts.shares and not isinstance(failure, AlreadyExists | Unavailable):
                await asyncio.shield(self._left(config.id, facts.shares))
            raise
        self._created[config.id] = _Created(record, facts, mounts)
        return created_state(record, facts)

    async def _left(self, container_id: str, group: str) -> None:
        """A container that was not made after all shares nothing."""
        with suppress(RuntimeFailure):  # a holder that stays without need is found by `tidy`
            await self.holders.leave(container_id, group)

    async def _prepare(self, container_id: str, image: LocalImage) -> Sequence[Mount]:
        """Make the snapshot of a record that was just written; without it, the record goes again."""
        parent = image.contents.chain_id
        try:
            try:
                return await self._snapshots.prepare(container_id, parent)
            except AlreadyExists:
                # Of a container of the same name that was half removed.
                await self._snapshots.remove(container_id)
                return await self._snapshots.prepare(container_id, parent)
        except NotFound as failure:
            self._images.forget_unpacked(parent)
            await self._undo_create(container_id)
            raise NotFound(f"image {image.name} went away while a container was made from it") from failure
        except BaseException:
            await asyncio.shield(self._undo_create(container_id))
            raise

    async def _undo_create(self, container_id: str) -> None:
        with suppress(RuntimeFailure):  # what is left then, the next `remove` takes
            await self._snapshots.remove(container_id)
            await self._containers.delete(container_id)

    async def start(self, container_id: str) -> ContainerState:
        """Make the task and start it.

        Raises:
            StartFailure: when the process cannot run; nothing but the record and the snapshot is left of it then.
            NotFound: when there is no such container.
            Conflict: when it runs or has run.
        """
        self._states.starting.add(container_id)
        try:
            created = self._created.pop(container_id, None) or await self._find_created(container_id)
            if created.mounts is not None:
                created = replace(created, pid=await self._create_task(created, created.mounts))
            pid = await self._start_task(created)
        finally:
            self._states.starting.discard(container_id)
        return running_state(created.record, created.facts, pid)

    async def _find_created(self, container_id: str) -> _Created:
        """What is needed to start a container that was created before this process began, or whose start failed."""
        record = await self._containers.get(container_id)
        facts = decode_facts(record)
        started = was_started(record, facts)
        with suppress(NotFound):
            task = await self._tasks.get(container_id)
            if task.status != CREATED:
                raise Conflict(f"container {container_id} was started before")
            return _Created(record, facts, None, task.pid)
        if started:
            raise Conflict(f"container {container_id} was started before, and its process is lost")
        try:
            mounts = await self._snapshots.mounts(container_id)
        except NotFound:
            mounts = await self._snapshots.prepare(container_id, facts.parent)
        return _Created(record, facts, mounts)

    async def _create_task(self, created: _Created, mounts: Sequence[Mount]) -> int:
        """Make the task; if its shim ends just then, since somebody deleted the last task of it, once more in another one.

        Returns the process id of what is to become the command.
        """
        try:
            return await self._try_create_task(created, mounts)
        except RuntimeFailure as failure:
            if not shim_ended(failure):
                raise
            self._groups.abandon(created.record.id)
            return await self._try_create_task(created, mounts)

    async def _try_create_task(self, created: _Created, mounts: Sequence[Mount]) -> int:
        container_id, facts = created.record.id, created.facts
        if not facts.log_path:
            await self._containers.mark_started(container_id, started=True)
        else:
            evidence.make_log(facts.log_path)
        try:
            holder = await self._holder(created)
            async with self._groups.starting(container_id) as shim:
                if shim:
                    await self._containers.set_annotation(created.record, GROUP, shim)
                # A terminal is never at its end by itself.
                with open_input(self._run_dir) if facts.stdin and not facts.tty else nullcontext("") as stdin:
                    pid = await self._tasks.create(container_id, mounts, facts, stdin)
            if holder:
                await self.holders.confirm(holder, facts, pid)
        except AlreadyExists as failure:
            raise Conflict(f"container {container_id} is started by somebody else") from failure
        except RuntimeFailure as failure:
            await self._undo_start(created, failure)
            raise start_failure(failure) from failure
        return pid

    async def _holder(self, created: _Created) -> int:
        """Process id of who holds the PID namespace that the container is to join, told to the OCI runtime; 0 for none."""
        if not created.facts.shares:
            return 0
        pid = await self.holders.pid(created.record, created.facts)
        await self._containers.set_pid_namespace(created.record, f"/proc/{pid}/ns/pid")
        return pid

    async def _start_task(self, created: _Created) -> int:
        if created.facts.log_path:
            evidence.mark_started(created.facts.log_path)
        try:
            if created.facts.tty and created.facts.log_path:
                append_only(created.facts.log_path, created.pid)
            return await self._tasks.start(created.record.id)
        except Conflict:
            raise
        except RuntimeFailure as failure:
            await self._undo_start(created, failure)
            raise start_failure(failure) from failure

    async def _undo_start(self, created: _Created, failure: RuntimeFailure) -> None:
        """Make the container what it was: created, never started. After an unknown effect, all is left for a look at it."""
        if isinstance(failure, Unavailable):
            return
        with suppress(RuntimeFailure):
            await self._delete_task(created.record.id)
            if created.facts.log_path:
                evidence.unmark_started(created.facts.log_path)
                evidence.remove_empty_log(created.facts.log_path)
            else:
                await self._containers.mark_started(created.record.id, started=False)

    def task_deleted(self, container_id: str) -> None:
        """A task is gone, whoever deleted it."""
        self._groups.departed(container_id)

    async def remove(self, container_id: str) -> None:
        """Remove a container and all that belongs to it; each step may find its work done already.

        First the task, which is killed if it still runs: the shim unmounts the root file system, the OCI runtime removes the
        cgroup, and the shim ends when this was its last container; where there is no task, a cgroup may be left of one that was
        begun. Only a confirmed end of it lets the next steps happen, since without a record a task could not be reached any
        more. Then the snapshot, and only then the record, which keeps it from containerd's garbage collector: that takes a
        snapshot and leaves its name with its parent, which then cannot be removed as others are (image/layers.py). Last the
        holder of the process ids that it shared, if nobody else of its group does.
        """
        self._created.pop(container_id, None)
        shared = await self.holders.group(container_id)
        if not await self._delete_task(container_id):
            await cgroups.clear_of(container_id, self._containers)
        await self._snapshots.remove(container_id)
        await self._containers.delete(container_id)
        self._groups.leave(container_id)
        if shared:
            await self.holders.leave(container_id, shared)

    async def _delete_task(self, container_id: str) -> bool:
        async with self._groups.ending(container_id):
            return await self._tasks.delete(container_id)
