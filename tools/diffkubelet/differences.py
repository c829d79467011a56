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
        ("process * status Seccomp",),
        "Without a `seccompProfile`, the runtime's default filter is in force. A kubelet filters nothing unless it is started "
        "with `seccompDefault: true`.",
        pod='"0"',
        instance='"2"',
    ),
    Named(
        "service-variables",
        ("process * env KUBERNETES_*",),
        "No variables of Services: an instance is reached by its address and is in no Service, and what it calls it finds by "
        "DNS. A kubelet adds those of the API server even with `enableServiceLinks: false`.",
        instance=ABSENT,
    ),
)
