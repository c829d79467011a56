"""Security contexts of containers and instances, kernel parameters among them: what is taken and what is refused."""

import pytest

from tests.harness import Object
from tests.integration.crds.cases import CONTAINER, TEMPLATE, Case, check_refused, take, within, workload
from tools.lab import ControlPlane

OF_A_CONTAINER: dict[str, Case] = {
    "a security context: privileged without escalation": (
        {"privileged": True, "allowPrivilegeEscalation": False},
        "",
        "cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
    ),
    "a security context: SYS_ADMIN without escalation": (
        {"allowPrivilegeEscalation": False, "capabilities": {"add": ["CHOWN", "SYS_ADMIN"]}},
        "",
        "cannot set `allowPrivilegeEscalation` to false and add the capability SYS_ADMIN",
    ),
    "a security context: a capability with CAP_": (
        {"capabilities": {"add": ["CAP_CHOWN"]}},
        ".capabilities.add",
        "without CAP_",
    ),
    "a security context: a dropped capability with CAP_": (
        {"capabilities": {"drop": ["CAP_CHOWN"]}},
        ".capabilities.drop",
        "without CAP_",
    ),
    "a security context: a capability in small letters": (
        {"capabilities": {"drop": ["all"]}},
        ".capabilities.drop[0]",
        "should match",
    ),
    "a security context: a filter without its file": (
        {"seccompProfile": {"type": "Localhost"}},
        ".seccompProfile.localhostProfile",
        "must be set when seccomp type is Localhost",
    ),
    "a security context: a filter with no name of a file": (
        {"seccompProfile": {"type": "Localhost", "localhostProfile": ""}},
        ".seccompProfile.localhostProfile",
        "must be set when seccomp type is Localhost",
    ),
    "a security context: a file without its filter": (
        {"seccompProfile": {"type": "RuntimeDefault", "localhostProfile": "a.json"}},
        ".seccompProfile.localhostProfile",
        "can only be set when seccomp type is Localhost",
    ),
    "a security context: a file out of the folder": (
        {"seccompProfile": {"type": "Localhost", "localhostProfile": "a/../../b.json"}},
        ".seccompProfile.localhostProfile",
        "without '..'",
    ),
    "a security context: a file from the root": (
        {"seccompProfile": {"type": "Localhost", "localhostProfile": "/etc/b.json"}},
        ".seccompProfile.localhostProfile",
        "relative",
    ),
    "a security context: a filter without a type": ({"seccompProfile": {}}, ".seccompProfile.type", "Required value"),
    "a security context: an unknown filter": (
        {"seccompProfile": {"type": "Strict"}},
        ".seccompProfile.type",
        "Unsupported value",
    ),
    "a security context: a user beyond the largest": ({"runAsUser": 2**31}, ".runAsUser", "less than or equal to 2147483647"),
    "a security context: a user by name": ({"runAsUser": "app"}, ".runAsUser", "must be of type integer"),
    "a security context: an unknown procMount": ({"procMount": "None"}, ".procMount", "Unsupported value"),
}

PARAMETERS: dict[str, tuple[Object, list[Object], str, str]] = {
    "a parameter of the network that is the node's": (
        {"hostNetwork": True},
        [{"name": "net.ipv4.tcp_syncookies", "value": "1"}],
        "",
        "remove them, or hostNetwork",
    ),
    "a parameter of IPC that is the node's": (
        {"hostIPC": True},
        [{"name": "net.ipv4.tcp_syncookies", "value": "1"}, {"name": "fs/mqueue/msg_max", "value": "1"}],
        "",
        "remove them, or hostIPC",
    ),
    "a parameter twice": (
        {"hostNetwork": False},
        [{"name": "kernel.msgmax", "value": "1"}, {"name": "kernel.msgmax", "value": "2"}],
        "[1]",
        "Duplicate value",
    ),
    "a parameter that is none": (
        {"hostNetwork": False},
        [{"name": "Net.IPv4", "value": "1"}],
        "[0].name",
        "should match",
    ),
    "a parameter without a value": ({"hostNetwork": False}, [{"name": "kernel.msgmax"}], "[0].value", "Required value"),
}
"""Kernel parameters of an instance: its namespaces, its parameters, which of them is wrong, and what is said of it."""

OF_AN_INSTANCE: dict[str, Case] = {
    **{
        sentence: (
            shared | {"securityContext": {"sysctls": parameters}},
            f".securityContext.sysctls{path}",
            message,
        )
        for sentence, (shared, parameters, path, message) in PARAMETERS.items()
    },
    "the instance's filter without its file": (
        {"securityContext": {"seccompProfile": {"type": "Localhost"}}},
        ".securityContext.seccompProfile.localhostProfile",
        "must be set when seccomp type is Localhost",
    ),
    "a negative group": (
        {"securityContext": {"supplementalGroups": [5, -1]}},
        ".securityContext.supplementalGroups[1]",
        "greater than or equal to 0",
    ),
    "a container's field for the instance": (
        {"securityContext": {"privileged": True}},
        ".securityContext.privileged",
        "unknown field",
    ),
}

BAD = within(f"{CONTAINER}.securityContext", OF_A_CONTAINER) | within(TEMPLATE, OF_AN_INSTANCE)


@pytest.mark.parametrize("sentence", BAD)
def test_bad_input_is_refused(plane: ControlPlane, sentence: str) -> None:
    """At apply, with the path of the field and what is wrong with it."""
    check_refused(plane, BAD[sentence])


GOOD = {
    "privileged, and escalation not said": workload(**{f"{CONTAINER}.securityContext": {"privileged": True}}),
    "SYS_ADMIN with escalation": workload(
        **{f"{CONTAINER}.securityContext": {"allowPrivilegeEscalation": True, "capabilities": {"add": ["SYS_ADMIN"]}}}
    ),
    "empty security contexts": workload(
        **{f"{CONTAINER}.securityContext": {"capabilities": {}}, "spec.template.spec.securityContext": {}}
    ),
}


@pytest.mark.parametrize("sentence", GOOD)
def test_good_input_is_taken(plane: ControlPlane, sentence: str) -> None:
    """With strict field validation, as kubectl asks for it."""
    take(plane, GOOD[sentence])
