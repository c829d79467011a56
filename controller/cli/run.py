"""`moorage agent`, `moorage manager` and `moorage up`: the long-running halves."""

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from controller import malloc
from controller.cli.errors import CommandError
from controller.cli.node import Half, node_half, with_node_options
from controller.cli.options import DEFAULT_NAMESPACE, Kubeconfig, MetricsPort, Namespace, NodeGraceSeconds, Verbose
from controller.telemetry.health import Health


@with_node_options
def agent(metrics_port: MetricsPort = 0, *, verbose: Verbose = False, **node: Any) -> None:
    """Run the node half: make this node hold what its instances ask for.

    Needs root and a containerd. Containers go on when it ends, and are adopted when it starts again.
    """
    health = Health()
    _run([node_half(health, **node)], health, metrics_port, verbose=verbose)


def manager(
    kubeconfig: Kubeconfig = None,
    leader_elect: Annotated[bool, typer.Option(help="Let one of several managers work, elected by a Lease.")] = False,
    namespace: Namespace = DEFAULT_NAMESPACE,
    node_grace_seconds: NodeGraceSeconds = 40,
    metrics_port: MetricsPort = 0,
    verbose: Verbose = False,
) -> None:
    """Run the cluster half: turn workloads into instances, and their status into the workloads'."""
    health = Health()
    half = _manager_half(
        kubeconfig, health, leader_elect=leader_elect, namespace=namespace, node_grace_seconds=node_grace_seconds
    )
    _run([half], health, metrics_port, verbose=verbose)


@with_node_options
def up(
    node_grace_seconds: NodeGraceSeconds = 40, metrics_port: MetricsPort = 0, *, verbose: Verbose = False, **node: Any
) -> None:
    """Run both halves in one process: a one-node installation."""
    health = Health()
    halves = [node_half(health, **node), _manager_half(node["kubeconfig"], health, node_grace_seconds=node_grace_seconds)]
    _run(halves, health, metrics_port, verbose=verbose)


def _manager_half(
    kubeconfig: str | None,
    health: Health,
    *,
    leader_elect: bool = False,
    namespace: str = DEFAULT_NAMESPACE,
    node_grace_seconds: int,
) -> Half:
    health.ready["manager"] = lambda: "it is starting"

    async def half(stop: asyncio.Event) -> None:
        from controller.kube.connection import NoConnection
        from controller.manager.manager import LostLead, ManagerSettings, run

        try:
            settings = ManagerSettings(
                kubeconfig=kubeconfig,
                leader_elect=leader_elect,
                leader_namespace=namespace,
                silence_seconds=float(node_grace_seconds),
            )
            await run(settings, stop, health)
        except (LostLead, NoConnection) as exc:
            raise CommandError(str(exc)) from exc

    return half


def _run(halves: list[Half], health: Health, metrics_port: int, *, verbose: bool) -> None:
    malloc.give_back_what_is_freed()
    _log_to_stderr(verbose=verbose)
    told: dict[str, None] = {}
    try:
        asyncio.run(_until_stopped(halves, health, metrics_port))
    except* CommandError as group:
        told = dict.fromkeys(map(str, group.exceptions))
    for message in told:
        typer.echo(f"moorage: {message}", err=True)
    if told:  # not raised above: what leaves an `except*` is wrapped in a group, and would be shown with its traceback
        raise typer.Exit(1)


async def _until_stopped(halves: list[Half], health: Health, metrics_port: int) -> None:
    """Run the halves until SIGTERM or SIGINT; a second signal does not wait for their orderly end."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT)

    def stopping() -> None:
        stop.set()
        for number in numbers:
            loop.remove_signal_handler(number)

    for number in numbers:
        loop.add_signal_handler(number, stopping)

    async def whole(half: Half) -> None:
        try:
            await half(stop)
        finally:
            stop.set()  # one half never goes on without the other

    with _endpoint(metrics_port, health):
        async with asyncio.TaskGroup() as group:
            for half in halves:
                group.create_task(whole(half))


@contextlib.contextmanager
def _endpoint(port: int, health: Health) -> Iterator[None]:
    """Serve metrics and health while the halves run; port 0: do not."""
    if not port:
        yield
        return
    from controller.telemetry.endpoint import Endpoint

    try:
        endpoint = Endpoint(port, health, asyncio.get_running_loop())
    except OSError as exc:
        # In a group, as what the halves raise is: the caller has one way to say it.
        raise ExceptionGroup("start", [CommandError(f"port {port} cannot be listened on: {exc.strerror}")]) from None
    try:
        yield
    finally:
        endpoint.close()


def _log_to_stderr(*, verbose: bool) -> None:
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
    )
    for name, level in (
        ("kopf", logging.WARNING),
        ("kopf._core.reactor.running", logging.ERROR),
        ("grpc", logging.WARNING),
        ("asyncio", logging.WARNING),
    ):
        logging.getLogger(name).setLevel(level)
