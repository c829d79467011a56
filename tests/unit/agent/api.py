"""An API server in memory: what the agent's client needs of it, with its rules on versions, finalizers and subresources."""

import asyncio
import itertools
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from controller.kube.errors import ApiAlreadyExists, ApiConflict, ApiFailure, ApiNotFound, ApiUnavailable
from controller.kube.resources import INSTANCES, Resource
from tests.unit.mergepatch import merge

Object = dict[str, Any]
Key = tuple[str, str, str]


class Api:
    """Takes the place of `controller.kube.client.Client`."""

    def __init__(self) -> None:
        self.objects: dict[Key, Object] = {}
        self.writes: list[tuple[str, str, str]] = []
        """(verb, plural or plural/subresource, name) of every write that succeeded."""
        self.bodies: list[Object] = []
        """The bodies of these writes."""
        self.classes: dict[str, tuple[str, str]] = {}
        """The cluster's RuntimeClasses by name: handler, and cpu that each instance costs."""
        self.down = False
        self.refusal: ApiFailure | None = None
        """What every write is answered with."""
        self.slow = 0.0
        """Seconds that a call takes."""
        self.watchers: list[Callable[[Resource, str, Object], None]] = []
        self._versions = itertools.count(1)

    # --- as a user

    def apply(self, obj: Object) -> Object:
        """Create or change the metadata and spec of an instance, as a user or the manager does."""
        key = (INSTANCES.plural, obj["metadata"]["namespace"], obj["metadata"]["name"])
        old = self.objects.get(key)
        new = deepcopy(obj)
        if old is None:
            new["metadata"]["generation"] = 1
            new["status"] = {"observedGeneration": -1}
            return self._store(key, INSTANCES, "ADDED", new)
        generation = old["metadata"]["generation"] + (old["spec"] != new["spec"])
        new["metadata"] = old["metadata"] | {"generation": generation}
        return self._store(key, INSTANCES, "MODIFIED", {**old, **new})

    def delete(self, name: str, namespace: str = "default") -> None:
        """Delete an instance: at once without finalizers, else when the last one is gone."""
        key = (INSTANCES.plural, namespace, name)
        obj = deepcopy(self.objects[key])
        obj["metadata"]["deletionTimestamp"] = "2027-01-15T08:00:00Z"
        obj["metadata"]["generation"] += 1
        self._store(key, INSTANCES, "MODIFIED", obj)

    def instance(self, name: str = "web") -> Object | None:
        """An instance as it is."""
        return self.objects.get((INSTANCES.plural, "default", name))

    def written(self, where: str) -> int:
        """How many writes there were to `plural` or `plural/subresource`."""
        return sum(1 for _, place, _ in self.writes if place == where)

    # --- as the client

    async def create(self, resource: Resource, body: Object, namespace: str = "") -> Object:
        """Create an object."""
        await self._call(write=True)
        key = (resource.plural, namespace, body["metadata"]["name"])
        if key in self.objects:
            raise ApiAlreadyExists(f"{resource.plural} {key[2]} already exists")
        obj = deepcopy(body)
        obj["metadata"] |= {"generation": 1, "uid": f"uid-of-{resource.plural}-{key[2]}"}
        self._wrote("create", resource.plural, key[2], body)
        return deepcopy(self._store(key, resource, "ADDED", obj))

    async def patch(self, resource: Resource, name: str, body: Object, namespace: str = "", subresource: str = "") -> Object:
        """Merge-patch an object or a subresource."""
        await self._call(write=True)
        key = (resource.plural, namespace, name)
        old = self._find(key)
        self._preconditions(old, body.get("metadata", {}))
        new = merge(old, {"status": body.get("status")} if subresource == "status" else body)
        new["metadata"]["uid"] = old["metadata"]["uid"]
        self._wrote("patch", f"{resource.plural}/{subresource}" if subresource else resource.plural, name, body)
        return deepcopy(self._store(key, resource, "MODIFIED", new))

    async def get(self, resource: Resource, name: str, namespace: str = "") -> Object:
        """One object."""
        await self._call(write=False)
        return deepcopy(self._find((resource.plural, namespace, name)))

    async def list_metadata(self, resource: Resource, namespace: str = "", field_selector: str = "") -> list[Object]:
        """All objects of a kind; selectors are not looked at."""
        del namespace, field_selector
        await self._call(write=False)
        return [deepcopy(o) for (plural, _, _), o in self.objects.items() if plural == resource.plural]

    # --- inside

    async def _call(self, *, write: bool) -> None:
        await asyncio.sleep(self.slow)
        if self.down:
            raise ApiUnavailable("the API server does not answer")
        if write and self.refusal is not None:
            raise self.refusal

    def _find(self, key: Key) -> Object:
        if key not in self.objects:
            raise ApiNotFound(f"{key[0]} {key[2]} not found")
        return self.objects[key]

    def _preconditions(self, old: Object, metadata: Object) -> None:
        for field in ("resourceVersion", "uid"):
            if field in metadata and metadata[field] != old["metadata"][field]:
                raise ApiConflict(f"{field} is {old['metadata'][field]}")

    def _wrote(self, verb: str, place: str, name: str, body: Object) -> None:
        self.writes.append((verb, place, name))
        self.bodies.append(deepcopy(body))

    def _store(self, key: Key, resource: Resource, kind: str, obj: Object) -> Object:
        obj["metadata"]["resourceVersion"] = str(next(self._versions))
        self.objects[key] = obj
        meta = obj["metadata"]
        if meta.get("deletionTimestamp") and not meta.get("finalizers"):
            del self.objects[key]
            kind = "DELETED"
        for watcher in self.watchers:
            asyncio.get_running_loop().call_soon(watcher, resource, kind, deepcopy(obj))
        return obj
