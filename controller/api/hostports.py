"""Ports of nodes that lead to containers (core/v1 `ContainerPort`, hostPort): each is to be had once on a node. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from controller.api.spec import Container

_ANY: Final = frozenset({"", "0.0.0.0", "::"})
"""Addresses that mean all of the node's."""


@dataclass(frozen=True, slots=True)
class HostPort:
    """A port of the node that leads to one of the instance."""

    host_port: int
    container_port: int
    protocol: str = "TCP"
    host_ip: str = ""
    """Only this address of the node; all when empty."""

    def __str__(self) -> str:
        where = f"{self.host_ip}:{self.host_port}" if self.host_ip else str(self.host_port)
        return f"{where}/{self.protocol}"


def host_ports(containers: Iterable[Container]) -> tuple[HostPort, ...]:
    """Those of some containers."""
    return tuple(
        HostPort(p.host_port, p.container_port, p.protocol, p.host_ip) for c in containers for p in c.ports if p.host_port
    )


def host_ports_of(spec: Mapping[str, Any]) -> tuple[HostPort, ...]:
    """Those of an instance spec as JSON, which need not fit the models."""
    found = []
    for container in [c for field in ("initContainers", "containers") for c in spec.get(field) or ()]:
        for port in container.get("ports") or ():
            if port.get("hostPort"):
                protocol, address = port.get("protocol") or "TCP", port.get("hostIP") or ""
                found.append(HostPort(int(port["hostPort"]), int(port.get("containerPort") or 0), protocol, address))
    return tuple(found)


def conflict(wanted: Iterable[HostPort], taken: Iterable[HostPort]) -> HostPort | None:
    """The first of the wanted ones that cannot be had beside those."""
    there = tuple(taken)
    return next((port for port in wanted if any(overlap(port, other) for other in there)), None)


def overlap(one: HostPort, other: HostPort) -> bool:
    """Whether two cannot be had on the same node: same port and protocol, and the same address, or one of them has all."""
    same = (one.host_port, one.protocol) == (other.host_port, other.protocol)
    return same and (one.host_ip in _ANY or other.host_ip in _ANY or one.host_ip == other.host_ip)
