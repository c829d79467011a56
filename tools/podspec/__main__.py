"""Write or check `docs/podspec.md`: `python -m tools.podspec [--check]`, from `make generate` and `make verify`."""

import argparse
import sys
from pathlib import Path
from typing import Final

from tools.podspec.table import document, problems, sections

DOCUMENT: Final = Path(__file__).resolve().parents[2] / "docs" / "podspec.md"


def main(arguments: list[str] | None = None, path: Path = DOCUMENT) -> int:
    """Write the file, or with --check tell whether it differs. Reasons that do not hold fail both. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.podspec", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when the file is not up to date")
    options = parser.parse_args(arguments)
    found = sections()
    wrong = problems(found)
    for problem in wrong:
        sys.stderr.write(f"{problem}\n")
    text = document(found)
    if path.is_file() and path.read_text() == text:
        return 1 if wrong else 0
    if not options.check:
        path.write_text(text)
        return 1 if wrong else 0
    sys.stderr.write(f"docs/{path.name} is not up to date: run `make generate`\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
