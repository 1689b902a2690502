"""The examples of RFC 2445 with their dates, the one deliberate difference, and what a search may cost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
from tests.support.recurrences import occurrences

from adjourn.jobs import recurrence
from adjourn.jobs.recurrence import next_after
from adjourn.jobs.recurrence_rule import parse

NINE = datetime(1997, 9, 2, 9, tzinfo=UTC)
"""A Tuesday: the start of nearly every example of RFC 2445 §4.8.5.4."""


def first_days(pattern: str, start: datetime, count: int) -> list[str]:
    return [f"{run:%Y-%m-%d}" for run in islice(occurrences(parse(pattern), start), count)]


EXAMPLES = [
    ("FREQ=DAILY;COUNT=10", "1997-09-02 1997-09-03 1997-09-04"),
    ("FREQ=DAILY;INTERVAL=10;COUNT=5", "1997-09-02 1997-09-12 1997-09-22 1997-10-02 1997-10-12"),
    ("FREQ=WEEKLY;INTERVAL=2;WKST=SU", "1997-09-02 1997-09-16 1997-09-30 1997-10-14"),
    ("FREQ=WEEKLY;COUNT=10;WKST=SU;BYDAY=TU,TH", "1997-09-02 1997-09-04 1997-09-09 1997-09-11"),
    ("FREQ=MONTHLY;COUNT=10;BYDAY=1FR", "1997-09-05 1997-10-03 1997-11-07 1997-12-05"),
    ("FREQ=MONTHLY;INTERVAL=2;COUNT=10;BYDAY=1SU,-1SU", "1997-09-07 1997-09-28 1997-11-02 1997-11-30"),
    ("FREQ=MONTHLY;COUNT=6;BYDAY=-2MO", "1997-09-22 1997-10-20 1997-11-17 1997-12-22"),
    ("FREQ=MONTHLY;BYMONTHDAY=-3", "1997-09-28 1997-10-29 1997-11-28 1997-12-29 1998-01-29 1998-02-26"),
    ("FREQ=MONTHLY;COUNT=10;BYMONTHDAY=1,-1", "1997-09-30 1997-10-01 1997-10-31 1997-11-01"),
    ("FREQ=YEARLY;COUNT=10;BYMONTH=6,7", "1998-06-02 1998-07-02 1999-06-02"),
    ("FREQ=YEARLY;INTERVAL=3;COUNT=10;BYYEARDAY=1,100,200", "2000-01-01 2000-04-09 2000-07-18 2003-01-01"),
    ("FREQ=YEARLY;BYDAY=20MO", "1998-05-18 1999-05-17 2000-05-15"),
    ("FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO", "1998-05-11 1999-05-17 2000-05-15"),
    ("FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13", "1998-02-13 1998-03-13 1998-11-13 1999-08-13 2000-10-13"),
    ("FREQ=MONTHLY;BYDAY=SA;BYMONTHDAY=7,8,9,10,11,12,13", "1997-09-13 1997-10-11 1997-11-08 1997-12-13"),
    ("FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8", "1997-11-04 2001-11-06 2005-11-08"),
    ("FREQ=MONTHLY;COUNT=3;BYDAY=TU,WE,TH;BYSETPOS=3", "1997-09-04 1997-10-07 1997-11-06"),
    ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2", "1997-09-29 1997-10-30 1997-11-27 1997-12-30"),
    ("FREQ=MONTHLY;BYDAY=2TU,FR", "1997-09-05 1997-09-09 1997-09-12"),  # either, which dateutil reads as both
]


@pytest.mark.requirement("M107")
@pytest.mark.parametrize(("pattern", "days"), EXAMPLES)
def test_the_examples_of_the_standard(pattern: str, days: str) -> None:
    assert first_days(pattern, NINE, len(days.split())) == days.split()


def test_the_week_start_decides_which_weeks_are_skipped() -> None:
    start = datetime(1997, 8, 5, 9, tzinfo=UTC)
    pattern = "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST="
    assert first_days(pattern + "MO", start, 9) == ["1997-08-05", "1997-08-10", "1997-08-19", "1997-08-24"]
    assert first_days(pattern + "SU", start, 9) == ["1997-08-05", "1997-08-17", "1997-08-19", "1997-08-31"]


@pytest.mark.requirement("M61")
def test_the_time_of_day_of_the_start_is_kept() -> None:
    start = datetime(2030, 1, 1, 5, 30, tzinfo=UTC)
    run = next_after(parse("FREQ=DAILY;INTERVAL=3;"), start, datetime(2030, 6, 1, 12, tzinfo=UTC))
    assert run == datetime(2030, 6, 3, 5, 30, tzinfo=UTC)


@pytest.mark.requirement("M108")
def test_once_a_month_means_every_month() -> None:
    """The one deliberate difference from RFC 2445, which has no run in a month without the start's day."""
    start = datetime(2030, 1, 31, 18, tzinfo=UTC)
    assert first_days("FREQ=MONTHLY;", start, 5) == [
        "2030-01-31",
        "2030-02-28",
        "2030-03-31",
        "2030-04-30",
        "2030-05-31",
    ]
    assert first_days("FREQ=MONTHLY;BYMONTH=2", start, 3) == ["2030-02-28", "2031-02-28", "2032-02-29"]
    assert first_days("FREQ=MONTHLY;BYMONTHDAY=31", start, 3) == ["2030-01-31", "2030-03-31", "2030-05-31"]
    assert first_days("FREQ=MONTHLY;", datetime(2030, 1, 15, tzinfo=UTC), 3) == [
        "2030-01-15",
        "2030-02-15",
        "2030-03-15",
    ]
    assert first_days("FREQ=MONTHLY;COUNT=2", start, 9) == ["2030-01-31", "2030-02-28"]


