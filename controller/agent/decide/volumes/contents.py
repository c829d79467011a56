"""What is to be in the volumes that are made from values: configMap, secret, downwardAPI and projected. Pure."""

from controller.agent.decide.given import Given, Unresolved
from controller.agent.decide.observation import Missing
from controller.agent.decide.payload import named, payload, token_ref
from controller.agent.decide.volumes.wanted import Files, mounted
from controller.agent.sources.port import Ref
from controller.agent.tokens.port import TokenRef
from controller.api.instance import ContainerInstance
from controller.runtime.port import InvalidConfig


def references(instance: ContainerInstance) -> frozenset[Ref]:
    """The ConfigMaps and Secrets that an instance's volumes name; not those that no container mounts."""
    sources = [volume.values for volume in mounted(instance.spec) if volume.values is not None]
    return frozenset[Ref]().union(*(named(source, instance.metadata.namespace) for source in sources))


def tokens(instance: ContainerInstance) -> frozenset[TokenRef]:
    """The tokens that an instance's volumes hold; not those that no container mounts."""
    return frozenset(token_ref(token, instance) for volume in mounted(instance.spec) for token in volume.tokens)


def contents(given: Given) -> dict[str, Files | Missing]:
    """The files of each such volume by its name, or what is missing of it."""
    found: dict[str, Files | Missing] = {}
    for volume in mounted(given.instance.spec):
        if volume.values is not None:
            try:
                found[volume.name] = Files(payload(volume.values, given))
            except Unresolved as exc:
                found[volume.name] = Missing(str(exc), exc.pending)
            except InvalidConfig as exc:
                found[volume.name] = Missing(str(exc))
    return found
