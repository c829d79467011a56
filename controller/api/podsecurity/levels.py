"""Levels, versions, and which of them hold in a namespace: by its labels, as Pod Security admission reads them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

LABEL_PREFIX: Final = "pod-security.kubernetes.io/"
ENFORCE: Final = f"{LABEL_PREFIX}enforce"
ENFORCE_VERSION: Final = f"{LABEL_PREFIX}enforce-version"

LATEST: Final = "latest"
VERSION: Final = r"^v1\.(0|[1-9][0-9]{0,8})$"
"""Pattern of a version that is not `latest`."""

NEWEST: Final = 2**31 - 1
"""The minor version that `latest` stands for: newer than any rule."""


class Level(StrEnum):
    """How much a workload may do on its node; in the order of strictness."""

    PRIVILEGED = "privileged"
    """Everything."""
    BASELINE = "baseline"
    """Nothing by which a workload is known to become root on its node."""
    RESTRICTED = "restricted"
    """Hardened as current practice has it."""

    @property
    def rank(self) -> int:
        """Its place in the order of strictness."""
        return list(Level).index(self)


class Mode(StrEnum):
    """What happens to a workload that violates a level."""

    ENFORCE = "enforce"
    """It is refused."""
    WARN = "warn"
    """Whoever sends it is warned."""
    AUDIT = "audit"
    """The audit log says so."""

    @property
    def label(self) -> str:
        """The namespace's label that names the level."""
        return LABEL_PREFIX + self

    @property
    def version_label(self) -> str:
        """The namespace's label that names the version."""
        return f"{LABEL_PREFIX}{self}-version"


@dataclass(frozen=True, slots=True)
class LevelVersion:
    """A level of one version of the standards: `restricted:v1.30`, `baseline:latest`."""

    level: Level
    version: str = LATEST

    def __str__(self) -> str:
        return f"{self.level}:{self.version}"

    @property
    def minor(self) -> int:
        """Its minor version; `NEWEST` for `latest`."""
        return NEWEST if self.version == LATEST else int(self.version.removeprefix("v1."))


PRIVILEGED: Final = LevelVersion(Level.PRIVILEGED)
"""Nothing is refused."""
BASELINE: Final = LevelVersion(Level.BASELINE)
"""What holds, unless somebody says otherwise, in a namespace without labels."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What holds in a namespace, or in one without labels."""

    enforce: LevelVersion
    warn: LevelVersion
    audit: LevelVersion


def policy(labels: Mapping[str, str], default: Policy) -> Policy:
    """What holds in a namespace with these labels (pod-security-admission, `api.PolicyToEvaluate`).

    A level that does not exist is read as `restricted` by enforce, and as `privileged` by the other two; a version that does
    not exist as `latest`. What is enforced explicitly, and is stricter than the default of warn, is warned of, too.
    """
    enforce = _read(labels, Mode.ENFORCE, default.enforce, otherwise=Level.RESTRICTED)
    fallback = default.warn
    if labels.get(ENFORCE) in set(Level) and enforce.level.rank > fallback.level.rank and Mode.WARN.label not in labels:
        fallback = enforce
    return Policy(
        enforce=enforce,
        warn=_read(labels, Mode.WARN, fallback, otherwise=Level.PRIVILEGED),
        audit=_read(labels, Mode.AUDIT, default.audit, otherwise=Level.PRIVILEGED),
    )


def enforced(labels: Mapping[str, str], default: LevelVersion) -> LevelVersion:
    """What is enforced in a namespace with these labels."""
    return _read(labels, Mode.ENFORCE, default, otherwise=Level.RESTRICTED)


def _read(labels: Mapping[str, str], mode: Mode, default: LevelVersion, *, otherwise: Level) -> LevelVersion:
    found = default
    level, version = labels.get(mode.label), labels.get(mode.version_label)
    if level is not None:
        found = replace(found, level=Level(level) if level in set(Level) else otherwise)
    if version is not None:
        found = replace(found, version=version if re.fullmatch(VERSION, version) else LATEST)
    return found
