"""What an attachment asks of plugins (CNI CONVENTIONS.md), and who may have a port of the node."""

import pytest

from controller.api.hostports import HostPort, conflict, host_ports_of
from controller.network.cni.capabilities import Impossible, arguments, taken
from controller.network.port import NetworkRequest, Resolver

ALL = frozenset({"portMappings", "bandwidth", "dns"})
WEB = HostPort(8080, 80)


def test_nothing_asked_for_is_nothing_given() -> None:
    """Plugins get no empty arguments."""
    assert arguments(NetworkRequest(attached=True), ALL, "net") == {}


def test_ports_are_written_as_the_convention_has_them() -> None:
    """Protocols in lower case, an address only where there is one."""
    asked = NetworkRequest(attached=True, ports=(WEB, HostPort(53, 53, "UDP", "192.0.2.7")))
    assert arguments(asked, ALL, "net")["portMappings"] == [
        {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
        {"hostPort": 53, "containerPort": 53, "protocol": "udp", "hostIP": "192.0.2.7"},
    ]


@pytest.mark.parametrize(
    ("ingress", "egress", "given"),
    [
        ("10M", "", {"ingressRate": 10_000_000, "ingressBurst": 2**32 - 1}),
        ("", "1k", {"egressRate": 1000, "egressBurst": 2**32 - 1}),
        ("1P", "1Mi", {"ingressRate": 10**15, "ingressBurst": 2**32 - 1, "egressRate": 2**20, "egressBurst": 2**32 - 1}),
    ],
)
def test_limits_are_bits_per_second(ingress: str, egress: str, given: dict[str, int]) -> None:
    """Rates as written, and the burst that containerd's CRI gives."""
    asked = NetworkRequest(attached=True, ingress_bandwidth=ingress, egress_bandwidth=egress)
    assert arguments(asked, ALL, "net")["bandwidth"] == given


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fast", "is no quantity"),
        ("-1M", "is no quantity"),
        ("999", "from 1k to 1P"),
        ("2P", "from 1k to 1P"),
        ("1e99999999999", "is no quantity|from 1k to 1P"),
    ],
)
def test_limits_that_make_no_sense_are_said(text: str, said: str) -> None:
    """With the annotation's name, and without working on numbers of a million digits."""
    with pytest.raises(Impossible, match=rf"annotation kubernetes\.io/egress-bandwidth: '{text}' .*({said})"):
        arguments(NetworkRequest(attached=True, egress_bandwidth=text), ALL, "net")


def test_dns_is_told_to_who_wants_to_know() -> None:
    """A capability that nobody declares is not missed."""
    asked = NetworkRequest(attached=True, dns=Resolver(("10.0.0.10",), ("a.b",), ("ndots:5",)))
    assert arguments(asked, ALL, "net") == {"dns": {"servers": ["10.0.0.10"], "searches": ["a.b"], "options": ["ndots:5"]}}
    assert arguments(asked, frozenset(), "net") == {}


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        (WEB, HostPort(8080, 81), True),
        (WEB, HostPort(8081, 80), False),
        (WEB, HostPort(8080, 80, "UDP"), False),
        (WEB, HostPort(8080, 80, "TCP", "127.0.0.1"), True),
        (HostPort(8080, 80, "TCP", "127.0.0.1"), HostPort(8080, 80, "TCP", "127.0.0.2"), False),
        (HostPort(8080, 80, "TCP", "0.0.0.0"), HostPort(8080, 80, "TCP", "127.0.0.2"), True),
        (HostPort(8080, 80, "TCP", "::"), WEB, True),
    ],
)
def test_a_port_is_had_once_by_protocol_and_address(one: HostPort, other: HostPort, clash: bool) -> None:  # noqa: FBT001 - of the table
    """As the scheduler's NodePorts has it: no address is every address."""
    assert (conflict([one], [other]) is not None, conflict([other], [one]) is not None) == (clash, clash)


def test_who_has_a_port_is_named() -> None:
    """Another instance, or the same one twice."""
    assert taken([WEB], {"default/a": [HostPort(1, 1)], "default/b": [WEB]}).startswith(
        "port 8080/TCP of the node is taken by default/b"
    )
    assert "asked for twice by the instance itself" in taken([WEB, HostPort(8080, 443)], {})
    assert taken([WEB], {}) == ""


def test_ports_are_found_in_any_spec() -> None:
    """Also in one that a newer release wrote; 0 and null are none."""
    spec = {
        "containers": [
            {"ports": None},
            {"ports": [{"containerPort": 80, "hostPort": 0}, {"containerPort": 1, "hostPort": 2, "new": 1}]},
        ]
    }
    assert host_ports_of(spec) == (HostPort(2, 1),)
    assert host_ports_of({}) == ()
