"""What a security context leads to, from the spec to the status."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controller.runtime.memory import MemoryImage
from controller.runtime.port import ImageConfig, Seccomp
from tests.unit.agent import rig as rigs
from tests.unit.agent.clock import until
from tests.unit.agent.rig import IMAGE, Rig
from tests.unit.agent.values import container


@pytest.fixture(name="rig")
async def _rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rigs.node(tmp_path) as rig:
        yield rig


def conditions(rig: Rig) -> dict[str, dict[str, str]]:
    """The instance's conditions by type."""
    found = (rig.api.instance() or {}).get("status", {}).get("conditions", [])
    return {condition["type"]: condition for condition in found}


async def test_root_where_it_may_not_be_is_told_and_waits_for_another_spec(rig: Rig) -> None:
    """Kubernetes' reason; stalled, since trying again would change nothing; and the next spec is tried at once."""
    rig.apply(securityContext={"runAsNonRoot": True})
    await rig.settle("CreateContainerConfigError")
    told = conditions(rig)
    assert (told["Ready"]["status"], told["Stalled"]["status"]) == ("False", "True")
    assert "the image will run as root" in told["Ready"]["message"]
    assert rig.containers() == []
    rig.apply(securityContext={"runAsNonRoot": True, "runAsUser": 5})
    await rig.settle()
    (made,) = rig.node.containers.values()
    assert (made.config.security.run_as_user, made.config.host_pid) == (5, False)


async def test_the_name_of_an_images_user_is_looked_up(rig: Rig) -> None:
    """Unlike with a kubelet, which cannot know what number it has."""
    rig.node.registry[IMAGE] = MemoryImage(IMAGE, ImageConfig(entrypoint=("app",), user="web"), users={"web": "100"})
    rig.apply(securityContext={"runAsNonRoot": True})
    await rig.settle()


async def test_a_profile_that_comes_later_is_found(rig: Rig) -> None:
    """Somebody else brings profiles to nodes: it is tried again until they are there, and what is missing is told."""
    profile = {"type": "Localhost", "localhostProfile": "team/web.json"}
    rig.apply(container(image=IMAGE, securityContext={"seccompProfile": profile}))
    await rig.settle("CreateContainerError")
    assert "'team/web.json'" in conditions(rig)["Ready"]["message"]
    assert "Stalled" not in conditions(rig)
    (rig.folder / "seccomp" / "team").mkdir(parents=True)
    (rig.folder / "seccomp" / "team" / "web.json").write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
    await until(rig.running)
    (made,) = rig.node.containers.values()
    assert made.config.security.seccomp is Seccomp.LOCALHOST
    assert "SCMP_ACT_ALLOW" in made.config.security.seccomp_profile


async def test_what_is_shared_with_the_node_reaches_the_runtime(rig: Rig) -> None:
    """`hostPID` and `hostIPC`."""
    rig.apply(hostPID=True, hostIPC=True)
    await rig.settle()
    (made,) = rig.node.containers.values()
    assert (made.config.host_pid, made.config.host_ipc) == (True, True)
