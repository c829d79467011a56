"""What plugins answer, and what is made of it (CNI SPEC 1.1, section 5)."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.network.cni.result import Garbage, addresses, parse_error, parse_result, shown

SANDBOX = "/run/netns/a"
LINKS = [{"name": "cni0"}, {"name": "veth1"}, {"name": "eth0", "sandbox": SANDBOX}]


@pytest.mark.parametrize(
    ("sentence", "result", "found"),
    [
        ("one", {"interfaces": LINKS, "ips": [{"address": "10.1.0.5/16", "interface": 2}]}, ("10.1.0.5",)),
        ("those of the node do not count", {"interfaces": LINKS, "ips": [{"address": "10.1.0.1/16", "interface": 0}]}, ()),
        (
            "IPv4 first",
            {
                "interfaces": LINKS,
                "ips": [{"address": "fd00::5/64", "interface": 2}, {"address": "10.1.0.5/16", "interface": 2}],
            },
            ("10.1.0.5", "fd00::5"),
        ),
        ("without interfaces", {"ips": [{"address": "10.1.0.5/16"}]}, ("10.1.0.5",)),
        ("an index of none", {"interfaces": LINKS, "ips": [{"address": "10.1.0.5/16", "interface": 9}]}, ("10.1.0.5",)),
        ("as before 0.3.0", {"ip4": {"ip": "10.1.0.5/16"}, "ip6": {"ip": "fd00::5/64"}}, ("10.1.0.5", "fd00::5")),
        ("none at all", {}, ()),
        ("null as Go writes it", {"ips": None, "interfaces": None, "dns": {}}, ()),
    ],
)
def test_addresses_are_those_inside(sentence: str, result: dict[str, Any], found: tuple[str, ...]) -> None:
    """The instance's own, told to people in this order."""
    assert addresses(parse_result(json.dumps(result).encode()), SANDBOX) == found, sentence


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"hello",
        b"[]",
        b"\xff\xfe",
        b"[" * 100000,
        b'{"ips": {}}',
        b'{"ips": [7]}',
        b'{"ips": [{"address": "10.0.0.300/8"}]}',
        b'{"ips": [{}]}',
        b'{"interfaces": 7}',
        b'{"dns": []}',
    ],
)
def test_what_is_no_result_is_garbage(text: bytes) -> None:
    """Whatever a plugin prints, it is an error of one kind, and never a crash."""
    with pytest.raises(Garbage):
        parse_result(text)


@given(
    st.binary()
    | st.recursive(
        st.none() | st.integers() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.sampled_from(["ips", "ip4", "dns", "address"]), x),
    ).map(lambda v: json.dumps(v).encode())
)
def test_any_answer_is_a_result_or_garbage(text: bytes) -> None:
    """There is no third, and what is a result has addresses."""
    with contextlib.suppress(Garbage):
        assert isinstance(addresses(parse_result(text), SANDBOX), tuple)


def test_an_error_is_told_in_the_plugins_words() -> None:
    """Message, details and code; what is no error is none."""
    told = parse_error(b'{"cniVersion": "1.0.0", "code": 7, "msg": "Invalid Configuration", "details": "too small"}')
    assert (str(told), told.code if told else 0) == ("Invalid Configuration: too small (code 7)", 7)
    assert str(parse_error(b'{"code": 0, "msg": "odd"}')) == "odd"
    assert [parse_error(text) for text in (b"", b"oh no", b"{}", b'{"code": "7"}')] == [None] * 4


def test_what_is_shown_is_short_and_printable() -> None:
    """One line, no control characters, at most a line's length."""
    assert shown(b"a\n\x1b[31mb\t\x00") == "a ?[31mb ?"
    assert shown(b"  ") == "nothing"
    assert len(shown(b"x" * 10**6)) == 204
