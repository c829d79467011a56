"""What is in volumes that are made from values: the files of configMap, secret, downwardAPI and projected. Pure.

Source: kubernetes.io, "ConfigMaps", "Secrets", "Downward API" and "Projected Volumes".
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from controller.agent.decide import downward, owner
from controller.agent.decide.given import Given, Unresolved
from controller.agent.sources.port import Kind, Ref
from controller.agent.tokens.port import TokenRef
from controller.api.instance import ContainerInstance
from controller.api.volumes.sources import (
    DEFAULT_MODE,
    ConfigMapProjection,
    ConfigMapVolumeSource,
    DownwardAPIProjection,
    DownwardAPIVolumeFile,
    DownwardAPIVolumeSource,
    KeyToPath,
    ProjectedVolumeSource,
    SecretProjection,
    SecretVolumeSource,
    ServiceAccountTokenProjection,
)
from controller.runtime.port import InvalidConfig


@dataclass(frozen=True, slots=True)
class File:
    """One file of a volume."""

    content: bytes = field(repr=False)
    mode: int
    """Permission bits, 0 to 0o777."""
    owner: int | None = None
    """User that it belongs to; None: root."""


Files = dict[str, File]

_OWNER_ALONE: Final = 0o600

Source = ConfigMapVolumeSource | SecretVolumeSource | DownwardAPIVolumeSource | ProjectedVolumeSource
_Part = Source | ConfigMapProjection | SecretProjection | DownwardAPIProjection | ServiceAccountTokenProjection


def payload(source: Source, given: Given) -> Mapping[str, File]:
    """The files by their paths, which are relative, and lead nowhere else.

    Raises:
        Unresolved: when an object, a key or a token is not there (and not optional), or not known yet.
        InvalidConfig: when the files do not go together, or a path leads out of the volume.
    """
    _chosen_once(source)
    files: Files = {}
    mode = DEFAULT_MODE if source.default_mode is None else source.default_mode
    for part in _parts(source):
        files |= {_inside(path): file for path, file in _files(part, mode, given).items()}
    _fitting(files)
    return files


def named(source: Source, namespace: str) -> frozenset[Ref]:
    """The objects that a volume is made from."""
    refs = (_ref(part, namespace) for part in _parts(source))
    return frozenset(ref for ref in refs if ref is not None)


def token_ref(token: ServiceAccountTokenProjection, instance: ContainerInstance) -> TokenRef:
    """The token that a volume of an instance holds."""
    meta = instance.metadata
    return TokenRef(meta.uid, meta.namespace, instance.spec.service_account_name, token.audience, token.expiration_seconds)


def confidential(source: Source) -> bool:
    """Whether its files must stay in memory: there is a Secret or a token in it."""
    hidden = SecretVolumeSource | SecretProjection | ServiceAccountTokenProjection
    return any(isinstance(part, hidden) for part in _parts(source))


def _parts(source: Source) -> Iterable[_Part]:
    if not isinstance(source, ProjectedVolumeSource):
        return (source,)
    found = (part for s in source.sources for part in (s.config_map, s.secret, s.downward_api, s.service_account_token))
    return tuple(part for part in found if part is not None)


def _ref(part: _Part, namespace: str) -> Ref | None:
    match part:
        case ConfigMapVolumeSource(name=name) | ConfigMapProjection(name=name):
            return Ref(Kind.CONFIG_MAP, namespace, name)
        case SecretVolumeSource(secret_name=name) | SecretProjection(name=name):
            return Ref(Kind.SECRET, namespace, name)
        case _:
            return None


def _files(part: _Part, mode: int, given: Given) -> Files:
    match part:
        case DownwardAPIVolumeSource(items=items) | DownwardAPIProjection(items=items):
            return {item.path: File(_told(item, given), mode if item.mode is None else item.mode) for item in items}
        case ServiceAccountTokenProjection():
            return {part.path: _token(part, mode, given)}
        case ProjectedVolumeSource():
            raise AssertionError("a projected volume has parts")
        case _:
            return _keys(part, mode, given)


def _keys(
    part: ConfigMapVolumeSource | ConfigMapProjection | SecretVolumeSource | SecretProjection, mode: int, given: Given
) -> Files:
    """Keys of an object as files: all, or those that are chosen."""
    ref = _ref(part, given.instance.metadata.namespace)
    found = given.object(ref, optional=part.optional) if ref is not None else None
    if found is None or ref is None:
        return {}
    held = {**found.data, **found.binary}
    if not part.items:
        return {key: File(content, mode) for key, content in held.items()}
    files: Files = {}
    for item in part.items:
        if item.key in held:
            files[item.path] = File(held[item.key], mode if item.mode is None else item.mode)
        elif not part.optional:
            raise Unresolved(_NO_KEY[ref.kind] + item.key)
    return files


_NO_KEY = {
    Kind.CONFIG_MAP: "configmap references non-existent config key: ",
    Kind.SECRET: "references non-existent secret key: ",
}


def _token(part: ServiceAccountTokenProjection, mode: int, given: Given) -> File:
    """Its owner may read it, and nobody else, where it is known who that is; what fsGroup allows comes on top."""
    content, spec = given.token(token_ref(part, given.instance)).content.encode(), given.instance.spec
    user = owner.sole_user(spec)
    alone = user is not None or spec.security_context.fs_group is not None
    return File(content, _OWNER_ALONE if alone else mode, user)


def _told(item: DownwardAPIVolumeFile, given: Given) -> bytes:
    if item.field_ref is not None:
        return downward.field_of(item.field_ref.field_path, given).encode()
    if item.resource_field_ref is not None:
        return downward.resource(item.resource_field_ref, "", given).encode()
    return b""


def _chosen_once(source: Source) -> None:
    """Two sources that are told to make the same file contradict each other; a key that is not chosen gives way."""
    chosen: set[str] = set()
    for part in _parts(source):
        for path in (_inside(item.path) for item in _items(part)):
            if path in chosen:
                raise InvalidConfig(f"conflicting duplicate paths: {path}")
            chosen.add(path)


def _items(part: _Part) -> tuple[KeyToPath | DownwardAPIVolumeFile | ServiceAccountTokenProjection, ...]:
    """What of a source says where its file is to be."""
    if isinstance(part, ServiceAccountTokenProjection):
        return (part,)
    return () if isinstance(part, ProjectedVolumeSource) else part.items


def _inside(path: str) -> str:
    """The path in its plain form: relative, each step a name. The schema holds this, too."""
    steps = [step for step in path.split("/") if step not in {"", "."}]
    if path.startswith("/") or not steps or steps[0].startswith("..") or ".." in steps or "\0" in path:
        raise InvalidConfig(f"{path!r} is no path inside a volume: it must be relative, and without '..'")
    return "/".join(steps)


def _fitting(files: Files) -> None:
    """No file is the folder of another."""
    for path in files:
        steps = path.split("/")
        folders = ("/".join(steps[:n]) for n in range(1, len(steps)))
        if (both := next((f for f in folders if f in files), None)) is not None:
            raise InvalidConfig(f"conflicting paths: {both} cannot be a file and the folder of {path}")
