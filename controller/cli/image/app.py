"""The commands below `moorage image`."""

from typing import Final

import typer

from controller.cli.image import archives, inspect, ls, prune, pull, push, remove, tag, verify

HELP: Final = """Look at this node's images, fetch, send, verify and remove them.

They speak to the node's container runtime, so they work while the API
server, or even the agent, is away. Images that many nodes are to have are
better asked for by a ContainerImage (kubectl explain cimg).
"""

app = typer.Typer(help=HELP, no_args_is_help=True, rich_markup_mode="rich")

app.command(epilog=ls.EXAMPLES)(ls.ls)
app.command(epilog=inspect.EXAMPLES)(inspect.inspect)
app.command(epilog=verify.EXAMPLES)(verify.verify)
app.command(epilog=pull.EXAMPLES)(pull.pull)
app.command(epilog=push.EXAMPLES)(push.push)
app.command("import", epilog=archives.IMPORT_EXAMPLES)(archives.import_)
app.command(epilog=archives.EXPORT_EXAMPLES)(archives.export)
app.command(epilog=tag.EXAMPLES)(tag.tag)
app.command(epilog=remove.EXAMPLES)(remove.rm)
app.command(epilog=prune.EXAMPLES)(prune.prune)
