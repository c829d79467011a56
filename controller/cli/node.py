"""The node half as commands start it: its options, written once, and what they make."""

import asyncio
import contextlib
import inspect
import ipaddress
import os
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from controller.agent.decide.credentials.access import Policy, Rule, patterns
from controller.api import quantity
from controller.api.amounts import CPU, MEMORY, Amounts
from controller.api.podsecurity.levels import LATEST, VERSION, Level, LevelVersion
from controller.api.security import SYSCTL_NAME
from controller.cli.errors import CommandError
from controller.cli.options import (
    DEFAULT_CLUSTER_DOMAIN,
    DEFAULT_CNI_BIN_DIR,
    DEFAULT_CNI_CONF_DIR,
    DEFAULT_CONTAINERD,
    DEFAULT_LOG_DIR,
    DEFAULT_MEMORY_DIR,
    DEFAULT_NETNS_DIR,
    DEFAULT_RESOLV_CONF,
    DEFAULT_STATE_DIR,
    AllowedUnsafeSysctls,
    ArchiveDirs,
    ClusterDns,
    ClusterDomain,
    CniBinDir,
    CniConfDir,
    CniGc,
    CniTimeoutSeconds,
    Containerd,
    DiskPressurePercent,
    HeartbeatSeconds,
    ImageCredentialProviderBinDir,
    ImageCredentialProviderConfig,
    ImageGcHighPercent,
    ImageGcLowPercent,
    ImageGcMinimumAge,
    ImageVerification,
    ImageVerificationAllowlist,
    Kubeconfig,
    LogDir,
    LogMaxFiles,
    LogMaxSize,
    MemoryDir,
    NetnsDir,
    NodeName,
    ParallelPulls,
    PidsLimit,
    PodSecurityEnforce,
    PodSecurityVersion,
    PullStallSeconds,
    RegistryConfig,
    ResolvConf,
    RuntimeHandler,
    StateDir,
    SystemReserved,
    default_node_name,
)
from controller.cli.registries import config_file, providers
from controller.runtime.port import Runtime, RuntimeFailure, Unavailable
from controller.telemetry.health import Health

if TYPE_CHECKING:
    from controller.agent.images.collector import RoomSettings
    from controller.agent.settings import AgentSettings
    from controller.network.attached import CniSettings
    from controller.runtime.containerd.handlers import Handler

Half = Callable[[asyncio.Event], Coroutine[Any, Any, None]]
"""One half of Moorage: runs until the event is set."""


def node_half(
    health: Health,
    kubeconfig: Kubeconfig = None,
    containerd: Containerd = DEFAULT_CONTAINERD,
    node_name: NodeName = "",
    state_dir: StateDir = DEFAULT_STATE_DIR,
    log_dir: LogDir = DEFAULT_LOG_DIR,
    netns_dir: NetnsDir = DEFAULT_NETNS_DIR,
    memory_dir: MemoryDir = DEFAULT_MEMORY_DIR,
    cni_conf_dir: CniConfDir = DEFAULT_CNI_CONF_DIR,
    cni_bin_dir: CniBinDir = DEFAULT_CNI_BIN_DIR,
    cni_timeout_seconds: CniTimeoutSeconds = 60,
    cni_gc: CniGc = False,
    cluster_dns: ClusterDns = [],  # noqa: B006 - as typer takes options that may be repeated
    cluster_domain: ClusterDomain = DEFAULT_CLUSTER_DOMAIN,
    resolv_conf: ResolvConf = DEFAULT_RESOLV_CONF,
    allowed_unsafe_sysctls: AllowedUnsafeSysctls = [],  # noqa: B006 - as typer takes options that may be repeated
    pids_limit: PidsLimit = 0,
    registry_config: RegistryConfig = None,
    archive_dirs: ArchiveDirs = [],  # noqa: B006 - as typer takes options that may be repeated
    image_credential_provider_config: ImageCredentialProviderConfig = None,
    image_credential_provider_bin_dir: ImageCredentialProviderBinDir = None,
    image_verification: ImageVerification = Policy.NEVER_VERIFY_PRELOADED_IMAGES,
    image_verification_allowlist: ImageVerificationAllowlist = [],  # noqa: B006 - as typer takes options that may be repeated
    runtime_handler: RuntimeHandler = [],  # noqa: B006 - as typer takes options that may be repeated
    system_reserved: SystemReserved = "",
    parallel_pulls: ParallelPulls = 3,
    pull_stall_seconds: PullStallSeconds = 60,
    image_gc_high_percent: ImageGcHighPercent = 85,
    image_gc_low_percent: ImageGcLowPercent = 80,
    image_gc_minimum_age: ImageGcMinimumAge = 120,
    disk_pressure_percent: DiskPressurePercent = 10,
    log_max_size: LogMaxSize = "10Mi",
    log_max_files: LogMaxFiles = 5,
    heartbeat_seconds: HeartbeatSeconds = 10,
    pod_security_enforce: PodSecurityEnforce = Level.BASELINE,
    pod_security_version: PodSecurityVersion = LATEST,
) -> Half:
    """The node half; all but `health` are the options of every command that runs one (`with_node_options`)."""
    from controller.agent.images.archives import FOLDER
    from controller.agent.settings import AgentSettings

    handlers = _handlers(runtime_handler)
    settings = AgentSettings(
        pod_security=_level(pod_security_enforce, pod_security_version),
        node_name=node_name or default_node_name(),
        state_dir=state_dir.absolute(),
        log_dir=log_dir.absolute(),
        netns_dir=netns_dir.absolute(),
        memory_dir=memory_dir.absolute(),
        cni=_cni(cni_conf_dir, cni_bin_dir, cni_timeout_seconds, containerd, collect=cni_gc),
        cluster_dns=tuple(map(_address, cluster_dns)),
        cluster_domain=cluster_domain.strip("."),
        resolv_conf=str(resolv_conf),
        allowed_unsafe_sysctls=tuple(map(_sysctl, allowed_unsafe_sysctls)),
        pids_limit=pids_limit,
        registry_config=config_file(registry_config, state_dir),
        archive_dirs=tuple(folder.absolute() for folder in archive_dirs or [state_dir / FOLDER]),
        credential_providers=providers(image_credential_provider_config, image_credential_provider_bin_dir),
        image_verification=_verification(image_verification, image_verification_allowlist),
        runtime_handlers=tuple(handlers),
        system_reserved=_reserved(system_reserved),
        parallel_pulls=parallel_pulls,
        image_room=_image_room(image_gc_high_percent, image_gc_low_percent, image_gc_minimum_age, disk_pressure_percent),
        log_max_bytes=_bytes(log_max_size),
        log_max_files=log_max_files,
        heartbeat_seconds=heartbeat_seconds,
    )
    runtime = partial(_runtime, containerd, handlers, state_dir.absolute(), float(pull_stall_seconds))
    return _half(settings, runtime, kubeconfig, health)


