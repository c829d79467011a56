"""The definitions: structural, deterministic, and what the design says of them."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.api import schema
from controller.api.spec import InstanceSpec
from controller.api.structural import fields
from controller.manager.decide.values import compact

ROOT = Path(__file__).resolve().parents[3]
CRDS = {crd["spec"]["names"]["kind"]: crd for crd in schema.crds()}
KINDS = sorted(CRDS)


def version(kind: str) -> dict[str, Any]:
    """The one version of a kind."""
    (found,) = CRDS[kind]["spec"]["versions"]
    return dict(found)


def root(kind: str) -> dict[str, Any]:
    """The schema of a kind."""
    return dict(version(kind)["schema"]["openAPIV3Schema"])


def field(kind: str, path: str) -> dict[str, Any]:
    """The schema of one field, such as `spec.template.spec.containers[].name`."""
    return next(found for name, found, _ in fields(root(kind)) if name == path)


def walk(node: Any) -> list[dict[str, Any]]:
    """Every object in a document."""
    if isinstance(node, dict):
        return [node, *(inner for value in node.values() for inner in walk(value))]
    return [inner for value in node for inner in walk(value)] if isinstance(node, list) else []


def test_generated_files_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    """`make verify`: the files in the tree are what the models say."""
    code = schema.main([str(ROOT / "crds"), "--docs", str(ROOT / "docs" / "api.md"), "--check"])
    assert code == 0, capsys.readouterr().err


def test_check_finds_changed_missing_and_surplus_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--check writes nothing, and names what differs; without it, it is put right."""
    folder = tmp_path / "crds"
    assert schema.main([str(folder), "--check"]) == 1
    assert not folder.exists()
    assert schema.main([str(folder)]) == 0
    (folder / "old.yaml").write_text("")
    changed = folder / "moorage.dev_runtimenodes.yaml"
    changed.write_text("x")
    capsys.readouterr()
    assert schema.main([str(folder), "--check"]) == 1
    told = capsys.readouterr().err
    assert "old.yaml" in told
    assert "moorage.dev_runtimenodes.yaml" in told
    assert schema.main([str(folder)]) == 0
    assert sorted(p.name for p in folder.iterdir()) == sorted(schema.files())
    assert schema.main([str(folder), "--check"]) == 0


def test_text_and_values_agree() -> None:
    """The YAML reads back as the definitions, and is the same each time."""
    assert [yaml.safe_load(schema.to_yaml(crd)) for crd in schema.crds()] == schema.crds()
    assert schema.files() == schema.files()


@pytest.mark.parametrize("kind", KINDS)
def test_schemas_are_structural(kind: str) -> None:
    """No reference, title, null or choice is left, and every field has a type and a description."""
    for node in walk(root(kind)):
        assert not node.keys() & {"$ref", "title", "allOf", "oneOf", "not", "const"}
    for path, found, _ in fields(root(kind)):
        assert ("type" in found) != bool(found.get("x-kubernetes-int-or-string")), path
        if not path.startswith("metadata"):
            assert found.get("description"), path


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_spec_has_defaults(kind: str) -> None:
    """A status says what was written, and nothing else; but that nobody has seen the object yet."""
    assert root(kind)["properties"]["status"]["default"] == {"observedGeneration": -1}
    inside = [path for path, found, _ in fields(root(kind)["properties"]["status"]) if "default" in found]
    assert inside == []


def test_nested_defaults_apply_when_the_object_is_left_out() -> None:
    """An object whose fields all have defaults defaults to an empty object, in which they then apply."""
    for path in ("spec.update", "spec.nodeLost", "spec.template.spec.backoff"):
        assert field("ContainerWorkload", path)["default"] == {}
    assert field("ContainerWorkload", "spec.update.maxUnavailable")["default"] == 1


