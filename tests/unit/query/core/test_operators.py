from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from tests.unit.query.core.questions import NOW, plan, where, window

from adjourn.errors import QueryError
from adjourn.metadata import text
from adjourn.query.operators import ODATA_FUNCTIONS, OPERATORS
from adjourn.query.tree import Condition
from adjourn.query.within import FIRST_MOMENT, LAST_MOMENT


@pytest.mark.parametrize(
    ("operator", "values", "expected"),
    [
        ("today", (), ["2026-03-28T23:00:00.000000Z", "2026-03-29T22:00:00.000000Z"]),
        ("yesterday", (), ["2026-03-27T23:00:00.000000Z", "2026-03-28T23:00:00.000000Z"]),
        ("on", ("2026-03-29",), ["2026-03-28T23:00:00.000000Z", "2026-03-29T22:00:00.000000Z"]),
        ("on-or-before", ("2026-01-01",), ["2026-01-01T23:00:00.000000Z"]),
        ("on-or-after", ("2026-01-01T23:30:00Z",), ["2026-01-01T23:00:00.000000Z"]),
        ("last-seven-days", (), ["2026-03-21T23:00:00.000000Z", "2026-03-29T14:25:36.000000Z"]),
        ("next-seven-days", (), ["2026-03-29T14:25:36.000000Z", "2026-04-05T22:00:00.000000Z"]),
        ("this-week", (), ["2026-03-28T23:00:00.000000Z", "2026-04-04T22:00:00.000000Z"]),
        ("last-month", (), ["2026-01-31T23:00:00.000000Z", "2026-02-28T23:00:00.000000Z"]),
        ("next-year", (), ["2026-12-31T23:00:00.000000Z", "2027-12-31T23:00:00.000000Z"]),
        ("last-x-hours", ("15",), ["2026-03-28T23:00:00.000000Z", "2026-03-29T14:25:36.000000Z"]),
        ("next-x-hours", (1,), ["2026-03-29T14:25:36.000000Z", "2026-03-29T16:00:00.000000Z"]),
        ("last-x-months", ("1",), ["2026-02-27T23:00:00.000000Z", "2026-03-29T14:25:36.000000Z"]),
        ("olderthan-x-minutes", (5,), ["2026-03-29T14:20:00.000000Z"]),
        ("olderthan-x-years", (2,), ["2024-03-28T23:00:00.000000Z"]),
        ("olderthan-x-years", (9999,), [FIRST_MOMENT]),
    ],
)
def test_a_date_window_begins_and_ends_in_the_callers_zone(operator: str, values: Any, expected: list[str]) -> None:
    found = window(operator, *values)
    assert [value for value in found if str(value)[:2] in ("20", "00")] == expected


NUMBERED = [name for name in OPERATORS if "-x-" in name or name == "in-fiscal-year"]


@pytest.mark.parametrize("zone", [0, 92, 300])
@pytest.mark.parametrize("number", [1, 2024, 2025, 2026, 2027, 9999, 10**9])
def test_a_window_never_reaches_beyond_the_calendar(zone: int, number: int) -> None:
    for operator in NUMBERED:
        ends = [value for value in window(operator, number, timezone_code=zone) if str(value).endswith("Z")]
        assert ends
        assert all(FIRST_MOMENT <= end <= LAST_MOMENT for end in ends), operator


@pytest.mark.parametrize("zone", [0, 92, 300])
@pytest.mark.parametrize("day", ["1753-01-01", "9999-12-31"])
def test_the_first_and_the_last_day_are_not_empty(day: str, zone: int) -> None:
    first, end = (value for value in window("on", day, timezone_code=zone) if str(value).endswith("Z"))
    assert FIRST_MOMENT < first < end <= LAST_MOMENT


def test_a_date_without_a_time_lies_in_a_window_as_its_midnight() -> None:
    assert window("last-x-days", 1, table="contact", column="birthdate") == ["2026-03-28", "2026-03-30"]


@pytest.mark.parametrize("value", [0, "-1", "0"])
def test_a_window_of_no_days_is_refused(value: Any) -> None:
    with pytest.raises(QueryError, match="greater than zero") as refusal:
        window("last-x-days", value)
    assert refusal.value.code == 0x8004110C


def test_hours_of_a_column_without_a_time_of_day_are_refused() -> None:
    with pytest.raises(QueryError, match="birthdate"):
        window("last-x-hours", 1, table="contact", column="birthdate")


