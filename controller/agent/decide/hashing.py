"""The spec hash: which fields of a spec matter for a running container, and so replace it when they change. Pure."""

import hashlib
import json
from typing import Any, Final

from controller.agent.decide.security import matters
from controller.api.spec import TERMINATION_LOG, Container, InstanceSpec

_CONTAINER_FIELDS: Final = {"image", "command", "args", "env", "working_dir", "resources", "termination_message_path"}
_INSTANCE_FIELDS: Final = {
    *("host_network", "host_pid", "host_ipc", "network"),
    *("hostname", "subdomain", "set_hostname_as_fqdn", "host_aliases", "dns_policy", "dns_config"),
}


def spec_hash(container: Container, spec: InstanceSpec) -> str:
    """16 hex digits over the fields that matter.

    Fields at their default are left out, so that a release that adds a field restarts nothing. Ports are information,
    and those of the node the network's; imagePullPolicy, restartPolicy, back-off, grace period, probes and lifecycle are the
    agent's business: a change of them touches nothing. Of the security contexts counts what comes of them for this container,
    wherever written.
    """
    if container.termination_message_path == TERMINATION_LOG:  # the default, written out
        container = container.model_copy(update={"termination_message_path": None})
    matter: dict[str, Any] = {
        "container": container.model_dump(mode="json", include=_CONTAINER_FIELDS, exclude_defaults=True),
        "instance": spec.model_dump(mode="json", include=_INSTANCE_FIELDS, exclude_defaults=True),
    }
    if security := matters(container, spec):
        matter["security"] = security
    text = json.dumps(matter, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
