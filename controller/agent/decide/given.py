"""What the values in a container are made from, besides its own spec: one frozen value. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.agent.decide.observation import NodeFacts
from controller.agent.sources.port import Absent, Found, Ref, Unread, View
from controller.agent.tokens.port import NoToken, Token, TokenRef, TokenView
from controller.api.instance import ContainerInstance


class Unresolved(Exception):  # noqa: N818 - said to people as it is
    """A value is not to be had now; `str()` of it says why, in Kubernetes' words."""

    def __init__(self, message: str, *, pending: bool = False) -> None:
        """`pending`: it is just being read, and nothing is wrong yet."""
        super().__init__(message)
        self.pending = pending


@dataclass(frozen=True, slots=True)
class Given:
    """An instance, its node, and what is known of both at one moment."""

    instance: ContainerInstance
    node: NodeFacts
    own_addresses: tuple[str, ...] = ()
    """Of the instance, on a network of its own."""
    objects: Mapping[Ref, View] = field(default_factory=dict)
    """The ConfigMaps and Secrets that it names."""
    tokens: Mapping[TokenRef, TokenView] = field(default_factory=dict)
    """The tokens that it mounts."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """What the instance is reached at: its own addresses, or the node's on the node's network."""
        if self.instance.spec.host_network:
            return tuple(filter(None, (self.node.address,)))
        return self.own_addresses

    def object(self, ref: Ref, *, optional: bool | None) -> Found | None:
        """An object; None for one that may be absent, and is.

        Raises:
            Unresolved: when it is not there, or not known.
        """
        match self.objects.get(ref, Unread()):
            case Found() as found:
                return found
            case Absent() if optional:
                return None
            case Absent():
                raise Unresolved(f'{ref.kind} "{ref.name}" not found')
            case Unread(why=why):
                raise Unresolved(why or f'{ref.kind} "{ref.name}" is being read', pending=not why)

    def token(self, ref: TokenRef) -> Token:
        """A token.

        Raises:
            Unresolved: when there is none.
        """
        match self.tokens.get(ref, NoToken()):
            case Token() as token:
                return token
            case NoToken(why=why):
                raise Unresolved(why or f'a token of ServiceAccount "{ref.account}" is asked for', pending=not why)
