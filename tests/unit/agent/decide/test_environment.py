"""The environment of a container's process: values, references, and what is taken from the instance and its node."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example
from hypothesis import given as any_of
from hypothesis import strategies as st

from controller.agent.decide.environment import (
    DEFAULT_PATH,
    environment,
    expand,
    missing,
    named,
    own_environment,
    written_environment,
)
from controller.agent.decide.given import Given, Unresolved
from controller.agent.decide.observation import Missing
from controller.agent.sources.port import Absent, Found, Ref, Unread, View
from controller.api.amounts import Amounts
from controller.api.spec import Container
from controller.runtime.port import ImageConfig, InvalidConfig
from tests.unit.agent.sources import config_map, found, secret
from tests.unit.agent.values import NODE, UID, container, desired, first

BIG = replace(NODE, allocatable=Amounts(cpu_millis=4000, memory_bytes=8 * 2**30))


def own(*env: dict[str, Any], own_addresses: tuple[str, ...] = (), **changes: Any) -> dict[str, str]:
    """The environment of the container `main`, with a side container that has limits of its own."""
    side = container("side", resources={"limits": {"cpu": "1500m", "memory": "100Mi"}})
    asking = container("asking", resources={"requests": {"cpu": "100m"}})
    wanted = desired(container(env=list(env), **changes.pop("container", {})), side, asking, **changes)
    return own_environment(first(wanted), Given(wanted.instance, BIG, own_addresses))


def field(path: str) -> dict[str, Any]:
    """A variable A from a field."""
    return {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": path}}}


def amount(resource: str, **more: Any) -> dict[str, Any]:
    """A variable A from a resource."""
    return {"name": "A", "valueFrom": {"resourceFieldRef": {"resource": resource, **more}}}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$(A)", "1"),
        ("x$(A)y$(B)z", "x1y2z"),
        ("$(NONE)", "$(NONE)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$$$$(A)", "$$(A)"),
        ("$$", "$"),
        ("$A", "$A"),
        ("${A}", "${A}"),
        ("$(A", "$(A"),
        ("$(A$$", "$(A$"),
        ("$", "$"),
        ("a$", "a$"),
        ("$()", "$()"),
        ("$($(A))", "$($(A))"),
        ("$(B(A)", "3"),
        ("$(A)$(A)", "11"),
        ("$(D)", "$(A)"),
        ("", ""),
        ("$(A\n)", "$(A\n)"),
    ],
)
def test_references_are_expanded_as_kubernetes_does(text: str, result: str) -> None:
    """`$(NAME)` up to the first closing parenthesis; `$$` is a dollar; unknown names stay; values are not expanded again."""
    assert expand(text, {"A": "1", "B": "2", "B(A": "3", "D": "$(A)"}) == result


@any_of(st.text(alphabet="$()AB x", max_size=20))
@example("$($(A))")
def test_expansion_is_that_of_a_scanner_which_reads_from_left_to_right(text: str) -> None:
    """The same as reading character by character, as the rule is written down."""
    env = {"A": "1", "AB": "2", "": "3"}
    assert expand(text, env) == scanned(text, env)


def scanned(text: str, env: dict[str, str]) -> str:
    """The rule of kubernetes.io, "Define Dependent Environment Variables", one character after the other."""
    out, at = "", 0
    while at < len(text):
        rest = text[at:]
        end = rest.find(")")
        if rest.startswith("$$"):
            out, at = f"{out}$", at + 2
        elif rest.startswith("$(") and end > 0:
            out, at = out + env.get(rest[2:end], rest[: end + 1]), at + end + 1
        else:
            out, at = out + rest[0], at + 1
    return out


def test_a_variable_sees_those_before_it_only() -> None:
    """Order decides, as in core/v1; the image's own variables are not seen."""
    variables = [("LATE", "$(B)"), ("A", "1"), ("B", "$(A)$(PATH)"), ("A", "$(A)2"), ("C", "$(A)")]
    result = own(*({"name": n, "value": v} for n, v in variables))
    assert result == {"LATE": "$(B)", "A": "12", "B": "1$(PATH)", "C": "12"}


def test_the_spec_is_over_the_image_and_the_image_over_the_defaults() -> None:
    """PATH and HOSTNAME have defaults; an image's variable may hold `=`; each name is there once."""
    image = ImageConfig(env=("PATH=/image", "LANG=C", "OPTS=a=b"))
    pairs = environment(image, {"LANG": "de"}, "node1")
    assert dict(pairs) == {"PATH": "/image", "HOSTNAME": "node1", "LANG": "de", "OPTS": "a=b"}
    assert len(pairs) == 4
    assert dict(environment(ImageConfig(), {}, "n"))["PATH"] == DEFAULT_PATH


# --- from the instance and its node

