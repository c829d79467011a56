"""`moorage agent`, `moorage manager` and `moorage up`: the long-running halves."""

import asyncio
import contextlib
import ipaddress
import logging
import os
import re
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controller.api import quantity
from controller.api.podsecurity.levels import LATEST, VERSION, Level, LevelVersion
from controller.cli.errors import CommandError
from controller.cli.options import (
    DEFAULT_CLUSTER_DOMAIN,
    DEFAULT_CNI_BIN_DIR,
    DEFAULT_CNI_CONF_DIR,
    DEFAULT_CONTAINERD,
    DEFAULT_LOG_DIR,
    DEFAULT_NAMESPACE,
    DEFAULT_NETNS_DIR,
    DEFAULT_RESOLV_CONF,
    DEFAULT_STATE_DIR,
    ClusterDns,
    ClusterDomain,
    CniBinDir,
    CniConfDir,
    CniGc,
    CniTimeoutSeconds,
    Containerd,
    HeartbeatSeconds,
    Kubeconfig,
    LogDir,
    LogMaxFiles,
    LogMaxSize,
    MetricsPort,
    Namespace,
    NetnsDir,
    NodeGraceSeconds,
    NodeName,
    PodSecurityEnforce,
    PodSecurityVersion,
    ResolvConf,
    StateDir,
    Verbose,
    default_node_name,
)
from controller.runtime.port import Runtime, RuntimeFailure, Unavailable
from controller.telemetry.health import Health

if TYPE_CHECKING:
    from controller.agent.agent import AgentSettings
    from controller.network.attached import CniSettings

Half = Callable[[asyncio.Event], Coroutine[Any, Any, None]]
"""One half of Moorage: runs until the event is set."""


def agent(
    kubeconfig: Kubeconfig = None,
    containerd: Containerd = DEFAULT_CONTAINERD,
    node_name: NodeName = "",
    state_dir: StateDir = DEFAULT_STATE_DIR,
    log_dir: LogDir = DEFAULT_LOG_DIR,
    netns_dir: NetnsDir = DEFAULT_NETNS_DIR,
    cni_conf_dir: CniConfDir = DEFAULT_CNI_CONF_DIR,
    cni_bin_dir: CniBinDir = DEFAULT_CNI_BIN_DIR,
    cni_timeout_seconds: CniTimeoutSeconds = 60,
    cni_gc: CniGc = False,
    cluster_dns: ClusterDns = [],  # noqa: B006 - as typer takes options that may be repeated
    cluster_domain: ClusterDomain = DEFAULT_CLUSTER_DOMAIN,
    resolv_conf: ResolvConf = DEFAULT_RESOLV_CONF,
    log_max_size: LogMaxSize = "10Mi",
    log_max_files: LogMaxFiles = 5,
    heartbeat_seconds: HeartbeatSeconds = 10,
    pod_security_enforce: PodSecurityEnforce = Level.BASELINE,
    pod_security_version: PodSecurityVersion = LATEST,
    metrics_port: MetricsPort = 0,
    verbose: Verbose = False,
) -> None:
    """Run the node half: make this node hold what its instances ask for.

    Needs root and a containerd. Containers go on when it ends, and are adopted when it starts again.
    """
    level = _level(pod_security_enforce, pod_security_version)
    dirs = (state_dir, log_dir, netns_dir)
    cni = _cni(cni_conf_dir, cni_bin_dir, cni_timeout_seconds, containerd, collect=cni_gc)
    names = _names(cluster_dns, cluster_domain, resolv_conf)
    settings = _agent_settings(node_name, dirs, log_max_size, log_max_files, heartbeat_seconds, level, cni, names)
    health = Health()
    _run([_agent_half(settings, containerd, kubeconfig, health)], health, metrics_port, verbose=verbose)


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


