"""What one pull has told of its progress."""

from controller.agent.decide.pulling import PullView, Sample, kept, view
from controller.runtime.port import PullProgress


class Meter:
    """Takes in the progress of a pull, and gives what is told of it."""

    def __init__(self, image: str) -> None:
        self._image = image
        self._progress = PullProgress(0, 0)
        self._samples: list[Sample] = []
        self.queued = False
        """It waits for its turn."""

    def begin(self, now: float) -> None:
        """It is its turn. `now` is of the clock that all other times are of, too."""
        self.queued, self._samples = False, [Sample(now, 0)]

    @property
    def fetched(self) -> int:
        """Bytes that this pull has fetched."""
        return self._progress.bytes_done - self._progress.bytes_present

    @property
    def total(self) -> int:
        """Bytes of the whole image; 0 while that is not known."""
        return self._progress.bytes_total

    def add(self, progress: PullProgress, now: float) -> None:
        """Take in what the runtime tells."""
        self._progress = progress
        self._samples = [*kept(self._samples, now), Sample(now, self.fetched)]

    def read(self, now: float) -> PullView | None:
        """What to tell now; None while the size is not known."""
        return view(self._image, self._progress, self._samples, now)
