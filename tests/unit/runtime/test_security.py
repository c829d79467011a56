"""What a process may do, in the OCI runtime spec."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.runtime.oci import DEFAULT_CAPABILITIES, Host, User, runtime_spec
from controller.runtime.oci.capabilities import ALL_CAPABILITIES
from controller.runtime.oci.security import bounding_set
from controller.runtime.port import ContainerConfig, InvalidConfig, Seccomp, Security

HOST = Host()
SHORT = [name.removeprefix("CAP_") for name in ALL_CAPABILITIES]
PROFILE = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}]}


def spec(host: Host = HOST, user: User = User(), security: Security = Security(), **config: Any) -> dict[str, Any]:  # noqa: B008
    """The spec of a container with this security, as it is after JSON."""
    made = runtime_spec(ContainerConfig("c1", "i", ("run",), {}, security=security, **config), user, host)
    return dict(json.loads(json.dumps(made)))


def capabilities(**security: Any) -> set[str]:
    """The bounding set, in short."""
    return {name.removeprefix("CAP_") for name in bounding_set(Security(**security), HOST)}


DEFAULT = {name.removeprefix("CAP_") for name in DEFAULT_CAPABILITIES}


@pytest.mark.parametrize(
    ("sentence", "add", "drop", "expected"),
    [
        ("nothing said: Docker's", (), (), DEFAULT),
        ("added to Docker's", ("NET_ADMIN",), (), DEFAULT | {"NET_ADMIN"}),
        ("one that it has", ("CHOWN",), (), DEFAULT),
        ("taken from Docker's", (), ("CHOWN", "MKNOD"), DEFAULT - {"CHOWN", "MKNOD"}),
        ("one that it has not", (), ("BPF",), DEFAULT),
        ("none", (), ("ALL",), set()),
        ("only these", ("NET_BIND_SERVICE", "BPF"), ("ALL",), {"NET_BIND_SERVICE", "BPF"}),
        ("all", ("ALL",), (), set(SHORT)),
        ("all but these", ("ALL",), ("SYS_ADMIN",), set(SHORT) - {"SYS_ADMIN"}),
        ("ALL of both: dropped after added", ("ALL", "BPF"), ("ALL",), {"BPF"}),
        ("the same of both: dropped after added", ("BPF",), ("BPF",), DEFAULT),
    ],
)
def test_capabilities_are_added_and_dropped_as_containerd_does(
    sentence: str, add: tuple[str, ...], drop: tuple[str, ...], expected: set[str]
) -> None:
    """ALL first, then what is added, then what is dropped."""
    assert capabilities(add_capabilities=add, drop_capabilities=drop) == expected, sentence


@given(
    add=st.sets(st.sampled_from([*SHORT, "ALL"]), max_size=6),
    drop=st.sets(st.sampled_from([*SHORT, "ALL"]), max_size=6),
)
def test_nothing_that_is_dropped_by_name_is_left_and_nothing_comes_unasked(add: set[str], drop: set[str]) -> None:
    """Whatever is said; and the order is the kernel's, so that equal sets are equal specs."""
    found = bounding_set(Security(add_capabilities=tuple(add), drop_capabilities=tuple(drop)), HOST)
    short = {name.removeprefix("CAP_") for name in found}
    assert not short & drop
    assert short <= DEFAULT | add or "ALL" in add
    assert add - drop - {"ALL"} <= short
    assert set(found) == set(found) & set(ALL_CAPABILITIES)
    if add - {"ALL"} or drop - {"ALL"} or "ALL" in add | drop:
        assert found == sorted(found, key=ALL_CAPABILITIES.index)


def test_what_the_node_lacks() -> None:
    """ALL is all that there is to give; one that is named and cannot be given is refused, not forgotten."""
    poor = replace(HOST, capabilities=frozenset({"CAP_CHOWN", "CAP_KILL"}))
    assert bounding_set(Security(add_capabilities=("ALL",)), poor) == ["CAP_CHOWN", "CAP_KILL"]
    assert bounding_set(Security(drop_capabilities=("KILL",)), poor) == ["CAP_CHOWN"]
    with pytest.raises(InvalidConfig, match="cannot give SYS_TIME"):
        bounding_set(Security(add_capabilities=("SYS_TIME",)), poor)


