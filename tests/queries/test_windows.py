"""The windows of the date operators, said a second time and in another way: by the local day on which a moment lies.

`windows` computes the ends of each window; here a moment is in it or not by what its own clock shows. Every row of the
world is tried with every caller at every moment, and so is every day around the ends of fiscal years.
"""

from __future__ import annotations

import calendar
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from tests.queries.world import ASKERS, NOWS, Asker, boundaries

from adjourn.metadata import fiscal
from adjourn.metadata.fiscal import Calendar
from adjourn.metadata.timezones import zone
from adjourn.query import windows
from adjourn.query.windows import Window

MICROSECOND = timedelta(microseconds=1)
MOMENTS = sorted({edge + step for edge in boundaries() for step in (-MICROSECOND, timedelta(0), MICROSECOND)})
LOCAL = {
    asker.name: [(moment, moment.astimezone(zone(asker.caller.timezone_code))) for moment in MOMENTS]
    for asker in ASKERS
}
Said = Callable[[datetime, datetime, int, Calendar], bool]
"""Whether a moment fits, from its and now's local time (both aware, in the caller's zone)."""


def before(x: datetime, now: datetime) -> bool:
    """Python compares two moments of one zone by their wall clocks, which show an hour twice when they go back."""
    return x.astimezone(UTC) < now.astimezone(UTC)


def _week(day: date, start: int) -> date:
    while (day.weekday() + 1) % 7 != start:
        day -= timedelta(days=1)
    return day


def _months(day: date, count: int) -> date:
    for _ in range(abs(count)):
        first = day.replace(day=1)
        day = first + timedelta(days=31) if count > 0 else first - timedelta(days=1)
        day = day.replace(day=1)
    return day


def _on(day: date, count: int, unit: str) -> date:
    """Some units away on the calendar; the 31st of a short month is its last day."""
    if unit in ("day", "week"):
        return day + timedelta(days=count * (7 if unit == "week" else 1))
    first = _months(day.replace(day=1), count * (12 if unit == "year" else 1))
    return first.replace(day=min(day.day, calendar.monthrange(first.year, first.month)[1]))


