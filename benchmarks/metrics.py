"""Every figure of the benchmark: its name, its unit, what it means, and what it should be at most."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from statistics import median

SIZES = (1, 50, 100)
QUICK_SIZES = (1, 20)
DELETE_SIZE = 50
"""The size whose deletion is measured; in a quick run the largest one."""
CNI_SIZE = 50
"""The size that is measured on networks by CNI, too; in a quick run the largest one."""

LARGE_MEBIBYTES = 1024
QUICK_LARGE_MEBIBYTES = 128
"""Size of the large image that is pulled."""

TARGETS = {
    "apply_ready_1_seconds": 0.28,
    "apply_ready_100_ratio_to_floor": 2.0,
    "kill_ready_seconds": 0.20,
    "idle_cpu_percent_of_core": 0.5,
    "rss_agent_megabytes": 100.0,
    "rss_manager_megabytes": 100.0,
    "api_writes_per_instance": 5.0,
    "pull_large_ratio_to_floor": 1.05,
    "pull_large_ratio_to_synced_floor": 1.05,
    "rss_agent_pull_growth_megabytes": 10.0,
    "api_writes_slow_pull": 48.0,
}
"""Upper bounds of a full run; a figure without one is there for comparison. A pull of a minute is told thirty times by its
instance and in ten steps by its workload; the rest is for what begins and ends it."""

EXPLANATIONS = {
    "apply_ready_{n}_seconds": "`kubectl apply` of one file with N workloads until all are Ready, seen by a watch",
    "apply_ready_{n}_cni_seconds": "the same on networks of their own, by CNI: bridge, host-local, portmap and firewall",
    "floor_{n}_cni_seconds": "the floor of that: namespaces, the same plugins and containerd by bare calls, 4 in parallel",
    "apply_ready_{n}_cni_ratio_to_floor": "the one by the other, as the median of the rounds' ratios",
    "delete_{n}_cni_seconds": "deletion of those",
    "floor_delete_{n}_cni_seconds": "the floor of their deletion",
    "kubectl_apply_{n}_seconds": "kubectl's own part of it",
    "floor_{n}_seconds": "the same N containers by bare calls of containerd's API, 4 in parallel, plain OCI spec",
    "floor_{n}_product_spec_seconds": "the floor with the OCI spec that Moorage writes (seccomp, masked paths, log file)",
    "apply_ready_{n}_ratio_to_floor": "apply_ready by floor, as the median of the rounds' ratios",
    "delete_{n}_seconds": "`kubectl delete --wait=false` of N workloads until their instances and containers are gone",
    "floor_delete_{n}_seconds": "removal of N containers by bare calls, 4 in parallel",
    "kill_ready_seconds": "`kill -9` of a container's process until its instance is Ready again, first restart",
    "floor_kill_seconds": "`kill -9` of a container's process until a new one runs in its place, by bare calls",
    "idle_cpu_percent_of_core": "CPU of agent and manager together while nothing happens, with N instances",
    "idle_cpu_{process}_percent_of_core": "the same of one of the processes",
    "rss_agent_megabytes": "resident memory of the agent with N instances, in 10^6 bytes",
    "rss_manager_megabytes": "the same of the manager",
    "api_writes_per_instance": "writes of manager and agent to the API server, during the apply of N until all is quiet, by N; "
    "Leases and the RuntimeNode are not counted, nor are kubectl's own creations",
    "api_writes_{verb}_{resource}_per_instance": "the same of one verb and resource",
    "api_reads_per_instance": "gets and lists of manager and agent meanwhile, by N",
    "pull_large_seconds": "`kubectl apply` of a ContainerImage of 1 GiB in 20 layers (quick: 128 MiB) until it is Ready",
    "floor_pull_large_seconds": "`ctr image pull` of the same, in turns with that",
    "pull_large_ratio_to_floor": "the one by the other, as the median of the rounds' ratios",
    "floor_pull_large_synced_seconds": "the same until the file system is synced: `ctr` leaves what it unpacks to the kernel",
    "pull_large_ratio_to_synced_floor": "pull_large by that, as the median of the rounds' ratios",
    "rss_agent_pull_growth_megabytes": "how much the agent's resident memory grows at most during that pull, in 10^6 bytes",
    "api_writes_slow_pull": "writes of manager and agent from the apply of a workload to its Ready, with a pull of a minute",
    "slow_pull_seconds": "how long that took",
    "cpu_{n}_{process}_seconds": "CPU of a process during the apply of N until all is quiet; shims with runc and its init",
    "cpu_floor_{n}_{process}_seconds": "the same during the floor, where the benchmark itself makes the calls",
    "cpu_{n}_ratio_to_floor": "CPU of all processes together by that of the floor; noise from other programs disturbs it least",
    "cores_busy_{n}": "CPU of all of them by time, from kubectl's start to Ready: near the number of cores, CPU is the limit",
    "cores_others_{n}": "CPU of everything else on the machine meanwhile: more than a little of it spoils the figures",
}
"""What each figure means. `{n}` stands for a number of workloads."""


@dataclass(frozen=True)
class Figure:
    """A figure with the samples that it is the median of."""

    name: str
    unit: str
    samples: Sequence[float]

    @property
    def value(self) -> float:
        """The median."""
        return median(self.samples)

    @property
    def target(self) -> float | None:
        """What it should be at most; None when there is no such bound."""
        return TARGETS.get(self.name)

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without a target."""
        return None if self.target is None else self.value <= self.target

    def __str__(self) -> str:
        line = f"{self.name} {rounded(self.value)} {self.unit}"
        if self.target is not None:
            line += f"  target {self.target:g} {'ok' if self.met else 'missed'}"
        return line


def rounded(value: float) -> str:
    """About three significant digits, without an exponent."""
    if abs(value) >= 100 or value == 0:
        return f"{value:.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 else f"{value:.4f}"


class Figures:
    """The figures of a run, in the order in which they were first measured."""

    def __init__(self) -> None:
        self._samples: dict[tuple[str, str], list[float]] = {}

    def add(self, name: str, unit: str, sample: float) -> None:
        """Add one sample of a figure."""
        self._samples.setdefault((name, unit), []).append(sample)

    def __iter__(self) -> Iterator[Figure]:
        return (Figure(name, unit, tuple(samples)) for (name, unit), samples in self._samples.items())


def selected(pattern_lists: str, names: Sequence[str]) -> list[str]:
    """The names that match one of the comma-separated shell patterns; all of them when there is none."""
    patterns = [pattern.strip() for pattern in pattern_lists.split(",") if pattern.strip()]
    return [name for name in names if not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)]
