"""What holds of every OCI spec, whatever an instance asks for: instance specs by chance, through all that the agent decides."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from controller.agent.decide.hashing import spec_hash
from controller.runtime.oci import DEFAULT_CAPABILITIES, Device, Host
from controller.runtime.oci.capabilities import ALL_CAPABILITIES
from controller.runtime.port import ImageConfig, InvalidConfig, Mount
from tests.unit.runtime.made import instance, made
from tests.unit.runtime.test_spec import spec as from_mounts

FAST = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])

NAMES = ["ALL", *(name.removeprefix("CAP_") for name in ALL_CAPABILITIES)]
FLAG = st.sampled_from([None, True, False])
ID = st.sampled_from([None, 0, 1001, 4242, 65534])


def fields(**each: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A mapping of some of these fields; one whose value would be None is left out."""
    return st.fixed_dictionaries({}, optional=each).map(lambda d: {k: v for k, v in d.items() if v is not None})


SECCOMP = st.sampled_from([{"type": "RuntimeDefault"}, {"type": "Unconfined"}])
CONTEXT = fields(
    privileged=FLAG,
    allowPrivilegeEscalation=FLAG,
    readOnlyRootFilesystem=FLAG,
    runAsNonRoot=FLAG,
    runAsUser=ID,
    runAsGroup=ID,
    procMount=st.sampled_from(["Default", "Unmasked"]),
    seccompProfile=SECCOMP,
    capabilities=fields(add=st.lists(st.sampled_from(NAMES), max_size=3), drop=st.lists(st.sampled_from(NAMES), max_size=3)),
)
COMMON = fields(
    runAsUser=ID,
    runAsGroup=ID,
    runAsNonRoot=FLAG,
    seccompProfile=SECCOMP,
    supplementalGroups=st.lists(st.sampled_from([4000, 2001, 50]), max_size=3),
)
VARIABLE = st.builds(
    lambda name, value: {"name": name, "value": value},
    st.sampled_from(["A", "B", "PATH", "HOSTNAME", "TERM"]),
    st.sampled_from(["", "1", "$(A)", "$$(A)", "a=b"]),
)
CONTAINER = fields(
    command=st.lists(st.sampled_from(["/bin/sh", "$(A)", ""]), min_size=1, max_size=2),
    args=st.lists(st.sampled_from(["x", "$(PATH)"]), max_size=2),
    env=st.lists(VARIABLE, max_size=4, unique_by=lambda one: one["name"]),
    workingDir=st.sampled_from(["/srv", "/"]),
    terminationMessagePath=st.sampled_from(["/tmp/words", "/dev/termination-log"]),
    resources=fields(
        limits=fields(cpu=st.sampled_from(["1m", "250m", "2"]), memory=st.sampled_from(["2Mi", "64Mi", "70000001"]))
    ),
    securityContext=CONTEXT,
)
SPEC = st.builds(
    lambda container, rest: {**rest, "containers": [{"name": "main", "image": "example.com/app:1", **container}]},
    CONTAINER,
    fields(
        hostNetwork=FLAG,
        hostPID=FLAG,
        hostIPC=FLAG,
        shareProcessNamespace=FLAG,
        hostname=st.sampled_from(["quay"]),
        subdomain=st.sampled_from(["harbour"]),
        setHostnameAsFQDN=FLAG,
        securityContext=COMMON,
    ),
)
IMAGE = st.builds(
    ImageConfig,
    entrypoint=st.just(("/app",)),
    env=st.sampled_from([(), ("PATH=/image", "A=of the image")]),
    user=st.sampled_from(["", "app", "app:staff", "0", "1001:7"]),
    working_dir=st.sampled_from(["", "/image"]),
)
HOST = st.builds(
    Host,
    capabilities=st.sampled_from(
        [frozenset(ALL_CAPABILITIES), frozenset(ALL_CAPABILITIES) - {"CAP_SYS_RESOURCE", "CAP_MKNOD"}]
    ),
    cgroup_v2=st.booleans(),
    devices=st.just((Device("/dev/fuse", "c", 10, 229, 0o666),)),
)


def possible(spec: dict[str, Any], image: ImageConfig, host: Host) -> dict[str, Any]:
    """The OCI spec, of those that are not refused."""
    try:
        return made(spec, image, host)
    except InvalidConfig:
        assume(False)
        raise


