"""The program that holds shared process ids, and the container that it runs in."""

import platform
import signal
import struct
import subprocess
from pathlib import Path

import pytest

from controller.runtime.oci import Host, holder_spec
from controller.runtime.oci.pause import program

MACHINES = {"amd64": 62, "arm64": 183}
HERE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), "")


@pytest.mark.parametrize("architecture", MACHINES)
def test_it_is_an_executable_of_one_segment(architecture: str) -> None:
    """The header names the machine; the segment is the whole file, not writable; it begins within it."""
    found = program(architecture)
    assert found is not None
    assert found[:7] == b"\x7fELF\x02\x01\x01"
    kind, machine, _, entry, headers = struct.unpack_from("<HHIQQ", found, 16)
    assert (kind, machine, headers) == (2, MACHINES[architecture], 64)
    _, flags, offset, address, _, in_file, in_memory, _ = struct.unpack_from("<IIQQQQQQ", found, 64)
    assert (flags, offset, in_file, in_memory) == (5, 0, len(found), len(found))
    assert address < entry < address + len(found)
    assert len(found) < 300


def test_there_is_none_for_other_machines() -> None:
    """Rather than one that would not run."""
    assert program("riscv64") is None


@pytest.mark.skipif(not HERE, reason="no program for this machine")
def test_it_waits_and_collects(tmp_path: Path) -> None:
    """It runs until it is killed, sleeping, and ignores the ends of its children."""
    path = tmp_path / "pause"
    path.write_bytes(program(HERE) or b"")
    path.chmod(0o500)
    with subprocess.Popen([path], env={}) as process:
        try:
            about = Path(f"/proc/{process.pid}/status")
            while "State:\tS" not in (told := about.read_text()):
                assert process.poll() is None
            ignored = next(line.split()[1] for line in told.splitlines() if line.startswith("SigIgn"))
            assert int(ignored, 16) >> (signal.SIGCHLD - 1) & 1
        finally:
            process.terminate()
    assert process.returncode == -signal.SIGTERM


def test_its_container_has_nothing() -> None:
    """No rights, no user of the node's, no network but one of its own, and of the node's files the program alone."""
    spec = holder_spec(Host(), "/lib/pause", "/moorage/node1/uid.pause")
    assert spec["process"]["args"] == ["/pause"]
    assert spec["process"]["user"] == {"uid": 65535, "gid": 65535, "additionalGids": []}
    assert not any(spec["process"]["capabilities"].values())
    assert spec["process"]["noNewPrivileges"] is True
    assert spec["root"] == {"path": "rootfs", "readonly": True}
    assert spec["linux"]["cgroupsPath"] == "/moorage/node1/uid.pause"
    assert {"type": "network"} in spec["linux"]["namespaces"]
    assert {"type": "pid"} in spec["linux"]["namespaces"]
    assert [m["source"] for m in spec["mounts"] if m["type"] == "bind"] == ["/lib/pause"]
