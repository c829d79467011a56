"""Which images give way for room, and when a node has too little of it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.agent.decide.collect import (
    Disk,
    Facts,
    Kind,
    Marks,
    Removal,
    Survey,
    Use,
    survey,
    told_removed,
    told_short,
)
from controller.agent.decide.pressure import TRANSITION_SECONDS, Pressure, judge
from controller.runtime.port import ImageName, ImageState

NOW = 1_000_000.0
OLD = NOW - 5000.0
GB = 10**9


def facts(*images: ImageState, names: tuple[ImageName, ...] = (), **more: Any) -> Facts:
    """Images that are complete, beside further names."""
    known: dict[str, Any] = {"uses": {}, "used_at": {}, "now": NOW, "minimum_age": 120.0} | more
    all_names = (*(ImageName(image.name, image.digest, image.since) for image in images), *names)
    return Facts(names=all_names, complete=images, **known)


def image(name: str, *layers: str, since: float = OLD, digest: str = "") -> ImageState:
    """One that is complete."""
    return ImageState(name, digest or f"sha256:{name}", 10, since=since, layers=layers)


def going(given: Facts) -> list[str]:
    """First names of what may go, in its order."""
    return [removal.names[0] for removal in survey(given).removals]


KEPT: dict[str, tuple[Facts, Use]] = {
    "what a container is made of, by its name": (facts(image("a"), uses={"a": Use.CONTAINER}), Use.CONTAINER),
    "what one is made of, by its digest": (facts(image("a"), uses={"sha256:a": Use.CONTAINER}), Use.CONTAINER),
    "what an instance names": (facts(image("a"), uses={"a": Use.INSTANCE}), Use.INSTANCE),
    "what is being pulled": (facts(image("a"), uses={"a": Use.PULL}), Use.PULL),
    "what a ContainerImage pins": (facts(image("a"), uses={"a": Use.PINNED}), Use.PINNED),
    "what an instance ran before its last change": (facts(image("a"), uses={"a": Use.BEFORE}), Use.BEFORE),
    "what has just come": (facts(image("a", since=NOW - 119)), Use.YOUNG),
    "what seems to come tomorrow, by a clock that was wrong": (facts(image("a", since=NOW + 86400)), Use.YOUNG),
    "what another name of it is used for": (
        facts(image("a", digest="sha256:x"), image("b", digest="sha256:x"), uses={"b": Use.PINNED}),
        Use.PINNED,
    ),
    "what has just got another name": (
        facts(image("a", digest="sha256:x"), image("b", digest="sha256:x", since=NOW)),
        Use.YOUNG,
    ),
    "of several reasons the plainest is told": (
        facts(image("a", since=NOW), uses={"a": Use.PINNED, "sha256:a": Use.INSTANCE}),
        Use.INSTANCE,
    ),
}


@pytest.mark.parametrize("case", KEPT)
def test_what_stays(case: str) -> None:
    """Whatever the disk says."""
    given, use = KEPT[case]
    assert survey(given) == Survey((), {use: 1})


def test_an_image_that_would_free_nothing_stays() -> None:
    """All of its layers are of one that stays; one of its own makes it go."""
    used = image("used", "l1", "l2")
    given = facts(used, image("within", "l1"), image("beyond", "l1", "l3"), uses={"used": Use.CONTAINER})
    assert going(given) == ["beyond"]
    assert survey(given).kept == {Use.CONTAINER: 1, Use.SHARED: 1}
    assert going(facts(image("a", "l1"), image("b", "l1"))) == ["a", "b"]  # neither is needed: together they free it


def test_the_order() -> None:
    """First what cannot be run, then by the last use, or by when it came if there was none; equal ones always the same way."""
    given = facts(
        image("used long ago", since=OLD - 9000),
        image("used lately", since=OLD - 9000),
        image("came in between", since=OLD - 500),
        names=(ImageName("half", "sha256:half", OLD), ImageName("foreign", "sha256:foreign", OLD - 1)),
        used_at={"used long ago": OLD - 1000, "used lately": OLD},
    )
    assert going(given) == ["foreign", "half", "used long ago", "came in between", "used lately"]
    kinds = [removal.kind for removal in survey(given).removals]
    assert kinds == [Kind.INCOMPLETE] * 2 + [Kind.UNUSED] * 3


def test_each_removal_says_why() -> None:
    """In words, with all of its names."""
    given = facts(
        image("a", digest="sha256:x"),
        image("b", digest="sha256:x", since=NOW - 7200),
        image("c", since=NOW - 3 * 86400),
        names=(ImageName("half", "sha256:half", NOW - 600),),
        used_at={"a": NOW - 3700},
    )
    assert [str(removal) for removal in survey(given).removals] == [
        "half (not complete, there for 10m)",
        "c (never used, there for 3d)",
        "a, b (not used for 61m)",
    ]


def test_messages() -> None:
    """The first few by name, with what it came to; and what keeps the others."""
    removed = [Removal(f"sha256:{n}", (f"i{n}",), Kind.UNUSED, 10, "never used, there for 1d") for n in range(7)]
    told = told_removed(removed, 2 * GB, Disk(10 * GB, GB), Disk(10 * GB, 3 * GB))
    assert told.startswith("removed 7 images, 2GB freed, disk from 90% to 70% in use: i0 (never used, there for 1d); i1")
    assert told.endswith("; and 2 more")
    assert told_removed(removed[:1], 5, Disk(10, 1), Disk(10, 6)).startswith("removed 1 image, 5B freed, disk from 90% to 40%")
    disks = Disk(10, 1), Disk(10, 6)
    assert told_removed(removed[:1], 5, *disks, unfinished=1).startswith(
        "removed 1 image and what 1 unfinished pull had fetched, "
    )
    assert told_removed((), 5, *disks, unfinished=2) == (
        "removed what 2 unfinished pulls had fetched, 5B freed, disk from 90% to 40% in use"
    )
    assert told_short(Survey((), {Use.PINNED: 2, Use.CONTAINER: 1})).endswith(
        "1 used by containers, 2 pinned by ContainerImages"
    )
    assert told_short(Survey(())).endswith("there are none")


def test_marks() -> None:
    """At the high mark it begins, and goes on to the low one; 100 is never, and a pull may want more than that."""
    marks, disk = Marks(85, 80), Disk(1000, 150)
    assert marks.reached(disk)
    assert not marks.reached(Disk(1000, 151))
    assert not Marks(100, 80).reached(Disk(1000, 0))
    assert marks.goal(disk) == 200
    assert (marks.goal(disk, 500), marks.goal(disk, 5000)) == (500, 1000)
    assert (Disk(0, 0).used, disk.used, disk.percent) == (0.0, 0.85, 85)


LAYERS = st.lists(st.sampled_from("lmnopq"), max_size=3, unique=True).map(tuple)
IMAGES = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("uvwxyz"), st.floats(NOW - 500, NOW), st.booleans(), LAYERS),
    max_size=8,
    unique_by=lambda one: one[0],
)
USES = st.dictionaries(st.sampled_from([*"abcdefgh", *(f"sha256:{d}" for d in "uvwxyz")]), st.sampled_from(Use), max_size=5)
USED_AT = st.dictionaries(st.sampled_from("abcdefgh"), st.floats(NOW - 500, NOW), max_size=8)


@st.composite
def histories(draw: st.DrawFn) -> Facts:
    """Any node: what of a digest is complete, and its layers, is the same by each of its names."""
    names: list[ImageName] = []
    complete: dict[str, tuple[bool, tuple[str, ...]]] = {}
    for name, letter, since, whole, layers in draw(IMAGES):
        digest = f"sha256:{letter}"
        names.append(ImageName(name, digest, since))
        complete.setdefault(digest, (whole, layers))
    states = tuple(
        ImageState(n.name, n.digest, 10, since=n.since, layers=complete[n.digest][1]) for n in names if complete[n.digest][0]
    )
    return Facts(tuple(names), states, draw(USES), draw(USED_AT), NOW, draw(st.sampled_from([0.0, 120.0, 400.0])))


@given(histories())
def test_nothing_that_is_used_ever_goes(given: Facts) -> None:
    """Neither by one of its names nor by its digest, nor what has just come; and each image is told of exactly once."""
    found = survey(given)
    for removal in found.removals:
        assert not {removal.digest, *removal.names} & given.uses.keys()
        assert set(removal.names) == {name.name for name in given.names if name.digest == removal.digest}
        assert all(NOW - name.since >= given.minimum_age for name in given.names if name.name in removal.names)
    assert len(found.removals) + sum(found.kept.values()) == len({name.digest for name in given.names})


@given(histories())
def test_the_oldest_use_goes_first(given: Facts) -> None:
    """What cannot be run before all others; and the order in which images are listed means nothing."""
    found = survey(given)

    def last(removal: Removal) -> tuple[bool, float]:
        times = [max(name.since, given.used_at.get(name.name, 0.0)) for name in given.names if name.name in removal.names]
        return removal.kind is Kind.UNUSED, max(times)

    assert [last(removal) for removal in found.removals] == sorted(map(last, found.removals))
    turned = Facts(given.names[::-1], given.complete[::-1], given.uses, given.used_at, given.now, given.minimum_age)
    assert survey(turned) == found


@given(histories())
def test_what_goes_first_changes_nothing_for_the_next(given: Facts) -> None:
    """Decided anew after a removal, the rest is what it was: so the pass may stop, or be stopped, after each."""
    found = survey(given)
    if found.removals:
        gone = found.removals[0].digest
        left = Facts(
            tuple(name for name in given.names if name.digest != gone),
            tuple(state for state in given.complete if state.digest != gone),
            given.uses,
            given.used_at,
            given.now,
            given.minimum_age,
        )
        assert survey(left).removals == found.removals[1:]


def test_pressure_begins_at_once_and_ends_late() -> None:
    """Room must have been there for a while before new work comes, so that the node does not go to and fro."""
    full, some = Disk(100, 9), Disk(100, 10)
    assert judge(Pressure(), some, 10, 0.0) == Pressure()
    on = judge(Pressure(), full, 10, 0.0)
    assert on == Pressure(on=True)
    easing = judge(on, some, 10, 50.0)
    assert easing == Pressure(on=True, room_since=50.0)
    assert judge(easing, full, 10, 60.0) == Pressure(on=True)  # and the time begins anew
    assert judge(easing, some, 10, 49.0 + TRANSITION_SECONDS).on
    assert judge(easing, some, 10, 50.0 + TRANSITION_SECONDS) == Pressure()
    assert judge(on, Disk(100, 0), 0, 0.0).room_since == 0.0  # 0 per cent is no bound


@given(st.lists(st.tuples(st.floats(0.0, 400.0), st.integers(0, 100)), max_size=20))
def test_pressure_never_flaps(moments: list[tuple[float, int]]) -> None:
    """Between its end and the last moment of too little room there is always the whole pause."""
    now, state, last_full = 0.0, Pressure(), float("-inf")
    for pause, free in moments:
        now += pause
        state = judge(state, Disk(100, free), 10, now)
        if free < 10:
            last_full = now
            assert state.on
        elif not state.on:
            assert now - last_full >= TRANSITION_SECONDS