@pytest.mark.parametrize("field", ["add_capabilities", "drop_capabilities"])
@pytest.mark.parametrize("name", ["FLY", "CAP_CHOWN", "chown", ""])
def test_what_is_no_capability_is_refused(field: str, name: str) -> None:
    """An OCI runtime would pass over it: what was to be dropped would stay."""
    given: dict[str, Any] = {field: (name,)}
    with pytest.raises(InvalidConfig, match="is none"):
        bounding_set(Security(**given), HOST)


def test_added_capabilities_open_their_calls_in_the_filter() -> None:
    """And dropped ones close theirs."""

    def calls(**security: Any) -> set[str]:
        rules = spec(security=Security(**security))["linux"]["seccomp"]["syscalls"]
        return {name for rule in rules if not rule.get("args") for name in rule["names"] if rule["action"] == "SCMP_ACT_ALLOW"}

    assert "mount" in calls(add_capabilities=("SYS_ADMIN",))
    assert "chroot" in calls()
    assert not {"chroot", "mount"} & calls(drop_capabilities=("ALL",))


@pytest.mark.parametrize(
    ("security", "filtered", "masked", "read_only"),
    [
        (Security(), True, True, False),
        (Security(seccomp=Seccomp.UNCONFINED), False, True, False),
        (Security(unmasked_proc=True), True, False, False),
        (Security(read_only_root=True), True, True, True),
        (Security(privileged=True), False, False, False),
        (Security(privileged=True, read_only_root=True), False, False, True),
        (Security(privileged=True, seccomp=Seccomp.LOCALHOST, drop_capabilities=("ALL",)), False, False, False),
    ],
    ids=["default", "no filter", "unmasked", "read-only", "privileged", "privileged, read-only", "privileged, for all it says"],
)
def test_what_holds_a_container_back(security: Security, *, filtered: bool, masked: bool, read_only: bool) -> None:
    """Each on its own; privileged takes all away but a read-only root."""
    made = spec(security=security)
    assert ("seccomp" in made["linux"]) is filtered
    assert ("maskedPaths" in made["linux"]) is ("readonlyPaths" in made["linux"]) is masked
    assert made["root"].get("readonly", False) is read_only
    if security.privileged:
        assert set(made["process"]["capabilities"]["bounding"]) == set(ALL_CAPABILITIES)


def test_a_filter_from_a_file_is_used_as_it_is() -> None:
    """In the OCI runtime's own form."""
    security = Security(seccomp=Seccomp.LOCALHOST, seccomp_profile=json.dumps(PROFILE))
    assert spec(security=security)["linux"]["seccomp"] == PROFILE


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no JSON"),
        ("{", "no JSON"),
        ("[]", "no defaultAction"),
        ("{}", "no defaultAction"),
        ('{"defaultAction": 1}', "no defaultAction"),
        ('{"defaultAction": "SCMP_ACT_ERRNO", "archMap": []}', "'archMap'"),
    ],
)
def test_a_filter_that_cannot_be_used(text: str, message: str) -> None:
    """Said with what is wrong, where an OCI runtime might run the container without it."""
    with pytest.raises(InvalidConfig, match=message):
        spec(security=Security(seccomp=Seccomp.LOCALHOST, seccomp_profile=text))


def test_a_kernel_without_filters() -> None:
    """The default is then none; one that is asked for by name cannot be had."""
    host = replace(HOST, seccomp=False)
    assert "seccomp" not in spec(host)["linux"]
    with pytest.raises(InvalidConfig, match="no filters"):
        spec(host, security=Security(seccomp=Seccomp.LOCALHOST, seccomp_profile=json.dumps(PROFILE)))


@pytest.mark.parametrize("pid", [False, True])
@pytest.mark.parametrize("ipc", [False, True])
def test_namespaces_that_are_the_nodes_are_left_out(*, pid: bool, ipc: bool) -> None:
    """With the node's IPC comes its /dev/shm, which belongs to it."""
    made = spec(host_pid=pid, host_ipc=ipc)
    kinds = {entry["type"] for entry in made["linux"]["namespaces"]}
    assert ("pid" in kinds, "ipc" in kinds, "mount" in kinds) == (not pid, not ipc, True)
    (shm,) = [mount for mount in made["mounts"] if mount["destination"] == "/dev/shm"]
    assert (shm["source"] == "/dev/shm") is ipc
    assert (shm["type"] == "bind") is ipc
