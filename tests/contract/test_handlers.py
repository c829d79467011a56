"""Runtime handlers: which there are, what of an unknown one becomes, and what runs by which."""

import pytest

from controller.runtime.port import ExecConfig, InvalidConfig, Phase
from tests.contract.containerd_subject import ContainerdSubject
from tests.contract.subject import FOREVER, Subject


async def test_handlers_are_told(subject: Subject) -> None:
    """The default one first."""
    first, *rest = (await subject.runtime.info()).handlers
    assert first != subject.OTHER
    assert rest == [subject.OTHER]


async def test_an_unknown_handler_is_refused_and_leaves_nothing(subject: Subject) -> None:
    """Before anything is made, in words that name those there are."""
    await subject.pull()
    with pytest.raises(InvalidConfig, match=r"no runtime handler 'kata' \(it has .*other\)"):
        await subject.runtime.create(subject.config(*FOREVER, runtime_handler="kata"))
    assert await subject.runtime.list() == ()


async def test_every_handler_runs_containers(subject: Subject) -> None:
    """Whatever can be done with a container does not depend on its handler, nor on who made it."""
    default, *_ = (await subject.runtime.info()).handlers
    for handler in ("", default, subject.OTHER):
        state = await subject.run(runtime_handler=handler)
        again = await subject.connect()
        async with await again.exec(state.id, ExecConfig(("sh", "-c", "exit 7"))) as process:
            assert await process.wait() == 7
        assert state.id in {found.id for found in await again.stats()}
        await again.signal(state.id, "SIGKILL")
        ended = await subject.ended(state.id)
        assert (ended.phase, ended.exit_code) == (Phase.EXITED, 137)
        await again.remove(state.id)
    assert await subject.runtime.list() == ()


async def test_the_binary_of_a_handler_is_the_one_that_is_called(real: ContainerdSubject) -> None:
    """For each step of a container's life, by a later agent too; never for a container of the default handler."""
    plain = await real.run()
    other = await real.run(runtime_handler=real.OTHER)
    again = await real.connect()
    for state in (plain, other):
        async with await again.exec(state.id, ExecConfig(("true",))) as process:
            assert await process.wait() == 0
        await again.signal(state.id, "SIGKILL")
        await real.ended(state.id)
        await again.remove(state.id)
    called = (line.split()[0] for line in real.other_log.read_text().splitlines())
    assert list(dict.fromkeys(called)) == ["create", "start", "exec", "kill", "delete"]


async def test_handlers_of_one_group_do_not_share_a_shim(real: ContainerdSubject) -> None:
    """A shim serves what one runtime runs; within a handler the group shares one."""
    for handler in ("", "", real.OTHER, real.OTHER):
        await real.run(runtime_handler=handler)
    assert len(real.shims()) == 2


async def test_a_handler_whose_runtime_is_not_there_says_so(real: ContainerdSubject) -> None:
    """The start fails with what containerd says; nothing stays of it but what `remove` takes."""
    real.other_binary.unlink()
    container_id = await real.create(runtime_handler=real.OTHER)
    with pytest.raises(Exception, match=r"other-runc.*no such file"):
        await real.runtime.start(container_id)
    assert (await real.runtime.inspect(container_id)).phase is Phase.CREATED
    await real.runtime.remove(container_id)
