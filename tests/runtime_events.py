"""containerd's own event stream, as `ctr events` prints it: what really happened, told by nothing of ours."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.harness import NAMESPACE
from tools.lab import Containerd
from tools.lab.command import tool

_LINE = re.compile(rf"(\S+ \S+) \+0000 UTC {NAMESPACE} (\S+) (\{{.*\}})")


@dataclass(frozen=True, slots=True)
class Happened:
    """One event of our namespace."""

    at: float
    """Seconds since the epoch."""
    topic: str
    body: dict[str, Any]


class RuntimeEvents:
    """Listens from when it is made until `end`."""

    def __init__(
        self,
        containerd: Containerd,
        output: Path,
        inside: Callable[[Sequence[str | Path]], Sequence[str | Path]] = lambda command: command,
    ) -> None:
        """`output` is a file to keep them in, `inside` makes a command one that runs where containerd is."""
        self._output = output
        command = inside([tool("ctr"), "--address", containerd.address, "events"])
        with output.open("w") as file:
            self._process = subprocess.Popen(command, stdout=file, stderr=subprocess.DEVNULL)

    def end(self) -> None:
        """Stop listening."""
        self._process.terminate()
        self._process.wait(timeout=10)

    def told(self) -> Iterator[Happened]:
        """What has been heard so far, in its order."""
        for line in self._output.read_text().splitlines():
            if found := _LINE.fullmatch(line.strip()):
                day, _, fraction = found[1].partition(".")
                at = datetime.strptime(day, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp() + float(f"0.{fraction or 0}")
                yield Happened(at, found[2], json.loads(found[3]))
