"""openssl(1), which makes the keys and certificates of the lab."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tools.progress import ToolError

SECONDS = 30.0

NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
"""Arguments of `req` that have it make a key."""


def openssl(*arguments: str | Path) -> None:
    """Run one of its commands. Raises `ToolError` with what it says."""
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode != 0:
        raise ToolError(f"openssl {arguments[0]} failed:\n{done.stderr.strip()}")