def with_node_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `node_half` before its own, which it gets as the keywords of its `**node`.

    The command line is read from a command's signature, so this is the one place where that is put together.
    """
    shared = tuple(inspect.signature(node_half).parameters.values())[1:]
    own = [p for p in inspect.signature(command).parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*shared, *own)]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


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


def _address(server: str) -> str:
    try:
        ipaddress.ip_address(server)
    except ValueError as exc:
        raise typer.BadParameter(f"{server!r} is no address", param_hint="--cluster-dns") from exc
    return server


def _sysctl(pattern: str) -> str:
    from controller.agent.decide.sysctls import namespaced

    hint = "--allowed-unsafe-sysctls"
    if not re.fullmatch(SYSCTL_NAME.removesuffix("$") + r"([./]?\*)?", pattern):
        raise typer.BadParameter(
            f"{pattern!r} is neither a kernel parameter nor the beginning of some with a final *", param_hint=hint
        )
    if not namespaced(pattern):
        raise typer.BadParameter(f"{pattern!r}: not known to be of a network or of IPC, but the whole node's", param_hint=hint)
    return pattern


def _reserved(listed: str) -> Amounts:
    hint = "--system-reserved"
    said: dict[str, str] = {}
    for entry in filter(None, listed.split(",")):
        name, _, amount = entry.partition("=")
        if name not in {CPU, MEMORY} or name in said:
            raise typer.BadParameter(f"{entry!r}: say cpu=AMOUNT and memory=AMOUNT, each once", param_hint=hint)
        said[name] = amount
    try:
        return Amounts(quantity.millis(said.get(CPU, "0")), quantity.whole(said.get(MEMORY, "0")))
    except ValueError as exc:
        raise typer.BadParameter(str(exc), param_hint=hint) from exc


def _bytes(size: str) -> int:
    try:
        return quantity.whole(size)
    except ValueError as exc:
        raise typer.BadParameter(str(exc), param_hint="--log-max-size") from exc


def _verification(policy: Policy, allowlist: Sequence[str]) -> Rule:
    hint = "--preloaded-images-verification-allowlist"
    if allowlist and policy is not Policy.NEVER_VERIFY_ALLOWLISTED_IMAGES:
        raise typer.BadParameter(f"has a meaning with {Policy.NEVER_VERIFY_ALLOWLISTED_IMAGES} alone", param_hint=hint)
    try:
        return Rule(policy, patterns(allowlist))
    except ValueError as exc:
        raise typer.BadParameter(str(exc), param_hint=hint) from exc


def _image_room(high: int, low: int, minimum_age: int, pressure: int) -> "RoomSettings":
    from controller.agent.decide.collect import Marks
    from controller.agent.images.collector import RoomSettings

    if low > high:
        raise typer.BadParameter("is more than --image-gc-high-percent", param_hint="--image-gc-low-percent")
    return RoomSettings(Marks(high, low, float(minimum_age)), pressure)


def _handlers(given: Sequence[str]) -> "Mapping[str, Handler]":
    """The node's runtime handlers by name, the default one first."""
    from controller.runtime.containerd.handlers import parse_handler, table

    try:
        return table(map(parse_handler, given))
    except ValueError as exc:
        raise typer.BadParameter(str(exc), param_hint="--runtime-handler") from exc


def _runtime(containerd: str, handlers: "Mapping[str, Handler]", state_dir: Path, pull_silence: float) -> Runtime:
    """The node's runtime; nothing is connected yet."""
    from controller.runtime.containerd.runtime import ContainerdRuntime

    return ContainerdRuntime(containerd, handlers=handlers, programs_dir=str(state_dir / "programs"), pull_silence=pull_silence)


def _half(settings: "AgentSettings", make: Callable[[], Runtime], kubeconfig: str | None, health: Health) -> Half:
    health.ready["agent"] = lambda: "it is starting"

    async def half(stop: asyncio.Event) -> None:
        from controller.agent.agent import Agent
        from controller.agent.lock import AgentError, sole_agent
        from controller.kube.connection import Connection, NoConnection

        try:
            connection = await Connection.load(kubeconfig)
            with sole_agent(settings.state_dir):
                runtime = make()
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
