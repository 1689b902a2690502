"""Tables in the terminal: as wide as it is, cells cut with an ellipsis, nulls as nothing.

Ids are never cut: they are there to be copied into the next command. A table of them may be wider than the terminal.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import click

from adjourn.metadata.model import Reference

_CELL_CHARACTERS_MAX = 60
_GAP = 2


def print_table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows under their names, and how many there are."""
    cells = [[text(value) for value in row] for row in rows]
    widths = [
        min(_CELL_CHARACTERS_MAX, max([len(name), *(len(row[index]) for row in cells)]))
        for index, name in enumerate(names)
    ]
    whole = {index for index in range(len(names)) if any(isinstance(row[index], UUID | Reference) for row in rows)}
    widths = _fitted(widths, shutil.get_terminal_size((120, 40)).columns, whole)
    click.echo(_line(names, widths))
    click.echo(_line(["─" * width for width in widths], widths))
    for row in cells:
        click.echo(_line(row, widths))
    click.echo(f"{len(rows)} row{'' if len(rows) == 1 else 's'}")


def text(value: Any) -> str:
    """One value as people read it."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, Reference):
        return f"{value.table} {value.id}"
    return " ".join(str(value).split())


def _fitted(widths: list[int], available: int, whole: set[int]) -> list[int]:
    """Narrow the widest columns until the table fits, none below eight characters and none of those that stay whole."""
    widths = list(widths)
    while sum(widths) + _GAP * (len(widths) - 1) > available:
        index = max((index for index in range(len(widths)) if index not in whole), key=widths.__getitem__, default=None)
        if index is None or widths[index] <= 8:
            break
        widths[index] -= 1
    return widths


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    parts = [
        (cell if len(cell) <= width else cell[: width - 1] + "…").ljust(width)
        for cell, width in zip(cells, widths, strict=True)
    ]
    return (" " * _GAP).join(parts).rstrip()
