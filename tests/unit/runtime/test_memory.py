"""The hooks of the runtime in memory; that it behaves as a real one does is the contract suite's part."""

from contextlib import aclosing

import pytest

from controller.runtime.memory import MemoryImage, MemoryNode, MemoryRuntime
from controller.runtime.memory.script import FOREVER, read_script
from controller.runtime.port import CommandFailure, ContainerConfig, EventKind, Phase, Unavailable

IMAGE = "registry.test/busybox:1"


@pytest.fixture
async def node() -> MemoryNode:
    """A node with a container `c` that runs."""
    node = MemoryNode([MemoryImage(IMAGE)], clock=lambda: 1000.0)
    runtime = MemoryRuntime(node)
    await runtime.pull(IMAGE)
    await runtime.create(ContainerConfig(id="c", image=IMAGE, args=("serve",), labels={}))
    await runtime.start("c")
    return node


async def test_a_crash(node: MemoryNode) -> None:
    """Looks as if the process had ended by itself, at the node's time."""
    node.crash("c", 3)
    state = await MemoryRuntime(node).inspect("c")
    assert (state.phase, state.exit_code, state.exited_at, state.oom_killed) == (Phase.EXITED, 3, 1000.0, False)
    node.crash("c", 4)
    assert (await MemoryRuntime(node).inspect("c")).exit_code == 3


async def test_too_much_memory(node: MemoryNode) -> None:
    """Told by event and state."""
    async with aclosing(MemoryRuntime(node).events()) as events:
        await anext(events)
        node.crash("c", oom=True)
        assert [(await anext(events)).kind for _ in range(2)] == [EventKind.OOM, EventKind.EXITED]
    assert (await MemoryRuntime(node).inspect("c")).oom_killed


async def test_a_node_that_does_not_answer(node: MemoryNode) -> None:
    """Nothing can be asked, streams end, and what ran still runs afterwards."""
    runtime = MemoryRuntime(node)
    events = runtime.events()
    await anext(events)
    node.stop_answering()
    with pytest.raises(Unavailable):
        await anext(events)
    with pytest.raises(Unavailable):
        await runtime.list()
    node.answer_again()
    assert [state.phase for state in await runtime.list()] == [Phase.RUNNING]


async def test_a_reboot(node: MemoryNode) -> None:
    """Everything has ended, and nobody knows how."""
    node.reboot()
    state = await MemoryRuntime(node).inspect("c")
    assert (state.phase, state.exit_code, state.pid) == (Phase.EXITED, None, 0)


def test_scripts() -> None:
    """The table of the module's docstring."""
    assert read_script(["/bin/true"]).exit_code == 0
    assert read_script(["false"]).exit_code == 1
    assert read_script(["exit", "7"]).exit_code == 7
    assert read_script(["sleep", "2.5"]).seconds == 2.5
    assert read_script(["sleep", "infinity"]).seconds == FOREVER
    assert read_script(["serve"]).seconds == FOREVER
    assert read_script(["serve"]).exit_code_by(15) == 143
    assert read_script(["sleep", "9"]).exit_code_by(15) is None
    assert read_script(["sleep", "9"]).exit_code_by(9) == 137
    shell = read_script(["sh", "-c", 'trap "exit 3" TERM; trap "" INT; echo hi; sleep 1; sleep 2; exit 5'])
    assert (shell.seconds, shell.exit_code, shell.output[0][1]) == (3, 5, b"hi\n")
    assert (shell.exit_code_by(15), shell.exit_code_by(2), shell.exit_code_by(1)) == (3, None, None)
    with pytest.raises(CommandFailure):
        read_script(["nosuchthing"])
