"""An organization's calendar: the day on which its weeks begin, its fiscal years and their periods, and their names.

A fiscal year begins every year on the day and month of `fiscalcalendarstart`. It bears the number of the calendar year
in which it begins, or, if the organization says so, in which it ends. Its periods are a year, two halves, four quarters,
twelve months, or thirteen times four weeks, of which the last one takes what is left. Periods of months begin on the
year's first day of the month, or on the last of a month that is too short.
Source: the columns `fiscal…` and `weekstartdaycode` of the table organization; fetchxml.md §6 and §8.
"""

from __future__ import annotations

import calendar
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any

PERIODS = {2000: 1, 2001: 2, 2002: 4, 2003: 12, 2004: 13}
"""Periods a year, by the organization's fiscalperiodtype: annual, semi-annual, quarterly, monthly, four weeks each."""
FOUR_WEEKS = 13
COLUMNS = (
    "weekstartdaycode", "fiscalcalendarstart", "fiscalperiodtype", "fiscalyeardisplaycode", "fiscalperiodformatperiod",
    "fiscalyearformatprefix", "fiscalyearformatsuffix", "fiscalyearformatyear", "fiscalyearperiodconnect",
)  # fmt: skip
PERIOD_FORMATS = {1: "Quarter {0}", 2: "Q{0}", 3: "P{0}", 4: "Month {0}", 5: "M{0}", 6: "Semester {0}"}
MONTH_NAME = 7
_SUFFIXES = {1: " FY", 2: " Fiscal Year"}
_TWO_DIGITS = 2
_BY_END = 2
_QUARTERLY = 2002


@dataclass(frozen=True, slots=True)
class Calendar:
    """What days mean to an organization. week_start: 0 is Sunday.

    by_end: a fiscal year bears the number of the year in which it ends. key: all of it as one text, hashed once.
    """

    week_start: int = 0
    month: int = 1
    day: int = 1
    periods: int = 4
    by_end: bool = False
    period_format: int = 1
    prefix: str = "FY"
    suffix: str = ""
    two_digits: bool = False
    connector: str = " "
    key: str = field(init=False, compare=False, repr=False, default="")

    def __post_init__(self) -> None:
        texts = (self.period_format, self.prefix, self.suffix, self.two_digits, self.connector)
        object.__setattr__(self, "key", f"{self.week_start}|{self.arithmetic}|{texts}")

    @property
    def arithmetic(self) -> str:
        """What decides in which fiscal year and period a day lies, as text; `parsed` reads it."""
        return f"{self.month}-{self.day}-{self.periods}-{int(self.by_end)}"

    @property
    def named_later(self) -> bool:
        """Whether a year's number is one more than the year in which it begins."""
        return self.by_end and (self.month, self.day) != (1, 1)


USUAL = Calendar()
"""The calendar of an organization that has not said otherwise: weeks from Sunday, quarters from 1 January."""


def of_organization(row: Mapping[str, Any]) -> Calendar:
    """The calendar that the organization's columns describe; what they leave out, or cannot mean, is as usual."""
    start = row.get("fiscalcalendarstart")
    year_format, connector = row.get("fiscalyearformatyear"), row.get("fiscalyearperiodconnect")
    week = row.get("weekstartdaycode") or 0
    return Calendar(
        week if 0 <= week < 7 else 0,
        start.month if isinstance(start, datetime) else 1,
        start.day if isinstance(start, datetime) else 1,
        PERIODS.get(row.get("fiscalperiodtype") or 0, PERIODS[_QUARTERLY]),
        row.get("fiscalyeardisplaycode") == _BY_END,
        row.get("fiscalperiodformatperiod") or 1,
        "" if row.get("fiscalyearformatprefix") == 2 else "FY",
        _SUFFIXES.get(row.get("fiscalyearformatsuffix") or 0, ""),
        year_format == _TWO_DIGITS,
        " " if connector is None else connector,
    )


@lru_cache(maxsize=256)
def parsed(arithmetic: str) -> Calendar:
    """The calendar whose `arithmetic` this is; its names are the usual ones."""
    month, day, periods, by_end = (int(part) for part in arithmetic.split("-"))
    return Calendar(0, month, day, periods, bool(by_end))


def year_start(found: Calendar, number: int) -> date:
    """The first day of the fiscal year with this number; the ends of the calendar instead of what lies beyond them."""
    return _day(number - found.named_later, found.month, found.day)


def period_start(found: Calendar, number: int, period: int) -> date:
    """The first day of a period of a fiscal year. Periods are counted on: the 0th is the last one of the year before."""
    years, rest = divmod(period - 1, found.periods)
    first = year_start(found, number + years)
    if found.periods == FOUR_WEEKS:
        return _later(first, 28 * rest)
    months = first.year * 12 + first.month - 1 + rest * (12 // found.periods)
    return _day(months // 12, months % 12 + 1, found.day)


def year_of(found: Calendar, day: date) -> int:
    """The number of the fiscal year in which a day lies."""
    begun = day.year if day >= _day(day.year, found.month, found.day) else day.year - 1
    return begun + found.named_later


def period_of(found: Calendar, day: date) -> tuple[int, int]:
    """The number of the fiscal year in which a day lies, and of the period, from 1."""
    year = year_of(found, day)
    if found.periods == FOUR_WEEKS:
        return year, min((day - year_start(found, year)).days // 28 + 1, FOUR_WEEKS)
    return year, sum(period_start(found, year, period) <= day for period in range(1, found.periods + 1))


def year_name(found: Calendar, number: int) -> str:
    """A fiscal year as people read it: FY2023."""
    shown = f"{number % 100:02}" if found.two_digits else str(number)
    return f"{found.prefix}{shown}{found.suffix}"


def period_name(found: Calendar, number: int, period: int) -> str:
    """A fiscal period as people read it, without its year: Quarter 1."""
    if found.period_format == MONTH_NAME:
        return calendar.month_name[(found.month - 1 + (period - 1) * 12 // min(found.periods, 12)) % 12 + 1]
    return PERIOD_FORMATS.get(found.period_format, PERIOD_FORMATS[1]).replace("{0}", str(period))


def _day(year: int, month: int, day: int) -> date:
    if not 1 <= year <= 9999:
        return date(9999, 12, 30) if year > 0 else date(1, 1, 3)
    return date(year, month, min(day, calendar.monthrange(year, month)[1]))


def _later(day: date, days: int) -> date:
    try:
        return day + timedelta(days=days)
    except OverflowError:
        return date(9999, 12, 30)
