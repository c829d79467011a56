"""The comparison with a kubelet: what is pure of it. `make diff-kubelet` runs the whole."""

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import eventually
from tools.diffkubelet import compare, document, look, report, specs, status, texts
from tools.diffkubelet.compare import ABSENT, Difference, Named, Verdict
from tools.diffkubelet.differences import DIFFERENCES
from tools.diffkubelet.run import Result, absent_fields
from tools.lab import procfs
from tools.lab.caller import Answer
from tools.lab.process import ROOT
from tools.progress import ToolError

# --- specs


def test_the_library_is_large_and_its_short_forms_are_written_out() -> None:
    """At least 40 specs; each container has a name, an image and something to run."""
    found = specs.library()
    assert len(found) >= 40
    for spec in found:
        for container in (*spec.pod_spec["containers"], *spec.pod_spec.get("initContainers", ())):
            assert container["name"]
            assert container["image"] != specs.IMAGE or {"command", "args"} & container.keys(), spec.name


def test_both_sides_are_given_the_same_fields() -> None:
    """The Pod has nothing that the instance lacks but what an instance cannot have; both have the same name."""
    for spec in specs.library():
        pod, instance = spec.pod("n"), spec.instance("n")
        assert {k: v for k, v in pod["spec"].items() if k not in specs.POD_ALONE} == instance["spec"]
        assert pod["metadata"] == instance["metadata"]


ODD: dict[str, tuple[dict[str, Any], str]] = {
    "a field that there is not": ({"says": "x", "speck": {}}, "'speck'"),
    "no sentence": ({"spec": {}}, "does not say"),
    "an unknown moment": ({"says": "x", "until": "tomorrow"}, "'tomorrow'"),
}


@pytest.mark.parametrize("name", ODD)
def test_an_entry_that_is_not_as_it_should_be_is_told(name: str) -> None:
    """A typing error in the library is no spec that says nothing."""
    entry, message = ODD[name]
    with pytest.raises(ToolError, match=message):
        specs.parse("a", "topic", entry)


def test_specs_are_chosen_by_name_or_topic() -> None:
    """A name that is of none is an error, not an empty run."""
    made = [specs.parse(name, topic, {"says": "x"}) for name, topic in (("a", "t"), ("b", "t"), ("c", "u"))]
    assert [spec.name for spec in specs.chosen(made, ["t"])] == ["a", "b"]
    assert [spec.name for spec in specs.chosen(made, ["c", "a"])] == ["a", "c"]
    assert len(specs.chosen(made, [])) == 3
    with pytest.raises(ToolError, match="nobody"):
        specs.chosen(made, ["nobody"])


def test_fields_that_the_schema_does_not_know_are_read_from_the_refusal() -> None:
    """All of them, from the API server's words; any other refusal names none."""
    words = 'ContainerInstance in version "v1alpha1" cannot be handled: strict decoding error: unknown field '
    answer = Answer(400, {"message": words + '"spec.volumes", unknown field "spec.containers[0].volumeMounts"'})
    assert absent_fields(answer) == ["spec.containers[0].volumeMounts", "spec.volumes"]
    assert absent_fields(Answer(422, {"message": "spec.network: Invalid value"})) == []
    assert absent_fields(Answer(201, {})) == []


# --- status

RUNNING = {"name": "main", "state": {"running": {}}, "ready": True, "started": True, "restartCount": 0, "containerID": "x://1"}
ENDED = {"name": "main", "state": {"terminated": {"exitCode": 3, "reason": "Error"}}, "restartCount": 2}
LOOPS = {
    "name": "main",
    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "later"}},
    "lastState": {"terminated": {"exitCode": 9, "reason": "Error", "message": "why", "containerID": "x://0"}},
    "restartCount": 4,
}


def pod(container: dict[str, Any], phase: str = "Running", **spec: Any) -> dict[str, Any]:
    """A Pod with one container."""
    about = {"phase": phase, "containerStatuses": [container], "podIPs": [{"ip": "10.0.0.2"}]}
    return {"spec": {"containers": [{"name": "main"}], **spec}, "status": about}


def instance(container: dict[str, Any], phase: str = "Running") -> dict[str, Any]:
    """An instance with one container."""
    about = {"phase": phase, "containers": [container], "ips": ["10.0.0.3"]}
    return {"spec": {"containers": [{"name": "main"}]}, "status": about}


