"""Every version of every object of ours, in the order and at the time that a watch tells of them; and what really ran then."""

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.harness import GROUP, Object, Watcher
from tests.runtime_events import RuntimeEvents
from tools.lab import Containerd

COLLECTIONS = {
    "ContainerWorkload": f"{GROUP}/namespaces/default/containerworkloads",
    "ContainerInstance": f"{GROUP}/namespaces/default/containerinstances",
    "RuntimeNode": f"{GROUP}/runtimenodes",
}

WATCH_SECONDS = 2
"""How long one watch lasts before the next goes on where it ended; the end of a recording waits for it."""


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an object."""

    kind: str
    name: str
    at: float
    """When it arrived here, in seconds since the epoch."""
    object: Object | None
    """None: the object is gone."""


@dataclass
class Recorder:
    """Records from `start` on; `until` waits on what is recorded, so that whatever was waited for is in the recording."""

    api: Watcher
    versions: list[Version] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _end: threading.Event = field(default_factory=threading.Event)
    _failures: list[Exception] = field(default_factory=list)

    def of(self, kind: str, name: str) -> list[Version]:
        """The versions of one object."""
        with self._changed:
            return [v for v in self.versions if (v.kind, v.name) == (kind, name)]

    def last(self, kind: str, name: str) -> Object | None:
        """One object as it was last seen; None when it is not there."""
        found = self.of(kind, name)
        return found[-1].object if found else None

    def until(self, true: Callable[[], bool], seconds: float = 30.0) -> float:
        """Wait until something is true of the recording; the time then.

        Raises:
            AssertionError: with the last statuses, when that does not come true in time.
        """
        deadline = time.monotonic() + seconds
        with self._changed:
            while not true():
                if self._failures:
                    raise self._failures[0]
                if not self._changed.wait(deadline - time.monotonic()):
                    latest = {(v.kind, v.name): v.object for v in self.versions}
                    shown = {"/".join(key): (obj or {}).get("status") for key, obj in latest.items()}
                    raise AssertionError(f"not true within {seconds:g} s: {json.dumps(shown, indent=1)}")
        return time.time()

    @contextmanager
    def running(self) -> Iterator["Recorder"]:
        """Record while the block runs."""
        threads = [threading.Thread(target=self._follow, args=item, name=f"record {item[0]}") for item in COLLECTIONS.items()]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._end.set()
            for thread in threads:
                thread.join()
            if self._failures:
                raise self._failures[0]

    def _follow(self, kind: str, path: str) -> None:
        try:
            listed = self.api.get(path)
            version = listed["metadata"]["resourceVersion"]
            for item in listed["items"]:
                self._take(Version(kind, item["metadata"]["name"], time.time(), item))
            while not self._end.is_set():
                for event in self.api.changes(path, version, WATCH_SECONDS):
                    found = event["object"]
                    assert event["type"] in {"ADDED", "MODIFIED", "DELETED"}, event
                    version = found["metadata"]["resourceVersion"]
                    gone = event["type"] == "DELETED"
                    self._take(Version(kind, found["metadata"]["name"], time.time(), None if gone else found))
        except (OSError, AssertionError, LookupError, ValueError) as exc:  # told to whoever waits
            with self._changed:
                self._failures.append(exc)
                self._changed.notify_all()

    def _take(self, version: Version) -> None:
        with self._changed:
            self.versions.append(version)
            self._changed.notify_all()


@dataclass(frozen=True, slots=True)
class Run:
    """One process of a container."""

    image: str
    started: float
    ended: float

    def covers(self, at: float) -> bool:
        """Whether it ran at that time."""
        return self.started <= at < self.ended


class Truth:
    """What ran when, told by containerd's own event stream and by nothing of ours."""

    def __init__(self, containerd: Containerd, state: Path) -> None:
        self._events = RuntimeEvents(containerd, state / "truth.txt")

    def end(self) -> None:
        """Stop listening."""
        self._events.end()

    def runs(self, workload: str) -> list[Run]:
        """The runs of a workload's containers; their ids begin with the names of its instances, and those with its own."""
        images: dict[str, str] = {}
        running: dict[str, float] = {}
        runs: list[Run] = []
        for event in self._events.told():
            body = event.body
            if event.topic == "/containers/create":
                images[body["id"]] = body["image"]
            elif event.topic == "/tasks/start" and body["container_id"].startswith(f"{workload}-"):
                running[body["container_id"]] = event.at
            elif event.topic == "/tasks/exit" and body["id"] in running:  # an id may be used again
                runs.append(Run(images[body["id"]], running.pop(body["id"]), event.at))
        return runs + [Run(images[i], started, float("inf")) for i, started in running.items()]


def collapsed(verdicts: list[str]) -> list[str]:
    """The row without repetitions of the same verdict right after itself, and with a going to and fro shown once.

    How often a container that crashes was seen at its first, immediate restart is a matter of how fast the machine is.
    """
    row: list[str] = []
    for verdict, _ in itertools.groupby(verdicts):
        row.append(verdict)
        if len(row) >= 5 and row[-5:-2] == row[-3:]:
            del row[-2:]
    return row