def test_absent_means_empty() -> None:
    """Empty texts, lists and maps are no defaults: they would only make objects longer."""
    assert not [n for crd in CRDS.values() for n in walk(crd) if n.get("default", 0) in ("", [])]


def test_lists_say_how_they_are_merged() -> None:
    """Server-side apply: by key where there is one, as a whole elsewhere."""
    for kind in KINDS:
        for path, found, _ in fields(root(kind)):
            if found.get("type") == "array":
                assert found.get("x-kubernetes-list-type") in {"atomic", "map", "set"}, path
    keys = field("ContainerWorkload", "spec.template.spec.containers[]")["x-kubernetes-list-map-keys"]
    assert keys == ["name"]


def test_rules_say_what_is_wrong() -> None:
    """Each CEL rule has a message of its own, in words."""
    found = [rule for crd in CRDS.values() for node in walk(crd) for rule in node.get("x-kubernetes-validations", [])]
    assert found
    assert all(len(rule["message"]) > 10 for rule in found)


def test_names_and_subresources() -> None:
    """Short names, category, scale and selectable fields, as people and clients use them."""
    assert {k: c["spec"]["names"]["shortNames"] for k, c in CRDS.items()} == {
        "ContainerImage": ["cimg"],
        "ContainerInstance": ["ci"],
        "ContainerWorkload": ["cw"],
        "NodeImages": ["nimg"],
        "RuntimeNode": ["rn"],
    }
    assert all(c["spec"]["names"]["categories"] == ["moorage"] for c in CRDS.values())
    assert version("ContainerWorkload")["subresources"]["scale"]["labelSelectorPath"] == ".status.selector"
    assert version("ContainerInstance")["selectableFields"] == [{"jsonPath": ".spec.nodeName"}]
    assert all("status" in version(kind)["subresources"] for kind in KINDS)


def test_columns() -> None:
    """What `kubectl get` shows, and with -o wide."""
    shown = {kind: [c["name"] for c in version(kind)["additionalPrinterColumns"] if not c.get("priority")] for kind in KINDS}
    assert shown == {
        "ContainerImage": ["IMAGE", "READY", "STATUS", "SIZE", "AGE"],
        "ContainerInstance": ["READY", "STATUS", "RESTARTS", "IMAGE", "NODE", "AGE"],
        "ContainerWorkload": ["READY", "STATUS", "RESTARTS", "IMAGE", "NODE", "AGE"],
        "NodeImages": ["READY", "STATUS", "AGE"],
        "RuntimeNode": ["READY", "STATUS", "CORDONED", "RUNTIME", "VERSION", "AGE"],
    }


def test_the_reference_lists_every_field() -> None:
    """docs/api.md has a row for each field of spec and status."""
    text = schema.reference()
    for kind in KINDS:
        for part in ("spec", "status"):
            for path, _, _ in fields(root(kind)["properties"][part]):
                assert f"| `{path}` |" in text


def test_defaults_of_models_and_server_are_the_same() -> None:
    """What the API server fills in is what the models assume, so a hash over non-defaults is the same on both sides."""
    given = {"hostNetwork": True, "containers": [{"name": "a", "image": "b", "ports": [{"containerPort": 1}]}]}
    filled = _with_defaults(field("ContainerWorkload", "spec.template.spec"), given)
    assert filled["backoff"] == {"initialSeconds": 1, "maxSeconds": 60, "resetAfterSeconds": 120}
    assert compact(InstanceSpec.model_validate(filled)) == compact(InstanceSpec.model_validate(given)) == given


def _with_defaults(node: dict[str, Any], value: Any) -> Any:
    """Defaulting as the API server does it."""
    if isinstance(value, dict):
        out = dict(value)
        for name, child in node.get("properties", {}).items():
            if name not in out and "default" in child:
                out[name] = child["default"]
            if name in out:
                out[name] = _with_defaults(child, out[name])
        return out
    return [_with_defaults(node["items"], item) for item in value] if isinstance(value, list) else value
