"""What belongs to a lab but lies outside of its state folder, written down before it is made.

So that everything can be removed after a crash at any moment, a lab notes in `<state>/claims` each name that it, or what it
runs, is going to use. Unix sockets have paths of at most 107 bytes (unix(7)), too few for a folder deep inside a test's
temporary folder, so they lie in a short run folder whose name is a hash of the state folder's.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tools.lab.process import make_state

RUN = Path("/run/moorage-lab")
OWNER = "state"
"""The file in a run folder that holds the path of the state folder which it belongs to."""

Kind = Literal["cgroup", "netns"]


@dataclass(frozen=True)
class Claim:
    """A cgroup (path from the root of each hierarchy, for example `/moorage/demo`) or a network namespace (its name)."""

    kind: Kind
    name: str


def claim(state: Path, kind: Kind, name: str) -> None:
    """Note that `name` is used by the lab in `state`: `down` will remove it with all that is in it."""
    if kind == "cgroup" and not name.strip("/"):
        raise ValueError("the root cgroup belongs to the machine")
    with (make_state(state) / "claims").open("a") as file:
        file.write(f"{kind} {name}\n")


def claims(state: Path) -> set[Claim]:
    """What was claimed in `state` and in the state folders right below it."""
    found: set[Claim] = set()
    for file in (state / "claims", *state.glob("*/claims")):
        if not file.exists():
            continue
        for line in file.read_text().splitlines():
            kind, _, name = line.partition(" ")
            if kind == "cgroup" and name:
                found.add(Claim("cgroup", name))
            elif kind == "netns" and name:
                found.add(Claim("netns", name))
    return found


def run_folder(state: Path) -> Path:
    """The short folder for the sockets of `state`, 29 characters long; whether it is there or not."""
    return RUN / hashlib.sha256(str(state).encode()).hexdigest()[:12]


def make_run_folder(state: Path) -> None:
    """Make the run folder of `state`, and note in it whose it is."""
    folder = run_folder(state)
    while not folder.is_dir():
        with suppress(FileNotFoundError):  # another lab that ends takes the empty parent away just now
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / OWNER).write_text(str(state))


def run_folders(state: Path) -> Iterator[Path]:
    """The run folders of `state` and of the state folders below it."""
    for owner in RUN.glob(f"*/{OWNER}"):
        with suppress(FileNotFoundError):  # another lab ends just now
            if Path(owner.read_text()).is_relative_to(state):
                yield owner.parent


def remove_run_folder(folder: Path) -> None:
    """Remove a run folder, and their common parent with the last one."""
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # others are in use
        RUN.rmdir()