META = {"labels": {"app": "web", "x/y": "$(A)"}, "annotations": {"note": "two\nlines"}}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "web"),
        ("metadata.namespace", "default"),
        ("metadata.uid", UID),
        ("metadata.labels['app']", "web"),
        ("metadata.labels['x/y']", "$(A)"),
        ("metadata.labels['none']", ""),
        ("metadata.annotations['note']", "two\nlines"),
        ("spec.nodeName", "node1"),
        ("status.hostIP", "192.0.2.7"),
        ("status.hostIPs", "192.0.2.7"),
        ("status.podIP", "192.0.2.7"),
        ("status.podIPs", "192.0.2.7"),
    ],
)
def test_a_field_of_the_instance(path: str, value: str) -> None:
    """What it says at that moment; a label that is not there is empty, and nothing in it is expanded."""
    assert own(field(path), meta=META) == {"A": value}


def test_addresses_are_those_of_its_network() -> None:
    """Its own when it has some, in their order; none without a network."""
    addresses = ("10.0.0.2", "fd00::2")
    assert own(field("status.podIP"), own_addresses=addresses, hostNetwork=False) == {"A": "10.0.0.2"}
    assert own(field("status.podIPs"), own_addresses=addresses, hostNetwork=False) == {"A": "10.0.0.2,fd00::2"}
    assert own(field("status.podIP"), hostNetwork=False, network="None") == {"A": ""}
    assert own(field("status.hostIP"), hostNetwork=False, network="None") == {"A": "192.0.2.7"}


@pytest.mark.parametrize(
    ("ref", "value"),
    [
        (amount("limits.cpu"), "1"),
        (amount("limits.cpu", divisor="1m"), "250"),
        (amount("limits.cpu", divisor=1), "1"),
        (amount("limits.memory"), "67108865"),
        (amount("limits.memory", divisor="1Mi"), "65"),
        (amount("limits.memory", divisor="1M"), "68"),
        (amount("limits.memory", divisor="0"), "67108865"),
        (amount("limits.memory", divisor="1Gi"), "1"),
        (amount("limits.cpu", containerName="side", divisor="1m"), "1500"),
        (amount("limits.memory", containerName="side", divisor="1Mi"), "100"),
        (amount("requests.cpu", divisor="1m"), "250"),
        (amount("requests.cpu", containerName="asking", divisor="1m"), "100"),
        (amount("requests.memory", containerName="asking", divisor="1Mi"), "0"),
        (amount("requests.memory", containerName="side", divisor="1Mi"), "100"),
    ],
)
def test_an_amount_is_told_in_units_and_rounded_up(ref: dict[str, Any], value: str) -> None:
    """Of this container, or of the one that is named; what is not asked for is what it is limited to, or nothing."""
    assert own(ref, container={"resources": {"limits": {"cpu": "250m", "memory": "67108865"}}}) == {"A": value}


def test_what_has_no_limit_may_use_the_node() -> None:
    """A limit that is not set, or 0, is what the node has."""
    assert own(amount("limits.cpu")) == {"A": "4"}
    assert own(amount("limits.memory", divisor="1Gi"), container={"resources": {"limits": {"memory": 0}}}) == {"A": "8"}


def test_a_container_that_is_not_there_is_an_error() -> None:
    """In the words of a kubelet."""
    with pytest.raises(InvalidConfig, match="container other not found"):
        own(amount("limits.cpu", containerName="other"))


def test_others_refer_to_what_was_taken() -> None:
    """A value that was taken from elsewhere can be referred to; when a value is written, it counts."""
    taken = {"name": "B", "value": "at $(A)"}
    assert own(field("spec.nodeName"), taken) == {"A": "node1", "B": "at node1"}
    assert own(field("spec.nodeName") | {"value": "written"}) == {"A": "written"}


def test_handlers_know_what_is_written_only() -> None:
    """As a kubelet expands the commands of probes: what is taken from elsewhere is empty there."""
    wanted = desired(container(env=[field("spec.nodeName"), {"name": "B", "value": "x$(A)"}]))
    assert written_environment(first(wanted)) == {"A": "", "B": "x"}


@any_of(st.lists(st.tuples(st.sampled_from("ABC"), st.text(alphabet="$()ABC", max_size=8)), max_size=6))
def test_written_values_are_the_same_for_both(pairs: list[tuple[str, str]]) -> None:
    """Where nothing is taken from elsewhere, handlers and the process agree."""
    plain = Container(name="c", image="i", env=tuple({"name": n, "value": v} for n, v in pairs))
    assert written_environment(plain) == own_environment(plain, Given(desired().instance, NODE))


# --- from ConfigMaps and Secrets

SETTINGS, PASSWORD = config_map(), secret()
BOTH = {SETTINGS: found(level="$(A)", other="x"), PASSWORD: found(password="hidden", **{"a.b": "1"})}


def key(kind: str, name: str, of: str, variable: str = "A", **more: Any) -> dict[str, Any]:
    """A variable from a key of an object."""
    return {"name": variable, "valueFrom": {f"{kind}KeyRef": {"name": name, "key": of, **more}}}


