"""A registry as one end of a transfer: where it is, how it is spoken to, and what it is shown."""

import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from controller.runtime.containerd.api import transfer_types_pb2
from controller.runtime.containerd.channel import Channel
from controller.runtime.containerd.image.auth import answering, headers
from controller.runtime.port import Credential
from controller.runtime.reference import Reference


@asynccontextmanager
async def registry(
    channel: Channel, reference: Reference, credential: Credential | None, hosts_dir: str
) -> AsyncIterator[transfer_types_pb2.OCIRegistry]:
    """An image in a registry, which is answered what it asks for as long as the block runs.

    Args:
        channel: the connection to containerd.
        reference: of the image.
        credential: what the registry is shown when it asks; None: nothing.
        hosts_dir: where registries are configured.
    """
    async with answering(channel, credential) as asked:
        resolver = transfer_types_pb2.RegistryResolver(
            auth_stream=asked,
            headers=headers(credential),
            host_dir=hosts_dir,
            default_scheme=default_scheme(reference.domain),
        )
        yield transfer_types_pb2.OCIRegistry(reference=str(reference), resolver=resolver)


def default_scheme(domain: str) -> str:
    """How a registry is spoken to of which nothing is configured: one on this very machine without TLS, as Docker does."""
    host = domain[1 : domain.index("]")] if domain.startswith("[") else domain.partition(":")[0]
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    return "http" if loopback else "https"
