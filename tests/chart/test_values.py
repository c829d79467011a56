"""The comments of values.yaml are the one source of the chart's schema and table."""

import json

import pytest
import yaml

from tests.chart.rendering import CHART
from tools.chart import documents, values

SOURCE = """\
# A word about the file.

group:
  # Not a description.
  # -- How many, over
  # two lines | with a bar.
  # @schema {minimum: 1}
  count: 2
  # -- A mapping that is one value.
  # @schema {additionalProperties: true}
  free:
    any: thing
# -- A list.
names: []
"""


def test_comments_describe_the_key_below_them() -> None:
    """Text, keywords and default of each value, with the groups that they are in."""
    found = {v.name: v for group in values.read(SOURCE) for v in group.leaves()}
    assert {name: (v.text, v.default, v.keywords) for name, v in found.items()} == {
        "group.count": ("How many, over two lines | with a bar.", 2, {"minimum": 1}),
        "group.free": ("A mapping that is one value.", {"any": "thing"}, {"additionalProperties": True}),
        "names": ("A list.", [], {}),
    }


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("a: 1\n", "line 1: a has no `# --` comment"),
        ("# -- Text.\na: 1\n\nb: {}\n", "line 4: b has no `# --` comment"),
        ("# -- Text.\n\ng:\n  a: 1\n", "line 4: g.a has no `# --` comment"),
        ("# -- Text.\n# @schema minimum\na: 1\n", "line 2: `# @schema` needs a mapping"),
        ("# -- Text.\n# @schema {a: \na: 1\n", "line 2: "),
    ],
)
def test_a_value_without_a_description_is_an_error(source: str, line: str) -> None:
    """It is told with its line, so that no value stays unexplained."""
    with pytest.raises(values.ValuesError) as refused:
        values.read(source)
    assert line in str(refused.value)


def test_the_schema_allows_what_is_described_and_no_more() -> None:
    """The type follows from the default, further keywords from the comment; other keys are refused, except in free mappings."""
    found = json.loads(documents.schema(values.read(SOURCE)))
    group = found["properties"]["group"]
    assert found["additionalProperties"] is group["additionalProperties"] is False
    assert group["required"] == ["count", "free"]
    assert group["properties"]["count"].items() >= {("type", "integer"), ("minimum", 1), ("default", 2)}
    assert group["properties"]["free"]["additionalProperties"] is True
    assert found["properties"]["names"]["type"] == "array"
    assert found["properties"]["global"]["type"] == "object"  # which Helm hands to every chart of a parent


def test_the_table_has_a_row_for_each_value() -> None:
    """Between the marks of the README, and nowhere else, with what Markdown would take for its own escaped."""
    readme = documents.with_table(f"before\n{documents.BEGIN}\nold\n{documents.END}\nafter\n", values.read(SOURCE))
    assert readme.startswith("before\n")
    assert readme.endswith("\nafter\n")
    assert "| `group.count` | How many, over two lines \\| with a bar. | `2` |\n" in readme
    assert "old" not in readme


def test_every_value_is_used() -> None:
    """A value that no template reads would do nothing, and nobody would be told."""
    text = "\n".join(path.read_text() for path in (CHART / "templates").rglob("*") if path.is_file())
    unused = []
    for value in (leaf for group in values.read((CHART / "values.yaml").read_text()) for leaf in group.leaves()):
        short = [".".join(("", *value.path[at:])) for at in range(len(value.path))]
        if not any(f"{name}{end}" in text for name in short for end in " )}|\n"):
            unused.append(value.name)
    assert unused == []


def test_defaults_are_of_the_kind_that_the_schema_wants() -> None:
    """Booleans are no strings, numbers no texts: what a user copies from the file is accepted."""
    found = yaml.safe_load((CHART / "values.yaml").read_text())
    properties = json.loads((CHART / "values.schema.json").read_text())["properties"]
    assert set(properties) == {*found, "global"}
