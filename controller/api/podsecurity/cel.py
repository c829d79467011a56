"""The table -> ValidatingAdmissionPolicies, one for each mode. Pure.

Each clause becomes a variable with the names of the containers that it names, each control one with its violation, if any; they
are evaluated only when they are asked for, and once. Everything about an object is read as `dyn` and through optionals: one
policy serves both kinds, and an absent field is not an error.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from controller.api.base import GROUP, VERSION
from controller.api.instance import ContainerInstance
from controller.api.podsecurity import levels
from controller.api.podsecurity.levels import Level, LevelVersion, Mode, Policy
from controller.api.podsecurity.predicates import Outside, Predicate, literal
from controller.api.podsecurity.table import (
    CONTAINER_LISTS,
    CONTROLS,
    AnyClause,
    Clause,
    Control,
    Flags,
    Hosts,
    Listed,
    Ports,
    Volumes,
    instance_fields,
    overriders,
)
from controller.api.workload import ContainerWorkload

MESSAGE_BYTES: Final = 5000
"""Longest message; the API server drops one of more than 5 KiB (`MaxEvaluatedMessageExpressionSizeBytes`)."""

RANKS: Final = 64
"""Most numbers of ports that are sorted and told in a message."""

ACTIONS: Final = {Mode.ENFORCE: "Deny", Mode.WARN: "Warn", Mode.AUDIT: "Audit"}

_LEVELS: Final = tuple(level.value for level in Level)

_MATCH: Final = {
    "resourceRules": [
        {
            "apiGroups": [GROUP],
            "apiVersions": [VERSION],
            "operations": ["CREATE", "UPDATE"],
            "resources": [ContainerWorkload.PLURAL, ContainerInstance.PLURAL],
        }
    ]
}


@dataclass(frozen=True, slots=True)
class Variable:
    """A named expression of a policy."""

    name: str
    expression: str

    def to_json(self) -> dict[str, str]:
        """As in `spec.variables`."""
        return {"name": self.name, "expression": self.expression}


def name(mode: Mode) -> str:
    """Name of the mode's policy, and of its binding."""
    return f"moorage-pod-security-{mode}"


def policy(mode: Mode, default: Policy) -> dict[str, Any]:
    """The policy of one mode; `default` is for namespaces without labels."""
    violates = "violates" if mode is Mode.ENFORCE else "would violate"
    prefix = f"""'{violates} PodSecurity "' + variables.level + ':' + variables.version + '": '"""
    message = Variable("message", f"{prefix} + variables.violations.join(', ')")
    validation = {
        "expression": "variables.violations.size() == 0",
        "message": f"{violates} the Pod Security level of its namespace; the message that says how is too long",
        "messageExpression": (
            f"variables.message.size() <= {MESSAGE_BYTES} ? variables.message\n"
            f"  : variables.message.substring(0, {MESSAGE_BYTES - 4}) + ' ...'"
        ),
        "reason": "Forbidden",
    }
    variables = (*_standards(mode, default), *_subjects(), *_controls(), _violations(mode), message)
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name(mode)},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": _MATCH,
            "matchConditions": _match_conditions(),
            "variables": [v.to_json() for v in variables],
            "validations": [validation],
        },
    }


