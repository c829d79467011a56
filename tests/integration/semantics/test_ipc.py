"""What the containers of one instance share in any case, as those of a pod do: System V IPC, message queues, /dev/shm.

Source of the rules: kubernetes.io, "Pods" (docs/concepts/workloads/pods/), "Pod networking": containers of a pod "can also
communicate using standard inter-process communications like SystemV semaphores or POSIX shared memory".
"""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.harness import Object, ready
from tests.integration.semantics.cases import Case, Check, Spec, is_ready, shell
from tests.integration.semantics.world import World
from tools.lab import Registry

NODE = "semantics-ipc"
OPTIONS = ("--allowed-unsafe-sysctls", "kernel.shm*", "--allowed-unsafe-sysctls", "fs.mqueue.*")

WRITES = "echo word > /dev/shm/word; touch /dev/mqueue/queue"
READS = "until [ -e /dev/shm/word -a -e /dev/mqueue/queue ]; do sleep 0.05; done; cat /dev/shm/word"
STAYS = "exec sleep 1000000"
KEPT = f"[ -e /dev/shm/word ] && echo kept; echo word > /dev/shm/word; {STAYS}"
SYSCTLS = {"sysctls": [{"name": "kernel.shmmni", "value": "321"}, {"name": "fs.mqueue.msg_max", "value": "7"}]}
SETTINGS = "cat /proc/sys/kernel/shmmni /proc/sys/fs/mqueue/msg_max"


def both(obj: Object) -> bool:
    """Both containers run, for the first time."""
    return ready(obj) and obj["status"]["ready"] == "2/2" and obj["status"]["restarts"] == 0


def pair(registry: Registry, first: str, second: str, **spec: object) -> Spec:
    """Containers `main` and `side` that run scripts."""
    image = f"{registry.host}/busybox:1"
    return {"containers": [{"name": n, "image": image, **shell(s)} for n, s in (("main", first), ("side", second))], **spec}


def cases(registry: Registry) -> dict[str, Case]:
    """All."""
    writes, reads = f"{WRITES}; {STAYS}", f"{READS}; {STAYS}"
    return {
        "shared": Case("one writes, the other reads", {}, both, pair(registry, writes, reads)),
        "on-host": Case(
            "on the node's network, too: it says nothing of IPC", {}, both, pair(registry, writes, reads, hostNetwork=True)
        ),
        "sysctls": Case(
            "what an instance sets is set for all of them",
            {},
            both,
            pair(registry, f"{SETTINGS}; {STAYS}", f"{SETTINGS}; {STAYS}", securityContext=SYSCTLS),
        ),
        "others": Case(
            "all may write, and it holds 64 MiB",
            shell(
                "umask; echo x > /dev/shm/x && df -k /dev/shm | tail -1 | awk '{print $2}'; stat -c %a /dev/shm; "
                "exec sleep 1000000"
            )
            | {"securityContext": {"runAsUser": 4711, "runAsGroup": 4711}},
            is_ready,
        ),
        "init": Case(
            "what an init container leaves is there",
            shell(f"cat /dev/shm/word; {STAYS}"),
            is_ready,
            {"initContainers": [{"name": "first", **shell(WRITES)}]},
        ),
        "kept": Case("it outlives its containers", shell(KEPT), is_ready),
        "apart": Case("another instance has its own", shell(f"ls /dev/shm /dev/mqueue; echo listed; {STAYS}"), is_ready),
        "node": Case(
            "from one's own to the node's, and back", shell(f"readlink /proc/self/ns/ipc; {STAYS}"), is_ready, {"hostIPC": True}
        ),
        "gone": Case("it goes with the instance", shell(f"{WRITES}; {STAYS}"), is_ready),
    }


@pytest.fixture(scope="module", name="table", autouse=True)
def _table(world: World) -> dict[str, Case]:
    """All of them, at once."""
    found = cases(world.site.registry)
    world.apply(found)
    return found


