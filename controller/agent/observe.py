"""Every read of a supervisor, in one place: the node's view, the images, and what only the agent itself can know."""

import asyncio
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.agent import words
from controller.agent.decide import environment
from controller.agent.decide.credentials.claim import Claim, claim, refs
from controller.agent.decide.given import Given
from controller.agent.decide.imagerefs import image_references
from controller.agent.decide.network import request
from controller.agent.decide.observation import (
    Desired,
    ImageView,
    Missing,
    NetworkTrouble,
    NodeFacts,
    Observation,
    Remembered,
    ResizeTrouble,
    Trouble,
    VolumeTrouble,
    crashes,
    restart_count,
)
from controller.agent.decide.volumes import contents as volume_contents
from controller.agent.decide.volumes.contents import contents, references
from controller.agent.images.images import Images
from controller.agent.levels import Levels
from controller.agent.probes.probes import Probes
from controller.agent.runtimeclasses import RuntimeClasses
from controller.agent.sources.port import Ref, Sources, View
from controller.agent.tokens.port import TokenRef, Tokens
from controller.agent.view import NodeView
from controller.agent.volumes.port import Volumes
from controller.agent.words import FALLBACK
from controller.api import labels
from controller.api.instance import ContainerInstance
from controller.network.port import Networks
from controller.runtime.port import ContainerState, Phase, RuntimeFailure


@dataclass(slots=True)
class Notes:
    """What the agent knows of one instance that is written nowhere else. Losing it costs a repeated try, nothing more."""

    troubles: dict[str, Trouble] = field(default_factory=dict)
    inspecting: set[str] = field(default_factory=set)
    """Names of containers whose image is just being read, since it may be damaged."""
    judged: dict[str, bool] = field(default_factory=dict)
    """Containers, by id, whose end was looked at for whether a damaged image may be its cause."""
    resizes: dict[str, ResizeTrouble] = field(default_factory=dict)
    stopping: dict[str, float] = field(default_factory=dict)
    hooks: dict[str, bool] = field(default_factory=dict)
    signalled: dict[str, float] = field(default_factory=dict)
    killed: dict[str, float] = field(default_factory=dict)
    pulled: dict[str, str] = field(default_factory=dict)
    pulling: dict[str, str] = field(default_factory=dict)
    remembered: dict[str, Remembered] = field(default_factory=dict)
    last_words: dict[str, str] = field(default_factory=dict)
    """Termination messages that were read, by container id."""
    words_before: dict[str, str] = field(default_factory=dict)
    """Those of the runs before, by the id of the container that came after."""
    network: NetworkTrouble | None = None
    volumes: VolumeTrouble | None = None
    in_use: bool = False
    """Something of it runs, or is to run, as it was last seen: so it needs its tokens."""
    unsure: set[str] = field(default_factory=set)
    """Ids of containers whose making was not answered: whether they exist has to be asked before anything is concluded."""
    active_since: float | None = None
    """When it was first acted upon, since it came or was resumed."""
    ending_since: float | None = None
    """When the instance as a whole was first seen to end."""
    unlabelled_since: float = 0.0
    """When the labels of its namespace were missed first; 0 when they are known."""
    unanswered_since: float = 0.0
    """When questions about this instance began to fail; 0 while they are answered."""

    @property
    def _by_id(self) -> tuple[dict[str, Any], ...]:
        """Notes on containers by id."""
        of_ends = (self.last_words, self.words_before, self.judged)
        return self.resizes, self.stopping, self.hooks, self.signalled, self.killed, *of_ends

    def forget(self) -> None:
        """The instance starts from nothing the next time."""
        by_name: tuple[dict[str, Any], ...] = (self.troubles, self.pulled, self.remembered)
        for notes in (*by_name, *self._by_id):
            notes.clear()
        self.network = self.volumes = None
        self.active_since = None

    def follow(self, containers: tuple[ContainerState, ...], wanted: Collection[str]) -> None:
        """Drop notes on containers that are gone or no longer wanted, and remember those that have run. `wanted` are names."""
        ids = {c.id for c in containers}
        for notes in self._by_id:
            for gone in notes.keys() - ids:
                del notes[gone]
        for container in sorted(containers, key=restart_count):
            if container.phase not in {Phase.CREATED, Phase.UNKNOWN}:
                name = container.labels.get(labels.CONTAINER, "")
                self.remembered[name] = Remembered(restart_count(container), crashes(container), container)
        for name in self.remembered.keys() - wanted:
            del self.remembered[name]


