"""Tables in the terminal: as wide as it is, long texts cut with an ellipsis or wrapped, nulls as nothing.

Ids and moments are never cut: ids are there to be copied into the next command, and half a moment tells nothing. Texts that
are the answer to what was asked, such as why something happened, are wrapped. A table
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

    whole: columns that are never cut, beside ids and moments. spare: columns to leave out, those with nothing in any row
    and then the first one first, as long as the table is wider than the terminal. wrapped: columns whose long texts take
    several lines. more: how to see the rows that are not among these, if there are such.
    """
    cells = [[text(value) for value in row] for row in rows]
    widths = {name: max([len(name), *(len(row[index]) for row in cells)]) for index, name in enumerate(names)}
    widths = {name: width if name in wrapped else min(_CELL_CHARACTERS_MAX, width) for name, width in widths.items()}
    kept = {
        name
        for index, name in enumerate(names)
        if name in whole or any(isinstance(row[index], UUID | Reference | datetime) for row in rows)
    }
    available = shutil.get_terminal_size((120, 40)).columns
    left_out = []
    for name in sorted(spare, key=lambda name: any(row[names.index(name)] for row in cells)):
        least = sum(width if key in kept else min(width, _CELL_CHARACTERS_WANTED) for key, width in widths.items())
        if least + _GAP * (len(widths) - 1) <= available:
            break
        left_out.append(name)
        del widths[name]
    # An id in a sentence is there to be copied, too: a wrapped column is as wide as its longest word.
    words = {name: [name, *(word for row in cells for word in row[names.index(name)].split())] for name in wrapped}
    widths = _fitted(widths, available, kept, {name: max(map(len, found)) for name, found in words.items()})
    shown = [index for index, name in enumerate(names) if name in widths]
    click.echo(_line(list(widths), widths))
    click.echo(_line(["─" * width for width in widths.values()], widths))
    for row in cells:
        folded = [
            _folded(row[index], widths[names[index]]) if names[index] in wrapped else [row[index]] for index in shown
        ]
        for parts in zip_longest(*folded, fillvalue=""):
            click.echo(_line(parts, widths))
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


def _fitted(widths: dict[str, int], available: int, kept: set[str], least: Mapping[str, int]) -> dict[str, int]:
    """Narrow the widest columns until the table fits, none below its least or eight characters and none that stays whole."""
    widths = dict(widths)
    while sum(widths.values()) + _GAP * (len(widths) - 1) > available:
        narrowable = [
            name for name in widths if name not in kept and widths[name] > least.get(name, _CELL_CHARACTERS_MIN)
        ]
        if not narrowable:
            break
        widths[max(narrowable, key=widths.__getitem__)] -= 1
    return widths


def _folded(words: str, width: int) -> list[str]:
    return textwrap.wrap(words, width, break_long_words=False, break_on_hyphens=False)


def _line(cells: Sequence[str], widths: Mapping[str, int]) -> str:
    parts = [
        (cell if len(cell) <= width else cell[: width - 1] + "…").ljust(width)
        for cell, width in zip(cells, widths.values(), strict=True)
    ]
    return (" " * _GAP).join(parts).rstrip()
