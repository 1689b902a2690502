"""Random rules run exactly when python-dateutil says, but for the one deliberate difference."""

from __future__ import annotations

import contextlib
from bisect import bisect_right
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile

import pytest
from dateutil.rrule import rrulestr
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.support.recurrences import occurrences, printed

from adjourn import errors
from adjourn.jobs.recurrence import next_after
from adjourn.jobs.recurrence_rule import Frequency, Rule, parse
from adjourn.jobs.recurrence_words import in_words

MANY = settings(max_examples=700, deadline=None)
HORIZONS = {
    Frequency.YEARLY: timedelta(days=366 * 30),
    Frequency.MONTHLY: timedelta(days=366 * 10),
    Frequency.WEEKLY: timedelta(days=366 * 3),
    Frequency.DAILY: timedelta(days=366),
    Frequency.HOURLY: timedelta(days=60),
    Frequency.MINUTELY: timedelta(days=5),
    Frequency.SECONDLY: timedelta(days=2),
}
RUNS_MAX = 60

DAYS = st.sampled_from(["MO", "TU", "WE", "TH", "FR", "SA", "SU"])
SEEDS = [
    datetime(2024, 2, 29, 5, 30),
    datetime(1900, 1, 31, 23, 59, 59),
    datetime(2100, 2, 28),
    datetime(2027, 12, 31, 18),
]
STARTS = (
    st.datetimes(datetime(1890, 1, 1), datetime(2110, 1, 1)).map(lambda moment: moment.replace(microsecond=0))
    | st.sampled_from(SEEDS)
).map(lambda moment: moment.replace(tzinfo=UTC))


def some(values: st.SearchStrategy[object]) -> st.SearchStrategy[str]:
    return st.lists(values, min_size=1, max_size=4, unique=True).map(lambda items: ",".join(map(str, items)))


def either_end(most: int) -> st.SearchStrategy[object]:
    return st.integers(1, most) | st.integers(-most, -1)


@st.composite
def patterns(draw: st.DrawFn) -> str:
    frequency = draw(st.sampled_from(list(Frequency)))
    parts = [f"FREQ={frequency.name}"]

    def perhaps(part: str, values: st.SearchStrategy[object]) -> None:
        if draw(st.integers(0, 3)) == 0:
            parts.append(f"{part}={draw(values)}")

    perhaps("INTERVAL", st.integers(1, 40))
    perhaps("BYMONTH", some(st.integers(1, 12)))
    perhaps("BYMONTHDAY", some(either_end(31)))
    if frequency <= Frequency.MONTHLY:
        most = 5 if frequency == Frequency.MONTHLY or any(part.startswith("BYMONTH=") for part in parts) else 53
        perhaps("BYDAY", some(DAYS | st.builds(lambda day, at: f"{at}{day}", DAYS, either_end(most))))
    else:
        perhaps("BYDAY", some(DAYS))
    if frequency == Frequency.YEARLY:
        perhaps("BYYEARDAY", some(either_end(366)))
        if draw(st.integers(0, 7)) == 0 and not any(part.startswith("BYDAY") for part in parts):
            parts += [f"BYWEEKNO={draw(some(st.integers(1, 53) | st.integers(-50, -1)))}", f"BYDAY={draw(some(DAYS))}"]
    perhaps("BYHOUR", some(st.integers(0, 23)))
    perhaps("BYMINUTE", some(st.integers(0, 59)))
    perhaps("BYSECOND", some(st.integers(0, 59)))
    perhaps("BYSETPOS", some(either_end(6)))
    perhaps("WKST", DAYS)
    if draw(st.booleans()):
        parts.append(f"COUNT={draw(st.integers(1, 40))}")
    return ";".join(parts)


def accepted(pattern: str) -> Rule:
    try:
        return parse(pattern)
    except errors.QueryError:
        assume(False)
        raise


def differs_on_purpose(rule: Rule, start: datetime) -> bool:
    return rule.frequency == Frequency.MONTHLY and not rule.names_days and start.day > 28


def oracle(rule: Rule, start: datetime) -> list[datetime]:
    """python-dateutil's first runs up to a horizon.

    It looks at UNTIL only when it finds a run, so a rule that has none walks to the year 9999: those are left to
    `test_a_rule_that_says_never_is_met_by_no_step`.
    """
    end = start + HORIZONS[rule.frequency]
    beyond = next_after(replace(rule, count=None), start, end)
    assume(beyond is not None and beyond <= end + HORIZONS[rule.frequency])
    if rule.positions and rule.frequency == Frequency.WEEKLY:
        # dateutil counts positions of the first week from the start's day on, not from the week's first day
        assume((start.weekday() - rule.week_start) % 7 == 0 and (not rule.hours) and not rule.minutes)
    # dateutil gives the first days of January to week 53 where the year before has 52: see the test of ISO weeks
    assume(not {52, 53} & set(rule.week_numbers))
    # dateutil takes "1MO,FR" for days that are both; RFC 2445 for days that are either
    assume(len({bool(weekday.ordinal) for weekday in rule.weekdays}) < 2)
    text = ";".join(part for part in printed(rule).split(";") if not part.startswith("COUNT"))
    try:
        found = rrulestr(f"{text};UNTIL={end:%Y%m%dT%H%M%SZ}", dtstart=start)
    except ValueError as refused:
        assert "empty set" in str(refused)  # noqa: PT017 - it finds some impossible steps when it reads them
        return []
    return list(islice(found, min(rule.count or RUNS_MAX, RUNS_MAX)))


