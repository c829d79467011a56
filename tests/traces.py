"""What became of a collection of objects while something went on: every state of it, in the API server's order."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.harness import Object, Watcher


@dataclass
class Trace:
    """Every state of a collection that the API server tells, in its order."""

    moments: list[dict[str, Object]] = field(default_factory=list)

    def versions(self) -> list[Object]:
        """Each version of each object once."""
        by_version = {o["metadata"]["resourceVersion"]: o for moment in self.moments for o in moment.values()}
        return list(by_version.values())


@contextmanager
def traced(api: Watcher, path: str) -> Iterator[Trace]:
    """Follow a collection for as long as the block runs. Nothing is missed: each watch goes on where the one before ended."""
    listed = api.get(path)
    now = {item["metadata"]["name"]: item for item in listed["items"]}
    trace, done = Trace([dict(now)]), threading.Event()

    def follow() -> None:
        version = listed["metadata"]["resourceVersion"]
        while True:
            last = done.is_set()
            for event in api.changes(path, version, 1):
                meta = event["object"]["metadata"]
                version = meta["resourceVersion"]
                if event["type"] == "DELETED":
                    now.pop(meta["name"], None)
                else:
                    now[meta["name"]] = event["object"]
                trace.moments.append(dict(now))
            if last:
                return

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield trace
    finally:
        done.set()
        thread.join(timeout=15)
        assert not thread.is_alive()
