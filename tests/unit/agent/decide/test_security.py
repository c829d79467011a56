"""What a container may do, from its security context and its instance's."""

from typing import Any

import pytest

from controller.agent.decide.security import PLAIN, localhost_profile, security
from controller.runtime.port import Seccomp, Security
from tests.unit.agent.values import container, current_hash, desired, first

Context = dict[str, Any]
LOCAL = {"type": "Localhost", "localhostProfile": "audit/web.json"}
BUILT_IN, UNCONFINED = {"type": "RuntimeDefault"}, {"type": "Unconfined"}

TABLE: dict[str, tuple[Context, Context, Security]] = {
    "nothing said": ({}, {}, Security()),
    "the defaults written out": (
        {
            "privileged": False,
            "allowPrivilegeEscalation": False,
            "capabilities": {"add": [], "drop": []},
            "runAsNonRoot": False,
            "readOnlyRootFilesystem": False,
            "procMount": "Default",
            "seccompProfile": BUILT_IN,
        },
        {"runAsNonRoot": False, "supplementalGroups": [], "seccompProfile": BUILT_IN},
        Security(),
    ),
    "escalation has to be asked for": ({"allowPrivilegeEscalation": True}, {}, Security(no_new_privileges=False)),
    "privileged escalates": ({"privileged": True}, {}, Security(privileged=True, no_new_privileges=False)),
    "the instance's user": ({}, {"runAsUser": 5, "runAsGroup": 6}, Security(run_as_user=5, run_as_group=6)),
    "the container's user over it": (
        {"runAsUser": 0},
        {"runAsUser": 5, "runAsGroup": 6},
        Security(run_as_user=0, run_as_group=6),
    ),
    "the instance's runAsNonRoot": ({}, {"runAsNonRoot": True}, Security(run_as_non_root=True)),
    "the container's runAsNonRoot over it": ({"runAsNonRoot": False}, {"runAsNonRoot": True}, Security()),
    "groups in any order": ({}, {"supplementalGroups": [9, 7, 9]}, Security(supplemental_groups=(7, 9))),
    "capabilities in any order": (
        {"capabilities": {"add": ["SYS_TIME", "BPF", "BPF"], "drop": ["ALL"]}},
        {},
        Security(add_capabilities=("BPF", "SYS_TIME"), drop_capabilities=("ALL",)),
    ),
    "the instance's filter": ({}, {"seccompProfile": UNCONFINED}, Security(seccomp=Seccomp.UNCONFINED)),
    "the container's filter over it": ({"seccompProfile": BUILT_IN}, {"seccompProfile": UNCONFINED}, Security()),
    "a read-only root": ({"readOnlyRootFilesystem": True}, {}, Security(read_only_root=True)),
    "an unmasked /proc": ({"procMount": "Unmasked"}, {}, Security(unmasked_proc=True)),
}


@pytest.mark.parametrize("sentence", TABLE)
def test_the_container_is_over_the_instance_and_both_over_the_defaults(sentence: str) -> None:
    """Field by field, as core/v1 has it."""
    own, common, expected = TABLE[sentence]
    wanted = desired(container(securityContext=own), securityContext=common)
    assert security(first(wanted), wanted.instance.spec) == expected


@pytest.mark.parametrize("sentence", TABLE)
def test_a_container_is_replaced_exactly_when_what_it_may_do_changes(sentence: str) -> None:
    """Nothing restarts because a default was written out, or because a field moved from one level to the other."""
    own, common, expected = TABLE[sentence]
    wanted = desired(container(securityContext=own), securityContext=common)
    assert (current_hash(wanted) == current_hash(desired())) is (expected == PLAIN)


def test_a_change_for_another_container_touches_nothing() -> None:
    """What a container sets itself does not follow the instance."""
    own = container(securityContext={"runAsUser": 1})
    before = desired(own, container("side"), securityContext={"runAsUser": 5})
    after = desired(own, container("side"), securityContext={"runAsUser": 6})
    assert current_hash(before) == current_hash(after)
    assert current_hash(before, "side") != current_hash(after, "side")


@pytest.mark.parametrize("field", ["hostPID", "hostIPC"])
def test_the_nodes_namespaces_replace_the_container(field: str) -> None:
    """A running process cannot change its namespaces; false is the default."""
    ways: list[dict[str, Any]] = [{field: False}, {field: True}]
    own, nodes = (current_hash(desired(**way)) for way in ways)
    assert nodes != current_hash(desired())
    assert own == current_hash(desired())


@pytest.mark.parametrize(
    ("own", "common", "name"),
    [
        ({}, {}, ""),
        ({"seccompProfile": LOCAL}, {}, "audit/web.json"),
        ({}, {"seccompProfile": LOCAL}, "audit/web.json"),
        ({"seccompProfile": UNCONFINED}, {"seccompProfile": LOCAL}, ""),
        ({"privileged": True}, {"seccompProfile": LOCAL}, ""),
    ],
    ids=["none", "the container's", "the instance's", "not the instance's", "not when privileged"],
)
def test_the_filters_file(own: Context, common: Context, name: str) -> None:
    """The file is named once, and is part of what replaces a container; what it contains is not known to the planner."""
    wanted = desired(container(securityContext=own), securityContext=common)
    assert localhost_profile(first(wanted), wanted.instance.spec) == name
    if name:
        found = security(first(wanted), wanted.instance.spec, "content")
        assert (found.seccomp, found.seccomp_profile) == (Seccomp.LOCALHOST, "content")
        other = desired(container(securityContext={"seccompProfile": LOCAL | {"localhostProfile": "b"}}))
        assert current_hash(wanted) != current_hash(other)
