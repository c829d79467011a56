"""Registries as a node's certs.d describes them: TLS by a private authority and in both directions, mirrors, plain HTTP."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from controller.runtime.containerd.runtime import ContainerdRuntime
from controller.runtime.port import CredentialsMissing, ImageFailure, ImageNotFound, RegistryUnreachable, RegistryUntrusted
from tests.contract.containerd_subject import ContainerdSubject
from tests.private import GOOD, USERS
from tools.lab import Fault, FaultyRegistry, Registry
from tools.lab.authority import Authority
from tools.lab.process import free_port


@dataclass
class Node:
    """A node with a certs.d of its own, and registries that are there for one test."""

    runtime: ContainerdRuntime
    folder: Path
    registry: Registry
    stack: ExitStack = field(default_factory=ExitStack)

    def serve(self, *, tls: ssl.SSLContext | None = None, upstream: str = "") -> FaultyRegistry:
        """A registry with the test images."""
        return self.stack.enter_context(FaultyRegistry(upstream or self.registry.host, tls=tls))

    def configure(self, domain: str, text: str) -> Path:
        """Write the hosts.toml of a registry."""
        (self.folder / domain).mkdir(parents=True, exist_ok=True)
        (self.folder / domain / "hosts.toml").write_text(text)
        return self.folder / domain

    async def pull(self, domain: str, name: str = "busybox:1") -> None:
        """Pull an image."""
        assert (await self.runtime.pull(f"{domain}/{name}")).digest


@pytest.fixture
async def node(real: ContainerdSubject, registry: Registry, tmp_path: Path) -> AsyncIterator[Node]:
    """In a namespace of its own, which must be empty in the end."""
    certs = tmp_path / "certs.d"
    runtime = ContainerdRuntime(
        real.containerd.address,
        namespace=real.namespace,
        hosts_dir=str(certs),
        run_dir=str(real.run_dir),
        pull_silence=5.0,
        programs_dir=str(real.folder / "programs"),
    )
    made = Node(runtime, certs, registry)
    with made.stack:
        try:
            yield made
        finally:
            await runtime.close()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Which no node knows."""
    return Authority(tmp_path / "authority")


async def test_a_private_authority_is_trusted_where_it_is_named(node: Node, authority: Authority) -> None:
    """And not before; by its hosts.toml, or as Docker has it: a *.crt in the registry's folder."""
    secure = node.serve(tls=authority.server("registry"))
    node.configure(secure.host, f'server = "https://{secure.host}"')
    with pytest.raises(RegistryUntrusted, match="authority that this node does not know"):
        await node.pull(secure.host)
    node.configure(secure.host, f'server = "https://{secure.host}"\nca = "{authority.ca}"')
    await node.pull(secure.host)
    assert secure.served("/blobs/") > 0


async def test_a_registry_that_wants_a_certificate_of_the_node(node: Node, authority: Authority) -> None:
    """It gets the one that is named for it."""
    context = authority.server("registry")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.ca)
    secure = node.serve(tls=context)
    trusted = f'server = "https://{secure.host}"\nca = "{authority.ca}"\n'
    node.configure(secure.host, trusted)
    with pytest.raises(RegistryUnreachable):  # with TLS 1.3 a server that wants one may just hang up
        await node.pull(secure.host)
    certificate, key = authority.client("node")
    node.configure(secure.host, f'{trusted}client = [["{certificate}", "{key}"]]')
    await node.pull(secure.host)


def mirrors(*hosts: str, server: str) -> str:
    """A hosts.toml."""
    return "\n".join([f'server = "http://{server}"', *(f'[host."http://{host}"]' for host in hosts)])


async def test_a_mirror_is_asked_first_and_the_registry_not_at_all(node: Node) -> None:
    """As long as it has the image; by the name of the registry, whoever serves it."""
    origin, mirror = node.serve(), node.serve()
    node.configure(origin.host, mirrors(mirror.host, server=origin.host))
    await node.pull(origin.host)
    assert mirror.served("/blobs/") > 0
    assert origin.asked() == []


