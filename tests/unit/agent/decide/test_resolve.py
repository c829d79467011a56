"""From an instance spec, an image and a node to what the runtime is told."""

import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from controller.agent.decide.actions import CreateContainer
from controller.agent.decide.resolve import command_line, container_config, container_id, instance_log_dir
from controller.agent.decide.terminated import terminated
from controller.api import labels
from controller.api.spec import Container
from controller.runtime.port import ContainerConfig, ContainerState, ImageConfig, ImageState, InvalidConfig, Phase
from tests.unit.agent.values import IMAGE, NODE, NOW, PRESENT, container, desired, first

IDENTIFIER = re.compile(r"^[A-Za-z0-9]+(?:[._-](?:[A-Za-z0-9]+))*$")
"""containerd's rule for ids (pkg/identifiers), with at most 76 characters."""


def resolved(
    image: ImageConfig = PRESENT.config, *, attempt: int = 0, spec: dict[str, Any] | None = None, **fields: Any
) -> ContainerConfig:
    """What the runtime is told of the container `main`."""
    wanted = desired(container(**fields), **(spec or {}))
    action = CreateContainer(first(wanted), "hash", attempt, 2)
    return container_config(wanted.instance, action, ImageState(IMAGE, "sha256:0", 1, image), NODE)


def test_the_host_name_of_the_nodes_network_is_the_nodes() -> None:
    """The name that the kernel of the node has, not the one that its node object has; as a kubelet's HOSTNAME."""
    assert dict(resolved(spec={"hostNetwork": True}).env)["HOSTNAME"] == NODE.host_name


# --- command and arguments


@pytest.mark.parametrize(
    ("sentence", "command", "args", "line"),
    [
        ("nothing given: entrypoint and cmd", [], [], ("/ep", "-e", "cmd")),
        ("command alone: the image's cmd is not used", ["/c"], [], ("/c",)),
        ("args alone: the entrypoint with them", [], ["a"], ("/ep", "-e", "a")),
        ("both: neither of the image's", ["/c"], ["a", "b"], ("/c", "a", "b")),
    ],
)
def test_command_and_args_follow_kubernetes(sentence: str, command: list[str], args: list[str], line: tuple[str, ...]) -> None:
    """The table of kubernetes.io, "Define a Command and Arguments for a Container"."""
    image = ImageConfig(entrypoint=("/ep", "-e"), cmd=("cmd",))
    assert command_line(Container(name="c", image="i", command=tuple(command), args=tuple(args)), image, {}) == line, sentence


def test_an_image_with_cmd_alone_runs_it() -> None:
    """Without an entrypoint, the cmd is the command, and args replace it."""
    image = ImageConfig(cmd=("sh", "-l"))
    assert command_line(Container(name="c", image="i"), image, {}) == ("sh", "-l")
    assert command_line(Container(name="c", image="i", args=("ls",)), image, {}) == ("ls",)


def test_nothing_to_run_is_refused_with_its_name() -> None:
    """Neither the spec nor the image names a command: said, not tried."""
    with pytest.raises(InvalidConfig, match="'main'"):
        resolved(ImageConfig())


def test_command_and_args_are_expanded_with_the_specs_environment() -> None:
    """`$(NAME)` in command and args is the variable of the spec."""
    config = resolved(command=["/c", "$(A)"], args=["$$(A)", "$(PATH)"], env=[{"name": "A", "value": "1"}])
    assert config.args == ("/c", "1", "$(A)", "$(PATH)")


# --- the rest of the configuration


@pytest.mark.parametrize(
    ("wanted", "of_image", "cwd"),
    [("/srv", "/image", "/srv"), ("", "/image", "/image"), ("", "", "/")],
)
def test_the_working_directory_is_the_specs_then_the_images_then_the_root(wanted: str, of_image: str, cwd: str) -> None:
    """As in core/v1."""
    assert resolved(ImageConfig(cmd=("x",), working_dir=of_image), workingDir=wanted).cwd == cwd


@pytest.mark.parametrize(
    ("limits", "cpu", "memory"),
    [
        ({}, None, None),
        ({"cpu": "500m"}, 500, None),
        ({"cpu": 2}, 2000, None),
        ({"cpu": "0.0001"}, 1, None),
        ({"memory": "64Mi"}, None, 64 * 2**20),
        ({"memory": "1G", "cpu": "1.5"}, 1500, 10**9),
    ],
)
def test_limits_are_told_in_the_ports_units(limits: dict[str, Any], cpu: int | None, memory: int | None) -> None:
    """Thousandths of a core and bytes, rounded up; none is none."""
    resources = resolved(resources={"limits": limits}).resources
    assert (resources.cpu_millis, resources.memory_bytes) == (cpu, memory)


