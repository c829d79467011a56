"""The networks of a node: a namespace for each instance, attached by the node's CNI configuration where that is asked for.

The record of an attachment is on disk before the first plugin is called (`cni/cache.py`), so that whatever ends in between
leaves nothing behind: the next `create` or `remove` deletes first what was begun, with the configuration that was used for it.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from weakref import WeakValueDictionary

from controller.network.cni import capabilities, config
from controller.network.cni.cache import Cache, Record, stale
from controller.network.cni.capabilities import Impossible
from controller.network.cni.config import SUFFIXES, Choice
from controller.network.cni.execution import Execution
from controller.network.cni.invoke import INTERFACE, PluginFailure, Plugins, Target
from controller.network.cni.result import addresses
from controller.network.namespaces import Namespaces
from controller.network.port import NetworkFailure, NetworkRequest, NetworkState

log = logging.getLogger(__name__)

PATIENCE: Final = 3
"""After so many failures of DEL in a row it is tried as if the namespace were gone: there are plugins (bridge with ipMasq) that
fail for ever when they do not find their interface in it, and do not give back the address before that.

A plugin that did not end in time has not failed in this sense: on a busy node it is still at it, and without the namespace it
would leave its rules behind (bridge removes those of ipMasq only when it has found the interface)."""

_MOST_FILE: Final = 2**20


@dataclass(frozen=True, slots=True)
class CniSettings:
    """Where the node's networks are configured."""

    conf_dir: Path = Path("/etc/cni/net.d")
    bin_dir: Path = Path("/opt/cni/bin")
    seconds: float = 60.0
    """Deadline of one call of a plugin."""
    collect: bool = False
    """Run GC: right only where nobody else (containerd's CRI with a kubelet) attaches to the same network."""
    process: Callable[[], str] = lambda: ""
    """Among whose files plugins are run: see `Plugins`."""

    def root(self) -> str:
        """Where those files are seen from here; empty when they are the agent's own."""
        process = self.process()
        return f"{process}/root" if process else ""