def up(
    kubeconfig: Kubeconfig = None,
    containerd: Containerd = DEFAULT_CONTAINERD,
    node_name: NodeName = "",
    state_dir: StateDir = DEFAULT_STATE_DIR,
    log_dir: LogDir = DEFAULT_LOG_DIR,
    netns_dir: NetnsDir = DEFAULT_NETNS_DIR,
    cni_conf_dir: CniConfDir = DEFAULT_CNI_CONF_DIR,
    cni_bin_dir: CniBinDir = DEFAULT_CNI_BIN_DIR,
    cni_timeout_seconds: CniTimeoutSeconds = 60,
    cni_gc: CniGc = False,
    cluster_dns: ClusterDns = [],  # noqa: B006 - as typer takes options that may be repeated
    cluster_domain: ClusterDomain = DEFAULT_CLUSTER_DOMAIN,
    resolv_conf: ResolvConf = DEFAULT_RESOLV_CONF,
    log_max_size: LogMaxSize = "10Mi",
    log_max_files: LogMaxFiles = 5,
    heartbeat_seconds: HeartbeatSeconds = 10,
    node_grace_seconds: NodeGraceSeconds = 40,
    pod_security_enforce: PodSecurityEnforce = Level.BASELINE,
    pod_security_version: PodSecurityVersion = LATEST,
    metrics_port: MetricsPort = 0,
    verbose: Verbose = False,
) -> None:
    """Run both halves in one process: a one-node installation."""
    level = _level(pod_security_enforce, pod_security_version)
    dirs = (state_dir, log_dir, netns_dir)
    cni = _cni(cni_conf_dir, cni_bin_dir, cni_timeout_seconds, containerd, collect=cni_gc)
    names = _names(cluster_dns, cluster_domain, resolv_conf)
    settings = _agent_settings(node_name, dirs, log_max_size, log_max_files, heartbeat_seconds, level, cni, names)
    health = Health()
    halves = [
        _agent_half(settings, containerd, kubeconfig, health),
        _manager_half(kubeconfig, health, node_grace_seconds=node_grace_seconds),
    ]
    _run(halves, health, metrics_port, verbose=verbose)


def _level(level: Level, version: str) -> LevelVersion:
    """What holds in namespaces without labels."""
    if version != LATEST and not re.fullmatch(VERSION, version):
        raise typer.BadParameter("must be latest or v1.N", param_hint="--pod-security-enforce-version")
    return LevelVersion(level, version)


def _cni(conf_dir: Path, bin_dir: Path, seconds: int, containerd: str, *, collect: bool) -> "CniSettings":
    from controller.network.attached import CniSettings
    from controller.network.node import behind

    in_a_pod = "KUBERNETES_SERVICE_HOST" in os.environ
    process = (lambda: behind(containerd)) if in_a_pod else (lambda: "")
    return CniSettings(conf_dir.absolute(), bin_dir.absolute(), float(seconds), collect, process)


@dataclass(frozen=True)
class _Names:
    """Whom instances ask for names."""

    servers: tuple[str, ...]
    domain: str
    resolv_conf: Path


def _names(servers: list[str], domain: str, resolv_conf: Path) -> _Names:
    for server in servers:
        try:
            ipaddress.ip_address(server)
        except ValueError as exc:
            raise typer.BadParameter(f"{server!r} is no address", param_hint="--cluster-dns") from exc
    return _Names(tuple(servers), domain.strip("."), resolv_conf)


def _agent_settings(
    node_name: str,
    dirs: tuple[Path, Path, Path],
    log_max_size: str,
    log_max_files: int,
    heartbeat_seconds: int,
    level: LevelVersion,
    cni: "CniSettings",
    names: _Names,
) -> "AgentSettings":
    from controller.agent.agent import AgentSettings

    try:
        log_max_bytes = quantity.whole(log_max_size)
    except ValueError as exc:
        raise typer.BadParameter(str(exc), param_hint="--log-max-size") from exc
    state_dir, log_dir, netns_dir = dirs
    return AgentSettings(
        pod_security=level,
        node_name=node_name or default_node_name(),
        state_dir=state_dir.absolute(),
        log_dir=log_dir,
        netns_dir=netns_dir.absolute(),
        cni=cni,
        cluster_dns=names.servers,
        cluster_domain=names.domain,
        resolv_conf=str(names.resolv_conf),
        log_max_bytes=log_max_bytes,
        log_max_files=log_max_files,
        heartbeat_seconds=heartbeat_seconds,
    )


def _agent_half(settings: "AgentSettings", address: str, kubeconfig: str | None, health: Health) -> Half:
    health.ready["agent"] = lambda: "it is starting"

    async def half(stop: asyncio.Event) -> None:
        from controller.agent.agent import Agent, AgentError, sole_agent
        from controller.kube.connection import Connection, NoConnection
        from controller.runtime.containerd.runtime import ContainerdRuntime

        try:
            connection = await Connection.load(kubeconfig)
            with sole_agent(settings.state_dir):
                runtime = ContainerdRuntime(address)
                try:
                    await _refuse_what_is_too_old(runtime)
                    agent = Agent(settings, runtime, connection, runtime_name="containerd")
                    agent.tell(health)
                    await agent.run(stop)
                finally:
                    await runtime.close()
        except (AgentError, NoConnection, RuntimeFailure) as exc:
            raise CommandError(str(exc)) from exc

    return half


async def _refuse_what_is_too_old(runtime: Runtime) -> None:
    """A runtime that does not answer yet is waited for; one that never will do is refused at once."""
    with contextlib.suppress(Unavailable):
        await runtime.info()


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
