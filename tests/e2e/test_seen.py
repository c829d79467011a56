"""What the probes tell when something is away: a restart is asked for only where it would help."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Site
from tests.probe import Probed, probed
from tools.lab import Containerd, ControlPlane, Registry


@pytest.fixture
def seen(own_plane: ControlPlane, registry: Registry, tmp_path: Path) -> Iterator[Probed]:
    """A one-node installation of components that a test may break."""
    with (
        Containerd(tmp_path / "containerd") as containerd,
        probed(Site(own_plane, containerd, registry, tmp_path / "site", "away1")) as found,
    ):
        yield found


def test_what_is_away_makes_nothing_unhealthy(seen: Probed) -> None:
    """Without its runtime an agent is not ready; without the API server both stay what they are: no restart would help."""
    site, both = seen.site, (seen.agent, seen.manager)
    for half in both:
        half.until("/readyz", 200)
    site.plane.stop_apiserver()
    site.containerd.kill()
    assert "[-]runtime failed: containerd is not available" in seen.agent.until("/readyz", 503)
    assert seen.agent.value("moorage_agent_runtime_up") == 0
    assert [half.get("/healthz")[0] for half in both] == [200, 200]
    site.containerd.start()
    seen.agent.until("/readyz", 200)
    seen.agent.reaches(1, "moorage_agent_runtime_up")
    assert seen.agent.value("moorage_api_calls_total", code="none") > 0, "it has noticed that the API server is away"
    for path in ("/healthz", "/readyz"):
        assert [half.get(path)[0] for half in both] == [200, 200]
    site.plane.start_apiserver()
