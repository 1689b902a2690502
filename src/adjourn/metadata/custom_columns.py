"""What a name, a column, an option and a text of the callers' own metadata may be.

Each check raises InvalidRequest or NotSupported, saying what was found and what is accepted.
Source: webapi.md §17 and the request shapes of clients (clients.md).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from adjourn.errors import InvalidRequest, NotSupported, clean
from adjourn.metadata.additions import INVALID_METADATA
from adjourn.metadata.model import ColumnType

Entry = dict[str, Any]
"""A column as a metadata document has it; `options` lists those of a choice of its own."""

OPTIONS_MAX = 1000
TEXT_CHARACTERS_MAX = 2000
"""Of a label or a description."""
INT_MAX = 2**31 - 1
STORED_MAX = 2**63 - 1
FILE_KB_DEFAULT = 32_768
FILE_KB_MAX = 10_485_760
FILE_NAME_CHARACTERS_MAX = 255
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{1,7}_[A-Za-z][A-Za-z0-9_]{0,40}")
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_TEXT_MAX = {ColumnType.STRING: 4000, ColumnType.MEMO: 1_048_576}
_PRECISION_MAX = {ColumnType.DECIMAL: 10, ColumnType.MONEY: 4, ColumnType.DOUBLE: 5}
_BOUNDS = {
    ColumnType.INTEGER: INT_MAX,
    ColumnType.DECIMAL: 100_000_000_000,
    ColumnType.DOUBLE: 100_000_000_000,
    ColumnType.MONEY: 922_337_203_685_477,
}
_MADE = (
    ColumnType.STRING, ColumnType.MEMO, ColumnType.INTEGER, ColumnType.BIGINT, ColumnType.DECIMAL, ColumnType.DOUBLE,
    ColumnType.MONEY, ColumnType.BOOLEAN, ColumnType.DATETIME, ColumnType.DATE, ColumnType.PICKLIST, ColumnType.FILE,
    ColumnType.MULTISELECT,
)  # fmt: skip


def check_texts(found: Any) -> None:
    """No text that a statement, a page or a document could not carry: labels stand in SQL, as literals."""
    if isinstance(found, str):
        if len(found) > TEXT_CHARACTERS_MAX or _UNFIT.search(found):
            raise InvalidRequest(
                f"A text of the metadata has at most {TEXT_CHARACTERS_MAX:,} characters and no control characters, "
                f"found {clean(found[:60])!r}.",
                code=INVALID_METADATA,
            )
    elif isinstance(found, dict):
        for value in found.values():
            check_texts(value)
    elif isinstance(found, list):
        for value in found:
            check_texts(value)


def checked_name(schema: Any, what: str) -> str:
    """A schema name with a publisher's prefix. what: table, column, relationship or key, for the refusal."""
    if not isinstance(schema, str) or not _NAME.fullmatch(schema):
        raise InvalidRequest(
            f"The schema name of a {what} has a publisher's prefix, such as new_Project, and letters, digits and "
            f"underscores; found '{str(schema)[:100]}'.",
            code=INVALID_METADATA,
        )
    return schema


def checked_entry(entry: Entry) -> None:
    """Lengths, bounds and precision of a column within what its type can hold; fills in what was not said."""
    name, kind = entry["name"], ColumnType(entry["type"])
    if kind not in _MADE:
        raise NotSupported(f"A column of type {kind} ('{name}') cannot be created.", status=400)
    if kind in _TEXT_MAX:
        length = entry.setdefault("max_length", 100 if kind is ColumnType.STRING else 2000)
        if not isinstance(length, int) or not 1 <= length <= _TEXT_MAX[kind]:
            raise InvalidRequest(f"MaxLength of '{name}' must be 1 to {_TEXT_MAX[kind]:,}, found {length!r}.")
    if kind is ColumnType.FILE:
        size = entry.setdefault("size_kb_max", FILE_KB_DEFAULT)
        if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= FILE_KB_MAX:
            raise InvalidRequest(f"MaxSizeInKB of '{name}' must be 1 to {FILE_KB_MAX:,}, found {size!r}.")
    if kind in _PRECISION_MAX:
        precision = entry.setdefault("precision", 2)
        if not isinstance(precision, int) or not 0 <= precision <= _PRECISION_MAX[kind]:
            raise InvalidRequest(f"Precision of '{name}' must be 0 to {_PRECISION_MAX[kind]}, found {precision!r}.")
    if kind in _BOUNDS:
        _check_bounds(entry, name, kind)


def _check_bounds(entry: Entry, name: str, kind: ColumnType) -> None:
    most = _BOUNDS[kind]
    if kind in (ColumnType.DECIMAL, ColumnType.MONEY):
        # These lie in the store as whole numbers of 64 bits, scaled by the precision.
        most = min(most, STORED_MAX // 10 ** entry["precision"])
    for key, default in (("minimum", -most), ("maximum", most)):
        value = entry.get(key)
        if value is None:
            entry[key] = default
        elif isinstance(value, bool) or not isinstance(value, int | float) or not -most - 1 <= value <= most:
            raise InvalidRequest(f"The bounds of '{name}' must lie within ±{most:,}, found {value!r}.")
    if entry["minimum"] > entry["maximum"]:
        raise InvalidRequest(f"The minimum of '{name}' is above its maximum.")


def checked_options(options: list[Mapping[str, Any]], name: str) -> list[dict[str, Any]]:
    """The options of a choice as a document has them. name: the choice's."""
    values = [option.get("value") for option in options]
    if not 0 < len(options) <= OPTIONS_MAX:
        raise InvalidRequest(f"Choice '{name}' needs 1 to {OPTIONS_MAX} options, found {len(options)}.")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int) or not -INT_MAX - 1 <= value <= INT_MAX:
            raise InvalidRequest(f"An option of '{name}' needs a whole number as its Value, found {str(value)[:50]}.")
    if len(set(values)) != len(values):
        raise InvalidRequest(f"Two options of '{name}' have the same Value.")
    return [{"value": option["value"], "label": str(option.get("label") or option["value"])} for option in options]
