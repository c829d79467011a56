"""A second OCI runtime for tests: runc under another path, which notes what it is called for."""

from pathlib import Path

from tools.build import BIN

_COMMANDS = "create|start|exec|kill|delete"


def logging_runc(path: Path, log: Path) -> Path:
    """Make a program at `path` that writes its command and all its words into `log`, a line a call, and is runc otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    note = f'for word in "$@"; do case "$word" in {_COMMANDS}) echo "$word $*" >> {log}; break;; esac; done'
    path.write_text(f'#!/bin/sh\n{note}\nexec {BIN / "runc"} "$@"\n')
    path.chmod(0o755)
    log.touch()
    return path
