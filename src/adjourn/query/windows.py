"""The windows of the date operators: `last-seven-days`, `next-month`, `older than x years` as (from, to).

Each is a function of the moment in the caller's zone, the operator's number and the organization's calendar; both ends
are moments in that zone, None means open, and a value x lies in the window when from <= x < to. Days, weeks, months and
years are counted on the wall clock of the zone, so that a day may have 23 or 25 hours; a midnight that a change of
clocks left out is the first moment after it. Hours and minutes are counted on the clock that never jumps.
Source: fetchxml.md §6, the table of windows.
"""

from __future__ import annotations

import calendar
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, tzinfo

from adjourn.metadata import fiscal
from adjourn.metadata.fiscal import Calendar

Bounds = tuple[datetime | None, datetime | None]
Window = Callable[[datetime, int, Calendar], Bounds]


def day(offset: int) -> Window:
    """yesterday (-1), today (0), tomorrow (1)."""
    return lambda now, n, year: (shifted(midnight(now), days=offset), shifted(midnight(now), days=offset + 1))


def unit(name: str, offset: int) -> Window:
    """The last (-1), this (0) or the next (1) calendar week, month or year, fiscal year or fiscal period."""

    def window(now: datetime, n: int, year: Calendar) -> Bounds:
        return _counted(now, name, offset, year), _counted(now, name, offset + 1, year)

    return window


def last(name: str) -> Window:
    """The n units before today, and today until now; of fiscal ones, those before the current one."""
    return lambda now, n, year: (_back(now, name, n, year), now)


def following(name: str) -> Window:
    """From now, the rest of today, and n units after it; of fiscal ones, the rest of the current one and n more."""

    def window(now: datetime, n: int, year: Calendar) -> Bounds:
        if name.startswith("fiscal"):
            return now, _counted(now, name, n + 1, year)
        return now, _moved(shifted(midnight(now), days=1), name, n)

    return window


def older(name: str) -> Window:
    """Before the beginning of today, n units ago."""
    return lambda now, n, year: (None, _moved(midnight(now), name, -n))


def last_seven_days(now: datetime, n: int, year: Calendar) -> Bounds:
    return last("day")(now, 7, year)


def next_seven_days(now: datetime, n: int, year: Calendar) -> Bounds:
    return following("day")(now, 7, year)


def last_hours(now: datetime, n: int, year: Calendar) -> Bounds:
    return _steps(_hour(now), timedelta(hours=1), -n), now


def next_hours(now: datetime, n: int, year: Calendar) -> Bounds:
    return now, _steps(_hour(now), timedelta(hours=1), n + 1)


def older_hours(now: datetime, n: int, year: Calendar) -> Bounds:
    return None, _steps(_hour(now), timedelta(hours=1), -n)


def older_minutes(now: datetime, n: int, year: Calendar) -> Bounds:
    return None, _steps(now.replace(second=0, microsecond=0), timedelta(minutes=1), -n)


def fiscal_year(zone: tzinfo, number: int, year: Calendar) -> Bounds:
    """The fiscal year with this number."""
    return _begun(fiscal.year_start(year, number), zone), _begun(fiscal.year_start(year, number + 1), zone)


def fiscal_period(zone: tzinfo, number: int, period: int, year: Calendar) -> Bounds:
    """A period of a fiscal year."""
    ends = (fiscal.period_start(year, number, period), fiscal.period_start(year, number, period + 1))
    return _begun(ends[0], zone), _begun(ends[1], zone)


def midnight(moment: datetime) -> datetime:
    """The beginning of the moment's day, in its zone."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)


def shifted(moment: datetime, *, days: int) -> datetime:
    """Some days later on the wall clock; the ends of the calendar instead of what lies beyond them."""
    try:
        return moment + timedelta(days=days)
    except OverflowError:
        return _end(moment.tzinfo, later=days > 0)


def _counted(now: datetime, name: str, count: int, year: Calendar) -> datetime:
    """The beginning of the unit that lies some units after the current one."""
    today = midnight(now)
    if name == "fiscal-year":
        return _begun(fiscal.year_start(year, fiscal.year_of(year, today.date()) + count), now.tzinfo)
    if name == "fiscal-period":
        number, period = fiscal.period_of(year, today.date())
        return _begun(fiscal.period_start(year, number, period + count), now.tzinfo)
    if name == "week":
        since = (today.weekday() + 1 - year.week_start) % 7
        return shifted(today, days=7 * count - since)
    return _moved(today.replace(day=1) if name == "month" else today.replace(month=1, day=1), name, count)


def _back(now: datetime, name: str, count: int, year: Calendar) -> datetime:
    if name.startswith("fiscal"):
        return _counted(now, name, -count, year)
    return _moved(midnight(now), name, -count)


def _moved(moment: datetime, name: str, count: int) -> datetime:
    if name == "day":
        return shifted(moment, days=count)
    if name == "week":
        return shifted(moment, days=7 * count)
    months = moment.year * 12 + moment.month - 1 + count * (12 if name == "year" else 1)
    year, month = divmod(months, 12)
    if not 1 <= year <= 9999:
        return _end(moment.tzinfo, later=count > 0)
    return moment.replace(year=year, month=month + 1, day=min(moment.day, calendar.monthrange(year, month + 1)[1]))


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _begun(first: date, zone: tzinfo | None) -> datetime:
    return datetime(first.year, first.month, first.day, tzinfo=zone)


def _steps(moment: datetime, step: timedelta, count: int) -> datetime:
    try:
        return (moment.astimezone(UTC) + step * count).astimezone(moment.tzinfo)
    except OverflowError:
        return _end(moment.tzinfo, later=count > 0)


def _end(zone: tzinfo | None, *, later: bool) -> datetime:
    return (datetime.max if later else datetime.min).replace(tzinfo=zone)
