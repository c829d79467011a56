"""`moorage image tag`: another name for an image of this node."""

import json
from typing import Annotated, Final

import typer

from controller.cli.errors import finish
from controller.cli.image import find
from controller.cli.image.options import ImageRef, Result, ResultOutput
from controller.cli.options import DEFAULT_CONTAINERD, Containerd, open_runtime
from controller.runtime.port import ImageState, Runtime

EXAMPLES: Final = """
[bold]Examples[/]

moorage image tag nginx:1.27 registry.example.com/shop/nginx:1.27

moorage image tag 5f3a9c1d2e4b web:known-good
"""


def tag(
    context: typer.Context,
    source: ImageRef,
    target: Annotated[str, typer.Argument(help="The further name.", metavar="NAME")],
    output: ResultOutput = Result.TEXT,
    containerd: Containerd = DEFAULT_CONTAINERD,
) -> None:
    """Give an image of this node a further name.

    Costs no room. A name that there is already means the new image from now
    on; containers that were made of the old one go on with that.
    """
    state = finish(_tag(open_runtime(context, containerd), source, target))
    if output is Result.JSON:
        typer.echo(json.dumps({"name": state.name, "digest": state.digest}, indent=2))
    else:
        typer.echo(f"{state.name} is {state.digest}")


async def _tag(runtime: Runtime, source: str, target: str) -> ImageState:
    try:
        found = find.image(source, await runtime.image_names())
        return await runtime.tag(found.name, target)
    finally:
        await runtime.close()
