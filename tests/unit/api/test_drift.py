"""Installed definitions and this release's own: which of the two is stale."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from controller.api import schema
from controller.api.drift import Drift, compare, explain, fingerprints
from controller.api.structural import VALIDATIONS
from controller.kube.definitions import own_fingerprints

NAME = "containerworkloads.moorage.dev"
INSTALLED = {crd["metadata"]["name"]: crd for crd in schema.crds()}
BERTH = {"type": "object", "properties": {"a": {"type": "string"}}}
POD = ("spec", "template", "spec")


def changed(change: Callable[[dict[str, Any]], object], *path: str) -> Drift:
    """The drift after a change of the installed schema of one field."""
    definition = copy.deepcopy(INSTALLED[NAME])
    node = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for name in path:
        node = node["items"] if name == "[]" else node["properties"][name]
    change(node)
    return compare(NAME, own_fingerprints(NAME), definition)


@pytest.mark.parametrize("name", INSTALLED)
def test_a_releases_own_definitions_are_not_stale(name: str) -> None:
    """As they are generated, and as the fingerprints are."""
    assert not compare(name, own_fingerprints(name), INSTALLED[name])
    assert own_fingerprints(name).keys() >= {"spec", "status", "status.conditions[]"}


TABLE: dict[str, tuple[Drift, Drift]] = {
    "a field is not installed": (
        changed(lambda node: node["properties"].pop("hostPID"), *POD),
        Drift(NAME, lacking=("spec.template.spec.hostPID",)),
    ),
    "a field with fields below it is named once": (
        changed(lambda node: node["properties"].pop("securityContext"), *POD, "containers", "[]"),
        Drift(NAME, lacking=("spec.template.spec.containers[].securityContext",)),
    ),
    "a field of the status is not installed": (
        changed(lambda node: node["properties"].pop("nodes"), "status"),
        Drift(NAME, lacking=("status.nodes",)),
    ),
    "a field that is not known here": (
        changed(lambda node: node["properties"].update(berth=BERTH), *POD),
        Drift(NAME, unknown=("spec.template.spec.berth",)),
    ),
    "both": (
        changed(lambda node: node["properties"].update(berth=node["properties"].pop("hostPID")), *POD),
        Drift(NAME, lacking=("spec.template.spec.hostPID",), unknown=("spec.template.spec.berth",)),
    ),
    "another type": (
        changed(lambda node: node.update(type="string"), *POD, "hostPID"),
        Drift(NAME, different=("spec.template.spec.hostPID",)),
    ),
    "another default": (
        changed(lambda node: node.update(default=2), "spec", "replicas"),
        Drift(NAME, different=("spec.replicas",)),
    ),
    "one word fewer": (
        changed(lambda node: node["enum"].pop(), "spec", "mode"),
        Drift(NAME, different=("spec.mode",)),
    ),
    "required here alone": (
        changed(lambda node: node.pop("required"), *POD, "containers", "[]"),
        Drift(
            NAME, different=("spec.template.spec.containers[].image", "spec.template.spec.containers[].name")
        ),
    ),
    "another rule": (
        changed(lambda node: node[VALIDATIONS].pop(), *POD),
        Drift(NAME, different=("spec.template.spec",)),
    ),
    "another rule of a list's items": (
        changed(lambda node: node.update(maxLength=1), *POD, "containers", "[]", "command", "[]"),
        Drift(NAME, different=("spec.template.spec.containers[].command",)),
    ),
    "another description": (changed(lambda node: node.update(description="x"), "spec", "mode"), Drift(NAME)),
    "another message of a rule": (changed(lambda node: node[VALIDATIONS][0].update(message="x"), "spec", "mode"), Drift(NAME)),
    "what an API server may add": (changed(lambda node: node.update(nullable=False), "spec", "mode"), Drift(NAME)),
    "nothing of it is installed": (
        changed(lambda node: node.pop("properties")),
        Drift(NAME, lacking=("spec", "status")),
    ),
}  # fmt: skip


@pytest.mark.parametrize("sentence", TABLE)
def test_what_differs_is_named_by_its_path(sentence: str) -> None:
    """What only describes is no difference."""
    found, expected = TABLE[sentence]
    assert found == expected


def test_a_definition_without_this_version_lacks_all_of_it() -> None:
    """One that serves other versions alone is as good as none."""
    definition = copy.deepcopy(INSTALLED[NAME])
    definition["spec"]["versions"][0]["name"] = "v9"
    assert compare(NAME, own_fingerprints(NAME), definition).lacking == ("spec", "status")


@pytest.mark.parametrize(
    ("drift", "words"),
    [
        (
            Drift(NAME, lacking=("spec.a",)),
            ["definition containerworkloads.moorage.dev is stale", "lacks spec.a,", "helm upgrade"],
        ),
        (Drift(NAME, lacking=tuple("abcde")), ["a, b, c (and 2 more)", "moorage crds | kubectl apply --server-side -f -"]),
        (Drift(NAME, lacking=("a",), different=("b",)), ["definition containerworkloads.moorage.dev is stale", "lacks a,"]),
        (Drift(NAME, unknown=("spec.b",)), ["this manager (1.2) is older than the definition", "spec.b", "upgrade it"]),
        (Drift(NAME, lacking=("a",), unknown=("b",)), ["different releases", "lacks a", "does not know b", "helm upgrade"]),
        (Drift(NAME, different=("spec.c",)), ["checks spec.c differently", "whichever is older", "helm upgrade"]),
    ],
    ids=["definition", "many", "definition, and more", "software", "both", "unknown"],
)
def test_the_message_says_who_is_stale_and_what_to_do(drift: Drift, words: list[str]) -> None:
    """For a person who has never heard of it."""
    text = explain(drift, "this manager (1.2)")
    assert all(word in text for word in words), text


def test_a_fingerprint_is_the_same_whatever_the_order() -> None:
    """Keys may come in any order from an API server."""
    one = {"properties": {"spec": {"type": "object", "properties": {"a": {"type": "string", "enum": ["x"], "default": "x"}}}}}
    two = {"properties": {"spec": {"properties": {"a": {"default": "x", "enum": ["x"], "type": "string"}}, "type": "object"}}}
    assert fingerprints(one) == fingerprints(two)
