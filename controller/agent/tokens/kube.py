"""The tokens from the API server itself (authentication/v1 `TokenRequest`): asked for, kept in memory, replaced in time.

Kubernetes binds a token to a Pod, a Secret or a Node, and to nothing else; an instance is none of these. So it is bound to the
Node where there is one of that name, and ends with it. Where there is none, it is bound to nothing, and good for a day at most.
"""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from controller.agent.named import Named
from controller.agent.tokens import rotation
from controller.agent.tokens.port import NoToken, Token, TokenRef, TokenView
from controller.kube.errors import ApiDenied, ApiFailure, ApiForbidden, ApiNotFound, ApiUnavailable
from controller.kube.pauses import Forever
from controller.kube.resources import SERVICE_ACCOUNTS, Resource
from controller.pauses import growing

log = logging.getLogger(__name__)

UNBOUND_SECONDS: Final = 24 * 3600
"""Longest life of a token that nothing ends before; the chart's policy has the same number."""

LOOK_SECONDS: Final = 60.0
"""How often the clock is looked at while a token is good: it may have been set, or have gone on while the node slept."""

_FIRST_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 60.0
"""Pauses after refusals, since nobody tells when what is in the way has gone."""

_AT_A_TIME: Final = 4
"""Requests under way, so that an agent that begins does not ask for all of its node's tokens at once."""

_FRESH, _LATE, _MISSING = "fresh", "late", "missing"


class Client(Protocol):
    """What is asked of the API server."""

    async def create(
        self, resource: Resource, body: dict[str, Any], namespace: str = "", name: str = "", subresource: str = ""
    ) -> dict[str, Any]:
        """Create an object, or a subresource of that name."""


@dataclass(frozen=True, slots=True)
class _Given:
    """A token that was given out, and the time it has."""

    token: Token
    at: float
    life: float


@dataclass(slots=True)
class _Entry:
    """One token that is followed."""

    task: asyncio.Task[None] | None = None
    view: TokenView = field(default_factory=NoToken)
    ends_at: float = 0.0
    failing: bool = False
    """The last request failed."""

    @property
    def state(self) -> str:
        """As the gauge has it."""
        if isinstance(self.view, NoToken):
            return _MISSING
        return _LATE if self.failing else _FRESH