@pytest.mark.parametrize(
    ("container", "phase", "until", "settled"),
    [
        (RUNNING, "Running", "ready", True),
        (RUNNING | {"ready": False}, "Running", "ready", False),
        (RUNNING | {"ready": False}, "Running", "running", True),
        (ENDED, "Failed", "ended", True),
        (ENDED, "Running", "ended", False),
        (LOOPS, "Running", "restarted", True),
        (RUNNING, "Running", "restarted", False),
        (LOOPS, "Running", "waiting CrashLoopBackOff", True),
        (LOOPS, "Running", "waiting ImagePullBackOff", False),
        (RUNNING, "Running", "waiting ImagePullBackOff or ready", True),
    ],
)
def test_when_a_spec_is_settled(container: dict[str, Any], phase: str, until: str, *, settled: bool) -> None:
    """The same of a Pod and of an instance."""
    assert status.settled(pod(container, phase), until) is settled
    assert status.settled(instance(container, phase), until) is settled


def test_containers_that_run_before_the_others_need_not_run_still() -> None:
    """But they, too, must have been told of."""
    first: dict[str, Any] = {"initContainers": [{"name": "first"}]}
    assert not status.settled(pod(RUNNING, **first), "ready")
    found = pod(RUNNING, **first)
    found["status"]["initContainerStatuses"] = [ENDED | {"name": "first"}]
    assert status.settled(found, "ready")


def test_the_status_of_both_has_one_shape() -> None:
    """Addresses and ids are not compared, nor how often something was restarted that goes on being so."""
    for container, until in ((RUNNING, "ready"), (ENDED, "ended"), (LOOPS, "restarted")):
        assert status.outline(pod(container), until, "10.9.9.9") == status.outline(instance(container), until, "10.9.9.9")
    found = status.outline(pod(LOOPS), "restarted", "10.0.0.2")
    assert found["ip"] == "the node's"
    assert found["status"]["main"] == {
        "restartCount": 1,
        "lastState": {"is": "terminated", "reason": "Error", "exitCode": 9, "message": "why"},
    }
    assert status.container_ids(pod(RUNNING)) == {"main": "1"}


# --- texts


def test_mounts_without_what_is_of_one_side_alone() -> None:
    """Where a file system lies is left out, its options and how mounts spread are not."""
    lines = """\
30 1 0:30 / / rw,relatime master:5 - overlay overlay rw,lowerdir=/a:/b,upperdir=/c
31 30 0:31 / /proc rw,nosuid - proc proc rw
32 31 0:31 /sys /proc/sys ro,nosuid - proc proc rw
33 30 254:0 /var/x\\040y /data\\040here ro,relatime shared:1 master:2 - ext4 /dev/vda rw,discard
34 30 0:40 / /dev/shm rw - tmpfs shm rw,size=65536k
35 34 0:41 / /dev/shm rw - tmpfs shm rw,size=1k"""
    found = texts.mounts(lines)
    assert found["/"] == {"type": "disk", "options": "relatime,rw", "propagation": "master", "super": "rw"}
    assert found["/data here"] == {"type": "disk", "options": "relatime,ro", "propagation": "master shared", "super": "rw"}
    assert found["/proc/sys"]["root"] == "/sys"
    assert found["/dev/shm"]["super"] == "rw,size=65536k"
    assert found["/dev/shm #2"]["super"] == "rw,size=1k"


def test_texts_of_the_kernel() -> None:
    """Names and values; a variable that is there twice shows both."""
    assert texts.environment(b"A=1\0B=x=y\0A=2\0") == {"A": "1 AND 2", "B": "x=y"}
    assert texts.zero_separated(b"sh\0-c\0\0") == ["sh", "-c"]
    limits = "Limit                Soft Limit     Hard Limit     Units\nMax open files       1024           4096   files\n"
    assert texts.limits(limits) == {"Max open files": "1024 4096"}
    shown = texts.process_status("Name:\tsh\nUid:\t0\t0\t0\t0\nGroups:\t20 3 \nNoNewPrivs:\t1\n")
    assert shown == {"Uid": "0 0 0 0", "Groups": "3 20", "NoNewPrivs": "1"}
    assert texts.plain_lines("# a\n\nnameserver\t 1.1.1.1 # b\n") == "nameserver 1.1.1.1"
    assert texts.content(b"short") == "short"
    assert texts.content(b"x" * 1000).startswith("1000 bytes, sha256 ")
    assert texts.content(b"eyJhbGci." + b"eyJpc3Mi" * 100 + b".c2ln") == "<token>"


