"""Every operator with an answer that was worked out by hand.

The table of questions compares SQL with plain Python, which share the entries of the table of operators; here a wrong
entry shows. It is 29 March 2026, a Sunday, 14:25:36 in UTC; years and quarters are those of the calendar.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from tests.queries.world import ASKERS, CATALOG, NOWS, TEAMS, UNITS, USERS, circumstances, guid

from adjourn.query.evaluate import evaluate
from adjourn.query.operators import OPERATORS
from adjourn.query.tree import Attribute, Condition, Filter, Query

ASKER = dataclasses.replace(ASKERS[0], caller=dataclasses.replace(ASKERS[0].caller, reports_depth=3))
MOMENTS = {
    "a": "2024-05-05T12:00", "b": "2025-03-20T12:00", "c": "2025-12-31T12:00", "d": "2026-02-10T12:00", "e": "2026-03-20T12:00",
    "f": "2026-03-25T12:00", "g": "2026-03-28T10:00", "h": "2026-03-29T13:30", "i": "2026-03-29T15:10", "j": "2026-03-30T10:00",
    "k": "2026-04-07T12:00", "l": "2026-05-15T12:00", "m": "2027-06-01T12:00", "n": "2028-06-01T12:00", "z": None,
}  # fmt: skip
VALUES: dict[str, dict[str, Any]] = {
    "new_start": {name: text and f"{text}:00.000000Z" for name, text in MOMENTS.items()},
    "new_seats": {"a": 1, "b": 2, "c": 3, "z": None},
    "new_count": {"a": 1033, "b": 2057, "z": None},
    "new_name": {"a": "Alpha", "b": "beta", "c": "gamma", "z": None},
    "new_tags": {"a": "1,10", "b": "10", "c": "100", "z": None},
    "new_accountid": {"a": UNITS[0], "b": UNITS[1], "z": None},
    "ownerid": {"a": USERS[0], "b": TEAMS[0], "c": USERS[3], "d": USERS[4], "e": TEAMS[1], "f": TEAMS[2]},
    "new_tripid": {name: guid(900 + place) for place, name in enumerate("abcdz")},
}
PARENTS = {"b": "a", "c": "b", "d": "b"}
OTHERS = {
    "systemuser": [{"systemuserid": USERS[n], "parentsystemuserid": USERS[n - 1] if n else None} for n in range(5)],
    "teammembership": [{"systemuserid": USERS[0], "teamid": TEAMS[0]}, {"systemuserid": USERS[1], "teamid": TEAMS[1]}],
}
B = VALUES["new_tripid"]["b"]
KNOWN: tuple[tuple[str, str, tuple[Any, ...], str], ...] = (
    ("eq", "new_seats", (2,), "b"), ("ne", "new_seats", (2,), "acz"), ("neq", "new_seats", (2,), "acz"),
    ("gt", "new_seats", (2,), "c"), ("ge", "new_seats", (2,), "bc"), ("lt", "new_seats", (2,), "a"),
    ("le", "new_seats", (2,), "ab"), ("in", "new_seats", (1, 3), "ac"), ("not-in", "new_seats", (1, 3), "bz"),
    ("between", "new_seats", (2, 3), "bc"), ("not-between", "new_seats", (2, 3), "az"),
    ("null", "new_seats", (), "z"), ("not-null", "new_seats", (), "abc"),
    ("like", "new_name", ("%ET%",), "b"), ("not-like", "new_name", ("%ET%",), "acz"),
    ("begins-with", "new_name", ("al",), "a"), ("not-begin-with", "new_name", ("al",), "bcz"),
    ("ends-with", "new_name", ("MA",), "c"), ("not-end-with", "new_name", ("MA",), "abz"),
    ("contain-values", "new_tags", (1, 100), "ac"), ("not-contain-values", "new_tags", (1, 100), "bz"),
    ("eq-userlanguage", "new_count", (), "a"),
    ("eq-userid", "ownerid", (), "a"), ("ne-userid", "ownerid", (), "bcdef"), ("eq-userteams", "ownerid", (), "b"),
    ("eq-useroruserteams", "ownerid", (), "ab"), ("eq-useroruserhierarchy", "ownerid", (), "ac"),
    ("eq-useroruserhierarchyandteams", "ownerid", (), "abce"),
    ("eq-businessid", "new_accountid", (), "a"), ("ne-businessid", "new_accountid", (), "bz"),
    ("under", "new_tripid", (B,), "cd"), ("eq-or-under", "new_tripid", (B,), "bcd"), ("not-under", "new_tripid", (B,), "abz"),
    ("above", "new_tripid", (B,), "a"), ("eq-or-above", "new_tripid", (B,), "ab"),
    *((name, "new_start", values, answer) for name, values, answer in (
        ("on", ("2026-03-29",), "hi"), ("on-or-before", ("2026-03-28",), "abcdefg"), ("on-or-after", ("2026-03-30",), "jklmn"),
        ("yesterday", (), "g"), ("today", (), "hi"), ("tomorrow", (), "j"),
        ("last-seven-days", (), "fgh"), ("next-seven-days", (), "ij"),
        ("last-week", (), "fg"), ("this-week", (), "hij"), ("next-week", (), "k"),
        ("last-month", (), "d"), ("this-month", (), "efghij"), ("next-month", (), "k"),
        ("last-year", (), "bc"), ("this-year", (), "defghijkl"), ("next-year", (), "m"),
        ("last-fiscal-year", (), "bc"), ("this-fiscal-year", (), "defghijkl"), ("next-fiscal-year", (), "m"),
        ("last-fiscal-period", (), "c"), ("this-fiscal-period", (), "defghij"), ("next-fiscal-period", (), "kl"),
        ("last-x-hours", (1,), "h"), ("last-x-days", (1,), "gh"), ("last-x-weeks", (1,), "fgh"),
        ("last-x-months", (1,), "efgh"), ("last-x-years", (1,), "cdefgh"),
        ("next-x-hours", (1,), "i"), ("next-x-days", (1,), "ij"), ("next-x-weeks", (1,), "ij"),
        ("next-x-months", (1,), "ijk"), ("next-x-years", (1,), "ijkl"),
        ("olderthan-x-minutes", (60,), "abcdefg"), ("olderthan-x-hours", (1,), "abcdefg"), ("olderthan-x-days", (1,), "abcdef"),
        ("olderthan-x-weeks", (1,), "abcde"), ("olderthan-x-months", (1,), "abcd"), ("olderthan-x-years", (1,), "ab"),
        ("last-x-fiscal-years", (1,), "bcdefgh"), ("last-x-fiscal-periods", (1,), "cdefgh"),
        ("next-x-fiscal-years", (1,), "ijklm"), ("next-x-fiscal-periods", (1,), "ijkl"),
        ("in-fiscal-year", (2025,), "bc"), ("in-fiscal-period", (2,), "aklmn"),
        ("in-fiscal-period-and-year", (2, 2026), "kl"),
        ("in-or-before-fiscal-period-and-year", (1, 2026), "abcdefghij"),
        ("in-or-after-fiscal-period-and-year", (2, 2026), "klmn"),
    )),
)  # fmt: skip


@pytest.mark.parametrize(("operator", "column", "values", "answer"), KNOWN, ids=[known[0] for known in KNOWN])
def test_an_operator_finds_what_was_worked_out_by_hand(
    operator: str, column: str, values: tuple[Any, ...], answer: str
) -> None:
    ids = VALUES["new_tripid"]
    rows = [
        {"new_tripid": ids.get(name, guid(999)), "new_parentid": ids.get(PARENTS.get(name, "")), "new_note": name, column: value}
        for name, value in VALUES[column].items()
    ]  # fmt: skip
    query = Query(
        "new_trip", (Attribute("new_note"),), filter=Filter("and", (Condition(column, operator, values),)), language="fetchxml"
    )  # fmt: skip
    found, _ = evaluate(query, {"new_trip": rows, **OTHERS}, CATALOG, circumstances(ASKER, NOWS[1], "fetchxml"))
    assert "".join(sorted(row[0] for row in found)) == answer


def test_every_operator_has_a_known_answer() -> None:
    assert {known[0] for known in KNOWN} == set(OPERATORS)
