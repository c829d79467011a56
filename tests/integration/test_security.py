"""A security context from the manifest to the process on the node."""

import json
from pathlib import Path

import pytest

from tests.attacks import tenant
from tests.harness import Site, condition, message, ready, reason, workload


@pytest.fixture(name="site")
def _site(kept_site: Site) -> Site:
    """One for all tests here, empty for each of them."""
    return kept_site


def shown(pid: int) -> dict[str, str]:
    """/proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: " ".join(value.split()) for name, _, value in (line.partition(":\t") for line in lines)}


def test_a_process_is_what_its_security_context_says(site: Site) -> None:
    """Every field at once, through both halves: the instance's, the container's over it, and a profile of the node."""
    profile = site.state / "agent" / "seccomp" / "team" / "web.json"
    profile.parent.mkdir(parents=True)
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []}))
    context = {
        "allowPrivilegeEscalation": True,
        "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
        "runAsUser": 0,
        "readOnlyRootFilesystem": True,
        "procMount": "Unmasked",
        "seccompProfile": {"type": "Localhost", "localhostProfile": "team/web.json"},
    }
    common = {"runAsUser": 1001, "runAsGroup": 4712, "supplementalGroups": [7], "seccompProfile": {"type": "Unconfined"}}
    own = {"hostPID": True, "hostIPC": True, "securityContext": common}
    site.apply(workload("secured", site.registry, container={"securityContext": context}, instance=own))
    site.instances(lambda found: bool(found) and all(map(ready, found.values())))
    ((_, pid),) = site.containers().items()
    status = shown(pid)
    assert (status["Uid"], status["Gid"]) == ("0 0 0 0", "4712 4712 4712 4712")
    assert "7" in status["Groups"].split()
    assert (int(status["CapEff"], 16), int(status["CapBnd"], 16)) == (1 << 10, 1 << 10)
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("0", "2")
    for kind in ("pid", "ipc"):
        assert Path(f"/proc/{pid}/ns/{kind}").readlink() == Path(f"/proc/self/ns/{kind}").readlink()
    mounts = [line.split() for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
    assert next(fields[5] for fields in mounts if fields[4] == "/").split(",")[0] == "ro"
    assert not [fields for fields in mounts if fields[4].startswith("/proc/")]


def test_root_where_it_may_not_be_is_refused_and_told(site: Site) -> None:
    """Kubernetes' reason on instance and workload, in words that name the field; nothing runs."""
    site.apply(workload("rootless", site.registry, instance={"securityContext": {"runAsNonRoot": True}}))
    (found,) = site.instances(lambda o: any(reason(i) == "CreateContainerConfigError" for i in o.values())).values()
    assert "runAsNonRoot is true and the image will run as root" in message(found)
    told = site.workloads(lambda o: reason(o["rootless"]) == "CreateContainerConfigError")["rootless"]
    assert {c["type"] for c in told["status"]["conditions"]} == {"Ready", "Stalled"}
    assert site.containers() == {}


def test_no_image_is_a_path_of_the_node(site: Site) -> None:
    """Names that would be files, paths or another transport elsewhere: refused before anything is fetched, stalled for good."""
    for number, image in enumerate(tenant.IMAGES.values()):
        own = {"hostNetwork": False, "network": "None"}
        site.apply(workload(f"image-{number}", site.registry, container={"image": image}, instance=own))
    found = site.instances(
        lambda all_: len(all_) == len(tenant.IMAGES) and {reason(i) for i in all_.values()} == {"InvalidImageName"}
    )
    assert all(condition(i, "Stalled").get("status") == "True" for i in found.values())
    assert site.containers() == {}
