"""The parts of a date by which aggregate queries group: day, week, month, quarter, year, in the caller's time zone.

Weeks are numbered from the one that holds 1 January, and begin on Sunday: 27 August 2023 lies in week 35. Fiscal years
and periods follow the organization's calendar, which stands behind the part's name (`fiscal-year:4-1-4-0`); a period is
answered with its year, as year * 100 + period, so that periods have the order of time.
Source: fetchxml.md §8.
"""

from __future__ import annotations

from datetime import date, datetime

from adjourn.metadata import fiscal
from adjourn.metadata.timezones import UTC_CODE, zone

FISCAL_PERIOD, FISCAL_YEAR = "fiscal-period", "fiscal-year"
FISCAL_PARTS = (FISCAL_PERIOD, FISCAL_YEAR)
PARTS = ("day", "week", "month", "quarter", "year", *FISCAL_PARTS)


def date_part(raw: str | None, part: str, timezone_code: int) -> int | None:
    """A part of a raw moment (or raw date, which belongs to no zone) as a number."""
    if raw is None:
        return None
    if len(raw) == 10 or timezone_code == UTC_CODE:
        found = date.fromisoformat(raw[:10])
    else:
        found = datetime.fromisoformat(raw).astimezone(zone(timezone_code)).date()
    if part == "day":
        return found.day
    if part == "month":
        return found.month
    if part == "quarter":
        return (found.month + 2) // 3
    if part == "year":
        return found.year
    if part == "week":
        first = date(found.year, 1, 1)
        return ((found - first).days + (first.weekday() + 1) % 7) // 7 + 1
    name, _, arithmetic = part.partition(":")
    if name == FISCAL_YEAR:
        return fiscal.year_of(fiscal.parsed(arithmetic), found)
    year, period = fiscal.period_of(fiscal.parsed(arithmetic), found)
    return year * 100 + period
