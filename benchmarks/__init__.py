"""The benchmark: `python -m benchmarks`, or `make bench`.

Everything is measured in one run on the same real components, and beside each figure stands the floor: the same containers
started by bare calls of containerd's API. Figures of two machines, or of two hours on a shared one, compare only as ratios.

| module | what |
|---|---|
| `metrics` | every figure's name, unit, meaning and target |
| `bed` | the components, the manager and the agent that are measured |
| `apply`, `kill`, `idle`, `pull` | the measurements |
| `floor` | the same by bare calls |
| `watch`, `audit`, `usage` | how is seen what happens: a watch, the API server's audit log, /proc |
| `sampler` | a profile of the manager or the agent |
| `report` | lines for people, JSON for scripts |
"""
