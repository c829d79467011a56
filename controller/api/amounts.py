"""Amounts of what a node has and containers ask for: whole numbers that add up. Pure, for both halves."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from controller.api import quantity
from controller.api.resources import HUGE_PAGES, ResourceList
from controller.api.spec import Container, InstanceSpec

CPU: Final = "cpu"
MEMORY: Final = "memory"


@dataclass(frozen=True, slots=True)
class Amounts:
    """Cpu, memory and huge pages."""

    cpu_millis: int = 0
    """Thousandths of a core."""
    memory_bytes: int = 0
    huge_pages: tuple[tuple[str, int], ...] = field(default=())
    """Bytes by size of page, as (`2Mi`, 4194304); sorted, without zeros."""

    def by_name(self) -> dict[str, int]:
        """By the resource's name in core/v1."""
        return {CPU: self.cpu_millis, MEMORY: self.memory_bytes, **{f"hugepages-{size}": n for size, n in self.huge_pages}}

    def __add__(self, other: "Amounts") -> "Amounts":
        return self._each(other, 1)

    def __sub__(self, other: "Amounts") -> "Amounts":
        """The difference; nothing goes below 0."""
        return self._each(other, -1)

    def __mul__(self, times: int) -> "Amounts":
        pages = tuple((size, n * times) for size, n in self.huge_pages) if times else ()
        return Amounts(self.cpu_millis * times, self.memory_bytes * times, pages)

    def _each(self, other: "Amounts", sign: int) -> "Amounts":
        cpu = max(0, self.cpu_millis + sign * other.cpu_millis)
        memory = max(0, self.memory_bytes + sign * other.memory_bytes)
        if not self.huge_pages and not other.huge_pages:
            return Amounts(cpu, memory)
        mine, others = dict(self.huge_pages), dict(other.huge_pages)
        return Amounts(cpu, memory, _pages({s: mine.get(s, 0) + sign * others.get(s, 0) for s in mine | others}))

    def beyond(self, free: "Amounts") -> tuple[str, ...]:
        """The names of what is asked for here and is more than what is free; what is not asked for never lacks."""
        there = free.by_name()
        return tuple(name for name, wanted in self.by_name().items() if wanted and wanted > there.get(name, 0))


NOTHING: Final = Amounts()


def total(amounts: Iterable[Amounts]) -> Amounts:
    """Their sum."""
    return sum(amounts, NOTHING)


def most(one: Amounts, other: Amounts) -> Amounts:
    """The larger of two, each resource by itself."""
    pages, others = dict(one.huge_pages), dict(other.huge_pages)
    return Amounts(
        max(one.cpu_millis, other.cpu_millis),
        max(one.memory_bytes, other.memory_bytes),
        _pages({s: max(pages.get(s, 0), others.get(s, 0)) for s in pages | others}),
    )


def listed(said: ResourceList) -> Amounts:
    """What a list of resources says; what it does not is 0."""
    pages = {size: quantity.whole(text) for size, text in said.huge_pages().items()}
    return Amounts(quantity.millis(said.cpu or 0), quantity.whole(said.memory or 0), _pages(pages))


def requests(container: Container) -> Amounts:
    """What a container asks for: its requests, and where it names none, its limits (core/v1 defaults)."""
    asked, limits = container.resources.requests, container.resources.limits
    return Amounts(
        quantity.millis((limits.cpu if asked.cpu is None else asked.cpu) or 0),
        quantity.whole((limits.memory if asked.memory is None else asked.memory) or 0),
        _pages({size: quantity.whole(text) for size, text in limits.huge_pages().items()}),
    )


def limits(container: Container) -> Amounts:
    """What a container is held to; 0 is no limit (core/v1)."""
    return listed(container.resources.limits)


def instance_total(spec: InstanceSpec, of: Callable[[Container], Amounts]) -> Amounts:
    """The most that runs at one time (kubernetes.io, "Sidecar Containers"); of requests, of limits, or of what `of` says.

    Sidecars run beside the init containers after them and beside the containers, init containers one after another.
    """
    sidecars = peak = NOTHING
    for container in spec.init_containers:
        beside = sidecars + of(container)
        sidecars = beside if container.is_sidecar else sidecars
        peak = most(peak, beside)
    return most(peak, sidecars + total(of(container) for container in spec.containers))


def instance_requests(spec: InstanceSpec) -> Amounts:
    """What an instance asks a node for."""
    return instance_total(spec, requests)


def instance_memory_limit(spec: InstanceSpec) -> int:
    """Bytes that all its containers together may use, as a kubelet has it for a pod; 0: one of them has no limit."""
    limited = all(limits(container).memory_bytes for container in spec.all_containers)
    return instance_total(spec, limits).memory_bytes if limited else 0


def _pages(by_size: dict[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple((size, by_size[size]) for size in HUGE_PAGES if by_size.get(size, 0) > 0)