def main(spec: dict[str, Any]) -> dict[str, Any]:
    """The container's own security context."""
    found: dict[str, Any] = spec["containers"][0].get("securityContext", {})
    return found


@FAST
@given(spec=SPEC, image=IMAGE, host=HOST)
def test_it_is_json_and_always_the_same(spec: dict[str, Any], image: ImageConfig, host: Host) -> None:
    """The same input gives the same text, so that nothing is made anew without a cause."""
    found = possible(spec, image, host)
    assert json.dumps(found) == json.dumps(made(spec, image, host))
    assert json.loads(json.dumps(found)) is not None


@FAST
@given(spec=SPEC, image=IMAGE, host=HOST)
def test_no_capability_that_was_dropped_or_that_nobody_asked_for(spec: dict[str, Any], image: ImageConfig, host: Host) -> None:
    """Unless privileged: the default ones and those added, without those dropped; no set has more than the bounding one."""
    found = possible(spec, image, host)["process"]
    sets = found["capabilities"]
    bounding = set(sets["bounding"])
    assert set(sets) == {"bounding", "effective", "permitted"}, "none is inheritable or ambient"
    assert set(sets["effective"]) == set(sets["permitted"]) <= bounding <= host.capabilities
    if found["user"]["uid"] != 0:
        assert sets["effective"] == []
    context = main(spec)
    if context.get("privileged"):
        assert bounding == host.capabilities
        return
    wanted = context.get("capabilities", {})
    added, dropped = ({f"CAP_{name}" for name in wanted.get(key, ())} for key in ("add", "drop"))
    assert not bounding & (dropped - {"CAP_ALL"})
    if "CAP_ALL" in dropped:
        assert bounding <= added
    if "CAP_ALL" not in added:
        assert bounding <= {*DEFAULT_CAPABILITIES, *added}


@FAST
@given(spec=SPEC, image=IMAGE, host=HOST)
def test_nothing_is_gained_unless_it_is_asked_for(spec: dict[str, Any], image: ImageConfig, host: Host) -> None:
    """No new privileges, a filter, masked and read-only paths, no device of the node, unless the field that says so is set."""
    found = possible(spec, image, host)
    context, linux = main(spec), found["linux"]
    privileged = context.get("privileged") is True
    assert found["process"]["noNewPrivileges"] is not (privileged or context.get("allowPrivilegeEscalation") is True)
    assert ("seccomp" in linux) is not (privileged or profile(spec) == "Unconfined")
    unmasked = privileged or context.get("procMount") == "Unmasked"
    assert ("/proc/sys" in linux.get("readonlyPaths", ())) is not unmasked
    assert ("/proc/kcore" in linux.get("maskedPaths", ())) is not unmasked
    (sys,) = [mount for mount in found["mounts"] if mount["destination"] == "/sys"]
    assert ("ro" in sys["options"]) is not privileged
    assert linux["resources"]["devices"] == [{"allow": privileged, "access": "rwm"}]
    assert ("devices" in linux) is privileged


def profile(spec: dict[str, Any]) -> str:
    """The kind of filter that the container's own context asks for, or that of all."""
    either = main(spec).get("seccompProfile") or spec.get("securityContext", {}).get("seccompProfile")
    return str((either or {"type": "RuntimeDefault"})["type"])


@FAST
@given(spec=SPEC, image=IMAGE, host=HOST)
def test_the_user_is_who_was_asked_for(spec: dict[str, Any], image: ImageConfig, host: Host) -> None:
    """The container's own number wins over that of all, and both over the image; whoever must not be root is not."""
    user = possible(spec, image, host)["process"]["user"]
    own, common = main(spec), spec.get("securityContext", {})
    for key, value in (("runAsUser", user["uid"]), ("runAsGroup", user["gid"])):
        if key in own or key in common:
            assert value == own.get(key, common.get(key))
    if own.get("runAsNonRoot", common.get("runAsNonRoot")):
        assert user["uid"] != 0
    groups = user["additionalGids"]
    assert user["gid"] in groups, "the own group, so that leaving it gains nothing"
    assert len(groups) == len(set(groups))
    assert set(common.get("supplementalGroups", ())) <= set(groups)


