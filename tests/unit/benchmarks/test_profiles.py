"""What a profile says of samples."""

from pathlib import Path

from benchmarks.profiles import Profile, function_label, own_label, package
from tools.lab.process import ROOT

OWN = (str(ROOT / "controller" / "agent" / "plan.py"), "plan")
JSON = ("/usr/lib/python3.11/json/encoder.py", "JSONEncoder.encode")
KOPF = ("/x/lib/python3.11/site-packages/kopf/run.py", "run")


def test_samples_are_scaled_to_the_cpu_time_of_their_thread(tmp_path: Path) -> None:
    """Shares are estimated, sums are the kernel's."""
    stacks = {("main", (OWN, JSON)): 3, ("main", (OWN,)): 1, ("kopf", (KOPF,)): 1}
    profile = Profile(stacks, {"main": 2.0, "kopf": 0.5, "native": 1.0})
    assert profile.innermost(package) == {"json": 1.5, "controller/agent/plan.py": 0.5, "kopf": 0.5}
    assert profile.innermost(own_label) == {"controller/agent/plan.py:plan": 2.0, "(none)": 0.5}
    assert profile.cumulative(own_label)["controller/agent/plan.py:plan"] == 2.0
    profile.write(tmp_path / "agent.profile")
    assert "CPU 3.50 s" in (tmp_path / "agent.profile").read_text()
    assert "main;controller/agent/plan.py:plan;json/encoder.py:JSONEncoder.encode 1500000" in (
        (tmp_path / "agent.folded").read_text().splitlines()
    )


def test_a_recursive_function_counts_once() -> None:
    """With all that it called, a function cannot have used more than there was."""
    profile = Profile({("main", (OWN, OWN, OWN)): 5}, {"main": 1.0})
    assert profile.cumulative(function_label) == {"controller/agent/plan.py:plan": 1.0}


def test_labels_are_short() -> None:
    """Files are named from their package on."""
    assert function_label(*KOPF) == "kopf/run.py:run"
    assert function_label(*JSON) == "json/encoder.py:JSONEncoder.encode"
    assert function_label(*OWN) == "controller/agent/plan.py:plan"
