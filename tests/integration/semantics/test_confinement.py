"""Kernel parameters, masked paths and devices, as a process finds them.

Source of the rules, unless a case names another: kubernetes.io, "Using sysctls in a Kubernetes Cluster"
(docs/tasks/administer-cluster/sysctl-cluster/), and core/v1 `SecurityContext`.
"""

from pathlib import Path
from typing import Any

import pytest

from tests.integration.semantics.cases import Case, Check, ended, is_ready, shell
from tests.integration.semantics.test_resources import NEVER, stalled
from tests.integration.semantics.world import World
from tests.waiting import eventually

NODE = "semantics-confinement"
OPTIONS = ("--allowed-unsafe-sysctls", "net.core.somaxconn", "--allowed-unsafe-sysctls", "kernel.msg*")

DONE = ended("Succeeded", exitCode=0)
SYS = Path("/proc/sys")


def sets(**values: str) -> dict[str, Any]:
    """An instance that sets kernel parameters, with `__` for each dot of their names."""
    found = [{"name": name.replace("__", "."), "value": value} for name, value in values.items()]
    return {"securityContext": {"sysctls": found}}


def reads(*names: str) -> dict[str, Any]:
    """A container that says what they are."""
    return shell("; ".join(f"cat /proc/sys/{name}" for name in names))


def does(text: str, **security: Any) -> dict[str, Any]:
    """A container that runs a script with a security context. Complaints are not kept: they would mix with what it says."""
    return shell(f"exec 2>/dev/null; {text}") | {"securityContext": security}


SAID: dict[str, tuple[Case, list[str]]] = {
    "safe": (
        Case("a safe one is set", reads("net/ipv4/tcp_fin_timeout"), DONE, NEVER | sets(net__ipv4__tcp_fin_timeout="17")),
        ["17"],
    ),
    "safe-ipc": (
        Case("one of IPC, too", reads("kernel/shm_rmid_forced"), DONE, NEVER | sets(kernel__shm_rmid_forced="1")),
        ["1"],
    ),
    "several": (
        Case(
            "several, and values of several words",
            reads("net/ipv4/ip_local_port_range", "net/ipv4/tcp_keepalive_time"),
            DONE,
            NEVER | sets(net__ipv4__ip_local_port_range="40000 41000", net__ipv4__tcp_keepalive_time="99"),
        ),
        ["40000\t41000", "99"],
    ),
    "slashes": (
        Case(
            "slashes part a name as dots do",
            reads("net/ipv4/tcp_syncookies"),
            DONE,
            NEVER | {"securityContext": {"sysctls": [{"name": "net/ipv4/tcp_syncookies", "value": "0"}]}},
        ),
        ["0"],
    ),
    "over-default": (
        Case(
            "what is set counts, and not what holds otherwise: that any port may be listened on",
            reads("net/ipv4/ip_unprivileged_port_start"),
            DONE,
            NEVER | sets(net__ipv4__ip_unprivileged_port_start="1024"),
        ),
        ["1024"],
    ),
    "allowed": (
        Case(
            "an unsafe one is set where the node allows it, by its name or a pattern",
            reads("net/core/somaxconn", "kernel/msgmax"),
            DONE,
            NEVER | sets(net__core__somaxconn="777", kernel__msgmax="1234"),
        ),
        ["777", "1234"],
    ),
    "none": (Case("without, there is what a new namespace has", reads("net/ipv4/tcp_syncookies"), DONE, NEVER), ["1"]),
    "mask": (
        Case(
            "procMount Default hides parts of /proc, and makes others read-only",
            does("wc -c </proc/keys; echo 1 >/proc/sys/kernel/domainname || echo refused", procMount="Default"),
            DONE,
            NEVER,
        ),
        ["0", "refused"],
    ),
    "unmasked": (
        Case(
            "procMount Unmasked does neither",
            does(
                "test $(wc -l </proc/interrupts) -gt 0 && echo seen; echo d >/proc/sys/kernel/domainname && echo set",
                procMount="Unmasked",
            ),
            DONE,
            NEVER,
        ),
        ["seen", "set"],
    ),
    "devices": (
        Case(
            "a privileged container has the devices of the node",
            does("test -c /dev/loop-control && echo there; head -c 1 /dev/loop-control; echo $?", privileged=True),
            DONE,
            NEVER,
        ),
        ["there", "1"],
    ),
    "no-devices": (
        Case(
            "another has but those that every container may use, whatever it makes of its own",
            does(
                "ls /dev/loop-control || echo none; mknod /tmp/l c 10 237; head -c 1 /tmp/l || echo refused; "
                "head -c 1 /dev/zero | wc -c"
            ),
            DONE,
            NEVER,
        ),
        ["none", "refused", "1"],
    ),
}

