"""Figures as people read them: sizes, rates, lengths of time. Pure."""

from typing import Final

_UNITS: Final = ("B", "kB", "MB", "GB", "TB")
"""Powers of a thousand, as Docker writes them."""

_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86400, 365 * 86400


def size_text(amount: int) -> str:
    """Bytes to three digits by decimal suffixes, as registries and `docker images` show sizes: `1.24GB`, `41.9MB`, `512B`."""
    value, unit = _scaled(amount)
    return f"{value:.3g}{unit}"


def rate_text(bytes_per_second: float) -> str:
    """A rate: `950kB/s`, `3.1MB/s`, `42MB/s`."""
    value, unit = _scaled(bytes_per_second)
    text = f"{value:.1f}" if unit != _UNITS[0] and value < 9.95 else f"{value:.0f}"
    return f"{text}{unit}/s"


def duration_text(seconds: float) -> str:
    """A length of time in two figures at most, as kubectl shows ages: `45s`, `5m30s`, `3h12m`, `2d4h`, `300d`."""
    whole = max(int(seconds), 0)
    if whole < 2 * _MINUTE:
        return f"{whole}s"
    if whole < 10 * _MINUTE:
        return _two(whole, _MINUTE, "m", 1, "s")
    if whole < 3 * _HOUR:
        return f"{whole // _MINUTE}m"
    if whole < 8 * _HOUR:
        return _two(whole, _HOUR, "h", _MINUTE, "m")
    if whole < 2 * _DAY:
        return f"{whole // _HOUR}h"
    if whole < 8 * _DAY:
        return _two(whole, _DAY, "d", _HOUR, "h")
    return f"{whole // _DAY}d" if whole < 2 * _YEAR else _two(whole, _YEAR, "y", _DAY, "d")


def _scaled(amount: float) -> tuple[float, str]:
    value, unit = float(amount), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:  # it would be shown as 1000
        value, unit = value / 1000, unit + 1
    return value, _UNITS[unit]


def _two(whole: int, unit: int, sign: str, smaller: int, smaller_sign: str) -> str:
    rest = whole % unit // smaller
    return f"{whole // unit}{sign}" + (f"{rest}{smaller_sign}" if rest else "")
