"""One installation, on a network of its own, for all cases of the topic; what a case needs is applied under its own names."""

from collections.abc import Iterator

import pytest

from tests.cni import Wire, wire
from tests.harness import Site, started
from tools.lab import Containerd, ControlPlane, Registry

NODE_RESOLVER = "# the node's\nnameserver 192.0.2.53\nsearch example.org. corp.example.org\noptions timeout:1 ndots:2\n"
CLUSTER_DNS = "10.96.0.10"


@pytest.fixture(scope="module")
def net(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    """The network; a module says how long its plugins may take if one is to take too long."""
    with wire(tmp_path_factory.mktemp("cni"), 2, getattr(request.module, "PLUGIN_SECONDS", 10)) as found:
        yield found


@pytest.fixture(scope="module")
def home(
    plane: ControlPlane, containerd: Containerd, registry: Registry, net: Wire, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """The installation; at its end, nothing may be left on the node."""
    resolver = net.folder / "resolv.conf"
    resolver.write_text(NODE_RESOLVER)
    names = ["--cluster-dns", CLUSTER_DNS, "--cluster-domain", "cluster.test", "--resolv-conf", str(resolver)]
    site = Site(plane, containerd, registry, tmp_path_factory.mktemp("home") / "s", "cni1", [*net.options, *names])
    with started(site):
        yield site