def test_once_a_year_from_a_leap_day_means_leap_years() -> None:
    leap_day = datetime(2096, 2, 29, tzinfo=UTC)
    assert first_days("FREQ=YEARLY", leap_day, 2) == ["2096-02-29", "2104-02-29"]


def test_until_is_inclusive_and_a_day_alone_is_the_whole_day() -> None:
    start = datetime(2030, 1, 1, 18, tzinfo=UTC)
    for until in ("20300103T180000Z", "20300103T180000", "20300103"):
        assert first_days(f"FREQ=DAILY;UNTIL={until}", start, 9)[-1] == "2030-01-03"
    assert first_days("FREQ=DAILY;UNTIL=20300103T175959Z", start, 9)[-1] == "2030-01-02"


def test_missed_runs_of_ten_years_are_not_walked_through() -> None:
    start = datetime(2030, 1, 1, 5, 30, tzinfo=UTC)
    woken = datetime(2040, 1, 1, 5, 29, 59, tzinfo=UTC)
    assert next_after(parse("FREQ=DAILY"), start, woken) == datetime(2040, 1, 1, 5, 30, tzinfo=UTC)


NEVER_FROM_HERE = [
    "FREQ=SECONDLY;INTERVAL=2;BYSECOND=1",
    "FREQ=MINUTELY;INTERVAL=1440;BYHOUR=5",
    "FREQ=HOURLY;INTERVAL=48;BYHOUR=10",
    "FREQ=DAILY;INTERVAL=7;BYDAY=WE",
    "FREQ=MONTHLY;INTERVAL=12;BYMONTH=10",
    "FREQ=YEARLY;BYMONTHDAY=1;BYYEARDAY=2",
]
CASES = [
    # pattern, most periods that may be looked at
    ("FREQ=SECONDLY;INTERVAL=7", 2),
    ("FREQ=SECONDLY;BYMONTH=3;BYHOUR=5;BYMINUTE=30;BYSECOND=15", 200),
    ("FREQ=MINUTELY;INTERVAL=11;BYDAY=MO", 10),
    ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=29", 250),
    ("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,FR", 3),
    ("FREQ=MONTHLY;BYDAY=-1FR", 3),
    ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", 10),
    ("FREQ=DAILY;COUNT=10000000", 8),
]


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Every period that a search looks at."""
    seen: list[int] = []
    beyond = recurrence._beyond_excluded

    def counting(rule: recurrence.Rule, unit: int) -> int | None:
        seen.append(unit)
        return beyond(rule, unit)

    monkeypatch.setattr(recurrence, "_beyond_excluded", counting)
    return seen


@pytest.mark.parametrize(("pattern", "most"), CASES)
def test_the_cost_does_not_depend_on_how_far_the_start_lies_back(pattern: str, most: int, looked: list[int]) -> None:
    start = datetime(1900, 1, 31, 4, 5, 6, tzinfo=UTC)
    for year in (1901, 2030, 5000, 9980):
        looked.clear()
        moment = datetime(year, 6, 15, 12, 0, 1, tzinfo=UTC)
        assert next_after(parse(pattern), start, moment) is not None
        assert len(looked) <= most


@pytest.mark.parametrize("pattern", NEVER_FROM_HERE)
def test_a_rule_that_its_start_makes_impossible_ends_within_one_cycle(pattern: str, looked: list[int]) -> None:
    assert next_after(parse(pattern), NINE, NINE) is None
    assert len(looked) <= 45_000


def test_a_count_of_ten_million_is_computed() -> None:
    start = datetime(2030, 1, 1, tzinfo=UTC)
    rule = parse("FREQ=SECONDLY;INTERVAL=7;COUNT=10000000")
    last = start + timedelta(seconds=7 * 9_999_999)
    assert next_after(rule, start, last) is None
    assert next_after(rule, start, last - timedelta(seconds=1)) == last


def test_the_calendar_ends_with_the_year_9999() -> None:
    end = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    for frequency in ("SECONDLY", "MINUTELY", "HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY"):
        rule = parse(f"FREQ={frequency}")
        assert next_after(rule, NINE, end) is None
