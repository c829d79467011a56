"""The files of volumes that are made from values."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given as any_of
from hypothesis import strategies as st

from controller.agent.decide.given import Given, Unresolved
from controller.agent.decide.payload import File, Source, confidential, named, payload
from controller.agent.decide.payload import token_ref as payload_token
from controller.agent.sources.port import Absent, Found, Ref, Unread, View
from controller.agent.tokens.port import NoToken, Token, TokenRef, TokenView
from controller.api.amounts import Amounts
from controller.api.volumes.sources import (
    ConfigMapVolumeSource,
    DownwardAPIVolumeSource,
    ProjectedVolumeSource,
    SecretVolumeSource,
)
from controller.runtime.port import InvalidConfig
from tests.unit.agent.sources import config_map, found, secret
from tests.unit.agent.tokens import token_ref
from tests.unit.agent.values import NODE, UID, container, desired

META = {"labels": {"b": "2", "a": "1"}, "annotations": {"note": 'a "quoted"\nline\t\\ \x01 é \u00a0 \U0001f600 \U000e0001'}}
OBJECTS: Mapping[Ref, View] = {
    config_map(): Found({"a.conf": b"a", "b.conf": b"b"}, {"raw": b"\xff\x00"}),
    secret(): found(password="hidden", user="web"),
}


def made(source: Source, objects: Mapping[Ref, View] = OBJECTS) -> dict[str, str]:
    """Path -> `octal mode content`."""
    return {path: f"{file.mode:o} {file.content!r}" for path, file in files(source, objects).items()}


def files(source: Source, objects: Mapping[Ref, View] = OBJECTS) -> Mapping[str, File]:
    """The files."""
    limited = container("side", resources={"limits": {"cpu": "250m", "memory": "64Mi"}})
    wanted = desired(container(), limited, meta=META)
    return payload(source, Given(wanted.instance, replace(NODE, allocatable=Amounts(cpu_millis=4000)), (), objects))


def of_map(**fields: Any) -> ConfigMapVolumeSource:
    """A volume of the ConfigMap."""
    return ConfigMapVolumeSource.model_validate({"name": "settings", **fields})


def of_secret(**fields: Any) -> SecretVolumeSource:
    """A volume of the Secret."""
    return SecretVolumeSource.model_validate({"secretName": "password", **fields})


def downward(*items: dict[str, Any], **fields: Any) -> DownwardAPIVolumeSource:
    """A volume that tells of the instance."""
    return DownwardAPIVolumeSource.model_validate({"items": items, **fields})


def projected(*sources: dict[str, Any], **fields: Any) -> ProjectedVolumeSource:
    """A volume from several sources."""
    return ProjectedVolumeSource.model_validate({"sources": sources, **fields})


def item(key: str, path: str, **fields: Any) -> dict[str, Any]:
    """A key at a path."""
    return {"key": key, "path": path, **fields}


def test_all_keys_are_files() -> None:
    """Of a ConfigMap also those of binaryData; 0644, or as defaultMode says."""
    assert made(of_map()) == {"a.conf": "644 b'a'", "b.conf": "644 b'b'", "raw": r"644 b'\xff\x00'"}
    assert made(of_secret(defaultMode=0o400)) == {"password": "400 b'hidden'", "user": "400 b'web'"}


def test_chosen_keys_are_where_they_are_asked_for() -> None:
    """Those alone, each with its own mode if it has one; a key may be there twice."""
    chosen = [item("a.conf", "etc/app/a", mode=0o600), item("a.conf", "./again//a"), item("raw", "raw.bin")]
    assert made(of_map(items=chosen, defaultMode=0)) == {
        "etc/app/a": "600 b'a'",
        "again/a": "0 b'a'",
        "raw.bin": r"0 b'\xff\x00'",
    }


@pytest.mark.parametrize(
    ("source", "objects", "told"),
    [
        (of_map(), {config_map(): Absent()}, 'configmap "settings" not found'),
        (of_secret(), {secret(): Absent()}, 'secret "password" not found'),
        (of_secret(optional=True), {secret(): Unread("it is away")}, "it is away"),
        (of_map(items=[item("nosuch", "x")]), OBJECTS, "configmap references non-existent config key: nosuch"),
        (of_secret(items=[item("nosuch", "x")]), OBJECTS, "references non-existent secret key: nosuch"),
        (projected({"secret": {"name": "other"}}), {secret("other"): Absent()}, 'secret "other" not found'),
    ],
)
def test_what_is_missing_is_told_as_a_kubelet_does(source: Source, objects: Mapping[Ref, View], told: str) -> None:
    """The container waits for it."""
    with pytest.raises(Unresolved, match=told):
        made(source, objects)


def test_what_is_optional_is_left_out() -> None:
    """The object, or single keys of it."""
    assert made(of_map(optional=True), {config_map(): Absent()}) == {}
    assert made(of_map(optional=True, items=[item("nosuch", "x"), item("a.conf", "y")])) == {"y": "644 b'a'"}
    assert made(projected({"secret": {"name": "a", "optional": True}}), {secret("a"): Absent()}) == {}


def test_what_is_told_of_the_instance() -> None:
    """Fields, all labels and annotations by a line each, quoted as Go does, and limits in their units."""
    volume = downward(
        {"path": "name", "fieldRef": {"fieldPath": "metadata.name"}},
        {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}, "mode": 0o440},
        {"path": "a", "fieldRef": {"fieldPath": "metadata.labels['a']"}},
        {"path": "cpu", "resourceFieldRef": {"containerName": "side", "resource": "limits.cpu", "divisor": "1m"}},
        {"path": "all", "resourceFieldRef": {"containerName": "main", "resource": "limits.cpu"}},
        defaultMode=0o400,
    )
    assert made(volume) == {
        "name": "400 b'web'",
        "labels": '440 b\'a="1"\\nb="2"\'',
        "a": "400 b'1'",
        "cpu": "400 b'250'",
        "all": "400 b'4'",
    }
    notes = downward({"path": "notes", "fieldRef": {"fieldPath": "metadata.annotations"}})
    wanted = 'note="a \\"quoted\\"\\nline\\t\\\\ \\x01 é \\u00a0 \U0001f600 \\U000e0001"'
    assert files(notes)["notes"].content.decode() == wanted


def test_sources_go_into_one_volume() -> None:
    """The later over the earlier where both bring a key; the mode is the volume's, or the item's."""
    volume = projected(
        {"configMap": {"name": "settings"}},
        {"secret": {"name": "other"}},
        {"downwardAPI": {"items": [{"path": "of/name", "fieldRef": {"fieldPath": "metadata.name"}, "mode": 0o444}]}},
        defaultMode=0o400,
    )
    assert made(volume, {**OBJECTS, secret("other"): found(**{"a.conf": "over"})}) == {
        "a.conf": "400 b'over'",
        "b.conf": "400 b'b'",
        "raw": r"400 b'\xff\x00'",
        "of/name": "444 b'web'",
    }


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (
            projected(
                {"configMap": {"name": "settings", "items": [item("a.conf", "x")]}},
                {"secret": {"name": "password", "items": [item("user", "./x")]}},
            ),
            "conflicting duplicate paths: x",
        ),
        (of_map(items=[item("a.conf", "x"), item("b.conf", "x/y")]), "x cannot be a file and the folder of x/y"),
        (of_map(items=[item("a.conf", "x/y/z"), item("b.conf", "x/y")]), "x/y cannot be a file and the folder of x/y/z"),
        *(
            (of_map(items=[item("a.conf", path)]), "no path inside a volume")
            for path in ("/etc/passwd", "../x", "a/../../x", "..data", "..", ".", "./", "a/..", "./../x", "./..x")
        ),
    ],
)
def test_paths_stay_inside_and_go_together(source: Source, told: str) -> None:
    """Also where the schema was passed by: what was stored before it, or by somebody who may do anything."""
    with pytest.raises(InvalidConfig, match=told):
        made(source)


PATHS = (
    st.lists(st.sampled_from(["a", "b", "..", ".", "", "..a", "...", "a..", "/"]), min_size=1, max_size=5)
    .map("/".join)
    .filter(bool)
)


@any_of(st.lists(PATHS, min_size=1, max_size=4))
def test_no_path_leads_out(paths: list[str]) -> None:
    """Whatever is asked for: a file inside, at a plain path, or nothing at all."""
    try:
        result = files(of_map(items=[item("a.conf", path) for path in paths]))
    except InvalidConfig:
        return
    for path in result:
        steps = path.split("/")
        assert all(step not in {"", ".", ".."} for step in steps)
        assert not steps[0].startswith("..")
        assert not any("/".join(steps[:n]) in result for n in range(1, len(steps)))


def test_what_a_volume_names() -> None:
    """The objects, and whether what it holds must stay in memory."""
    mixed = projected({"configMap": {"name": "a"}}, {"secret": {"name": "b"}}, {"downwardAPI": {}})
    assert named(mixed, "shop") == {config_map("a", "shop"), secret("b", "shop")}
    assert named(downward(), "shop") == frozenset()
    hidden: list[Source] = [mixed, of_secret(), projected(NAMED)]
    assert [confidential(s) for s in (*hidden, of_map(), downward(), projected())] == [True] * 3 + [False] * 3


HARBOUR = {"serviceAccountToken": {"path": "in/token", "audience": "harbour", "expirationSeconds": 600}}
NAMED = {"serviceAccountToken": {"path": "named"}}


def token_files(*containers: dict[str, Any], mode: int | None = None, **spec: Any) -> dict[str, str]:
    """Path -> `octal mode owner content` of a volume with two tokens, in an instance with these containers."""
    wanted = desired(*(containers or (container(),)), **spec)
    tokens: dict[TokenRef, TokenView] = {
        token_ref(UID, wanted.instance.spec.service_account_name, "harbour", 600): Token("one"),
        token_ref(UID, wanted.instance.spec.service_account_name): Token("two"),
    }
    source = projected(HARBOUR, NAMED, **({} if mode is None else {"defaultMode": mode}))
    found = payload(source, Given(wanted.instance, NODE, tokens=tokens))
    return {path: f"{file.mode:o} {file.owner} {file.content.decode()}" for path, file in found.items()}


def user(number: int | None) -> dict[str, Any]:
    """A container that runs as a user."""
    return container("main" if number is None else f"u{number}", securityContext={"runAsUser": number})


def test_a_token_is_for_whom_the_volume_says() -> None:
    """Each by its own audience and time, of the account that the instance names."""
    assert token_files() == {"in/token": "644 None one", "named": "644 None two"}
    assert token_files(serviceAccountName="builder") == {"in/token": "644 None one", "named": "644 None two"}
    wanted = desired(container(), serviceAccountName="builder").instance
    found = {payload_token(t, wanted) for t in projected(HARBOUR, NAMED).tokens}
    assert found == {token_ref(UID, "builder", "harbour", 600), token_ref(UID, "builder")}


@pytest.mark.parametrize(
    ("containers", "spec", "told"),
    [
        ((), {}, "640 None"),
        ((user(5),), {}, "600 5"),
        ((user(5), container("other", securityContext={"runAsUser": 5})), {}, "600 5"),
        ((user(5), user(6)), {}, "640 None"),
        ((user(5), container()), {}, "640 None"),
        ((user(5), container()), {"securityContext": {"runAsUser": 5}}, "600 5"),
        ((user(5),), {"securityContext": {"runAsUser": 6}}, "600 5"),
        ((user(0),), {}, "600 0"),
        ((user(5),), {"initContainers": [user(6)]}, "640 None"),
        ((user(5),), {"initContainers": [container("first", securityContext={"runAsUser": 5})]}, "600 5"),
        ((), {"securityContext": {"fsGroup": 7}}, "600 None"),
        ((user(5),), {"securityContext": {"fsGroup": 7}}, "600 5"),
    ],
)
def test_a_token_is_its_users_alone(containers: tuple[dict[str, Any], ...], spec: dict[str, Any], told: str) -> None:
    """Where all containers have the same user, or a group, as a kubelet has it; else as defaultMode says."""
    assert set(token_files(*containers, mode=0o640, **spec).values()) == {f"{told} one", f"{told} two"}


@pytest.mark.parametrize(
    ("view", "told"),
    [
        (NoToken(), 'a token of ServiceAccount "default" is asked for'),
        (NoToken("agents have no right"), "agents have no right"),
    ],
)
def test_a_token_that_is_not_there_is_waited_for(view: NoToken, told: str) -> None:
    """With what is in the way; nothing is, while it is just asked for."""
    wanted = desired(container()).instance
    with pytest.raises(Unresolved, match=told) as raised:
        payload(projected(NAMED), Given(wanted, NODE, tokens={token_ref(UID): view}))
    assert raised.value.pending == (not view.why)


def test_a_token_goes_together_with_other_files() -> None:
    """Its path is one that was chosen."""
    wanted = desired(container()).instance
    with pytest.raises(InvalidConfig, match="conflicting duplicate paths: named"):
        payload(projected(NAMED, NAMED), Given(wanted, NODE, tokens={token_ref(UID): Token("x")}))


def test_a_file_does_not_show_what_it_holds() -> None:
    """Whatever logs it, by accident."""
    assert "hidden" not in repr(files(of_secret()))