def test_every_operator_of_the_reference_is_in_the_table() -> None:
    words = """eq ne neq gt ge lt le like not-like begins-with not-begin-with ends-with not-end-with null not-null in not-in
        between not-between contain-values not-contain-values eq-userid ne-userid eq-userteams eq-useroruserteams
        eq-useroruserhierarchy eq-useroruserhierarchyandteams eq-businessid ne-businessid eq-userlanguage under eq-or-under
        not-under above eq-or-above on on-or-before on-or-after yesterday today tomorrow last-seven-days next-seven-days
        last-week this-week next-week last-month this-month next-month last-year this-year next-year last-x-hours last-x-days
        last-x-weeks last-x-months last-x-years next-x-hours next-x-days next-x-weeks next-x-months next-x-years
        olderthan-x-minutes olderthan-x-hours olderthan-x-days olderthan-x-weeks olderthan-x-months olderthan-x-years
        this-fiscal-year this-fiscal-period last-fiscal-year last-fiscal-period next-fiscal-year next-fiscal-period
        last-x-fiscal-years last-x-fiscal-periods next-x-fiscal-years next-x-fiscal-periods in-fiscal-year in-fiscal-period
        in-fiscal-period-and-year in-or-before-fiscal-period-and-year in-or-after-fiscal-period-and-year"""
    assert set(words.split()) == set(OPERATORS)


@pytest.mark.parametrize(
    ("function", "operator"),
    [
        ("Last7Days", "last-seven-days"), ("OlderThanXMinutes", "olderthan-x-minutes"), ("UnderOrEqual", "eq-or-under"),
        ("EqualUserOrUserTeams", "eq-useroruserteams"), ("DoesNotContainValues", "not-contain-values"), ("NotIn", "not-in"),
        ("InOrBeforeFiscalPeriodAndYear", "in-or-before-fiscal-period-and-year"), ("LastXFiscalYears", "last-x-fiscal-years"),
    ],
)  # fmt: skip
def test_a_query_function_is_the_operator_of_the_same_meaning(function: str, operator: str) -> None:
    assert ODATA_FUNCTIONS[function] == operator


@pytest.mark.parametrize(
    ("operator", "column", "message"),
    [
        ("under", "createdon", "does not fit column 'createdon'"),
        ("under", "asyncoperationid", "needs a hierarchy"),
        ("eq-userlanguage", "name", "does not fit column 'name'"),
        ("contain-values", "statecode", "does not fit column 'statecode'"),
    ],
)
def test_an_operator_that_does_not_fit_its_column_is_refused(operator: str, column: str, message: str) -> None:
    with pytest.raises(QueryError, match=message) as refusal:
        plan(where(Condition(column, operator, () if operator == "eq-userlanguage" else (str(UUID(int=1)),))))
    assert refusal.value.code == 0x80041120


@pytest.mark.parametrize(
    ("pattern", "subject", "expected"),
    [
        ("a%", "ABC", True), ("%c", "abC", True), ("a_c", "abc", True), ("a_c", "ac", False), ("[a-c]x", "Bx", True),
        ("[^a-c]x", "bx", False), ("50[%]", "50%", True), ("50[%]", "500", False), ("ä%", "Ärger", True), ("%", "", True),
        ("a%b", "a\nb", True), ("[", "[", True), ("[-x]", "-", True), ("a.c", "abc", False), ("a\\%", "a\\b", True),
    ],
)  # fmt: skip
def test_like_knows_its_wildcards_and_no_others(pattern: str, subject: str, expected: bool) -> None:
    assert bool(text.like(pattern, subject)) is expected


def test_a_hostile_pattern_costs_no_more_than_its_length() -> None:
    """With backtracking this would not end in a lifetime."""
    assert not text.like("%a" * 1000 + "[x]", "a" * 20_000)


@pytest.mark.parametrize(
    ("column", "value", "shown"),
    [
        ("statecode", "one", "whole number"), ("depth", 1.5, "whole number"), ("depth", 2**70, "64 bits"),
        ("createdon", "soon", "moment"), ("asyncoperationid", "123", "guid"), ("iswaitingforevent", "maybe", "true, false"),
        ("executiontimespan", "1,5", "number"), ("executiontimespan", "1e999", "finite"), ("name", 5, "text"),
        ("name", "a\x00", "NUL"),
    ],
)  # fmt: skip
def test_a_literal_that_does_not_fit_its_column_is_refused_where_it_stands(column: str, value: Any, shown: str) -> None:
    with pytest.raises(QueryError, match=shown) as refusal:
        plan(where(Condition(column, "eq", (value,), position=17)))
    assert refusal.value.code == 0x80041108
    assert refusal.value.position == 17
    assert column in refusal.value.message


def test_a_type_code_means_its_table() -> None:
    found = plan(where(Condition("primaryentitytype", "in", ("4700", 1, "Contact"))))
    assert found.parameters["p0"] == '["asyncoperation","account","contact"]'


def test_a_moment_without_an_offset_is_the_callers() -> None:
    assert window("gt", "2026-07-01T12:00") == ["2026-07-01T10:00:00.000000Z"]
    assert window("gt", "2026-07-01T12:00Z") == ["2026-07-01T12:00:00.000000Z"]
    assert window("gt", "2026-07-01") == ["2026-06-30T22:00:00.000000Z"]
    assert window("gt", NOW) == ["2026-03-29T14:25:36.000000Z"]
