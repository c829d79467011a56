"""Credential provider plugins of the kubelet: their configuration, what they are asked and what they answer. Pure.

Source: kubernetes.io, "Configure a kubelet image credential provider", and the APIs kubelet.config.k8s.io/v1
`CredentialProviderConfig` and credentialprovider.kubelet.k8s.io/v1.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from controller.agent.decide.credentials.keyring import matches
from controller.runtime.port import Credential

CONFIG_VERSIONS: Final = tuple(f"kubelet.config.k8s.io/{version}" for version in ("v1", "v1beta1", "v1alpha1"))
VERSIONS: Final = tuple(f"credentialprovider.kubelet.k8s.io/{version}" for version in ("v1", "v1beta1", "v1alpha1"))
"""The later ones have the same fields, as far as they are used here."""

_DURATION: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_SECONDS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(duration: str) -> float:
    """A duration as Go writes it (`1h30m`, `0s`), in seconds.

    Raises:
        ValueError: when it is none, or negative.
    """
    text = duration.removeprefix("+")
    if text == "0":
        return 0.0
    if not text or _DURATION.sub("", text):
        raise ValueError(f"{duration!r} is no duration such as 12h, 30m or 0s")
    return sum(float(number) * _SECONDS[unit] for number, unit in _DURATION.findall(text))


def _seconds(value: Any) -> Any:
    return seconds(value) if isinstance(value, str) else value


Duration = Annotated[float, BeforeValidator(_seconds), Field(ge=0)]


class _Strict(BaseModel):
    """Unknown fields are errors, as for a kubelet."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True, extra="forbid")


class ExecEnvVar(_Strict):
    """A variable of the plugin's environment, over those of the agent's own."""

    name: str
    value: str


class CredentialProvider(_Strict):
    """One plugin."""

    name: str = Field(pattern=r"^\.{0,2}[^./\s][^/\s]*$")
    """Of its file in the folder of plugins."""
    match_images: tuple[str, ...] = Field(min_length=1)
    """Globs; it is asked for images that one of them matches."""
    default_cache_duration: Duration
    """Seconds that an answer holds which does not say so itself; 0: it is not kept."""
    api_version: Literal[VERSIONS]  # type: ignore[valid-type] # the tuple is its values
    args: tuple[str, ...] = ()
    env: tuple[ExecEnvVar, ...] = ()

    def asked(self, repository: str) -> bool:
        """Whether it is to be asked for an image."""
        return any(matches(pattern, repository) for pattern in self.match_images)


class _Config(_Strict):
    api_version: Literal[CONFIG_VERSIONS]  # type: ignore[valid-type] # the tuple is its values
    kind: Literal["CredentialProviderConfig"]
    providers: tuple[CredentialProvider, ...] = Field(min_length=1)


def parse_config(text: str) -> tuple[CredentialProvider, ...]:
    """The plugins of a `CredentialProviderConfig`, in YAML or JSON.

    Raises:
        ValueError: naming the field and what is wrong with it.
    """
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as exc:
        raise ValueError(f"is no YAML: {exc}") from exc
    try:
        providers = _Config.model_validate(document).providers
    except ValidationError as exc:
        raise ValueError("; ".join(_told(error) for error in exc.errors(include_url=False))) from None
    _once(provider.name for provider in providers)
    return providers


def _told(error: Any) -> str:
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"]).lstrip(".")
    if place.endswith("tokenAttributes"):
        return f"{place}: tokens of service accounts are not given to plugins: remove it"
    return f"{place}: {error['msg'].removeprefix('Value error, ')}" if place else str(error["msg"])


def _once(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"providers: {name!r} is there twice")
        seen.add(name)


def request(version: str, repository: str) -> str:
    """What a plugin reads: a `CredentialProviderRequest`."""
    return json.dumps({"apiVersion": version, "kind": "CredentialProviderRequest", "image": repository})


GLOBAL: Final = "<global>"
"""Key in a plugin's cache of what is for all images."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a plugin gave. Nothing of its credentials is in any text that is made of it."""

    entries: Mapping[str, Credential] = field(repr=False)
    """By the registry, or the part of one, that they are for."""
    cache_key: str
    """For which images it holds (`cache_keys`)."""
    cache_seconds: float | None
    """How long; None: as configured."""


class _Auth(BaseModel):
    model_config = ConfigDict(extra="ignore")
    username: str = ""
    password: str = ""


class _Response(BaseModel):
    """Unknown fields are passed over: a plugin may be newer than the agent."""

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore")
    api_version: str
    kind: Literal["CredentialProviderResponse"]
    cache_key_type: Literal["Image", "Registry", "Global"]
    cache_duration: Duration | None = None
    auth: dict[str, _Auth] | None = None


def parse_response(text: bytes, version: str, repository: str) -> Answer:
    """What a plugin has written: a `CredentialProviderResponse`.

    Raises:
        ValueError: naming the field; nothing of what was written is in the text.
    """
    try:
        found = _Response.model_validate_json(text)
    except ValidationError as exc:
        errors = exc.errors(include_input=False, include_url=False)
        fields = {str(error["loc"][0]) if error["loc"] else "JSON" for error in errors}
        raise ValueError(f"its answer is no CredentialProviderResponse ({', '.join(sorted(fields))})") from None
    if found.api_version != version:
        raise ValueError(f"its answer is not of apiVersion {version}")
    image, registry, everything = cache_keys(repository)
    key = {"Image": image, "Registry": registry, "Global": everything}[found.cache_key_type]
    entries = {place: Credential(auth.username, auth.password) for place, auth in (found.auth or {}).items()}
    return Answer(entries, key, found.cache_duration)


def cache_keys(repository: str) -> tuple[str, str, str]:
    """Keys of a plugin's cache that an image may be found under, the first one first."""
    return repository, repository.partition("/")[0], GLOBAL
