"""Figures, their targets, and what comes out of them."""

import json
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.__main__ import main, parser, sections
from benchmarks.metrics import EXPLANATIONS, TARGETS, Figure, Figures, rounded, selected
from benchmarks.network import Network
from benchmarks.usage import cpu_seconds

LINES = {
    "a figure within its target": (Figure("kill_ready_seconds", "s", [0.15]), "kill_ready_seconds 0.15 s  target 0.2 ok"),
    "a figure beyond it": (Figure("kill_ready_seconds", "s", [0.25]), "kill_ready_seconds 0.25 s  target 0.2 missed"),
    "the median counts": (Figure("floor_1_seconds", "s", [9.0, 0.0651, 0.01]), "floor_1_seconds 0.0651 s"),
    "nothing at all": (Figure("api_reads_per_instance", "reads", [0.0]), "api_reads_per_instance 0 reads"),
}


@pytest.mark.parametrize("name", LINES)
def test_a_figure_is_one_line(name: str) -> None:
    """Name, value, unit, and the target with its verdict where there is one."""
    figure, line = LINES[name]
    assert str(figure) == line


def test_numbers_are_never_in_exponents() -> None:
    """Scripts and people read them alike."""
    assert [rounded(value) for value in (1234.5, 12.345, 0.00012, 0.0)] == ["1234", "12.3", "0.0001", "0"]


def test_every_target_is_of_a_figure_that_a_full_run_gives() -> None:
    """A target whose name nothing measures would never be missed."""
    names = {name for section in sections(parser().parse_args([])) for name in section.names}
    assert names >= TARGETS.keys()


def test_every_figure_of_a_run_is_explained() -> None:
    """`--help` tells what each name means."""
    patterns = [name.replace("{n}", "*").replace("{process}", "*") for name in EXPLANATIONS]
    names = {name for section in sections(parser().parse_args([])) for name in section.names}
    unexplained = [name for name in names if not any(selected(pattern, [name]) for pattern in patterns)]
    assert unexplained == []


def test_instances_by_cni_stand_beside_a_floor_of_their_own() -> None:
    """In the same run, since two runs do not compare."""
    chosen = sections(parser().parse_args(["--only", "apply_ready_50_cni_seconds"]))
    names = {name for section in chosen for name in section.names}
    assert {"apply_ready_50_cni_seconds", "floor_50_cni_seconds", "apply_ready_50_cni_ratio_to_floor"} <= names
    assert "apply_ready_100_seconds" not in names


def test_the_floor_calls_the_plugins_that_the_agent_calls(tmp_path: Path) -> None:
    """Of the same configuration, in the same order."""
    network = Network(tmp_path)
    network.make()
    (file,) = (tmp_path / "conf").iterdir()
    assert [plugin["type"] for plugin in json.loads(file.read_text())["plugins"]] == ["bridge", "portmap", "firewall"]
    assert json.loads(file.read_text())["plugins"] == network.plugins()
    network.detach_all()  # nothing is attached


def test_only_what_gives_the_named_figures_is_measured() -> None:
    """`--only` takes names and shell patterns, and leaves out the sections that give none of them."""
    chosen = sections(parser().parse_args(["--only", "kill*, floor_50_seconds"]))
    assert [section.names[0] for section in chosen] == ["apply_ready_50_seconds", "kill_ready_seconds"]


def test_a_name_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A typing error must not look like a quick success."""
    assert main(["--only", "aply_ready"]) == 2
    assert "aply_ready" in capsys.readouterr().err


def test_the_json_holds_samples_and_verdicts(tmp_path: Path) -> None:
    """A run has a file of its own, and `latest.json` is the same."""
    figures = Figures()
    for sample in (0.1, 0.3, 0.2):
        figures.add("kill_ready_seconds", "s", sample)
    path = report.write(tmp_path / "out", "run", report.as_json(figures, {"cores": 2}, {"quick": False}))
    document = json.loads(path.read_text())
    assert document["figures"]["kill_ready_seconds"] == {
        "value": 0.2,
        "unit": "s",
        "samples": [0.1, 0.3, 0.2],
        "target": 0.2,
        "met": True,
    }
    assert json.loads((tmp_path / "out" / "latest.json").read_text()) == document


def test_cpu_time_is_read_after_the_name() -> None:
    """The second field of /proc/PID/stat is the name, which may hold spaces and brackets (proc(5))."""
    stat = "7 (a) b) S 1 7 7 0 -1 0 0 0 0 0 100 20 300 50 20 0 1 0 5"
    assert cpu_seconds(stat) == (1.2, 3.5)
