"""The threads of this process, as the kernel has them."""

from contextlib import suppress
from pathlib import Path

from tests.waiting import eventually


def namespaces(kind: str) -> set[str]:
    """In which namespaces of a kind (namespaces(7)) they are. A thread that was joined may be there for a moment more."""
    own = str(Path(f"/proc/self/ns/{kind}").readlink())
    return eventually(lambda: _seen(kind), lambda seen: seen == {own})


def _seen(kind: str) -> set[str]:
    found = set[str]()
    for thread in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            found.add(str((thread / "ns" / kind).readlink()))
    return found