@pytest.mark.parametrize("name", ["shared", "on-host", "sysctls", "init", "apart"])
def test_case(world: World, table: dict[str, Case], name: str) -> None:
    """Each leads to the state of the world that its sentence says."""
    world.holds(name, table[name])


def test_what_containers_see(world: World) -> None:
    """In their own words."""
    for name, line, container in (
        ("shared", "word", "side"),
        ("on-host", "word", "side"),
        ("init", "word", "main"),
        ("apart", "listed", "main"),
        ("sysctls", "7", "main"),
        ("sysctls", "7", "side"),
        ("others", "1777", "main"),
    ):
        world.until_said(name, line, container)
    assert world.said("others") == ["0022", "65536", "1777"]
    assert world.said("sysctls", "side") == ["321", "7"]
    assert [line for line in world.said("apart") if not line.endswith(":") and line] == ["listed"]


def pid(world: World, name: str, container: str = "main") -> int:
    """Process id of a container."""
    (found,) = (pid for key, pid in world.site.containers().items() if key.startswith(f"{name}-{container}-"))
    return found


def namespace(pid: int) -> str:
    """The IPC namespace of a process."""
    return str(Path(f"/proc/{pid}/ns/ipc").readlink())


def test_system_v(world: World, table: dict[str, Case]) -> None:
    """A segment that one makes is there for the other, and for nobody else."""
    world.holds("shared", table["shared"])
    main, side = pid(world, "shared"), pid(world, "shared", "side")
    assert namespace(main) == namespace(side) != namespace(os.getpid())
    subprocess.run(["nsenter", f"--target={main}", "--ipc", "ipcmk", "--shmem", "4096"], check=True, capture_output=True)
    look = ["nsenter", f"--target={side}", "--mount", "--ipc", "/bin/cat", "/proc/sysvipc/shm"]
    seen = subprocess.run(look, check=True, capture_output=True, text=True)
    assert len(seen.stdout.splitlines()) == 2  # a line of titles, and it


def ready_after(restarts: int) -> Check:
    """It is ready, with so many restarts."""
    return lambda obj: ready(obj) and obj["status"]["restarts"] == restarts


def test_it_outlives_its_containers(world: World, table: dict[str, Case]) -> None:
    """Their ends, those of agents, and those of the runtime."""
    world.holds("kept", table["kept"])
    before = namespace(pid(world, "kept"))
    site = world.site
    for attempt, restart in enumerate((None, site.agent, site.containerd), 1):
        if restart is not None:
            restart.kill()
            restart.start()
        os.kill(pid(world, "kept"), signal.SIGKILL)
        world.until_said("kept", "kept", attempt=attempt)
        world.until("kept", ready_after(attempt))
        assert namespace(pid(world, "kept")) == before


def test_the_nodes_own(world: World, table: dict[str, Case]) -> None:
    """`hostIPC` means the node's, and without it the instance has its own again."""
    case, node = table["node"], namespace(os.getpid())
    world.holds("node", case)
    world.until_said("node", node)
    world.apply({"node": Case("", case.container, is_ready)})
    world.until("node", lambda obj: ready(obj) and obj["status"]["restarts"] == 1)
    assert namespace(pid(world, "node")) != node
    shm = Path(f"/proc/{pid(world, 'node')}/root/dev/shm").stat().st_dev
    world.apply({"node": case})
    world.until("node", lambda obj: ready(obj) and obj["status"]["restarts"] == 2)
    assert namespace(pid(world, "node")) == node
    assert shm != Path(f"/proc/{pid(world, 'node')}/root/dev/shm").stat().st_dev == Path("/dev/shm").stat().st_dev


def test_it_goes_with_the_instance(world: World, table: dict[str, Case]) -> None:
    """No mount and no folder stays."""
    uid = world.until("gone", table["gone"].then)["metadata"]["uid"]
    folder = world.site.state / "agent" / "volumes" / uid

    def mounted() -> list[str]:
        return [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines() if uid in line.split()[4]]

    assert {Path(path).name for path in mounted() if str(folder) in path} == {"shm", "ipc"}
    world.delete("gone")
    assert not mounted()
    assert not folder.exists()
