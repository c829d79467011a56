"""Which differences there are between two reports, and which of them have a name. Pure."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

ABSENT = "(absent)"


@dataclass(frozen=True)
class Difference:
    """One value that is not the same on both sides."""

    path: str
    """Words from the top of the report, as `main env PATH`."""
    pod: str
    """The kubelet's value as JSON, or `(absent)`."""
    instance: str
    """Moorage's."""


@dataclass(frozen=True)
class Named:
    """A difference that there may be, and why."""

    name: str
    paths: Sequence[str]
    """Shell patterns of paths."""
    reason: str
    """For people: what differs, and why that is right."""
    pod: str = "*"
    """Shell pattern of the kubelet's value."""
    instance: str = "*"
    """Shell pattern of Moorage's."""
    specs: Sequence[str] = ("*",)
    """Shell patterns of names of specs."""

    def covers(self, difference: Difference, spec: str) -> bool:
        """Whether this is such a difference of a spec."""
        return (
            any(fnmatchcase(spec, pattern) for pattern in self.specs)
            and any(fnmatchcase(difference.path, pattern) for pattern in self.paths)
            and fnmatchcase(difference.pod, self.pod)
            and fnmatchcase(difference.instance, self.instance)
        )


@dataclass(frozen=True)
class Verdict:
    """What came of one spec."""

    named: Mapping[str, Sequence[Difference]]
    """Differences that have a name, by it."""
    unnamed: Sequence[Difference]
    absent: Sequence[str] = ()
    """Fields that Moorage does not know: then nothing was compared."""

    @property
    def word(self) -> str:
        """equal, named, absent or DIFFERENT."""
        if self.absent:
            return "absent"
        return "DIFFERENT" if self.unnamed else "named" if self.named else "equal"


def differences(pod: Any, instance: Any, path: str = "") -> Iterator[Difference]:
    """Every value that differs. What is missing or empty on one side as a whole is one difference."""
    if isinstance(pod, Mapping) and isinstance(instance, Mapping) and bool(pod) == bool(instance):
        for key in sorted({*pod, *instance}):
            below = f"{path} {key}".strip()
            yield from differences(pod.get(key, ABSENT), instance.get(key, ABSENT), below)
    elif pod != instance:
        yield Difference(path, _text(pod), _text(instance))


def _text(value: Any) -> str:
    return ABSENT if value == ABSENT else json.dumps(value, sort_keys=True, ensure_ascii=False)


def judge(pod: Mapping[str, Any], instance: Mapping[str, Any], known: Iterable[Named], spec: str = "") -> Verdict:
    """Compare two reports of a spec; of several names that cover a difference, the first has it.

    Of specs that the API server refused on either side nothing else is compared, and its words may differ.
    """
    known = list(known)
    if "refused" in pod and "refused" in instance:
        return Verdict({}, ())
    if "refused" in pod or "refused" in instance:
        pod, instance = ({"refused": report.get("refused", ABSENT)} for report in (pod, instance))
    named: dict[str, list[Difference]] = {}
    unnamed = []
    for difference in differences(pod, instance):
        name = next((entry.name for entry in known if entry.covers(difference, spec)), None)
        if name is None:
            unnamed.append(difference)
        else:
            named.setdefault(name, []).append(difference)
    return Verdict(named, unnamed)


def unused(known: Iterable[Named], verdicts: Iterable[Verdict]) -> list[str]:
    """Names that no verdict needed."""
    used = {name for verdict in verdicts for name in verdict.named}
    return [entry.name for entry in known if entry.name not in used]


def unified(found: Sequence[Difference]) -> list[str]:
    """Differences as a unified diff from the kubelet's to Moorage's."""
    pod = [f"{one.path} = {one.pod}" for one in found if one.pod != ABSENT]
    instance = [f"{one.path} = {one.instance}" for one in found if one.instance != ABSENT]
    return list(difflib.unified_diff(pod, instance, "kubelet", "moorage", n=0, lineterm=""))
