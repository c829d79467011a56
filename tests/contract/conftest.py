"""One suite for every runtime: `subject` is each of them in turn, empty, with the same images to be had."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.contract.containerd_subject import ContainerdSubject
from tests.contract.subject import MemorySubject, Subject
from tools.lab import Containerd, Registry


@pytest.fixture(scope="session")
def containerd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containerd]:
    """One for these tests alone, each of which leaves nothing behind.

    All namespaces of a containerd share what was fetched, so where other tests have a containerd's images, nothing of them is
    fetched here.
    """
    with Containerd(tmp_path_factory.mktemp("contract") / "s") as found:
        yield found


@pytest.fixture(params=["memory", "containerd"])
async def subject(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Subject]:
    """A runtime that is to keep the port's rules; at the end it must be as empty as before."""
    found: Subject
    if request.param == "memory":
        found = MemorySubject(tmp_path)
    else:
        # Asked for only here, so that the tests in memory start nothing.
        found = ContainerdSubject(request.getfixturevalue("containerd"), request.getfixturevalue("registry"), tmp_path)
    async with found:
        yield found


@pytest.fixture
async def real(containerd: Containerd, registry: Registry, tmp_path: Path) -> AsyncIterator[ContainerdSubject]:
    """Containerd alone, for what only a real runtime can show."""
    async with ContainerdSubject(containerd, registry, tmp_path) as found:
        yield found
