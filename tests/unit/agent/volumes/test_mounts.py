"""How containers mount volumes: what the runtime is told, and what is prepared for it."""

from dataclasses import replace
from typing import Any

import pytest

from controller.agent.decide.actions import CreateContainer
from controller.agent.decide.resolve import container_config
from controller.agent.decide.volumes.mounts import Preparation, mounts
from controller.agent.decide.volumes.wanted import Folder, VolumeFailure, wanted
from controller.runtime.oci import Host, User, runtime_spec
from tests.unit.agent.values import NODE, PRESENT, UID, container, current_hash, desired, first

HERE = replace(NODE, volumes_dir="/volumes", recursive_read_only=True)
VOLUMES = [{"name": "data", "emptyDir": {}}, {"name": "host", "hostPath": {"path": "/srv", "type": "Directory"}}]
LAX = [{"name": "host", "hostPath": {"path": "/srv"}}]


def made(mount: dict[str, Any], volumes: list[dict[str, Any]] = VOLUMES, **node: Any) -> tuple[Any, Any]:
    """The mount of a container with only this one, and what is prepared."""
    given = desired(container(volumeMounts=[{"mountPath": "/m", **mount}]), volumes=volumes)
    env = {"POD": "web-0", "UP": "../up", "ROOT": "/etc", "EMPTY": ""}
    found, needed = mounts(given.instance, first(given), env, replace(HERE, **node))
    return found[0], needed[0] if needed else None


@pytest.mark.parametrize(
    ("mount", "options"),
    [
        ({}, ("rbind", "rprivate", "rw")),
        ({"readOnly": True}, ("rbind", "rprivate", "ro")),
        ({"readOnly": True, "recursiveReadOnly": "Disabled"}, ("rbind", "rprivate", "ro")),
        ({"readOnly": True, "recursiveReadOnly": "Enabled"}, ("rbind", "rprivate", "rro")),
        ({"readOnly": True, "recursiveReadOnly": "IfPossible"}, ("rbind", "rprivate", "rro")),
        ({"mountPropagation": "None"}, ("rbind", "rprivate", "rw")),
        ({"mountPropagation": "HostToContainer"}, ("rbind", "rslave", "rw")),
        ({"mountPropagation": "Bidirectional"}, ("rbind", "rshared", "rw")),
    ],
    ids=str,
)
def test_options(mount: dict[str, Any], options: tuple[str, ...]) -> None:
    """Access and propagation, in the words of OCI."""
    assert made({"name": "data", **mount})[0].options == options


def test_an_image_is_read_only_and_cannot_be_executed() -> None:
    """Whatever the mount says (core/v1 `ImageVolumeSource`)."""
    volumes = [{"name": "data", "image": {"reference": "art:1"}}]
    assert made({"name": "data"}, volumes)[0].options == ("rbind", "rprivate", "ro", "noexec")
    recursive = {"name": "data", "readOnly": True, "recursiveReadOnly": "Enabled"}
    assert made(recursive, volumes)[0].options == ("rbind", "rprivate", "rro", "noexec")


def test_recursive_read_only_on_an_old_kernel() -> None:
    """`IfPossible` is content with less, `Enabled` is not (core/v1 `VolumeMount`)."""
    mount = {"name": "data", "readOnly": True, "recursiveReadOnly": "IfPossible"}
    assert made(mount, recursive_read_only=False)[0].options[-1] == "ro"
    with pytest.raises(VolumeFailure, match='volume "data" requested recursive read-only mode, but it is not supported'):
        made(mount | {"recursiveReadOnly": "Enabled"}, recursive_read_only=False)


def test_sources() -> None:
    """A hostPath is mounted from where it is, all else from the instance's folder; what needs nothing is not prepared."""
    assert made({"name": "host"})[0].source == "/srv"
    assert made({"name": "host"})[1] is None
    assert made({"name": "data"})[0].source.startswith(f"/volumes/{UID}/emptyDir~data~")
    assert made({"name": "host"}, LAX)[1] == Preparation("host", "/srv", make_root=True)