class KubeTokens:
    """The port, in front of the API server."""

    def __init__(self, client: Client, node: str, changed: Callable[[str], None]) -> None:
        """Prepare.

        Args:
            client: for the requests.
            node: the name that a Node of this machine would have.
            changed: called with the uid of the instance whose token has changed.
        """
        self._client, self._node, self._changed = client, node, changed
        self._entries: dict[TokenRef, _Entry] = {}
        self._named: Named[TokenRef] = Named()
        self._ended: set[asyncio.Task[None]] = set()
        self._turns = asyncio.Semaphore(_AT_A_TIME)

    def follow(self, uid: str, refs: frozenset[TokenRef]) -> None:
        """Ask for what the instance mounts now, and forget what it does not mount any more."""
        came, went = self._named.change(uid, refs)
        for ref in came:
            entry = self._entries[ref] = _Entry()
            entry.task = asyncio.create_task(self._keep(ref, entry), name=f"token {ref.namespace}/{ref.account} of {uid}")
        for ref in went:
            self._end(self._entries.pop(ref))

    def view(self, ref: TokenRef) -> TokenView:
        """What there is of it."""
        entry = self._entries.get(ref)
        return entry.view if entry is not None else NoToken()

    def counts(self) -> dict[tuple[str, ...], float]:
        """How many there are, by their state."""
        found = Counter(entry.state for entry in tuple(self._entries.values()))
        return {(state,): float(found[state]) for state in (_FRESH, _LATE, _MISSING)}

    async def close(self) -> None:
        """Forget all. Files that hold a token stay; the next agent asks for new ones."""
        for entry in self._entries.values():
            self._end(entry)
        self._entries.clear()
        self._named.clear()
        await asyncio.gather(*self._ended, return_exceptions=True)

    # --- one token

    def _end(self, entry: _Entry) -> None:
        if entry.task is not None:
            entry.task.cancel()
            self._ended.add(entry.task)
            entry.task.add_done_callback(self._ended.discard)

    async def _keep(self, ref: TokenRef, entry: _Entry) -> None:
        """For ever: have a token, and a new one in time."""
        away, refused = iter(Forever()), growing(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        while True:
            try:
                async with self._turns:
                    given = await self._ask(ref)
            except ApiFailure as exc:
                self._failed(ref, entry, exc)
                await asyncio.sleep(next(away if isinstance(exc, ApiUnavailable) else refused))
                continue
            except Exception:
                log.exception("token of ServiceAccount %s/%s: asking anew", ref.namespace, ref.account)
                entry.failing = True
                await asyncio.sleep(next(refused))
                continue
            away, refused = iter(Forever()), growing(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
            entry.ends_at, entry.failing = given.at + given.life, False
            self._tell(ref, entry, given.token)
            await _until(rotation.due(given.at, given.life, random.random()))  # noqa: S311 - jitter

    async def _ask(self, ref: TokenRef) -> _Given:
        """A new token: bound to the Node, or else, when it may be that there is none, to nothing."""
        node = {"apiVersion": "v1", "kind": "Node", "name": self._node}
        try:
            return await self._request(ref, ref.seconds, {"boundObjectRef": node})
        except ApiNotFound:
            return await self._request(ref, min(ref.seconds, UNBOUND_SECONDS), {})

    async def _request(self, ref: TokenRef, seconds: int, bound: dict[str, Any]) -> _Given:
        spec = {"audiences": [ref.audience] if ref.audience else [], "expirationSeconds": seconds, **bound}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        at = time.time()
        answer = await self._client.create(SERVICE_ACCOUNTS, body, ref.namespace, ref.account, "token")
        try:
            token, life = answer["status"]["token"], float(answer["spec"]["expirationSeconds"])
        except (KeyError, TypeError, ValueError):
            token, life = "", 0.0
        if not isinstance(token, str) or not token or life <= 0:
            raise ApiUnavailable("the answer has no token: something else answers")
        return _Given(Token(token), at, life)

    def _failed(self, ref: TokenRef, entry: _Entry, exc: ApiFailure) -> None:
        """There is no new one; one that is still good stays."""
        why = _why(ref, exc)
        if isinstance(entry.view, Token) and not entry.failing:
            log.warning("instance %s: %s; the token that it has is good for %.0f s", ref.uid, why, entry.ends_at - time.time())
        entry.failing = True
        if isinstance(entry.view, NoToken) or time.time() >= entry.ends_at:
            self._tell(ref, entry, NoToken(why))

    def _tell(self, ref: TokenRef, entry: _Entry, view: TokenView) -> None:
        if view != entry.view:
            entry.view = view
            self._changed(ref.uid)


async def _until(at: float) -> None:
    """Wait until that time, by the clock of the node or by how long it is until then, whichever comes first."""
    now = asyncio.get_running_loop().time
    ends = now() + at - time.time()
    while (left := min(at - time.time(), ends - now())) > 0:  # noqa: ASYNC110 - nobody tells that a clock was set
        await asyncio.sleep(min(left, LOOK_SECONDS))


def _why(ref: TokenRef, exc: ApiFailure) -> str:
    """What is in the way, which field says so, and what to do."""
    account = f'ServiceAccount "{ref.account}" (serviceAccountName)'
    match exc:
        case ApiNotFound():
            return f'{account} does not exist in namespace "{ref.namespace}": create it, or name another one'
        case ApiDenied():
            return f"no token of {account} is given out: {str(exc).rpartition('denied request: ')[2]}"
        case ApiForbidden():
            how = "value agent.serviceAccountTokens.enabled of the chart, or a Role"
            return f"agents have no right to tokens of {account} here ({how})"
        case _:
            return f"no token of {account} is to be had: {exc}"
