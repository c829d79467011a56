"""Events about objects of the whole cluster; those live in the namespace `default` (core/v1 `Event`)."""

import hashlib
import time
from typing import Any, Final

from controller.api.conditions import timestamp
from controller.kube.client import Client
from controller.kube.errors import ApiAlreadyExists
from controller.kube.resources import EVENTS

NAMESPACE: Final = "default"
_MOST_MESSAGE: Final = 1024


async def warn(client: Client, about: dict[str, str], reason: str, message: str, component: str, host: str = "") -> None:
    """Write a Warning; the same one again only renews its time, so that restarts of its writer add none.

    Args:
        client: to write with.
        about: `apiVersion`, `kind`, `name` and `uid` of the object.
        reason: in CamelCase, for machines.
        message: for people; cut after 1024 characters.
        component: who says so.
        host: where that runs.

    Raises:
        ApiFailure: when it was not written.
    """
    at = timestamp(time.time())
    digest = hashlib.sha256(f"{about['uid']}/{component}/{host}/{reason}/{message}".encode()).hexdigest()[:16]
    name = f"{about['name'][:200]}.{digest}"
    body: dict[str, Any] = {
        "apiVersion": EVENTS.api_version,
        "kind": "Event",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "involvedObject": about,
        "reason": reason,
        "message": message[:_MOST_MESSAGE],
        "type": "Warning",
        "source": {"component": component, "host": host},
        "reportingComponent": component,
        "reportingInstance": host,
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
    }
    try:
        await client.create(EVENTS, body, NAMESPACE)
    except ApiAlreadyExists:
        await client.patch(EVENTS, name, {"lastTimestamp": at}, NAMESPACE)
