"""Every field of the models that a spec is made of, as `Container.command`, and which of them a manifest sets."""

import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from controller.api.base import Model


def of_models(model: type[Model], seen: set[type[Model]] | None = None) -> Iterator[str]:
    """All fields of a model and of those in it, in the words of the API; a model that is used in several places counts once."""
    seen = set() if seen is None else seen
    if model in seen:
        return
    seen.add(model)
    for name, field in model.model_fields.items():
        yield f"{model.__name__}.{field.alias or name}"
        for inner in models(field.annotation):
            yield from of_models(inner, seen)


def of_manifest(value: Any, model: type[Model]) -> Iterator[str]:
    """Those that a manifest sets, as it is written in YAML.

    Raises:
        AssertionError: when it sets one that there is not.
    """
    if isinstance(value, Sequence) and not isinstance(value, str):
        for item in value:
            yield from of_manifest(item, model)
    elif isinstance(value, Mapping):
        fields = {field.alias or name: field for name, field in model.model_fields.items()}
        for key, below in value.items():
            assert key in fields, f"{model.__name__} has no field {key}"
            yield f"{model.__name__}.{key}"
            for inner in models(fields[key].annotation):
                yield from of_manifest(below, inner)


def models(annotation: Any) -> Iterator[type[Model]]:
    """The models in an annotation: itself, that of its items, or one of several."""
    if isinstance(annotation, type) and issubclass(annotation, Model):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from models(argument)
