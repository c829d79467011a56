"""Tables and durations."""

import pytest

from controller.cli.table import Narrowing, duration, table

HEADER = ["NAME", "IMAGE", "PID"]
ROWS = [["web", "registry.test/team/web:1", "12"], ["a-longer-name", "busybox", "3"]]
NARROWING = Narrowing(cut="IMAGE", least=6, drop=("PID", "IMAGE"))


def lines(width: int | None) -> list[str]:
    """The table as it is printed."""
    return ["  ".join(line) for line in table(HEADER, ROWS, width, NARROWING)]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0s"),
        (0.9, "0s"),
        (119, "119s"),
        (120, "2m"),
        (330, "5m30s"),
        (601, "10m"),
        (3 * 3600 - 1, "179m"),
        (3 * 3600 + 720, "3h12m"),
        (8 * 3600, "8h"),
        (2 * 86400 + 4 * 3600, "2d4h"),
        (8 * 86400, "8d"),
        (400 * 86400, "400d"),
        (3 * 365 * 86400, "3y"),
    ],
)
def test_durations_have_two_figures_at_most(seconds: float, text: str) -> None:
    """A duration is shown as kubectl shows an age."""
    assert duration(seconds) == text


def test_without_a_width_nothing_is_cut() -> None:
    """What goes into a pipe is complete."""
    assert lines(None) == [
        "NAME           IMAGE                     PID",
        "web            registry.test/team/web:1  12",
        "a-longer-name  busybox                   3",
    ]


def test_the_image_is_cut_first_and_keeps_its_end() -> None:
    """In a narrow terminal the image loses its beginning before anything else is touched."""
    assert lines(34) == [
        "NAME           IMAGE           PID",
        "web            …st/team/web:1  12",
        "a-longer-name  busybox         3",
    ]


def test_columns_are_left_out_before_names_are_cut() -> None:
    """When a shortened image is not enough, whole columns go."""
    assert lines(24) == ["NAME           IMAGE", "web            …web:1", "a-longer-name  …sybox"]
    assert lines(13) == ["NAME", "web", "a-longer-name"]


@pytest.mark.parametrize("width", range(1, 60))
def test_no_line_is_longer_than_the_terminal(width: int) -> None:
    """Whatever the width, no line wraps."""
    assert max(map(len, lines(width))) <= width