def binding(mode: Mode) -> dict[str, Any]:
    """The binding of one mode's policy."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name(mode)},
        "spec": {"policyName": name(mode), "validationActions": [ACTIONS[mode]]},
    }


def policies(default: Policy) -> list[dict[str, Any]]:
    """All policies and bindings."""
    return [made for mode in Mode for made in (policy(mode, default), binding(mode))]


def _match_conditions() -> list[dict[str, str]]:
    watched = literal(instance_fields())
    template = f"request.resource.resource == '{ContainerWorkload.PLURAL}'"
    return [
        {"name": "not-being-deleted", "expression": "!has(object.metadata.deletionTimestamp)"},
        {
            "name": "new-or-changed",
            "expression": (
                f"request.operation == 'CREATE' || ({template}\n"
                f"  ? {watched}.exists(f, object.spec.template.spec[?f] != oldObject.spec.template.spec[?f])\n"
                f"  : {watched}.exists(f, object.spec[?f] != oldObject.spec[?f]))"
            ),
        },
    ]


# --- which level, of which version


def _standards(mode: Mode, default: Policy) -> list[Variable]:
    """`level`, `version` and `minor`, as `levels.policy` finds them."""
    made = [Variable("labels", "namespaceObject.metadata.?labels.orValue({})")]
    if mode is Mode.WARN:
        made += _read(Mode.ENFORCE, "enforced", _of(default.enforce), Level.RESTRICTED)
        rank = f"{literal(_LEVELS)}.indexOf"
        made.append(
            Variable(
                "raised",
                f"variables.labels[?'{levels.ENFORCE}'].orValue('') in {literal(_LEVELS)}\n"
                f"  && !('{Mode.WARN.label}' in variables.labels)\n"
                f"  && {rank}(variables.enforced) > {rank}('{default.warn.level}')",
            )
        )
        fallback = {
            "level": f"variables.raised ? variables.enforced : '{default.warn.level}'",
            "version": f"variables.raised ? variables.enforcedVersion : '{default.warn.version}'",
        }
        made += _read(mode, "", fallback, Level.PRIVILEGED)
    else:
        own = default.enforce if mode is Mode.ENFORCE else default.audit
        made += _read(mode, "", _of(own), Level.RESTRICTED if mode is Mode.ENFORCE else Level.PRIVILEGED)
    minor = f"variables.version == '{levels.LATEST}' ? {levels.NEWEST} : int(variables.version.substring(3))"
    return [*made, Variable("minor", minor)]


def _of(default: LevelVersion) -> Mapping[str, str]:
    return {"level": f"'{default.level}'", "version": f"'{default.version}'"}


def _read(mode: Mode, prefix: str, default: Mapping[str, str], otherwise: Level) -> list[Variable]:
    """`level` and `version`, or those of the prefix."""
    level, version = f"'{mode.label}'", f"'{mode.version_label}'"
    return [
        Variable(
            prefix or "level",
            f"!({level} in variables.labels) ? ({default['level']})\n"
            f"  : variables.labels[{level}] in {literal(_LEVELS)} ? variables.labels[{level}] : '{otherwise}'",
        ),
        Variable(
            f"{prefix}Version" if prefix else "version",
            f"!({version} in variables.labels) ? ({default['version']})\n"
            f"  : variables.labels[{version}].matches(r'{levels.VERSION}') ? variables.labels[{version}] : '{levels.LATEST}'",
        ),
    ]


# --- of what


def _subjects() -> list[Variable]:
    """`spec`, the instance spec of either kind, and `containers`."""
    spec = f"dyn(object).kind == '{ContainerWorkload.KIND}' ? dyn(object).spec.template.spec : dyn(object).spec"
    lists = " + ".join(f"variables.spec.?{field}.orValue([])" for field in CONTAINER_LISTS)
    return [Variable("spec", spec), Variable("containers", lists)]


# --- the controls


def _violations(mode: Mode) -> Variable:
    """All violations. What is refused anyway is not warned of as well."""
    every = " + ".join(f"variables.{control.id}" for control in CONTROLS)
    if mode is not Mode.WARN:
        return Variable("violations", every)
    same = "variables.level == variables.enforced && variables.version == variables.enforcedVersion"
    return Variable("violations", f"{same} ? [] : {every}")


def _controls() -> list[Variable]:
    return [variable for control in CONTROLS for variable in _control(control)]


def _control(control: Control) -> list[Variable]:
    """The variables of one control; the last is `[]`, or `[violation]`."""
    active = _active(control)
    made: list[Variable] = []
    details = []
    for number, clause in enumerate(control.clauses, 1):
        prefix = f"{control.id}_{number}"
        made += _detail(prefix, active, clause)
        details.append(f"variables.{prefix}")
    if control.first_only:
        told = " : ".join([*(f"{d}.size() > 0 ? {d}" for d in details[:-1]), details[-1]])
    else:
        told = " + ".join(details)
    made.append(Variable(control.id, f"[{told}].filter(d, d.size() > 0).map(d, '{control.reason} (' + d.join('; ') + ')')"))
    return made


def _active(control: Control) -> str:
    """Whether the control holds, by `level` and `minor`."""
    at = _LEVELS[control.level.rank :]
    parts = [f"variables.level in {literal(at)}"]
    if control.since:
        parts.append(f"variables.minor >= {control.since}")
    if control.until:
        parts.append(f"variables.minor < {control.until}")
    parts += [
        f"!(variables.level == '{Level.RESTRICTED}' && variables.minor >= {other.since})"
        if other.since
        else f"variables.level != '{Level.RESTRICTED}'"
        for other in overriders(control)
    ]
    return " && ".join(parts)


def _detail(prefix: str, active: str, clause: AnyClause) -> list[Variable]:
    match clause:
        case Flags():
            return _flags(prefix, active, clause)
        case Hosts():
            return _hosts(prefix, active, clause)
        case Listed():
            return _listed(prefix, active, clause)
        case Ports():
            return _ports(prefix, active, clause)
        case Volumes():
            return _volumes(prefix, active, clause)
        case Clause():
            return _clause(prefix, active, clause)


def _flags(prefix: str, active: str, clause: Flags) -> list[Variable]:
    """The detail as `[]` or `[text]`."""
    fields = literal(tuple(field.path for field in clause.fields))
    true = f"{fields}.filter(f, variables.spec[?f] == optional.of(true)).map(f, f + '=true')"
    return [
        Variable(f"{prefix}_who", f"({active}) ? {true} : []"),
        Variable(prefix, f"variables.{prefix}_who.size() == 0 ? [] : [variables.{prefix}_who.join(', ')]"),
    ]


def _listed(prefix: str, active: str, clause: Listed) -> list[Variable]:
    """The names that are not allowed, and the detail as `[]` or `[text]`."""
    items = f"{clause.field.cel('variables.spec')}.orValue([])"
    bad = f"{items}.filter(s, !(s.{clause.key} in {literal(clause.allowed)})).map(s, s.{clause.key})"
    who = f"variables.{prefix}_who"
    return [
        Variable(f"{prefix}_who", f"({active}) ? {bad} : []"),
        Variable(prefix, f"{who}.size() == 0 ? [] : [{who}.join(', ')]"),
    ]


def _ports(prefix: str, active: str, clause: Ports) -> list[Variable]:
    """The names, the numbers as they come, each with how many are before it, those sorted, and the detail.

    CEL can neither sort nor flatten lists before Kubernetes 1.34. Numbers that are beyond the ranks are not told.
    """
    ports, name = clause.path
    own = f"c.?{ports}.orValue([]).filter(p, p.?{name}.orValue(0) != 0)"
    names, numbers = f"variables.{prefix}_names", f"variables.{prefix}_numbers"
    ranked, told = f"variables.{prefix}_ranked", f"variables.{prefix}_sorted"
    ranks = literal(tuple(str(n) for n in range(RANKS)))
    text = (
        f"({names}.size() == 1 ? 'container ' : 'containers ') + {names}.join(', ')\n"
        f"    + ({names}.size() == 1 ? ' uses ' : ' use ') + ({told}.size() == 1 ? '{name} ' : '{name}s ') + {told}.join(', ')"
    )
    listed = f"variables.containers.filter(c, {own}.size() > 0)"
    joined = f"{listed}.map(c, {own}.map(p, string(p.{name})).join(',')).join(',')"
    return [
        Variable(f"{prefix}_names", f"({active}) ? {listed}.map(c, '\"' + c.name + '\"') : []"),
        Variable(f"{prefix}_numbers", f"{joined}.split(',')"),
        Variable(f"{prefix}_ranked", f"{numbers}.map(v, [v, string({numbers}.filter(w, w < v).size())])"),
        Variable(f"{prefix}_sorted", f"{ranks}.map(k, {ranked}.filter(r, r[1] == k)).filter(l, l.size() > 0).map(l, l[0][0])"),
        Variable(prefix, f"{names}.size() == 0 ? [] : [{text}]"),
    ]


def _hosts(prefix: str, active: str, clause: Hosts) -> list[Variable]:
    """Who sets a host, which hosts there are (those of one container may come twice), and the detail as `[]` or `[text]`.

    CEL cannot sort (before 1.34), so names and hosts stand in the order of the spec, and not in that of Pod Security admission.
    """
    each = ", ".join(field.cel("c") for field in clause.fields)
    of_one = f"[{each}].filter(h, h.orValue('') != '')"
    who, hosts = f"variables.{prefix}_who", f"variables.{prefix}_hosts"
    named = "'\"' + c.name + '\"'"
    return [
        Variable(f"{prefix}_who", f"({active}) ? variables.containers.filter(c, {of_one}.size() > 0).map(c, {named}) : []"),
        Variable(
            f"{prefix}_hosts",
            f"variables.containers.map(c, {of_one}.map(h, '\"' + h.value() + '\"').join(', ')).filter(t, t != '')",
        ),
        Variable(
            prefix,
            f"{who}.size() == 0 ? [] : ['container' + ({who}.size() == 1 ? ' ' : 's ') + {who}.join(', ')\n"
            f"    + ({who}.size() == 1 ? ' uses' : ' use') + ' probe or lifecycle host'\n"
            f"    + ({hosts}.join(', ').contains(', ') ? 's ' : ' ') + {hosts}.join(', ')]",
        ),
    ]


def _volumes(prefix: str, active: str, clause: Volumes) -> list[Variable]:
    """The names, and the detail as `[]` or `[text]`."""
    names = f"variables.{prefix}_names"
    listed = f"variables.spec.?volumes.orValue([]).filter(v, v.?{clause.source}.hasValue())"
    one, many = (_text(text, {"who": f"{names}.join(', ')"}) for text in (clause.one, clause.many))
    return [
        Variable(f"{prefix}_names", f"({active}) ? {listed}.map(v, '\"' + v.name + '\"') : []"),
        Variable(prefix, f"{names}.size() == 0 ? [] : [{names}.size() == 1 ? {one} : {many}]"),
    ]


def _clause(prefix: str, active: str, clause: Clause) -> list[Variable]:
    """The names, who they are in words, and the detail as `[]` or `[text]`."""
    spared = f" && !({clause.unless.cel('variables.spec')})" if clause.unless else ""
    named = f"variables.containers.filter(c, {clause.container.cel('c')}).map(c, '\"' + c.name + '\"')"
    names = f"variables.{prefix}_names"
    containers = f"{names}.size() == 0 ? [] : [({names}.size() == 1 ? 'container ' : 'containers ') + {names}.join(', ')]"
    itself = f"(({active}) && {clause.instance.cel('variables.spec')} ? ['pod'] : []) + " if clause.instance else ""
    who = f"variables.{prefix}_who"
    words = {"who": f"{who}.join(' and ')", "values": _values(clause.container, instance=clause.instance is not None)}
    return [
        Variable(f"{prefix}_names", f"({active}{spared}) ? {named} : []"),
        Variable(f"{prefix}_who", f"{itself}({containers})"),
        Variable(prefix, f"{who}.size() == 0 ? [] : [{_text(clause.text, words)}]"),
    ]


def _values(asked: Predicate, *, instance: bool) -> str:
    """What they set, sorted and quoted: first the values that we know to exist, then others, as written."""
    if not isinstance(asked, Outside):
        return ""
    known, items = literal(asked.named), asked.cel_items
    among = f"variables.containers.exists(c, v in {items('c')})"
    if instance:
        among = f"v in {items('variables.spec')} || {among}"
    quoted = "'\"' + v + '\"'"
    allowed = literal(asked.allowed)
    other = f"{items('c')}.filter(v, !(v in {known}) && !(v in {allowed})).map(v, {quoted}).join(', ')"
    return (
        f"({known}.filter(v, {among}).map(v, {quoted})\n"
        f"    + variables.containers.map(c, {other}).filter(t, t != '')).join(', ')"
    )


def _text(text: str, words: Mapping[str, str]) -> str:
    """A template as a concatenation: 'container "a" must ...'."""
    parts = []
    rest = text
    while "{" in rest:
        before, _, rest = rest.partition("{")
        word, _, rest = rest.partition("}")
        parts += [f"'{before}'"] if before else []
        parts.append(words[word])
    return " + ".join([*parts, f"'{rest}'"] if rest else parts)
