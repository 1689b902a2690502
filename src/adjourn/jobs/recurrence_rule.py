"""A recurrence pattern read from its text: RFC 2445 rule parts, semicolon separated, as `recurrencepattern` holds them.

Letters may be of either case and a last semicolon may follow; the property name `RRULE:` is no part of the pattern.
What cannot be understood is refused with the position in the text and 0x8004E100; what is understood and can never
occur, such as 30 February, with 0x80040246. Source: RFC 2445 §4.3.10; specification, "Recurrence start times and
patterns".
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum

from adjourn import errors

TEXT_CHARACTERS_MAX = 2000
"""Every second of a minute, minute of an hour and hour of a day together take 430."""
INTERVAL_MAX = 1_000_000_000
"""Seconds: some thirty years."""
COUNT_MAX = 10_000_000
COUNT_WALKED_MAX = 10_000
"""Where periods hold different numbers of runs, the last run is found by walking; this bounds the walk."""


class Frequency(IntEnum):
    """FREQ, from the longest period to the shortest."""

    YEARLY = 0
    MONTHLY = 1
    WEEKLY = 2
    DAILY = 3
    HOURLY = 4
    MINUTELY = 5
    SECONDLY = 6


WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


@dataclass(frozen=True, order=True)
class Weekday:
    """One BYDAY value. day: 0 is Monday; ordinal: 0 is every, -1 the last of the month or year."""

    day: int
    ordinal: int = 0


@dataclass(frozen=True)
class Rule:
    """A pattern. Every list is sorted and without repetition; an empty one means that the part is not given."""

    frequency: Frequency
    interval: int = 1
    count: int | None = None
    until: datetime | None = None
    months: tuple[int, ...] = ()
    week_numbers: tuple[int, ...] = ()
    year_days: tuple[int, ...] = ()
    month_days: tuple[int, ...] = ()
    weekdays: tuple[Weekday, ...] = ()
    hours: tuple[int, ...] = ()
    minutes: tuple[int, ...] = ()
    seconds: tuple[int, ...] = ()
    positions: tuple[int, ...] = ()
    week_start: int = 0

    @property
    def names_days(self) -> bool:
        """Whether a part says which days; if none does, the start does."""
        return bool(self.week_numbers or self.year_days or self.month_days or self.weekdays)

    @property
    def even(self) -> bool:
        """Whether every whole period holds the same number of runs, whatever the start."""
        frequency = self.frequency
        if self.months or self.week_numbers or self.year_days or self.month_days or frequency == Frequency.YEARLY:
            return False
        if self.weekdays and frequency != Frequency.WEEKLY:
            return False
        narrowing = (self.hours, self.minutes, self.seconds)[: max(0, frequency - Frequency.DAILY)]
        return not any(narrowing)


_NUMBERS: dict[str, tuple[str, int, int, bool]] = {
    # part: field, least, most, whether it may count from the end
    "BYMONTH": ("months", 1, 12, False),
    "BYWEEKNO": ("week_numbers", 1, 53, True),
    "BYYEARDAY": ("year_days", 1, 366, True),
    "BYMONTHDAY": ("month_days", 1, 31, True),
    "BYHOUR": ("hours", 0, 23, False),
    "BYMINUTE": ("minutes", 0, 59, False),
    "BYSECOND": ("seconds", 0, 59, False),
    "BYSETPOS": ("positions", 1, 366, True),
}
_PARTS = ("FREQ", "INTERVAL", "COUNT", "UNTIL", *_NUMBERS, "BYDAY", "WKST")
_MOMENT = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})(?:T([0-9]{2})([0-9]{2})([0-9]{2})Z?)?")
_WEEKDAY = re.compile(r"([+-]?[0-9]{1,2})?(MO|TU|WE|TH|FR|SA|SU)")


def _refusal(message: str, position: int) -> errors.QueryError:
    return errors.QueryError(f"Recurrence pattern: {message}", code=errors.RECURRENCE_INVALID, position=position)


def parse(text: str) -> Rule:
    """The rule of a pattern such as `FREQ=DAILY;INTERVAL=3;`.

    Raises QueryError with the position (from 0) of what is wrong: 0x8004E100, or 0x80040246 for a rule that never
    occurs. An empty pattern is refused: that it means "run once" is the business of the message that takes it.
    """
    if len(text) > TEXT_CHARACTERS_MAX:
        raise _refusal(f"{len(text)} characters; at most {TEXT_CHARACTERS_MAX} are accepted", TEXT_CHARACTERS_MAX)
    values = _values(text)
    if "FREQ" not in values:
        raise _refusal(f"FREQ is missing; it is one of {', '.join(Frequency.__members__)}", 0)
    fields: dict[str, object] = {}
    for part, (value, at) in values.items():
        field, reading = _READINGS[part]
        fields[field] = reading(part, value, at)
    rule = Rule(**fields)  # type: ignore[arg-type]
    _check_together(rule, {part: at for part, (_, at) in values.items()})
    return rule


def _values(text: str) -> dict[str, tuple[str, int]]:
    """Each part's value and its position."""
    values: dict[str, tuple[str, int]] = {}
    at = 0
    pieces = text.upper().split(";") if text.isascii() else []
    if not pieces:
        at = next(index for index, character in enumerate(text) if not character.isascii())
        raise _refusal(f"{text[at]!r} does not belong in a pattern", at)
    if pieces[-1] == "" and len(pieces) > 1:
        pieces.pop()
    for piece in pieces:
        name, equals, value = piece.partition("=")
        if name.startswith("RRULE:"):
            raise _refusal("'RRULE:' is no part of the pattern, which begins with 'FREQ='", at)
        if not equals or not value:
            raise _refusal(f"{piece[:40]!r} is not of the form NAME=VALUE, as in FREQ=DAILY;INTERVAL=3;", at)
        if name not in _PARTS:
            raise _refusal(f"{name[:40]!r} is not a rule part.{errors.nearest(name[:40], _PARTS)}", at)
        if name in values:
            raise _refusal(f"{name} is given twice", at)
        values[name] = value, at + len(name) + 1
        at += len(piece) + 1
    return values


