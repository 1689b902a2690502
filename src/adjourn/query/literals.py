"""Literals of a query as the store's raw values, by the type of the column that they are compared with.

FetchXML writes every literal as text and the query functions of the Web API do the same, so text is accepted for each
type. A date without an offset is meant in the caller's time zone. Entity names may be given as type codes (4700).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from adjourn.errors import InvalidRequest, QueryError
from adjourn.metadata import values
from adjourn.metadata.model import Catalog, Column, ColumnType, Reference
from adjourn.metadata.timezones import zone
from adjourn.query.security import Caller
from adjourn.store.contract import Dialect

INVALID_VALUE_FETCHXML = 0x80041108
INVALID_VALUE_ODATA = 0x80044354
_BOOLEANS = {"0": False, "1": True, "false": False, "true": True}
_SCALED = (ColumnType.DECIMAL, ColumnType.MONEY)
_POSTGRES_TYPES = {
    ColumnType.UNIQUEIDENTIFIER: "uuid",
    ColumnType.FILE: "uuid",
    ColumnType.STRING: "text",
    ColumnType.MEMO: "text",
    ColumnType.ENTITYNAME: "text",
    ColumnType.MULTISELECT: "text",
    ColumnType.DATETIME: "timestamptz",
    ColumnType.DATE: "date",
    ColumnType.BOOLEAN: "boolean",
    ColumnType.DOUBLE: "double precision",
    ColumnType.DECIMAL: "numeric",
    ColumnType.MONEY: "numeric",
}
_NUMBER = re.compile(r"[+-]?(\d{1,40}(\.\d{0,40})?|\.\d{1,40})([eE][+-]?\d{1,3})?")
_OFFSET = re.compile(r"(Z|z|[+-]\d{2}:?\d{2})$")


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Under which a query is asked: by whom, when, in which language, of which store."""

    caller: Caller
    now: datetime
    dialect: Dialect
    language: str
    catalog: Catalog

    @property
    def zone(self) -> ZoneInfo:
        return zone(self.caller.timezone_code)

    @property
    def local_now(self) -> datetime:
        return self.now.astimezone(self.zone)


def raw(column: Column, literal: Any, position: int, circumstances: Circumstances) -> Any:
    """A literal as the column's raw value; None stays None. Raises QueryError at `position`."""
    if literal is None:
        return None
    kind = column.type
    try:
        if kind.is_lookup or kind in (ColumnType.UNIQUEIDENTIFIER, ColumnType.FILE):
            return str(values.guid(literal.id if isinstance(literal, Reference) else literal, column.logical))
        if kind is ColumnType.ENTITYNAME:
            return _entity_name(column, literal, circumstances.catalog)
        if kind in (ColumnType.STRING, ColumnType.MEMO):
            return _text(column, literal)
        if kind is ColumnType.DATETIME:
            return values.moment_text(moment(column, literal, circumstances))
        if kind is ColumnType.DATE:
            return local_day(column, literal, circumstances).isoformat()
        if kind is ColumnType.BOOLEAN:
            found = _boolean(column, literal)
            return found if circumstances.dialect == "postgres" else int(found)
        if kind in _SCALED:
            return _scaled(column, literal, circumstances.dialect)
        if kind is ColumnType.DOUBLE:
            return float(_number(column, literal))
        if kind is ColumnType.MULTISELECT:
            return _selection(column, literal)
        return _whole(column, literal)
    except InvalidRequest as error:
        raise refused(error.message, position, circumstances.language) from error


def positive(column: Column, literal: Any, position: int, language: str, what: str = "number") -> int:
    """The x of `last-x-days`: a whole number greater than zero. Raises QueryError (0x8004110C)."""
    try:
        found = _whole(column, literal)
    except InvalidRequest as error:
        raise refused(error.message, position, language) from error
    if found <= 0:
        raise QueryError(
            f"The {what} of a date operator on '{column.logical}' must be greater than zero, found {found}.",
            code=0x8004110C,
            position=position if position >= 0 else None,
        )
    return found


def refused(message: str, position: int, language: str) -> QueryError:
    """A value that is not of its column's type, in the code of the query's language."""
    code = INVALID_VALUE_FETCHXML if language == "fetchxml" else INVALID_VALUE_ODATA
    return QueryError(message, code=code, position=position if position >= 0 else None)


