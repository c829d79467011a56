"""The differences that there are on purpose, each with its reason. docs/kubelet-differences.md is made from this table.

One that no spec shows any more is told, so that none stays by mistake.
"""

from __future__ import annotations

from tools.diffkubelet.compare import ABSENT, Named

DIFFERENCES = (
    Named(
        "no-new-privileges",
        ("process * status NoNewPrivs",),
        "Without `allowPrivilegeEscalation: true`, a program gains nothing from setuid files and file capabilities. In "
        "Kubernetes the default is the other way round, for the sake of images from before the field.",
        pod='"0"',
        instance='"1"',
    ),
    Named(
        "seccomp-default",
        ("process * status Seccomp", "filter *"),
        "Without a `seccompProfile`, the runtime's default filter is in force. A kubelet filters nothing unless it is started "
        "with `seccompDefault: true`.",
        pod='[{"][0}]*',  # "0" or {}: none
    ),
    Named(
        "service-variables",
        ("process * env KUBERNETES_*",),
        "No variables of Services: an instance is reached by its address and is in no Service, and what it calls it finds by "
        "DNS. A kubelet adds those of the API server even with `enableServiceLinks: false`.",
        instance=ABSENT,
    ),
    Named(
        "x32-filter",
        ("filter * architectures SCMP_ARCH_X32",),
        "The default filter has no part for the x32 binary interface where the node's kernel does not serve it: no program can "
        "use it, and each part costs 6 ms of CPU at each start.",
        instance=ABSENT,
    ),
    Named(
        "shm-options",
        ("process * mounts /dev/shm options",),
        "/dev/shm is mounted with nosuid, nodev and noexec, as Docker and containerd have it by default; below a kubelet "
        "containers' mounts of the sandbox's lose them.",
        pod='"relatime,rw"',
        instance='"nodev,noexec,nosuid,relatime,rw"',
    ),
    Named(
        "own-host-name",
        ("process * namespaces uts",),
        "The containers of an instance have the same host name, but each has it for itself: one that changes its own, for "
        "which it needs CAP_SYS_ADMIN, changes no other's. In a pod it is one.",
        pod='"shared"',
        instance='"its own"',
    ),
    Named(
        "not-root-by-name",
        ("*",),
        "`runAsNonRoot: true` looks up the number of a user that the image names, and starts it when that is not 0. A kubelet "
        "refuses every image whose user is a name.",
        specs=("not-root-by-name",),
    ),
    Named(
        "cannot-run",
        ("status * state reason", "status * state message"),
        "A command that is not there or may not be executed is told as `ContainerCannotRun`, in one sentence that names it; "
        "below a kubelet it is `StartError`, with the OCI runtime's own words. `StartError` is left for what else keeps a "
        "process from being started. The exit code is 128 on both sides.",
        specs=("not-found", "not-executable"),
    ),
    Named(
        "signal",
        ("status * state signal", "status * lastState signal"),
        "`signal` is told, as core/v1 has it, beside an exit code of 128 and the signal's number. A kubelet is not told.",
        pod=ABSENT,
    ),
    Named(
        "image-volume-noexec",
        ("process * mounts * options", "process * mounts * super"),
        "A volume of an image is mounted with noexec, as the documentation of Kubernetes has it, and of a file system that "
        "is read-only as a whole. Below a kubelet programs in it can be run, since containerd's CRI does not set the option.",
        specs=("image-volume",),
    ),
    Named(
        "sys-beside-privileged",
        ("process * mounts /sys super",),
        "The kernel has one /sys for each network, which can be written to if whoever mounts it first may. Where privileged "
        "containers and others share an instance's network, that is its first container; in a pod it is the sandbox, which "
        "is privileged if any container is. Put the privileged one first where it has to write there.",
        specs=("propagation",),
        pod='"rw"',
        instance='"ro"',
    ),
    Named(
        "memory-volume-size",
        ("process * mounts * super",),
        "Volumes of Secrets and the like, in memory, which nobody but the agent writes into, may hold half of the node's "
        "memory, as the kernel has it. A kubelet lets them hold all that the node has for pods, as any `emptyDir` in memory.",
        pod="*size=*",
        specs=("secret", "downward", "projected", "service-account-token*"),
    ),
    Named(
        "ended-address",
        ("ip",),
        "An instance that has ended has given its address back, and its status has none: the next one may have it by now. "
        "The status of such a pod goes on to show the address that it had.",
        specs=(
            *("completed", "failed", "one-of-two-failed", "killed", "exit-as-by-signal", "not-found", "not-executable"),
            *("last-words*", "no-last-words-of-the-log", "many-last-words", "out-of-memory", "tried-again", "deadline"),
            *("first-fails", "sidecar-ends-last"),
        ),
        pod='"its own"',
        instance='"none"',
    ),
)
