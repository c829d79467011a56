"""Cases of emptyDir and hostPath volumes, and of how they are mounted; each is a script in a container that mounts them."""

from pathlib import Path
from typing import Any

from tests.harness import Object
from tests.integration.semantics.cases import Case, Check, both, ended, is_ready, main, shell, summary

EMPTY: Object = {"emptyDir": {}}
MEMORY = {"emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}
LIMITED = {"emptyDir": {"sizeLimit": "1Mi"}}
EVICTED = 'Usage of EmptyDir volume "data" exceeds the limit "1Mi".'
SUCCEEDED = ended("Succeeded", exitCode=0)
CONFIG_ERROR = "CreateContainerConfigError"
REFUSED = 'failed to prepare subPath for volumeMount "data" of container "main"'


def at(path: str, name: str = "data", **fields: Any) -> Object:
    """A mount."""
    return {"name": name, "mountPath": path, **fields}


def host(path: Path, kind: str = "") -> Object:
    """A hostPath."""
    return {"hostPath": {"path": str(path)} | ({"type": kind} if kind else {})}


def fails(command: str) -> str:
    """A line of a script that is content when a command fails."""
    return f"if {command}; then exit 9; fi"


def case(sentence: str, mounts: list[Object], *lines: str, then: Check = SUCCEEDED, **fields: Any) -> Case:
    """A container with these mounts that ends with 0 when every line succeeds, and is not started again.

    Without `volumes`, by name, the volume `data` is an emptyDir.
    """
    sources: dict[str, Object] = {"data": EMPTY} | fields.pop("volumes", {})
    volumes = [{"name": name, **sources[name]} for name in sorted({mount["name"] for mount in mounts})]
    spec = {"restartPolicy": "Never", "volumes": volumes} | fields.pop("spec", {})
    events = fields.pop("events", ())
    return Case(sentence, shell("\n".join(["set -ex", *lines])) | {"volumeMounts": mounts} | fields, then, spec, events)


def waits(reason: str, *told: str) -> Check:
    """The container is not made, for this reason, in these words."""

    def true(obj: Object) -> bool:
        waiting = main(obj).get("state", {}).get("waiting") or {}
        return waiting.get("reason") == reason and all(t in waiting.get("message", "") for t in told)

    return true


def empty_dirs(folder: Path) -> dict[str, Case]:
    """emptyDir, and fsGroup."""
    owner = {"securityContext": {"fsGroup": 4321, "runAsUser": 1234, "runAsGroup": 1234}}
    return {
        "empty": case(
            "it is empty at first, on the node's disk, and everybody may write to it",
            [at("/d")],
            '[ -z "$(ls -A /d)" ]',
            "[ $(stat -c %a /d) = 777 ]",
            "[ $(stat -f -c %T /d) != tmpfs ]",
            "echo x > /d/f",
        ),
        "memory": case(
            "medium: Memory is a tmpfs, and sizeLimit its size",
            [at("/d")],
            "[ $(stat -f -c %T /d) = tmpfs ]",
            "head -c 900000 /dev/zero > /d/f",
            fails("head -c 900000 /dev/zero > /d/g"),
            volumes={"data": MEMORY},
        ),
        "memory-by-limit": case(
            "without sizeLimit a tmpfs holds what the containers' memory limits allow",
            [at("/d")],
            "[ $(df -k /d | tail -1 | awk '{print $2}') = 65536 ]",
            volumes={"data": {"emptyDir": {"medium": "Memory"}}},
            resources={"limits": {"memory": "64Mi"}},
        ),
        "memory-by-node": case(
            "and without such limits what the node has for instances",
            [at("/d")],
            "[ $(df -k /d | tail -1 | awk '{print $2}') = $(awk '/^MemTotal/{print $2}' /proc/meminfo) ]",
            volumes={"data": {"emptyDir": {"medium": "Memory"}}},
        ),
        "memory-by-init": case(
            "the limit of an init container counts where it is more than what runs afterwards",
            [at("/d")],
            "[ $(df -k /d | tail -1 | awk '{print $2}') = 98304 ]",
            volumes={"data": {"emptyDir": {"medium": "Memory"}}},
            resources={"limits": {"memory": "64Mi"}},
            spec={"initContainers": [{"name": "first", "command": ["true"], "resources": {"limits": {"memory": "96Mi"}}}]},
        ),
        "twice": case(
            "one volume may be mounted at several places; readOnly is a matter of the mount",
            [at("/a"), at("/b", readOnly=True)],
            "echo x > /a/f",
            "[ $(cat /b/f) = x ]",
            fails("touch /b/f"),
        ),
        "within": case(
            "sizeLimit of a volume on disk: it may hold less, and what is mounted or linked there does not count",
            [at("/d"), at("/d/m", "memory"), at("/d/host", "host")],
            "head -c 900000 /dev/zero > /d/f; head -c 900000 /dev/zero > /d/m/f; ln -s /bin /d/bin; exec sleep 1000000",
            then=is_ready,
            volumes={"data": LIMITED, "memory": MEMORY, "host": host(folder)},
        ),
        "beyond": case(
            "an instance that exceeds it is evicted, soon, and stays so whatever its restartPolicy is",
            [at("/d")],
            "mkdir /d/x; head -c 2000000 /dev/zero > /d/x/f; trap '' TERM; while true; do sleep 0.1; done",
            then=both(ended("Failed", exitCode=137), summary("Evicted")),
            volumes={"data": LIMITED},
            spec={"restartPolicy": "Always", "terminationGracePeriodSeconds": 600},
            events=(f"Evicted: {EVICTED}", f"Killing: Stopping container main: {EVICTED}"),
        ),
        "group": case(
            "fsGroup owns emptyDirs and what is made in them, and processes are in it",
            [at("/d"), at("/m", "memory")],
            "for d in /d /m; do [ $(stat -c %g $d) = 4321 ]; [ -g $d ]; touch $d/f; [ $(stat -c %g $d/f) = 4321 ]; done",
            "id -G | grep -qw 4321",
            volumes={"memory": MEMORY},
            spec=owner,
        ),
        "group-not-host": case(
            "but never a path of the node",
            [at("/d")],
            "[ $(stat -c %g /d) = 0 ]",
            volumes={"data": host(folder / "inside")},
            spec=owner,
        ),
    }


def host_paths(folder: Path) -> dict[str, Case]:
    """hostPath: its types."""
    kinds = {
        "Directory": ("inside", "is not a directory"),
        "File": ("inside/file", "is not a file"),
        "Socket": ("socket", "is not a socket file"),
        "CharDevice": ("null", "is not a character device"),
        "BlockDevice": ("block", "is not a block device"),
    }
    found = {}
    for kind, (right, told) in kinds.items():
        wrong = folder / ("socket" if kind != "Socket" else "null")
        why = f"hostPath type check failed: {wrong} {told}"
        found[f"{kind.lower()}-right"] = case(
            f"{kind}: it is there", [at("/d")], "[ -e /d ]", volumes={"data": host(folder / right, kind)}
        )
        found[f"{kind.lower()}-wrong"] = case(
            f"{kind}: something else is there",
            [at("/d")],
            then=waits("FailedMount", why),
            volumes={"data": host(wrong, kind)},
            events=(f'FailedMount: MountVolume.SetUp failed for volume "data" : {why}',),
        )
    return found | {
        "directory-made": case(
            "DirectoryOrCreate makes a folder with mode 0755",
            [at("/d")],
            "[ $(stat -c %a /d) = 755 ]",
            volumes={"data": host(folder / "made" / "folder", "DirectoryOrCreate")},
        ),
        "file-made": case(
            "FileOrCreate makes a file with mode 0644",
            [at("/d")],
            "[ $(stat -c %a /d) = 644 ]",
            volumes={"data": host(folder / "made-file", "FileOrCreate")},
        ),
        "file-not-made": case(
            "but no folder for it",
            [at("/d")],
            then=waits("FailedMount", "No such file or directory"),
            volumes={"data": host(folder / "nowhere" / "file", "FileOrCreate")},
        ),
        "unchecked": case(
            "without a type nothing is checked; what is not there becomes a folder, as containerd has it for a kubelet",
            [at("/d")],
            "touch /d/f",
            volumes={"data": host(folder / "unchecked")},
        ),
        "later": case(
            "what is not there yet is looked for again, after pauses",
            [at("/d")],
            "[ -d /d ]",
            volumes={"data": host(folder / "later", "Directory")},
        ),
    }


def mounts(folder: Path) -> dict[str, Case]:
    """Where and how volumes are mounted."""
    inside, nested = {"data": host(folder / "inside")}, {"data": host(folder / "nested")}
    shared = {"data": host(folder / "shared"), "other": host(folder / "shared")}
    below = {"data": host(folder / "nested" / "below")}
    late = "until [ -e /d/late/file ]; do sleep 0.05; done"
    privileged = {"securityContext": {"privileged": True}}
    return {
        "read-only-above": case(
            "readOnly alone does not reach what is mounted below",
            [at("/d", readOnly=True)],
            "touch /d/below/plain",
            fails("touch /d/f"),
            volumes=nested,
        ),
        "read-only-below": case(
            "recursiveReadOnly does",
            [at("/d", readOnly=True, recursiveReadOnly="Enabled")],
            fails("touch /d/below/recursive"),
            fails("touch /d/f"),
            volumes=nested,
        ),
        "hosts": case(
            "a volume wins over /etc/hosts, and the instance's other files stay",
            [at("/etc/hosts", subPath="file")],
            "[ $(cat /etc/hosts) = inside ]",
            "[ $(cat /etc/hostname) = hosts ]",
            volumes=inside,
        ),
        "own-files": case(
            "and over all else that there is by default",
            [
                *(at(f, subPath="file") for f in ("/etc/resolv.conf", "/etc/hostname", "/dev/termination-log")),
                at("/dev/shm"),
            ],
            "for f in /etc/resolv.conf /etc/hostname /dev/termination-log /dev/shm/file; do [ $(cat $f) = inside ]; done",
            volumes=inside,
        ),
        "late": case(
            "HostToContainer: what is mounted on the node later is seen; None, the default: it is not",
            [at("/d", mountPropagation="HostToContainer"), at("/p", "other", mountPropagation="None")],
            late,
            "[ ! -e /p/late/file ]",
            volumes=shared,
        ),
        "both-ways": case(
            "Bidirectional: what the container mounts is on the node, too",
            [at("/d", mountPropagation="Bidirectional")],
            "mkdir /d/made",
            "mount -t tmpfs tmpfs /d/made",
            "exec sleep 1000000",
            then=is_ready,
            volumes=shared,
            **privileged,
        ),
        "both-ways-private": case(
            "that takes a shared mount",
            [at("/d", mountPropagation="Bidirectional")],
            then=waits(CONFIG_ERROR, "is mounted on", "but it is not a shared mount"),
            volumes=below,
            **privileged,
        ),
        "one-way-private": case(
            "and HostToContainer a shared or slave one",
            [at("/d", mountPropagation="HostToContainer")],
            then=waits(CONFIG_ERROR, "but it is not a shared or slave mount"),
            volumes=below,
        ),
    }


def sub_paths(folder: Path) -> dict[str, Case]:
    """SubPath and subPathExpr, and what they must never reach."""
    inside = {"data": host(folder / "inside")}

    def refused(sentence: str, path: str, *told: str) -> Case:
        return case(
            sentence,
            [at("/d", subPath=path)],
            then=waits(CONFIG_ERROR, REFUSED, *told),
            volumes=inside,
            events=(f"Failed: container main: {REFUSED}",),
        )

    return {
        "sub-folder": case(
            "subPath mounts a folder of the volume",
            [at("/d", subPath="folder")],
            '[ "$(ls -A /d)" = deep ]',
            volumes=inside,
        ),
        "sub-file": case("or a file", [at("/d", subPath="folder/deep")], "[ $(cat /d) = deep ]", volumes=inside),
        "sub-link": case(
            "or what a link leads to within the volume", [at("/d", subPath="within")], "[ $(cat /d) = deep ]", volumes=inside
        ),
        "sub-new": case(
            "what is not there is made in the volume, with the mode of the volume",
            [at("/d", subPath="new/below"), at("/all")],
            "touch /d/f",
            "[ $(stat -c %a /d) = 777 ]",
            "[ -f /all/new/below/f ]",
        ),
        "sub-variable": case(
            "subPathExpr takes variables of the container's environment",
            [at("/d", subPathExpr="$(NAME)/logs"), at("/all")],
            "touch /d/f",
            "[ -f /all/pod-a/logs/f ]",
            env=[{"name": "NAME", "value": "pod-a"}],
        ),
        "sub-no-variable": case(
            "a variable that is not there is a failure",
            [at("/d", subPathExpr="$(NOBODY)")],
            then=waits(CONFIG_ERROR, "missing value for NOBODY"),
        ),
        "sub-variable-up": case(
            "what variables give must not lead upwards either",
            [at("/d", subPathExpr="$(UP)")],
            then=waits(CONFIG_ERROR, "must not contain '..'"),
            env=[{"name": "UP", "value": "a/../../b"}],
        ),
        "escape-root": refused("a link to / is not followed", "to-root/etc", "leads out of the volume"),
        "escape-file": refused("nor one to a file outside", "to-secret"),
        "escape-up": refused("nor one that leads upwards", "upwards/secret"),
        "escape-made": refused("and nothing is made out there", "upwards/made/here"),
        "escape-mount-path": case(
            "a mountPath through links stays among the container's own files",
            [at("/v", "links"), at("/v/absolute/inner"), at("/v/upwards/inner")],
            "touch /v/absolute/inner/f",
            f"[ -f {folder}/inner/f ]",
            "[ -f /inner/f ]",
            f"[ ! -e {folder}/secret ]",
            volumes={"links": host(folder / "links")},
        ),
    }
