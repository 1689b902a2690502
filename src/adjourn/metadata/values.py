"""One value in its three forms: Python's own, as the store keeps it, and as JSON on the wire.

    type               Python            store (SQLite / PostgreSQL)                  wire
    guid               UUID              "0190…" text / uuid                          "0190…"
    DateTime           aware datetime    "2030-01-01T00:00:00.000000Z" / timestamptz  "2030-01-01T00:00:00Z"
    DateOnly           date              "2030-01-01" / date                          "2030-01-01"
    Boolean            bool              0, 1 / boolean                               true, false
    Integer, choices   int               integer                                      number
    Decimal, Money     Decimal           integer, scaled by 10 ** precision           number
    Double             float             real / double precision                      number
    texts              str               text                                         string
    several choices    "1,2,3"           text, values in order                         "1,2,3"
    lookup             Reference         two columns where it is polymorphic          "_x_value": "0190…"

The store's text for moments has a fixed width, so that its order is the order of time. `check` is the one gate for
values from outside. Sources: webapi.md §4 and §18, semantics §2; docs/decisions, "How values lie in the stores".
"""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, tzinfo
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any
from uuid import UUID

from adjourn import errors
from adjourn.errors import InvalidRequest, InvalidValue
from adjourn.metadata.model import Column, ColumnType, Reference

YEAR_MIN, YEAR_MAX = 1753, 9999
SELECTED_MAX = 150
"""Options that one value of a multi-choice column may hold (Dataverse's own limit)."""
INT64_MAX = 2**63 - 1
_MOMENT = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?\s*(Z|z|[+-]\d{2}:?\d{2})?)?",
    re.ASCII,
)
_GUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}|[0-9A-Fa-f]{32}")
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), 127)}
TEXTS = (ColumnType.STRING, ColumnType.MEMO, ColumnType.ENTITYNAME)
_SCALED = (ColumnType.DECIMAL, ColumnType.MONEY)
_GUIDS = (ColumnType.UNIQUEIDENTIFIER, ColumnType.FILE)
_WHOLE = (ColumnType.INTEGER, ColumnType.BIGINT, ColumnType.MANAGEDPROPERTY)


