"""When a schedule is due: at its start, after what was missed, by a new pattern, and until it ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from adjourn import errors
from adjourn.jobs import timetable

NOW = datetime(2030, 1, 1, 12, 0, 0, 700_000, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@pytest.mark.parametrize(
    ("pattern", "start", "not_before", "due"),
    [
        ("FREQ=DAILY", None, None, NOW),
        ("FREQ=DAILY;BYHOUR=5", None, None, NOW),
        ("FREQ=DAILY", NOW + HOUR, None, NOW + HOUR),
        ("FREQ=DAILY", NOW - HOUR, None, NOW),
        ("FREQ=DAILY", NOW - 400 * DAY, None, NOW),
        ("FREQ=DAILY;BYHOUR=5;BYMINUTE=0;BYSECOND=0", NOW + HOUR, None, datetime(2030, 1, 2, 5, tzinfo=UTC)),
        ("FREQ=DAILY", None, NOW + DAY, NOW + DAY),
        ("FREQ=DAILY", NOW + HOUR, NOW + DAY, NOW + DAY),
        ("FREQ=DAILY;COUNT=1", NOW - HOUR, None, NOW),
    ],
)
def test_the_first_run_is_at_the_start_or_now(
    pattern: str, start: datetime | None, not_before: datetime | None, due: datetime
) -> None:
    assert timetable.first(pattern, start, NOW, not_before) == due


@pytest.mark.parametrize(
    ("pattern", "start"),
    [
        ("FREQ=DAILY;UNTIL=20200101", None),
        ("FREQ=DAILY;UNTIL=20200101", datetime(2019, 1, 1, tzinfo=UTC)),
        ("FREQ=DAILY;INTERVAL=7;BYDAY=WE", NOW),
    ],
)
def test_what_never_comes_is_refused(pattern: str, start: datetime | None) -> None:
    with pytest.raises(errors.QueryError) as refused:
        timetable.first(pattern, start, NOW)
    assert refused.value.code == errors.RECURRENCE_NEVER


def test_until_this_very_second_is_not_over() -> None:
    assert timetable.first("FREQ=DAILY;UNTIL=20300101T120000Z", None, NOW) == NOW


def test_the_next_moment_is_strictly_later_and_keeps_the_start_s_time_of_day() -> None:
    start = datetime(2029, 12, 31, 5, 30, tzinfo=UTC)
    assert timetable.following("FREQ=DAILY", start, NOW) == datetime(2030, 1, 2, 5, 30, tzinfo=UTC)
    assert timetable.following("FREQ=DAILY", start, start + DAY) == start + 2 * DAY
    assert timetable.following("FREQ=DAILY;COUNT=2", start, start + DAY) is None
    with pytest.raises(errors.QueryError):
        timetable.changed("FREQ=DAILY;COUNT=2", start, start + DAY)


def test_overdue_moments_are_not_listed_twice() -> None:
    start = datetime(2029, 12, 25, 5, 30, tzinfo=UTC)
    found = timetable.upcoming("FREQ=DAILY", start, start, NOW, 3)
    assert found == [start, datetime(2030, 1, 2, 5, 30, tzinfo=UTC), datetime(2030, 1, 3, 5, 30, tzinfo=UTC)]