def test_every_container_has_the_instances_files() -> None:
    """On whatever network: hosts, hostname and resolv.conf, which all containers of the instance share."""
    for spec in ({}, OWN, {"hostNetwork": False}):
        made = resolved(spec=spec)
        files = [m for m in made.mounts if m.destination.startswith("/etc/")]
        assert [(m.source, m.destination) for m in files] == [
            (f"/files/{desired().uid}/{name}", f"/etc/{name}") for name in ("hosts", "hostname", "resolv.conf")
        ]
        assert all("rw" in m.options for m in files)
    readonly = resolved(securityContext={"readOnlyRootFilesystem": True})
    assert [m.options[-1] for m in readonly.mounts if m.destination.startswith("/etc/")] == ["rw", "ro", "ro"]


def test_every_container_shares_ipc_and_memory() -> None:
    """On whatever network, and whatever its place in the row; a file of each, that is the instance's alone."""
    folder = f"/var/lib/moorage/volumes/{desired().uid}/shared"
    for spec in ({}, {"hostNetwork": True}, {"hostPID": True}):
        made = resolved(spec=spec)
        assert made.ipc_namespace == f"{folder}/ipc"
        assert [m.source for m in made.mounts if m.destination == "/dev/shm"] == [f"{folder}/shm"]


def test_the_nodes_ipc_is_not_shared_with_the_instance() -> None:
    """Then nothing is made for it: the runtime gives the node's."""
    made = resolved(spec={"hostIPC": True})
    assert (made.host_ipc, made.ipc_namespace) == (True, "")
    assert not [m for m in made.mounts if m.destination == "/dev/shm"]


@pytest.mark.parametrize("place", ["/dev/shm", "/dev/shm/", "/dev", "/"])
def test_a_volume_wins_over_shared_memory(place: str) -> None:
    """At that place, or above it; the namespace is shared all the same."""
    volumes = {"volumes": [{"name": "own", "emptyDir": {}}]}
    made = resolved(spec=volumes, volumeMounts=[{"name": "own", "mountPath": place}])
    assert [m.destination for m in made.mounts if f"{m.destination.rstrip('/')}/".startswith("/dev/shm/")] == (
        [place] if "shm" in place else []
    )
    assert made.ipc_namespace


@pytest.mark.parametrize("place", ["/dev/shm2", "/dev/shm/below", "/data"])
def test_a_volume_elsewhere_leaves_it(place: str) -> None:
    """Names that only look alike, and places below."""
    volumes = {"volumes": [{"name": "own", "emptyDir": {}}]}
    made = resolved(spec=volumes, volumeMounts=[{"name": "own", "mountPath": place}])
    assert [m.destination for m in made.mounts if m.destination in {"/dev/shm", place}] == ["/dev/shm", place]


def test_the_file_for_last_words_is_beside_the_log() -> None:
    """It is mounted where the spec says, to be written by the container."""
    made = resolved(terminationMessagePath="/tmp/end")
    words = made.mounts[-1]
    assert (words.source, words.destination) == (made.log_path.replace(".log", ".termination"), "/tmp/end")
    assert "ro" not in words.options


OWN = {"hostNetwork": False, "network": "None"}


def test_an_own_network_is_joined_by_path_and_has_the_instances_name() -> None:
    """All containers of an instance join one namespace, named by its uid; the host name is the instance's, as a pod's is."""
    made = resolved(spec=OWN)
    assert made.network_namespace == f"{NODE.netns_dir}/{desired().uid}"
    assert (made.hostname, dict(made.env)["HOSTNAME"]) == ("web", "web")
    assert (resolved().network_namespace, resolved().hostname) == ("", "")


@pytest.mark.parametrize(
    ("name", "hostname"), [("web", "web"), ("a" * 80, "a" * 63), ("a" * 62 + ".b", "a" * 62), ("a" * 61 + "-.b", "a" * 61)]
)
def test_a_host_name_is_one_that_linux_takes(name: str, hostname: str) -> None:
    """At most 63 characters, and no dot or hyphen at the end."""
    assert resolved(spec=OWN | {"meta": {"name": name}}).hostname == hostname


