"""What is refused in a pattern: by name, at its position, with its code."""

from __future__ import annotations

import pytest
from tests.support.recurrences import printed

from adjourn import errors
from adjourn.jobs.recurrence_rule import Frequency, Rule, parse

INVALID, NEVER = errors.RECURRENCE_INVALID, errors.RECURRENCE_NEVER
REFUSED = [
    ("", "'' is not of the form NAME=VALUE, as in FREQ=DAILY;INTERVAL=3;", 0, INVALID),
    (";", "'' is not of the form NAME=VALUE", 0, INVALID),
    ("nonsense", "'NONSENSE' is not of the form", 0, INVALID),
    ("RRULE:FREQ=DAILY", "'RRULE:' is no part of the pattern", 0, INVALID),
    ("INTERVAL=2", "FREQ is missing", 0, INVALID),
    ("FREQ=DIALY", "FREQ=DIALY is not one of .* Did you mean 'DAILY'?", 5, INVALID),
    ("FREQ=DAILY;;", "'' is not of the form", 11, INVALID),
    ("FREQ=DAILY; INTERVAL=2", "' INTERVAL' is not a rule part", 11, INVALID),
    ("FREQ=DAILY;INTERVALL=2", "Did you mean 'INTERVAL'?", 11, INVALID),
    ("FREQ=DAILY;FREQ=DAILY", "FREQ is given twice", 11, INVALID),
    ("FREQ=DAILY;INTERVAL=0", "INTERVAL=0 is not a whole number from 1", 20, INVALID),
    ("FREQ=DAILY;INTERVAL=-1", "INTERVAL=-1 is not", 20, INVALID),
    ("FREQ=DAILY;INTERVAL=" + "9" * 500, "INTERVAL=9{40} is not", 20, INVALID),
    ("FREQ=DAILY;COUNT=0", "COUNT=0 is not", 17, INVALID),
    ("FREQ=DAILY;BYDAY=MO;COUNT=10001", "COUNT=10001 is more than 10000", 26, INVALID),
    ("FREQ=DAILY;COUNT=1;UNTIL=20300101", "COUNT and UNTIL exclude each other", 25, INVALID),
    ("FREQ=DAILY;UNTIL=20300230", "UNTIL=20300230 is not a moment", 17, INVALID),
    ("FREQ=DAILY;UNTIL=2030-01-01", "is not a moment such as", 17, INVALID),
    ("FREQ=DAILY;BYHOUR=1,24", "BYHOUR=24 is not a whole number from 0 to 23", 20, INVALID),
    ("FREQ=DAILY;BYHOUR=1,1", "BYHOUR names 1 twice", 20, INVALID),
    ("FREQ=DAILY;BYSECOND=60", "BYSECOND=60 is not", 20, INVALID),
    ("FREQ=DAILY;BYHOUR=-1", "BYHOUR=-1 is not", 18, INVALID),
    ("FREQ=MONTHLY;BYMONTHDAY=0", "BYMONTHDAY=0 is not .* 1 to 31 or -31 to -1", 24, INVALID),
    ("FREQ=MONTHLY;BYDAY=XX", "BYDAY=XX is not a day such as", 19, INVALID),
    ("FREQ=MONTHLY;BYDAY=MO,0FR", "BYDAY=0FR is not a day", 22, INVALID),
    ("FREQ=MONTHLY;BYDAY=MO,MO", "BYDAY names MO twice", 22, INVALID),
    ("FREQ=WEEKLY;BYDAY=1MO", "BYDAY counts days in FREQ=MONTHLY and YEARLY only", 18, INVALID),
    ("FREQ=WEEKLY;WKST=XX", "WKST=XX is not one of", 17, INVALID),
    ("FREQ=DAILY;BYYEARDAY=1", "BYYEARDAY belongs to FREQ=YEARLY only", 21, INVALID),
    ("FREQ=MONTHLY;BYWEEKNO=1;BYDAY=MO", "BYWEEKNO belongs to FREQ=YEARLY only", 22, INVALID),
    ("FREQ=YEARLY;BYWEEKNO=1", "BYWEEKNO needs BYDAY", 21, INVALID),
    ("FREQ=YEARLY;BYWEEKNO=1;BYDAY=1MO", "BYDAY cannot count days beside BYWEEKNO", 29, INVALID),
    ("FREQ=DAILY;BYSETPOS=1", "BYSETPOS needs another BY part", 20, INVALID),
    ("FREQ=DAILY;BYHOUR=１", "'１' does not belong", 18, INVALID),
    ("FREQ=DAILY;" * 1000, "11000 characters; at most 2000", 2000, INVALID),
    ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "can never occur, .* more than 29 days", 33, NEVER),
    ("FREQ=MONTHLY;BYMONTH=4,6;BYMONTHDAY=-31", "can never occur, .* more than 30 days", 36, NEVER),
    ("FREQ=MONTHLY;BYDAY=6MO", "no month has more than five", 19, NEVER),
    ("FREQ=DAILY;BYHOUR=1,2;BYSETPOS=3", "a period holds at most 2 runs", 31, NEVER),
]


@pytest.mark.requirement("M107")
@pytest.mark.parametrize(("text", "message", "position", "code"), REFUSED)
def test_a_wrong_pattern_is_refused_by_name_and_position(text: str, message: str, position: int, code: int) -> None:
    with pytest.raises(errors.QueryError, match=message) as refused:
        parse(text)
    assert (refused.value.position, refused.value.code) == (position, code)


@pytest.mark.requirement("M60")
@pytest.mark.parametrize("text", ["FREQ=DAILY;INTERVAL=3;", "FREQ=DAILY;INTERVAL=3", "interval=3;freq=daily"])
def test_a_last_semicolon_either_case_and_any_order_mean_the_same(text: str) -> None:
    assert parse(text) == Rule(Frequency.DAILY, interval=3)
    assert printed(parse(text)) == "FREQ=DAILY;INTERVAL=3"


@pytest.mark.parametrize("frequency", Frequency.__members__)
def test_the_interval_is_1_where_none_is_given(frequency: str) -> None:
    assert parse(f"FREQ={frequency};") == parse(f"FREQ={frequency};INTERVAL=1;")


def test_every_second_of_a_day_in_full_is_within_the_limit() -> None:
    parts = {"BYHOUR": range(24), "BYMINUTE": range(60), "BYSECOND": range(60)}
    text = "FREQ=DAILY;" + ";".join(f"{part}={','.join(map(str, values))}" for part, values in parts.items())
    assert parse(printed(parse(text))) == parse(text)
