"""Figures as people read them."""

import pytest

from controller.api.people import duration_text, rate_text, size_text


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0, "0B"), (512, "512B"), (999, "999B"), (1000, "1kB"), (41_900_000, "41.9MB"), (1_236_000_000, "1.24GB")],
)
def test_sizes_have_three_digits_at_most(amount: int, text: str) -> None:
    """As registries show them."""
    assert size_text(amount) == text


@pytest.mark.parametrize(
    ("rate_", "text"),
    [
        (0, "0B/s"),
        (999, "999B/s"),
        (999.6, "1.0kB/s"),
        (1000, "1.0kB/s"),
        (9949, "9.9kB/s"),
        (9951, "10kB/s"),
        (950_000, "950kB/s"),
        (999_600, "1.0MB/s"),
        (3_140_000, "3.1MB/s"),
        (42_400_000, "42MB/s"),
        (1_250_000_000, "1.2GB/s"),
        (5e15, "5000TB/s"),
    ],
)
def test_rates_for_people(rate_: float, text: str) -> None:
    """Two or three digits, and units as Docker writes them."""
    assert rate_text(rate_) == text


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
    assert duration_text(seconds) == text
