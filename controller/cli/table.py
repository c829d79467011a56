"""Tables for people. Pure.

A table that is wider than the terminal is narrowed where it hurts least: names are never cut or wrapped before everything else
was tried.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

GAP: Final = 2
"""Blanks between two columns."""


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
