"""Executing a network configuration: the chains of plugin calls for one attachment (CNI SPEC 1.1, section 3)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from controller.network.cni import config
from controller.network.cni.config import Network
from controller.network.cni.invoke import PluginFailure, Plugins, Target, is_gone
from controller.network.cni.result import Garbage, parse_result

PARALLEL: Final = 4
"""How many attachments are worked on at the same time; the kernel and host-local's lock let only one go on at a time anyhow."""

_WITH_RESULT: Final = "0.4.0"
"""First version with CHECK, and with the result of ADD given to DEL."""
_WITH_STATUS: Final = "1.1.0"
"""First version with STATUS and GC."""


class Execution:
    """Runs chains of plugins. GC runs alone, as the specification wants; everything else side by side."""

    def __init__(self, plugins: Plugins) -> None:
        self._plugins = plugins
        self._turns = asyncio.Semaphore(PARALLEL)
        self._alone = asyncio.Lock()

    async def add(
        self,
        network: Network,
        target: Target,
        arguments: Mapping[str, Any],
        so_far: Callable[[Mapping[str, Any]], Awaitable[None]],
    ) -> Mapping[str, Any]:
        """Attach; the result of the last plugin.

        Args:
            network: the configuration.
            target: what is attached.
            arguments: capability arguments.
            so_far: told the result of each plugin but the last. When a later one fails, it is all that there is, and some
                plugins (firewall) remove nothing without.

        Raises:
            PluginFailure: of the first plugin that failed. `delete` has to follow.
        """
        result: Mapping[str, Any] | None = None
        async with self._turns:
            for plugin in network.plugins:
                if result is not None:
                    await so_far(result)
                given = config.request(network, plugin, arguments=arguments, previous=result)
                answer = await self._plugins.run(plugin["type"], "ADD", target, given)
                try:
                    result = parse_result(answer)
                except Garbage as exc:
                    raise PluginFailure(f"CNI plugin {plugin['type']} succeeded at ADD, but {exc}") from exc
        if result is None:
            raise AssertionError("a network has at least one plugin")
        return result

    async def delete(
        self,
        network: Network,
        target: Target,
        arguments: Mapping[str, Any],
        result: Mapping[str, Any] | None,
        *,
        added: bool,
    ) -> None:
        """Detach, in the reverse order. What is gone already is success; `added`: ADD has ended with success.

        Raises:
            PluginFailure: of the first plugin that failed; those before it in the list were not asked.
        """
        previous = result if network.at_least(_WITH_RESULT) else None
        async with self._turns:
            for plugin in reversed(network.plugins):
                given = config.request(network, plugin, arguments=arguments, previous=previous)
                try:
                    await self._plugins.run(plugin["type"], "DEL", target, given)
                except PluginFailure as exc:
                    if not is_gone(exc, added=added):
                        raise

    async def check(self, network: Network, target: Target, arguments: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        """See whether an attachment is as it should be; not asked where the configuration or its version does not allow it.

        Raises:
            PluginFailure: of the first plugin that finds something amiss.
        """
        if network.disable_check or not network.at_least(_WITH_RESULT):
            return
        async with self._turns:
            for plugin in network.plugins:
                given = config.request(network, plugin, arguments=arguments, previous=result)
                await self._plugins.run(plugin["type"], "CHECK", target, given)

    async def status(self, network: Network) -> str:
        """Why the network can attach nothing now, by its plugins' own words; empty when none says so."""
        if not network.at_least(_WITH_STATUS):
            return ""
        for plugin in network.plugins:
            try:
                await self._plugins.run(plugin["type"], "STATUS", None, config.request(network, plugin))
            except PluginFailure as exc:
                return str(exc)
        return ""

    async def collect(self, network: Network, valid: Iterable[tuple[str, str]]) -> list[str]:
        """Let the plugins remove what belongs to no attachment of those that exist; what went wrong, in words."""
        if network.disable_gc or not network.at_least(_WITH_STATUS):
            return []
        failures = []
        async with self._all_turns():
            for plugin in network.plugins:
                given = config.request(network, plugin, valid=valid)
                try:
                    await self._plugins.run(plugin["type"], "GC", None, given)
                except PluginFailure as exc:
                    failures.append(str(exc))
        return failures

    @asynccontextmanager
    async def _all_turns(self) -> AsyncIterator[None]:
        taken = 0
        async with self._alone:
            try:
                for _ in range(PARALLEL):
                    await self._turns.acquire()
                    taken += 1
                yield
            finally:
                for _ in range(taken):
                    self._turns.release()
