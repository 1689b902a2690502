"""The tests of dates: whether one lies in a window, or in a fiscal period of any year.

Windows are counted in the caller's time zone and by the organization's calendar, and become moments when a kept plan
gets its parameters. Source: fetchxml.md §6.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from adjourn.metadata.dateparts import FISCAL_PERIOD, date_part
from adjourn.metadata.model import ColumnType
from adjourn.metadata.values import moment_text
from adjourn.query import dates, literals, windows
from adjourn.query.conditions import Asked, Site
from adjourn.query.windows import Bounds, Window

FIRST_MOMENT, LAST_MOMENT = "0001-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.999999Z"


@dataclass(frozen=True, slots=True)
class Within:
    """A date in a window: low <= value < high, either end open."""

    bounds: Callable[[Asked], Bounds]
    low: bool = True
    high: bool = True
    clock: bool = False
    """It counts hours or minutes, so a column without a time of day is refused."""

    def sql(self, site: Site) -> str:
        parts = []
        if self.low:
            parts.append(f"{site.expression} >= {site.bind(lambda asked: _bound(asked, self.bounds(asked)[0]))}")
        if self.high:
            parts.append(f"{site.expression} < {site.bind(lambda asked: _bound(asked, self.bounds(asked)[1]))}")
        return f"({' AND '.join(parts)})"

    def matches(self, value: Any, asked: Asked) -> bool:
        low, high = asked.once(self._ends)
        return (
            value is not None
            and (not self.low or low is None or value >= low)
            and (not self.high or high is None or value < high)
        )

    def _ends(self, asked: Asked) -> tuple[str | None, str | None]:
        low, high = self.bounds(asked)
        return _bound(asked, low), _bound(asked, high)


@dataclass(frozen=True, slots=True)
class InPeriod:
    """A date in the fiscal period with this number, in any year."""

    def sql(self, site: Site) -> str:
        zone = site.bind(lambda asked: dates.zone_parameter(asked.circumstances), "text")
        code = dates.part(site.expression, site.column, FISCAL_PERIOD, site.calendar, zone, site.dialect)
        return f"{code} % 100 = {site.bind(_period, 'bigint')}"

    def matches(self, value: Any, asked: Asked) -> bool:
        if value is None:
            return False
        year = asked.circumstances.caller.calendar
        code = date_part(value, f"{FISCAL_PERIOD}:{year.arithmetic}", asked.circumstances.caller.timezone_code)
        return code is not None and code % 100 == asked.once(_period)


def moving(window: Window) -> Callable[[Asked], Bounds]:
    """The bounds of a window that moves with time; the literal, if there is one, is its x."""

    def bounds(asked: Asked) -> Bounds:
        c = asked.circumstances
        n = literals.positive(asked.column, asked.values[0], asked.position, c.language) if asked.values else 0
        return window(c.local_now, n, c.caller.calendar)

    return bounds


def that_day(asked: Asked) -> Bounds:
    """The day of `on`."""
    c = asked.circumstances
    found = literals.day(asked.column, asked.values[0], asked.position, c)
    first = datetime(found.year, found.month, found.day, tzinfo=c.zone)
    return first, windows.shifted(first, days=1)


def that_fiscal_year(asked: Asked) -> Bounds:
    """The fiscal year of `in-fiscal-year`."""
    return windows.fiscal_year(asked.circumstances.zone, _whole(asked, 0), asked.circumstances.caller.calendar)


def that_fiscal_period(asked: Asked) -> Bounds:
    """The period and year of `in-fiscal-period-and-year`."""
    c = asked.circumstances
    return windows.fiscal_period(c.zone, _whole(asked, 1), _period(asked), c.caller.calendar)


def _period(asked: Asked) -> int:
    found = _whole(asked, 0)
    periods = asked.circumstances.caller.calendar.periods
    if found > periods:
        raise literals.refused(
            f"A fiscal period of this organization is from 1 to {periods}, found {found}.",
            asked.position,
            asked.circumstances.language,
        )
    return found


def _whole(asked: Asked, index: int) -> int:
    found = literals.positive(
        asked.column, asked.values[index], asked.position, asked.circumstances.language, "period or year"
    )
    return min(found, 9999)


def _bound(asked: Asked, bound: datetime | None) -> str | None:
    if bound is None:
        return None
    if asked.column.type is not ColumnType.DATE:
        try:
            return moment_text(bound)
        except OverflowError:  # In UTC it lies beyond an end of the calendar: the end, which no moment lies beyond.
            return FIRST_MOMENT if bound.year == 1 else LAST_MOMENT
    # A day counts as its midnight: the first one that is not before the bound.
    return (bound if bound == windows.midnight(bound) else windows.shifted(bound, days=1)).date().isoformat()
