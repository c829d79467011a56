"""`tty` and `stdin`: core/v1 `Container` in the API reference, as far as it can be seen where nobody attaches."""

import os
import signal

import pytest

from tests.harness import ready
from tests.integration.semantics.cases import Case, Spec, ended, is_ready, main, restarted, shell
from tests.integration.semantics.world import World

NEVER = {"restartPolicy": "Never"}
TTY, STDIN = {"tty": True}, {"stdin": True}
DONE = ended("Succeeded", exitCode=0)


def reader(script: str) -> Spec:
    """A container that reads beside its script, and says when that is at its end."""
    traps = 'trap "exit 0" TERM; trap "echo again" USR1'
    return shell(f"{traps}; exec 3<&0; (cat <&3; echo ended) & {script}; while true; do sleep 0.05; done")


CASES = {
    "stdio-none": Case("without stdin, reading is at its end at once", shell("cat && echo end"), DONE, NEVER),
    "stdio-no-tty": Case("without tty nothing is a terminal", shell("test -t 0 || test -t 1 || echo none"), DONE, NEVER),
    "stdio-tty": Case(
        "with tty standard input and outputs are a terminal, which is the console; TERM is set",
        shell("tty && test -t 0 && test -t 1 && test -t 2 && test -c /dev/console && echo $TERM; echo err >&2") | TTY,
        DONE,
        NEVER,
    ),
    "stdio-term": Case(
        "TERM may be another one", shell("echo $TERM") | TTY | {"env": [{"name": "TERM", "value": "vt100"}]}, DONE, NEVER
    ),
    "stdio-user": Case(
        "the terminal belongs to the container's user",
        shell("stat -c %u $(tty) && echo open > $(tty)")
        | TTY
        | {"securityContext": {"runAsUser": 1234, "runAsGroup": 1234, "allowPrivilegeEscalation": False}},
        DONE,
        NEVER,
    ),
    "stdio-init": Case(
        "init containers have them, too",
        {},
        is_ready,
        {"initContainers": [{"name": "first", **shell("test -t 0"), **TTY, **STDIN}]},
    ),
    "stdio-probed": Case(
        "commands beside the container's own have no terminal",
        TTY | {"readinessProbe": {"exec": {"command": ["sh", "-c", "! test -t 0"]}, "periodSeconds": 1}},
        is_ready,
    ),
    "stdio-shell": Case("a shell waits for what it is told", {"command": ["sh"], **TTY, **STDIN}, is_ready),
    "stdio-kept-tty": Case("with a terminal alone, reading waits", reader("echo begun") | TTY, is_ready),
    "stdio-kept-stdin": Case("with standard input alone, reading waits", reader("echo begun") | STDIN, is_ready),
    "stdio-killed": Case("after a restart of the container it is as before", reader("echo begun") | STDIN, is_ready),
    "stdio-changed": Case("a change replaces the container", shell("test -t 0 && echo yes; exec sleep 1000000"), is_ready),
}

SAID = {
    "stdio-none": ["end"],
    "stdio-no-tty": ["none"],
    "stdio-tty": ["/dev/pts/0", "xterm", "err"],
    "stdio-term": ["vt100"],
    "stdio-user": ["1234", "open"],
}


@pytest.fixture(scope="module", autouse=True)
def applied(world: World) -> None:
    """All of them, at once."""
    world.apply(CASES)


@pytest.mark.parametrize("name", [name for name in CASES if name not in {"stdio-killed", "stdio-changed"}])
def test_case(world: World, name: str) -> None:
    """Each leads to the state of the world that its sentence says."""
    world.holds(name, CASES[name])
    if name in SAID:
        assert world.said(name) == SAID[name]


@pytest.mark.parametrize("name", ["stdio-kept-tty", "stdio-kept-stdin"])
def test_the_agent_is_not_between(world: World, name: str) -> None:
    """While it is away nobody's reading ends and no output is lost, nor when it comes back."""
    world.holds(name, CASES[name])
    world.until_said(name, "begun")
    pid = world.pid(name)
    world.site.agent.kill()
    try:
        os.kill(pid, signal.SIGUSR1)
        world.until_said(name, "again")
    finally:
        world.site.agent.start()
    world.until(name, is_ready)
    assert (world.said(name), world.pid(name)) == (["begun", "again"], pid)


def test_a_restarted_container_reads_anew(world: World) -> None:
    """The next attempt has a standard input of its own."""
    world.holds("stdio-killed", CASES["stdio-killed"])
    os.kill(world.pid("stdio-killed"), signal.SIGKILL)
    world.until("stdio-killed", lambda obj: ready(obj) and restarted(1, exitCode=137)(obj))
    world.until_said("stdio-killed", "begun", attempt=1)
    assert world.said("stdio-killed", attempt=1) == ["begun"]


def test_a_change_replaces_the_container(world: World) -> None:
    """What is no terminal does not become one."""
    name = "stdio-changed"
    world.holds(name, CASES[name])
    assert world.said(name) == []
    world.apply({name: Case("", CASES[name].container | TTY, is_ready)})
    world.until(name, lambda obj: ready(obj) and main(obj)["restartCount"] == 1)
    world.until_said(name, "yes", attempt=1)