@FAST
@given(spec=SPEC, image=IMAGE, host=HOST)
def test_paths_are_absolute_and_variables_have_one_value(spec: dict[str, Any], image: ImageConfig, host: Host) -> None:
    """And there are always a PATH and something to run."""
    found = possible(spec, image, host)
    names = [entry.partition("=")[0] for entry in found["process"]["env"]]
    assert len(names) == len(set(names))
    assert "PATH" in names
    assert found["process"]["args"]
    destinations = [mount["destination"] for mount in found["mounts"]]
    assert all(path.startswith("/") for path in (*destinations, found["process"]["cwd"], found["linux"]["cgroupsPath"]))
    assert len(destinations) == len(set(destinations))


@FAST
@given(spec=SPEC, image=IMAGE, host=HOST)
def test_what_is_shared_with_the_node_is_what_was_asked_for(spec: dict[str, Any], image: ImageConfig, host: Host) -> None:
    """Never the node's files; its network, processes and IPC only by their fields; settings of networks only in an own one."""
    found = possible(spec, image, host)
    own = {one["type"] for one in found["linux"]["namespaces"]}
    assert "mount" in own
    for kind, field in (("network", "hostNetwork"), ("pid", "hostPID"), ("ipc", "hostIPC")):
        assert (kind in own) is not bool(spec.get(field))
    assert ("uts" in own) is ("hostname" in found)
    assert ("sysctl" in found["linux"]) is ("network" in own)


@FAST
@given(spec=SPEC, image=IMAGE, host=HOST)
def test_limits_are_those_that_were_given(spec: dict[str, Any], image: ImageConfig, host: Host) -> None:
    """Only what is limited is in it, and nothing below what the kernel takes."""
    limits = spec["containers"][0].get("resources", {}).get("limits", {})
    found = possible(spec, image, host)["linux"]["resources"]
    assert ("quota" in found.get("cpu", {})) is ("cpu" in limits)
    assert ("limit" in found.get("memory", {})) is ("memory" in limits)
    assert found.get("cpu", {}).get("quota", 1000) >= 1000


@FAST
@given(one=SPEC, other=SPEC, image=IMAGE)
def test_whatever_changes_a_container_changes_its_hash(one: dict[str, Any], other: dict[str, Any], image: ImageConfig) -> None:
    """Two specs with one hash make the same container, so that no change is ever passed over.

    Resources are left out: they are changed in the container that runs.
    """
    other["containers"][0] = one["containers"][0] | other["containers"][0]
    specs = [without_resources(possible(spec, image, Host())) for spec in (one, other)]
    hashes = [spec_hash(found.containers[0], found) for found in (instance(spec).spec for spec in (one, other))]
    if hashes[0] == hashes[1]:
        assert specs[0] == specs[1]


def without_resources(found: dict[str, Any]) -> dict[str, Any]:
    """An OCI spec without what can be changed later."""
    linux = {key: value for key, value in found["linux"].items() if key != "resources"}
    process = {key: value for key, value in found["process"].items() if key != "oomScoreAdj"}  # that goes with them
    return found | {"linux": linux, "process": process}


PLACES = [
    "/data",
    "/data/a",
    "/data/a/b",
    "/dev",
    "/dev/shm",
    "/dev/pts",
    "/sys",
    "/proc",
    "/etc/hosts",
    "/data/../data2",
    "/a/",
]


@FAST
@given(st.lists(st.sampled_from(PLACES), unique_by=lambda path: path.rstrip("/"), max_size=6))
def test_no_mount_is_hidden_by_a_later_one(places: list[str]) -> None:
    """Parents come before children, whatever the order they are given in; an own /dev is not mounted into by defaults."""
    found = [m["destination"].rstrip("/") for m in from_mounts(mounts=tuple(Mount("/x", place) for place in places))["mounts"]]
    for position, path in enumerate(found):
        assert not [later for later in found[position + 1 :] if f"{path}/".startswith(f"{later}/")]


@pytest.mark.parametrize("place", ["/dev", "/sys"])
def test_below_an_own_mount_there_are_no_defaults(place: str) -> None:
    """As containerd's CRI has it for /dev: what is mounted there is seen as it is."""
    found = from_mounts(mounts=(Mount("/x", place),))["mounts"]
    assert [m["source"] for m in found if m["destination"].startswith(place)] == ["/x"]
