"""Parts of dates as SQL, in the caller's time zone: what aggregate queries group by, and fiscal periods.

SQLite has them from Python (`metadata.dateparts`, registered as `date_part_`); PostgreSQL computes the same itself. A
fiscal period is year * 100 + period; what people read for it is made from that number, once a group.
"""

from __future__ import annotations

from adjourn.metadata import fiscal
from adjourn.metadata.dateparts import FISCAL_PARTS, FISCAL_PERIOD, FISCAL_YEAR
from adjourn.metadata.fiscal import FOUR_WEEKS, Calendar
from adjourn.metadata.model import Column, ColumnType
from adjourn.metadata.timezones import zone
from adjourn.query.literals import Circumstances
from adjourn.store.contract import Dialect


def zone_parameter(circumstances: Circumstances) -> int | str:
    """The caller's time zone as a parameter of `part`."""
    code = circumstances.caller.timezone_code
    return code if circumstances.dialect == "sqlite" else zone(code).key


def part(expression: str, column: Column, name: str, year: Calendar, zone: str, dialect: Dialect) -> str:
    """A part of a date as a number. zone: the SQL of a parameter; a column without a time of day needs none."""
    if dialect == "sqlite":
        named = f"{name}:{year.arithmetic}" if name in FISCAL_PARTS else name
        return f"date_part_({expression}, '{named}', {zone})"
    moment = f"timezone({zone}, {expression})" if column.type is ColumnType.DATETIME else expression
    if name in FISCAL_PARTS:
        return _fiscal(f"({moment})::date", name, year)
    if name == "week":
        first = f"extract(dow FROM date_trunc('year', {moment}))::int"
        return f"((extract(doy FROM {moment})::int - 1 + {first}) / 7 + 1)"
    return f"extract({name} FROM {moment})::int"


def fiscal_name(code: str, name: str, year: Calendar) -> str:
    """What people read for a fiscal year or period, over the expression of its number."""
    number = code if name == FISCAL_YEAR else f"({code} / 100)"
    shown = f"substr(CAST({number} + 10000 AS text), 4)" if year.two_digits else f"CAST({number} AS text)"
    text = f"{_quoted(year.prefix)} || {shown} || {_quoted(year.suffix)}"
    if name == FISCAL_YEAR:
        return f"({text})"
    names = " ".join(
        f"WHEN {period} THEN {_quoted(fiscal.period_name(year, 1, period))}" for period in range(1, year.periods + 1)
    )
    return f"(CASE {code} % 100 {names} END || {_quoted(year.connector)} || {text})"


def _fiscal(day: str, name: str, year: Calendar) -> str:
    """PostgreSQL: from the day to the calendar year in which its fiscal year began, to that year's first day."""
    begun = f"SELECT x.d, {_year('x.d')} - (x.d < {_start(_year('x.d'), year)})::int AS n FROM (SELECT {day} AS d) AS x"
    number = f"q.n + {int(year.named_later)}"
    if name == FISCAL_YEAR:
        return f"(SELECT {number} FROM ({begun}) AS q)"
    start = _start("q.n", year)
    if year.periods == FOUR_WEEKS:
        period = f"least((q.d - {start}) / 28 + 1, {FOUR_WEEKS})"
    else:
        months = 12 // year.periods
        first = _start("q.n", year, f" + make_interval(months => k * {months})")
        period = f"(SELECT count(*) FROM generate_series(0, {year.periods - 1}) AS k WHERE q.d >= {first})::int"
    return f"(SELECT ({number}) * 100 + {period} FROM ({begun}) AS q)"


def _year(day: str) -> str:
    return f"extract(year FROM {day})::int"


def _start(number: str, year: Calendar, later: str = "") -> str:
    """The first day of the fiscal year that begins in a calendar year, or a day some months later; both exist."""
    # Counted in whole months from the first of a month, then as far into it as it goes.
    first = f"(make_date({number}, {year.month}, 1){later})"
    if year.day <= 28:
        return f"({first} + {year.day - 1} * interval '1 day')::date"
    last = f"({first} + interval '1 month' - interval '1 day')"
    return f"least({first} + {year.day - 1} * interval '1 day', {last})::date"


def _quoted(text: str) -> str:
    escaped = text.replace("'", "''")
    return f"'{escaped}'"


__all__ = ["FISCAL_PERIOD", "fiscal_name", "part", "zone_parameter"]