def test_the_labels_tell_all_that_an_agent_has_to_know_again() -> None:
    """A container is understood by its labels alone: whose it is, which spec, which attempt, how to stop it, where it logs."""
    made = resolved(ImageConfig(cmd=("x",), stop_signal="SIGQUIT"), attempt=3).labels
    wanted = desired().instance.metadata
    assert made == {
        labels.INSTANCE_UID: wanted.uid,
        labels.INSTANCE_NAMESPACE: "default",
        labels.INSTANCE_NAME: "web",
        labels.CONTAINER: "main",
        labels.SPEC_HASH: "hash",
        labels.RESTART_COUNT: "3",
        labels.CRASHES: "2",
        labels.STOP_SIGNAL: "SIGQUIT",
        labels.LOG_PATH: f"/logs/default_web_{wanted.uid}/main/3.log",
        labels.BOOT_ID: "boot",
    }
    assert resolved().labels[labels.STOP_SIGNAL] == "SIGTERM"


# --- names

SUBDOMAIN = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?){0,3}", fullmatch=True)
LABEL = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)


@given(name=SUBDOMAIN, container_name=LABEL, attempt=st.integers(0, 10**9))
@example(name="a" * 253, container_name="b" * 63, attempt=10**9)
@example(name="a--b...c".replace("...", "."), container_name="x--------------------y", attempt=0)
@example(name="a" * 29 + "." + "b", container_name="c" * 19 + "-d", attempt=1)
def test_ids_are_what_containerd_takes(name: str, container_name: str, attempt: int) -> None:
    """Whatever the API server lets through as a name gives an id that containerd takes."""
    made = container_id(desired(meta={"name": name}).instance, container_name, attempt)
    assert IDENTIFIER.match(made)
    assert len(made) <= 76


def test_ids_differ_where_the_readable_part_is_the_same() -> None:
    """Cut or cleaned names do not collide; the same attempt has the same id, so that nothing is ever made twice."""
    one, two = desired(meta={"name": "web"}).instance, desired(meta={"name": "web", "uid": "other"}).instance
    made = {
        container_id(one, "a" * 63, 0),
        container_id(one, "a" * 62 + "b", 0),
        container_id(two, "a" * 63, 0),
        container_id(one, "a" * 63, 1),
        container_id(one, "x-y", 0),
        container_id(one, "x--y", 0),
    }
    assert len(made) == 6
    assert container_id(one, "c", 7) == container_id(one, "c", 7)


@given(namespace=LABEL, name=st.just("n" * 253) | SUBDOMAIN.map(lambda n: n[:253].rstrip(".-")), container_name=LABEL)
@example(namespace="n" * 63, name="i" * 253, container_name="c" * 63)
def test_labels_and_paths_fit(namespace: str, name: str, container_name: str) -> None:
    """Containerd takes 4096 bytes for a label's key and value; a file name has 255 bytes; also with the longest of names."""
    ended = ContainerState("c" * 76, Phase.EXITED, {}, started_at=NOW, exited_at=NOW, exit_code=137, oom_killed=True)
    wanted = desired(container(container_name), meta={"name": name, "namespace": namespace})
    action = CreateContainer(first(wanted), "0" * 16, 10**9, 10**9, terminated(ended))
    config = container_config(wanted.instance, action, PRESENT, NODE)
    assert all(len(f"{key}{value}".encode()) <= 4096 for key, value in config.labels.items())
    assert all(len(part) <= 255 for part in config.log_path.split("/"))
    assert len(config.log_path) < 4096


def test_a_label_fits_also_when_the_last_end_has_much_to_say() -> None:
    """A message as long as a condition's is cut, not refused by the runtime."""
    ended = terminated(ContainerState("c", Phase.EXITED, {}, started_at=NOW, exited_at=NOW, exit_code=1))
    told = ended.model_copy(update={"message": "ö" * 32768})
    wanted = desired()
    config = container_config(wanted.instance, CreateContainer(first(wanted), "h", 1, 1, told), PRESENT, NODE)
    assert all(len(f"{key}{value}".encode()) <= 4096 for key, value in config.labels.items())
    again = type(ended).model_validate_json(config.labels[labels.LAST_TERMINATION])
    assert (again.exit_code, again.message[:3]) == (1, "ööö")


def test_the_log_folder_of_an_instance_is_found_by_its_uid() -> None:
    """However long its name, the folder ends with the uid."""
    assert instance_log_dir("ns", "n" * 253, "uid-1", "/logs").endswith("_uid-1")
    assert instance_log_dir("ns", "web", "uid-1", "/logs") == "/logs/ns_web_uid-1"
