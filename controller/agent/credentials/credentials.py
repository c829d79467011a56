"""All credentials that there are for an image, in the order in which they are tried: an instance's own, then the node's."""

from collections.abc import Sequence
from dataclasses import dataclass

from controller.agent.credentials import plugins
from controller.agent.credentials.nodewide import ConfigFile
from controller.agent.credentials.plugins import Plugin
from controller.agent.decide.credentials.claim import Claim
from controller.agent.decide.credentials.keyring import Candidate, lookup


@dataclass(frozen=True, slots=True)
class Found:
    """What there is for an image."""

    candidates: tuple[Candidate, ...] = ()
    problems: tuple[str, ...] = ()
    """What kept more from being found, for people."""


class Credentials:
    """The credentials of one node."""

    def __init__(self, config: ConfigFile | None = None, providers: Sequence[Plugin] = ()) -> None:
        self._config, self._plugins = config, tuple(providers)

    async def find(self, repository: str, claim: Claim) -> Found:
        """Those for an image: of its Secrets, the node's file, and the plugins, as a kubelet orders them."""
        candidates = [*claim.candidates(repository)]
        problems = [*claim.problems]
        if self._config is not None:
            candidates += lookup((self._config.source(),), repository)
            problems += self._config.problems
        sources, failed = await plugins.asked(self._plugins, repository)
        candidates += lookup(sources, repository)
        return Found(tuple(candidates), (*problems, *failed))

    def refused(self, repository: str) -> None:
        """No credentials were taken: those that are kept for a while are got anew the next time."""
        for plugin in self._plugins:
            plugin.forget(repository)

    async def close(self) -> None:
        """Give up what is under way."""
        for plugin in self._plugins:
            await plugin.close()
