"""Small values to plan with: an instance, what is seen of it, and moments in time. Times are seconds since the epoch."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from controller.agent.decide.actions import (
    Action,
    CreateContainer,
    CreateNetwork,
    MakeVolumes,
    RemoveNetwork,
    RemoveVolumes,
    StartContainer,
)
from controller.agent.decide.hashing import spec_hash
from controller.agent.decide.observation import Desired, ImageView, NodeFacts, Observation, Pull, Remembered, Trouble
from controller.api import labels
from controller.api.instance import ContainerInstance
from controller.api.reasons import Reason
from controller.api.spec import Container
from controller.runtime.port import ContainerState, ImageConfig, ImageState, Phase

NOW = 1_800_000_000.0
UID = "6f1c1f0e-0000-4000-8000-000000000001"
IMAGE = "example.com/app:1"
NODE = NodeFacts(name="node1", boot_id="boot", log_dir="/logs", address="192.0.2.7", files_dir="/files", host_name="host1")
PRESENT = ImageState(IMAGE, "sha256:" + "a" * 64, 100, ImageConfig(entrypoint=("/app",)))
HERE: Mapping[str, ImageView] = {IMAGE: ImageView(PRESENT)}
"""The image is on the node."""


def container(name: str = "main", **fields: Any) -> dict[str, Any]:
    """One container of a spec, as written in YAML."""
    return {"name": name, "image": IMAGE, **fields}


def instance_object(
    *containers: dict[str, Any],
    name: str = "web",
    uid: str = UID,
    generation: int = 1,
    meta: Mapping[str, Any] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """A ContainerInstance as the API server gives it."""
    return {
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": uid,
            "generation": generation,
            "resourceVersion": "1",
            "finalizers": [labels.FINALIZER],
            **(meta or {}),
        },
        "spec": {"nodeName": "node1", "hostNetwork": True, "containers": list(containers) or [container()], **spec},
    }


def desired(*containers: dict[str, Any], gone: bool = False, meta: Mapping[str, Any] | None = None, **spec: Any) -> Desired:
    """What is wanted of an instance."""
    return Desired(ContainerInstance.model_validate(instance_object(*containers, meta=meta, **spec)), gone)


def deleted(*containers: dict[str, Any], **spec: Any) -> Desired:
    """An instance with a deletionTimestamp."""
    return desired(*containers, meta={"deletionTimestamp": "2027-01-15T08:00:00Z"}, **spec)


def first(wanted: Desired) -> Container:
    """The first container of its spec."""
    return wanted.instance.spec.containers[0]


def current_hash(wanted: Desired, name: str = "main") -> str:
    """The spec hash that a container of that name must carry."""
    spec = wanted.instance.spec
    return spec_hash(next(c for c in spec.all_containers if c.name == name), spec)


def state(
    wanted: Desired, phase: Phase = Phase.RUNNING, *, name: str = "main", attempt: int = 0, **fields: Any
) -> ContainerState:
    """A container in the runtime, up to date with the spec unless `spec_hash` says otherwise."""
    known = {c.name for c in wanted.instance.spec.all_containers}
    marks = {
        labels.INSTANCE_UID: wanted.uid,
        labels.CONTAINER: name,
        labels.SPEC_HASH: fields.pop("spec_hash", current_hash(wanted, name) if name in known else "none"),
        labels.RESTART_COUNT: str(attempt),
        labels.CRASHES: str(fields.pop("crashes", 0)),
        **fields.pop("labels", {}),
    }
    made = ContainerState(fields.pop("id", f"{name}-{attempt}"), phase, marks, image=IMAGE, image_digest=PRESENT.digest)
    if phase is not Phase.CREATED:
        fields = {"started_at": NOW - 10} | fields
    if phase is Phase.EXITED:
        fields = {"exited_at": NOW, "exit_code": 1} | fields
    elif phase is not Phase.CREATED:
        fields = {"pid": 42} | fields
    return replace(made, created_at=NOW - 11, **fields)


def seen(*containers: ContainerState, images: Mapping[str, ImageView] = HERE, **fields: Any) -> Observation:
    """An observation; the image is on the node unless said otherwise."""
    return Observation(containers=containers, images=images, **fields)


def trouble(wanted: Desired, **fields: Any) -> dict[str, Trouble]:
    """A failed try just now."""
    first_try = Trouble(current_hash(wanted), Reason.CREATE_CONTAINER_ERROR, "no space left", NOW, 1)
    return {"main": replace(first_try, **fields)}


def pulling(**fields: Any) -> dict[str, ImageView]:
    """The image is being pulled."""
    return {IMAGE: ImageView(None, replace(Pull(running=True, message="pulling"), **fields))}


def remembered(last: ContainerState, attempt: int = 0, crashes: int = 0) -> dict[str, Remembered]:
    """What is remembered of a container that the runtime has lost."""
    return {"main": Remembered(attempt, crashes, last)}


def kinds(actions: tuple[Action, ...]) -> str:
    """The actions in short: `Stop main-0, Create main/1, Start main`."""
    return ", ".join(_short(a) for a in actions)


def _short(action: Action) -> str:
    kind = type(action).__name__.removesuffix("Container").removesuffix("Image")
    match action:
        case CreateContainer():
            return f"{kind} {action.container.name}/{action.restart_count}"
        case StartContainer():
            return f"{kind} {action.container_id or action.container}"
        case CreateNetwork() | RemoveNetwork():
            return kind
        case MakeVolumes():
            return f"{kind} {' '.join(volume.name for volume in action.volumes)}"
        case RemoveVolumes():
            return f"{kind} {'all' if action.ids is None else ' '.join(i.split('~')[1] for i in action.ids)}"
        case _:
            return f"{kind} {getattr(action, 'container_id', '') or getattr(action, 'image', '')}"