def test_a_sub_path_is_mounted_from_a_place_of_the_agents() -> None:
    """The runtime is never told a path that a container could change."""
    mount, needed = made({"name": "host", "subPath": "a/b"})
    assert mount.source == f"/volumes/{UID}/subpaths/main/0"
    assert needed == Preparation("host", "/srv", sub_path="a/b", target=mount.source)
    assert made({"name": "host", "subPathExpr": "$(POD)/x"})[1].sub_path == "web-0/x"
    assert made({"name": "host", "subPathExpr": "$$(POD)"})[1].sub_path == "$(POD)"


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("$(NOBODY)/$(EMPTY)", "missing value for EMPTY, NOBODY"),
        ("$(UP)", "must not contain '..'"),
        ("$(ROOT)", "must not be an absolute path"),
    ],
)
def test_an_expression_that_gives_no_path(expression: str, told: str) -> None:
    """What variables give is held to the same rules as what is written."""
    with pytest.raises(VolumeFailure, match=told):
        made({"name": "host", "subPathExpr": expression})


def config(*paths: str, **fields: Any) -> list[tuple[str, str]]:
    """Destination and source of all mounts of a container that mounts `data` at these paths, as in its OCI spec."""
    mount = [{"name": "data", "mountPath": path, **fields} for path in paths]
    given = desired(container(volumeMounts=mount), volumes=VOLUMES)
    made_ = container_config(given.instance, CreateContainer(first(given), current_hash(given), 0, 0), PRESENT, HERE)
    spec = runtime_spec(made_, User(0, 0), Host())
    return [(m["destination"], m["source"]) for m in spec["mounts"]]


@pytest.mark.parametrize(
    "path", ["/etc/hosts", "/etc/resolv.conf", "/etc/hostname", "/dev/shm", "/dev/termination-log", "/dev/shm/"]
)
def test_a_volume_wins_over_what_is_there_by_default(path: str) -> None:
    """It is mounted alone."""
    sources = [source for destination, source in config(path) if destination.rstrip("/") == path.rstrip("/")]
    assert len(sources) == 1
    assert "emptyDir~data" in sources[0]


def test_defaults_stay_beside_a_volume_above_them() -> None:
    """A volume at /etc does not hide the instance's own files, as with a kubelet."""
    found = [destination for destination, _ in config("/etc")]
    assert found.index("/etc") < found.index("/etc/hosts")


def test_the_root_lets_mounts_pass_where_a_volume_asks_for_it() -> None:
    """Without `rootfsPropagation` a slave or shared mount below a private root would get nothing."""
    for mode, root in (("None", None), ("HostToContainer", "rslave"), ("Bidirectional", "rshared")):
        given = desired(
            container(volumeMounts=[{"name": "data", "mountPath": "/m", "mountPropagation": mode}]), volumes=VOLUMES
        )
        made_ = container_config(given.instance, CreateContainer(first(given), "0", 0, 0), PRESENT, HERE)
        assert runtime_spec(made_, User(0, 0), Host())["linux"].get("rootfsPropagation") == root


