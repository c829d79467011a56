"""Which images an instance names. Pure."""

from controller.agent.decide.volumes.wanted import mounted
from controller.api.spec import InstanceSpec


def image_references(spec: InstanceSpec) -> frozenset[str]:
    """References of all images that an instance needs, as written: of containers, and of volumes that are mounted."""
    volumes = {volume.image.reference for volume in mounted(spec) if volume.image is not None}
    return frozenset(container.image for container in spec.all_containers) | volumes
