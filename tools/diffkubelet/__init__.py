"""The same pod specs given to a kubelet and to Moorage, and what their processes see: `python -m tools.diffkubelet`.

One node, one containerd, one CNI configuration, one API server. Each spec of `specs/` is core/v1 `PodSpec`; it becomes a Pod
and, field by field the same, a ContainerInstance of that name. What comes of both must be equal, save for named differences.

| module | what |
|---|---|
| `specs` | the library of specs, and what becomes of one: a Pod and a ContainerInstance |
| `status` | the status of both in one shape, and when it is settled (pure) |
| `texts` | /proc, mounts, limits and files in words that compare (pure) |
| `look` | a running process as it sees itself: read from its /proc, and inside of its namespaces |
| `room` | the components: node, control plane, kubelet, agent |
| `run` | create, wait, look, delete |
| `differences` | the named differences, each with its reason |
| `compare` | which differences there are, and which of them have a name (pure) |
| `report` | a table for people, JSON for scripts |
| `document` | docs/kubelet-differences.md |
"""
