"""Patterns as people would say them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from adjourn.jobs.recurrence_rule import parse
from adjourn.jobs.recurrence_words import in_words

START = datetime(2030, 1, 1, 5, 30, tzinfo=UTC)
"""A Tuesday."""

SAID = [
    ("FREQ=DAILY;INTERVAL=3;", "every three days at 05:30 UTC"),
    (
        "FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=18;BYMINUTE=0;UNTIL=20300501",
        "on the last Friday of every month at 18:00 UTC, until 1 May 2030",
    ),
    ("FREQ=MONTHLY;", "on the 1st of every month at 05:30 UTC"),
    ("FREQ=WEEKLY;", "every week on Tuesday at 05:30 UTC"),
    ("FREQ=DAILY;", "every day at 05:30 UTC"),
    ("FREQ=HOURLY;", "every hour at minute 30"),
    ("FREQ=MINUTELY;INTERVAL=15", "every 15 minutes"),
    ("FREQ=SECONDLY;INTERVAL=7", "every seven seconds"),
    ("FREQ=YEARLY", "every year on 1 January at 05:30 UTC"),
    ("FREQ=YEARLY;BYMONTH=6,7", "every year on the 1st of June and July at 05:30 UTC"),
    (
        "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,FR;WKST=SU",
        "every two weeks on Monday and Friday at 05:30 UTC, weeks beginning on Sunday",
    ),
    (
        "FREQ=MONTHLY;INTERVAL=3;BYMONTHDAY=1,15,-1",
        "on the 1st, the 15th and the last day of every three months at 05:30 UTC",
    ),
    ("FREQ=MONTHLY;BYMONTHDAY=-2", "on the second to last day of every month at 05:30 UTC"),
    ("FREQ=MONTHLY;BYMONTHDAY=13;BYDAY=FR", "on the 13th of every month if it is a Friday at 05:30 UTC"),
    (
        "FREQ=MONTHLY;BYDAY=MO,TU;BYSETPOS=-1",
        "every month on every Monday and Tuesday at 05:30 UTC, of these only the last of each month",
    ),
    ("FREQ=DAILY;BYHOUR=6,18;COUNT=10", "every day at 06:30 and 18:30 UTC, ten times"),
    ("FREQ=DAILY;BYDAY=SA,SU;COUNT=1", "every day if it is a Saturday or a Sunday at 05:30 UTC, once"),
    ("FREQ=DAILY;BYMONTH=2;UNTIL=20300501T180000Z", "every day in February at 05:30 UTC, until 1 May 2030 18:00 UTC"),
    ("FREQ=YEARLY;BYDAY=20MO", "every year on the 20th Monday of the year at 05:30 UTC"),
    ("FREQ=YEARLY;BYMONTH=3;BYDAY=2SU", "every year on the second Sunday of the month in March at 05:30 UTC"),
    ("FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO", "every year in week 20 of the year on Monday at 05:30 UTC"),
    ("FREQ=YEARLY;BYYEARDAY=1,-1", "every year on the 1st and the last day of the year at 05:30 UTC"),
    ("FREQ=HOURLY;BYHOUR=9,17;BYSECOND=5", "every hour at second 5 of minute 30 of hours 9 and 17 UTC"),
    ("FREQ=MINUTELY;BYHOUR=9", "every minute in hour 9 UTC"),
]


@pytest.mark.parametrize(("pattern", "words"), SAID)
def test_a_pattern_is_said_in_plain_english(pattern: str, words: str) -> None:
    assert in_words(parse(pattern), START) == words


def test_what_the_start_makes_special_is_said() -> None:
    last, leap = datetime(2030, 1, 31, 5, 30, 15, tzinfo=UTC), datetime(2032, 2, 29, 18, tzinfo=UTC)
    assert (
        in_words(parse("FREQ=MONTHLY"), last)
        == "on the 31st of every month (the last day of a shorter month) at 05:30:15 UTC"
    )
    assert in_words(parse("FREQ=YEARLY"), leap) == "every year on 29 February, in leap years only, at 18:00 UTC"
