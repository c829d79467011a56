"""`moorage image push`: send an image of this node to a registry."""

import json
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Final

import typer

from controller.api.people import duration_text, size_text
from controller.cli.errors import finish
from controller.cli.image import find
from controller.cli.image.options import ImageRef, PasswordStdin, Quiet, Result, ResultOutput, Username
from controller.cli.image.progress import Reporter, reporter
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
from controller.runtime.port import Runtime
from controller.runtime.reference import parse

if TYPE_CHECKING:
    from controller.cli.image.login import Login

EXAMPLES: Final = """
[bold]Examples[/]

moorage image push registry.example.com/shop/web:7

moorage image push web:known-good registry.example.com/shop/web:known-good

pass show registry | moorage image push -u robot --password-stdin registry.example.com/shop/web:7
"""


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a registry has now."""

    target: str
    digest: str
    sent: int
    """Bytes that were sent; the others it had."""
    seconds: float


def push(
    context: typer.Context,
    image: ImageRef,
    target: Annotated[
        str, typer.Argument(help="Its name in the registry. Default: the same.", metavar="TARGET", show_default=False)
    ] = "",
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
    """Send an image of this node to a registry.

    What the registry has already is not sent again. Of an image for several
    platforms a node has what it needs itself, so that is what is sent: the
    manifest for its platform, with a digest of its own.

    Credentials are those of the node, as for pull, or what --username and
    --password-stdin say. They need the right to push.
    """
    from controller.cli.image.login import open_login

    places = (state_dir, registry_config, image_credential_provider_config, image_credential_provider_bin_dir)
    login = open_login(places, username, (target or image,), password_stdin=password_stdin)
    runtime = open_runtime(context, containerd)
    with reporter(quiet=quiet or output is Result.JSON) as show:
        pushed = finish(_push(runtime, image, target, login, show))
    if output is Result.JSON:
        typer.echo(json.dumps({"target": pushed.target, "digest": pushed.digest, "sentBytes": pushed.sent}, indent=2))
    elif quiet:
        typer.echo(f"{pushed.target}@{pushed.digest}")
    else:
        went = f"sent {size_text(pushed.sent)} in {duration_text(pushed.seconds)}" if pushed.sent else "was there"
        typer.echo(f"{pushed.target}: {pushed.digest}, {went}")


async def _push(runtime: Runtime, image: str, target: str, login: "Login", show: Reporter) -> Pushed:
    try:
        source = find.image(image, await runtime.image_names()).name
        name = str(parse(target or source))
        with show.transfer(name, "being stored") as transfer:
            attempt = partial(runtime.push, source, name, transfer)
            digest = await login.by_any(name, lambda credential: attempt(credential=credential))
            return Pushed(name, digest, transfer.moved, monotonic() - transfer.began)
    finally:
        await login.close()
        await runtime.close()