def periods(year: Calendar) -> list[tuple[date, int, int]]:
    """Every fiscal period from 2020 to 2030 in plain words: its first day, its year's number, its own number."""
    found = []
    for begun in range(2020, 2031):
        later = year.by_end and (year.month, year.day) != (1, 1)
        for period in range(year.periods):
            if year.periods == 13:
                first = _valid(begun, year.month, year.day) + timedelta(days=28 * period)
            else:
                month = year.month - 1 + period * 12 // year.periods
                first = _valid(begun + month // 12, month % 12 + 1, year.day)
            found.append((first, begun + later, period + 1))
    return found


def _valid(year: int, month: int, day: int) -> date:
    while True:
        try:
            return date(year, month, day)
        except ValueError:
            day -= 1


def _place(year: Calendar, day: date) -> int:
    """Which of the periods a day lies in."""
    return max(index for index, (first, _, _) in enumerate(PERIODS[year.key]) if first <= day)


PERIODS = {asker.caller.calendar.key: periods(asker.caller.calendar) for asker in ASKERS}


def _number(year: Calendar, day: date) -> int:
    return PERIODS[year.key][_place(year, day)][1]


SAID: dict[str, tuple[Window, Said]] = {
    "yesterday": (windows.day(-1), lambda x, now, n, y: x.date() == now.date() - timedelta(days=1)),
    "today": (windows.day(0), lambda x, now, n, y: x.date() == now.date()),
    "tomorrow": (windows.day(1), lambda x, now, n, y: x.date() == now.date() + timedelta(days=1)),
    **{
        f"{word} week": (
            windows.unit("week", k),
            lambda x, now, n, y, k=k: _week(x.date(), y.week_start)
            == _week(now.date(), y.week_start) + timedelta(days=7 * k),
        )
        for word, k in (("last", -1), ("this", 0), ("next", 1))
    },
    **{
        f"{word} month": (
            windows.unit("month", k),
            lambda x, now, n, y, k=k: x.date().replace(day=1) == _months(now.date().replace(day=1), k),
        )
        for word, k in (("last", -1), ("this", 0), ("next", 1))
    },
    **{
        f"{word} year": (windows.unit("year", k), lambda x, now, n, y, k=k: x.year == now.year + k)
        for word, k in (("last", -1), ("this", 0), ("next", 1))
    },
    **{
        f"{word} fiscal year": (
            windows.unit("fiscal-year", k),
            lambda x, now, n, y, k=k: _number(y, x.date()) == _number(y, now.date()) + k,
        )
        for word, k in (("last", -1), ("this", 0), ("next", 1))
    },
    **{
        f"{word} fiscal period": (
            windows.unit("fiscal-period", k),
            lambda x, now, n, y, k=k: _place(y, x.date()) == _place(y, now.date()) + k,
        )
        for word, k in (("last", -1), ("this", 0), ("next", 1))
    },
    "last seven days": (
        windows.last_seven_days, lambda x, now, n, y: before(x, now) and x.date() >= now.date() - timedelta(days=7),
    ),
    "next seven days": (
        windows.next_seven_days, lambda x, now, n, y: not before(x, now) and x.date() <= now.date() + timedelta(days=7),
    ),
    **{
        f"last {n} {unit}s": (
            windows.last(unit), lambda x, now, n, y, unit=unit: before(x, now) and x.date() >= _on(now.date(), -n, unit),
        )
        for unit in ("day", "week", "month", "year") for n in (1,)
    },
    **{
        f"next {n} {unit}s": (
            windows.following(unit),
            lambda x, now, n, y, unit=unit: not before(x, now) and x.date() < _on(now.date() + timedelta(days=1), n, unit),
        )
        for unit in ("day", "week", "month", "year") for n in (1,)
    },
    **{
        f"older than {n} {unit}s": (
            windows.older(unit), lambda x, now, n, y, unit=unit: x.date() < _on(now.date(), -n, unit),
        )
        for unit in ("day", "week", "month", "year") for n in (1,)
    },
    "last fiscal years": (
        windows.last("fiscal-year"), lambda x, now, n, y: before(x, now) and _number(y, x.date()) >= _number(y, now.date()) - n,
    ),
    "next fiscal years": (
        windows.following("fiscal-year"),
        lambda x, now, n, y: not before(x, now) and _number(y, x.date()) <= _number(y, now.date()) + n,
    ),
    "last fiscal periods": (
        windows.last("fiscal-period"), lambda x, now, n, y: before(x, now) and _place(y, x.date()) >= _place(y, now.date()) - n,
    ),
    "next fiscal periods": (
        windows.following("fiscal-period"),
        lambda x, now, n, y: not before(x, now) and _place(y, x.date()) <= _place(y, now.date()) + n,
    ),
}  # fmt: skip


@pytest.mark.parametrize("asker", ASKERS, ids=lambda asker: asker.name)
@pytest.mark.parametrize("name", SAID)
def test_a_window_holds_what_the_local_clock_says(name: str, asker: Asker) -> None:
    window, said = SAID[name]
    local, year = zone(asker.caller.timezone_code), asker.caller.calendar
    for number, now in enumerate(NOWS):
        here = now.astimezone(local)
        for n, some in ((1, LOCAL[asker.name][number % 4 :: 4]), (13, LOCAL[asker.name][number::7])):
            low, high = window(here, n, year)
            for moment, shown in some:
                found = (low is None or moment >= low) and (high is None or moment < high)
                assert found == said(shown, here, n, year), (name, now, n, moment)


def days() -> Iterator[date]:
    day = date(2021, 1, 1)
    while day < date(2029, 1, 1):
        yield day
        day += timedelta(days=1)


@pytest.mark.parametrize("asker", ASKERS, ids=lambda asker: asker.name)
def test_every_day_lies_in_the_fiscal_period_that_a_list_of_periods_says(asker: Asker) -> None:
    year = asker.caller.calendar
    for day in days():
        _, number, period = PERIODS[year.key][_place(year, day)]
        assert fiscal.period_of(year, day) == (number, period)
        assert fiscal.year_of(year, day) == number


@pytest.mark.parametrize(
    ("timezone", "day", "hours"),
    [
        ("Europe/Berlin", date(2026, 3, 29), 23), ("Europe/Berlin", date(2026, 10, 25), 25),
        ("Australia/Lord_Howe", date(2026, 4, 5), 24.5), ("Australia/Lord_Howe", date(2026, 10, 4), 23.5),
        ("America/New_York", date(2026, 3, 8), 23), ("Asia/Kathmandu", date(2026, 3, 8), 24),
        ("Africa/Cairo", date(2024, 4, 26), 23), ("Africa/Cairo", date(2024, 11, 1), 24),
        ("Africa/Cairo", date(2024, 10, 31), 25), ("America/Havana", date(2026, 3, 8), 23),
    ],
)  # fmt: skip
def test_a_day_is_as_long_as_its_clocks_say(timezone: str, day: date, hours: float) -> None:
    """Among them a day without a midnight: it begins when the clocks show 1."""
    now = datetime(day.year, day.month, day.day, 12, tzinfo=ZoneInfo(timezone))
    low, high = windows.day(0)(now, 0, fiscal.USUAL)
    assert low is not None
    assert high is not None
    assert high.astimezone(UTC) - low.astimezone(UTC) == timedelta(hours=hours)
    before = (low.astimezone(UTC) - MICROSECOND).astimezone(now.tzinfo)
    assert (before.date(), low.astimezone(UTC).astimezone(now.tzinfo).date()) == (day - timedelta(days=1), day)