ENDS: dict[str, Case] = {
    "unsafe": Case(
        "an unsafe one is refused where the node does not allow it",
        {},
        stalled("SysctlForbidden", "forbidden sysctl: 'net.core.rmem_max' is not allowed on this node"),
        sets(net__core__rmem_max="1"),
    ),
    "whole-node": Case(
        "one of the whole node is refused, whoever wants it",
        {"securityContext": {"privileged": True}},
        stalled("SysctlForbidden", "'vm.swappiness' is not allowed"),
        sets(vm__swappiness="1"),
    ),
    "no-such": Case(
        "one that does not exist is told",
        {},
        ended("Failed", exitCode=128, reason="StartError"),
        NEVER | sets(kernel__msgnone="1"),
    ),
    "no-value": Case(
        "and a value that it does not take",
        {},
        ended("Failed", exitCode=128, reason="StartError"),
        NEVER | sets(net__ipv4__ip_local_port_range="many"),
    ),
}


@pytest.fixture(scope="module")
def settled(world: World) -> World:
    """Every case at once."""
    world.apply({name: case for name, (case, _) in SAID.items()} | ENDS | {"kept": KEPT})
    return world


KEPT = Case("", shell("cat /proc/sys/kernel/shm_rmid_forced; exec sleep 1000000"), is_ready, sets(kernel__shm_rmid_forced="1"))


@pytest.mark.parametrize("name", SAID)
def test_what_a_process_finds(settled: World, name: str) -> None:
    """In its log."""
    case, said = SAID[name]
    settled.holds(name, case)
    assert settled.said(name) == said, case.sentence


@pytest.mark.parametrize("name", ENDS)
def test_what_is_refused(settled: World, name: str) -> None:
    """The manifest leads to the state of the world."""
    settled.holds(name, ENDS[name])


def test_the_node_keeps_its_own(settled: World) -> None:
    """Nothing of it reaches the node, whose network and IPC are others."""
    for name in ("safe", "safe-ipc", "allowed"):
        settled.holds(name, SAID[name][0])
    own = {
        name: (SYS / name).read_text().strip() for name in ("net/ipv4/tcp_fin_timeout", "net/core/somaxconn", "kernel/msgmax")
    }
    assert own["net/ipv4/tcp_fin_timeout"] != "17"
    assert own["net/core/somaxconn"] != "777"
    assert own["kernel/msgmax"] != "1234"


def test_another_value_reaches_the_container_by_a_restart(settled: World) -> None:
    """What is set when a container is made cannot be set later."""
    settled.until("kept", is_ready)
    changed = Case("", KEPT.container, is_ready, sets(kernel__shm_rmid_forced="0"))
    settled.apply({"kept": changed})
    restarted: Check = lambda o: o["status"]["restarts"] == 1 and o["status"]["ready"] == "1/1"  # noqa: E731
    settled.until("kept", restarted)
    assert eventually(lambda: settled.said("kept", attempt=1), bool, 10) == ["0"]
    assert settled.said("kept", attempt=0) == ["1"]
