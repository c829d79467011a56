"""Kubernetes Events for the steps that users look for, written beside the work and never in its way.

The making and starting of an instance's containers within a moment are one Event (the last one's reason, all messages), and
the same Event again counts up instead of being written anew; so a start costs one write. Events are hints: when the API server
is away for long, the oldest are dropped.
"""

import asyncio
import logging
import secrets
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from controller.api.base import API_VERSION
from controller.api.conditions import timestamp
from controller.api.instance import ContainerInstance
from controller.api.reasons import Reason
from controller.kube.client import Client
from controller.kube.errors import ApiFailure, ApiNotFound, ApiUnavailable
from controller.kube.events import NAMESPACE
from controller.kube.resources import EVENTS

log = logging.getLogger(__name__)

GATHER_SECONDS: Final = 2.0
"""How long further steps of an instance are waited for before they are told."""

GIVE_WAY_SECONDS: Final = 15.0
"""How long an Event waits at most for a node that is busy starting containers."""

DRAIN_SECONDS: Final = 2.0
"""How long an agent that ends waits at most until its Events are written."""

COMPONENT: Final = "moorage-agent"
_GATHERED: Final = {Reason.CREATED, Reason.STARTED}
_MOST_WAITING: Final = 1000
_MOST_REMEMBERED: Final = 1000
_MOST_MESSAGE: Final = 1024


@dataclass(slots=True)
class _Step:
    """One Event to be written."""

    about: dict[str, str]
    """The object, as an Event names it; without a namespace when it is of the whole cluster."""
    reason: Reason
    messages: list[str]
    warning: bool
    at: float

    @property
    def message(self) -> str:
        return "; ".join(dict.fromkeys(self.messages))[:_MOST_MESSAGE]

    @property
    def key(self) -> tuple[str, str, str]:
        return self.about["uid"], self.reason, self.message

    @property
    def namespace(self) -> str:
        """Where the Event is; those about objects of the whole cluster live in the same one (core/v1 `Event`)."""
        return self.about.get("namespace", NAMESPACE)


@dataclass(slots=True)
class EventRecorder:
    """Writes Events about this node's instances, and about the node."""

    client: Client
    node: str
    quiet: asyncio.Event
    """Set while no container waits for its start: an Event never takes the CPU from one, for a while."""
    _waiting: OrderedDict[int, _Step] = field(default_factory=OrderedDict)
    _latest: dict[str, int] = field(default_factory=dict)
    _written: OrderedDict[tuple[str, str, str], tuple[str, int]] = field(default_factory=OrderedDict)
    _number: int = 0
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def record(self, instance: ContainerInstance, reason: Reason, message: str, *, warning: bool = False) -> None:
        """Tell that something happened to an instance. Returns at once."""
        uid = instance.metadata.uid
        latest = self._waiting.get(self._latest.get(uid, -1))
        if latest is not None and {latest.reason, reason} <= _GATHERED:
            latest.reason = reason
            latest.messages.append(message)
            return
        meta = instance.metadata
        kind = {"apiVersion": API_VERSION, "kind": ContainerInstance.KIND}
        about = {**kind, "namespace": meta.namespace, "name": meta.name, "uid": uid}
        self.tell(about, reason, message, warning=warning)
        self._latest[uid] = self._number

    def tell(self, about: dict[str, str], reason: Reason, message: str, *, warning: bool = False) -> None:
        """Tell that something happened to an object, which is named as an Event does. Returns at once."""
        self._number += 1
        self._waiting[self._number] = _Step(about, reason, [message], warning, time.time())
        if len(self._waiting) > _MOST_WAITING:
            self._close(*self._waiting.popitem(last=False))
        self._wake.set()

    async def run(self) -> None:
        """Write for ever, one at a time: Events give way to everything else."""
        while True:
            if not self._waiting:
                self._wake.clear()
                await self._wake.wait()
            number, step = next(iter(self._waiting.items()))
            pause = step.at + GATHER_SECONDS - time.time()
            if pause > 0:
                await asyncio.sleep(pause)
            await self._give_way(step)
            if number in self._waiting and not await self._write_first():
                await asyncio.sleep(GATHER_SECONDS)

    async def drain(self) -> None:
        """Write what waits, now that `run` has ended; what the API server does not take soon is dropped."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                while self._waiting and await self._write_first():
                    pass

    async def _write_first(self) -> bool:
        """Write the Event that has waited longest. False, and it stays the first, when the API server is away."""
        number, step = self._waiting.popitem(last=False)
        self._close(number, step)
        try:
            await self._write(step)
        except (ApiUnavailable, asyncio.CancelledError) as exc:
            self._waiting[number] = step
            self._waiting.move_to_end(number, last=False)
            if not isinstance(exc, ApiUnavailable):
                raise
            log.debug("event is written later: %s", exc)
            return False
        except ApiFailure as exc:
            log.debug("event is dropped: %s", exc)
        return True

    def _close(self, number: int, step: _Step) -> None:
        """Nothing more is gathered into this one."""
        uid = step.about["uid"]
        if self._latest.get(uid) == number:
            del self._latest[uid]

    async def _give_way(self, step: _Step) -> None:
        longest = step.at + GIVE_WAY_SECONDS - time.time()
        if longest > 0 and not self.quiet.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(longest):
                    await self.quiet.wait()

    async def _write(self, step: _Step) -> None:
        namespace = step.namespace
        name, count = self._written.get(step.key, ("", 0))
        if name:
            again = {"count": count + 1, "lastTimestamp": timestamp(step.at)}
            try:
                await self.client.patch(EVENTS, name, again, namespace)
            except ApiNotFound:  # it expired
                name = ""
        if not name:
            count = 0
            name = (await self.client.create(EVENTS, self._body(step), namespace))["metadata"]["name"]
        self._written[step.key] = (name, count + 1)
        self._written.move_to_end(step.key)
        if len(self._written) > _MOST_REMEMBERED:
            self._written.popitem(last=False)

    def _body(self, step: _Step) -> dict[str, Any]:
        at = timestamp(step.at)
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{step.about['name'][:200]}.{secrets.token_hex(8)}", "namespace": step.namespace},
            "involvedObject": step.about,
            "reason": step.reason,
            "message": step.message,
            "type": "Warning" if step.warning else "Normal",
            "source": {"component": COMPONENT, "host": self.node},
            "reportingComponent": COMPONENT,
            "reportingInstance": self.node,
            "firstTimestamp": at,
            "lastTimestamp": at,
            "count": 1,
        }
