"""From an instance spec, an image and a node to a `ContainerConfig`. Pure.

What Kubernetes means by command, args, environment and expansion lives here, once, for every runtime.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Final

from controller.agent.decide import names
from controller.agent.decide.actions import CreateContainer
from controller.agent.decide.environment import environment, expand, own_environment
from controller.agent.decide.given import Given
from controller.agent.decide.health import PENDING, hooks_label
from controller.agent.decide.observation import NodeFacts
from controller.agent.decide.resources import applied, oom_score_adj, resources
from controller.agent.decide.security import security
from controller.agent.decide.sysctls import allow
from controller.agent.decide.volumes.mounts import mounts, shared
from controller.api import labels
from controller.api.instance import ContainerInstance, ContainerStateTerminated
from controller.api.spec import TERMINATION_LOG, Container
from controller.runtime.port import ContainerConfig, ImageConfig, ImageState, InvalidConfig, Mount

DEFAULT_STOP_SIGNAL: Final = "SIGTERM"

_MOST_NAME, _MOST_CONTAINER = 30, 20
_MOST_NAME_IN_PATH: Final = 120
MOST_MESSAGE: Final = 512
"""Characters kept of how the last run ended: containerd takes 4096 bytes for a label, its key included."""


def container_config(
    instance: ContainerInstance,
    action: CreateContainer,
    image: ImageState,
    node: NodeFacts,
    seccomp_profile: str = "",
    given: Given | None = None,
) -> ContainerConfig:
    """Everything that the runtime needs to know to make this container.

    Args:
        instance: whose container it is.
        action: which container, and which attempt.
        image: its image.
        node: the facts of the node.
        seccomp_profile: content of the file that `localhost_profile` names.
        given: what values in the container are made from; by default what instance and node say.

    Raises:
        InvalidConfig: when the spec and the image together give nothing that can run.
    """
    spec, container = instance.spec, action.container
    hostname = names.kernel_name(instance, node)
    allow(spec, node.allowed_unsafe_sysctls)
    confined = security(container, spec, seccomp_profile)
    own = own_environment(container, given or Given(instance, node))
    log = log_path(instance, container.name, action.restart_count, node)
    volumes, _ = mounts(instance, container, own, node)
    common = shared(instance, node)
    return ContainerConfig(
        id=container_id(instance, container.name, action.restart_count),
        image=image.name,
        args=command_line(container, image.config, own),
        labels=_labels(instance, action, image, node),
        group=instance.metadata.uid,
        env=environment(image.config, own, hostname or node.host_name or node.name),
        cwd=container.working_dir or image.config.working_dir or "/",
        user=image.config.user,
        hostname=hostname,
        mounts=_over(
            volumes,
            (
                *names.mounts(instance, node, read_only_root=confined.read_only_root),
                *(common.mounts(volumes) if common is not None else ()),
                Mount(words_path(log), container.termination_message_path or TERMINATION_LOG),
            ),
        ),
        resources=resources(container, node),
        oom_score_adj=oom_score_adj(container, spec, node.capacity.memory_bytes),
        security=confined,
        host_pid=spec.host_pid,
        shared_pids=spec.share_process_namespace,
        host_ipc=spec.host_ipc,
        ipc_namespace=common.namespace if common is not None else "",
        network_namespace="" if spec.host_network else f"{node.netns_dir}/{instance.metadata.uid}",
        runtime_handler=action.runtime_handler,
        cgroup_parent=node.cgroup_parent,
        log_path=log,
        tty=container.tty is True,
        stdin=container.stdin is True,
    )


def _over(volumes: tuple[Mount, ...], others: tuple[Mount, ...]) -> tuple[Mount, ...]:
    """What is mounted by default, but where a volume is mounted; then the volumes."""
    taken = {mount.destination.rstrip("/") for mount in volumes}
    return (*(mount for mount in others if mount.destination.rstrip("/") not in taken), *volumes)


def words_path(log_path: str) -> str:
    """File for a container's last words, beside the log of that attempt."""
    return f"{log_path.removesuffix('.log')}.termination"


def command_line(container: Container, image: ImageConfig, env: Mapping[str, str]) -> tuple[str, ...]:
    """Arguments of the process: `command` replaces entrypoint and cmd, `args` replaces cmd alone.

    Source: kubernetes.io, "Define a Command and Arguments for a Container".
    """
    command = tuple(expand(c, env) for c in container.command)
    args = tuple(expand(a, env) for a in container.args)
    line = command + args if command else image.entrypoint + (args or image.cmd)
    if not line:
        raise InvalidConfig(f"container {container.name!r}: neither the spec nor the image names a command")
    return line


def container_id(instance: ContainerInstance, container: str, attempt: int) -> str:
    """Id in the runtime: readable, unique, and the same for the same attempt, so that nothing is ever made twice.

    containerd allows 76 characters: letters and digits, separated by single `-`, `_` or `.`.
    """
    digest = hashlib.sha256(f"{instance.metadata.uid}/{container}".encode()).hexdigest()[:8]
    return "-".join((_slug(instance.metadata.name, _MOST_NAME), _slug(container, _MOST_CONTAINER), digest, str(attempt)))


def instance_log_dir(namespace: str, name: str, uid: str, log_dir: str) -> str:
    """Folder of an instance's log files; a name that is too long for a file's is cut, the uid tells them apart."""
    return f"{log_dir}/{namespace}_{name[:_MOST_NAME_IN_PATH]}_{uid}"


def log_path(instance: ContainerInstance, container: str, attempt: int, node: NodeFacts) -> str:
    """File for stdout and stderr of one attempt of a container, as the kubelet names it."""
    meta = instance.metadata
    return f"{instance_log_dir(meta.namespace, meta.name, meta.uid, node.log_dir)}/{container}/{attempt}.log"


def _slug(text: str, most: int) -> str:
    return "-".join(filter(None, re.split(r"[^A-Za-z0-9]+", text[:most])))


def _labels(instance: ContainerInstance, action: CreateContainer, image: ImageState, node: NodeFacts) -> dict[str, str]:
    meta, name = instance.metadata, action.container.name
    pairs: Iterable[tuple[str, str]] = (
        (labels.INSTANCE_UID, meta.uid),
        (labels.INSTANCE_NAMESPACE, meta.namespace),
        (labels.INSTANCE_NAME, meta.name),
        (labels.CONTAINER, name),
        (labels.SPEC_HASH, action.spec_hash),
        (labels.RESOURCES, applied(action.container)),
        (labels.INIT, action.after),
        (labels.ACTIVE_SINCE, str(int(action.active_since * 1000)) if action.active_since else ""),
        (labels.RESTART_COUNT, str(action.restart_count)),
        (labels.CRASHES, str(action.crashes)),
        (labels.STOP_SIGNAL, image.config.stop_signal or DEFAULT_STOP_SIGNAL),
        (labels.HOOKS, hooks_label(action.container)),
        (labels.POST_START, PENDING if action.container.lifecycle.post_start is not None else ""),
        (labels.LOG_PATH, log_path(instance, name, action.restart_count, node)),
        (labels.RUNTIME_CLASS, instance.spec.runtime_class_name or ""),
        (labels.RUNTIME_HANDLER, action.runtime_handler),
        (labels.BOOT_ID, node.boot_id),
        (labels.LAST_TERMINATION, _last(action.last) if action.last else ""),
    )
    return {key: value for key, value in pairs if value}


def _last(end: ContainerStateTerminated) -> str:
    cut = end.model_copy(update={"message": end.message[:MOST_MESSAGE]})
    return cut.model_dump_json(by_alias=True, exclude_none=True)
