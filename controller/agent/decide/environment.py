"""The environment of a container's process, by the rules of Kubernetes. Pure.

Source: kubernetes.io, "Define Environment Variables for a Container" and "Define Dependent Environment Variables".
"""

import re
from collections.abc import Mapping
from typing import Final

from controller.agent.decide import downward
from controller.agent.decide.given import Given, Unresolved
from controller.agent.decide.observation import Missing
from controller.agent.sources.port import Kind, Ref
from controller.api.environment import EnvFromSource, EnvVar, KeySelector
from controller.api.spec import Container
from controller.runtime.port import ImageConfig, InvalidConfig

DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""PATH of a container whose image sets none, as Docker's and containerd's."""

_REFERENCE: Final = re.compile(r"\$(?:\$|\((?P<name>[^)]*)\))")


def own_environment(container: Container, given: Given) -> dict[str, str]:
    """The spec's environment: that of whole objects, the later over the earlier, and over it the single variables.

    A `value` may refer to all that was set before it, as `$(NAME)`; the image's is not seen. What is taken from elsewhere is
    not expanded.

    Raises:
        Unresolved: when an object or a key is not there (and not optional), not known yet, or no text.
        InvalidConfig: when a value cannot be had from where it is to be taken, whatever happens.
    """
    own: dict[str, str] = {}
    for source in container.env_from:
        own |= _whole(source, given)
    for variable in container.env:
        value = _value(variable, container, own, given)
        if value is not None:
            own[variable.name] = value
    return own


def _whole(source: EnvFromSource, given: Given) -> dict[str, str]:
    kind, named = (Kind.CONFIG_MAP, source.config_map_ref) if source.config_map_ref else (Kind.SECRET, source.secret_ref)
    if named is None:
        return {}
    ref = Ref(kind, given.instance.metadata.namespace, named.name)
    found = given.object(ref, optional=named.optional)
    return {source.prefix + key: _text(value, key, ref) for key, value in found.data.items()} if found is not None else {}


def _value(variable: EnvVar, container: Container, own: Mapping[str, str], given: Given) -> str | None:
    """The value; None when it is optional and not there."""
    source = variable.value_from
    if variable.value or source is None:
        return expand(variable.value, own)
    if source.field_ref is not None:
        return downward.field_of(source.field_ref.field_path, given)
    if source.resource_field_ref is not None:
        return downward.resource(source.resource_field_ref, container.name, given)
    if source.config_map_key_ref is not None:
        return _key(Kind.CONFIG_MAP, source.config_map_key_ref, given)
    return _key(Kind.SECRET, source.secret_key_ref, given) if source.secret_key_ref is not None else None


def _key(kind: Kind, selector: KeySelector, given: Given) -> str | None:
    ref = Ref(kind, given.instance.metadata.namespace, selector.name)
    found = given.object(ref, optional=selector.optional)
    if found is None:
        return None
    if selector.key not in found.data:
        if selector.optional:
            return None
        raise Unresolved(f"couldn't find key {selector.key} in {kind.kind_name} {ref.namespace}/{ref.name}")
    return _text(found.data[selector.key], selector.key, ref)


def _text(value: bytes, key: str, ref: Ref) -> str:
    """The value as a variable can hold it; the message never says what it is."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise Unresolved(
            f"the value of key {key} in {ref.kind.kind_name} {ref.namespace}/{ref.name} is no text, which a variable has to be"
        )
    return text


def missing(container: Container, given: Given) -> Missing | None:
    """What keeps the container's environment from being made now; None when nothing does."""
    try:
        own_environment(container, given)
    except Unresolved as exc:
        return Missing(str(exc), exc.pending)
    except InvalidConfig:
        return None  # said by the try to make it
    return None


def named(container: Container, namespace: str) -> frozenset[Ref]:
    """The objects that a container's environment names."""
    refs = {
        Ref(kind, namespace, found.name)
        for source in container.env_from
        for kind, found in ((Kind.CONFIG_MAP, source.config_map_ref), (Kind.SECRET, source.secret_ref))
        if found is not None
    }
    refs |= {
        Ref(kind, namespace, selector.name)
        for source in (v.value_from for v in container.env if v.value_from is not None)
        for kind, selector in ((Kind.CONFIG_MAP, source.config_map_key_ref), (Kind.SECRET, source.secret_key_ref))
        if selector is not None
    }
    return frozenset(refs)


def written_environment(container: Container) -> dict[str, str]:
    """What of the spec's environment is written in the spec; a value that is taken from elsewhere is empty.

    Probes and handlers are expanded by it, as by a kubelet: they must not depend on what may have changed since the start.
    """
    own: dict[str, str] = {}
    for variable in container.env:
        own[variable.name] = expand(variable.value, own)
    return own


def environment(image: ImageConfig, own: Mapping[str, str], hostname: str) -> tuple[tuple[str, str], ...]:
    """The process's environment: defaults, over them the image's, over that the spec's."""
    result: dict[str, str] = {"PATH": DEFAULT_PATH, "HOSTNAME": hostname}
    for entry in image.env:
        name, _, value = entry.partition("=")
        result[name] = value
    return tuple((result | dict(own)).items())


def expand(text: str, env: Mapping[str, str]) -> str:
    """Replace `$(NAME)` by the variable's value; `$$` is a `$`, and a reference to nothing stays as it is.

    Source: k8s.io/kubernetes/third_party/forked/golang/expansion.
    """

    def replaced(match: re.Match[str]) -> str:
        name = match["name"]
        return "$" if name is None else env.get(name, match[0])

    return _REFERENCE.sub(replaced, text)
