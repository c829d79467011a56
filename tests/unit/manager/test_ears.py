"""Whether the manager hears the nodes: judged by what the API server has, never by silence alone."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from controller.kube.errors import ApiUnavailable
from controller.kube.informer import INCURABLE_TIMES
from controller.manager.ears import CHECK_SECONDS, DEAF_SECONDS, Ears

START = 1_800_000_000.0


@dataclass
class Cluster:
    """Nodes that renew their Leases, and a watch that may be deaf."""

    renewed_at: float = 0.0
    """When the last renewal arrived."""
    now: float = 0.0
    renewing: bool = True
    down: bool = False
    deaf: bool = False
    watches: int = 1
    leases: list[dict[str, Any]] = field(default_factory=list)

    async def list(self, *_: object) -> list[dict[str, Any]]:
        """The Leases, as the API server has them."""
        if self.down:
            raise ApiUnavailable("refused")
        return self.leases

    def restart(self) -> None:
        """Watch anew."""
        self.watches += 1

    def count_restart(self, cause: str) -> None:
        """Count it."""
        assert cause == "deaf"

    async def passes(self, ears: Ears, seconds: float) -> None:
        """Time goes by, and the manager looks at it as often as it does."""
        end = self.now + seconds
        while self.now < end:
            self.now += CHECK_SECONDS
            if self.renewing:
                self.leases = [{"spec": {"renewTime": datetime.fromtimestamp(START + self.now, UTC).isoformat()}}]
                self.renewed_at = self.renewed_at if self.deaf or self.down else self.now
            await ears.check(self.now, START + self.now)


def _ears(cluster: Cluster) -> Ears:
    parts: Any = cluster
    return Ears(parts, parts, parts)


async def test_a_deaf_watch_is_begun_anew_and_told_when_that_is_in_vain() -> None:
    """Renewals that the API server has and that do not arrive: first the watch is mended, then the process should be."""
    cluster = Cluster(deaf=True)
    ears = _ears(cluster)
    await cluster.passes(ears, DEAF_SECONDS + CHECK_SECONDS)
    assert cluster.watches == 2
    assert ears.incurable() == ""
    await cluster.passes(ears, INCURABLE_TIMES * (DEAF_SECONDS + CHECK_SECONDS))
    assert "do not arrive" in ears.incurable()
    cluster.deaf = False
    await cluster.passes(ears, CHECK_SECONDS)
    assert ears.incurable() == ""


async def test_an_api_server_that_is_away_is_no_deafness() -> None:
    """However long it is away, a restart would not help."""
    cluster = Cluster(down=True)
    ears = _ears(cluster)
    await cluster.passes(ears, 3600)
    assert ears.incurable() == ""
    assert cluster.watches == 1


async def test_silence_of_all_nodes_is_no_deafness() -> None:
    """Nobody renews anything: there is nothing to hear."""
    cluster = Cluster()
    ears = _ears(cluster)
    await cluster.passes(ears, 120)
    cluster.renewing = False
    await cluster.passes(ears, 3600)
    assert ears.incurable() == ""
    assert cluster.watches == 1


async def test_a_cluster_without_nodes_is_no_deafness() -> None:
    """A manager that was installed before any agent is well."""
    cluster = Cluster(renewing=False)
    ears = _ears(cluster)
    await cluster.passes(ears, 3600)
    assert ears.incurable() == ""