def check(column: Column, value: Any) -> Any:
    """A value from a caller as the column's Python value; None stays None.

    Raises InvalidRequest that names the column, what was found, and what is accepted.
    """
    if value is None:
        return None
    kind = column.type
    if kind in TEXTS:
        return _text(column, value)
    if kind.is_lookup:
        return _lookup(column, value)
    if kind in _GUIDS:
        return guid(value, column.logical)
    if kind is ColumnType.DATETIME:
        return moment(value, column.logical)
    if kind is ColumnType.DATE:
        return _date(column, value)
    if kind is ColumnType.BOOLEAN:
        if not isinstance(value, bool):
            raise _wrong(column, value, "true or false")
        return value
    if kind in _SCALED:
        return _scaled(column, value)
    if kind is ColumnType.DOUBLE:
        return _double(column, value)
    if kind is ColumnType.MULTISELECT:
        return _selected(column, value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(column, value, "a whole number")
    value = int(value)  # an IntEnum is welcome, and leaves as what the store knows
    if kind.is_choice:
        return _option(column, value)
    if kind is ColumnType.INTEGER and not -(2**31) <= value < 2**31:
        raise _wrong(column, value, "a whole number of 32 bits")
    if abs(value) > INT64_MAX:
        raise _wrong(column, value, "a whole number of 64 bits")
    return _in_range(column, value)


def to_raw(column: Column, value: Any, dialect: str) -> Any:
    """A Python value as the store keeps it. Lookups: the id alone; their table goes into `Column.type_column`."""
    if value is None:
        return None
    kind = column.type
    if kind is ColumnType.DATETIME:
        return moment_text(value)
    if kind in _GUIDS:
        return str(value)
    if kind.is_lookup:
        return str(value.id) if isinstance(value, Reference) else str(value)
    if kind is ColumnType.DATE:
        return value.isoformat()
    if kind is ColumnType.BOOLEAN:
        return bool(value) if dialect == "postgres" else int(value)
    if kind in _SCALED:
        return int(Decimal(str(value)).scaleb(column.precision).to_integral_value(ROUND_HALF_UP))
    return value


def from_raw(column: Column, raw: Any) -> Any:
    """What the store keeps, as a Python value; a lookup's bare id as a UUID."""
    if raw is None:
        return None
    kind = column.type
    if kind is ColumnType.DATETIME:
        return datetime.fromisoformat(raw)
    if kind in _GUIDS or kind.is_lookup:
        return UUID(raw)
    if kind is ColumnType.DATE:
        return date.fromisoformat(raw)
    if kind is ColumnType.BOOLEAN:
        return bool(raw)
    if kind in _SCALED:
        return Decimal(raw).scaleb(-column.precision)
    return raw


def to_wire(column: Column, raw: Any) -> Any:
    """What the store keeps, as the Web API prints it."""
    if raw is None:
        return None
    kind = column.type
    if kind is ColumnType.DATETIME:
        return moment_wire(raw)
    if kind is ColumnType.BOOLEAN:
        return bool(raw)
    if kind in _SCALED:
        return Decimal(raw).scaleb(-column.precision)
    return raw


def moment_text(value: datetime) -> str:
    """A moment in the store's fixed-width text."""
    return value.astimezone(UTC).isoformat(timespec="microseconds")[:26] + "Z"


def moment_wire(raw: str) -> str:
    """The store's text of a moment as the Web API prints it: the fraction only where there is one."""
    return raw[:19] + "Z" if raw.endswith(".000000Z") else raw


def formatted(column: Column, raw: Any, zone: tzinfo) -> str | None:
    """The label that people read: choices, yes/no, numbers with separators, money, dates in the reader's own zone.

    None for what has none (texts, guids), and for lookups: their names come from the query. Source: webapi.md §3.
    """
    if raw is None:
        return None
    kind = column.type
    if kind is ColumnType.MULTISELECT and column.choice is not None:
        labels = (column.choice.label(int(value)) or value for value in raw.split(","))
        return "; ".join(labels)
    if column.choice is not None:
        return column.choice.label(int(raw))
    if kind in _WHOLE:
        return f"{raw:,}"
    if kind is ColumnType.DATETIME:
        return _read_aloud(datetime.fromisoformat(raw), zone)
    if kind is ColumnType.DATE:
        day = date.fromisoformat(raw)
        return f"{day.month}/{day.day}/{day.year}"
    if kind is ColumnType.MONEY:
        amount = Decimal(raw).scaleb(-column.precision)
        return f"-${-amount:,.2f}" if amount < 0 else f"${amount:,.2f}"
    if kind is ColumnType.DECIMAL:
        return f"{Decimal(raw).scaleb(-column.precision):,.{column.precision}f}"
    if kind is ColumnType.DOUBLE:
        return f"{raw:,.{column.precision or 2}f}"
    return None


def selection(value: Any) -> list[int] | None:
    """The options of a multi-choice value, in order and each once; None for what is no such value."""
    parts = value.split(",") if isinstance(value, str) else value
    if isinstance(value, int) and not isinstance(value, bool):
        parts = [value]
    if not isinstance(parts, list | tuple | set | frozenset):
        return None
    found = set()
    for part in parts:
        whole = isinstance(part, int) and not isinstance(part, bool)
        if not whole and not (isinstance(part, str) and re.fullmatch(r"\s*-?\d{1,10}\s*", part, re.ASCII)):
            return None
        found.add(int(part))
    return sorted(found)


def guid(value: Any, name: str) -> UUID:
    """A guid, with or without braces, in either case. Raises InvalidRequest (0x80040363)."""
    if isinstance(value, UUID):
        return value
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("{") and text.endswith("}"):
            text = text[1:-1]
        if _GUID.fullmatch(text):
            return UUID(text)
    raise InvalidRequest(
        f"'{name}' must be a guid such as 0190a3c2-7c1e-7b30-9d2a-5f6e7d8c9b0a, found {shown(value)}.",
        code=errors.GUID_INVALID,
    )


def moment(value: Any, name: str) -> datetime:
    """A moment in UTC. A text without an offset means UTC; digits below a microsecond are cut.

    Raises InvalidRequest (0x80040239), also outside the years that Dataverse accepts.
    """
    if isinstance(value, datetime):
        found: datetime | None = value if value.tzinfo else value.replace(tzinfo=UTC)
    else:
        found = _parsed_moment(value) if isinstance(value, str) else None
    if found is not None:
        try:
            found = found.astimezone(UTC)
        except OverflowError:
            found = None
    if found is None or not YEAR_MIN <= found.year <= YEAR_MAX:
        raise InvalidRequest(
            f"'{name}' must be a moment such as 2030-01-31T13:45:00Z, from year {YEAR_MIN} to {YEAR_MAX}, "
            f"found {shown(value)}.",
            code=errors.DATETIME_INVALID,
        )
    return found


def shown(value: Any) -> str:
    """A value in an error message: short, and on one line."""
    if isinstance(value, int) and abs(value) >= 10**60:
        return "a number of more than 60 digits (int)"  # Python refuses to print very long ones
    text = value if isinstance(value, str) else repr(value)
    text = text.encode("utf-8", "backslashreplace").decode().translate(_CONTROLS)
    cut = text if len(text) <= 60 else text[:57] + "..."
    return f"'{cut}'" if isinstance(value, str) else f"{cut} ({type(value).__name__})"


def _parsed_moment(text: str) -> datetime | None:
    match = _MOMENT.fullmatch(text.strip())
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    micro = (fraction or "0")[:6].ljust(6, "0")
    zone = "+00:00" if offset in (None, "Z", "z") else offset if ":" in offset else f"{offset[:3]}:{offset[3:]}"
    try:
        return datetime.fromisoformat(
            f"{year}-{month}-{day}T{hour or '00'}:{minute or '00'}:{second or '00'}.{micro}{zone}"
        )
    except ValueError:
        return None


def _date(column: Column, value: Any) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        found: date | None = value
    elif isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
        try:
            found = date.fromisoformat(value)
        except ValueError:
            found = None
    else:
        found = None
    if found is None or found.year < YEAR_MIN:
        raise InvalidRequest(
            f"'{column.logical}' must be a date such as 2030-01-31, found {shown(value)}.", code=errors.DATETIME_INVALID
        )
    return found


def _text(column: Column, value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong(column, value, "a text")
    if "\x00" in value:
        raise _wrong(column, value, "a text without NUL characters")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _wrong(column, value, "valid Unicode, without halves of surrogate pairs") from None
    if column.max_length is not None and len(value) > column.max_length:
        # The documented text, both blanks included (webapi.md §18): clients match on it.
        raise InvalidRequest(
            f"A validation error occurred.  The length of the '{column.logical}' attribute of the '{column.table}' "
            f"entity exceeded the maximum allowed length of '{column.max_length}'.",
            code=errors.STRING_TOO_LONG,
        )
    return value


def _lookup(column: Column, value: Any) -> Reference:
    if isinstance(value, tuple) and len(value) == 2:
        table, record_id = value
    elif len(column.targets) == 1:
        table, record_id = column.targets[0], value
    else:
        raise _wrong(column, value, f"a pair (table, id) with one of the tables {', '.join(column.targets)}")
    if table not in column.targets:
        raise InvalidRequest(
            f"Lookup '{column.logical}' of '{column.table}' leads to {', '.join(column.targets)}, "
            f"not to '{str(table)[:100]}'.{errors.nearest(str(table), column.targets)}"
        )
    return Reference(str(table), guid(record_id, column.logical))


def _selected(column: Column, value: Any) -> str | None:
    if isinstance(value, str) and not value.strip():
        return None
    found = selection(value)
    if found is None:
        raise _wrong(column, value, "the values of options such as '1,2,3'")
    if len(found) > SELECTED_MAX:
        raise InvalidValue(f"'{column.logical}' may have {SELECTED_MAX} options at once, found {len(found)}.")
    return ",".join(str(_option(column, option)) for option in found) or None


def _option(column: Column, value: int) -> int:
    assert column.choice is not None
    if value not in column.choice.options:
        options = list(column.choice.options.values())
        some = ", ".join(f"{option.value} {option.label}" for option in options[:12])
        more = f" and {len(options) - 12} more" if len(options) > 12 else ""
        raise InvalidValue(
            f"{value} is no option of '{column.logical}' of '{column.table}': {some}{more}.",
            code=errors.STATE_PAIR_INVALID if column.type in (ColumnType.STATE, ColumnType.STATUS) else None,
        )
    return value


def _double(column: Column, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise _wrong(column, value, "a number")
    try:
        found = float(value)
    except (OverflowError, ValueError):  # an int beyond any float; a signalling NaN
        found = math.inf
    if not math.isfinite(found):
        raise _wrong(column, value, "a finite number")
    return float(_in_range(column, found))


_DIGITS_MAX = 30
"""More than any number that fits; arithmetic with an exponent beyond all measure would overflow instead of answering."""


def _scaled(column: Column, value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise _wrong(column, value, "a number")
    # A float means the digits that it prints. Bounded first: arithmetic on what is left cannot fail.
    found = value if isinstance(value, Decimal) else Decimal(repr(value) if isinstance(value, float) else value)
    if not found.is_finite() or found.adjusted() > _DIGITS_MAX or found.copy_abs() > INT64_MAX:
        raise _wrong(column, value, "a finite number within the column's range")
    with localcontext(prec=60):
        scaled = found.scaleb(column.precision).to_integral_value(ROUND_HALF_UP)
        if abs(scaled) > INT64_MAX:
            raise _wrong(column, value, "a finite number within the column's range")
        return Decimal(_in_range(column, scaled.scaleb(-column.precision)))


def _in_range(column: Column, value: Any) -> Any:
    low, high = column.minimum, column.maximum
    if (low is not None and value < low) or (high is not None and value > high):
        accepted = (
            f"at least {low:,}" if high is None else f"at most {high:,}" if low is None else f"{low:,} to {high:,}"
        )
        raise InvalidValue(
            f"{shown(value)} is outside the range of '{column.logical}' of '{column.table}': {accepted}."
        )
    return value


def _read_aloud(moment_: datetime, zone: tzinfo) -> str:
    try:
        local = moment_.astimezone(zone)
    except OverflowError:  # the last day of year 9999 means "never"; east of Greenwich it has no local time
        local = moment_
    half = "AM" if local.hour < 12 else "PM"
    return f"{local.month}/{local.day}/{local.year} {local.hour % 12 or 12}:{local.minute:02} {half}"


def _wrong(column: Column, value: Any, accepted: str) -> InvalidValue:
    return InvalidValue(f"'{column.logical}' of '{column.table}' must be {accepted}, found {shown(value)}.")
