"""The command tree. Each command imports what it needs when it runs, so that `--help` is quick."""

from typing import Annotated

import typer

from controller import __version__
from controller.cli import crds, execute, logs, ps, run, uninstall
from controller.cli.image.app import app as image

app = typer.Typer(
    name="moorage",
    help="Declarative containers on plain nodes: workloads from Kubernetes, straight on containerd.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"moorage {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Declarative containers on plain nodes: workloads from Kubernetes, straight on containerd."""


app.command(rich_help_panel="Run")(run.agent)
app.command(rich_help_panel="Run")(run.manager)
app.command(rich_help_panel="Run")(run.up)
app.command(rich_help_panel="Look at this node", epilog=ps.EXAMPLES)(ps.ps)
app.command(rich_help_panel="Look at this node", epilog=logs.EXAMPLES)(logs.logs)
app.command("exec", rich_help_panel="Look at this node", epilog=execute.EXAMPLES)(execute.execute)
app.add_typer(image, name="image", rich_help_panel="Look at this node")
app.command(rich_help_panel="Install", epilog=crds.EXAMPLES)(crds.crds)
app.command(rich_help_panel="Install", epilog=uninstall.EXAMPLES)(uninstall.uninstall)
