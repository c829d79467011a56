"""The table of the Pod Security Standards: complete for our schema, and read rightly. Its words are tested in integration."""

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from controller.api.instance import ContainerInstance
from controller.api.podsecurity.check import refusal, violations
from controller.api.podsecurity.levels import NEWEST, Level, LevelVersion, Policy, enforced, policy
from controller.api.podsecurity.table import CONTAINER_LISTS, CONTROLS, COVERED, fields, instance_fields
from controller.api.spec import InstanceSpec
from controller.api.volumes.volume import SOURCES

LATEST_BASELINE = LevelVersion(Level.BASELINE)
DEFAULT = Policy(LATEST_BASELINE, LATEST_BASELINE, LATEST_BASELINE)
PREFIX = "pod-security.kubernetes.io/"


def wire_paths(model: type[BaseModel], above: str = "") -> Iterator[str]:
    """All fields of a model and of the models in it, as written in YAML."""
    for name, field in model.model_fields.items():
        path = f"{above}{field.serialization_alias or field.alias or name}"
        yield path
        for inner in models(field.annotation):
            yield from wire_paths(inner, f"{path}.")


def models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that an annotation speaks of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from models(argument)


def uncovered(model: type[BaseModel]) -> set[str]:
    """Fields that the standards cover and no control looks at."""
    found = set()
    known = {field.path for control in CONTROLS for field in fields(control)}
    for path in wire_paths(model):
        first, _, rest = path.partition(".")
        local = rest if first in CONTAINER_LISTS else path
        looked_at = any(local == k or k.startswith(f"{local}.") for k in known)
        if local.rpartition(".")[2] in COVERED and not looked_at:
            found.add(path)
    return found


def test_every_field_that_the_standards_cover_has_a_control() -> None:
    """A field of our schema with a name that the Pod Security Standards speak of is looked at by a control."""
    assert not uncovered(InstanceSpec), "write a control into controller/api/podsecurity/table.py"


def test_a_field_without_a_control_is_noticed() -> None:
    """The walk above finds what a later schema may bring, at any depth."""

    class Handler(BaseModel):
        host: str = ""

    class Port(BaseModel):
        hostPort: int = 0

    class Wide(InstanceSpec):
        windowsOptions: tuple[str, ...] = ()
        initContainers: tuple[Port, ...] = ()
        probes: dict[str, Handler] | None = None

    assert uncovered(Wide) == {"windowsOptions", "initContainers.hostPort", "probes.host"}


def test_all_containers_are_looked_at() -> None:
    """Each list of containers that the schema has is one that the controls visit; and their fields are watched for changes."""
    lists = {path for path in wire_paths(InstanceSpec) if path.lower().endswith("containers")}
    assert lists <= set(CONTAINER_LISTS)
    assert {"containers", "hostNetwork", "securityContext"} <= set(instance_fields())


def test_every_kind_of_volume_is_judged() -> None:
    """A kind that `restricted` does not name is restricted there (pod-security-admission, `restrictedVolumes`)."""
    allowed = {"config_map", "secret", "empty_dir", "projected", "image", "downward_api"}
    assert set(SOURCES) - allowed == {"host_path"}


def test_controls_stand_in_the_order_of_their_words() -> None:
    """Baseline before restricted, each by id (pod-security-admission, `populate`); what is looked at is covered."""
    order = [(c.level.rank, c.id) for c in CONTROLS]
    assert order == sorted(order)
    assert {name for c in CONTROLS for f in fields(c) for name in f.path.split(".")} & COVERED
    for control in CONTROLS:
        assert any(name in COVERED for f in fields(control) for name in f.path.split(".")), control.id


WEB: dict[str, Any] = {"name": "web", "image": "web"}
HARD: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"], "add": []},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


PROBED: dict[str, Any] = WEB | {"livenessProbe": {"tcpSocket": {"port": 1, "host": "x"}, "httpGet": {"host": ""}}}


def only(**security: Any) -> dict[str, Any]:
    """A spec with two containers, of which `web` has that securityContext."""
    return {"containers": [WEB | {"securityContext": security}, {"name": "b", "image": "b", "securityContext": HARD}]}


