"""Capability arguments (CNI CONVENTIONS.md): what an attachment asks of plugins that declare that they can do it. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from controller.api import quantity
from controller.api.hostports import HostPort, conflict
from controller.network.port import NetworkRequest

PORT_MAPPINGS: Final = "portMappings"
BANDWIDTH: Final = "bandwidth"
DNS: Final = "dns"

_LEAST, _MOST = 1_000, 10**15
"""Bounds of a bandwidth in bits per second: 1k and 1P, as the kubelet has them (pkg/util/bandwidth)."""

_BURST: Final = 2**32 - 1
"""Bits that may go at once. The annotations do not say, so the most that plugins take, as containerd's CRI gives."""


class Impossible(ValueError):  # noqa: N818 - it is the request that is wrong
    """What is asked for cannot be had; `str()` of it is a sentence for people."""


def arguments(request: NetworkRequest, available: frozenset[str], network: str) -> dict[str, Any]:
    """The arguments of an attachment, by capability; `available` are those of the configuration's plugins.

    Raises:
        Impossible: when something is asked for that no plugin of the node can do, or that is not understood.
    """
    found: dict[str, Any] = {}
    if request.ports:
        _need(PORT_MAPPINGS, available, network, "a hostPort", "portmap")
        found[PORT_MAPPINGS] = [_mapping(port) for port in request.ports]
    if request.ingress_bandwidth or request.egress_bandwidth:
        _need(BANDWIDTH, available, network, "a limit of bandwidth", "bandwidth")
        found[BANDWIDTH] = _bandwidth(request)
    if DNS in available and request.dns is not None:
        servers, searches, options = request.dns.servers, request.dns.searches, request.dns.options
        found[DNS] = {"servers": [*servers], "searches": [*searches], "options": [*options]}
    return found


def taken(wanted: Iterable[HostPort], others: Mapping[str, Iterable[HostPort]]) -> str:
    """Which of the wanted host ports is taken, and by whom; empty when none is. `others` has those of others, by name."""
    asked = tuple(wanted)
    for number, port in enumerate(asked):
        if conflict((port,), asked[:number]) is not None:
            return f"port {port} of the node is asked for twice by the instance itself: choose another hostPort for one of them"
    for name, theirs in others.items():
        if (port_taken := conflict(asked, theirs)) is not None:
            return f"port {port_taken} of the node is taken by {name}: choose another hostPort, or another node"
    return ""


def _need(capability: str, available: frozenset[str], network: str, what: str, plugin: str) -> None:
    if capability not in available:
        raise Impossible(
            f"the instance asks for {what}, and no plugin of the node's network {network!r} has the capability {capability}: "
            f"add the plugin {plugin} to its configuration"
        )


def _mapping(port: HostPort) -> dict[str, Any]:
    found: dict[str, Any] = {
        "hostPort": port.host_port,
        "containerPort": port.container_port,
        "protocol": port.protocol.lower(),
    }
    return found | ({"hostIP": port.host_ip} if port.host_ip else {})


def _bandwidth(request: NetworkRequest) -> dict[str, int]:
    found: dict[str, int] = {}
    for way, text in (("ingress", request.ingress_bandwidth), ("egress", request.egress_bandwidth)):
        if text:
            found |= {f"{way}Rate": _rate(way, text), f"{way}Burst": _BURST}
    return found


def _rate(way: str, text: str) -> int:
    name = f"annotation kubernetes.io/{way}-bandwidth: {text!r}"
    try:
        rate = quantity.parse(text)
    except (ValueError, ArithmeticError) as exc:
        raise Impossible(f"{name} is no quantity of bits per second, such as 10M") from exc
    if not _LEAST <= rate <= _MOST:
        raise Impossible(f"{name} must be from 1k to 1P bits per second")
    return quantity.whole(text)