def _frequency(part: str, value: str, at: int) -> Frequency:
    if value not in Frequency.__members__:
        names = Frequency.__members__
        raise _refusal(f"FREQ={value[:40]} is not one of {', '.join(names)}.{errors.nearest(value[:40], names)}", at)
    return Frequency[value]


def _positive(most: int) -> Callable[[str, str, int], int]:
    def reading(part: str, value: str, at: int) -> int:
        if not re.fullmatch(r"[0-9]{1,12}", value) or not 1 <= int(value) <= most:
            raise _refusal(f"{part}={value[:40]} is not a whole number from 1 to {most}", at)
        return int(value)

    return reading


def _until(part: str, value: str, at: int) -> datetime:
    found = _MOMENT.fullmatch(value)
    try:
        if found is None:
            raise ValueError("not of the form")
        numbers = [int(group) for group in found.groups() if group is not None]
        moment = datetime(*numbers, tzinfo=UTC)  # type: ignore[misc,arg-type]
    except ValueError:
        accepted = "such as 20300501T180000Z or 20300501"
        raise _refusal(f"UNTIL={value[:40]} is not a moment {accepted}", at) from None
    # A day alone includes that day: a bound is inclusive (RFC 2445), and every run here has a time of day.
    return moment if len(numbers) > 3 else moment + timedelta(days=1, seconds=-1)


def _numbers(part: str, value: str, at: int) -> tuple[int, ...]:
    _, least, most, from_end = _NUMBERS[part]
    found: set[int] = set()
    for item in value.split(","):
        pattern = r"[+-]?[0-9]{1,3}" if from_end else r"[0-9]{1,3}"
        number = int(item) if re.fullmatch(pattern, item) else None
        if number is None or not least <= abs(number) <= most:
            both = f" or -{most} to -{least}" if from_end else ""
            raise _refusal(f"{part}={item[:40]} is not a whole number from {least} to {most}{both}", at)
        if number in found:
            raise _refusal(f"{part} names {number} twice", at)
        found.add(number)
        at += len(item) + 1
    return tuple(sorted(found))


