"""`moorage uninstall`: end both halves so that nothing of Moorage stands in the way of a deletion afterwards."""

import asyncio
import enum
from typing import Annotated, Final

import typer

from controller.cli.errors import CommandError, finish
from controller.cli.options import DEFAULT_NAMESPACE, Kubeconfig, Namespace

EXAMPLES: Final = """
[bold]Examples[/]

moorage uninstall --containers keep && kubectl delete -f install.yaml

moorage uninstall --containers stop --timeout 600
"""


class Containers(enum.StrEnum):
    """What becomes of the containers."""

    KEEP = "keep"
    STOP = "stop"


def uninstall(
    containers: Annotated[
        Containers,
        typer.Option(
            help="keep: they run on. stop: all workloads are deleted, and the nodes confirm it.", case_sensitive=False
        ),
    ],
    kubeconfig: Kubeconfig = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    timeout: Annotated[float, typer.Option(min=1, help="Give up after so many seconds.", metavar="SECONDS")] = 240,
) -> None:
    """End managers and agents of a cluster, and see that nothing of Moorage stays stuck.

    Does the part of an uninstallation that needs an order; what is left then
    can be deleted in any. `helm uninstall` runs this by itself.

    With keep, workloads and instances stay as they are, without the agents'
    finalizer: they can be deleted, or are taken up when Moorage is installed
    again. It may be run again when it was interrupted.
    """
    finish(_uninstall(containers, kubeconfig, namespace, timeout))


async def _uninstall(containers: Containers, kubeconfig: str | None, namespace: str, timeout: float) -> None:  # noqa: ASYNC109
    from controller.cli.removal import Removal
    from controller.kube.client import Client
    from controller.kube.connection import Connection, NoConnection
    from controller.kube.errors import ApiFailure

    try:
        connection = await Connection.load(kubeconfig)
        client = Client(connection)
        refresh = asyncio.create_task(connection.keep_fresh(), name="credentials")
        try:
            removal = Removal(connection, client, namespace, asyncio.get_running_loop().time() + timeout, _say)
            await (removal.stop() if containers is Containers.STOP else removal.keep())
        finally:
            refresh.cancel()
            await asyncio.gather(refresh, return_exceptions=True)
            await client.close()
    except (ApiFailure, NoConnection) as exc:
        raise CommandError(str(exc)) from exc


def _say(line: str) -> None:
    typer.echo(line)
