"""What a container may use, and what it is promised: names and meaning of core/v1 `ResourceRequirements`.

Limits also know `pids`, which core/v1 leaves to each node's kubelet (`podPidsLimit`) and Compose has as
`deploy.resources.limits.pids`. Ephemeral storage is absent: nothing here could hold a container to it.
"""

from typing import Final, Literal

from pydantic import ConfigDict, Field

from controller.api.base import Model, rule, rules
from controller.api.quantity import Quantity

HUGE_PAGES: Final = {"64Ki": 1 << 16, "2Mi": 1 << 21, "32Mi": 1 << 25, "1Gi": 1 << 30}
"""Sizes of huge pages that there are on amd64 and arm64, in bytes by the name that stands in `hugepages-<size>`."""

_HUGE: Final = "Bytes of huge pages of {}; what is promised is the limit."


class ResourceList(Model):
    """Amounts of cpu (cores) and memory (bytes) as quantities."""

    cpu: Quantity | None = Field(default=None, description="Cores: 500m is half a core.")
    memory: Quantity | None = Field(default=None, description="Bytes: 64Mi, 1G.")
    hugepages_64Ki: Quantity | None = Field(default=None, alias="hugepages-64Ki", description=_HUGE.format("64Ki"))
    hugepages_2Mi: Quantity | None = Field(default=None, alias="hugepages-2Mi", description=_HUGE.format("2Mi"))
    hugepages_32Mi: Quantity | None = Field(default=None, alias="hugepages-32Mi", description=_HUGE.format("32Mi"))
    hugepages_1Gi: Quantity | None = Field(default=None, alias="hugepages-1Gi", description=_HUGE.format("1Gi"))

    def huge_pages(self) -> dict[str, str]:
        """What is said of huge pages, by their size."""
        return {size: said for size in HUGE_PAGES if (said := getattr(self, f"hugepages_{size}")) is not None}


class ResourceLimits(ResourceList):
    """Upper bounds, which the kernel holds a container to. 0 is none."""

    cpu: Quantity | None = Field(default=None, description="Cores: 500m is half a core. Enforced as a CFS quota.")
    memory: Quantity | None = Field(default=None, description="Bytes: 64Mi, 1G. Beyond it the kernel kills a process.")
    pids: int | None = Field(
        default=None, ge=1, le=4194304, description="Processes and threads; the node's --pids-limit when not set."
    )


def _has(what: str, name: str) -> str:
    return f"has(self.{what}) && has(self.{what}.{name})"


def _said(what: str, name: str) -> str:
    return f"quantity(string(self.{what}.{name}))"


def _at_most(name: str) -> dict[str, str]:
    both = f"{_has('requests', name)} && {_has('limits', name)}"
    return rule(
        f"!({both}) || {_said('requests', name)}.compareTo({_said('limits', name)}) <= 0",
        f"must be less than or equal to {name} limit",
        path=f".requests.{name}",
    )


def _huge(size: str) -> tuple[dict[str, str], ...]:
    name, path = f"hugepages__dash__{size}", f"['hugepages-{size}']"
    whole = f"{_said('limits', name)}.isInteger() && {_said('limits', name)}.asInteger() % {HUGE_PAGES[size]} == 0"
    same = f"{_has('limits', name)} && {_said('requests', name)}.compareTo({_said('limits', name)}) == 0"
    return (
        rule(
            f"!({_has('requests', name)}) || ({same})",
            f"must be equal to the limit of hugepages-{size}",
            path=f".requests{path}",
        ),
        rule(
            f"!({_has('limits', name)}) || ({whole})",
            f"must be a multiple of the size of a page, {size}",
            path=f".limits{path}",
        ),
    )


_ANY_HUGE = " || ".join(_has("limits", f"hugepages__dash__{size}") for size in HUGE_PAGES)
_ANY_OTHER = " || ".join(f"({_has(what, name)})" for what in ("requests", "limits") for name in ("cpu", "memory"))

RESOURCE_RULES = rules(
    _at_most("cpu"),
    _at_most("memory"),
    *(entry for size in HUGE_PAGES for entry in _huge(size)),
    rule(f"!({_ANY_HUGE}) || {_ANY_OTHER}", "huge pages require cpu or memory: give a request or a limit of one of them"),
)
"""As `validateResourceRequirements` of core/v1."""


class ResourceRequirements(Model):
    """What a container may use, and what it is promised (core/v1 `ResourceRequirements`)."""

    model_config = ConfigDict(json_schema_extra=RESOURCE_RULES)

    requests: ResourceList = Field(
        default_factory=ResourceList,
        description="What a node must have free for it; of cpu also its weight beside others. Default: what limits says.",
    )
    limits: ResourceLimits = Field(default_factory=ResourceLimits, description="Upper bounds, enforced by the kernel.")


class ContainerResizePolicy(Model):
    """How a change of a resource reaches a container that runs (core/v1 `ContainerResizePolicy`)."""

    resource_name: Literal["cpu", "memory"] = Field(description="cpu or memory.")
    restart_policy: Literal["NotRequired", "RestartContainer"] = Field(
        description="NotRequired: in place. RestartContainer: the container is restarted."
    )


class AppliedResources(Model):
    """What a container is promised and held to, as quantities by the resource's name."""

    requests: dict[str, str] = Field(default={}, description="What it is promised.")
    limits: dict[str, str] = Field(default={}, description="What it is held to.")


QOSClass = Literal["Guaranteed", "Burstable", "BestEffort"]
"""Which instances suffer first when a node runs out of memory (kubernetes.io, "Pod Quality of Service Classes")."""
