"""Having an image pulled for a container; how it ends is told and noted, and is looked at then."""

from collections.abc import Callable

from controller.agent.acting.hands import Hands
from controller.agent.decide.actions import PullImage
from controller.agent.decide.observation import Desired, Pull
from controller.agent.images.waiter import Waiter
from controller.agent.observe import Notes, pull_claim, pull_secrets
from controller.api.reasons import Reason
from controller.runtime.port import ImageState


class PullActions:
    """Asks for the images of one instance."""

    def __init__(self, hands: Hands, notes: Notes, wake: Callable[[], None]) -> None:
        self._hands, self._notes, self._wake = hands, notes, wake

    def carry_out(self, desired: Desired, action: PullImage) -> None:
        """Begin a pull, or join the one that is under way; does not wait for it."""
        hands, instance = self._hands, desired.instance

        def done(image: ImageState | None, failed: Pull | None) -> None:
            self._notes.pulling.pop(action.container, None)
            if failed is not None:
                hands.events.record(instance, Reason.FAILED, failed.message, warning=True)
            elif image is not None:
                self._notes.pulled[action.container] = action.spec_hash
                size = f" ({image.size} bytes)" if image.size else ""
                hands.events.record(instance, Reason.PULLED, f"Pulled image {action.image}{size}")
            self._wake()

        self._notes.pulling[action.container] = action.spec_hash
        claim = pull_claim(instance, {ref: hands.sources.view(ref) for ref in pull_secrets(instance)})
        if claim.problems:
            told = f"Unable to use all imagePullSecrets, so pulling {action.image} may not succeed: {'; '.join(claim.problems)}"
            hands.events.record(instance, Reason.FAILED_TO_RETRIEVE_IMAGE_PULL_SECRET, told, warning=True)
        if hands.images.pull(action.image, Waiter(done, claim, action.anew, moved=self._wake)):
            hands.events.record(instance, Reason.PULLING, f"Pulling image {action.image}")
