"""Tables and durations for people. Pure.

A table that is wider than the terminal is narrowed where it hurts least: names are never cut or wrapped before everything else
was tried.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

GAP: Final = 2
"""Blanks between two columns."""

_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86400, 365 * 86400


@dataclass(frozen=True, slots=True)
class Narrowing:
    """What may be taken from a table that is too wide."""

    cut: str = ""
    """Column whose texts lose their beginning first (of an image, the end says most),"""
    least: int = 12
    """to no fewer than so many characters;"""
    drop: tuple[str, ...] = ()
    """then these columns are left out, one after another."""


def table(header: Sequence[str], rows: Sequence[Sequence[str]], width: int | None, narrowing: Narrowing) -> list[list[str]]:
    """Header and rows as padded cells that fit into `width` characters together with the gaps; None: no limit.

    A line that is still too long after all narrowing is cut at its end.
    """
    columns = {name: [name, *(row[number] for row in rows)] for number, name in enumerate(header)}
    if width is not None:
        columns = _narrowed(columns, width, narrowing)
    padded = [_padded(cells) for cells in columns.values()]
    if padded:
        padded[-1] = [cell.rstrip() for cell in padded[-1]]
    lines = [list(line) for line in zip(*padded, strict=True)]
    return lines if width is None else [_cropped(line, width) for line in lines]


def duration(seconds: float) -> str:
    """A length of time in two figures at most, as kubectl shows ages: 45s, 5m30s, 3h12m, 2d4h, 300d."""
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


def _two(whole: int, unit: int, sign: str, smaller: int, smaller_sign: str) -> str:
    rest = whole % unit // smaller
    return f"{whole // unit}{sign}" + (f"{rest}{smaller_sign}" if rest else "")


def _width(columns: Mapping[str, Sequence[str]]) -> int:
    return sum(max(map(len, cells)) for cells in columns.values()) + GAP * (len(columns) - 1)


def _narrowed(columns: dict[str, list[str]], width: int, narrowing: Narrowing) -> dict[str, list[str]]:
    if narrowing.cut in columns and (excess := _width(columns) - width) > 0:
        cells = columns[narrowing.cut]
        most = max(max(map(len, cells)) - excess, narrowing.least)
        columns = columns | {narrowing.cut: [cell if len(cell) <= most else "…" + cell[1 - most :] for cell in cells]}
    for name in narrowing.drop:
        if _width(columns) <= width:
            break
        columns = {other: cells for other, cells in columns.items() if other != name}
    return columns


def _padded(cells: Sequence[str]) -> list[str]:
    most = max(map(len, cells))
    return [cell.ljust(most) for cell in cells]


def _cropped(line: list[str], width: int) -> list[str]:
    out: list[str] = []
    left = width
    for cell in line:
        if left <= 0:
            break
        text = cell if len(cell) <= left else cell.rstrip()
        out.append(text if len(text) <= left else text[: left - 1] + "…")
        left -= len(cell) + GAP
    return out
