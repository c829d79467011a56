"""The spec hash: which fields of a spec matter for a running container, and so replace it when they change. Pure."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from controller.agent.decide.security import matters
from controller.agent.decide.volumes import wanted as volumes
from controller.api import labels
from controller.api.spec import TERMINATION_LOG, Container, InstanceSpec
from controller.runtime.port import ContainerState

_CONTAINER_FIELDS: Final = {
    *("image", "command", "args", "env", "env_from", "working_dir", "termination_message_path", "restarted_at"),
    *("stdin", "tty"),
}
_INSTANCE_FIELDS: Final = {
    *("host_network", "host_pid", "host_ipc", "network", "runtime_class_name", "share_process_namespace"),
    *("hostname", "subdomain", "set_hostname_as_fqdn", "host_aliases", "dns_policy", "dns_config"),
}


def spec_hash(container: Container, spec: InstanceSpec) -> str:
    """16 hex digits over the fields that matter and cannot be changed of a container that runs.

    Fields at their default are left out, so that a release that adds a field restarts nothing. Ports are information,
    and those of the node the network's; imagePullPolicy, restartPolicy, back-off, grace period, probes and lifecycle are the
    agent's business: a change of them touches nothing. Of the security contexts counts what comes of them for this container,
    wherever written; of the volumes, those that it mounts, and not what is in them. Of the resources only huge pages count: all
    others are changed in place (`decide/resources.py`).
    """
    return _hash(container, spec, container.resources.limits.huge_pages())


def made_from(state: ContainerState, container: Container, spec: InstanceSpec) -> bool:
    """Whether a container is up to date with its spec, but for resources.

    Releases before the label `resources` had the limits of cpu and memory in the hash. What they made with the limits that the
    spec has is up to date, too.
    """
    label = state.labels.get(labels.SPEC_HASH)
    if label == spec_hash(container, spec):
        return True
    limits = container.resources.limits.model_dump(mode="json", include={"cpu", "memory"}, exclude_defaults=True)
    return bool(limits) and labels.RESOURCES not in state.labels and label == _hash(container, spec, {"limits": limits})


def _hash(container: Container, spec: InstanceSpec, resources: Mapping[str, Any]) -> str:
    if container.termination_message_path == TERMINATION_LOG:  # the default, written out
        container = container.model_copy(update={"termination_message_path": None})
    said = container.model_dump(mode="json", include=_CONTAINER_FIELDS, exclude_defaults=True)
    matter: dict[str, Any] = {
        "container": {field: value for field, value in said.items() if value is not False},
        "instance": spec.model_dump(mode="json", include=_INSTANCE_FIELDS, exclude_defaults=True),
    }
    if resources:
        matter["container"]["resources"] = resources
    if security := matters(container, spec):
        matter["security"] = security
    if mounts := volumes.matters(container, spec):
        matter["volumes"] = mounts
    text = json.dumps(matter, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
