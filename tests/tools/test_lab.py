"""The lab: what it starts it finds again, and what it takes down is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.waiting import eventually
from tools.images import all_images, push
from tools.lab import Containerd, ControlPlane, Process, Registry, ToolError, claim, down, free_port, procfs, sweep
from tools.lab.__main__ import main
from tools.lab.claims import Claim, claims, run_folder
from tools.lab.lab import Lab
from tools.lab.process import ROOT, make_state
from tools.lab.procfs import ProcessId

SLEEP = ["sleep", "1000"]


def test_a_reused_process_number_is_not_the_same_process() -> None:
    """A process is known by its number and its start time, so a stale pid file never ends a stranger."""
    me = ProcessId.of(os.getpid())
    assert me is not None
    assert me.alive
    stranger = ProcessId(me.pid, me.started - 1)
    assert not stranger.alive
    assert not stranger.signal(signal.SIGKILL)
    assert stranger.wait(0)


def test_a_process_is_found_again_by_its_pid_file(tmp_path: Path) -> None:
    """A second start of the same name does nothing while the first runs, whoever started it."""
    with Process("sleeper", SLEEP, tmp_path) as first:
        again = Process("sleeper", SLEEP, tmp_path)
        again.start()
        assert again.pid == first.pid
    assert not again.running
    assert not sweep(tmp_path).processes


def test_a_process_that_ends_early_is_told_with_its_last_words(tmp_path: Path) -> None:
    """A component that does not come up fails at once, with the tail of its log."""
    process = Process("broken", ["sh", "-c", "echo no such flag; exit 1"], tmp_path)
    process.start()
    with pytest.raises(ToolError, match="no such flag"):
        process.wait_ready(lambda: False, 10)


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    """Nothing outlives `stop`."""
    process = Process("stubborn", ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"], tmp_path)
    process.start()
    process.wait_ready(lambda: "ready" in process.tail(), 10)
    process.stop(seconds=0.1)
    assert not process.running
    down(tmp_path)


def test_a_sweep_keeps_to_its_folder(tmp_path: Path) -> None:
    """`lab10` does not belong to `lab1`, but folders below `lab1` do; nor does who merely names or enters the folder."""
    one, ten, below = tmp_path / "lab1", tmp_path / "lab10", tmp_path / "lab1" / "component"
    with Process("a", SLEEP, one) as a, Process("b", SLEEP, ten), Process("c", SLEEP, below) as c:
        visitor = subprocess.Popen(["sh", "-c", "sleep 1000; :", str(one)], cwd=one)
        try:
            assert {process.pid for process in sweep(one).processes} == {a.pid, c.pid}
        finally:
            subprocess.run(["kill", *children(visitor.pid), str(visitor.pid)], check=True)
            visitor.wait(10)


def children(pid: int) -> list[str]:
    """The children of a process, as the kernel lists them."""
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_descendants_without_the_tag_are_ended_too(tmp_path: Path) -> None:
    """What a process of the lab started, even with an emptied environment, goes with it."""
    script = "env -i sleep 1000 & echo ready; wait"
    process = Process("parent", ["sh", "-c", script], tmp_path / "lab")
    process.start()
    process.wait_ready(lambda: "ready" in process.tail(), 10)
    assert eventually(lambda: len(sweep(tmp_path / "lab").processes) == 2, bool)
    assert not down(tmp_path / "lab")


def test_a_folder_that_is_not_the_labs_is_never_removed(tmp_path: Path) -> None:
    """Only folders that carry the lab's mark are removed, and no foreign folder is marked."""
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ToolError, match="not a lab's folder"):
        make_state(tmp_path)
    assert not down(tmp_path)
    assert (tmp_path / "thesis.tex").exists()


def test_claims_are_found_from_the_folder_above(tmp_path: Path) -> None:
    """What a component claimed is known to whoever takes down the folder that holds the component's."""
    claim(tmp_path / "lab" / "node", "cgroup", "/moorage/n1")
    claim(tmp_path / "lab" / "node", "netns", "n1")
    assert claims(tmp_path / "lab") == {Claim("cgroup", "/moorage/n1"), Claim("netns", "n1")}
    with pytest.raises(ValueError, match="root cgroup"):
        claim(tmp_path / "lab", "cgroup", "/")


