"""`moorage image prune`: remove what nothing uses."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from controller.api.people import size_text
from controller.cli.errors import CommandError, finish
from controller.cli.image.local import Found, Local, look
from controller.cli.image.options import Result, ResultOutput
from controller.cli.image.remove import removed
from controller.cli.options import DEFAULT_CONTAINERD, DEFAULT_STATE_DIR, Containerd, StateDir, open_runtime
from controller.runtime.port import Runtime

EXAMPLES: Final = """
[bold]Examples[/]

moorage image prune --dry-run

moorage image prune

moorage image prune --yes -o json
"""


def prune(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would go.")] = False,
    output: ResultOutput = Result.TEXT,
    containerd: Containerd = DEFAULT_CONTAINERD,
    state_dir: StateDir = DEFAULT_STATE_DIR,
) -> None:
    """Remove the images that nothing on this node uses, complete or not.

    Kept is what a container was made of, whether it runs or not, what an
    instance of this node names, and what a ContainerImage pins. Asks first;
    what is removed can be pulled again.

    The room that became free is measured on the runtime's file system. A dry
    run tells the size of the content, of which layers that other images have,
    too, are not freed.
    """
    runtime = open_runtime(context, containerd)
    freed, names = finish(_prune(runtime, state_dir, ask=not yes and not dry_run, dry_run=dry_run, quiet=output is Result.JSON))
    if output is Result.JSON:
        typer.echo(json.dumps({"removed": [] if dry_run else names, "unused": names, "freedBytes": freed}, indent=2))
    elif not names:
        typer.echo("nothing to remove: every image of this node is used")
    elif not dry_run:
        typer.echo(f"removed {len(names)} image{'' if len(names) == 1 else 's'}, {size_text(freed)} are free again")


def unused(found: Found) -> tuple[Local, ...]:
    """What may go. Pure.

    Raises:
        CommandError: when nobody can tell what is pinned.
    """
    if not found.pins_known:
        raise CommandError(f"nothing is removed: {found.notes[-1]} (moorage image rm --force removes single ones)")
    return tuple(local for local in found.images if not local.uses)


def content(images: Sequence[Local]) -> int:
    """Bytes of content of some images, each once however many names it has. Pure."""
    return sum({local.name.digest: local.state.size for local in images if local.state}.values())


async def _prune(runtime: Runtime, state_dir: Path, *, ask: bool, dry_run: bool, quiet: bool) -> tuple[int, list[str]]:
    """Bytes that became free, or with a dry run would at most, and the names."""
    try:
        found = await look(runtime, state_dir)
        images = unused(found)
        names = [local.name.name for local in images]
        if not quiet:
            _show(found, images, dry_run=dry_run)
        if dry_run or not images:
            return content(images), names
        if ask:
            _confirm(images)
        root = (await runtime.info()).root_dir
        before = _room(root)
        await removed(runtime, images)
        after = _room(root)
    finally:
        await runtime.close()
    return content(images) if before is None or after is None else max(after - before, 0), names


def _show(found: Found, images: Sequence[Local], *, dry_run: bool) -> None:
    for note in found.notes:
        typer.echo(f"moorage: {note}", err=True)
    for local in images:
        size = size_text(local.state.size) if local.state else "incomplete"
        typer.echo(f"{'would remove' if dry_run else 'unused:'} {local.name.name} ({size})")
    if dry_run and images:
        typer.echo(f"{size_text(content(images))} at most would be free again")


def _confirm(images: Sequence[Local]) -> None:
    """Ask a person. Raises `CommandError` where there is none, `typer.Abort` when the answer is no."""
    if not sys.stdin.isatty():
        raise CommandError("nobody can be asked: say --yes to remove them, or --dry-run to see them only")
    typer.confirm(f"Remove {len(images)} image{'' if len(images) == 1 else 's'}?", abort=True, err=True)


def _room(root: str) -> int | None:
    """Bytes that are free where images are kept; None when that is not seen from here."""
    try:
        numbers = os.statvfs(root) if root else None
    except OSError:
        return None
    return numbers.f_bavail * numbers.f_frsize if numbers is not None else None