DOWN = {"nobody listens": 0, "out of order": 503, "without the image": 404, "wants credentials": 401, "too busy": 429}


@pytest.mark.parametrize("case", DOWN)
async def test_a_mirror_that_does_not_serve_is_no_hindrance(node: Node, case: str) -> None:
    """The next one is asked, and last the registry itself."""
    origin, second = node.serve(), node.serve()
    with FaultyRegistry(node.registry.host) as first:
        if DOWN[case]:
            first.faults = [Fault(status=DOWN[case])]
        host = first.host if DOWN[case] else f"127.0.0.1:{free_port()}"
        node.configure(origin.host, mirrors(host, second.host, server=origin.host))
        await node.pull(origin.host)
        assert second.served("/blobs/") > 0
        assert origin.asked() == []
        second.faults = [Fault(status=503)]
        await node.pull(origin.host, "user:1")
        assert origin.served("/blobs/") > 0


async def test_when_all_fail_it_is_told_of_which(node: Node) -> None:
    """That of the registry, and not of a mirror that merely is away."""
    origin, mirror = node.serve(), node.serve()
    node.configure(origin.host, mirrors(mirror.host, server=origin.host))
    origin.faults = mirror.faults = [Fault(status=503)]
    with pytest.raises(RegistryUnreachable, match="503"):
        await node.pull(origin.host)
    origin.faults = mirror.faults = []
    with pytest.raises(ImageNotFound):
        await node.pull(origin.host, "no/such:1")


async def test_plain_http_and_other_addresses_by_the_server_line(node: Node) -> None:
    """A registry of any name is spoken to as its hosts.toml says."""
    plain = node.serve()
    node.configure("registry.test", f'server = "http://{plain.host}"')
    await node.pull("registry.test")
    assert plain.served("/blobs/") > 0


async def test_what_holds_for_all_registries_that_have_nothing_of_their_own(node: Node) -> None:
    """The folder `_default`: a mirror of everything; it is told whose image is meant."""
    mirror, own = node.serve(), node.serve()
    node.configure("_default", f'[host."http://{mirror.host}"]')
    node.configure("own.test", f'server = "http://{own.host}"')
    await node.pull("registry.test")
    await node.pull("own.test", "user:1")
    assert mirror.served("/busybox/blobs/") > 0
    assert all("ns=registry.test" in request.path for request in mirror.asked("/busybox/"))
    assert mirror.asked("/user/") == []
    assert own.served("/user/blobs/") > 0


async def test_a_mirror_is_shown_the_same_credentials(node: Node, tmp_path: Path) -> None:
    """As by a kubelet; one that does not take them is passed over."""
    with Registry(tmp_path / "private", users=USERS, images=node.registry.images) as private:
        origin, mirror = node.serve(upstream=private.host), node.serve(upstream=private.host)
        node.configure("registry.test", mirrors(mirror.host, server=origin.host))
        with pytest.raises(CredentialsMissing):
            await node.pull("registry.test")
        await node.runtime.pull("registry.test/busybox:1", credential=GOOD)
        assert mirror.served("/blobs/") > 0
        assert origin.served("/blobs/") == 0


BROKEN = {
    "no TOML": ("server = http://{host}", "is no TOML"),
    "an authority that is not there": ('server = "https://{host}"\nca = "absent.crt"', "there is no file"),
    "an unknown capability": ('[host."http://{host}"]\ncapabilities = ["fetch"]', "capabilities is no list of"),
    "a misspelt key": ('[hosts."http://{host}"]', "means nothing to containerd"),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_a_wrong_hosts_toml_is_told_with_the_failure(node: Node, case: str) -> None:
    """Containerd passes over it, and says so in its own log alone."""
    plain = node.serve()
    text, wanted = BROKEN[case]
    base = node.configure("registry.test:5000", text.format(host=plain.host))
    with pytest.raises(ImageFailure) as told:
        await node.pull("registry.test:5000")
    assert f"{base}/hosts.toml" in str(told.value)
    assert wanted in str(told.value)
