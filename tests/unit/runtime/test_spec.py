"""`ContainerConfig` -> OCI runtime spec."""

import json
from dataclasses import replace
from typing import Any

import pytest

from controller.runtime.oci import DEFAULT_CAPABILITIES, Device, Host, User, exec_process, runtime_spec
from controller.runtime.oci.capabilities import ALL_CAPABILITIES, decode_capabilities
from controller.runtime.oci.seccomp import default_profile
from controller.runtime.port import ContainerConfig, ExecConfig, InvalidConfig, Mount, Resources, Security

CONFIG = ContainerConfig(id="c1", image="docker.io/library/x:1", args=("run", "it"), labels={})
ROOT = User(0, 0, (0,))
HOST = Host()


def spec(user: User = ROOT, host: Host = HOST, **changes: Any) -> dict[str, Any]:
    """The spec of a changed configuration, as it is after JSON."""
    made: dict[str, Any] = json.loads(json.dumps(runtime_spec(replace(CONFIG, **changes), user, host)))
    return made


def mount(made: dict[str, Any], destination: str) -> dict[str, Any]:
    """One mount of a spec."""
    (found,) = [one for one in made["mounts"] if one["destination"] == destination]
    return dict(found)


def namespaces(made: dict[str, Any]) -> dict[str, str]:
    """Kinds of a spec's namespaces, with their paths."""
    return {one["type"]: one.get("path", "") for one in made["linux"]["namespaces"]}


def test_the_process_is_as_configured() -> None:
    """Arguments, environment, folder and user."""
    process = spec(User(5, 6, (6, 7)), env=(("A", "1=2"), ("PATH", "/x")), cwd="/w")["process"]
    assert process["args"] == ["run", "it"]
    assert process["env"] == ["A=1=2", "PATH=/x"]
    assert process["cwd"] == "/w"
    assert process["user"] == {"uid": 5, "gid": 6, "additionalGids": [6, 7]}
    assert "terminal" not in process
    assert "rlimits" not in process
    assert "oomScoreAdj" not in process


def test_a_path_is_always_there() -> None:
    """Commands without a slash are found without a PATH of the image."""
    assert spec()["process"]["env"] == ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]


def test_a_terminal_has_a_name() -> None:
    """As with Docker, unless it is given."""
    process = spec(tty=True)["process"]
    assert process["terminal"] is True
    assert "TERM=xterm" in process["env"]
    assert "TERM=xterm" not in spec(tty=True, env=(("TERM", "vt100"),))["process"]["env"]


def test_root_has_dockers_capabilities_and_others_none_in_effect() -> None:
    """The bounding set is the same."""
    for user, effective in ((ROOT, list(DEFAULT_CAPABILITIES)), (User(1), [])):
        capabilities = spec(user)["process"]["capabilities"]
        assert capabilities == {"bounding": list(DEFAULT_CAPABILITIES), "effective": effective, "permitted": effective}


def test_what_the_node_lacks_is_not_given() -> None:
    """An OCI runtime cannot grant what it does not have."""
    host = replace(HOST, capabilities=frozenset({"CAP_CHOWN"}))
    for security in (Security(), Security(privileged=True)):
        assert spec(host=host, security=security)["process"]["capabilities"]["bounding"] == ["CAP_CHOWN"]


def test_no_new_privileges_is_a_setting() -> None:
    """On by default."""
    assert spec()["process"]["noNewPrivileges"] is True
    assert spec(security=Security(no_new_privileges=False))["process"]["noNewPrivileges"] is False


def test_the_default_mounts() -> None:
    """Those of Docker; nothing of the node can be written through them."""
    made = spec()
    assert [one["destination"] for one in made["mounts"]] == [
        "/proc",
        "/dev",
        "/dev/pts",
        "/dev/shm",
        "/dev/mqueue",
        "/sys",
        "/sys/fs/cgroup",
    ]
    assert "ro" in mount(made, "/sys")["options"]
    assert "ro" in mount(made, "/sys/fs/cgroup")["options"]
    assert "size=65536k" in mount(made, "/dev/shm")["options"]