def test_what_is_of_one_run_alone_becomes_general() -> None:
    """Addresses are replaced where they stand for themselves, not as a part of another one."""
    own = {"10.0.0.2": "<ip>"}
    given = {"10.0.0.2/24": ["10.0.0.2 a", "10.0.0.25", "110.0.0.2"], "..2026_11_28_10_00_00.123": "f" * 64, "n": 3}
    assert texts.generic(given, own) == {"<ip>/24": ["<ip> a", "10.0.0.25", "110.0.0.2"], "..<time>": "<id>", "n": 3}
    assert texts.generic("eyJhbGci.eyJpc3Mi.c2ln", {}) == "<token>"


def test_with_whom_namespaces_are_shared() -> None:
    """The node, the other containers, or nobody."""
    own = {"net": "1", "ipc": "2", "mnt": "3"}
    others = [{"net": "9", "ipc": "2", "mnt": "4"}]
    assert texts.spaces(own, {"net": "1"}, others) == {"net": "the node's", "ipc": "shared", "mnt": "its own"}


def test_filters_are_compared_by_system_call() -> None:
    """Whatever the order of rules, and however many calls a rule names."""
    socket = {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 38, "op": "SCMP_CMP_LT"}]}
    clone3 = {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}
    together = {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"}
    apart = [{"names": [name], "action": "SCMP_ACT_ALLOW"} for name in ("write", "read")]
    one = texts.call_filter({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [together, socket, clone3]})
    assert one == texts.call_filter({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [clone3, *apart, socket]})
    assert one["calls"] == {"read": "ALLOW", "write": "ALLOW", "socket": "ALLOW if 0 LT 38", "clone3": "ERRNO 38"}


def test_links_without_addresses_that_are_random() -> None:
    """Interfaces by name, and the way to each destination."""
    link = {
        "ifname": "eth0",
        "mtu": 1500,
        "flags": ["UP"],
        "addr_info": [
            {"local": "10.0.0.2", "prefixlen": 24, "scope": "global"},
            {"local": "fe80::1", "prefixlen": 64, "scope": "link"},
        ],
    }
    found = texts.links([link], [{"dst": "default", "gateway": "10.0.0.1", "dev": "eth0"}])
    assert found["links"] == {"eth0": {"mtu": 1500, "up": True, "addresses": ["10.0.0.2/24"]}}
    assert found["routes"] == {"default": "10.0.0.1 eth0"}


# --- look


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[int]:
    """A process of this machine that sees a root of its own."""
    for folder in ("bin", "dev", "etc"):
        (tmp_path / folder).mkdir()
    shutil.copy("/bin/busybox", tmp_path / "bin")
    os.mknod(tmp_path / "dev" / "null", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    (tmp_path / "etc" / "hosts").write_text("# ours\n127.0.0.1\tlocalhost\n")
    command: list[str | Path] = ["/bin/busybox", "chroot", tmp_path, "/bin/busybox", "sleep", "1000"]
    with subprocess.Popen(command, env={"COLOUR": "blue"}) as process:
        eventually(lambda: procfs.command(process.pid), lambda line: "sleep" in line[1:2])
        yield process.pid
        process.kill()


def test_a_process_is_seen_as_it_is(sleeper: int, tmp_path: Path) -> None:
    """Its arguments, environment, folder, user and namespaces; nothing has to run beside it."""
    seen = look.processes({"main": sleeper}, Path("/proc/self/ns/net"))["main"]
    assert seen["argv"] == ["/bin/busybox", "sleep", "1000"]
    assert seen["env"] == {"COLOUR": "blue"}
    assert seen["cwd"] == str(tmp_path), "a root that was changed by chroot(2) is seen from outside of it"
    assert seen["status"]["Uid"] == f"{os.getuid()} {os.getuid()} {os.getuid()} {os.getuid()}"
    assert set(seen["namespaces"].values()) == {"the node's"}
    assert seen["dev"] == {"null": "crw------- 0:0 1:3"}
    assert seen["files"]["/etc/hosts"] == {".": "-rw-r--r-- 0:0 127.0.0.1 localhost"}
    assert seen["sysctl"]["kernel.hostname"] == os.uname().nodename
    assert seen["network"] == "the node's"


# --- compare

KNOWN = (
    Named("colour", ("process * env COLOUR",), "why", pod='"blue"'),
    Named("extra", ("process * env X_*",), "why", instance=ABSENT),
)


def test_differences_have_paths_and_what_is_missing_is_one() -> None:
    """A mapping that only one side has is not taken apart."""
    left = {"a": {"x": 1, "y": [1]}, "b": {"deep": {"er": 1}}}
    right = {"a": {"x": 2, "y": [1]}, "c": 3}
    assert list(compare.differences(left, right)) == [
        Difference("a x", "1", "2"),
        Difference("b", '{"deep": {"er": 1}}', ABSENT),
        Difference("c", ABSENT, "3"),
    ]


def environment(**values: str) -> dict[str, Any]:
    """A report of nothing but an environment."""
    return {"process": {"main": {"env": values}}}


JUDGED: dict[str, tuple[dict[str, Any], dict[str, Any], str, int]] = {
    "nothing differs": (environment(A="1"), environment(A="1"), "equal", 0),
    "a difference with a name": (environment(COLOUR="blue", X_1="a", X_2="b"), environment(COLOUR="red"), "named", 0),
    "a name that covers other values": (environment(COLOUR="red"), environment(COLOUR="blue"), "DIFFERENT", 1),
    "a name that covers only what is missing": (environment(X_1="a"), environment(X_1="b"), "DIFFERENT", 1),
    "both are refused, in other words": ({"refused": "a"}, {"refused": "b"}, "equal", 0),
    "one is refused": ({"refused": "a"}, environment(A="1"), "DIFFERENT", 1),
}


@pytest.mark.parametrize("name", JUDGED)
def test_verdicts(name: str) -> None:
    """Only what no name covers is DIFFERENT."""
    left, right, word, unnamed = JUDGED[name]
    verdict = compare.judge(left, right, KNOWN)
    assert (verdict.word, len(verdict.unnamed)) == (word, unnamed)


def test_a_name_that_nothing_needs_is_told() -> None:
    """So that none stays by mistake."""
    verdict = compare.judge(environment(COLOUR="blue"), environment(COLOUR="red"), KNOWN)
    assert compare.unused(KNOWN, [verdict]) == ["extra"]


def test_a_name_may_be_of_some_specs_alone() -> None:
    """What is right for one spec would hide a defect in another."""
    known = [Named("all", ("*",), "why", specs=("a-*",))]
    words = [compare.judge(environment(A="1"), environment(A="2"), known, spec).word for spec in ("a-b", "b")]
    assert words == ["named", "DIFFERENT"]


def test_what_people_read() -> None:
    """One line a spec, a unified diff below it where something has no name, and how many there were of each."""
    made = specs.parse("a", "t", {"says": "x"})
    verdict = compare.judge(environment(A="1", COLOUR="blue"), environment(A="2", B="3", COLOUR="red"), KNOWN)
    shown = report.line(Result(made, verdict, {}, {}), 3)
    assert shown.splitlines()[0] == "a    DIFFERENT  colour"
    assert '    -process main env A = "1"' in shown.splitlines()
    assert '    +process main env B = "3"' in shown.splitlines()
    absent = Result(made, Verdict({}, (), ("spec.volumes",)), {}, {})
    text = report.summary([Result(made, verdict, {}, {}), absent], ["extra"])
    assert text.splitlines()[0] == "2 specs: 1 absent, 1 DIFFERENT"
    assert "spec.volumes" in text
    assert "the difference extra" in text
    assert report.as_json([absent], [])["specs"][0]["absent"] == ["spec.volumes"]


def test_the_differences_are_documented() -> None:
    """Each has a name of its own and a reason, and the page is the table's."""
    assert len({entry.name for entry in DIFFERENCES}) == len(DIFFERENCES)
    assert all(len(entry.reason) > 40 for entry in DIFFERENCES)
    assert (ROOT / "docs" / "kubelet-differences.md").read_text() == document.page()
