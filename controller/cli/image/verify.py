"""`moorage image verify`: whether images are on this node as they should be."""

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer

from controller.cli.errors import CommandError, finish
from controller.cli.image import find
from controller.cli.image.options import Result, ResultOutput
from controller.cli.options import DEFAULT_CONTAINERD, Containerd, open_runtime
from controller.runtime.port import Conflict, Damage, ImageFailure, NotFound, Runtime

EXAMPLES: Final = """
[bold]Examples[/]

moorage image verify

moorage image verify --discard web:7 ; moorage image pull web:7

moorage image verify -o json | jq -r '.[] | select(.whole | not) | .image'
"""


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found of one image."""

    image: str
    damage: tuple[Damage, ...] = ()
    problem: str = ""
    """Why it could not be read at all, or what is damaged of it could not be discarded."""
    discarded: bool = False
    """What is damaged is gone, and is fetched by the next pull."""

    @property
    def whole(self) -> bool:
        """All is well."""
        return not (self.damage or self.problem)

    def lines(self) -> list[str]:
        """For people: what is damaged, and what to do."""
        if self.whole:
            return [f"{self.image}: whole"]
        head = f"{self.image}: damaged" if self.damage else f"{self.image}: cannot be verified: {self.problem}"
        found = [f"  {one.what} {one.digest}: {one.message}" for one in self.damage]
        return [head, *found, *self._advice()]

    def _advice(self) -> list[str]:
        if not self.damage:
            return []
        if self.discarded:
            return [f"  that is discarded; fetch it anew: moorage image pull {self.image}"]
        if self.problem:
            return [f"  that cannot be discarded now: {self.problem}"]
        return [f"  mend it: moorage image verify --discard {self.image} ; moorage image pull {self.image}"]

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        damage = [{"what": str(one.what), "digest": one.digest, "message": one.message} for one in self.damage]
        found = {"image": self.image, "whole": self.whole, "damage": damage, "discarded": self.discarded}
        return found | {"error": self.problem or None}


def verify(
    context: typer.Context,
    images: Annotated[
        list[str] | None,
        typer.Argument(help="Which ones. Default: all of this node.", metavar="[IMAGE]...", show_default=False),
    ] = None,
    discard: Annotated[
        bool, typer.Option("--discard", help="Take away what is damaged, so that the next pull fetches it anew.")
    ] = False,
    output: ResultOutput = Result.TEXT,
    containerd: Containerd = DEFAULT_CONTAINERD,
) -> None:
    """Read images to the end, and tell what is damaged.

    Every blob is compared with its digest, and what it was unpacked to with
    its layers. That takes as long as the disk takes; what runs is not
    disturbed. Exit code 1 when anything is damaged, with what to do about it.

    --discard takes away what is damaged, but for what running containers use.
    A pull fetches it anew, by hand or by the agent, when it needs the image.
    """
    text = output is Result.TEXT
    found = finish(_verify(open_runtime(context, containerd), images or (), discard=discard, tell=text))
    if not text:
        typer.echo(json.dumps([one.as_json() for one in found], indent=2))
    elif not found:
        typer.echo("moorage: no images on this node", err=True)
    if not all(one.whole for one in found):
        raise typer.Exit(1)


async def _verify(runtime: Runtime, images: Sequence[str], *, discard: bool, tell: bool) -> list[Verified]:
    """Each is told as soon as it is read."""
    found = []
    try:
        async with aclosing(_each(runtime, images, discard=discard)) as read:
            async for one in read:
                found.append(one)
                if tell:
                    typer.echo("\n".join(one.lines()))
    finally:
        await runtime.close()
    return found


async def _each(runtime: Runtime, images: Sequence[str], *, discard: bool) -> AsyncGenerator[Verified, None]:
    there = await runtime.image_names()
    for text in images or [name.name for name in there]:
        try:
            name = find.image(text, there).name
            damage = await runtime.verify(name)
        except (CommandError, NotFound, ImageFailure) as exc:
            yield Verified(text, problem=str(exc))
        else:
            yield await _discarded(runtime, name, damage) if damage and discard else Verified(name, damage)


async def _discarded(runtime: Runtime, name: str, damage: tuple[Damage, ...]) -> Verified:
    try:
        await runtime.quarantine(name, damage)
    except Conflict as exc:
        return Verified(name, damage, str(exc))
    return Verified(name, damage, discarded=True)
