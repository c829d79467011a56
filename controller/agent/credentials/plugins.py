"""Credential provider plugins: programs that are asked for an image's credentials, by the kubelet's protocol.

A plugin is run as it is configured, by no shell. It reads the question from its standard input and writes the answer to its
standard output, so that no credential is ever in an argument or in a file. The answer is kept in memory for as long as it says.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final

from controller.agent import metrics
from controller.agent.decide.credentials import providers
from controller.agent.decide.credentials.keyring import Source
from controller.agent.decide.credentials.providers import CredentialProvider
from controller.program import Call, run
from controller.runtime.port import Credential

log = logging.getLogger(__name__)

SECONDS: Final = 60.0
"""Deadline of a call, as the kubelet's."""
_MOST_WORDS: Final = 300
"""Characters of what a failed plugin has written to its standard error that are logged."""


class PluginFailure(Exception):  # noqa: N818 - said to people as it is
    """A plugin gave nothing that can be used; `str()` of it says why, without anything of what it wrote."""


def load(config: Path, folder: Path) -> "tuple[Plugin, ...]":
    """The plugins that are configured.

    Args:
        config: a `CredentialProviderConfig`, or a folder of such files (`*.yaml`, `*.yml`, `*.json`), which are read by name.
        folder: where their programs are.

    Raises:
        ValueError: when they cannot be used, in words that name the file.
    """
    try:
        files = sorted(p for p in config.iterdir() if p.suffix in {".yaml", ".yml", ".json"}) if config.is_dir() else [config]
    except OSError as exc:
        raise ValueError(f"{config} cannot be read: {exc.strerror}") from exc
    if not files:
        raise ValueError(f"there is no *.yaml, *.yml or *.json in {config}")
    found: dict[str, Plugin] = {}
    for file in files:
        try:
            configured = providers.parse_config(file.read_text())
        except OSError as exc:
            raise ValueError(f"{file} cannot be read: {exc.strerror}") from exc
        except ValueError as exc:
            raise ValueError(f"{file}: {exc}") from exc
        for provider in configured:
            if provider.name in found:
                raise ValueError(f"{file}: provider {provider.name!r} is in another file of {config}, too")
            program = folder / provider.name
            if not (program.is_file() and os.access(program, os.X_OK)):
                raise ValueError(f"{file}: provider {provider.name!r}: there is no program {program}")
            found[provider.name] = Plugin(provider, program)
    return tuple(found.values())


@dataclass(frozen=True, slots=True)
class _Kept:
    """An answer, and until when it holds."""

    entries: Mapping[str, Credential]
    until: float


class Plugin:
    """One plugin."""

    def __init__(self, provider: CredentialProvider, program: Path, clock: Callable[[], float] = monotonic) -> None:
        self.name = provider.name
        self._provider, self._program, self._clock = provider, program, clock
        self._kept: dict[str, _Kept] = {}
        self._asked: dict[str, asyncio.Task[Mapping[str, Credential]]] = {}

    async def source(self, repository: str) -> Source | None:
        """Its credentials for an image, asked for once by all who need them now; None when it is not to be asked.

        Raises:
            PluginFailure: when it gave none.
        """
        if not self._provider.asked(repository):
            return None
        now = self._clock()
        self._kept = {key: kept for key, kept in self._kept.items() if now < kept.until}
        kept = next((self._kept[key] for key in providers.cache_keys(repository) if key in self._kept), None)
        entries = kept.entries if kept is not None else await self._ask_once(repository)
        return Source(entries, f"credential provider {self.name}")

    def forget(self, repository: str) -> None:
        """A registry did not take them: they are asked for anew the next time, however long they were to hold."""
        for key in providers.cache_keys(repository):
            self._kept.pop(key, None)

    async def close(self) -> None:
        """Give up what is under way."""
        tasks = tuple(self._asked.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask_once(self, repository: str) -> Mapping[str, Credential]:
        task = self._asked.get(repository)
        if task is None:
            task = self._asked[repository] = asyncio.create_task(self._ask(repository), name=f"ask {self.name}")
            task.add_done_callback(lambda ended: self._ended(repository, ended))
        return await asyncio.shield(task)

    def _ended(self, repository: str, task: "asyncio.Task[Mapping[str, Credential]]") -> None:
        """Whoever asked may have gone: then nobody else takes note of a failure."""
        self._asked.pop(repository, None)
        if not task.cancelled():
            task.exception()

    async def _ask(self, repository: str) -> Mapping[str, Credential]:
        provider = self._provider
        with metrics.CREDENTIAL_PROVIDER_SECONDS.labels(self.name).time():
            try:
                written = await self._run(providers.request(provider.api_version, repository).encode())
                answer = providers.parse_response(written, provider.api_version, repository)
            except (OSError, ValueError, PluginFailure) as exc:
                metrics.CREDENTIAL_PROVIDER_FAILURES.labels(self.name).inc()
                told = exc.strerror if isinstance(exc, OSError) else str(exc)
                raise PluginFailure(f"credential provider {self.name}: {told}") from None
        holds = provider.default_cache_duration if answer.cache_seconds is None else answer.cache_seconds
        if holds:
            self._kept[answer.cache_key] = _Kept(answer.entries, self._clock() + holds)
        return answer.entries

    async def _run(self, question: bytes) -> bytes:
        """One call; what it wrote to its standard output."""
        environment = {**os.environ, **{variable.name: variable.value for variable in self._provider.env}}
        try:
            ended = await run(Call(self._program, environment, question, SECONDS, self._provider.args))
        except TimeoutError:
            raise PluginFailure(f"it has not ended within {SECONDS:g} s, and was killed") from None
        if ended.code != 0:
            last = ended.words.decode(errors="replace").strip()[-_MOST_WORDS:]
            log.warning("credential provider %s ended with exit code %s: %s", self.name, ended.code, last)
            raise PluginFailure(f"it ended with exit code {ended.code}; what it said is in the agent's log")
        return ended.answer


async def asked(plugins: Sequence[Plugin], repository: str) -> tuple[tuple[Source, ...], tuple[str, ...]]:
    """What all of them give for an image, in their order, and what went wrong: who fails keeps no other from being used."""
    found = await asyncio.gather(*(plugin.source(repository) for plugin in plugins), return_exceptions=True)
    sources: list[Source] = []
    problems: list[str] = []
    for one in found:
        if isinstance(one, PluginFailure):
            problems.append(str(one))
        elif isinstance(one, BaseException):
            raise one
        elif one is not None:
            sources.append(one)
    return tuple(sources), tuple(problems)
