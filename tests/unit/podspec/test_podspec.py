"""The table of PodSpec: what is supported comes of the models, and reasons are given for the rest, and for nothing else."""

from pathlib import Path

import pytest
from pydantic import Field

from controller.api.base import Model
from tools.podspec import __main__ as program
from tools.podspec.absent import ABSENT
from tools.podspec.table import Section, document, problems, sections
from tools.podspec.upstream import Types, core_types, differences


class Handler(Model):
    """Stands for a type of the same name."""

    path: str = ""


class Main(Model):
    """Has a field for each case."""

    handler: Handler | None = None
    handlers: tuple[Handler, ...] = ()
    text: str = ""
    extra: str = Field(default="", alias="ownExtra")


OWN = {"Main": {"ownExtra": "Of ours."}}
TYPES: Types = {
    "Main": {"handler": "Handler", "handlers": "Handler", "text": "", "other": ""},
    "Handler": {"path": ""},
}


def table(absent: dict[str, dict[str, str]]) -> list[Section]:
    """The table of these models."""
    return sections(Main, absent, OWN)


def test_supported_is_what_the_models_have() -> None:
    """Fields come from the models, by the names they have on the wire, each with the type that it leads to."""
    main, handler = table({"Main": {"other": "No."}})
    assert [(row.name, row.supported, row.type) for row in main.rows] == [
        ("handler", True, "Handler"),
        ("handlers", True, "Handler"),
        ("other", False, ""),
        ("text", True, ""),
    ]
    assert [row.name for row in main.own] == ["ownExtra"]
    assert [row.name for row in handler.rows] == ["path"]


def test_a_reason_for_a_supported_field_is_to_be_deleted() -> None:
    """Whoever adds a field is told to delete the reason why it was absent, and where."""
    absent = {"Main": {"text": "Not built yet."}}
    (told,) = problems(table(absent), absent, {}, OWN)
    assert told == "Main.text is supported now: delete its reason from ABSENT in tools/podspec/absent.py"


def test_remarks_and_own_fields_are_of_fields_that_exist() -> None:
    """A remark on a field that is gone is found, and so is one of ours that is in no model."""
    own = {"Main": {"ownExtra": "Of ours.", "gone": "Was ours."}}
    told = problems(sections(Main, {}, own), {}, {"Main": {"other": "Differs."}}, own)
    assert [t.partition(" ")[0] for t in told] == ["Main.other", "Main.gone"]


CASES = {
    "both agree": ({"Main": {"other": "No."}}, TYPES, []),
    "a field that the table does not know": ({}, TYPES, ["Main.other"]),
    "a reason for a field that is gone": ({"Main": {"other": "No.", "old": "No."}}, TYPES, ["Main.old"]),
    "a field of the models that core/v1 does not have": (
        {"Main": {"other": "No."}},
        {**TYPES, "Handler": {}},
        ["Handler.path"],
    ),
    "a field of ours that core/v1 has got": (
        {"Main": {"other": "No."}},
        {**TYPES, "Main": {**TYPES["Main"], "ownExtra": ""}},
        ["Main.ownExtra", "Main.ownExtra"],
    ),
    "a model that stands for another type": (
        {"Main": {"other": "No."}},
        {**TYPES, "Main": {**TYPES["Main"], "handler": "PodHandler"}},
        ["Main.handler"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_differences_from_the_api_server(case: str) -> None:
    """Whatever differs is named, and nothing else."""
    absent, types, names = CASES[case]
    told = differences(table(absent), types, absent)
    assert len(told) == len(names)
    assert all(name in text for name, text in zip(names, told, strict=True))


def test_references_of_openapi() -> None:
    """A type is found by `$ref`, in `allOf`, and in items; quantities and maps are values."""
    prefix = "#/components/schemas/io.k8s.api.core.v1."
    quantity = {"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.api.resource.Quantity"}
    fields = {
        "plain": {"$ref": f"{prefix}Handler"},
        "withDefault": {"allOf": [{"$ref": f"{prefix}Handler"}], "default": {}},
        "list": {"type": "array", "items": {"allOf": [{"$ref": f"{prefix}Handler"}], "default": {}}},
        "text": {"type": "string"},
        "map": {"type": "object", "additionalProperties": quantity},
        "quantity": quantity,
    }
    openapi = {"components": {"schemas": {"io.k8s.api.core.v1.Main": {"properties": fields}, "io.other.Thing": {}}}}
    expected = {"plain": "Handler", "withDefault": "Handler", "list": "Handler", "text": "", "map": "", "quantity": ""}
    assert core_types(openapi) == {"Main": expected}


def test_the_table_is_true_of_the_models() -> None:
    """Of this tree: no reason is out of date, and every absent field has one."""
    found = sections()
    assert problems(found) == []
    assert all(text.endswith(".") for reasons in ABSENT.values() for text in reasons.values())
    assert {"nodeName", "nodeSelector", "tolerations"} == {r.name for r in found[0].rows if "placement" in r.where}


def test_check_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--check names the file that differs; without it, it is put right."""
    path = tmp_path / "podspec.md"
    assert program.main(["--check"], path) == 1
    assert not path.exists()
    assert program.main([], path) == 0
    assert path.read_text() == document(sections())
    assert program.main(["--check"], path) == 0
    assert "make generate" in capsys.readouterr().err
