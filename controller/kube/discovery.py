"""Waiting until the API server serves what is to be watched.

Kopf looks once; what an API server that is just starting, or a cluster without our CRDs, does not list by then, Kopf may never
come back to. So it is only started when all of it is served.
"""

import asyncio
import logging
from collections.abc import Iterable

from controller.api.base import GROUP
from controller.kube.client import Client
from controller.kube.errors import ApiFailure
from controller.kube.pauses import Forever
from controller.kube.resources import Resource

log = logging.getLogger(__name__)


async def until_served(client: Client, resources: Iterable[Resource]) -> None:
    """Return when every resource is served; says once what it waits for."""
    for resource in resources:
        told = False
        for pause in Forever():
            try:
                if await client.serves(resource):
                    break
            except ApiFailure as exc:
                log.debug("waiting for %s: %s", resource.plural, exc)
            else:
                if not told and resource.group == GROUP:
                    log.warning("%s is not installed: `moorage crds | kubectl apply --server-side -f -`", resource.plural)
                told = True
            await asyncio.sleep(pause)