def test_a_plain_container_holds_baseline_and_not_restricted() -> None:
    """The words are those of Pod Security admission."""
    spec = {"containers": [WEB]}
    assert refusal(spec, LATEST_BASELINE) == ""
    assert refusal(spec, LevelVersion(Level.RESTRICTED, "v1.30")) == (
        'violates PodSecurity "restricted:v1.30": '
        'allowPrivilegeEscalation != false (container "web" must set securityContext.allowPrivilegeEscalation=false), '
        'unrestricted capabilities (container "web" must set securityContext.capabilities.drop=["ALL"]), '
        'runAsNonRoot != true (pod or container "web" must set securityContext.runAsNonRoot=true), '
        'seccompProfile (pod or container "web" must set securityContext.seccompProfile.type to "RuntimeDefault" '
        'or "Localhost")'
    )


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"hostNetwork": True, "hostIPC": True}, "host namespaces (hostNetwork=true, hostIPC=true)"),
        (only(privileged=True), 'privileged (container "web" must not set securityContext.privileged=true)'),
        (
            only(capabilities={"add": ["SYS_ADMIN", "BOGUS", "CHOWN"]}),
            (
                'non-default capabilities (container "web" must not include "BOGUS", "SYS_ADMIN"'
                " in securityContext.capabilities.add)"
            ),
        ),
        (
            {"containers": [PROBED, {"name": "b", "lifecycle": {"preStop": {"httpGet": {"port": 1, "host": "y"}}}}]},
            'probe or lifecycle host (containers "b", "web" use probe or lifecycle hosts "x", "y")',
        ),
        ({"containers": [PROBED]}, 'probe or lifecycle host (container "web" uses probe or lifecycle host "x")'),
        (only(procMount="Unmasked"), 'procMount (container "web" must not set securityContext.procMount to "Unmasked")'),
        (
            only(seccompProfile={"type": "Unconfined"}) | {"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
            'seccompProfile (pod and container "web" must not set securityContext.seccompProfile.type to "Unconfined")',
        ),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_what_baseline_forbids(spec: dict[str, Any], told: str) -> None:
    """One field each."""
    (found,) = violations(spec, Level.BASELINE, NEWEST)
    assert str(found) == told
    assert violations(spec, Level.PRIVILEGED, NEWEST) == ()


def test_null_is_the_same_as_absent() -> None:
    """A dumped model writes what is not set as null, or leaves it out."""
    spec = {"hostNetwork": False, "securityContext": None, "containers": [WEB | {"securityContext": {"privileged": None}}]}
    assert violations(spec, Level.RESTRICTED, NEWEST) == violations({"containers": [WEB]}, Level.RESTRICTED, NEWEST)


def test_old_versions_ask_for_less() -> None:
    """A control begins with its first version, and gives way to the one that overrides it."""
    spec = only(capabilities={"add": ["NET_RAW"]}, runAsUser=0)
    by_version = {minor: [v.control for v in violations(spec, Level.RESTRICTED, minor)] for minor in (7, 18, 19, 22, 23)}
    assert by_version == {
        7: ["capabilities_baseline", "runAsNonRoot"],
        18: ["capabilities_baseline", "allowPrivilegeEscalation", "runAsNonRoot"],
        19: ["capabilities_baseline", "allowPrivilegeEscalation", "runAsNonRoot", "seccompProfile_restricted"],
        22: ["allowPrivilegeEscalation", "capabilities_restricted", "runAsNonRoot", "seccompProfile_restricted"],
        23: ["allowPrivilegeEscalation", "capabilities_restricted", "runAsNonRoot", "runAsUser", "seccompProfile_restricted"],
    }


LABELLED: dict[str, tuple[dict[str, str], tuple[str, str, str]]] = {
    "no labels: the defaults": ({}, ("baseline:latest", "baseline:latest", "baseline:latest")),
    "levels and versions": (
        {"enforce": "privileged", "warn": "restricted", "warn-version": "v1.30", "audit-version": "v1.0"},
        ("privileged:latest", "restricted:v1.30", "baseline:v1.0"),
    ),
    "no such level: enforce is strict, the others are silent": (
        {"enforce": "strict", "warn": "strict", "audit": ""},
        ("restricted:latest", "privileged:latest", "privileged:latest"),
    ),
    "no such version: the latest": ({"enforce-version": "1.30"}, ("baseline:latest", "baseline:latest", "baseline:latest")),
    "what is enforced and stricter than the default is warned of": (
        {"enforce": "restricted", "enforce-version": "v1.28"},
        ("restricted:v1.28", "restricted:v1.28", "baseline:latest"),
    ),
    "but with the version that is named": (
        {"enforce": "restricted", "enforce-version": "v1.28", "warn-version": "v1.31"},
        ("restricted:v1.28", "restricted:v1.31", "baseline:latest"),
    ),
    "and not when what is enforced is a mistake": (
        {"enforce": "Restricted"},
        ("restricted:latest", "baseline:latest", "baseline:latest"),
    ),
}


@pytest.mark.parametrize("case", LABELLED)
def test_labels_say_what_holds(case: str) -> None:
    """As pod-security-admission's `PolicyToEvaluate` reads them."""
    labels, expected = LABELLED[case]
    found = policy({PREFIX + name: value for name, value in labels.items()}, DEFAULT)
    assert (str(found.enforce), str(found.warn), str(found.audit)) == expected
    assert found.enforce == enforced({PREFIX + name: value for name, value in labels.items()}, DEFAULT.enforce)


def test_a_model_is_judged_by_what_it_says_on_the_wire() -> None:
    """The agent asks about models."""
    spec = {"nodeName": "n", "hostNetwork": True, "containers": [WEB]}
    found = ContainerInstance.model_validate({"metadata": {"name": "x", "namespace": "d", "uid": "u"}, "spec": spec})
    assert refusal(found.spec.to_json(), LATEST_BASELINE) == (
        'violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)'
    )