def moment(column: Column, literal: Any, circumstances: Circumstances) -> datetime:
    """A literal as a moment in UTC. A date alone is midnight: in UTC from OData, whose literals say so, else local."""
    if isinstance(literal, datetime):
        return values.moment(literal, column.logical)
    if isinstance(literal, date):
        return datetime.combine(literal, time(), tzinfo=UTC)
    found = values.moment(literal, column.logical)
    if isinstance(literal, str) and not (len(literal.strip()) > 10 and _OFFSET.search(literal.strip())):
        found = found.replace(tzinfo=circumstances.zone).astimezone(UTC)
    return found


def local_day(column: Column, literal: Any, circumstances: Circumstances) -> date:
    """The day that a literal means, in the caller's zone. Raises InvalidRequest."""
    if isinstance(literal, date) and not isinstance(literal, datetime):
        return literal
    if isinstance(literal, str) and len(literal.strip()) == 10:
        return values.moment(literal, column.logical).date()
    return moment(column, literal, circumstances).astimezone(circumstances.zone).date()


def day(column: Column, literal: Any, position: int, circumstances: Circumstances) -> date:
    """The value of `on`. Raises QueryError."""
    try:
        return local_day(column, literal, circumstances)
    except InvalidRequest as error:
        raise refused(error.message, position, circumstances.language) from error


def listed(found: list[Any], dialect: Dialect) -> Any:
    """A list as one parameter: an array, or the JSON text of one."""
    return found if dialect == "postgres" else msgspec.json.encode(found).decode()


def postgres_type(column: Column) -> str:
    """PostgreSQL's type for parameters that are compared with a column."""
    kind = column.type
    if kind.is_lookup:
        return "uuid"
    return _POSTGRES_TYPES.get(kind, "bigint")


def _entity_name(column: Column, literal: Any, catalog: Catalog) -> str:
    text = str(literal) if isinstance(literal, int) and not isinstance(literal, bool) else literal
    if not isinstance(text, str):
        raise _wrong(column, literal, "a table's logical name or type code")
    if re.fullmatch(r"\d{1,9}", text):
        table = catalog.by_type_code.get(int(text))
        return table.logical if table else text
    return text.lower()


def _text(column: Column, literal: Any) -> str:
    if isinstance(literal, UUID):
        return str(literal)
    if not isinstance(literal, str):
        raise _wrong(column, literal, "a text")
    if "\x00" in literal:
        raise _wrong(column, literal.replace("\x00", "\\0"), "a text without NUL characters")
    try:
        literal.encode()
    except UnicodeEncodeError:
        raise _wrong(column, "half of a surrogate pair", "valid Unicode") from None
    return literal


def _selection(column: Column, literal: Any) -> str:
    found = values.selection(literal)
    if not found:
        raise _wrong(column, literal, "the values of options such as '1,2,3'")
    return ",".join(map(str, found))


def _boolean(column: Column, literal: Any) -> bool:
    if isinstance(literal, bool):
        return literal
    found = _BOOLEANS.get(str(literal).strip().lower()) if isinstance(literal, int | str) else None
    if found is None:
        raise _wrong(column, literal, "true, false, 1 or 0")
    return found


def _number(column: Column, literal: Any, accepted: str = "a number") -> Decimal:
    try:
        if isinstance(literal, bool) or not isinstance(literal, int | float | Decimal | str):
            raise InvalidOperation
        if isinstance(literal, str) and not _NUMBER.fullmatch(literal.strip()):
            raise InvalidOperation
        found = Decimal(str(literal).strip())
    except InvalidOperation:
        raise _wrong(column, literal, accepted) from None
    if not found.is_finite() or not math.isfinite(float(found)):
        raise _wrong(column, literal, "a finite number")
    return found


def _whole(column: Column, literal: Any) -> int:
    found = _number(column, literal, "a whole number of 64 bits")
    if abs(found) > values.INT64_MAX or found != found.to_integral_value():
        raise _wrong(column, literal, "a whole number of 64 bits")
    return int(found)


def _scaled(column: Column, literal: Any, dialect: Dialect) -> int | float | str:
    found = _number(column, literal)
    if abs(found) > values.INT64_MAX:
        raise _wrong(column, literal, "a number within the column's range")
    scaled = found.scaleb(column.precision)
    if scaled == scaled.to_integral_value() and abs(scaled) <= values.INT64_MAX:
        return int(scaled)
    # Finer than the column can hold: no row is equal to it, but less and greater must still be exact.
    return f"{scaled:f}" if dialect == "postgres" else float(scaled)


def _wrong(column: Column, literal: Any, accepted: str) -> InvalidRequest:
    return InvalidRequest(f"'{column.logical}' of '{column.table}' must be {accepted}, found {values.shown(literal)}.")
