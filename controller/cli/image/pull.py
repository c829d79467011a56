"""`moorage image pull`: fetch images to this node."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from controller.api.people import duration_text, size_text
from controller.cli.errors import finish
from controller.cli.image.options import PasswordStdin, Quiet, Result, ResultOutput, Username
from controller.cli.image.progress import Reporter, reporter
from controller.cli.image.rows import short_digest
from controller.cli.options import (
    DEFAULT_CONTAINERD,
    DEFAULT_STATE_DIR,
    Containerd,
    ImageCredentialProviderBinDir,
    ImageCredentialProviderConfig,
    RegistryConfig,
    StateDir,
    open_runtime,
)
from controller.runtime.port import ImageFailure, ImageState, Runtime
from controller.runtime.reference import parse

if TYPE_CHECKING:
    from controller.cli.image.login import Login

EXAMPLES: Final = """
[bold]Examples[/]

moorage image pull nginx:1.27

moorage image pull -q registry.example.com/shop/web:7 registry.example.com/shop/db:3

pass show registry | moorage image pull -u robot --password-stdin registry.example.com/shop/web:7
"""

PARALLEL: Final = 3
"""Pulls at the same time, as an agent's by default."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """How one pull ended."""

    text: str
    state: ImageState | None
    """None: it failed."""
    problem: str = ""
    fetched: int = 0
    """Bytes that came from the registry; the others were here."""
    seconds: float = 0.0

    def line(self) -> str:
        """For people."""
        assert self.state is not None
        state = self.state
        came = f"fetched {size_text(self.fetched)} in {duration_text(self.seconds)}" if self.fetched else "was here"
        return f"{state.name}: {short_digest(state.digest)}, {size_text(state.size)}, {came}"

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        state = self.state
        return {
            "image": self.text,
            "name": state.name if state else None,
            "digest": state.digest if state else None,
            "size": state.size if state else None,
            "fetchedBytes": self.fetched,
            "error": self.problem or None,
        }


def pull(
    context: typer.Context,
    images: Annotated[list[str], typer.Argument(help="What to fetch, by tag or digest.", metavar="IMAGE")],
    username: Username = "",
    password_stdin: PasswordStdin = False,
    quiet: Quiet = False,
    output: ResultOutput = Result.TEXT,
    containerd: Containerd = DEFAULT_CONTAINERD,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    registry_config: RegistryConfig = None,
    image_credential_provider_config: ImageCredentialProviderConfig = None,
    image_credential_provider_bin_dir: ImageCredentialProviderBinDir = None,
) -> None:
    """Fetch images to this node, three at a time.

    The registry is asked what each name means now; only what is missing is
    fetched. What a pull that failed or was interrupted has fetched is kept for
    a day, and the next one goes on from there.

    Credentials are those of the node, as its agent has them: the config file,
    then plugins, then none; or what --username and --password-stdin say.
    Mirrors and certificates are containerd's own (/etc/containerd/certs.d).

    One that fails keeps no other from being fetched; the exit code is 1 then.
    For the agent these are images that the node came with: by default every
    namespace may run them.
    """
    from controller.cli.image.login import open_login

    places = (state_dir, registry_config, image_credential_provider_config, image_credential_provider_bin_dir)
    login = open_login(places, username, images, password_stdin=password_stdin)
    runtime = open_runtime(context, containerd)
    with reporter(quiet=quiet or output is Result.JSON) as show:
        ended = finish(_pull(runtime, images, login, show))
    if output is Result.JSON:
        typer.echo(json.dumps([one.as_json() for one in ended], indent=2))
    for one in ended:
        if one.problem:
            typer.echo(f"moorage: {one.problem}", err=True)
        elif one.state is not None and output is Result.TEXT:
            typer.echo(f"{one.state.name}@{one.state.digest}" if quiet else one.line())
    if any(one.problem for one in ended):
        raise typer.Exit(1)


async def _pull(runtime: Runtime, images: Sequence[str], login: "Login", show: Reporter) -> list[Pulled]:
    turns = asyncio.Semaphore(PARALLEL)
    try:
        await runtime.info()  # also makes containerd's namespace, on a node where no agent has run yet
        return await asyncio.gather(*(_one(runtime, text, login, show, turns) for text in dict.fromkeys(images)))
    finally:
        await login.close()
        await runtime.close()


async def _one(runtime: Runtime, text: str, login: "Login", show: Reporter, turns: asyncio.Semaphore) -> Pulled:
    try:
        name = str(parse(text))
        async with turns:
            with show.transfer(name, "being unpacked") as transfer:
                attempt = partial(runtime.pull, name, transfer)
                state = await login.by_any(name, lambda credential: attempt(credential=credential))
                return Pulled(text, state, fetched=transfer.moved, seconds=monotonic() - transfer.began)
    except ImageFailure as exc:
        return Pulled(text, None, str(exc))
