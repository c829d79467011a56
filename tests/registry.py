"""All metrics of Moorage, as a scrape names them."""

import importlib
import pkgutil
from functools import cache

from prometheus_client import REGISTRY
from prometheus_client.core import Metric
from prometheus_client.metrics import MetricWrapperBase

from controller.telemetry.readings import Reading

PACKAGES = ("controller.agent", "controller.kube", "controller.manager", "controller.telemetry")
"""Where metrics may be defined; importing a module registers its own."""

SERIES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
"""What is appended to a metric's name in its series, by type (Prometheus text format)."""


@cache
def ours() -> dict[str, Metric]:
    """Every metric of ours by its full name (`..._total` for a counter)."""
    for package in PACKAGES:
        module = importlib.import_module(package)
        for found in pkgutil.walk_packages(module.__path__, f"{package}."):
            importlib.import_module(found.name)
    metrics = [metric for metric in REGISTRY.collect() if metric.name.startswith("moorage_")]
    return {metric.name + ("_total" if metric.type == "counter" else ""): metric for metric in metrics}


def series() -> frozenset[str]:
    """The names of all series that there can be."""
    return frozenset(metric.name + suffix for metric in ours().values() for suffix in SERIES[metric.type])


def labels() -> dict[str, tuple[str, ...]]:
    """The labels of each metric by its full name, whether it has values already or not."""
    found: dict[str, tuple[str, ...]] = {}
    for collector in set(REGISTRY._collector_to_names):
        if isinstance(collector, MetricWrapperBase):
            names = tuple(collector._labelnames)
        elif isinstance(collector, Reading):
            names = collector.labels
        else:  # of the Prometheus client itself: the process, the garbage collector
            continue
        found |= {n: names for m in collector.describe() for n in (m.name, m.name + "_total") if n in ours()}
    return found
