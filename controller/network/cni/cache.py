"""What is attached, on disk: one file for each instance, there before its first plugin is called and gone after the last.

So nothing that a plugin has allocated is ever forgotten: whatever ends in between, the next agent finds what has to be deleted,
with the configuration and the arguments that were used for it (CNI SPEC 1.1, section 3).
"""

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from controller import disk
from controller.api.hostports import HostPort
from controller.network.cni import config
from controller.network.cni.config import InvalidConfiguration, Network
from controller.network.namespaces import UID

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Record:
    """An attachment that exists, or may exist in part."""

    network: Network
    arguments: Mapping[str, Any]
    """Capability arguments."""
    ports: tuple[HostPort, ...]
    owner: str
    """The instance, as `namespace/name`."""
    namespace: str
    """Path of its network namespace at the time."""
    interface: str
    result: Mapping[str, Any] | None = None
    """What ADD gave, or the last of its plugins that has succeeded so far."""
    added: bool = False
    """ADD has ended with success."""
    attached: bool = False
    """The whole of it is there: neither a DEL nor a restart of the node has come after it."""
    checked: bool = False
    """A CHECK has found it in order once, so that one which does not is to be believed."""


class Cache:
    """The records of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._records: dict[str, Record] = {}

    def load(self) -> None:
        """Read what is there. A file that cannot be read is left, and named."""
        self._records.clear()
        if not self._folder.is_dir():
            return
        for path in self._folder.glob("*.json"):
            if not UID.fullmatch(path.stem):
                continue
            try:
                self._records[path.stem] = _read(json.loads(path.read_text()))
            except (OSError, ValueError, KeyError, TypeError, InvalidConfiguration) as exc:
                log.error("%s cannot be read, so what is attached by it stays: %s", path, exc)  # noqa: TRY400 - it says it all

    def get(self, uid: str) -> Record | None:
        """The record of an instance."""
        return self._records.get(uid)

    def all(self) -> Mapping[str, Record]:
        """All records, by uid."""
        return self._records

    async def put(self, uid: str, record: Record, *, flush: bool = True) -> None:
        """Keep a record: known at once, and on the disk when this returns.

        Args:
            uid: of the instance.
            record: what to keep.
            flush: also where the node loses its power just then.

        Raises:
            OSError: when it cannot be written; then the one before is kept.
        """
        before = self._records.get(uid)
        self._records[uid] = record
        try:
            await asyncio.to_thread(self._write, uid, json.dumps(_written(record), separators=(",", ":")), flush)
        except OSError:
            if before is None:
                del self._records[uid]
            else:
                self._records[uid] = before
            raise

    def remove(self, uid: str) -> None:
        """Forget a record: nothing of it is left."""
        (self._folder / f"{uid}.json").unlink(missing_ok=True)
        self._records.pop(uid, None)

    def _write(self, uid: str, text: str, flush: bool) -> None:  # noqa: FBT001 - through asyncio.to_thread
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        disk.replace(self._folder / f"{uid}.json", text, durable=flush)


def stale(record: Record) -> Record:
    """A record of something that has to be deleted before it is made again."""
    return replace(record, attached=False)


def _written(record: Record) -> dict[str, Any]:
    ports = [[p.host_port, p.container_port, p.protocol, p.host_ip] for p in record.ports]
    return {
        "network": record.network.to_json(),
        "arguments": record.arguments,
        "ports": ports,
        "owner": record.owner,
        "namespace": record.namespace,
        "interface": record.interface,
        "result": record.result,
        "added": record.added,
        "attached": record.attached,
        "checked": record.checked,
    }


def _read(found: Mapping[str, Any]) -> Record:
    return Record(
        network=config.from_json(found["network"]),
        arguments=found["arguments"],
        ports=tuple(HostPort(*port) for port in found["ports"]),
        owner=found["owner"],
        namespace=found["namespace"],
        interface=found["interface"],
        result=found["result"],
        added=found["added"],
        attached=found["attached"],
        checked=found["checked"],
    )
