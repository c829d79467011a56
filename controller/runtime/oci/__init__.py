"""From a `ContainerConfig` to an OCI runtime spec, for adapters that need one. Pure: what the node can do is in `Host`."""

from controller.runtime.oci.capabilities import DEFAULT_CAPABILITIES
from controller.runtime.oci.host import Device, Host
from controller.runtime.oci.resources import resource_changes
from controller.runtime.oci.spec import exec_process, holder_spec, runtime_spec
from controller.runtime.oci.users import User, account_text, container_user, resolve_user

__all__ = [
    "DEFAULT_CAPABILITIES",
    "Device",
    "Host",
    "User",
    "account_text",
    "container_user",
    "exec_process",
    "holder_spec",
    "resolve_user",
    "resource_changes",
    "runtime_spec",
]
