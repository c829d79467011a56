"""Files and Secrets with credentials, as Docker writes them: `config.json` and the older `.dockercfg`. Pure.

Source: core/v1 `Secret` (kubernetes.io/dockerconfigjson, kubernetes.io/dockercfg), kubernetes.io, "Pull an Image from a Private
Registry", and Docker's config.json. An entry that cannot be used is named by its key and left out; the others hold.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from controller.runtime.port import Credential

CONFIG_JSON: Final = ".dockerconfigjson"
"""Key in Secrets of type kubernetes.io/dockerconfigjson: a whole config.json."""
DOCKERCFG: Final = ".dockercfg"
"""Key in Secrets of type kubernetes.io/dockercfg: what is below `auths` alone."""

_TEXTS: Final = ("username", "password", "auth", "identitytoken", "registrytoken")
"""Fields of an entry; all others, such as `email`, mean nothing to a registry."""


@dataclass(frozen=True, slots=True)
class DockerConfig:
    """What was read. Its credentials are in no text that is made of it."""

    entries: Mapping[str, Credential] = field(default_factory=dict)
    """By the registry or the part of one that they are for, as written."""
    problems: tuple[str, ...] = ()
    """What could not be used and why, without anything of its content."""


def of_secret(data: Mapping[str, bytes]) -> DockerConfig:
    """The credentials in a Secret, whichever of the two keys it has."""
    for key, below in ((CONFIG_JSON, True), (DOCKERCFG, False)):
        if data.get(key):
            read = parse(data[key], auths=below)
            return DockerConfig(read.entries, tuple(f"{key}: {problem}" for problem in read.problems))
    return DockerConfig(problems=(f"has neither {CONFIG_JSON} nor {DOCKERCFG}",))


def parse(text: bytes, *, auths: bool = True) -> DockerConfig:
    """Read a `config.json`, or with `auths=False` a `.dockercfg`."""
    try:
        document = json.loads(text)
    except ValueError:  # its message shows a part of the text
        return DockerConfig(problems=("is not JSON",))
    if not isinstance(document, dict):
        return DockerConfig(problems=("is no JSON object",))
    found = document.get("auths") or {} if auths else document
    if not isinstance(found, dict):
        return DockerConfig(problems=("auths is no JSON object",))
    entries: dict[str, Credential] = {}
    problems: list[str] = []
    for key, entry in found.items():
        try:
            credential = _credential(entry)
        except ValueError as exc:
            problems.append(f"{'auths' if auths else ''}[{json.dumps(key)}]: {exc}")
        else:
            if credential != Credential():  # an entry whose content is kept by a helper of Docker's
                entries[key] = credential
    return DockerConfig(entries, tuple(problems))


def _credential(entry: Any) -> Credential:
    """One entry. Raises `ValueError`, whose text holds nothing of it."""
    if not isinstance(entry, dict):
        raise ValueError("is no JSON object")  # noqa: TRY004 - of the file, not of an argument
    for name in _TEXTS:
        if not isinstance(entry.get(name) or "", str):
            raise ValueError(f"{name} is no text")  # noqa: TRY004 - of the file, not of an argument
    username, password = entry.get("username") or "", entry.get("password") or ""
    if entry.get("auth"):
        username, password = _decoded(entry["auth"])
    return Credential(username, password, entry.get("identitytoken") or "", entry.get("registrytoken") or "")


def _decoded(auth: str) -> tuple[str, str]:
    """User and password; the padding may be left out, as Kubernetes has it."""
    text = auth.replace("\r", "").replace("\n", "")
    try:
        if not text.strip().endswith("="):
            text += "=" * (-len(text) % 4)
        plain = base64.b64decode(text, validate=True).decode()
    except (ValueError, binascii.Error):
        plain = ""
    username, colon, password = plain.partition(":")
    if not colon:
        raise ValueError("auth is not base64 of user:password")
    return username, password