def _weekdays(part: str, value: str, at: int) -> tuple[Weekday, ...]:
    found: set[Weekday] = set()
    for item in value.split(","):
        match = _WEEKDAY.fullmatch(item)
        ordinal = int(match[1] or 0) if match else 0
        if match is None or (match[1] and not 1 <= abs(ordinal) <= 53):
            raise _refusal(f"BYDAY={item[:40]} is not a day such as MO, 2TU or -1FR", at)
        weekday = Weekday(WEEKDAYS.index(match[2]), ordinal)
        if weekday in found:
            raise _refusal(f"BYDAY names {item} twice", at)
        found.add(weekday)
        at += len(item) + 1
    return tuple(sorted(found))


def _week_start(part: str, value: str, at: int) -> int:
    if value not in WEEKDAYS:
        raise _refusal(f"WKST={value[:40]} is not one of {', '.join(WEEKDAYS)}", at)
    return WEEKDAYS.index(value)


_READINGS: dict[str, tuple[str, Callable[[str, str, int], object]]] = {
    "FREQ": ("frequency", _frequency),
    "INTERVAL": ("interval", _positive(INTERVAL_MAX)),
    "COUNT": ("count", _positive(COUNT_MAX)),
    "UNTIL": ("until", _until),
    "BYDAY": ("weekdays", _weekdays),
    "WKST": ("week_start", _week_start),
    **{part: (field, _numbers) for part, (field, *_) in _NUMBERS.items()},
}


def _check_together(rule: Rule, at: dict[str, int]) -> None:
    """Refuse parts that contradict each other, and what can never occur."""
    frequency = rule.frequency
    if rule.count and rule.until:
        raise _refusal("COUNT and UNTIL exclude each other", max(at["COUNT"], at["UNTIL"]))
    if rule.count and rule.count > COUNT_WALKED_MAX and not rule.even:
        why = "the most where periods hold different numbers of runs"
        raise _refusal(f"COUNT={rule.count} is more than {COUNT_WALKED_MAX}, {why}", at["COUNT"])
    for part in ("BYYEARDAY", "BYWEEKNO"):
        if part in at and frequency != Frequency.YEARLY:
            raise _refusal(f"{part} belongs to FREQ=YEARLY only, not {frequency.name}", at[part])
    if any(weekday.ordinal for weekday in rule.weekdays):
        if frequency > Frequency.MONTHLY:
            raise _refusal(f"BYDAY counts days in FREQ=MONTHLY and YEARLY only, not {frequency.name}", at["BYDAY"])
        if rule.week_numbers:
            raise _refusal("BYDAY cannot count days beside BYWEEKNO", at["BYDAY"])
        in_month = frequency == Frequency.MONTHLY or rule.months
        if in_month and any(abs(weekday.ordinal) > 5 for weekday in rule.weekdays):
            raise _never("no month has more than five of a weekday", at["BYDAY"])
    if rule.week_numbers and not rule.weekdays:
        raise _refusal("BYWEEKNO needs BYDAY, to say which days of the week", at["BYWEEKNO"])
    if rule.positions:
        if not (rule.months or rule.names_days or rule.hours or rule.minutes or rule.seconds):
            raise _refusal("BYSETPOS needs another BY part to choose from", at["BYSETPOS"])
        times = (rule.hours, rule.minutes, rule.seconds)[max(0, frequency - Frequency.DAILY) :]
        most = {Frequency.YEARLY: 366, Frequency.MONTHLY: 31, Frequency.WEEKLY: 7}.get(frequency, 1)
        for values in times:
            most *= len(values) or 1
        if all(abs(position) > most for position in rule.positions):
            raise _never(f"a period holds at most {most} runs", at["BYSETPOS"])
    if rule.month_days:
        longest = max(calendar.monthrange(2024, month)[1] for month in rule.months or range(1, 13))
        if all(abs(day) > longest for day in rule.month_days):
            raise _never(f"no such month has more than {longest} days", at["BYMONTHDAY"])


def _never(why: str, position: int) -> errors.QueryError:
    return errors.QueryError(
        f"Recurrence pattern: it can never occur, for {why}", code=errors.RECURRENCE_NEVER, position=position
    )