def test_own_mounts_come_after_parents_first() -> None:
    """A mount below another one is not hidden by it, whatever the order."""
    mounts = (Mount("/b", "/data/b"), Mount("/a", "/data", options=("bind", "ro")), Mount("t", "/t", "tmpfs", ("size=1m",)))
    made = spec(mounts=mounts)
    assert [one["destination"] for one in made["mounts"]][7:] == ["/data", "/t", "/data/b"]
    assert mount(made, "/data") == {"destination": "/data", "type": "bind", "source": "/a", "options": ["bind", "ro"]}


def test_an_own_mount_replaces_a_default_one() -> None:
    """A larger /dev/shm is not mounted over by the default."""
    made = spec(mounts=(Mount("shm", "/dev/shm/", "tmpfs", ("size=1g",)),))
    assert "/dev/shm" not in [one["destination"] for one in made["mounts"]]
    assert mount(made, "/dev/shm/")["options"] == ["size=1g"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"pid", "ipc", "mount", "cgroup"}),
        ({"hostname": "h"}, {"pid", "ipc", "mount", "cgroup", "uts"}),
        ({"network_namespace": "/run/netns/n"}, {"pid", "ipc", "mount", "cgroup", "uts", "network"}),
    ],
    ids=["host network", "host network, own name", "own network"],
)
def test_namespaces(changes: dict[str, Any], expected: set[str]) -> None:
    """The node's name goes with its network."""
    assert namespaces(spec(**changes)).keys() == expected


def test_the_network_is_joined_by_path() -> None:
    """And its settings let processes without root listen and ping; the node's own are not touched."""
    made = spec(network_namespace="/run/netns/n")
    assert namespaces(made)["network"] == "/run/netns/n"
    assert made["linux"]["sysctl"]["net.ipv4.ip_unprivileged_port_start"] == "0"
    assert "sysctl" not in spec()["linux"]


def test_cgroup_v1_has_no_namespace() -> None:
    """It would hide less than it breaks: as Docker has it."""
    assert "cgroup" not in namespaces(spec(host=replace(HOST, cgroup_v2=False)))


def test_the_cgroup_is_below_its_parent() -> None:
    """In the form of the cgroupfs driver."""
    assert spec()["linux"]["cgroupsPath"] == "/moorage/c1"
    assert spec(cgroup_parent="/a/b/")["linux"]["cgroupsPath"] == "/a/b/c1"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"args": ()}, "no command"),
        ({"cwd": "x"}, "not an absolute path"),
        ({"mounts": (Mount("/a", "b"),)}, "not an absolute path"),
        ({"resources": Resources(cpu_millis=0)}, "CPU"),
        ({"resources": Resources(memory_bytes=1)}, "too low"),
        ({"resources": Resources(pids=0)}, "processes"),
        ({"resources": Resources(cpu_request_millis=-1)}, "request"),
        ({"resources": Resources(huge_pages=(("2Mi", 1 << 21),))}, "no huge pages of 2Mi"),
    ],
)
def test_what_cannot_work(changes: dict[str, Any], message: str) -> None:
    """Refused before anything is made, with what is wrong."""
    with pytest.raises(InvalidConfig, match=message):
        spec(**changes)