class AttachedNetworks:
    """See `controller.network.port.Networks`."""

    def __init__(self, namespaces: Namespaces, records: Path, settings: CniSettings | None = None) -> None:
        self._namespaces, self._cache = namespaces, Cache(records)
        self._settings = settings or CniSettings()
        plugins = Plugins(str(self._settings.bin_dir), self._settings.seconds, self._settings.process)
        self._execution = Execution(plugins)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """One at a time for each instance, as the specification wants."""
        self._refused: Counter[str] = Counter()
        """How often in a row a DEL has failed."""
        self._told = ""
        """What plugins last said against attaching anything."""

    def load(self) -> None:
        """Look at what is there from before."""
        self._namespaces.load()
        self._cache.load()

    def state(self, uid: str, request: NetworkRequest | None = None) -> NetworkState:
        """The namespace is asked of the kernel, the attachment of its record."""
        below, record = self._namespaces.state(uid), self._cache.get(uid)
        if record is None:
            missing = request is not None and request.attached and below is NetworkState.READY
            return NetworkState.BROKEN if missing else below
        if below is not NetworkState.READY or not record.attached:
            return NetworkState.BROKEN
        same = request is None or (request.attached and request.ports == record.ports)
        return NetworkState.READY if same else NetworkState.BROKEN

    def addresses(self, uid: str) -> tuple[str, ...]:
        """Those that ADD gave."""
        record = self._cache.get(uid)
        if record is None or record.result is None or not record.attached:
            return ()
        return addresses(record.result, record.namespace)

    def uids(self) -> frozenset[str]:
        """Those with a namespace or a record."""
        return self._namespaces.uids() | self._cache.all().keys()

    async def create(self, uid: str, request: NetworkRequest, pids: Sequence[int] = ()) -> None:
        """The namespace first, then what has to be deleted, then what is asked for."""
        async with self._turn(uid):
            record = self._cache.get(uid)
            lost = record is not None and record.attached and self._namespaces.state(uid) is not NetworkState.READY
            if record is not None and lost:
                await self._put(uid, stale(record))  # whatever comes next: nobody takes the new namespace for the attached one
            new = await self._namespaces.create(uid, pids)
            if record is not None and lost and not new:
                await self._put(uid, record)
            record = self._cache.get(uid)
            if record is not None and not (record.attached and request.attached and request.ports == record.ports):
                await self._detach(uid, record)
            if request.attached and self._cache.get(uid) is None:
                await self._attach(uid, request)

    async def remove(self, uid: str) -> None:
        """The attachment first, while its namespace is there."""
        async with self._turn(uid):
            record = self._cache.get(uid)
            if record is not None:
                await self._detach(uid, record)
            await self._namespaces.remove(uid)

    def trouble(self) -> str:
        """No configuration, or what its plugins said of themselves when they were last asked."""
        choice = self._choice()
        return self._none(choice) if choice.network is None else self._told

    async def ask(self) -> None:
        """Ask the plugins whether they can attach anything (STATUS)."""
        network = self._choice().network
        self._told = await self._execution.status(network) if network is not None else ""

    async def check(self) -> list[str]:
        """Ask the plugins whether every attachment is in order (CHECK); those that no longer are become BROKEN.

        A chain whose CHECK has never been content with an attachment is not believed: there are plugins that always complain.

        Returns:
            Uids of those that broke.
        """
        broken = []
        for uid in tuple(self._cache.all()):
            async with self._turn(uid):
                record = self._cache.get(uid)
                ready = self._namespaces.state(uid) is NetworkState.READY
                try:
                    if record is not None and record.attached and ready and not await self._in_order(uid, record):
                        broken.append(uid)
                except NetworkFailure as exc:  # its record cannot be written now
                    log.warning("the network of instance %s cannot be checked now: %s", uid, exc)
        return broken

    async def collect(self) -> None:
        """Let plugins remove what belongs to no attachment (GC), where that is allowed."""
        network = self._choice().network if self._settings.collect else None
        if network is None:
            return
        valid = [(uid, r.interface) for uid, r in self._cache.all().items() if r.network.name == network.name]
        for failure in await self._execution.collect(network, valid):
            log.warning("the network's garbage cannot be collected: %s", failure)

    # --- one attachment

    async def _attach(self, uid: str, request: NetworkRequest) -> None:
        choice = self._choice()
        network = choice.network
        if network is None:
            raise NetworkFailure(self._none(choice))
        others = {r.owner: r.ports for other, r in self._cache.all().items() if other != uid}
        if refusal := capabilities.taken(request.ports, others):
            raise NetworkFailure(refusal)
        try:
            given = capabilities.arguments(request, network.capabilities(), network.name)
        except Impossible as exc:
            raise NetworkFailure(str(exc)) from exc
        path = self._namespaces.path(uid)
        record = Record(network, given, request.ports, request.owner, path, INTERFACE)
        await self._put(uid, record)

        async def so_far(result: Mapping[str, Any]) -> None:
            await self._put(uid, replace(record, result=result), flush=False)

        try:
            result = await self._execution.add(network, Target(uid, path), given, so_far)
            await self._put(uid, replace(record, result=result, added=True, attached=True))
        except NetworkFailure:
            try:
                await self._detach(
                    uid, self._cache.get(uid) or record
                )  # what the plugins before it have made is not left for later
            except NetworkFailure as exc:
                log.warning("what was begun of the network of %s cannot be removed now: %s", request.owner, exc)
            raise

    async def _detach(self, uid: str, record: Record) -> None:
        if record.attached:
            await self._put(uid, stale(record))
        there = self._namespaces.state(uid) is NetworkState.READY and self._refused[uid] < PATIENCE
        target = Target(uid, record.namespace if there else "", record.interface)
        try:
            await self._execution.delete(record.network, target, record.arguments, record.result, added=record.added)
        except PluginFailure as exc:
            self._refused[uid] += not exc.late
            raise
        del self._refused[uid]
        try:
            self._cache.remove(uid)
        except OSError as exc:
            raise NetworkFailure(f"the record of its network cannot be removed: {exc}") from exc

    async def _in_order(self, uid: str, record: Record) -> bool:
        target = Target(uid, record.namespace, record.interface)
        try:
            await self._execution.check(record.network, target, record.arguments, record.result or {})
        except PluginFailure as exc:
            if not record.checked:
                log.info("the network of %s: its plugins never were content, so this is not believed: %s", record.owner, exc)
                return True
            log.warning("the network of %s is made anew: %s", record.owner, exc)
            await self._put(uid, stale(record))
            return False
        if not record.checked:
            await self._put(uid, replace(record, checked=True))
        return True

    async def _put(self, uid: str, record: Record, *, flush: bool = True) -> None:
        try:
            await self._cache.put(uid, record, flush=flush)
        except OSError as exc:
            raise NetworkFailure(f"the record of its network cannot be written, so nothing is done to it: {exc}") from exc

    def _turn(self, uid: str) -> asyncio.Lock:
        return self._turns.setdefault(uid, asyncio.Lock())

    # --- the node's configuration

    def _choice(self) -> Choice:
        """Read at each use, as the files may change at any time; there are few, and they are small."""
        files: dict[str, str] = {}
        try:
            for path in self._settings.conf_dir.iterdir():
                if path.suffix in SUFFIXES and path.is_file():
                    with path.open(errors="replace") as file:
                        files[path.name] = file.read(_MOST_FILE)
        except OSError as exc:
            log.debug("%s cannot be read: %s", self._settings.conf_dir, exc)
        return config.choose(files)

    def _none(self, choice: Choice) -> str:
        """Why there is no network to attach to."""
        folder = self._settings.conf_dir
        told = "install a network, or set hostNetwork: true or network: None"
        if not choice.refused:
            return f"the node has no CNI configuration: no *.conflist, *.conf or *.json in {folder}: {told}"
        which = "; ".join(f"{name}: {why}" for name, why in choice.refused.items())
        return f"the node has no valid CNI configuration in {folder} ({which}): {told}"
