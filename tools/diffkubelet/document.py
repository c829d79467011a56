"""`python -m tools.diffkubelet.document FILE [--check]`: the named differences as a page of the documentation."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tools.diffkubelet.differences import DIFFERENCES
from tools.diffkubelet.specs import library

HEAD = """\
# Differences from a kubelet

<!-- Made from tools/diffkubelet/differences.py by `make generate`. -->

The same core/v1 `PodSpec` is given to a real kubelet as a Pod and to Moorage as a ContainerInstance, on one node with the same
containerd and the same CNI configuration, and what comes of both is compared: arguments, environment, user and groups,
capabilities, `no_new_privs` and seccomp, resource limits and cgroups, mounts and the files in them, `/dev`, host name, DNS and
hosts, kernel settings, namespaces, network, and in the status how it ended. `make diff-kubelet` does it with {count} specs
(`tools/diffkubelet/specs/`), and fails at a difference that is not in this list.
"""


def page() -> str:
    """The page in Markdown."""
    lines = [HEAD.format(count=len(library())), "| difference | why |", "|---|---|"]
    lines += [f"| {entry.name} | {entry.reason} |" for entry in DIFFERENCES]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Write the page, or compare it; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.diffkubelet.document", description="Write the page of differences.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--check", action="store_true", help="only say whether it is up to date")
    options = parser.parse_args(arguments)
    if not options.check:
        options.file.write_text(page())
    elif not options.file.exists() or options.file.read_text() != page():
        print(f"{options.file} is out of date: run make generate", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
