"""Quantities, as apimachinery reads and rounds them."""

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.api.quantity import PATTERN, millis, parse, whole

VALUES: dict[str, tuple[str, int, int]] = {
    "half a core": ("500m", 500, 1),
    "one and a half": ("1.5", 1500, 2),
    "a whole number": ("2", 2000, 2),
    "binary suffix": ("64Mi", 64 * 1024**2 * 1000, 64 * 1024**2),
    "decimal suffix": ("1G", 10**12, 10**9),
    "exponent": ("1e3", 10**6, 1000),
    "exa, not an exponent": ("1E", 10**21, 10**18),
    "exbi": ("1Ei", 1024**6 * 1000, 1024**6),
    "less than a thousandth is rounded up": ("100u", 1, 1),
    "leading point": (".5", 500, 1),
}


@pytest.mark.parametrize("sentence", VALUES)
def test_values(sentence: str) -> None:
    """Thousandths and whole units, rounded up."""
    text, thousandths, units = VALUES[sentence]
    assert (millis(text), whole(text)) == (thousandths, units)
    assert re.fullmatch(PATTERN, text)


@pytest.mark.parametrize("text", ["", "lots", "1 Gi", "1gi", "--1", "-1", "1e", ".", "Mi", "0x10", "1,5"])
def test_what_is_no_quantity(text: str) -> None:
    """Both the schema's pattern and the reader refuse it."""
    assert not re.fullmatch(PATTERN, text)
    with pytest.raises(ValueError, match="is not a quantity"):
        parse(text)


@given(st.decimals(min_value=0, max_value=10**6, places=3), st.sampled_from(["", "m", "k", "Ki", "M", "Mi", "G", "Gi"]))
def test_pattern_and_reader_agree(number: Decimal, suffix: str) -> None:
    """Whatever the schema lets through can be read."""
    text = f"{number}{suffix}"
    assert re.fullmatch(PATTERN, text)
    assert parse(text) >= 0