@MANY
@given(patterns(), STARTS)
def test_the_first_runs_are_the_oracles(pattern: str, start: datetime) -> None:
    rule = accepted(pattern)
    assume(not differs_on_purpose(rule, start))
    expected = oracle(rule, start)
    end = start + HORIZONS[rule.frequency]
    ours = list(
        islice(takewhile(lambda run: run <= end, occurrences(rule, start)), min(rule.count or RUNS_MAX, RUNS_MAX))
    )
    assert ours == expected


@MANY
@given(patterns(), STARTS, st.integers(-(10**6), 10**8), st.integers(0, RUNS_MAX - 1), st.integers(-1, 1))
def test_the_next_of_any_moment_is_the_oracle_s(
    pattern: str, start: datetime, seconds: int, at: int, nudge: int
) -> None:
    rule = accepted(pattern)
    assume(not differs_on_purpose(rule, start))
    expected = oracle(rule, start)
    moment = start + timedelta(seconds=seconds)
    if at < len(expected):  # a run itself, and the seconds beside it
        moment = expected[at] + timedelta(seconds=nudge)
    index = bisect_right(expected, moment)
    assume(moment <= start + HORIZONS[rule.frequency])
    if index < len(expected):
        assert next_after(rule, start, moment) == expected[index]
    elif rule.count is not None and len(expected) == rule.count:
        assert next_after(rule, start, moment) is None


@pytest.mark.parametrize("week", [1, 26, 51, 52, 53])
def test_weeks_are_those_of_iso_8601(week: int) -> None:
    start, end = datetime(1890, 1, 1, tzinfo=UTC), datetime(2110, 1, 1, tzinfo=UTC)
    rule = parse(f"FREQ=YEARLY;BYWEEKNO={week};BYDAY=MO,TU,WE,TH,FR,SA,SU;WKST=MO")
    days = (start + timedelta(days=number) for number in range((end - start).days))
    assert list(takewhile(lambda run: run < end, occurrences(rule, start))) == [
        day for day in days if day.isocalendar().week == week
    ]


STEPS = {
    Frequency.DAILY: timedelta(days=1),
    Frequency.HOURLY: timedelta(hours=1),
    Frequency.MINUTELY: timedelta(minutes=1),
    Frequency.SECONDLY: timedelta(seconds=1),
}


@MANY
@given(patterns().filter(lambda text: "YEARLY" not in text and "MONTHLY" not in text and "WEEKLY" not in text), STARTS)
def test_a_rule_that_says_never_is_met_by_no_step(pattern: str, start: datetime) -> None:
    """Steps of the rule one by one: the first that every part allows is in the first run's period, or there is none."""
    rule = replace(accepted(pattern), count=None, positions=())
    narrowing = {"hour": rule.hours, "minute": rule.minutes, "second": rule.seconds}
    finer = ("hour", "minute", "second")[: rule.frequency - Frequency.DAILY]
    first = next_after(rule, start, start + 400 * rule.interval * STEPS[rule.frequency])
    for number in range(400, 1200):
        step = start + number * rule.interval * STEPS[rule.frequency]
        last = (step.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
        if (
            (not rule.months or step.month in rule.months)
            and (not rule.month_days or {step.day, step.day - last.day - 1} & set(rule.month_days))
            and (not rule.weekdays or step.weekday() in {weekday.day for weekday in rule.weekdays})
            and all(not narrowing[name] or getattr(step, name) in narrowing[name] for name in finer)
        ):
            assert first is not None
            assert first <= step + STEPS[rule.frequency] * rule.interval or number == 400
            return
    assert first is None or first > step - STEPS[rule.frequency]


@MANY
@given(patterns(), STARTS)
def test_every_pattern_can_be_said(pattern: str, start: datetime) -> None:
    words = in_words(accepted(pattern), start)
    assert words.startswith(("every ", "on "))
    assert "  " not in words


@MANY
@given(patterns())
def test_the_printed_text_reads_back_as_the_same_rule(pattern: str) -> None:
    rule = accepted(pattern)
    assert parse(printed(rule)) == rule
    assert parse(printed(rule).lower() + ";") == rule


@MANY
@given(
    st.text(max_size=60)
    | st.lists(st.sampled_from(["FREQ", "=", ";", "DAILY", "BYDAY", ",", "-", "1", "MO", "É"])).map("".join)
)
def test_any_other_text_is_refused_by_name_and_position(text: str) -> None:
    with contextlib.suppress(errors.QueryError):
        parse(text)
        return
    with pytest.raises(errors.QueryError) as refused:
        parse(text)
    assert refused.value.code in (errors.RECURRENCE_INVALID, errors.RECURRENCE_NEVER)
    assert refused.value.position is not None
    assert 0 <= refused.value.position <= len(text)
