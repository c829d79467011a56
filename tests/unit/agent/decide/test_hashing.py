"""Which changes of a spec replace a running container, and which do not."""

from collections.abc import Mapping
from typing import Any

import pytest

from controller.agent.decide.hashing import made_from
from controller.api import labels
from tests.unit.agent.tokens import token_volume
from tests.unit.agent.values import container, current_hash, desired, first, state

OTHER = {"name": "other", "projected": {"sources": [{"configMap": {"name": "a"}}]}}
BEFORE = current_hash(desired())


@pytest.mark.parametrize(
    "fields",
    [
        {"image": "example.com/app:2"},
        {"command": ["/other"]},
        {"args": ["--verbose"]},
        {"env": [{"name": "A", "value": "1"}]},
        {"workingDir": "/srv"},
        {"resources": {"limits": {"cpu": 1, "hugepages-2Mi": "2Mi"}}},
        {"terminationMessagePath": "/tmp/end"},
        {"tty": True},
        {"stdin": True},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_what_the_process_sees_replaces_the_container(fields: dict[str, Any]) -> None:
    """A change of what the process is started with cannot reach the running one."""
    assert current_hash(desired(container(**fields))) != BEFORE


@pytest.mark.parametrize(
    ("fields", "spec"),
    [
        ({"imagePullPolicy": "Always"}, {}),
        ({"ports": [{"containerPort": 80, "name": "http"}]}, {}),
        ({"livenessProbe": {"tcpSocket": {"port": 1}}}, {}),
        ({"lifecycle": {"preStop": {"sleep": {"seconds": 1}}, "stopSignal": "SIGINT"}}, {}),
        ({"terminationMessagePolicy": "FallbackToLogsOnError"}, {}),
        ({}, {"restartPolicy": "Never"}),
        ({}, {"terminationGracePeriodSeconds": 5}),
        ({}, {"backoff": {"initialSeconds": 7}}),
        ({}, {"suspend": True}),
        ({"resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "500m", "memory": "64Mi", "pids": 5}}}, {}),
        ({"resizePolicy": [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]}, {}),
        ({"command": [], "args": [], "env": [], "workingDir": "", "terminationMessagePath": "/dev/termination-log"}, {}),
        ({"stdin": False, "tty": False}, {}),
    ],
    ids=[
        "pull policy",
        "ports",
        "probes",
        "lifecycle",
        "message policy",
        "restart policy",
        "grace period",
        "back-off",
        "suspend",
        "resources",
        "resize policy",
        "defaults written out",
        "no terminal",
    ],
)
def test_what_is_the_agents_own_business_restarts_nothing(fields: dict[str, Any], spec: Mapping[str, Any]) -> None:
    """The running process is not touched by a change that it could not notice."""
    assert current_hash(desired(container(**fields), **spec)) == BEFORE


def test_defaults_of_sources_make_no_other_container() -> None:
    """Nor does a value that changed where it is taken from: it is not in the hash."""

    def taken(**more: Any) -> str:
        sources = [
            {"secretKeyRef": {"name": "a", "key": "k"} | ({"optional": False} if more else {})},
            {"fieldRef": {"fieldPath": "metadata.name"} | ({"apiVersion": "v1"} if more else {})},
        ]
        env = [{"name": f"V{n}", "valueFrom": source} for n, source in enumerate(sources)]
        env_from = [{"configMapRef": {"name": "a"} | ({"optional": False} if more else {})}]
        return current_hash(desired(container(env=env, envFrom=env_from)))

    assert taken() == taken(written=True)
    assert taken() != BEFORE


def test_another_network_is_another_container() -> None:
    """A process cannot move to another network."""
    assert current_hash(desired(hostNetwork=False, network="None")) != BEFORE


def test_another_account_is_another_container_where_its_token_is_mounted() -> None:
    """And nowhere else; the default, written out, is none."""

    def hashed(*mounts: dict[str, Any], **spec: Any) -> str:
        return current_hash(desired(container(volumeMounts=list(mounts)), volumes=[token_volume(), OTHER], **spec))

    token, other = {"name": "token", "mountPath": "/t"}, {"name": "other", "mountPath": "/o"}
    assert hashed(token) != hashed(token, serviceAccountName="builder")
    assert hashed(token) == hashed(token, serviceAccountName="default")
    for mounts in ((), (other,)):
        assert hashed(*mounts) == hashed(*mounts, serviceAccountName="builder")
    assert current_hash(desired(container())) == current_hash(desired(container(), serviceAccountName="builder"))


def test_a_change_of_one_container_does_not_touch_another() -> None:
    """Each container has a hash of its own."""
    before = desired(container(), container("side"))
    after = desired(container(args=["--new"]), container("side"))
    assert current_hash(before, "side") == current_hash(after, "side")


def test_the_hash_of_a_release_is_the_hash_of_the_next() -> None:
    """The hash is written on containers that outlive the agent: a change of how it is made would restart every one of them."""
    full = container(
        command=["/app"],
        args=["-v"],
        env=[{"name": "A", "value": "1"}],
        workingDir="/srv",
    )
    assert (BEFORE, current_hash(desired(full))) == ("d6f1b453f6097fa0", "6c0c682cfe98f188")
    secured = container(
        securityContext={
            "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]},
            "runAsUser": 5,
            "readOnlyRootFilesystem": True,
            "seccompProfile": {"type": "Localhost", "localhostProfile": "a.json"},
        }
    )
    assert current_hash(desired(secured, hostPID=True, securityContext={"supplementalGroups": [7]})) == "4f1e5654c8c13887"


LIMITED: dict[str, tuple[dict[str, Any], bool]] = {
    "the limits that it was made with": ({"limits": {"cpu": 1, "memory": "64Mi"}}, True),
    "beside them requests, which there were none of": (
        {"requests": {"cpu": "100m"}, "limits": {"cpu": 1, "memory": "64Mi", "pids": 9}},
        True,
    ),
    "other limits": ({"limits": {"cpu": 1, "memory": "65Mi"}}, False),
    "no limits": ({}, False),
}


@pytest.mark.parametrize("sentence", LIMITED)
def test_what_an_earlier_release_has_made_with_limits_is_up_to_date(sentence: str) -> None:
    """It had the limits in the hash, as it has been until then; of other limits it cannot be told that only they changed."""
    resources, expected = LIMITED[sentence]
    wanted = desired(
        container(command=["/app"], args=["-v"], env=[{"name": "A", "value": "1"}], workingDir="/srv", resources=resources)
    )
    made = state(wanted, spec_hash="12840b73dead50c2")
    assert made_from(made, first(wanted), wanted.instance.spec) is expected


def test_the_older_hash_is_of_no_use_to_what_is_made_now() -> None:
    """The label with its resources tells them apart."""
    wanted = desired(container(resources={"limits": {"cpu": 1}}))
    made = state(wanted, spec_hash="an older one", labels={labels.RESOURCES: "{}"})
    assert not made_from(made, first(wanted), wanted.instance.spec)
    assert made_from(state(wanted), first(wanted), wanted.instance.spec)
