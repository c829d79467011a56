"""What registries are shown: credentials that were typed, or those that the node has, in the agent's order."""

import sys
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Final, TypeVar

import typer

from controller.agent.credentials.credentials import Credentials
from controller.agent.credentials.nodewide import ConfigFile
from controller.agent.credentials.tried import REFUSALS, tried
from controller.agent.decide.credentials.claim import NOTHING
from controller.cli.registries import config_file, providers
from controller.runtime.port import Credential, CredentialsMissing, InvalidReference
from controller.runtime.reference import parse

T = TypeVar("T")

SOURCES: Final = "a command has them from --username and --password-stdin, or from the node's config.json and plugins"
"""What is added to the message of a registry that wants credentials, which speaks to those who write specs."""

Places = tuple[Path, Path | None, Path | None, Path | None]
"""Where the node's credentials are: state folder, config file, plugins' configuration, folder of their programs."""


class Login:
    """Credentials for the transfers of one command."""

    def __init__(self, node: Credentials, typed: Credential | None = None) -> None:
        self._node, self._typed = node, typed

    async def by_any(self, reference: str, attempt: Callable[[Credential | None], Awaitable[T]]) -> T:
        """What an attempt gives by the first credentials that the registry of an image takes.

        Raises:
            ImageFailure: of the registry; when it refuses, with what was tried.
        """
        try:
            if self._typed is not None:
                return await attempt(self._typed)
            return await self._by_the_nodes(reference, attempt)
        except CredentialsMissing as exc:
            raise CredentialsMissing(f"{exc}; {SOURCES}") from exc

    async def _by_the_nodes(self, reference: str, attempt: Callable[[Credential | None], Awaitable[T]]) -> T:
        repository = parse(reference).name
        found = await self._node.find(repository, NOTHING)
        try:
            result, _ = await tried(found, attempt)
        except REFUSALS:
            self._node.refused(repository)
            raise
        return result

    async def close(self) -> None:
        """Give up what is under way."""
        await self._node.close()


def typed(username: str, references: Iterable[str], *, password_stdin: bool) -> Credential | None:
    """What was typed, the password read from standard input; None when nothing was.

    Raises:
        typer.BadParameter: when it cannot be meant so.
    """
    if bool(username) != password_stdin:
        raise typer.BadParameter("one needs the other", param_hint="--username and --password-stdin")
    if not username:
        return None
    registries = sorted({domain for reference in references if (domain := _registry(reference))})
    if len(registries) > 1:
        raise typer.BadParameter(f"is for one registry, and not for {' and '.join(registries)}", param_hint="--username")
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise typer.BadParameter("standard input is empty", param_hint="--password-stdin")
    return Credential(username, password)


def _registry(text: str) -> str:
    """The registry of a reference; none of what is none, which is told when its turn comes."""
    try:
        return parse(text).domain
    except InvalidReference:
        return ""


def open_login(places: Places, username: str, references: Iterable[str], *, password_stdin: bool) -> Login:
    """Credentials by a command's options. Raises as `typed` and `providers`."""
    state_dir, config, plugins_config, plugins_dir = places
    node = Credentials(ConfigFile(config_file(config, state_dir)), providers(plugins_config, plugins_dir))
    return Login(node, typed(username, references, password_stdin=password_stdin))
