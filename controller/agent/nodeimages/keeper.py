"""Level-triggered, as a supervisor: look at every image that is wanted, fetch what is missing, and tell how it is."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from pydantic import ValidationError

from controller.agent.decide.credentials.claim import Claim, claim, refs
from controller.agent.decide.nodeimages import Finding, find, summarize
from controller.agent.decide.observation import Pull
from controller.agent.images.images import Images
from controller.agent.images.waiter import Waiter
from controller.agent.nodeimages.pushes import Pushes
from controller.agent.nodeimages.wanted import Wanted
from controller.agent.nodeimages.writer import NodeImagesWriter
from controller.agent.sources.port import Sources
from controller.api.nodeimages import NodeImage
from controller.runtime.port import ImageState, Runtime, RuntimeFailure

log = logging.getLogger(__name__)

WATCHER: Final = "wanted images"
"""In place of an instance's uid: who follows the Secrets."""


class ImageKeeper:
    """Keeps the images that ContainerImages want on this node."""

    def __init__(
        self,
        wanted: Wanted,
        images: Images,
        runtime: Runtime,
        sources: Sources,
        writer: NodeImagesWriter,
        *,
        parallel_pulls: int,
    ) -> None:
        """Prepare it.

        Args:
            wanted: what is wanted.
            sources: the Secrets with credentials; when one changes, the keeper of the name `WATCHER` is to be woken.
            images: the node's images, which instances pull by, too.
            runtime: pushes them.
            writer: gets the status.
            parallel_pulls: how many pulls the node has at a time; one of them is left to instances, if there are more than one.
        """
        self._wanted, self._images, self._sources, self._writer = wanted, images, sources, writer
        self._most = max(1, parallel_pulls - 1)
        self._pushes = Pushes(runtime, wanted, self.wake)
        self._waiting: dict[NodeImage, str] = {}
        """What waits for the end of a pull, and of which image."""
        self._states: Counter[str] = Counter()
        self._woken = asyncio.Event()
        self._woken.set()

    def pinned(self) -> frozenset[str] | None:
        """The images, by normalised name, that nobody may remove for room; None while that is not known.

        It is known from what an earlier agent has kept, or once the API server has answered.
        """
        if not self._wanted.known:
            return None
        return frozenset(entry.image for entry in self._wanted.entries if entry.pin)

    def states(self) -> dict[tuple[str, ...], float]:
        """How many of the images that are wanted are how far, for the metrics."""
        return {(state,): float(count) for state, count in self._states.items()}

    def seen(self, obj: dict[str, Any] | None) -> None:
        """Take in the NodeImages as the API server shows it; None when there is none, and then what was wanted stays wanted.

        The manager makes another one as soon as it hears of that; until then nothing that was pinned may go.
        """
        if obj is None:
            return
        try:
            self._wanted.put(obj)
        except ValidationError as exc:
            log.warning("the node's images are not understood and are left as they are: %s", exc)
            return
        self._writer.known(obj)
        self.wake()

    def wake(self) -> None:
        """Something about images changed: look."""
        self._woken.set()

    async def run(self) -> None:
        """Look for ever: whenever something changed, and when the pause after a failed pull is over."""
        while True:
            self._woken.clear()
            try:
                wake_at = await self._look()
            except RuntimeFailure as exc:
                log.debug("the node's images are looked at when the runtime is back: %s", exc)
                wake_at = None
            try:
                async with asyncio.timeout(None if wake_at is None else max(0.0, wake_at - time.time())):
                    await self._woken.wait()
            except TimeoutError:
                pass

    async def close(self) -> None:
        """Give up pushes that are under way."""
        await self._pushes.close()

    async def _look(self) -> float | None:
        """Look at each of them once; when to look again."""
        entries, now = self._wanted.entries, time.time()
        claims = self._claims(entries)
        views = [
            await self._images.view(entry.image, by, archive=entry.archive) for entry, by in zip(entries, claims, strict=True)
        ]
        if entries is not self._wanted.entries:
            return now  # somebody wants something else meanwhile
        findings: list[Finding] = []
        for entry, by, view in zip(entries, claims, views, strict=True):
            finding = find(entry, view, now, had=self._wanted.had(entry), pending=bool(by.pending))
            if finding.status.state == "Ready" and entry.push:
                finding = self._push(entry, finding, now)
            findings.append(finding)
            if finding.had:
                self._wanted.has(entry)
            if finding.fetch:
                self._fetch(entry, by, under_way=view.pull is not None and view.pull.running)
        self._pushes.keep(entries)
        self._tell(findings, now)
        times = [*(finding.wake_at for finding in findings), self._pushes.wake_at(now)]
        return min((at for at in times if at is not None), default=None)

    def _claims(self, entries: Sequence[NodeImage]) -> list[Claim]:
        """By what each of them may have its image."""
        lists = [(entry.namespace, names) for entry in entries for names in _secrets(entry)]
        named = {ref for namespace, names in lists for ref in refs(namespace, names)}
        self._sources.follow(WATCHER, frozenset(named))
        return [self._claim(entry.namespace, entry.pull_secrets) for entry in entries]

    def _claim(self, namespace: str, names: Sequence[str]) -> Claim:
        return claim(namespace, names, {ref: self._sources.view(ref) for ref in refs(namespace, names)})

    def _push(self, entry: NodeImage, finding: Finding, now: float) -> Finding:
        """Have it pushed, which is on the node and may be used by the ContainerImage."""
        claims = [self._claim(entry.namespace, push.secrets) for push in entry.push]
        told = self._pushes.look(entry, finding.status.digest, claims, now)
        return replace(finding, status=finding.status.model_copy(update={"pushes": told}))

    def _fetch(self, entry: NodeImage, by: Claim, *, under_way: bool) -> None:
        """Pull it, or join who pulls it. One that has to wait for a turn is looked at again when another pull has ended."""
        images = set(self._waiting.values())
        if entry in self._waiting or not (under_way or entry.image in images or len(images) < self._most):
            return
        self._waiting[entry] = entry.image

        def done(image: ImageState | None, _: Pull | None) -> None:
            del self._waiting[entry]
            if image is not None:
                self._wanted.has(entry)
            self.wake()

        anew = entry.pull_policy == "Always"
        self._images.pull(entry.image, Waiter(done, by, anew=anew, archive=entry.archive, moved=self.wake))

    def _tell(self, findings: Sequence[Finding], now: float) -> None:
        self._states = Counter({"wanted": len(findings), "ready": 0, "pulling": 0, "failed": 0, "removed": 0})
        self._states.update(finding.status.state.lower() for finding in findings)
        if self._wanted.generation:
            self._writer.submit(summarize(findings, self._wanted.generation, now))


def _secrets(entry: NodeImage) -> list[tuple[str, ...]]:
    """The lists of Secrets that it names."""
    return [entry.pull_secrets, *(push.secrets for push in entry.push)]