def whole(kind: str, name: str, prefix: str = "", **more: Any) -> dict[str, Any]:
    """An entry of envFrom."""
    return {"prefix": prefix, f"{kind}Ref": {"name": name, **more}}


def taken(
    *env: dict[str, Any], objects: Mapping[Ref, View] = BOTH, env_from: tuple[dict[str, Any], ...] = ()
) -> dict[str, str]:
    """The environment of a container that names objects."""
    wanted = desired(container(env=list(env), envFrom=list(env_from)))
    return own_environment(first(wanted), Given(wanted.instance, NODE, (), objects))


def test_keys_and_whole_objects() -> None:
    """Single variables over whole objects, the later over the earlier; with a prefix; values are taken as they are."""
    assert taken(key("configMap", "settings", "level")) == {"A": "$(A)"}
    assert taken(key("secret", "password", "password")) == {"A": "hidden"}
    assert taken(env_from=(whole("configMap", "settings", "S_"),)) == {"S_level": "$(A)", "S_other": "x"}
    both = taken(
        {"name": "level", "value": "$(other)!$(password)"},
        env_from=(whole("configMap", "settings"), whole("secret", "password")),
    )
    assert both == {"level": "x!hidden", "other": "x", "password": "hidden", "a.b": "1"}
    later = {SETTINGS: found(a="1", b="1"), PASSWORD: found(b="2")}
    twice = (whole("configMap", "settings"), whole("secret", "password"))
    assert taken(objects=later, env_from=twice) == {"a": "1", "b": "2"}


@pytest.mark.parametrize(
    ("variable", "objects", "told"),
    [
        (key("configMap", "settings", "a"), {SETTINGS: Absent()}, 'configmap "settings" not found'),
        (key("secret", "password", "a"), {PASSWORD: Absent()}, 'secret "password" not found'),
        (key("configMap", "settings", "a"), BOTH, "couldn't find key a in ConfigMap default/settings"),
        (key("secret", "password", "a"), BOTH, "couldn't find key a in Secret default/password"),
        (key("secret", "password", "a"), {PASSWORD: Unread("it is away")}, "it is away"),
        (key("secret", "password", "a", optional=True), {PASSWORD: Unread("it is away")}, "it is away"),
        (key("configMap", "settings", "b"), {SETTINGS: Found(binary={"b": b"1"})}, "couldn't find key b"),
    ],
)
def test_what_is_not_there_is_told_as_a_kubelet_does(variable: dict[str, Any], objects: Mapping[Ref, View], told: str) -> None:
    """That a thing is optional helps when it is absent, and not while nobody knows."""
    with pytest.raises(Unresolved, match=told) as raised:
        taken(variable, objects=objects)
    assert not raised.value.pending


def test_what_is_just_being_read_is_pending() -> None:
    """Nothing is wrong yet, and nothing is known."""
    with pytest.raises(Unresolved) as raised:
        taken(key("secret", "password", "a"), objects={})
    assert raised.value.pending


@pytest.mark.parametrize("objects", [{SETTINGS: Absent(), PASSWORD: Absent()}, {SETTINGS: Found(), PASSWORD: Found()}])
def test_what_is_optional_is_left_out(objects: Mapping[Ref, View]) -> None:
    """Objects and keys; a variable that is left out does not exist, and its references stay as written."""
    variables = (key("configMap", "settings", "a", optional=True), key("secret", "password", "a", "B", optional=True))
    env_from = (whole("configMap", "settings", optional=True), whole("secret", "password", optional=True))
    assert taken(*variables, {"name": "C", "value": "$(A)"}, objects=objects, env_from=env_from) == {"C": "$(A)"}


@pytest.mark.parametrize("value", [b"\xff", b"a\0b"])
def test_what_is_no_text_cannot_be_a_variable(value: bytes) -> None:
    """Told with the name of the key, and never with what is in it."""
    for variables, env_from in (((key("secret", "password", "k"),), ()), ((), (whole("secret", "password"),))):
        with pytest.raises(Unresolved, match="key k in Secret default/password is no text"):
            taken(*variables, objects={PASSWORD: Found({"k": value})}, env_from=env_from)


def test_what_a_container_names() -> None:
    """The objects of its environment, each once, in its own namespace."""
    env = [key("configMap", "a", "k"), key("secret", "a", "k", "B"), field("metadata.name") | {"name": "C"}]
    wanted = desired(container(env=env, envFrom=[whole("configMap", "a"), whole("secret", "b")]))
    assert named(first(wanted), "shop") == {config_map("a", "shop"), secret("a", "shop"), secret("b", "shop")}
    assert missing(first(wanted), Given(wanted.instance, NODE)) == Missing('configmap "a" is being read', pending=True)


def test_no_text_that_is_made_of_them_shows_what_they_hold() -> None:
    """Whatever logs a view or an observation, by accident."""
    assert "hidden" not in repr(BOTH[PASSWORD])
    assert "hidden" not in repr(Given(desired().instance, NODE, (), BOTH))
