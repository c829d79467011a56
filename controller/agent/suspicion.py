"""What makes an instance doubt its images, and what it does about one that is damaged."""

from collections.abc import Callable, Mapping

from controller.agent.decide import damage
from controller.agent.decide.damage import Found
from controller.agent.decide.observation import Desired, ImageView, Observation
from controller.agent.decide.plan.bringup import pull_policy
from controller.agent.images.images import Images
from controller.agent.images.waiter import Waiter
from controller.agent.observe import Notes, pull_claim, pull_secrets
from controller.agent.report.events import EventRecorder
from controller.agent.sources.port import Sources
from controller.api import labels
from controller.api.reasons import Reason
from controller.api.spec import Container
from controller.runtime.port import ImageState


class Suspicions:
    """Those of one instance."""

    def __init__(self, images: Images, events: EventRecorder, notes: Notes, sources: Sources, wake: Callable[[], None]) -> None:
        self._images, self._events, self._notes, self._sources, self._wake = images, events, notes, sources, wake

    def failed(self, desired: Desired, name: str, images: Mapping[str, ImageView], failure: Exception) -> None:
        """A container could not be made or started."""
        container = next((c for c in desired.instance.spec.all_containers if c.name == name), None)
        if container is not None and damage.suspicious(failure):
            self._doubt(desired, container, _present(images, container))

    def follow(self, desired: Desired, seen: Observation) -> None:
        """Look at containers that have ended, at each once."""
        by_name = {container.name: container for container in desired.instance.spec.all_containers}
        for state in seen.containers:
            container = by_name.get(state.labels.get(labels.CONTAINER, ""))
            if container is None or state.id in self._notes.judged or not damage.suspicious_end(state):
                continue
            self._notes.judged[state.id] = True
            image = _present(seen.images, container)
            if image is not None and image.digest == state.image_digest:
                self._doubt(desired, container, image)

    def _doubt(self, desired: Desired, container: Container, image: ImageState | None) -> None:
        if image is None or container.name in self._notes.inspecting:
            return

        def done(found: Found | None) -> None:
            self._notes.inspecting.discard(container.name)
            if found is not None:
                self._damaged(desired, container, found)
            self._wake()

        self._notes.inspecting.add(container.name)
        if not self._images.suspect(image, done):
            self._notes.inspecting.discard(container.name)

    def _damaged(self, desired: Desired, container: Container, found: Found) -> None:
        """What failed with it says nothing of the next try."""
        policy = pull_policy(container.image_pull_policy, container.image)
        self._notes.troubles.pop(container.name, None)
        self._events.record(desired.instance, Reason.IMAGE_DAMAGED, damage.told(found, policy), warning=True)
        instance = desired.instance
        claim = pull_claim(instance, {ref: self._sources.view(ref) for ref in pull_secrets(instance)})
        if found.usable and policy != "Never":
            self._images.pull(container.image, Waiter(lambda _image, _failure: None, claim))


def _present(images: Mapping[str, ImageView], container: Container) -> ImageState | None:
    return images[container.image].present if container.image in images else None
