"""`metav1.Condition`, and the rules of the status contract that all kinds share."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field

from controller.api.base import Model
from controller.api.reasons import Reason

Status = Literal["True", "False", "Unknown"]

READY = "Ready"
RECONCILING = "Reconciling"
STALLED = "Stalled"
COMPLETE = "Complete"
"""There, and True, when every instance of a workload ended with success; as a Job's."""
FAILED = "Failed"
"""There, and True, when every instance of a workload ended, and not all with success; as a Job's."""
SCHEMA_STALE = "SchemaStale"
"""There, and True, while an installed definition and the software differ; it says nothing of the object itself."""


class Condition(Model):
    """One observation of an object, as `metav1.Condition`."""

    type: str = Field(description="Type of the condition in CamelCase.", min_length=1, max_length=316)
    status: Status = Field(description="True, False or Unknown.")
    observed_generation: int | None = Field(
        default=None, ge=0, description="The metadata.generation that this condition was set for."
    )
    last_transition_time: str = Field(
        description="When the status last changed, RFC 3339.", json_schema_extra={"format": "date-time"}
    )
    reason: str = Field(description="Reason in CamelCase, for machines.", min_length=1, max_length=1024)
    message: str = Field(default="", description="What a person should know.", max_length=32768)


def timestamp(when: float) -> str:
    """A `metav1.Time`: RFC 3339 in UTC, whole seconds. `when` is seconds since the epoch."""
    return datetime.fromtimestamp(int(when), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def merge(old: Iterable[Condition], new: Iterable[Condition]) -> tuple[Condition, ...]:
    """The new conditions, each keeping the old `lastTransitionTime` while its status has not changed."""
    before = {c.type: c for c in old}
    return tuple(
        c.model_copy(update={"last_transition_time": before[c.type].last_transition_time})
        if c.type in before and before[c.type].status == c.status
        else c
        for c in new
    )


def find(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """The condition of that type, or None."""
    return next((c for c in conditions if c.type == kind), None)


def is_true(conditions: Iterable[Condition], kind: str) -> bool:
    """Whether the condition of that type is there and True."""
    found = find(conditions, kind)
    return found is not None and found.status == "True"


def stale_schema(message: str, now: float, generation: int | None = None) -> tuple[Condition, ...]:
    """The condition that an installed definition and the software differ; none while the message is empty, as all is well."""
    if not message:
        return ()
    return (single(SCHEMA_STALE, Reason.SCHEMA_STALE, message, now, generation),)


def single(kind: str, reason: str, message: str, now: float, generation: int | None) -> Condition:
    """A condition that is there only while it is True."""
    fields: dict[str, Any] = {"observed_generation": generation, "last_transition_time": timestamp(now)}
    return Condition(type=kind, status="True", reason=reason, message=message, **fields)


def contract(
    *,
    ready: bool,
    stalled: bool,
    reason: str,
    message: str,
    generation: int | None,
    now: float,
    old: Iterable[Condition] = (),
) -> tuple[Condition, ...]:
    """The conditions of the status contract, from one verdict, so that they can never disagree.

    Settled: `Ready=True` alone. In progress: `Ready=Unknown` and `Reconciling=True`. Terminal failure: `Ready=False`
    and `Stalled=True`. An absent condition reads as False for kstatus, so only what is true is written beside `Ready`.
    """

    def make(kind: str, status: Status) -> Condition:
        fields: dict[str, Any] = {"observed_generation": generation, "last_transition_time": timestamp(now)}
        return Condition(type=kind, status=status, reason=reason, message=message, **fields)

    if ready:
        made = [make(READY, "True")]
    elif stalled:
        made = [make(READY, "False"), make(STALLED, "True")]
    else:
        made = [make(READY, "Unknown"), make(RECONCILING, "True")]
    return merge(old, made)
