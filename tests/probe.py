"""Asks a process of Moorage as a kubelet and a Prometheus would."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client.parser import text_string_to_metric_families

from tests.harness import Site, started
from tests.waiting import eventually
from tools.lab import Process, free_port


class Probe:
    """Asks one process as a kubelet and a Prometheus would."""

    def __init__(self, process: Process) -> None:
        self._url = f"http://127.0.0.1:{(port := free_port())}"
        process.arguments += ["--metrics-port", str(port)]

    def get(self, path: str) -> tuple[int, str]:
        """Status and text; 0 while nobody listens."""
        try:
            with urllib.request.urlopen(self._url + path, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, refused.read().decode()
        except urllib.error.URLError:
            return 0, ""

    def until(self, path: str, status: int, seconds: float = 20.0) -> str:
        """Probe until the answer is this; its text."""
        answer = eventually(lambda: self.get(path), lambda answer: answer[0] == status, seconds)
        assert answer[0] == status, f"{path} gives {answer}, and not {status}"
        return answer[1]

    def value(self, name: str, **labels: str) -> float:
        """The sum of a metric's series that have these labels."""
        families = text_string_to_metric_families(self.get("/metrics")[1])
        samples = [s for family in families for s in family.samples if s.name == name]
        return sum(s.value for s in samples if labels.items() <= s.labels.items())

    def reaches(self, value: float, name: str, **labels: str) -> None:
        """Wait until a metric has this value: what counts something is done just after it could be seen."""
        found = eventually(lambda: self.value(name, **labels), lambda found: found == value)
        assert found == value, f"{name} is {found}, and not {value}"


class Probed:
    """An installation whose processes are probed."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.manager, self.agent = Probe(site.manager), Probe(site.agent)


@contextmanager
def probed(site: Site) -> Iterator[Probed]:
    """The installation, started with both processes probed, and stopped at the end."""
    found = Probed(site)
    with started(site):
        yield found
