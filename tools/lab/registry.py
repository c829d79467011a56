"""A local image registry: Debian's docker-registry with a configuration of its own."""

from __future__ import annotations

import shutil
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from tools.lab.component import PROBE_SECONDS, Component, answers
from tools.lab.process import Process
from tools.progress import ToolError

READY_SECONDS = 30.0

CONFIGURATION = """\
version: 0.1
log: {{level: warn, accesslog: {{disabled: true}}}}
storage:
  delete: {{enabled: true}}
  filesystem: {{rootdirectory: {folder}}}
http: {{addr: "{host}"}}
"""

LOGIN = """\
auth:
  htpasswd: {{realm: lab, path: {file}}}
"""


class Registry(Component):
    """A registry on 127.0.0.1 that speaks plain HTTP and allows deletion."""

    def __init__(
        self, state: Path, *, port: int | None = None, users: Mapping[str, str] | None = None, images: Path | None = None
    ) -> None:
        """Choose the port: the given one if it is free, else any.

        Args:
            state: the folder for everything that it keeps.
            port: where to listen.
            users: who may log in, with the bcrypt hash of each one's password (htpasswd -B); None: it asks for no login.
            images: where its images are, as another registry has them; None: a folder of its own.
        """
        super().__init__(state)
        self._users = users
        self.images = images or self.state / "images"
        self.host = f"127.0.0.1:{self.port('http', port)}"
        configuration = self.state / "config.yml"
        self.process = Process("registry", ["docker-registry", "serve", configuration], self.state)

    def start(self) -> None:
        """Start the registry and wait until its API answers."""
        if shutil.which("docker-registry") is None:
            raise ToolError("docker-registry is missing: run `make tools` first")
        if not self.process.running:
            (self.state / "config.yml").write_text(self._configuration())
            self.process.start()
        url = f"http://{self.host}/v2/"
        self.process.wait_ready(lambda: answers(url) if self._users is None else _asks_for_login(url), READY_SECONDS)

    def _configuration(self) -> str:
        text = CONFIGURATION.format(folder=self.images, host=self.host)
        if self._users is None:
            return text
        file = self.state / "htpasswd"
        file.write_text("".join(f"{user}:{password}\n" for user, password in self._users.items()))
        return text + LOGIN.format(file=file)

    def stop(self) -> None:
        """Stop the registry as an outage would; its images stay, and `start` brings it back under the same address."""
        self.process.kill()

    @property
    def processes(self) -> list[Process]:
        """The registry."""
        return [self.process]


def _asks_for_login(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=PROBE_SECONDS):
            return False
    except urllib.error.HTTPError as error:
        return error.code == 401
    except OSError:
        return False
