"""Limits and promises as cgroups: the figures are those that the kubelet's own documentation and tests name."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.runtime.containerd.host import huge_pages
from controller.runtime.oci.host import Host
from controller.runtime.oci.resources import linux_resources, oom_score, quota, resource_changes, shares
from controller.runtime.port import Resources

V1 = Host(cgroup_v2=False)
V2 = Host(cgroup_v2=True)
HUGE = Host(cgroup_v2=False, huge_pages=("2Mi", "1Gi"))
MIB = 1 << 20


@pytest.mark.parametrize(
    ("millis", "expected"),
    [(0, 2), (1, 2), (2, 2), (3, 3), (100, 102), (250, 256), (500, 512), (1000, 1024), (1500, 1536), (10**9, 262_144)],
)
def test_shares(millis: int, expected: int) -> None:
    """1024 to a core, at least 2, at most what the kernel takes."""
    assert shares(millis) == expected


@pytest.mark.parametrize(
    ("millis", "expected"), [(1, 1000), (9, 1000), (10, 1000), (11, 1100), (200, 20_000), (1000, 100_000), (1500, 150_000)]
)
def test_quota(millis: int, expected: int) -> None:
    """Microseconds in each period of 100,000, at least 1,000."""
    assert quota(millis) == expected


@given(st.integers(0, 10**7), st.integers(0, 10**7))
def test_who_is_promised_more_never_weighs_less(one: int, other: int) -> None:
    """Shares and quota keep the order, and stay within what the kernel takes."""
    low, high = sorted((one, other))
    assert 2 <= shares(low) <= shares(high) <= 262_144
    assert 1000 <= quota(low) <= quota(high)


SAID: dict[str, tuple[Resources, Host, dict[str, Any]]] = {
    "nothing": (Resources(), V1, {}),
    "a limit of cpu": (Resources(cpu_millis=1500), V1, {"cpu": {"quota": 150_000, "period": 100_000}}),
    "a request of cpu": (Resources(cpu_request_millis=250), V1, {"cpu": {"shares": 256}}),
    "both": (
        Resources(cpu_millis=500, cpu_request_millis=250),
        V1,
        {"cpu": {"shares": 256, "quota": 50_000, "period": 100_000}},
    ),
    "a request of none": (Resources(cpu_request_millis=0), V1, {"cpu": {"shares": 2}}),
    "a limit of memory": (Resources(memory_bytes=64 * MIB), V1, {"memory": {"limit": 64 * MIB}}),
    "a limit of memory is one of swap, too, where the node can": (
        Resources(memory_bytes=64 * MIB),
        replace(V1, swap_limits=True),
        {"memory": {"limit": 64 * MIB, "swap": 64 * MIB}},
    ),
    "a limit of processes": (Resources(pids=20), V1, {"pids": {"limit": 20}}),
    "on version 2 memory is said the same way, and its end is everybody's": (
        Resources(memory_bytes=64 * MIB),
        V2,
        {"memory": {"limit": 64 * MIB}, "unified": {"memory.oom.group": "1"}},
    ),
    "on version 2 cpu is said as shares, too": (
        Resources(cpu_millis=500, cpu_request_millis=250),
        V2,
        {"cpu": {"shares": 256, "quota": 50_000, "period": 100_000}, "unified": {"memory.oom.group": "1"}},
    ),
    "huge pages, and none of the other sizes": (
        Resources(huge_pages=(("2Mi", 4 * MIB),)),
        HUGE,
        {"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * MIB}, {"pageSize": "1GB", "limit": 0}]},
    ),
}


@pytest.mark.parametrize("sentence", SAID)
def test_new_container(sentence: str) -> None:
    """Only what is said is written."""
    resources, host, expected = SAID[sentence]
    assert linux_resources(resources, host) == expected


def test_limits_that_are_taken_away_are_said_to_be_none() -> None:
    """Since leaving them out would leave them as they are."""
    assert resource_changes(Resources(), V1) == {
        "cpu": {"shares": 1024, "quota": -1, "period": 100_000},
        "memory": {"limit": -1},
        "pids": {"limit": -1},
    }


def test_a_memory_limit_is_not_lowered_below_what_is_used() -> None:
    """The kernel would kill at once; so the OCI runtime is told to look first."""
    changes = resource_changes(Resources(cpu_millis=100, memory_bytes=8 * MIB, cpu_request_millis=0, pids=7), V1)
    assert changes == {
        "cpu": {"shares": 2, "quota": 10_000, "period": 100_000},
        "memory": {"limit": 8 * MIB, "checkBeforeUpdate": True},
        "pids": {"limit": 7},
    }


def test_a_change_of_memory_is_one_of_swap_too() -> None:
    """Since the one may not be above the other, also where the limit goes up or is taken away."""
    node = replace(V1, swap_limits=True)
    assert resource_changes(Resources(memory_bytes=8 * MIB), node)["memory"]["swap"] == 8 * MIB
    assert resource_changes(Resources(), node)["memory"] == {"limit": -1, "swap": -1}


@pytest.mark.parametrize(("wanted", "floor", "expected"), [(-997, -1000, -997), (-997, 0, 0), (1000, 0, 1000), (5, 7, 7)])
def test_an_oom_score_is_no_lower_than_allowed(wanted: int, floor: int, expected: int) -> None:
    """One below the own makes an OCI runtime without CAP_SYS_RESOURCE fail."""
    assert oom_score(wanted, Host(oom_score_floor=floor)) == expected


@pytest.mark.parametrize(
    ("controllers", "expected"),
    [
        ({"hugetlb/tasks": ""}, ("64Ki", "2Mi", "1Gi")),
        ({"memory/tasks": ""}, ()),
        ({"cgroup.controllers": "cpu hugetlb pids"}, ("64Ki", "2Mi", "1Gi")),
        ({"cgroup.controllers": "cpu memory"}, ()),
    ],
    ids=["version 1", "version 1 without", "version 2", "version 2 without"],
)
def test_huge_pages_need_their_controller(tmp_path: Path, controllers: dict[str, str], expected: tuple[str, ...]) -> None:
    """Without it nobody can be limited, so that none are given away."""
    for name, text in controllers.items():
        (tmp_path / "cgroup" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "cgroup" / name).write_text(text)
    for kib in (2048, 1048576, 64):
        (tmp_path / "sizes" / f"hugepages-{kib}kB").mkdir(parents=True)
    assert huge_pages(tmp_path / "cgroup", tmp_path / "sizes") == expected
