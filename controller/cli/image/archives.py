"""`moorage image import` and `export`: images as files, where no registry is."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from controller.api.people import size_text
from controller.cli.errors import finish
from controller.cli.image import find
from controller.cli.image.options import ImageRefs, Quiet, Result, ResultOutput
from controller.cli.image.progress import Reporter, reporter
from controller.cli.image.rows import short_digest
from controller.cli.options import DEFAULT_CONTAINERD, Containerd, open_runtime
from controller.runtime.port import ImageState, Runtime

IMPORT_EXAMPLES: Final = """
[bold]Examples[/]

moorage image import web.tar

moorage image import build.oci.tar.gz --name registry.example.com/shop/web:7
"""

EXPORT_EXAMPLES: Final = """
[bold]Examples[/]

moorage image export registry.example.com/shop/web:7 -o web.tar

moorage image export web:7 db:3 -o shop.tar
"""


def import_(
    context: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(help="The archive.", metavar="FILE", exists=True, dir_okay=False, readable=True, resolve_path=True),
    ],
    name: Annotated[
        str,
        typer.Option(
            help="What to call the one image in it. Default: as the archive says.", metavar="NAME", show_default=False
        ),
    ] = "",
    quiet: Quiet = False,
    output: ResultOutput = Result.TEXT,
    containerd: Containerd = DEFAULT_CONTAINERD,
) -> None:
    """Take images from an archive to this node, ready to run.

    Reads what docker save, podman save, buildah, skopeo, ctr images export and
    moorage image export write: Docker's archives and OCI layouts as tar, also
    compressed by gzip or zstd.
    """
    runtime = open_runtime(context, containerd)
    with reporter(quiet=quiet or output is Result.JSON) as show:
        states = finish(_import(runtime, file, name, show))
    if output is Result.JSON:
        typer.echo(json.dumps([{"name": s.name, "digest": s.digest, "size": s.size} for s in states], indent=2))
        return
    for state in states:
        known = f"{state.name}: {short_digest(state.digest)}, {size_text(state.size)}"
        typer.echo(f"{state.name}@{state.digest}" if quiet else known)


def export(
    context: typer.Context,
    images: ImageRefs,
    file: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="The archive to write; one that is there is replaced.", metavar="FILE", dir_okay=False
        ),
    ],
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing.")] = False,
    containerd: Containerd = DEFAULT_CONTAINERD,
) -> None:
    """Write images of this node to an archive.

    It is a tar archive with an OCI layout, which docker load, podman load,
    skopeo, ctr images import and moorage image import read.

    -o is the file here, as with docker save, and no format of the output. It
    is written beside and then renamed, so that no half of it is ever seen.
    """
    names = finish(_export(open_runtime(context, containerd), images, file.absolute()))
    if not quiet:
        typer.echo(f"{file}: {size_text(file.stat().st_size)}, with {', '.join(names)}")


async def _import(runtime: Runtime, file: Path, name: str, show: Reporter) -> tuple[ImageState, ...]:
    try:
        await runtime.info()  # also makes containerd's namespace, on a node where no agent has run yet
        with show.transfer(file.name, "being unpacked") as transfer:
            return await runtime.import_images(str(file), name=name, progress=transfer)
    finally:
        await runtime.close()


async def _export(runtime: Runtime, images: Sequence[str], file: Path) -> list[str]:
    try:
        there = await runtime.image_names()
        names = list(dict.fromkeys(find.image(text, there).name for text in images))
        await runtime.export_images(names, str(file))
    finally:
        await runtime.close()
    return names
