"""A local image registry: Debian's docker-registry with a configuration of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

from tools.lab.component import Component, answers
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


class Registry(Component):
    """A registry on 127.0.0.1 that speaks plain HTTP, asks for no login and allows deletion."""

    def __init__(self, state: Path, *, port: int | None = None) -> None:
        """Choose the port: the given one if it is free, else any."""
        super().__init__(state)
        self.host = f"127.0.0.1:{self.port('http', port)}"
        configuration = self.state / "config.yml"
        self.process = Process("registry", ["docker-registry", "serve", configuration], self.state)

    def start(self) -> None:
        """Start the registry and wait until its API answers."""
        if shutil.which("docker-registry") is None:
            raise ToolError("docker-registry is missing: run `make tools` first")
        if not self.process.running:
            text = CONFIGURATION.format(folder=self.state / "images", host=self.host)
            (self.state / "config.yml").write_text(text)
            self.process.start()
        self.process.wait_ready(lambda: answers(f"http://{self.host}/v2/"), READY_SECONDS)

    def stop(self) -> None:
        """Stop the registry as an outage would; its images stay, and `start` brings it back under the same address."""
        self.process.kill()

    @property
    def processes(self) -> list[Process]:
        """The registry."""
        return [self.process]
