"""Every label, annotation and finalizer that Moorage writes, with its meaning and encoding, in one place."""

from typing import Final

from controller.api.base import GROUP

# --- Kubernetes objects -----------------------------------------------------------------------------------------------

FINALIZER: Final = f"{GROUP}/agent"
"""On a ContainerInstance: its agent has not yet confirmed that nothing of it is left on the node."""

WORKLOAD: Final = f"{GROUP}/workload"
"""On a ContainerInstance: name of the workload that owns it, for `kubectl get -l`; the ownerReference decides."""

NODE: Final = f"{GROUP}/node"
"""On a ContainerInstance: the node that runs it, for `kubectl get -l`."""

TEMPLATE_HASH: Final = f"{GROUP}/template-hash"
"""On a ContainerInstance: 16 hex digits over the workload's template that its spec was written from."""

ORDINAL: Final = f"{GROUP}/ordinal"
"""On a ContainerInstance of a Replicated workload: its place in the row, a decimal number from 0."""

TEMPLATE_KEYS: Final = f"{GROUP}/template-keys"
"""Annotation of a ContainerInstance: JSON `{"labels": [...], "annotations": [...]}`, the keys that came from the workload's
template, so that a key that leaves the template also leaves the instance. Absent when there are none."""

INGRESS_BANDWIDTH: Final = "kubernetes.io/ingress-bandwidth"
EGRESS_BANDWIDTH: Final = "kubernetes.io/egress-bandwidth"
"""Annotations of a ContainerInstance, as of a pod: most bits per second that it may receive and send, as quantities. They count
when its network is made."""

NODE_LEASE_NAMESPACE: Final = "moorage-node-lease"
"""Namespace of the heartbeat Leases, one per node, named like the node."""

# --- containers in the runtime ----------------------------------------------------------------------------------------

INSTANCE_UID: Final = f"{GROUP}/instance-uid"
"""uid of the ContainerInstance; what makes a container ours."""

INSTANCE_NAMESPACE: Final = f"{GROUP}/instance-namespace"
"""Namespace of the ContainerInstance."""

INSTANCE_NAME: Final = f"{GROUP}/instance-name"
"""Name of the ContainerInstance."""

CONTAINER: Final = f"{GROUP}/container"
"""Name of the container within the instance's spec."""

SPEC_HASH: Final = f"{GROUP}/spec-hash"
"""16 hex digits over the fields of the spec that matter for the running container, and cannot be changed while it runs."""

RESOURCES: Final = f"{GROUP}/resources"
"""JSON `{"requests": {...}, "limits": {...}}` of quantities as Kubernetes writes them: what the container is promised and held
to at the moment. Absent when that is nothing, and on what releases before this label have made."""

INIT: Final = f"{GROUP}/init"
"""16 hex digits over the init containers before it, which had all completed when it was made; absent when there are none."""

ACTIVE_SINCE: Final = f"{GROUP}/active-since"
"""Decimal milliseconds since the epoch when the agent first acted on the instance; all its later containers have the same."""

RESTART_COUNT: Final = f"{GROUP}/restart-count"
"""Decimal number of restarts before this container; also the attempt in its id and its log file's name."""

CRASHES: Final = f"{GROUP}/crashes"
"""Decimal number of ends in a row that count for the back-off, this container's own end not included."""

LAST_TERMINATION: Final = f"{GROUP}/last-termination"
"""JSON of the `terminated` state of the container that this one replaced, as core/v1 shapes it; absent on the first."""

STOP_SIGNAL: Final = f"{GROUP}/stop-signal"
"""Name of the signal that asks the container to stop, from its image (`SIGTERM` when the image names none)."""

HOOKS: Final = f"{GROUP}/hooks"
"""JSON of the container's `lifecycle`, for when the spec has another one or none; `long` when it does not fit, absent when
there is none."""

POST_START: Final = f"{GROUP}/post-start"
"""`pending`: the postStart handler is to be run, or runs. Absent when it has ended well, or there is none."""

STARTUP: Final = f"{GROUP}/startup"
"""`passed`: the startup probe has succeeded once."""

READINESS: Final = f"{GROUP}/readiness"
"""`passed`: the readiness probe said yes when it was last noted; it may have changed its mind a few seconds ago."""

UNHEALTHY: Final = f"{GROUP}/unhealthy"
"""Why the container is to be restarted though it runs: `startup`, `liveness` or `postStart`, a blank, and what that said."""

RUNTIME_CLASS: Final = f"{GROUP}/runtime-class"
"""The spec's runtimeClassName; absent when it has none."""

RUNTIME_HANDLER: Final = f"{GROUP}/runtime-handler"
"""Name of the runtime handler that this class asked for when the container was made."""

SUSPENDED: Final = f"{GROUP}/suspended"
"""`true`: it is stopped because its spec says `suspend`, and is to be started again when it no longer does."""

LOG_PATH: Final = f"{GROUP}/log-path"
"""Absolute path of the file that stdout and stderr go to."""

BOOT_ID: Final = f"{GROUP}/boot-id"
"""`/proc/sys/kernel/random/boot_id` at creation: another value now means that the node was restarted since."""

# --- nodes ------------------------------------------------------------------------------------------------------------

HOSTNAME: Final = "kubernetes.io/hostname"
OS: Final = "kubernetes.io/os"
ARCH: Final = "kubernetes.io/arch"
