"""Options that several of the image commands share."""

import enum
from typing import Annotated

import typer


class Output(enum.StrEnum):
    """How a list is written."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"


class Result(enum.StrEnum):
    """How it is told what was done."""

    TEXT = "text"
    JSON = "json"


ImageRef = Annotated[
    str, typer.Argument(help="The image: its name, or the beginning of its digest as ls shows it.", metavar="IMAGE")
]
ImageRefs = Annotated[
    list[str],
    typer.Argument(help="Images: each by its name, or the beginning of its digest as ls shows it.", metavar="IMAGE"),
]
ResultOutput = Annotated[Result, typer.Option("--output", "-o", help="text, or json for machines.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the names alone, and no progress.")]
Username = Annotated[
    str,
    typer.Option(
        "--username", "-u", help="Show this to the registry, in place of what the node has.", metavar="USER", show_default=False
    ),
]
PasswordStdin = Annotated[bool, typer.Option("--password-stdin", help="Read its password from standard input.")]
