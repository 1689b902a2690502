"""A recurrence pattern as a person would say it: "every three days at 05:30 UTC".

The sentence is built of the same few phrases for every pattern: how often and on which days, in which months, at which
times, which of them, until when. What the rule leaves to the start is said too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import product

from adjourn.jobs.recurrence_rule import Frequency, Rule, Weekday

TIMES_LISTED_MAX = 6
"""More times of day than these are told as hours, minutes and seconds."""

_SMALL = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_ORDINALS = ("zeroth", "first", "second", "third", "fourth", "fifth")
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_UNITS = ("year", "month", "week", "day", "hour", "minute", "second")


def in_words(rule: Rule, start: datetime) -> str:
    """The pattern in English, as it works from this start."""
    utc = start.astimezone(UTC)
    text = f"{_days(rule, utc)}{_times(rule, utc)}"
    if rule.positions:
        chosen = _and(f"the {_ordinal(position)}" for position in rule.positions)
        text += f", of these only {chosen} of each {_UNITS[rule.frequency]}"
    if rule.week_start and rule.frequency == Frequency.WEEKLY and (rule.interval > 1 or rule.positions):
        text += f", weeks beginning on {_DAYS[rule.week_start]}"
    if rule.until is not None:
        until = rule.until
        text += f", until {until.day} {_MONTHS[until.month - 1]} {until.year}"
        if f"{until:%H%M%S}" != "235959":
            text += f" {_clock(until.hour, until.minute, until.second, exact=bool(until.second))} UTC"
    if rule.count is not None:
        text += ", once" if rule.count == 1 else f", {_number(rule.count)} times"
    return text


def _days(rule: Rule, start: datetime) -> str:
    """How often, and on which days of which months."""
    unit = _UNITS[rule.frequency]
    every = f"every {unit}" if rule.interval == 1 else f"every {_number(rule.interval)} {unit}s"
    month = f" in {_and(_MONTHS[number - 1] for number in rule.months)}" if rule.months else ""
    if not rule.names_days:
        match rule.frequency:
            case Frequency.YEARLY if rule.months:
                return f"{every} on the {_ordinal(start.day)}{month.replace(' in ', ' of ', 1)}"
            case Frequency.YEARLY:
                leap = ", in leap years only," if (start.month, start.day) == (2, 29) else ""
                return f"{every} on {start.day} {_MONTHS[start.month - 1]}{leap}"
            case Frequency.MONTHLY:
                last = f" (the last day of a shorter month){month}" if start.day > 28 else month
                return f"on the {_ordinal(start.day)} of {every}{last}"
            case Frequency.WEEKLY:
                return f"{every} on {_DAYS[start.weekday()]}{month}"
            case _:
                return f"{every}{month}"
    counted = any(weekday.ordinal for weekday in rule.weekdays)
    of_month = rule.frequency == Frequency.MONTHLY or bool(rule.months)
    phrases = []
    if rule.week_numbers:
        weeks = _and(str(number) if number > 0 else f"the {_ordinal(number)}" for number in rule.week_numbers)
        phrases.append(f"in week{'s' * (len(rule.week_numbers) > 1)} {weeks} of the year")
    if rule.year_days:
        phrases.append(f"on {_which_days(rule.year_days)} of the year")
    if rule.month_days:
        whole = of_month and rule.frequency == Frequency.MONTHLY
        phrases.append(f"on {_which_days(rule.month_days)} of {every if whole else 'the month'}")
    if rule.weekdays:
        if phrases and not rule.week_numbers:
            phrases.append(f"if it is {_or(_weekday(weekday, article=True) for weekday in rule.weekdays)}")
        elif counted and rule.frequency == Frequency.MONTHLY:
            phrases.append(f"on {_and(_weekday(weekday) for weekday in rule.weekdays)} of {every}")
        elif counted:
            span = "month" if of_month else "year"
            phrases.append(f"on {_and(_weekday(weekday) for weekday in rule.weekdays)} of the {span}")
        elif rule.frequency == Frequency.WEEKLY or rule.week_numbers:
            phrases.append(f"on {_and(_DAYS[weekday.day] for weekday in rule.weekdays)}")
        elif rule.frequency >= Frequency.DAILY:
            phrases.append(f"if it is {_or(f'a {_DAYS[weekday.day]}' for weekday in rule.weekdays)}")
        else:
            phrases.append(f"on every {_and(_DAYS[weekday.day] for weekday in rule.weekdays)}")
    said = " ".join(phrases)
    if every in said:
        return said + month
    return f"{every} {said}{month}"


def _times(rule: Rule, start: datetime) -> str:
    """At which times of the day, hour or minute."""
    frequency = rule.frequency
    hours = rule.hours or ((start.hour,) if frequency < Frequency.HOURLY else ())
    minutes = rule.minutes or ((start.minute,) if frequency < Frequency.MINUTELY else ())
    seconds = rule.seconds or ((start.second,) if frequency < Frequency.SECONDLY else ())
    if frequency < Frequency.HOURLY and len(hours) * len(minutes) * len(seconds) <= TIMES_LISTED_MAX:
        clocks = (_clock(*time, exact=any(seconds)) for time in product(hours, minutes, seconds))
        return f" at {_and(clocks)} UTC"
    phrases = []
    if any(seconds) or rule.seconds:
        phrases.append(f"second{'s' * (len(seconds) > 1)} {_and(map(str, seconds))}")
    if minutes:
        phrases.append(f"minute{'s' * (len(minutes) > 1)} {_and(map(str, minutes))}")
    text = f" at {' of '.join(phrases)}" if phrases else ""
    if hours:
        text += f"{' of' if phrases else ' in'} hour{'s' * (len(hours) > 1)} {_and(map(str, hours))} UTC"
    return text


def _clock(hour: int, minute: int, second: int, *, exact: bool) -> str:
    return f"{hour:02}:{minute:02}" + (f":{second:02}" if exact else "")


def _which_days(numbers: Sequence[int]) -> str:
    """`the 1st, the 15th and the last day`: those counted from the end come last."""
    ahead = [f"the {_ordinal(number)}" for number in numbers if number > 0]
    behind = [f"the {_ordinal(number)} day" for number in reversed(numbers) if number < 0]
    return _and(ahead + behind)


def _weekday(weekday: Weekday, *, article: bool = False) -> str:
    name = _DAYS[weekday.day]
    if weekday.ordinal:
        return f"the {_ordinal(weekday.ordinal, spelled=True)} {name}"
    return f"a {name}" if article else f"every {name}"


def _ordinal(number: int, *, spelled: bool = False) -> str:
    """1st, 22nd, last, second to last; spelled: first for 1st."""
    if number == -1:
        return "last"
    if number < 0:
        return f"{_ordinal(-number, spelled=True)} to last"
    if spelled and number < len(_ORDINALS):
        return _ORDINALS[number]
    suffix = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"


def _number(number: int) -> str:
    return _SMALL[number] if number < len(_SMALL) else f"{number:,}"


def _and(items: Iterable[str], word: str = "and") -> str:
    *ahead, last = items
    return f"{', '.join(ahead)} {word} {last}" if ahead else last


def _or(items: Iterable[str]) -> str:
    return _and(items, "or")
