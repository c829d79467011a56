"""How far a pull is, by the messages of the transfer service."""

from controller.runtime.containerd.api.transfer_types_pb2 import Progress
from controller.runtime.containerd.api.types_pb2 import Descriptor
from controller.runtime.containerd.image.progress import Tally
from controller.runtime.port import PullProgress


def part(digest: str, size: int, event: str, progress: int = 0, kind: str = "layer") -> Progress:
    """A message about a part of an image."""
    return Progress(
        event=event, progress=progress, name=f"{kind}-{digest}", desc=Descriptor(digest=digest, size=size, media_type=kind)
    )


def told(tally: Tally, *messages: Progress) -> list[bool]:
    """Which of these messages told anything new."""
    return [tally.add(message) for message in messages]


def test_progress_is_the_sum_over_all_parts() -> None:
    """The total is not told before a layer is known, and what is there already counts as done."""
    tally = Tally()
    states = []
    for message in (
        Progress(event="Resolving from x"),
        part("m", 10, "complete", kind="manifest"),
        part("a", 100, "waiting"),
        part("a", 100, "downloading", 40),
        part("b", 50, "already exists"),
        part("a", 100, "extracting", 3),
    ):
        tally.add(message)
        states.append(tally.state)
    assert states == [
        PullProgress(0, 0),
        PullProgress(10, 0),
        PullProgress(10, 110),
        PullProgress(50, 110),
        PullProgress(100, 160, 50),
        PullProgress(160, 160, 50),
    ]
    assert tally.index == "m"


def test_only_what_is_new_is_progress() -> None:
    """The service tells of unpacking three times a second, whether it goes on or not."""
    tally = Tally()
    assert told(tally, part("a", 100, "waiting"), part("a", 100, "waiting")) == [True, False]
    assert told(tally, part("a", 100, "downloading", 40), part("a", 100, "downloading", 40)) == [True, False]
    assert told(tally, part("a", 100, "complete"), part("a", 100, "complete")) == [True, False]
    assert told(tally, *(part("a", 100, "extracting", n) for n in (0, 0, 7, 7))) == [False, False, True, False]
    assert told(tally, part("a", 100, "extracted"), part("a", 100, "saved")) == [True, False]
    assert tally.moves == 4


def test_what_an_earlier_pull_left_is_not_fetched_by_this_one() -> None:
    """A layer that came in part is done as far as that, from the first word of it."""
    tally = Tally({"layer-a": 60, "layer-other": 7})
    tally.add(part("a", 100, "waiting"))
    assert tally.state == PullProgress(60, 100, 60)
    tally.add(part("a", 100, "downloading", 80))
    assert tally.state == PullProgress(80, 100, 60)
    tally.add(part("a", 100, "complete"))
    assert tally.state == PullProgress(100, 100, 60)


def test_a_part_that_was_lost_is_told_as_lost() -> None:
    """The registry knew no ranges, or what was there was damaged."""
    tally = Tally({"layer-a": 60})
    assert told(tally, part("a", 100, "waiting"), part("a", 100, "downloading", 10)) == [True, False]
    assert tally.state == PullProgress(10, 100, 10)
    assert told(tally, part("a", 100, "downloading", 30)) == [True]
    assert tally.state == PullProgress(30, 100, 10)


def test_a_second_try_goes_on_counting() -> None:
    """What it says again of a part that is known changes nothing; what came of it at the end of the first try is new."""
    tally = Tally()
    told(tally, part("a", 100, "waiting"), part("a", 100, "downloading", 40))
    moves = tally.moves
    again = (Progress(event="Resolving from x"), part("a", 100, "fetching image content"), part("a", 100, "waiting"))
    assert told(tally, *again) == [True, False, False]
    assert tally.moves == moves
    assert told(tally, part("a", 100, "downloading", 41)) == [True]
    assert tally.moves == moves + 1


def test_complete_is_when_every_byte_is_here() -> None:
    """Of layers, that is: unpacking them may still take its time."""
    tally = Tally()
    tally.add(part("m", 10, "complete", kind="manifest"))
    assert not tally.complete
    tally.add(part("a", 100, "downloading", 99))
    assert not tally.complete
    tally.add(part("a", 100, "extracting", 0))
    assert tally.complete


def test_a_push_settles_until_the_registry_confirms() -> None:
    """That bytes arrived is told later than that they have gone; until then only the registry's disk is waited for."""
    tally = Tally()
    assert (told(tally, part("a", 100, "waiting"), part("a", 100, "uploading", 40)), tally.settling) == ([True, True], False)
    assert (told(tally, part("a", 100, "uploading", 100)), tally.settling) == ([True], True)
    tally.add(part("a", 100, "complete"))
    tally.add(part("b", 50, "already exists"))
    assert (tally.settling, tally.state) == (False, PullProgress(150, 150, 50))
