"""The few calls to the API server that are made by ourselves; listing and watching is Kopf's (informer.py)."""

import asyncio
import json
import re
from time import perf_counter
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client import ApiClient

from controller.kube import metrics
from controller.kube.connection import Connection
from controller.kube.errors import (
    ApiAlreadyExists,
    ApiConflict,
    ApiDenied,
    ApiFailure,
    ApiForbidden,
    ApiInvalid,
    ApiNotFound,
    ApiUnavailable,
)
from controller.kube.resources import Resource

DEADLINE_SECONDS: Final = 15.0
"""Longest that one call may take."""

_METADATA_ONLY: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_PAGE: Final = 500
_DENIED: Final = re.compile(r"denied (the )?request")
"""How ValidatingAdmissionPolicies and admission webhooks say no; nothing else tells them from quotas and missing rights."""

Object = dict[str, Any]
Objects = list[Object]


class Client:
    """Create, patch, get, list and delete objects as plain dictionaries. One attempt each; the caller decides on more."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._api = ApiClient(connection.configuration)

    async def create(
        self, resource: Resource, body: dict[str, Any], namespace: str = "", name: str = "", subresource: str = ""
    ) -> Object:
        """Create an object, or a subresource of that name. Raises `ApiAlreadyExists` when the name is taken."""
        return await self._call("POST", "create", resource, resource.path(namespace, name, subresource), body=body)

    async def patch(
        self, resource: Resource, name: str, body: dict[str, Any], namespace: str = "", subresource: str = ""
    ) -> Object:
        """Merge-patch an object (RFC 7386).

        With `metadata.resourceVersion` in the body it only succeeds on exactly that version, with `metadata.uid` only on that
        object; else `ApiConflict` is raised. `ApiNotFound` when it is gone.
        """
        path = resource.path(namespace, name, subresource)
        return await self._call("PATCH", "patch", resource, path, body=body, content="application/merge-patch+json")

    async def get(self, resource: Resource, name: str, namespace: str = "") -> Object:
        """One object. Raises `ApiNotFound`."""
        return await self._call("GET", "get", resource, resource.path(namespace, name))

    async def list(self, resource: Resource, namespace: str = "", field_selector: str = "") -> Objects:
        """All objects, page by page."""
        return await self._list(resource, namespace, field_selector, "application/json")

    async def list_metadata(self, resource: Resource, namespace: str = "", field_selector: str = "") -> Objects:
        """All objects, their metadata only: what a comparison with a cache needs."""
        return await self._list(resource, namespace, field_selector, _METADATA_ONLY)

    async def serves(self, resource: Resource) -> bool:
        """Whether discovery lists the resource."""
        try:
            found = await self._call("GET", "discover", resource, resource.root)
        except ApiNotFound:
            return False
        return any(item["name"] == resource.plural for item in found.get("resources") or ())

    async def delete(
        self, resource: Resource, name: str, namespace: str = "", uid: str = "", propagation: str = "Background"
    ) -> None:
        """Delete an object, with `uid` only exactly that one. Raises `ApiNotFound`, `ApiConflict`.

        `propagation` is what becomes of its dependents: `Foreground` lets them go before it (meta/v1 `DeleteOptions`).
        """
        options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        if uid:
            options["preconditions"] = {"uid": uid}
        await self._call("DELETE", "delete", resource, resource.path(namespace, name), body=options)

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def _list(self, resource: Resource, namespace: str, field_selector: str, accept: str) -> Objects:
        items: Objects = []
        query = {"limit": str(_PAGE)} | ({"fieldSelector": field_selector} if field_selector else {})
        while True:
            page = await self._call("GET", "list", resource, f"{resource.path(namespace)}?{urlencode(query)}", accept=accept)
            items += page.get("items") or []
            proceed = (page.get("metadata") or {}).get("continue")
            if not proceed:
                return items
            query["continue"] = proceed

    async def _call(
        self,
        method: str,
        verb: str,
        resource: Resource,
        path: str,
        *,
        body: dict[str, Any] | None = None,
        content: str = "application/json",
        accept: str = "application/json",
    ) -> Object:
        headers = {"Accept": accept, "Content-Type": content, "User-Agent": "moorage"}
        code, began = "none", perf_counter()
        try:
            headers |= await self._connection.authorization()
            async with asyncio.timeout(DEADLINE_SECONDS):
                response = await self._api.call_api(
                    method, self._connection.server + path, headers, body, _request_timeout=DEADLINE_SECONDS
                )
                code = str(response.status)
                data = await response.response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            raise ApiUnavailable(
                f"{verb} {resource.plural}: the API server does not answer: {str(exc) or type(exc).__name__}"
            ) from exc
        finally:
            metrics.called(verb, resource.plural, code, perf_counter() - began)
        if response.status >= 400:
            raise failure(verb, resource, response.status, data)
        try:
            decoded = json.loads(data)
        except ValueError as exc:
            raise ApiUnavailable(f"{verb} {resource.plural}: the answer is not JSON: something else answers") from exc
        if not isinstance(decoded, dict):
            raise ApiUnavailable(f"{verb} {resource.plural}: the answer is not an object: something else answers")
        return decoded


def failure(verb: str, resource: Resource, status: int, data: bytes) -> ApiFailure:
    """What an answer means that is no success, in the API server's own words where it gave some."""
    try:
        message = str(json.loads(data).get("message") or "")
    except (ValueError, AttributeError):
        message = ""
    text = f"{verb} {resource.plural}: {message or f'HTTP {status}'}"
    match status:
        case 404 | 410:
            return ApiNotFound(text)
        case 409:
            return ApiAlreadyExists(text) if verb == "create" and "already exists" in message else ApiConflict(text)
        case 403:
            return ApiDenied(text) if _DENIED.search(message) else ApiForbidden(text)
        case 401 | 408 | 429:
            return ApiUnavailable(text)
        case _ if status >= 500:
            return ApiUnavailable(text)
        case _:
            return ApiInvalid(text)
