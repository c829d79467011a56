"""What an instance bases its right to images on: the Secrets of its imagePullSecrets. Pure.

A ServiceAccount's imagePullSecrets are not looked at: Kubernetes' admission writes them into Pods, and an instance is none.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from controller.agent.decide.credentials.dockerconfig import of_secret
from controller.agent.decide.credentials.keyring import Candidate, SecretId, Source, lookup
from controller.agent.sources.port import Absent, Found, Kind, Ref, Unread, View


def refs(namespace: str, names: Iterable[str]) -> tuple[Ref, ...]:
    """The Secrets that are named, each once, in their order."""
    return tuple(Ref(Kind.SECRET, namespace, name) for name in dict.fromkeys(names) if name)


@dataclass(frozen=True, slots=True)
class Claim:
    """The Secrets of one who wants images. Nothing of their content is in any text that is made of it."""

    sources: tuple[Source, ...] = ()
    """Those that could be read, in the order in which they are named."""
    unread: tuple[SecretId, ...] = ()
    """Those that nobody can tell of now."""
    pending: str = ""
    """What is just being read; everything else waits for it."""
    problems: tuple[str, ...] = ()
    """What keeps Secrets, or parts of them, from being used, for people."""
    missing: tuple[str, ...] = ()
    """Names of the Secrets that are not there, or cannot be read."""
    namespace: str = ""
    """Whose it is."""

    def candidates(self, repository: str) -> tuple[Candidate, ...]:
        """Its own credentials for an image, by registry and path, the first to be tried first."""
        return lookup(self.sources, repository)


NOTHING: Final = Claim()
"""No Secret is named."""


def claim(namespace: str, names: Iterable[str], objects: Mapping[Ref, View]) -> Claim:
    """The claim by Secrets of a namespace, as they are known now."""
    sources: list[Source] = []
    unread: list[SecretId] = []
    problems: list[str] = []
    missing: list[str] = []
    pending = ""
    for ref in refs(namespace, names):
        match objects.get(ref, Unread()):
            case Found() as found:
                read = of_secret(found.data)
                sources.append(Source(read.entries, f"Secret {ref.name}", SecretId(namespace, ref.name, found.uid)))
                problems += [f'secret "{ref.name}": {problem}' for problem in read.problems]
            case Absent():
                missing.append(ref.name)
                problems.append(f'secret "{ref.name}" not found')
            case Unread(why=why):
                unread.append(SecretId(namespace, ref.name))
                if why:
                    missing.append(ref.name)
                    problems.append(why)
                else:
                    pending = pending or f'secret "{ref.name}" is being read'
    return Claim(tuple(sources), tuple(unread), pending, tuple(problems), tuple(missing), namespace)
