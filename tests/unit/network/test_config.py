"""Which network configuration is chosen, and what each plugin is given (CNI SPEC 1.1, sections 1 and 3)."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.network.cni.config import InvalidConfiguration, Network, choose, from_json, parse, request

BRIDGE = {"type": "bridge", "bridge": "cni0", "capabilities": {"mac": True, "portMappings": False}}


def listed(name: object = "net", **fields: Any) -> str:
    """A configuration list."""
    return json.dumps({"cniVersion": "1.0.0", "name": name, "plugins": [BRIDGE], **fields})


def single(**fields: Any) -> str:
    """The configuration of one plugin."""
    return json.dumps({"cniVersion": "0.4.0", "name": "old", **BRIDGE, **fields})


@pytest.mark.parametrize(
    ("sentence", "files", "file", "name", "refused"),
    [
        ("nothing is there", {}, "", None, set()),
        ("a list", {"10-a.conflist": listed()}, "10-a.conflist", "net", set()),
        ("the first by name", {"20-b.conflist": listed("b"), "10-a.conflist": listed("a")}, "10-a.conflist", "a", set()),
        ("whatever its kind", {"10-a.conflist": listed(), "05-old.conf": single()}, "05-old.conf", "old", set()),
        ("also .json", {"a.json": single()}, "a.json", "old", set()),
        ("a list in a .conf", {"a.conf": listed()}, "a.conf", "net", set()),
        ("other files do not count", {"a.bak": listed(), "README": "x", "z.conflist": listed("z")}, "z.conflist", "z", set()),
        ("a broken one is passed over", {"a.conf": "{", "b.conflist": listed("b")}, "b.conflist", "b", {"a.conf"}),
        ("all are broken", {"a.conf": "[]", "b.conflist": "{}"}, "", None, {"a.conf", "b.conflist"}),
        ("one plugin in a list's file", {"a.conflist": single()}, "", None, {"a.conflist"}),
    ],
)
def test_the_first_valid_file_by_name_is_chosen(
    sentence: str, files: dict[str, str], file: str, name: str | None, refused: set[str]
) -> None:
    """As the kubelet's runtimes choose; what cannot be used is named."""
    found = choose(files)
    assert (found.file, found.network.name if found.network else None, set(found.refused)) == (file, name, refused), sentence


@pytest.mark.parametrize(
    ("fields", "version"),
    [
        ({"cniVersion": "0.3.1"}, "0.3.1"),
        ({"cniVersion": ""}, "0.1.0"),
        ({"cniVersion": "1.0.0", "cniVersions": ["0.4.0", "1.1.0"]}, "1.1.0"),
        ({"cniVersion": "1.1.0", "cniVersions": ["0.4.0", "1.10.0"]}, "1.1.0"),
        ({"cniVersion": "9.0.0", "cniVersions": ["0.4.0"]}, "0.4.0"),
    ],
)
def test_the_newest_version_that_both_speak_is_spoken(fields: dict[str, Any], version: str) -> None:
    """By numbers, not by letters; versions that are newer than ours are left out."""
    assert parse("a.conflist", listed(**fields)).version == version


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nonsense", "it is no JSON"),
        ("[" * 100000, "it is no JSON"),
        ("[1]", "it is no JSON object"),
        (listed(name="../up"), "`name` must be"),
        (listed(name=7), "`name` must be"),
        (listed(plugins=[]), "`plugins` lists none"),
        (listed(plugins=[{}]), "needs a `type`"),
        (listed(plugins=[{"type": "../../bin/sh"}]), "needs a `type`"),
        (listed(plugins=[{"type": ".."}]), "needs a `type`"),
        (listed(plugins=[{"type": "\ud800"}]), "needs a `type`"),
        (listed(cniVersion="2.0.0"), "asks for CNI version 2.0.0; the newest that is known here is 1.1.0"),
        (listed(cniVersion="new"), "must be versions such as"),
        (listed(cniVersions="1.0.0"), "must be versions such as"),
        (listed(disableCheck="perhaps"), "`disableCheck` must be true or false"),
    ],
)
def test_what_is_no_configuration_is_said(text: str, said: str) -> None:
    """In words that name the key; a `type` never leads out of the folder of plugins."""
    with pytest.raises(InvalidConfiguration, match=said):
        parse("a.conflist", text)


def test_switches_may_be_strings() -> None:
    """As libcni takes them."""
    found = parse("a.conflist", listed(disableCheck="TRUE", disableGC=True))
    assert (found.disable_check, found.disable_gc) == (True, True)


def test_a_plugin_is_given_its_part_and_what_it_can_do() -> None:
    """Version and name come from the list, capabilities become arguments, and everything else goes through as it is."""
    network = parse("a.conflist", listed())
    plain = json.loads(request(network, network.plugins[0]))
    assert plain == {"type": "bridge", "bridge": "cni0", "cniVersion": "1.0.0", "name": "net"}
    given_all = json.loads(
        request(network, network.plugins[0], arguments={"mac": "a", "portMappings": [1], "other": 1}, previous={"ips": []})
    )
    assert given_all == plain | {"runtimeConfig": {"mac": "a"}, "prevResult": {"ips": []}}
    collected = json.loads(request(network, network.plugins[0], valid=[("id", "eth0")]))
    assert collected == plain | {
        key: [{"containerID": "id", "ifname": "eth0"}] for key in ("cni.dev/valid-attachments", "cni.dev/attachments")
    }


def test_reserved_keys_of_a_configuration_do_not_pass() -> None:
    """What only a runtime may say, a file cannot say in its place."""
    forged = {
        "type": "x",
        "runtimeConfig": {"ips": []},
        "prevResult": {},
        "cni.dev/valid-attachments": [],
        "keep": {"a": [None]},
    }
    network = Network("net", "1.1.0", (forged,))
    assert json.loads(request(network, forged, arguments={})) == {
        "type": "x",
        "keep": {"a": [None]},
        "cniVersion": "1.1.0",
        "name": "net",
    }


@given(
    plugins=st.lists(
        st.fixed_dictionaries(
            {"type": st.sampled_from(["a", "b"])}, optional={"x": st.recursive(st.none() | st.text(), st.lists)}
        ),
        min_size=1,
    ),
    version=st.sampled_from(["0.1.0", "0.4.0", "1.1.0"]),
)
def test_a_configuration_survives_being_kept(plugins: list[dict[str, Any]], version: str) -> None:
    """What was used for ADD is what is used for DEL, after any restart."""
    network = Network("net", version, tuple(plugins), disable_check=True)
    assert from_json(json.loads(json.dumps(network.to_json()))) == network