def test_claimed_namespaces_mounts_and_cgroups_are_removed(tmp_path: Path) -> None:
    """Down removes a named network namespace, a mount below the folder, and a cgroup with the process in it."""
    state = make_state(tmp_path / "with space")
    name = f"lab-{os.getpid()}"
    group = f"/moorage-test-{os.getpid()}"
    claim(state, "netns", name)
    claim(state, "cgroup", group)
    network = Path("/run/netns") / name
    network.parent.mkdir(exist_ok=True)
    network.touch()
    subprocess.run(["unshare", f"--net={network}", "true"], check=True)
    (state / "mnt").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(state / "mnt")], check=True)
    hierarchy = next(mount.point for mount in procfs.mounts() if mount.kind in {"cgroup", "cgroup2"})
    (hierarchy / group.strip("/") / "inner").mkdir(parents=True)
    with subprocess.Popen(SLEEP) as inside:
        (hierarchy / group.strip("/") / "inner" / "cgroup.procs").write_text(str(inside.pid))
        assert not down(state)
        assert inside.wait(10) == -signal.SIGKILL
    assert not network.exists()
    assert not (hierarchy / group.strip("/")).exists()
    assert not state.exists()


def test_free_port_takes_another_one_when_the_preferred_is_in_use() -> None:
    """A taken port is never handed out; a free one is."""
    port = free_port()
    assert free_port(port) == port


def test_a_killed_owner_leaves_nothing(tmp_path: Path) -> None:
    """After SIGKILL of whoever held a lab open, its processes, sockets and files go without further help."""
    state = tmp_path / "containerd"
    script = (
        "import sys, signal; from pathlib import Path; from tools.lab import Containerd\n"
        "with Containerd(Path(sys.argv[1])): print('up', flush=True); signal.pause()"
    )
    owner = subprocess.Popen([sys.executable, "-c", script, str(state)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    with owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "up\n"
        assert sweep(state).processes
        owner.kill()
    assert eventually(lambda: not sweep(state) and not state.exists(), bool)
    assert not run_folder(state).exists()


def test_everything_comes_up_works_and_goes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`up` brings a usable lab and finds it again; `down` leaves nothing, also after a crash half way, and can be repeated."""
    state = tmp_path / "lab"
    port = free_port()
    try:
        assert main(["up", "--state", str(state)]) == 0
        lab = Lab(state)
        assert lab.containerd is not None
        assert lab.control_plane is not None
        assert "default" in lab.control_plane.kubectl("get", "namespaces", "--output", "name").stdout
        for reference in ("web:1", "busybox:docker"):
            lab.containerd.ctr("images", "pull", "--plain-http", f"{lab.registry.host}/{reference}")
        image = f"{lab.registry.host}/web:1"
        lab.containerd.ctr("run", "--detach", "--net-host", "--env", f"PORT={port}", image, "web")
        assert eventually(lambda: serves(port), bool)
        assert main(["up", "--state", str(state)]) == 0
        assert main(["status", "--state", str(state)]) == 0
        lab.containerd.kill()
        assert serves(port)
        found = sweep(state)
        assert found.mounts
        assert found.cgroups
    finally:
        assert main(["down", "--state", str(state)]) == 0
    assert not sweep(state)
    assert not state.exists()
    assert not serves(port)
    assert not [mount for mount in procfs.mounts() if str(state) in str(mount)]
    assert not any(folder.exists() for folder in found.cgroups)
    assert main(["down", "--state", str(state)]) == 0
    assert "nothing is up" in capsys.readouterr().out


def serves(port: int) -> bool:
    """True when the web image's page is served on the port."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2) as answer:
            return b"Moored." in answer.read()
    except OSError:
        return False


def test_a_container_of_the_web_image_stops_in_an_instant(tmp_path: Path) -> None:
    """The web image takes SIGTERM though it is PID 1, so stopping costs no grace period."""
    with Registry(tmp_path / "registry") as registry, Containerd(tmp_path / "containerd") as containerd:
        push(registry.host, all_images())
        image = f"{registry.host}/web:1"
        containerd.ctr("images", "pull", "--plain-http", image)
        port = free_port()
        containerd.ctr("run", "--detach", "--net-host", "--env", f"PORT={port}", image, "web")
        assert eventually(lambda: serves(port), bool)
        pid = int(containerd.ctr("tasks", "list").stdout.splitlines()[1].split()[1])
        process = ProcessId.of(pid)
        assert process is not None
        begun = time.monotonic()
        containerd.ctr("tasks", "kill", "--signal", "SIGTERM", "web")
        assert process.wait(5)
        assert time.monotonic() - begun < 2


def test_the_api_server_comes_back_with_its_data(tmp_path: Path) -> None:
    """An outage of the API server loses nothing, and it returns under the same address; the audit log has what was asked."""
    with ControlPlane(tmp_path / "plane", audit=True) as plane:
        plane.kubectl("create", "namespace", "kept")
        plane.stop_apiserver()
        assert plane.kubectl("get", "namespaces", check=False).returncode != 0
        plane.start_apiserver()
        assert plane.kubectl("get", "namespace", "kept", "--output", "name").stdout.strip() == "namespace/kept"
        assert '"verb":"create"' in plane.audit_log.read_text()
