"""The pins of the tools, and when a tool is built anew."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tools import build


def test_all_kubernetes_commands_have_one_version() -> None:
    """kubectl, API server and kubelet come from one module, so their versions cannot drift apart."""
    versions = {tool.name: tool.version for tool in build.all_tools()}
    names = ["kube-apiserver", "kube-controller-manager", "kubectl", "kubelet"]
    assert len({versions[name] for name in names}) == 1


def test_tools_have_the_names_that_people_know() -> None:
    """Etcd is called etcd, though go would call it after its import path; each name occurs once."""
    names = [tool.name for tool in build.all_tools()]
    assert {"etcd", "containerd", "containerd-shim-runc-v2", "ctr", "runc", "helm", "bridge", "portmap"} <= set(names)
    assert len(names) == len(set(names))


def test_each_module_beside_the_build_script_is_built() -> None:
    """A folder with a go.mod that no group names would be pinned and never built."""
    assert {group.folder for group in build.GROUPS} == {path.parent.name for path in build.HERE.glob("*/go.mod")}


@pytest.mark.parametrize(
    ("only", "extra", "wanted"),
    [([], [], {"helm", "etcd"}), ([], ["kubelet"], {"helm", "etcd", "kubelet"}), (["helm"], [], {"helm"})],
)
def test_what_is_built_can_be_chosen(only: list[str], extra: list[str], wanted: set[str]) -> None:
    """By default all but the optional ones; `--with` adds one of those, `--only` leaves out all others."""
    assert {name for name in ("helm", "etcd", "kubelet") if build._is_wanted(name, only, extra)} == wanted


@pytest.mark.parametrize("changed", ["go.mod", "go.sum"])
def test_a_changed_pin_makes_a_tool_stale(changed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tool is current until its go.mod or go.sum changes, and not a moment longer."""
    shutil.copytree(build.HERE / "etcd", tmp_path / "etcd")
    monkeypatch.setattr(build, "HERE", tmp_path)
    monkeypatch.setattr(build, "BIN", tmp_path)
    monkeypatch.setattr(build, "STAMPS", tmp_path / "stamps")
    (tmp_path / "stamps").mkdir()
    group = next(group for group in build.GROUPS if group.folder == "etcd")
    (tool,) = build.read_tools(group)
    assert not tool.is_current()
    # The folder is called as the tool: for `is_current` it stands in for the binary.
    (tmp_path / "stamps" / "etcd").write_text(tool.fingerprint())
    assert tool.is_current()
    with (tmp_path / "etcd" / changed).open("a") as file:
        file.write("\n")
    assert not tool.is_current()


@pytest.mark.parametrize(("folder", "source"), [("kstatus", "main.go"), ("gitops", "make.py")])
def test_a_changed_source_of_our_own_makes_a_tool_stale(
    folder: str, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a tool is made from sources beside its go.mod, they count like the pins."""
    shutil.copytree(build.HERE / folder, tmp_path / folder)
    monkeypatch.setattr(build, "HERE", tmp_path)
    (tool,) = build.read_tools(next(group for group in build.GROUPS if group.folder == folder))
    before = tool.fingerprint()
    with (tmp_path / folder / source).open("a") as file:
        file.write("\n")
    assert tool.fingerprint() != before


def test_no_module_says_where_it_is_fetched_from() -> None:
    """Proxies and checksum servers are a matter of the machine, so no address of one is written down."""
    for path in build.HERE.glob("*/go.*"):
        assert "://" not in path.read_text()
