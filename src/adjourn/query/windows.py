"""The windows of the date operators: `last-seven-days`, `next-month`, `older than x years` as (from, to).

Each is a function of the moment in the caller's zone and the operator's number; both ends are moments in that zone,
None means open, and a value x lies in the window when from <= x < to. Days, weeks, months and years are counted on the
wall clock of the zone, hours and minutes on the clock that never jumps. Weeks begin on Sunday.
Source: fetchxml.md §6, the table of windows.
"""

from __future__ import annotations

import calendar
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo

Bounds = tuple[datetime | None, datetime | None]
Window = Callable[[datetime, int], Bounds]


def day(offset: int) -> Window:
    """yesterday (-1), today (0), tomorrow (1)."""
    return lambda now, n: (shifted(midnight(now), days=offset), shifted(midnight(now), days=offset + 1))


def unit(name: str, offset: int) -> Window:
    """The last (-1), this (0) or the next (1) calendar week, month or year."""

    def window(now: datetime, n: int) -> Bounds:
        first = _first(midnight(now), name)
        return _moved(first, name, offset), _moved(first, name, offset + 1)

    return window


def last(name: str) -> Window:
    """The n units before today, and today until now."""
    return lambda now, n: (_moved(midnight(now), name, -n), now)


def following(name: str) -> Window:
    """From now, the rest of today, and n units after it."""
    return lambda now, n: (now, _moved(shifted(midnight(now), days=1), name, n))


def older(name: str) -> Window:
    """Before the beginning of today, n units ago."""
    return lambda now, n: (None, _moved(midnight(now), name, -n))


def last_seven_days(now: datetime, n: int) -> Bounds:
    return last("day")(now, 7)


def next_seven_days(now: datetime, n: int) -> Bounds:
    return following("day")(now, 7)


def last_hours(now: datetime, n: int) -> Bounds:
    return _steps(_hour(now), timedelta(hours=1), -n), now


def next_hours(now: datetime, n: int) -> Bounds:
    return now, _steps(_hour(now), timedelta(hours=1), n + 1)


def older_hours(now: datetime, n: int) -> Bounds:
    return None, _steps(_hour(now), timedelta(hours=1), -n)


def older_minutes(now: datetime, n: int) -> Bounds:
    return None, _steps(now.replace(second=0, microsecond=0), timedelta(minutes=1), -n)


def midnight(moment: datetime) -> datetime:
    """The beginning of the moment's day, in its zone."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)


def shifted(moment: datetime, *, days: int) -> datetime:
    """Some days later on the wall clock; the ends of the calendar instead of what lies beyond them."""
    try:
        return moment + timedelta(days=days)
    except OverflowError:
        return _end(moment.tzinfo, later=days > 0)


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


def _first(moment: datetime, name: str) -> datetime:
    if name == "week":
        return shifted(moment, days=-((moment.weekday() + 1) % 7))
    return moment.replace(day=1) if name == "month" else moment.replace(month=1, day=1)


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _steps(moment: datetime, step: timedelta, count: int) -> datetime:
    try:
        return (moment.astimezone(UTC) + step * count).astimezone(moment.tzinfo)
    except OverflowError:
        return _end(moment.tzinfo, later=count > 0)


def _end(zone: tzinfo | None, *, later: bool) -> datetime:
    # A day inside the calendar's ends, so that turning it into UTC stays inside as well.
    return datetime(9999, 12, 30, tzinfo=zone) if later else datetime(1, 1, 3, tzinfo=zone)
