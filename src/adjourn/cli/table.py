"""Tables in the terminal: as wide as it is, long texts cut with an ellipsis or wrapped, nulls as nothing.

Ids and moments are never cut: ids are there to be copied into the next command, and half a moment tells nothing. A table
may leave out columns where the terminal is narrow, and then says so; one of many ids may be wider than the terminal.
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import zip_longest
from typing import Any
from uuid import UUID

import click

from adjourn.metadata.model import Reference

_CELL_CHARACTERS_MAX = 60
_CELL_CHARACTERS_MIN = 8
_CELL_CHARACTERS_WANTED = 16
_GAP = 2


def print_table(
    names: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    whole: Sequence[str] = (),
    spare: Sequence[str] = (),
    wrapped: Sequence[str] = (),
    more: str = "",
) -> None:
    """Print rows under their names, and how many there are.

    whole: columns that are never cut, beside ids and moments. spare: columns to leave out, the first one first, as long
    as the table is wider than the terminal. wrapped: columns whose long texts go on in further lines instead of being cut.
    more: how to see the rows that are not among these, if there are such.
    """
    cells = [[text(value) for value in row] for row in rows]
    widths = {
        name: min(_CELL_CHARACTERS_MAX, max([len(name), *(len(row[index]) for row in cells)]))
        for index, name in enumerate(names)
    }
    kept = {
        name
        for index, name in enumerate(names)
        if name in whole or any(isinstance(row[index], UUID | Reference | datetime) for row in rows)
    }
    available = shutil.get_terminal_size((120, 40)).columns
    left_out = []
    for name in spare:
        least = sum(width if key in kept else min(width, _CELL_CHARACTERS_WANTED) for key, width in widths.items())
        if least + _GAP * (len(widths) - 1) <= available:
            break
        left_out.append(name)
        del widths[name]
    widths = _fitted(widths, available, kept)
    shown = [index for index, name in enumerate(names) if name in widths]
    click.echo(_line(list(widths), widths))
    click.echo(_line(["─" * width for width in widths.values()], widths))
    for row in cells:
        pieces = [
            textwrap.wrap(row[index], widths[names[index]]) or [""] if names[index] in wrapped else [row[index]]
            for index in shown
        ]
        for line in zip_longest(*pieces, fillvalue=""):
            click.echo(_line(line, widths))
    end = f"; a wider terminal shows {', '.join(left_out)} too" if left_out else ""
    end += f"; {more}" if more else ""
    click.echo(f"{len(rows)} row{'' if len(rows) == 1 else 's'}{end}")


def text(value: Any) -> str:
    """One value as people read it."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, Reference):
        return f"{value.table} {value.id}"
    return " ".join(str(value).split())


def _fitted(widths: dict[str, int], available: int, kept: set[str]) -> dict[str, int]:
    """Narrow the widest columns until the table fits, none below eight characters and none of those that stay whole."""
    widths = dict(widths)
    while sum(widths.values()) + _GAP * (len(widths) - 1) > available:
        widest = max((name for name in widths if name not in kept), key=widths.__getitem__, default=None)
        if widest is None or widths[widest] <= _CELL_CHARACTERS_MIN:
            break
        widths[widest] -= 1
    return widths


def _line(cells: Sequence[str], widths: Mapping[str, int]) -> str:
    parts = [
        (cell if len(cell) <= width else cell[: width - 1] + "…").ljust(width)
        for cell, width in zip(cells, widths.values(), strict=True)
    ]
    return (" " * _GAP).join(parts).rstrip()