def test_nothing_of_the_node_shows() -> None:
    """Masked and read-only paths, and a filter."""
    linux = spec()["linux"]
    assert {"/proc/kcore", "/proc/keys", "/sys/firmware"} <= set(linux["maskedPaths"])
    assert {"/proc/sys", "/proc/sysrq-trigger"} <= set(linux["readonlyPaths"])
    assert linux["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO"


def test_a_kernel_without_filters() -> None:
    """Then there is none, instead of a container that cannot be started."""
    assert "seccomp" not in spec(host=replace(HOST, seccomp=False))["linux"]


def test_privileged() -> None:
    """Everything that there is: capabilities, devices, no filter, nothing masked, nothing read-only."""
    host = replace(HOST, devices=(Device("/dev/x", "c", 1, 2, 0o600),))
    made = spec(host=host, security=Security(privileged=True))
    linux = made["linux"]
    assert made["process"]["capabilities"]["effective"] == list(ALL_CAPABILITIES)
    assert linux["devices"][0]["path"] == "/dev/x"
    assert linux["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    assert not {"seccomp", "maskedPaths", "readonlyPaths"} & linux.keys()
    assert "ro" not in mount(made, "/sys")["options"]


def test_a_further_process_is_as_the_main_one_but_for_what_it_says() -> None:
    """Its environment is added to that of the container."""
    process = spec(env=(("A", "1"), ("PATH", "/x")), tty=False)["process"]
    made = exec_process(ExecConfig(("sh",), (("B", "2"),), tty=True), process)
    assert made["args"] == ["sh"]
    assert made["env"] == ["TERM=xterm", "A=1", "PATH=/x", "B=2"]
    assert made["terminal"] is True
    assert made["capabilities"] == process["capabilities"]
    with pytest.raises(InvalidConfig):
        exec_process(ExecConfig(()), process)


def test_capabilities_are_read_from_the_kernels_mask() -> None:
    """Docker's set is a well-known number."""
    assert decode_capabilities(0xA80425FB) == set(DEFAULT_CAPABILITIES)
    assert decode_capabilities((1 << 41) - 1) == set(ALL_CAPABILITIES)


# --- the filter -------------------------------------------------------------------------------------------------------


def allowed(profile: dict[str, Any]) -> set[str]:
    """Calls that are allowed whatever their arguments."""
    return {
        name
        for rule in profile["syscalls"]
        if rule["action"] == "SCMP_ACT_ALLOW" and not rule.get("args")
        for name in rule["names"]
    }


@pytest.mark.parametrize(
    ("capability", "calls"),
    [
        ("CAP_SYS_ADMIN", {"mount", "setns", "unshare", "clone", "bpf"}),
        ("CAP_SYS_MODULE", {"init_module"}),
        ("CAP_SYS_TIME", {"clock_settime"}),
        ("CAP_SYS_CHROOT", {"chroot"}),
        ("CAP_SYS_NICE", {"mbind"}),
        ("CAP_SYSLOG", {"syslog"}),
    ],
)
def test_a_capability_opens_its_calls(capability: str, calls: set[str]) -> None:
    """And without it they are closed."""
    assert not calls & allowed(default_profile("amd64", ()))
    assert calls <= allowed(default_profile("amd64", {capability}))


@pytest.mark.parametrize("name", ["keyctl", "add_key", "userfaultfd", "kexec_load", "io_uring_setup", "create_module"])
def test_some_calls_are_never_allowed_by_default(name: str) -> None:
    """Those that have let processes out of containers."""
    assert name not in allowed(default_profile("amd64", ALL_CAPABILITIES))


def test_clone_makes_no_namespaces_and_clone3_is_unknown() -> None:
    """So that C libraries fall back on the one that can be filtered."""
    rules = default_profile("amd64", DEFAULT_CAPABILITIES)["syscalls"]
    (clone,) = [rule for rule in rules if rule["names"] == ["clone"]]
    assert clone["args"] == [{"index": 0, "value": 0x7E020000, "op": "SCMP_CMP_MASKED_EQ"}]
    (clone3,) = [rule for rule in rules if rule["names"] == ["clone3"]]
    assert (clone3["action"], clone3["errnoRet"]) == ("SCMP_ACT_ERRNO", 38)
    (s390,) = [rule for rule in default_profile("s390x", ())["syscalls"] if rule["names"] == ["clone"]]
    assert s390["args"][0]["index"] == 1


def test_sockets_of_vsock_and_alg_are_not_allowed() -> None:
    """AF_VSOCK (40) reaches the hypervisor, AF_ALG (38) the kernel's cryptography."""
    rules = [rule["args"][0] for rule in default_profile("amd64", ())["syscalls"] if rule["names"] == ["socket"]]
    below = [arg["value"] for arg in rules if arg["op"] == "SCMP_CMP_LT"]
    equal = {arg["value"] for arg in rules if arg["op"] == "SCMP_CMP_EQ"}
    assert below == [38]
    assert not {38, 40} & equal


def test_architectures() -> None:
    """Calls and binary interfaces differ."""
    assert "arch_prctl" in allowed(default_profile("amd64", ()))
    assert "arch_prctl" not in allowed(default_profile("arm64", ()))
    assert default_profile("arm64", ())["architectures"] == ["SCMP_ARCH_ARM", "SCMP_ARCH_AARCH64"]
    with_x32 = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    assert default_profile("amd64", ())["architectures"] == with_x32
    assert default_profile("amd64", (), x32=False)["architectures"] == with_x32[:2]
    assert default_profile("386", ())["architectures"] == []
