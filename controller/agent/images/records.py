"""What is known of the images that were pulled, on disk: who was let in to which, and which pulls have not ended yet.

A pull is noted before it begins: an agent that is killed in it must not leave an image behind that counts as one that somebody
else has brought. Of credentials there are only fingerprints, by a salt of the node's own.
"""

import asyncio
import json
import logging
import secrets
from collections.abc import Collection
from pathlib import Path
from typing import Any

from controller import disk
from controller.agent import metrics
from controller.agent.decide.credentials.access import Grant, Record, Records
from controller.agent.decide.credentials.keyring import SecretId

log = logging.getLogger(__name__)


class PullRecords:
    """The table, in memory and in its file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pulled: dict[str, Records] = {}
        self._pulling: set[str] = set()
        """Normalised names of what is being pulled."""
        self._unknown: set[str] = set()
        """Of what was, and nobody knows what came of it: by an earlier agent, or while the runtime did not answer."""
        self._lost = False
        """What was known has been lost: whatever is on the node may have been pulled."""
        self._unused: frozenset[str] = frozenset()
        """Digests that were found missing at the last look."""
        self._writing = asyncio.Lock()
        self.salt = secrets.token_bytes(16)

    def load(self) -> None:
        """Read what an earlier agent has kept. Of a file that cannot be used, all that it may have said is to be shown anew."""
        try:
            kept = json.loads(self._path.read_bytes())
            self.salt = bytes.fromhex(kept["salt"])
            self._pulled = {digest: _records(found) for digest, found in kept["pulled"].items()}
            self._unknown = {str(name) for name in kept["pulling"]}
            self._lost = bool(kept["lost"])
        except FileNotFoundError:
            return
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as exc:
            log.error(  # noqa: TRY400 - the file is no defect
                "%s cannot be used (%s): the right to any image on the node has to be shown anew, as if all had been pulled; "
                "where images were loaded by hand, remove the file",
                self._path,
                type(exc).__name__,
            )
            self._pulled, self._lost = {}, True

    def of(self, digest: str) -> Records | None:
        """What is known of an image; None when it was not pulled."""
        return self._pulled.get(digest)

    def pulling(self, name: str) -> bool:
        """Whether an image of this name may have come by a pull whose end was not noted."""
        return self._lost or self.unfinished(name)

    def unfinished(self, name: str) -> bool:
        """Whether a pull of this name was begun whose end was not noted."""
        return name in self._pulling or name in self._unknown

    async def begin(self, name: str) -> None:
        """A pull is about to begin; of one name there is one at a time."""
        if name in self._pulling:
            self._unknown.add(name)
        self._pulling.add(name)
        await self._write()

    async def end(self, name: str) -> None:
        """It has ended, and nothing came of it."""
        self._pulling.discard(name)
        await self._write()

    async def put(self, digest: str, records: Records, *, of: str = "") -> None:
        """Note what is known of an image now; `of`: by the pull of this name, which has ended."""
        if not of and self._pulled.get(digest) == records:
            return
        self._pulled[digest] = records
        self._unused -= {digest}
        self._pulling.discard(of)
        self._unknown.discard(of)
        await self._write()

    async def keep(self, digests: Collection[str]) -> None:
        """Forget what was on the node neither now nor at the call before."""
        missing = frozenset(self._pulled.keys() - set(digests))
        gone = missing & self._unused
        self._unused = missing - gone
        if gone:
            self._pulled = {digest: known for digest, known in self._pulled.items() if digest not in gone}
            await self._write()

    async def _write(self) -> None:
        """Bring the table to disk, also over a loss of power. A disk that takes nothing keeps the node from no work."""
        async with self._writing:
            try:
                await asyncio.to_thread(disk.replace, self._path, json.dumps(self._table()), durable=True)
            except OSError as exc:
                metrics.STATE_FAILURES.inc()
                log.error("%s cannot be written: %s", self._path, exc)  # noqa: TRY400 - the disk is no defect

    def _table(self) -> dict[str, Any]:
        return {
            "salt": self.salt.hex(),
            "lost": self._lost,
            "pulling": sorted(self._pulling | self._unknown),
            "pulled": {digest: {place: _kept(one) for place, one in known.items()} for digest, known in self._pulled.items()},
        }


def _kept(record: Record) -> dict[str, Any]:
    secrets_of = [
        {"namespace": g.secret.namespace, "name": g.secret.name, "uid": g.secret.uid, "hash": g.fingerprint}
        for g in record.grants
    ]
    archives = {"archives": list(record.archives)} if record.archives else {}
    return {"everybody": record.everybody, "secrets": secrets_of, **archives}


def _records(found: dict[str, Any]) -> Records:
    return {
        place: Record(
            bool(one["everybody"]),
            tuple(Grant(SecretId(str(g["namespace"]), str(g["name"]), str(g["uid"])), str(g["hash"])) for g in one["secrets"]),
            tuple(str(namespace) for namespace in one.get("archives", ())),
        )
        for place, one in found.items()
    }
