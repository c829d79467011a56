"""Gauges that are read from the program's own state when somebody scrapes, so that keeping them costs nothing in between."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from controller import __version__

Labels = tuple[str, ...]
"""Values of a gauge's labels, in their order; empty for a gauge without."""

Source = Callable[[], Mapping[Labels, float]]
"""Gives the values of this moment. It is called from the endpoint's thread, so it goes over copies (`tuple(d.values())`), and
it never calls anybody: a scrape must not cost the runtime or the API server anything."""


class Reading(Collector):
    """One gauge, without values until something is there to be read."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str] = ()) -> None:
        self.name, self._documentation, self.labels = name, documentation, tuple(labels)
        self._source: Source | None = None
        REGISTRY.register(self)

    def read(self, source: Source | None) -> None:
        """Read it from here, from now on; None: from nowhere, it is over."""
        self._source = source

    def collect(self) -> Iterable[Metric]:
        """The values of this moment."""
        family = GaugeMetricFamily(self.name, self._documentation, labels=self.labels)
        for labels, value in (self._source() if self._source is not None else {}).items():
            family.add_metric(labels, value)
        yield family

    def describe(self) -> Iterable[Metric]:
        """Name and type, without reading anything."""
        yield GaugeMetricFamily(self.name, self._documentation, labels=self.labels)


def number(source: Callable[[], float]) -> Source:
    """The source of a gauge without labels."""
    return lambda: {(): source()}


BUILD_INFO: Final = Reading("moorage_build_info", "Always 1; the label tells the version that runs.", ["version"])
BUILD_INFO.read(lambda: {(__version__,): 1.0})
