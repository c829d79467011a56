"""One try of what a probe or a lifecycle handler asks for, whatever kind it is."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from controller.agent.decide.environment import expand, written_environment
from controller.agent.decide.observation import NodeFacts
from controller.agent.probes import grpc, http
from controller.agent.probes.outcome import NoOutcome, Outcome, told
from controller.api.instance import ContainerInstance
from controller.api.probes import ExecAction, HTTPGetAction, LifecycleHandler, Probe, TCPSocketAction
from controller.api.spec import Container
from controller.network.dial import Dialer
from controller.runtime.port import ExecConfig, ExecProcess, Runtime, RuntimeFailure

MOST_OUTPUT: Final = 10 << 10
"""Bytes of a command's output that are kept."""

_EXITED: Final = "the command ended with an exit code other than 0"


@dataclass(frozen=True, slots=True)
class Subject:
    """What is probed: one container, and where its instance is to be reached."""

    container: Container
    container_id: str
    address: str
    namespace: str = ""
    """Path of the network namespace that the address is one in; empty: the node's own."""


def subject(
    instance: ContainerInstance, container: Container, container_id: str, node: NodeFacts, addresses: Sequence[str]
) -> Subject:
    """Where a container is asked, as the kubelet has it: at the address of its instance, or of the node whose network it is on.

    With `network: None` there is no address that leads in from the node, and it is asked at the loopback inside.
    """
    if instance.spec.host_network:
        return Subject(container, container_id, node.address or "127.0.0.1")
    if instance.spec.network is None and addresses:
        return Subject(container, container_id, addresses[0])
    return Subject(container, container_id, "127.0.0.1", f"{node.netns_dir}/{instance.metadata.uid}")


@dataclass(frozen=True, slots=True)
class Handlers:
    """What is needed to make one."""

    runtime: Runtime
    dialer: Dialer

    async def probe(self, probe: Probe, on: Subject) -> Outcome:
        """Probe once, within the probe's timeout.

        Raises:
            NoOutcome: when it could not be made.
        """
        try:
            async with asyncio.timeout(probe.timeout_seconds):
                outcome = await self._probe(probe, on)
        except TimeoutError:
            return Outcome(ok=False, said=f"no answer within {probe.timeout_seconds} s")
        return replace(outcome, said=told(outcome.said))

    async def _probe(self, probe: Probe, on: Subject) -> Outcome:
        if probe.exec is not None:
            return await self._exec(probe.exec, on)
        if probe.http_get is not None:
            return await http.probe(self.dialer, _request(probe.http_get, on, "probe"))
        if probe.tcp_socket is not None:
            return await self._tcp(probe.tcp_socket, on)
        if probe.grpc is not None:
            return await grpc.probe(self.dialer, on.address, probe.grpc.port, probe.grpc.service, on.namespace)
        raise NoOutcome("it asks for nothing")

    async def hook(self, handler: LifecycleHandler, on: Subject) -> Outcome:
        """Do what a lifecycle handler asks for. Any answer by HTTP is success, as in Kubernetes.

        A preStop handler has the grace period, which its caller sets as the deadline; a postStart handler may take as long as
        its container lives, as in Kubernetes.

        Raises:
            NoOutcome: when it could not be done.
        """
        if handler.exec is not None:
            outcome = await self._exec(handler.exec, on)
            # Its output may hold what not everybody who reads Events may see; the kubelet keeps it back as well.
            return outcome if outcome.ok else Outcome(ok=False, said=_EXITED)
        if handler.http_get is not None:
            request = _request(handler.http_get, on, "lifecycle")
            try:
                await http.ask(self.dialer, request, request.url)
            except (OSError, http.HttpFailure, ValueError) as exc:
                return Outcome(ok=False, said=told(f"GET {request.url}: {str(exc) or type(exc).__name__}"))
        if handler.sleep is not None:
            await asyncio.sleep(handler.sleep.seconds)
        return Outcome(ok=True)

    async def _exec(self, action: ExecAction, on: Subject) -> Outcome:
        """Exit code 0 is success. References to variables that its spec writes out are replaced."""
        own = written_environment(on.container)
        try:
            process = await self.runtime.exec(on.container_id, ExecConfig(tuple(expand(word, own) for word in action.command)))
            async with process:
                output = asyncio.create_task(_output(process))
                try:
                    code = await process.wait()
                    await asyncio.wait({output}, timeout=1)
                finally:
                    output.cancel()
                said = "" if output.cancelled() or not output.done() else output.result()
        except RuntimeFailure as exc:
            raise NoOutcome(str(exc)) from exc
        if code == 0:
            return Outcome(ok=True)
        return Outcome(ok=False, said=said.strip() or f"the command ended with exit code {code}")

    async def _tcp(self, action: TCPSocketAction, on: Subject) -> Outcome:
        host, namespace = (action.host, "") if action.host else (on.address, on.namespace)
        port = port_number(action.port, on.container)
        try:
            (await self.dialer.connect(host, port, namespace)).close()
        except OSError as exc:
            return Outcome(ok=False, said=told(f"dial tcp {host}:{port}: {exc.strerror or exc}"))
        return Outcome(ok=True)


def port_number(port: int | str, container: Container) -> int:
    """The number of a port, looked up if it is a name.

    Raises:
        NoOutcome: when the container has no port of that name.
    """
    if isinstance(port, int):
        return port
    for candidate in container.ports:
        if candidate.name == port:
            return candidate.container_port
    raise NoOutcome(f"the container has no port with the name {port!r}: add it to ports, or write the number")


def _request(action: HTTPGetAction, on: Subject, agent: str) -> http.Request:
    host, namespace = (action.host, "") if action.host else (on.address, on.namespace)
    host = f"[{host}]" if ":" in host and not host.startswith("[") else host
    path = action.path if action.path.startswith("/") else f"/{action.path}"
    url = f"{action.scheme.lower()}://{host}:{port_number(action.port, on.container)}{path}"
    return http.Request(url, tuple((h.name, h.value) for h in action.http_headers), namespace, agent)


async def _output(process: ExecProcess) -> str:
    """The beginning of what it writes; the rest is read and dropped, so that it does not wait for a reader."""
    kept = bytearray()
    async for _, data in process.output():
        kept += data[: MOST_OUTPUT - len(kept)]
    return kept.decode(errors="replace")