async def observe(
    desired: Desired,
    view: NodeView,
    images: Images,
    networks: Networks,
    volumes: Volumes,
    levels: Levels,
    classes: RuntimeClasses,
    probes: Probes,
    given: Given,
    notes: Notes,
) -> Observation:
    """One frozen moment of one instance."""
    error = view.error
    try:
        for container_id in (*notes.unsure, *(c.id for c in view.of(desired.uid) if c.phase is Phase.UNKNOWN)):
            await view.refresh(container_id)
            notes.unsure.discard(container_id)
    except RuntimeFailure as exc:
        error = str(exc)
    containers = view.of(desired.uid)
    notes.follow(containers, {c.name for c in desired.instance.spec.all_containers})
    if not desired.deleting:
        await _listen(desired, containers, notes)
    seen: dict[str, ImageView] = {}
    asked_by = pull_claim(desired.instance, given.objects)
    if not (desired.deleting or desired.instance.spec.suspend or error):
        try:
            held = {(container.image, container.image_digest) for container in containers}
            seen = {image: await images.view(image, asked_by, held) for image in image_references(desired.instance.spec)}
        except RuntimeFailure as exc:
            error = str(exc)
    notes.unanswered_since = (notes.unanswered_since or time.time()) if error else 0.0
    if not (desired.deleting or desired.instance.spec.suspend):
        notes.ending_since = None
        notes.active_since = notes.active_since or time.time()
    elif notes.ending_since is None:
        notes.ending_since = time.time()
    level = levels.level(desired.instance.metadata.namespace, kept=desired.kept)
    notes.unlabelled_since = (notes.unlabelled_since or time.time()) if level is None else 0.0
    return Observation(
        containers=containers,
        images=seen,
        troubles=dict(notes.troubles),
        inspecting=frozenset(notes.inspecting),
        resizes=dict(notes.resizes),
        stopping=dict(notes.stopping),
        hooks=dict(notes.hooks),
        signalled=dict(notes.signalled),
        killed=dict(notes.killed),
        health={c.id: probes.of(desired.uid, c) for c in containers},
        last_words=dict(notes.last_words),
        words_before=dict(notes.words_before),
        pulled=dict(notes.pulled),
        pulling=dict(notes.pulling),
        remembered=dict(notes.remembered),
        network=networks.state(desired.uid, request(desired.instance)),
        addresses=networks.addresses(desired.uid),
        network_trouble=notes.network,
        volumes=volumes.made(desired.uid),
        volumes_there=desired.uid in volumes.uids(),
        volume_trouble=notes.volumes,
        exceeded=volumes.exceeded(desired.uid),
        runtime=classes.choose(desired.instance.spec.runtime_class_name, containers),
        runtime_error=error,
        runtime_down_since=view.down_since if view.error else notes.unanswered_since,
        pull_secrets_pending=asked_by.pending,
        missing=_missing(given),
        contents=contents(given),
        pod_security=level,
        unlabelled_since=notes.unlabelled_since,
        boot_id=given.node.boot_id,
        memory=given.node.allocatable.memory_bytes,
        active_since=notes.active_since,
        ending_since=notes.ending_since,
    )


def known(desired: Desired, sources: Sources, tokens: Tokens, networks: Networks, notes: Notes, node: NodeFacts) -> Given:
    """What values are made from, now. What the instance names is followed from here on, until it goes."""
    instance = desired.instance
    refs: frozenset[Ref] = frozenset()
    mounted_tokens: frozenset[TokenRef] = frozenset()
    if not desired.deleting:
        refs = references(instance).union(
            *(environment.named(c, instance.metadata.namespace) for c in instance.spec.all_containers),
            pull_secrets(instance),
        )
        mounted_tokens = volume_contents.tokens(instance) if notes.in_use else frozenset()
    sources.follow(desired.uid, refs)
    tokens.follow(desired.uid, mounted_tokens)
    return Given(
        instance,
        node,
        networks.addresses(desired.uid),
        {ref: sources.view(ref) for ref in refs},
        {ref: tokens.view(ref) for ref in mounted_tokens},
    )


def pull_secrets(instance: ContainerInstance) -> tuple[Ref, ...]:
    """The Secrets with credentials for its images."""
    return refs(instance.metadata.namespace, (secret.name for secret in instance.spec.image_pull_secrets))


def pull_claim(instance: ContainerInstance, objects: Mapping[Ref, View]) -> Claim:
    """On what it bases its right to images."""
    return claim(instance.metadata.namespace, (secret.name for secret in instance.spec.image_pull_secrets), objects)


def _missing(given: Given) -> dict[str, Missing]:
    """What keeps containers from being made, by their names."""
    if not given.objects:
        return {}
    asked = {c.name: environment.missing(c, given) for c in given.instance.spec.all_containers}
    return {name: found for name, found in asked.items() if found is not None}


async def _listen(desired: Desired, containers: tuple[ContainerState, ...], notes: Notes) -> None:
    """Read what containers said of their end, once for each that ended."""
    spec = desired.instance.spec
    by_name = {c.name: c for c in spec.all_containers}
    most = words.most_bytes(len(by_name))
    for state in containers:
        wanted = by_name.get(state.labels.get(labels.CONTAINER, ""))
        path = state.labels.get(labels.LOG_PATH, "")
        if wanted is None or not path:
            continue
        policy = wanted.termination_message_policy
        if state.phase is Phase.EXITED and state.id not in notes.last_words:
            failed = state.exit_code != 0
            found = words.read(path, most)
            if not found and failed and policy == FALLBACK:
                await asyncio.sleep(words.settled_in(state.exited_at, time.time()))
                found = words.end_of_log(path)[-most:]
            notes.last_words[state.id] = found
        if labels.LAST_TERMINATION in state.labels and state.id not in notes.words_before:
            notes.words_before[state.id] = words.before(state, path, policy, most)
