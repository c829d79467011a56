"""Kernel parameters: which an instance may set."""

from typing import Any

import pytest

from controller.agent.decide.sysctls import SAFE, SysctlForbidden, allow, namespaced, normal, sysctls
from controller.api.instance import ContainerInstanceSpec
from tests.unit.agent.values import current_hash, desired


def spec(*names: str, value: str = "1", **fields: Any) -> ContainerInstanceSpec:
    """A spec that sets these."""
    context = {"sysctls": [{"name": name, "value": value} for name in names]}
    said: dict[str, Any] = {"hostNetwork": False, "network": "None", "securityContext": context}
    return desired(**said | fields).instance.spec


def test_safe_ones_may_be_set_on_every_node() -> None:
    """All twelve."""
    allow(spec(*SAFE), ())
    assert len(SAFE) == 12


FORBIDDEN: dict[str, tuple[tuple[str, ...], tuple[str, ...], dict[str, Any], str]] = {
    "an unsafe one": (("net.core.somaxconn",), (), {}, "'net.core.somaxconn' is not allowed"),
    "one of the whole node": (("vm.swappiness",), ("net.*",), {}, "'vm.swappiness' is not allowed"),
    "another one than the node allows": (("kernel.msgmax",), ("kernel.msgmni",), {}, "'kernel.msgmax' is not allowed"),
    "one that only begins like one that is allowed": (("net.core.somaxconns",), ("net.core.somaxconn",), {}, "not allowed"),
    "one of the network that is the node's": (
        ("net.ipv4.tcp_syncookies",),
        (),
        {"hostNetwork": True, "network": None},
        "is the node's own with hostNetwork: true",
    ),
    "one of IPC that is the node's": (
        ("kernel.shm_rmid_forced",),
        (),
        {"hostIPC": True},
        "is the node's own with hostIPC: true",
    ),
    "one that is allowed, and the node's": (("kernel.msgmax",), ("kernel.msg*",), {"hostIPC": True}, "hostIPC"),
}


@pytest.mark.parametrize("sentence", FORBIDDEN)
def test_forbidden(sentence: str) -> None:
    """Whatever the API server has let in, in words that name it."""
    names, unsafe, fields, told = FORBIDDEN[sentence]
    with pytest.raises(SysctlForbidden, match=told):
        allow(spec(*names, **fields), unsafe)


@pytest.mark.parametrize(
    ("name", "unsafe"),
    [
        ("net.core.somaxconn", "net.core.somaxconn"),
        ("net.core.somaxconn", "net.core.*"),
        ("net/core/somaxconn", "net.*"),
        ("kernel.msgmax", "kernel.msg*"),
        ("fs.mqueue.msg_max", "fs.mqueue.*"),
        ("net/ipv4/conf/eth0.1/forwarding", "net.ipv4.conf.*"),
        ("net.ipv4.conf.eth0/1.forwarding", "net/ipv4/conf/eth0.1/forwarding"),
    ],
)
def test_what_the_node_allows(name: str, unsafe: str) -> None:
    """By name or by its beginning, with dots or slashes."""
    allow(spec(name), (unsafe,))


def test_the_network_is_no_matter_of_ipc() -> None:
    """Nor the other way round."""
    allow(spec("net.ipv4.tcp_syncookies", hostIPC=True), ())
    allow(spec("kernel.shm_rmid_forced", hostNetwork=True, network=None), ())


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("net.*", True),
        ("net.core.somaxconn", True),
        ("kernel.msg*", True),
        ("kernel.shm*", True),
        ("kernel.sem", True),
        ("fs.mqueue.*", True),
        ("kernel.*", False),
        ("vm.swappiness", False),
        ("fs.file-max", False),
        ("*", False),
        ("netx.a", False),
    ],
)
def test_what_a_node_can_allow(pattern: str, expected: bool) -> None:  # noqa: FBT001 - a table
    """Only what is of a namespace: the rest would be every instance's and the node's."""
    assert namespaced(pattern) is expected


def test_names_are_written_in_one_way() -> None:
    """With dots between the parts (sysctl.d(5))."""
    assert normal("net/ipv4/conf/eth0.1/forwarding") == "net.ipv4.conf.eth0/1.forwarding"
    assert normal("net.ipv4.conf.eth0/1.forwarding") == "net.ipv4.conf.eth0/1.forwarding"
    assert sysctls(spec("net/b", "kernel.a", value="7")) == (("kernel.a", "7"), ("net.b", "7"))


def test_another_value_is_another_container() -> None:
    """They are set when a container is made."""
    one, other = (
        desired(securityContext={"sysctls": [{"name": "kernel.shm_rmid_forced", "value": value}]}) for value in ("0", "1")
    )
    assert current_hash(one) != current_hash(other)
    assert current_hash(desired(securityContext={"sysctls": []})) == current_hash(desired())
