"""What this containerd is, and whether it will do."""

import re
from collections.abc import Mapping
from typing import Final

from google.protobuf.empty_pb2 import Empty

from controller.runtime.containerd import methods
from controller.runtime.containerd.api import introspection_pb2, namespaces_pb2
from controller.runtime.containerd.channel import Channel
from controller.runtime.port import AlreadyExists, Feature, RuntimeInfo, Unsupported

LEAST_VERSION: Final = (2, 0)
"""The transfer service, and shims that serve several containers, are what is needed of it."""

_SNAPSHOTTERS: Final = "io.containerd.snapshotter.v1"

_FEATURES: Final = frozenset(
    {Feature.HOST_NETWORK, Feature.NETWORK_NAMESPACE, Feature.RESOURCE_UPDATE, Feature.PAUSE, Feature.EXEC}
)


async def describe(channel: Channel, snapshotter: str, handlers: tuple[str, ...]) -> RuntimeInfo:
    """Ask containerd what it is, and make sure that it will do.

    Raises:
        Unsupported: when it is too old, or lacks the snapshotter.
    """
    version = (await channel.call(methods.VERSION, Empty())).version
    check_version(version)
    usable = await snapshotter_roots(channel)
    if snapshotter not in usable:
        raise Unsupported(f"containerd at {channel.address} has no snapshotter {snapshotter!r} (it has {sorted(usable)})")
    return RuntimeInfo(
        name="containerd",
        version=version.removeprefix("v"),
        features=_FEATURES,
        snapshotters=(snapshotter, *sorted(usable.keys() - {snapshotter})),
        handlers=handlers,
        root_dir=usable[snapshotter],
    )


async def snapshotter_roots(channel: Channel) -> Mapping[str, str]:
    """Where each snapshotter that can be used keeps its files; empty when it does not say."""
    request = introspection_pb2.PluginsRequest(filters=[f"type=={_SNAPSHOTTERS}"])
    plugins = (await channel.call(methods.PLUGINS, request)).plugins
    return {plugin.id: plugin.exports.get("root", "") for plugin in plugins if not plugin.init_err}


def check_version(version: str) -> None:
    """Raise `Unsupported` for a version that is too old: `v1.7.29`, `1.6.20~ds1`."""
    match = re.match(r"v?(\d+)\.(\d+)", version)
    if match is None or (int(match[1]), int(match[2])) < LEAST_VERSION:
        needed = ".".join(map(str, LEAST_VERSION))
        raise Unsupported(f"containerd {version or 'of an unknown version'} is too old: {needed} or newer is needed")


async def ensure_namespace(channel: Channel) -> None:
    """Make containerd's namespace of this channel, unless it is there."""
    namespace = namespaces_pb2.Namespace(name=channel.namespace)
    try:
        await channel.call(methods.CREATE_NAMESPACE, namespaces_pb2.CreateNamespaceRequest(namespace=namespace))
    except AlreadyExists:
        return
