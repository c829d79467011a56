"""`values.yaml` with the comments that describe it, as a tree.

Two kinds of comment lines belong to the key below them:

    # -- Text that describes it, which may go on
    # over further lines.
    # @schema {minimum: 1}
    replicas: 2

`# @schema` is a YAML mapping of JSON Schema keywords on one line. A key without a text that is not merely a group of described
keys is an error: a value that nobody explains is one that nobody can use.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

TEXT = "# --"
SCHEMA = "# @schema"


class ValuesError(Exception):
    """A comment is missing or cannot be understood; names the line."""


@dataclass(frozen=True)
class Value:
    """One key of the values: a group with `children`, or a value of its own with a text and a default."""

    path: tuple[str, ...]
    text: str
    default: Any
    keywords: dict[str, Any]
    """Further JSON Schema keywords."""
    children: tuple[Value, ...] = ()

    @property
    def name(self) -> str:
        """As `--set` takes it."""
        return ".".join(self.path)

    def leaves(self) -> Iterator[Value]:
        """The values in the order of the file, groups left out."""
        if not self.children:
            yield self
        for child in self.children:
            yield from child.leaves()


def read(source: str) -> tuple[Value, ...]:
    """The top-level keys of a values file.

    Raises:
        ValuesError: when a value is not described, or a comment makes no sense.
    """
    root = yaml.compose(source, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        raise ValuesError("the values are no mapping")
    return _children(root, source.splitlines(), ())


def _children(node: yaml.MappingNode, lines: list[str], path: tuple[str, ...]) -> tuple[Value, ...]:
    return tuple(_value(key, value, lines, (*path, str(key.value))) for key, value in node.value)


def _value(key: yaml.Node, node: yaml.Node, lines: list[str], path: tuple[str, ...]) -> Value:
    line = key.start_mark.line
    text, keywords = _comments(lines, line)
    default = yaml.safe_load(yaml.serialize(node))
    if isinstance(node, yaml.MappingNode) and not text:
        if not node.value:
            raise ValuesError(f"line {line + 1}: {'.'.join(path)} has no `{TEXT}` comment above it")
        return Value(path, "", default, keywords, _children(node, lines, path))
    if not text:
        raise ValuesError(f"line {line + 1}: {'.'.join(path)} has no `{TEXT}` comment above it")
    return Value(path, text, default, keywords)


def _comments(lines: list[str], line: int) -> tuple[str, dict[str, Any]]:
    """The text and the keywords in the comment lines right above a key."""
    first = line
    while first > 0 and lines[first - 1].lstrip().startswith("#"):
        first -= 1
    words: list[str] = []
    keywords: dict[str, Any] = {}
    for number in range(first, line):
        comment = lines[number].strip()
        if comment.startswith(SCHEMA):
            keywords |= _keywords(comment.removeprefix(SCHEMA), number + 1)
        elif comment.startswith(TEXT):
            words = [comment.removeprefix(TEXT).strip()]
        elif words:
            words.append(comment.removeprefix("#").strip())
    return " ".join(words), keywords


def _keywords(text: str, line: int) -> dict[str, Any]:
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as exc:
        raise ValuesError(f"line {line}: {exc}") from exc
    if not isinstance(found, dict):
        raise ValuesError(f"line {line}: `{SCHEMA}` needs a mapping, as in `{SCHEMA} {{minimum: 1}}`")
    return found
