"""What the kernel and files say, in words that can be compared: without paths, ids and addresses of just this run. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_TIMESTAMPED = re.compile(r"\.\.\d{4}_\d\d_\d\d_\d\d_\d\d_\d\d\.\d+")
"""The folder that a volume's files are written into before they are swapped in, all at once (pkg/volume/util/atomic_writer)."""
_ID = re.compile(r"\b[0-9a-f]{64}\b")
_TOKEN = re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]+")

MOST_TEXT = 200
"""Characters of a file's content that are shown; of a longer one a digest."""

STATUS = ("Uid", "Gid", "Groups", "Umask", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")
"""Lines of /proc/PID/status (proc_pid_status(5)) that are compared."""

DISK_OPTIONS = {"ro", "rw"}
"""Options of a file system on disk that are compared; the others name its layers and its journal."""
DISKLESS = {"tmpfs", "proc", "sysfs", "devpts", "mqueue", "cgroup", "cgroup2"}
"""File systems without a disk: all their options are compared."""


def process_status(text: str) -> dict[str, str]:
    """The lines of /proc/PID/status that are compared; groups in order."""
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    found = {key: " ".join(lines[key].split()) for key in STATUS if key in lines}
    found["Groups"] = " ".join(sorted(found.get("Groups", "").split(), key=int))
    return found


def zero_separated(data: bytes) -> list[str]:
    """Entries of /proc/PID/cmdline and /proc/PID/environ."""
    return data.decode(errors="replace").rstrip("\0").split("\0") if data else []


def environment(data: bytes) -> dict[str, str]:
    """Variables by name; of one that is there twice, both values, since which counts is up to the program."""
    found: dict[str, str] = {}
    for entry in zero_separated(data):
        name, _, value = entry.partition("=")
        found[name] = f"{found[name]} AND {value}" if name in found else value
    return found


def limits(text: str) -> dict[str, str]:
    """/proc/PID/limits: soft and hard, by name."""
    found = {}
    for line in text.splitlines()[1:]:
        name, soft, hard = re.split(r"\s{2,}", line.strip())[:3]
        found[name] = f"{soft} {hard}"
    return found


def mounts(mountinfo: str) -> dict[str, dict[str, str]]:
    """/proc/PID/mountinfo (proc_pid_mountinfo(5)) by mount point; of several at one point, the later ones are numbered.

    Where a file system lies on disk is left out, as are its layers: either side keeps its files where it likes.
    """
    found: dict[str, dict[str, str]] = {}
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        _, _, _, root, point, options, *fields = before.split(" ")
        kind, _, super_options = [*after.split(" ", 2), "", ""][:3]
        diskless = kind in DISKLESS
        point = point.encode().decode("unicode_escape")
        key = point
        number = 2
        while key in found:
            key, number = f"{point} #{number}", number + 1
        shown = {option for option in super_options.split(",") if diskless or option in DISK_OPTIONS}
        found[key] = {
            "type": kind if diskless else "disk",
            "options": ",".join(sorted(options.split(","))),
            "propagation": " ".join(sorted(field.partition(":")[0] for field in fields)) or "private",
            "super": ",".join(sorted(shown)),
        }
        if kind in {"proc", "sysfs", "cgroup", "cgroup2"} and root != "/":
            found[key]["root"] = "of it" if kind.startswith("cgroup") else root
    return found


def plain_lines(text: str) -> str:
    """A configuration file without comments and blank lines, its words one space apart."""
    lines = (" ".join(line.partition("#")[0].split()) for line in text.splitlines())
    return "\n".join(filter(None, lines))


def content(data: bytes) -> str:
    """A file's content, or a digest of a long one; a token, of which each is another, by a word."""
    text = _TOKEN.sub("<token>", data.decode(errors="replace"))
    return text if len(text) <= MOST_TEXT else f"{len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()[:16]}"


def generic(value: Any, own: Mapping[str, str]) -> Any:
    """A value of a report without what is of this run alone: ids, tokens, times; texts in `own` become what they stand for."""
    if isinstance(value, Mapping):
        return {generic(key, own): generic(found, own) for key, found in value.items()}
    if isinstance(value, list):
        return [generic(found, own) for found in value]
    if not isinstance(value, str):
        return value
    for text, word in own.items():
        value = re.sub(rf"(?<![\w.-]){re.escape(text)}(?![\w-])(?!\.\d)", word, value)
    return _TOKEN.sub("<token>", _ID.sub("<id>", _TIMESTAMPED.sub("..<time>", value)))


def spaces(own: Mapping[str, str], node: Mapping[str, str], others: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """With whom a process shares each of its namespaces: the node, other containers of its pod, or nobody.

    Args:
        own: the process's namespaces, by kind.
        node: the node's.
        others: those of the processes of the other containers.
    """
    others = list(others)
    return {
        kind: "the node's" if name == node.get(kind) else "shared" if any(name == o.get(kind) for o in others) else "its own"
        for kind, name in own.items()
    }


def call_filter(seccomp: Mapping[str, Any]) -> dict[str, Any]:
    """`linux.seccomp` of an OCI spec by system call: under which conditions what is done, whatever the order of the rules."""
    calls: dict[str, set[str]] = {}
    for rule in seccomp.get("syscalls", ()):
        does = f"{rule['action'].removeprefix('SCMP_ACT_')} {rule.get('errnoRet', '')}".strip()
        given = " and ".join(_condition(argument) for argument in rule.get("args") or ())
        for name in rule["names"]:
            calls.setdefault(name, set()).add(f"{does} if {given}" if given else does)
    return {
        "default": f"{seccomp['defaultAction']} {seccomp.get('defaultErrnoRet') or ''}".strip(),
        "architectures": dict.fromkeys(seccomp.get("architectures", ()), True),
        "calls": {name: "; ".join(sorted(rules)) for name, rules in calls.items()},
    }


def _condition(argument: Mapping[str, Any]) -> str:
    operator = argument["op"].removeprefix("SCMP_CMP_")
    second = f" {argument['valueTwo']}" if argument.get("valueTwo") else ""
    return f"{argument['index']} {operator} {argument['value']}{second}"


def links(addresses: Sequence[Mapping[str, Any]], routes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """`ip -json address` and `ip -json route`: interfaces by name, and the way to each destination.

    Addresses of a link alone are left out: they come from its random hardware address.
    """
    found: dict[str, Any] = {}
    for link in addresses:
        given = [f"{a['local']}/{a['prefixlen']}" for a in link.get("addr_info", ()) if a.get("scope") != "link"]
        found[link["ifname"]] = {"mtu": link["mtu"], "up": "UP" in link["flags"], "addresses": given}
    ways = {route["dst"]: f"{route.get('gateway', 'on link')} {route.get('dev', '')}" for route in routes}
    return {"links": found, "routes": ways}
