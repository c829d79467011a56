"""PID namespaces that containers share: each is held by a container of its own, which does nothing else.

A PID namespace ends with its first process, so that one must not be any that a user asked for. The holder is a container
whose whole content is one small program (`oci/pause.py`). It is there from the first start of a container of its group that
shares, and goes with the record of the last one. Only here is it known: nobody else is told of it, in lists, events or figures.

When a holder ends all the same, the kernel ends every process in its namespace, and the containers are seen to have been
killed. The next one that is started makes a new one.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from controller.runtime.containerd.api.containers_pb2 import Container
from controller.runtime.containerd.api.process_pb2 import RUNNING
from controller.runtime.containerd.container import cgroups
from controller.runtime.containerd.container.containers import Containers
from controller.runtime.containerd.container.evidence import boot_id
from controller.runtime.containerd.container.groups import GROUP, Groups
from controller.runtime.containerd.container.records import HOLDER, Facts, decode_facts, is_holder
from controller.runtime.containerd.container.snapshots import Snapshots
from controller.runtime.containerd.container.tasks import Tasks
from controller.runtime.oci import Host, holder_spec
from controller.runtime.oci.pause import NAME, program
from controller.runtime.port import InvalidConfig, NotFound, RuntimeFailure

_LONGEST_GROUP: Final = 64
_MODE: Final = 0o555


class Holders:
    """The holders of one namespace of containerd."""

    def __init__(
        self, containers: Containers, tasks: Tasks, snapshots: Snapshots, groups: Groups, host: Host, folder: str
    ) -> None:
        """`folder` is where the program is kept, at the same path for containerd."""
        self._containers, self._tasks, self._snapshots, self._groups = containers, tasks, snapshots, groups
        self._host, self._path = host, Path(folder) / NAME
        self._program = program(host.architecture)
        self._sharers: defaultdict[str, set[str]] | None = None
        """Containers by their group; None until the records were looked at."""
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._loading = asyncio.Lock()
        self._idle: frozenset[str] = frozenset()

    def check(self) -> None:
        """Raise `InvalidConfig` where no namespace can be shared."""
        if self._program is None:
            raise InvalidConfig(f"process ids cannot be shared on this node: there is no {NAME} for {self._host.architecture}")

    async def join(self, container_id: str, group: str) -> None:
        """A container of the group is about to be made; it is to `leave` in the end, or if it is not made."""
        (await self._known())[group].add(container_id)

    async def group(self, container_id: str) -> str:
        """In which group a container shares, to be asked before its record goes; empty for one that does not."""
        sharers = await self._known()
        return next((group for group, members in sharers.items() if container_id in members), "")

    async def leave(self, container_id: str, group: str) -> None:
        """The container's record is gone, or was not made: the last one takes the holder with it."""
        sharers = await self._known()
        sharers[group].discard(container_id)
        async with self._locks[group]:
            if not sharers[group]:
                await self._remove(_id(group))
                sharers.pop(group, None)

    async def pid(self, record: Container, facts: Facts) -> int:
        """Process id of the holder for a container that is about to be started, made or made anew if it does not run.

        Raises:
            RuntimeFailure: when it cannot be made.
        """
        async with self._locks[facts.shares]:
            holder = _id(facts.shares)
            with suppress(NotFound):
                task = await self._tasks.get(holder)
                if task.status == RUNNING:
                    return task.pid
            await self._remove(holder)
            return await self._make(holder, record, facts)

    async def confirm(self, holder: int, facts: Facts, pid: int) -> None:
        """Make sure that a process is in the holder's namespace: the number of one that ended may have been given anew.

        Raises:
            RuntimeFailure: when it is not, or the holder has ended.
        """
        with suppress(NotFound, OSError):
            task = await self._tasks.get(_id(facts.shares))
            if task.status == RUNNING and task.pid == holder and _namespace(holder) == _namespace(pid):
                return
        raise RuntimeFailure("the process that holds the shared process ids ended meanwhile")

    async def _make(self, holder: str, record: Container, facts: Facts) -> int:
        """By the runtime of the container that needs it, in a cgroup beside that one's."""
        self._write_program()
        cgroup = f"{facts.cgroup.rpartition('/')[0]}/{holder}"
        spec: dict[str, Any] = holder_spec(self._host, str(self._path), cgroup)
        spec["annotations"] = {GROUP: self._groups.join(holder, facts.shares)}
        own = Facts(cgroup=cgroup, boot_id=boot_id())
        try:
            await self._containers.put(Container(id=holder, runtime=record.runtime), own, json.dumps(spec).encode())
            mounts = await self._snapshots.prepare(holder, "")
            async with self._groups.starting(holder):
                await self._tasks.create(holder, mounts, own)
            return await self._tasks.start(holder)
        except BaseException:
            await asyncio.shield(self._undo(holder))
            raise

    async def _undo(self, holder: str) -> None:
        with suppress(RuntimeFailure):  # what is left then, the next try takes, or `tidy`
            await self._remove(holder)

    async def _remove(self, holder: str) -> None:
        """Remove a holder, and with it whatever still runs in its namespace; absent is success."""
        async with self._groups.ending(holder):
            known = await self._tasks.delete(holder)
        if not known:
            await cgroups.clear_of(holder, self._containers)
        await self._snapshots.remove(holder)
        await self._containers.delete(holder)
        self._groups.leave(holder)

    def _write_program(self) -> None:
        """Write the program, unless it is there. Raises `RuntimeFailure`."""
        content, beside = self._program or b"", self._path.with_suffix(".new")
        try:
            if self._path.is_file() and self._path.read_bytes() == content:
                return
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            beside.write_bytes(content)
            beside.chmod(_MODE)
            beside.rename(self._path)
        except OSError as exc:
            raise RuntimeFailure(f"{self._path}, which holds shared process ids, cannot be written: {exc.strerror}") from exc

    async def _known(self) -> defaultdict[str, set[str]]:
        async with self._loading:
            if self._sharers is None:
                found: defaultdict[str, set[str]] = defaultdict(set)
                for record in await self._containers.list():
                    if group := decode_facts(record).shares:
                        found[group].add(record.id)
                self._sharers = found
        return self._sharers

    async def tidy(self, records: Collection[Container]) -> int:
        """Remove holders that nobody needs, and that nobody needed at the call before; how many there were."""
        sharers = await self._known()
        groups = {_id(group) for group, members in sharers.items() if members}
        before, self._idle = self._idle, frozenset(r.id for r in records if is_holder(r.id) and r.id not in groups)
        for holder in before & self._idle:
            await self._remove(holder)
        return len(before & self._idle)


def _namespace(pid: int) -> Path:
    """The PID namespace of a process, as namespaces(7) names it."""
    return Path(f"/proc/{pid}/ns/pid").readlink()


def _id(group: str) -> str:
    return group[:_LONGEST_GROUP].rstrip("-_.") + HOLDER