@pytest.mark.parametrize(
    ("limit", "inits", "memory", "size"),
    [
        (None, (), ("",), 100 << 20),
        ("1Mi", (), ("",), 1 << 20),
        ("200Mi", (), ("",), 100 << 20),
        ("0", (), ("",), 100 << 20),
        (None, (), ("2Mi", "1Mi"), 3 << 20),
        (None, (), ("2Mi", ""), 100 << 20),
        (None, (), ("2Mi", "0"), 100 << 20),
        (None, (), ("200Mi",), 100 << 20),
        ("8Mi", (), ("2Mi",), 2 << 20),
        ("1Mi", (), ("2Mi",), 1 << 20),
        (None, ("5Mi",), ("2Mi", "1Mi"), 5 << 20),
        (None, ("2Mi",), ("2Mi", "1Mi"), 3 << 20),
        (None, ("4Mi*", "5Mi"), ("2Mi", "1Mi"), 9 << 20),
        (None, ("5Mi", "4Mi*"), ("2Mi", "1Mi"), 7 << 20),
        (None, ("",), ("2Mi", "1Mi"), 100 << 20),
    ],
)
def test_size_of_memory(limit: str | None, inits: tuple[str, ...], memory: tuple[str, ...], size: int) -> None:
    """The least of sizeLimit, what the containers may use at one time, and the 100 MiB that the node has (KEP-1967).

    Where a container has no limit, there is none of the instance; an init container with a star is a sidecar.
    """
    mount = [{"name": "m", "mountPath": "/m"}]

    def made(name: str, text: str) -> dict[str, Any]:
        limits = {"limits": {"memory": text.strip("*")}} if text else {}
        return container(name, volumeMounts=mount, resources=limits) | ({"restartPolicy": "Always"} if "*" in text else {})

    source = {"medium": "Memory"} | ({"sizeLimit": limit} if limit else {})
    given = desired(
        *(made(f"c{i}", text) for i, text in enumerate(memory)),
        initContainers=[made(f"i{i}", text) for i, text in enumerate(inits)],
        volumes=[{"name": "m", "emptyDir": source}],
    )
    assert [v.source for v in wanted(given.instance.spec, memory=100 << 20)] == [Folder(memory=True, size=size)]


def test_what_the_node_has_is_not_known() -> None:
    """Then the size is the kernel's own."""
    mounts = [{"name": "m", "mountPath": "/m"}]
    given = desired(container(volumeMounts=mounts), volumes=[{"name": "m", "emptyDir": {"medium": "Memory"}}])
    assert [v.source for v in wanted(given.instance.spec)] == [Folder(memory=True)]


BEFORE: dict[str, Any] = {"volumeMounts": [{"name": "data", "mountPath": "/m"}]}


@pytest.mark.parametrize(
    ("mount", "volumes", "same"),
    [
        ({}, VOLUMES, True),
        ({"readOnly": False, "mountPropagation": "None", "recursiveReadOnly": "Disabled", "subPath": ""}, VOLUMES, True),
        ({}, [*VOLUMES, {"name": "more", "emptyDir": {}}], True),
        ({"readOnly": True}, VOLUMES, False),
        ({"subPath": "a"}, VOLUMES, False),
        ({"name": "host"}, VOLUMES, False),
        ({}, [{"name": "data", "emptyDir": {"medium": "Memory"}}], False),
        ({}, [{"name": "data", "hostPath": {"path": "/srv"}}], False),
    ],
    ids=str,
)
def test_which_changes_replace_a_container(mount: dict[str, Any], volumes: list[dict[str, Any]], *, same: bool) -> None:
    """A change of what a container mounts replaces it; a default that is written out, and a volume of others, do not."""
    before = current_hash(desired(container(**BEFORE), volumes=VOLUMES))
    after = current_hash(desired(container(volumeMounts=[{"name": "data", "mountPath": "/m"} | mount]), volumes=volumes))
    assert (before == after) is same


def test_a_size_changes_in_place() -> None:
    """It is not another volume, and what is in it stays."""
    small, large = (
        desired(container(**BEFORE), volumes=[{"name": "data", "emptyDir": {"medium": "Memory", "sizeLimit": size}}])
        for size in ("1Mi", "2Mi")
    )
    assert current_hash(small) == current_hash(large)
    (one,), (other,) = (wanted(d.instance.spec) for d in (small, large))
    assert one.id == other.id
    assert one.state != other.state


def test_volumes_that_nobody_mounts_count_for_nothing() -> None:
    """A container without mounts has the hash that it had before there were volumes."""
    assert current_hash(desired(volumes=VOLUMES)) == current_hash(desired())
