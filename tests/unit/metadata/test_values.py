"""A value keeps its meaning through its three forms, and wrong ones are refused with the documented codes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import IntEnum
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adjourn import errors
from adjourn.metadata import values
from adjourn.metadata.catalog import load
from adjourn.metadata.model import Column, ColumnType, Reference

ID = "0190a3c2-7c1e-7b30-9d2a-5f6e7d8c9b0a"
MOMENT = datetime(2030, 1, 1, tzinfo=UTC)
FINE = datetime(2030, 1, 1, 2, 3, 4, 500, UTC)
LONDON = ZoneInfo("Europe/London")


def column(table: str, name: str) -> Column:
    return load().table(table).columns[name]


def typed(kind: ColumnType, **properties: Any) -> Column:
    return Column(table="sample", logical="value", schema="Value", type=kind, **properties)


POSTPONED = column("asyncoperation", "postponeuntil")
REVENUE = column("account", "revenue")


@pytest.mark.parametrize(
    ("table", "name", "value", "raw", "wire"),
    [
        ("asyncoperation", "asyncoperationid", UUID(ID), ID, ID),
        ("asyncoperation", "startedon", MOMENT, "2030-01-01T00:00:00.000000Z", "2030-01-01T00:00:00Z"),
        ("asyncoperation", "startedon", FINE, "2030-01-01T02:03:04.000500Z", "2030-01-01T02:03:04.000500Z"),
        ("contact", "birthdate", date(1980, 2, 29), "1980-02-29", "1980-02-29"),
        ("asyncoperation", "iswaitingforevent", True, 1, True),
        ("asyncoperation", "operationtype", 54, 54, 54),
        ("asyncoperation", "sequence", 2**63 - 1, 2**63 - 1, 2**63 - 1),
        ("asyncoperation", "executiontimespan", 0.25, 0.25, 0.25),
        ("asyncoperation", "name", "Größe 💥", "Größe 💥", "Größe 💥"),
        ("account", "revenue", Decimal("1234.5"), 12_345_000, Decimal("1234.5000")),
        ("account", "revenue", Decimal("-0.0001"), -1, Decimal("-0.0001")),
    ],
)  # fmt: skip
def test_a_value_keeps_its_meaning_in_all_three_forms(table: str, name: str, value: Any, raw: Any, wire: Any) -> None:
    chosen = column(table, name)
    assert values.check(chosen, value) == value
    found = values.to_raw(chosen, value, "sqlite")
    assert (found, type(found)) == (raw, type(raw))
    assert values.from_raw(chosen, raw) == value
    shown = values.to_wire(chosen, raw)
    assert (shown, type(shown)) == (wire, type(wire))


def test_nothing_stays_nothing() -> None:
    for name in ("postponeuntil", "ownerid", "name", "operationtype", "datablobid", "executiontimespan"):
        chosen = column("asyncoperation", name)
        assert values.check(chosen, None) is None
        assert values.to_raw(chosen, None, "sqlite") is None
        assert values.from_raw(chosen, None) is None
        assert values.to_wire(chosen, None) is None
        assert values.formatted(chosen, None, LONDON) is None


def test_postgres_gets_real_booleans_and_sqlite_numbers() -> None:
    chosen = column("asyncoperation", "iswaitingforevent")
    assert values.to_raw(chosen, True, "postgres") is True
    assert type(values.to_raw(chosen, True, "sqlite")) is int
    assert values.from_raw(chosen, True) is values.from_raw(chosen, 1) is True


def test_money_is_a_json_number_with_all_its_digits() -> None:
    """The encoder of the Web API prints Decimal as a number; a float in between would lose digits."""
    wire = values.to_wire(REVENUE, 922_337_203_685_477_5807)
    assert msgspec.json.Encoder(decimal_format="number").encode(wire) == b"922337203685477.5807"


def test_a_lookup_keeps_its_table_as_a_reference_and_its_id_in_the_store() -> None:
    owner = column("account", "ownerid")
    found = values.check(owner, ("team", ID.upper()))
    assert found == Reference("team", UUID(ID))
    assert values.to_raw(owner, found, "sqlite") == ID
    assert values.from_raw(owner, ID) == UUID(ID)
    assert values.to_wire(owner, ID) == ID
    assert values.check(column("account", "primarycontactid"), ID) == ("contact", UUID(ID))


@given(st.datetimes(min_value=datetime(1753, 1, 1), max_value=datetime(9999, 12, 31)), st.datetimes(
    min_value=datetime(1753, 1, 1), max_value=datetime(9999, 12, 31)))  # fmt: skip
def test_the_order_of_stored_moments_is_the_order_of_time(one: datetime, other: datetime) -> None:
    first, second = (values.moment_text(moment.replace(tzinfo=UTC)) for moment in (one, other))
    assert (first < second) == (one < other)
    assert len(first) == 27
    assert values.from_raw(POSTPONED, first) == one.replace(tzinfo=UTC)


@given(st.decimals(min_value=-900_000_000_000_000, max_value=900_000_000_000_000, places=4))
def test_money_survives_the_store_to_the_last_digit(amount: Decimal) -> None:
    for dialect in ("sqlite", "postgres"):
        assert values.from_raw(REVENUE, values.to_raw(REVENUE, values.check(REVENUE, amount), dialect)) == amount


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2030-01-01T00:00:00Z", datetime(2030, 1, 1, tzinfo=UTC)),
        ("2030-01-01T00:00:00z", datetime(2030, 1, 1, tzinfo=UTC)),
        ("2030-01-01T02:00:00+02:00", datetime(2030, 1, 1, tzinfo=UTC)),
        ("2030-01-01T02:00:00+0200", datetime(2030, 1, 1, tzinfo=UTC)),
        ("2029-12-31T19:00:00-05:00", datetime(2030, 1, 1, tzinfo=UTC)),
        ("2030-01-01T00:00:00", datetime(2030, 1, 1, tzinfo=UTC)),
        ("2030-01-01 00:00", datetime(2030, 1, 1, tzinfo=UTC)),
        ("2030-01-01", datetime(2030, 1, 1, tzinfo=UTC)),
        ("2030-01-01T00:00:00.1234567Z", datetime(2030, 1, 1, microsecond=123456, tzinfo=UTC)),
        ("2030-01-01T00:00:00.5Z", datetime(2030, 1, 1, microsecond=500000, tzinfo=UTC)),
        ("1753-01-01T00:00:00Z", datetime(1753, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (datetime(2030, 1, 1), datetime(2030, 1, 1, tzinfo=UTC)),
        (datetime(2030, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))), datetime(2030, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_moment_is_understood_in_every_usual_writing(text: Any, expected: datetime) -> None:
    found = values.check(POSTPONED, text)
    assert found == expected
    assert found.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "", "tomorrow", "2030-02-30", "2030-13-01T00:00:00Z", "2030-01-01T25:00:00Z", "1752-12-31T23:59:59Z",
        "1753-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00", "10000-01-01", "2030-01-01T00:00:00+25:00",
        "٢٠٣٠-01-01", "2030-01-01T00:00:00Z; DROP", 20300101, 1.5, True, date(2030, 1, 1), [], {},
    ],
)  # fmt: skip
def test_what_is_no_moment_is_refused(text: Any) -> None:
    with pytest.raises(errors.InvalidRequest, match="'postponeuntil' must be a moment") as refused:
        values.check(POSTPONED, text)
    assert refused.value.code == errors.DATETIME_INVALID


@pytest.mark.parametrize(
    "text", ["2030-02-30", "30.01.2030", "2030-01-01T00:00:00Z", "1752-12-31", datetime(2030, 1, 1), 5]
)
def test_what_is_no_date_is_refused(text: Any) -> None:
    with pytest.raises(errors.InvalidRequest, match="'birthdate' must be a date") as refused:
        values.check(column("contact", "birthdate"), text)
    assert refused.value.code == errors.DATETIME_INVALID


@pytest.mark.parametrize("text", [ID, ID.upper(), f"{{{ID}}}", ID.replace("-", ""), f"  {ID} ", UUID(ID)])
def test_a_guid_is_understood_in_every_usual_writing(text: Any) -> None:
    assert values.check(column("asyncoperation", "requestid"), text) == UUID(ID)


@pytest.mark.parametrize(
    "text", ["", "{}", ID[:-1], f"{ID}0", f"({ID})", "urn:uuid:" + ID, ID.replace("-", "--"), 5, True]
)
def test_what_is_no_guid_is_refused(text: Any) -> None:
    with pytest.raises(errors.InvalidRequest, match="must be a guid such as") as refused:
        values.check(column("asyncoperation", "requestid"), text)
    assert refused.value.code == errors.GUID_INVALID


def test_a_text_that_is_too_long_is_refused_in_the_documented_words() -> None:
    chosen = column("asyncoperation", "recurrencepattern")
    assert values.check(chosen, "x" * 256) == "x" * 256
    with pytest.raises(errors.InvalidRequest) as refused:
        values.check(chosen, "x" * 257)
    assert refused.value.code == errors.STRING_TOO_LONG
    assert refused.value.message == (
        "A validation error occurred.  The length of the 'recurrencepattern' attribute of the 'asyncoperation' entity "
        "exceeded the maximum allowed length of '256'."
    )


@pytest.mark.parametrize(
    ("text", "found"), [("a\0b", r"a\x00b"), ("\ud83d half", r"\ud83d half"), (5, "5 (int)"), (b"x", "bytes")]
)
def test_a_text_that_no_store_could_keep_is_refused(text: Any, found: str) -> None:
    with pytest.raises(errors.InvalidValue) as refused:
        values.check(column("account", "name"), text)
    assert found in refused.value.message
    assert "'name' of 'account'" in refused.value.message
    refused.value.message.encode()


@pytest.mark.parametrize(
    ("table", "name", "value"),
    [
        ("asyncoperation", "iswaitingforevent", 1),
        ("asyncoperation", "iswaitingforevent", "true"),
        ("asyncoperation", "depth", True),
        ("asyncoperation", "depth", 1.0),
        ("asyncoperation", "depth", "1"),
        ("asyncoperation", "depth", -1),
        ("asyncoperation", "depth", 2**31),
        ("asyncoperation", "sequence", 2**63),
        pytest.param("asyncoperation", "sequence", 10**5000, id="sequence-of-5001-digits"),
        ("asyncoperation", "operationtype", True),
        ("asyncoperation", "operationtype", 33),
        ("asyncoperation", "operationtype", "54"),
        ("asyncoperation", "executiontimespan", float("nan")),
        ("asyncoperation", "executiontimespan", float("inf")),
        ("asyncoperation", "executiontimespan", Decimal("sNaN")),
        ("asyncoperation", "executiontimespan", 10**400),
        ("asyncoperation", "executiontimespan", -0.5),
        ("asyncoperation", "executiontimespan", "0.5"),
        ("account", "revenue", Decimal("NaN")),
        ("account", "revenue", float("-inf")),
        ("account", "revenue", Decimal("1E+999999")),
        pytest.param("account", "revenue", 10**5000, id="revenue-of-5001-digits"),
        ("account", "revenue", 10**15),
        ("account", "revenue", True),
        ("account", "revenue", "5"),
    ],
)
def test_a_value_of_the_wrong_type_or_size_is_refused_by_name(table: str, name: str, value: Any) -> None:
    with pytest.raises(errors.InvalidValue) as refused:
        values.check(column(table, name), value)
    assert refused.value.code == 0x80044354
    assert f"'{name}' of '{table}'" in refused.value.message
    assert len(refused.value.message) < 1500


@pytest.mark.parametrize(("name", "value"), [("statecode", 4), ("statuscode", 11)])
def test_an_unknown_state_or_status_is_refused_with_its_own_code(name: str, value: int) -> None:
    with pytest.raises(errors.InvalidValue, match=f"{value} is no option of '{name}'") as refused:
        values.check(column("asyncoperation", name), value)
    assert refused.value.code == errors.STATE_PAIR_INVALID


def test_a_refusal_names_the_accepted_options_and_how_many_more_there_are() -> None:
    with pytest.raises(errors.InvalidValue, match=r"1 System Event, 2 Bulk Email, .* and 105 more"):
        values.check(column("asyncoperation", "operationtype"), 33)


@pytest.mark.parametrize(
    ("minimum", "maximum", "text"), [(0, None, "at least 0"), (None, -5, "at most -5"), (-5, -1, "-5 to -1")]
)
def test_a_refusal_names_the_ends_of_the_range_that_there_are(
    minimum: int | None, maximum: int | None, text: str
) -> None:
    number = -10 if minimum is not None else 10
    with pytest.raises(errors.InvalidValue, match=text):
        values.check(typed(ColumnType.INTEGER, minimum=minimum, maximum=maximum), number)


@pytest.mark.parametrize(
    ("chosen", "largest", "step"),
    [
        (typed(ColumnType.INTEGER), 2**31 - 1, 1),
        (typed(ColumnType.BIGINT), 2**63 - 1, 1),
        (typed(ColumnType.DECIMAL, precision=10), Decimal("922337203.6854775807"), Decimal("0.0000000001")),
        (typed(ColumnType.MONEY, precision=4), Decimal("922337203685477.5807"), Decimal("0.0001")),
    ],
)
def test_the_largest_number_that_a_store_can_keep_is_the_largest_accepted(
    chosen: Column, largest: Any, step: Any
) -> None:
    assert values.from_raw(chosen, values.to_raw(chosen, values.check(chosen, largest), "sqlite")) == largest
    with pytest.raises(errors.InvalidValue, match="'value' of 'sample'"):
        values.check(chosen, largest + step)


def test_a_number_is_rounded_to_the_digits_that_the_column_keeps() -> None:
    assert values.check(REVENUE, 0.1) == Decimal("0.1")
    assert values.check(REVENUE, Decimal("1.00005")) == Decimal("1.0001")
    assert values.check(REVENUE, Decimal("1E-500")) == 0
    assert values.check(typed(ColumnType.DECIMAL, precision=2), 5) == Decimal("5.00")
    assert values.check(column("asyncoperation", "executiontimespan"), 2) == 2.0


def test_an_enumeration_of_ones_own_is_a_number_like_any_other() -> None:
    class State(IntEnum):
        COMPLETED = 3

    found = values.check(column("asyncoperation", "statecode"), State.COMPLETED)
    assert (found, type(found)) == (3, int)


@pytest.mark.parametrize("value", [("task", ID), ("accounts", ID), (5, ID)])
def test_a_lookup_to_a_table_that_it_does_not_lead_to_is_refused(value: Any) -> None:
    with pytest.raises(errors.InvalidRequest, match="leads to account, contact, not to"):
        values.check(column("contact", "parentcustomerid"), value)


def test_a_bare_guid_does_not_say_which_table_a_polymorphic_lookup_means() -> None:
    with pytest.raises(errors.InvalidValue, match=r"pair \(table, id\)"):
        values.check(column("contact", "parentcustomerid"), ID)
    with pytest.raises(errors.InvalidRequest, match="must be a guid"):
        values.check(column("contact", "parentcustomerid"), ("account", "nobody"))


@pytest.mark.parametrize(
    ("table", "name", "raw", "label"),
    [
        ("asyncoperation", "statuscode", 0, "Waiting For Resources"),
        ("asyncoperation", "operationtype", 33, None),
        ("asyncoperation", "iswaitingforevent", 1, "Yes"),
        ("account", "donotemail", 0, "Allow"),
        ("asyncoperation", "sequence", 2023, "2,023"),
        ("asyncoperation", "errorcode", -2147220891, "-2,147,220,891"),
        ("asyncoperation", "executiontimespan", 1234.5, "1,234.50"),
        ("asyncoperation", "postponeuntil", "2023-03-25T10:42:17.000000Z", "3/25/2023 10:42 AM"),
        ("asyncoperation", "postponeuntil", "2023-07-01T11:05:00.000000Z", "7/1/2023 12:05 PM"),
        ("asyncoperation", "postponeuntil", "2023-07-01T23:05:00.000000Z", "7/2/2023 12:05 AM"),
        ("contact", "birthdate", "1980-02-29", "2/29/1980"),
        ("account", "revenue", 12_345_678_900, "$1,234,567.89"),
        ("account", "revenue", -5_000, "-$0.50"),
        ("account", "name", "Contoso", None),
        ("account", "ownerid", ID, None),
    ],
)
def test_people_read_labels_separators_and_their_own_clock(table: str, name: str, raw: Any, label: str | None) -> None:
    assert values.formatted(column(table, name), raw, LONDON) == label


def test_a_decimal_shows_the_digits_that_it_keeps() -> None:
    assert values.formatted(typed(ColumnType.DECIMAL, precision=2), 123456, LONDON) == "1,234.56"


def test_the_last_moment_of_all_can_be_shown_east_of_greenwich() -> None:
    assert values.formatted(POSTPONED, "9999-12-31T23:59:59.000000Z", ZoneInfo("Asia/Tokyo")) == "12/31/9999 11:59 PM"


def refusal(chosen: Column, value: Any) -> errors.InvalidRequest | None:
    """Why a value is refused; None if it survives the way into the store and back."""
    try:
        found = values.check(chosen, value)
    except errors.InvalidRequest as refused:
        return refused
    assert values.from_raw(chosen, values.to_raw(chosen, found, "sqlite")) == found
    return None


@given(st.one_of(st.text(), st.integers(), st.floats(), st.decimals(), st.booleans(), st.binary(), st.lists(st.none())))
def test_whatever_is_sent_is_understood_or_refused_in_printable_words(value: Any) -> None:
    for name in (
        "postponeuntil",
        "depth",
        "executiontimespan",
        "name",
        "requestid",
        "statecode",
        "ownerid",
        "sequence",
    ):
        refused = refusal(column("asyncoperation", name), value)
        assert refused is None or (refused.status == 400 and refused.message.encode())
    refused = refusal(REVENUE, value)
    assert refused is None or "revenue" in refused.message
