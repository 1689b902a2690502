"""When a recurring job runs: the moments of a rule, all in UTC, found without walking through the past.

A rule divides time into periods (years, months, weeks, days, hours, minutes, seconds) numbered from a fixed origin;
every `interval`-th one from the start's own is in use. The period that holds a moment is found by division. The runs
of a period are its days × its times of day: a sequence that is never written out, because its n-th member is computed,
so bisection finds a moment in it. From there the search goes period by period, over whole months, days, hours and
minutes that the rule excludes, and ends after one cycle of the calendar (400 years, times the interval where they
share no factor): by then everything has repeated itself.

What a rule does not say comes from the start: the time of day; the day of the week, month or year. As python-dateutil
decides, with one difference: a MONTHLY rule that names no days, from the 29th to the 31st, runs on the last day of
shorter months, for once a month means every month. With BYMONTHDAY, and for YEARLY from 29 February, a month or year
without the day has no run (RFC 2445).
"""

from __future__ import annotations

import calendar
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from math import gcd, lcm
from typing import overload

from adjourn.jobs.recurrence_rule import Frequency, Rule, Weekday

_DAY = 86_400
_CYCLE_DAYS = 146_097
"""400 Gregorian years; a whole number of weeks."""
_CYCLE_UNITS = (400, 4800, _CYCLE_DAYS // 7, _CYCLE_DAYS, _CYCLE_DAYS * 24, _CYCLE_DAYS * 1440, _CYCLE_DAYS * _DAY)
_PER_DAY = {Frequency.DAILY: 1, Frequency.HOURLY: 24, Frequency.MINUTELY: 1440, Frequency.SECONDLY: _DAY}
_LAST_DAY = date.max.toordinal()
_LAST_SECOND = _LAST_DAY * _DAY + _DAY - 1


def next_after(rule: Rule, start: datetime, moment: datetime) -> datetime | None:
    """The first run strictly after a moment, None if there is none by the year 9999. Both aware; whole seconds count."""
    plan = _plan(rule, start)
    found = _forward(plan, max(_second(moment) + 1, plan.start))
    return None if found is None or found > _end(rule, plan) else _moment(found)


def _second(moment: datetime) -> int:
    """Seconds since the day before 0001-01-01, fractions dropped."""
    utc = moment.astimezone(UTC)
    return utc.toordinal() * _DAY + utc.hour * 3600 + utc.minute * 60 + utc.second


def _moment(second: int) -> datetime:
    day, rest = divmod(second, _DAY)
    return datetime.combine(date.fromordinal(day), datetime.min.time(), UTC) + timedelta(seconds=rest)


@dataclass(frozen=True)
class _Plan:
    """A rule with what it leaves to the start filled in."""

    rule: Rule
    start: int
    """The second from which runs count."""
    unit: int
    """The number of the start's period."""
    every_month_on: int | None
    """The day of a MONTHLY rule that names none: in shorter months the last."""


@lru_cache(maxsize=256)
def _plan(rule: Rule, start: datetime) -> _Plan:
    utc, frequency = start.astimezone(UTC), rule.frequency
    filled, every_month_on = rule, None
    if not rule.names_days:
        if frequency == Frequency.YEARLY:
            filled = replace(rule, months=rule.months or (utc.month,), month_days=(utc.day,))
        elif frequency == Frequency.MONTHLY:
            every_month_on = utc.day
        elif frequency == Frequency.WEEKLY:
            filled = replace(rule, weekdays=(Weekday(utc.weekday()),))
    filled = replace(
        filled,
        hours=rule.hours or ((utc.hour,) if frequency < Frequency.HOURLY else ()),
        minutes=rule.minutes or ((utc.minute,) if frequency < Frequency.MINUTELY else ()),
        seconds=rule.seconds or ((utc.second,) if frequency < Frequency.SECONDLY else ()),
    )
    second = _second(start)
    return _Plan(filled, second, _unit_of(filled, second), every_month_on)


@lru_cache(maxsize=256)
def _end(rule: Rule, plan: _Plan) -> int:
    """The last second at which the rule may run: UNTIL, or the run that COUNT makes the last.

    Where every period holds the same number of runs that one is computed; otherwise the periods are walked once, and
    `COUNT_WALKED_MAX` bounds their number.
    """
    if rule.until is not None:
        return _second(rule.until)
    if rule.count is None:
        return _LAST_SECOND
    remaining, unit, skipped = rule.count, plan.unit, None
    while (found := _usable(plan, unit)) is not None:
        unit, runs = found, _runs(plan, found)
        if rule.even and skipped is not None:
            periods, remaining = divmod(remaining - 1, len(runs))
            unit += periods * rule.interval
            return _runs(plan, unit)[remaining] if _first_day(rule, unit) <= _LAST_DAY - 31 else _LAST_SECOND
        skipped = bisect_left(runs, plan.start) if unit == plan.unit else 0
        if remaining <= len(runs) - skipped:
            return runs[skipped + remaining - 1]
        remaining -= len(runs) - skipped
        unit += rule.interval
    return _LAST_SECOND


def _forward(plan: _Plan, earliest: int) -> int | None:
    """The first run at or after a second."""
    if earliest > _LAST_SECOND:
        return None
    unit: int | None = _aligned(plan, _unit_of(plan.rule, earliest))
    while unit is not None and (unit := _usable(plan, unit)) is not None:
        runs = _runs(plan, unit)
        index = bisect_left(runs, earliest)
        if index < len(runs):
            return runs[index]
        unit += plan.rule.interval
    return None


def _aligned(plan: _Plan, unit: int) -> int:
    """The nearest period in use at or after a given one, none before the start's."""
    interval = plan.rule.interval
    return max(plan.unit - (plan.unit - unit) // interval * interval, plan.unit)


def _usable(plan: _Plan, unit: int) -> int | None:
    """The nearest period in use, from a given one on, that holds a run; None at the end of time or of a cycle."""
    rule = plan.rule
    if not _can_meet(plan):
        return None
    cycle = lcm(_CYCLE_UNITS[rule.frequency], rule.interval)
    highest = min(unit + cycle, _unit_of(rule, _LAST_SECOND))
    while unit <= highest:
        beyond = _beyond_excluded(rule, unit)
        if beyond is None:
            if len(_runs(plan, unit)):
                return unit
            beyond = unit + 1
        unit = _aligned(plan, beyond)
    return None


def _beyond_excluded(rule: Rule, unit: int) -> int | None:
    """The first period past the month, day, hour or minute around a period that the rule excludes; None if none is.

    Only for DAILY and shorter: the days of longer periods are looked at one by one.
    """
    if rule.frequency < Frequency.DAILY:
        return None
    per_day = _PER_DAY[rule.frequency]
    ordinal, of_day = divmod(unit, per_day)
    day = date.fromordinal(ordinal)
    if rule.months and day.month not in rule.months:
        first = ordinal - day.day + 1
        after = first + calendar.monthrange(day.year, day.month)[1]
        return after * per_day
    if not _day_matches(rule, day):
        return (ordinal + 1) * per_day
    size = per_day
    for allowed, per_larger in ((rule.hours, 24), (rule.minutes, 60), (rule.seconds, 60)):
        if size == 1:
            break
        size //= per_larger
        if allowed and of_day // size % per_larger not in allowed:
            return (unit // size + 1) * size
    return None


@lru_cache(maxsize=256)
def _can_meet(plan: _Plan) -> bool:
    """Whether the steps of an HOURLY, MINUTELY or SECONDLY rule ever meet the times of day that it names.

    Steps that start at an even second and are even never meet an odd one: without this, the search for it would look
    at every minute of 400 years.
    """
    rule = plan.rule
    if rule.frequency < Frequency.HOURLY:
        return True
    per_day = _PER_DAY[rule.frequency]
    common = gcd(rule.interval, per_day)
    reached, size = {0}, per_day
    for allowed, per_larger in ((rule.hours, 24), (rule.minutes, 60), (rule.seconds, 60)):
        if size == 1:
            break
        size //= per_larger
        numbers = {number * size % common for number in allowed or range(per_larger)}
        reached = {(one + other) % common for one in reached for other in numbers}
    return plan.unit % common in reached


class _Runs(Sequence[int]):
    """The runs of a period in order, computed one by one: days × hours × minutes × seconds, or the positions of them."""

    def __init__(
        self, days: Sequence[int], rule: Rule, hours: Sequence[int], minutes: Sequence[int], seconds: Sequence[int]
    ) -> None:
        self._days, self._hours, self._minutes, self._seconds = days, hours, minutes, seconds
        self._all = len(days) * len(hours) * len(minutes) * len(seconds)
        self._chosen: Sequence[int] = range(self._all)
        if rule.positions:
            places = {place - 1 if place > 0 else self._all + place for place in rule.positions}
            self._chosen = sorted(place for place in places if 0 <= place < self._all)

    def __len__(self) -> int:
        return len(self._chosen)

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[int]: ...
    def __getitem__(self, index: int | slice) -> int | Sequence[int]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        rest, second = divmod(self._chosen[index], len(self._seconds))
        rest, minute = divmod(rest, len(self._minutes))
        day, hour = divmod(rest, len(self._hours))
        return self._days[day] * _DAY + self._hours[hour] * 3600 + self._minutes[minute] * 60 + self._seconds[second]


def _runs(plan: _Plan, unit: int) -> _Runs:
    rule = plan.rule
    hours, minutes, seconds = rule.hours, rule.minutes, rule.seconds
    if rule.frequency >= Frequency.DAILY:
        ordinal, of_day = divmod(unit, _PER_DAY[rule.frequency])
        days: Sequence[int] = [ordinal]
        second = of_day * (_DAY // _PER_DAY[rule.frequency])
        if rule.frequency >= Frequency.HOURLY:
            hours = (second // 3600,)
        if rule.frequency >= Frequency.MINUTELY:
            minutes = (second // 60 % 60,)
        if rule.frequency == Frequency.SECONDLY:
            seconds = (second % 60,)
    else:
        days = _days(plan, unit)
    return _Runs(days, rule, hours, minutes, seconds)


def _unit_of(rule: Rule, second: int) -> int:
    """The number of the period that holds a second."""
    ordinal = second // _DAY
    match rule.frequency:
        case Frequency.YEARLY:
            return date.fromordinal(ordinal).year
        case Frequency.MONTHLY:
            day = date.fromordinal(ordinal)
            return day.year * 12 + day.month - 1
        case Frequency.WEEKLY:
            return (ordinal - 1 - rule.week_start) // 7  # ordinal 1 is a Monday
        case frequency:
            return second // (_DAY // _PER_DAY[frequency])


def _first_day(rule: Rule, unit: int) -> int:
    """The ordinal of a period's first day; past the calendar's end a number beyond it."""
    match rule.frequency:
        case Frequency.YEARLY:
            return date(unit, 1, 1).toordinal() if unit <= date.max.year else _LAST_DAY + 1
        case Frequency.MONTHLY:
            year, month = divmod(unit, 12)
            return date(year, month + 1, 1).toordinal() if year <= date.max.year else _LAST_DAY + 1
        case Frequency.WEEKLY:
            return unit * 7 + 1 + rule.week_start
        case frequency:
            return unit // _PER_DAY[frequency]


def _days(plan: _Plan, unit: int) -> list[int]:
    """The ordinals of a year's, month's or week's days on which the rule runs."""
    rule, first = plan.rule, _first_day(plan.rule, unit)
    if rule.frequency == Frequency.WEEKLY:
        inside = range(max(first, 1), min(first + 7, _LAST_DAY + 1))
        return [ordinal for ordinal in inside if _day_matches(rule, date.fromordinal(ordinal))]
    year, month = (unit, 0) if rule.frequency == Frequency.YEARLY else divmod(unit, 12)
    months = [month + 1] if rule.frequency == Frequency.MONTHLY else rule.months or range(1, 13)
    if plan.every_month_on is not None:
        day = min(plan.every_month_on, calendar.monthrange(year, month + 1)[1])
        return [first + day - 1] if not rule.months or month + 1 in rule.months else []
    days = []
    for number in months:
        start = date(year, number, 1).toordinal()
        for ordinal in range(start, start + calendar.monthrange(year, number)[1]):
            if _day_matches(rule, date.fromordinal(ordinal)):
                days.append(ordinal)
    return days


def _day_matches(rule: Rule, day: date) -> bool:
    """Whether each part that names days names this one."""
    if rule.months and day.month not in rule.months:
        return False
    if rule.month_days and not _named(rule.month_days, day.day, calendar.monthrange(day.year, day.month)[1]):
        return False
    days_of_year = 366 if calendar.isleap(day.year) else 365
    if rule.year_days and not _named(rule.year_days, day.timetuple().tm_yday, days_of_year):
        return False
    if rule.week_numbers and not _named(rule.week_numbers, *_week_of_year(day, rule.week_start)):
        return False
    return not rule.weekdays or _weekday_matches(rule, day, days_of_year)


def _named(numbers: Sequence[int], number: int, of: int) -> bool:
    return number in numbers or number - of - 1 in numbers


def _weekday_matches(rule: Rule, day: date, days_of_year: int) -> bool:
    weekday = day.weekday()
    for named in rule.weekdays:
        if named.day != weekday:
            continue
        if not named.ordinal:
            return True
        if rule.frequency == Frequency.MONTHLY or rule.months:  # counted in the month, otherwise in the year
            place, length = day.day, calendar.monthrange(day.year, day.month)[1]
        else:
            place, length = day.timetuple().tm_yday, days_of_year
        if named.ordinal == ((place - 1) // 7 + 1 if named.ordinal > 0 else -((length - place) // 7 + 1)):
            return True
    return False


def _week_of_year(day: date, week_start: int) -> tuple[int, int]:
    """The number of a day's week and how many weeks its week-year has; week 1 has at least four days of its year."""
    ordinal = day.toordinal()
    middle = ordinal - (day.weekday() - week_start) % 7 + 3  # the year that holds a week's fourth day owns the week
    year = day.year
    first, last = date(year, 1, 1).toordinal(), date(year, 12, 31).toordinal()
    if middle < first:
        year, first, last = year - 1, first - (366 if calendar.isleap(year - 1) else 365), first - 1
    elif middle > last:
        first, last = last + 1, last + (366 if calendar.isleap(year + 1) else 365)
    return (middle - first) // 7 + 1, (last - middle) // 7 + (middle - first) // 7 + 1
