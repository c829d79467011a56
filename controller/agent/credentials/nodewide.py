"""The node's file with credentials for all that runs on it: a config.json of Docker's, as a kubelet has one in its folder.

It is looked at whenever credentials are needed, and read anew when it is another one.
"""

import logging
import os
from pathlib import Path
from typing import Final

from controller.agent.decide.credentials.dockerconfig import DockerConfig, parse
from controller.agent.decide.credentials.keyring import Source

log = logging.getLogger(__name__)

MOST_BYTES: Final = 10 << 20
"""Of the file; as the kubelet."""


class ConfigFile:
    """The file; it need not be there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, ...] | None = None
        self._read = DockerConfig()

    def source(self) -> Source:
        """Its credentials, as they are now. What is wrong with it is told in the log, once for each version of it."""
        seen = self._state()
        if seen != self._seen:
            self._seen = seen
            self._read = self._parse() if seen is not None else DockerConfig()
            for problem in self._read.problems:
                log.warning("%s: %s", self._path, problem)
        return Source(self._read.entries, f"the node's {self._path.name}")

    @property
    def problems(self) -> tuple[str, ...]:
        """What of it cannot be used, for people."""
        return tuple(f"the node's {self._path.name}: {problem}" for problem in self._read.problems)

    def _state(self) -> tuple[int, ...] | None:
        """What changes with each version of it; None when there is none."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        except OSError:
            return ()
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _parse(self) -> DockerConfig:
        try:
            with self._path.open("rb") as file:
                if os.fstat(file.fileno()).st_size > MOST_BYTES:
                    return DockerConfig(problems=(f"is larger than {MOST_BYTES} bytes",))
                return parse(file.read(MOST_BYTES))
        except FileNotFoundError:
            return DockerConfig()
        except OSError as exc:
            return DockerConfig(problems=(f"cannot be read: {exc.strerror}",))
