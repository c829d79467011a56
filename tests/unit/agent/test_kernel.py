"""Calls to the kernel that Python does not have, as far as they need no rights."""

import os
from pathlib import Path

import pytest

from controller import kernel


def test_a_failure_tells_what_was_being_done_and_stays_of_its_kind() -> None:
    """Whoever takes what is absent for done sees that it is."""
    folder = os.open("/proc", os.O_PATH)
    with pytest.raises(NotADirectoryError) as failed, kernel.doing("looking for it"):
        kernel.open_beneath(folder, "version/below", os.O_PATH)
    os.close(folder)
    assert failed.value.strerror == "looking for it: Not a directory"


def test_a_mount_as_the_table_has_it() -> None:
    """Its device is what stat(2) tells of the files on it."""
    found = kernel.mount_of("/proc/version")
    assert found is not None
    assert (found.kind, found.path, found.device) == ("proc", "/proc", Path("/proc/version").stat().st_dev)
