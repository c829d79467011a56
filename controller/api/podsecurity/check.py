"""A spec against the table, in Python."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from controller.api.podsecurity.levels import Level, LevelVersion
from controller.api.podsecurity.predicates import Outside, Subject
from controller.api.podsecurity.table import (
    CONTAINER_LISTS,
    CONTROLS,
    AnyClause,
    Control,
    Flags,
    Hosts,
    Listed,
    Ports,
    Volumes,
    overriders,
)


@dataclass(frozen=True, slots=True)
class Violation:
    """One control that a spec does not hold."""

    control: str
    """Its id."""
    reason: str
    """What is forbidden, in short: `host namespaces`."""
    detail: str
    """Who does it: `hostNetwork=true`."""

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})"


def violations(spec: Mapping[str, Any], level: Level, minor: int) -> tuple[Violation, ...]:
    """What of an instance spec, as JSON, that level of that minor version of the standards does not allow."""
    containers = [c for field in CONTAINER_LISTS for c in spec.get(field) or ()]
    found = []
    for control in CONTROLS:
        if _holds(control, level, minor):
            details = [d for clause in control.clauses if (d := _detail(clause, spec, containers))]
            if details:
                detail = details[0] if control.first_only else "; ".join(details)
                found.append(Violation(control.id, control.reason, detail))
    return tuple(found)


def refusal(spec: Mapping[str, Any], policy: LevelVersion) -> str:
    """Why that policy refuses an instance spec, in the words of Pod Security admission; empty when it does not."""
    found = violations(spec, policy.level, policy.minor)
    return f'violates PodSecurity "{policy}": {", ".join(map(str, found))}' if found else ""


def _holds(control: Control, level: Level, minor: int) -> bool:
    if level is Level.RESTRICTED and any(minor >= other.since for other in overriders(control)):
        return False
    ended = control.until and minor >= control.until
    return level.rank >= control.level.rank and minor >= control.since and not ended


def _detail(clause: AnyClause, spec: Subject, containers: list[Subject]) -> str:
    if isinstance(clause, Flags):
        return ", ".join(f"{field.path}=true" for field in clause.fields if field.of(spec))
    if isinstance(clause, Listed):
        return ", ".join(clause.of(spec))
    if isinstance(clause, Ports):
        return _ports(clause, containers)
    if isinstance(clause, Hosts):
        return _hosts(clause, containers)
    if isinstance(clause, Volumes):
        bad_ones = clause.of(spec)
        text = clause.one if len(bad_ones) == 1 else clause.many
        return text.format(who=_quoted(bad_ones)) if bad_ones else ""
    spared = clause.unless is not None and clause.unless.holds(spec)
    bad = [] if spared else [c for c in containers if clause.container.holds(c)]
    itself = clause.instance is not None and clause.instance.holds(spec)
    who = ["pod"] if itself else []
    if bad:
        who.append(f"{'container' if len(bad) == 1 else 'containers'} {_quoted(c['name'] for c in bad)}")
    if not who:
        return ""
    asked = clause.container
    subjects = (spec, *containers) if clause.instance is not None else containers
    values = {v for s in subjects for v in asked.found(s)} if isinstance(asked, Outside) else set()
    return clause.text.format(who=" and ".join(who), values=_quoted(sorted(values)))


def _ports(clause: Ports, containers: list[Subject]) -> str:
    bad = {str(c["name"]): ports for c in containers if (ports := clause.of(c))}
    if not bad:
        return ""
    numbers = sorted({port for ports in bad.values() for port in ports})
    who = f"container {_quoted(bad)} uses" if len(bad) == 1 else f"containers {_quoted(bad)} use"
    return f"{who} {clause.path[1]}{'' if len(numbers) == 1 else 's'} {', '.join(numbers)}"


def _hosts(clause: Hosts, containers: list[Subject]) -> str:
    bad = [c for c in containers if clause.of(c)]
    hosts = sorted({host for c in bad for host in clause.of(c)})
    if not bad:
        return ""
    who = f"container {_quoted(c['name'] for c in bad)} uses" if len(bad) == 1 else f"containers {_names(bad)} use"
    return f"{who} probe or lifecycle {'host' if len(hosts) == 1 else 'hosts'} {_quoted(hosts)}"


def _names(containers: list[Subject]) -> str:
    return _quoted(sorted(c["name"] for c in containers))


def _quoted(items: Iterable[str]) -> str:
    return ", ".join(f'"{item}"' for item in items)
