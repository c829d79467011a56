"""The documents say what the code does."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from controller.api import reasons
from controller.api.workload import ContainerWorkload
from tests.registry import ours

ROOT = Path(__file__).parents[3]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()


@pytest.mark.parametrize("reason", list(reasons.Reason))
def test_every_reason_is_explained(reason: reasons.Reason) -> None:
    """Whoever meets a reason finds it in the table of docs/operations.md."""
    assert f"| `{reason}` |" in OPERATIONS


def test_no_reason_is_explained_that_is_none() -> None:
    """The table has no reason that the code does not know."""
    table = OPERATIONS.partition("\n## Reasons")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(reasons.Reason)


def test_every_metric_is_explained() -> None:
    """Every metric of ours is in docs/operations.md by its full name, and nothing else is."""
    assert set(re.findall(r"^\| `(moorage_\w+)` \|", OPERATIONS, re.MULTILINE)) == set(ours())


def test_the_workload_of_the_readme_is_one() -> None:
    """The example that people copy is understood as it stands, in five lines and the key of its last."""
    (text,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    workload = ContainerWorkload.model_validate(yaml.safe_load(text))
    assert workload.metadata.name == "hello"
    assert workload.spec.template.spec.network == "None"  # let in by every level of Pod Security but restricted
    assert len(text.splitlines()) == 5


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    """A link within the repository leads to a file that is there."""
    targets = [urlsplit(link) for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text())]
    missing = [t.path for t in targets if not t.scheme and t.path and not (document.parent / t.path).exists()]
    assert missing == []
