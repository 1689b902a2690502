"""The organization that the table of questions is asked of: its callers, its moments, and its rows.

Rows lie where answers change: at the beginning of days, weeks, months, quarters, fiscal years and periods of every
caller, exactly there and a microsecond or a second before and after, around changes of clocks, and among nulls and ties.
The same rows are in a store and, as SQLite's raw values, in Python.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from adjourn.metadata.catalog import build, load, shipped
from adjourn.metadata.fiscal import USUAL, Calendar
from adjourn.metadata.model import ColumnType
from adjourn.metadata.timezones import zone
from adjourn.metadata.values import moment_text
from adjourn.query.literals import Circumstances
from adjourn.query.security import Caller
from adjourn.store import alter
from adjourn.store.contract import Dialect, Store, Transaction

Rows = dict[str, list[dict[str, Any]]]
ROWS_OF_TRIPS = 420


def guid(number: int) -> str:
    return str(UUID(int=0x0190_0000_0000_7000_8000_0000_0000_0000 + number * 0x1_0000_0001))


def _column(name: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "schema": name, "type": kind, "custom": True, **more}


TRIP = {
    "table": {
        "logical": "new_trip", "schema": "new_Trip", "entityset": "new_trips", "display": "Trip", "display_collection": "Trips",
        "primary_id": "new_tripid", "primary_name": "new_name", "object_type_code": 10_099, "ownership": "UserOwned",
        "messages": ["Create", "Retrieve", "RetrieveMultiple", "Update", "Delete"], "custom": True,
    },
    "columns": [
        _column("new_tripid", "Uniqueidentifier", required=True),
        _column("new_name", "String", max_length=100),
        _column("new_note", "Memo", max_length=2000),
        _column("new_start", "DateTime"),
        _column("new_end", "DateTime"),
        _column("new_day", "DateOnly"),
        _column("new_seats", "Integer"),
        _column("new_taken", "Integer"),
        _column("new_price", "Money", precision=4),
        _column("new_rate", "Decimal", precision=2),
        _column("new_weight", "Double"),
        _column("new_count", "BigInt"),
        _column("new_kind", "Picklist", choice="new_kind"),
        _column("new_tags", "MultiSelectPicklist", choice="new_tags"),
        _column("new_open", "Boolean"),
        _column("new_target", "EntityName"),
        _column("new_parentid", "Lookup", targets=["new_trip"]),
        _column("new_accountid", "Lookup", targets=["account"]),
        _column("ownerid", "Owner", targets=["systemuser", "team"]),
    ],
    "choices": {
        "new_kind": [{"value": 1, "label": "Rail"}, {"value": 2, "label": "air"}, {"value": 3, "label": "Sea"}],
        "new_tags": [{"value": 10 ** n, "label": f"Tag {n}"} for n in range(5)],
    },
    "relationships": [
        {"name": "new_trip_parent", "column": "new_parentid", "references": "new_trip", "navigation": "new_ParentId",
         "delete": "RemoveLink", "hierarchical": True},
        {"name": "new_trip_account", "column": "new_accountid", "references": "account", "navigation": "new_AccountId",
         "delete": "RemoveLink"},
    ],
    "keys": [],
}  # fmt: skip
CATALOG = build({**shipped(), "new_trip": TRIP}, version=2)

USERS, TEAMS, UNITS = (
    [guid(n) for n in range(1, 9)],
    [guid(11), guid(12), guid(13)],
    [guid(n) for n in (21, 22, 23, 24)],
)
ACCOUNTS, CONTACTS = [guid(n) for n in range(31, 43)], [guid(n) for n in range(51, 61)]
MANAGERS = {0: None, 1: 0, 2: 1, 3: 2, 4: 3, 5: 0, 6: 7, 7: 6}
"""A chain of five, longer than what a manager sees, and two who report to each other."""


@dataclass(frozen=True)
class Asker:
    """A caller under the name that failures show."""

    name: str
    caller: Caller


def _asker(name: str, user: int, timezone: int, language: int, calendar: Calendar, *teams: int) -> Asker:
    ids = tuple(UUID(TEAMS[team]) for team in teams)
    caller = Caller(
        UUID(USERS[user]), UUID(UNITS[user % len(UNITS)]), ids, timezone, is_administrator=True, language_code=language,
        calendar=calendar,
    )  # fmt: skip
    return Asker(name, caller)


ASKERS = (
    _asker("UTC", 0, 92, 1033, USUAL, 0),
    _asker("London", 1, 85, 2057, Calendar(1, 4, 6), 1, 2),
    _asker("New York", 2, 35, 1033, Calendar(0, 10, 1, periods=12, by_end=True, period_format=5, connector=" of ")),
    _asker("Kathmandu", 3, 193, 1121, Calendar(1, 7, 16, periods=2, by_end=True, period_format=6, two_digits=True), 0),
    _asker("Lord Howe", 5, 274, 3081, Calendar(6, 7, 1, periods=13, period_format=3, prefix="", suffix=" FY"), 2),
    _asker("Berlin", 6, 110, 1031, Calendar(1, 1, 31, periods=12, period_format=7)),
    _asker("Cairo", 4, 120, 1025, Calendar(6, 2, 29, periods=1, by_end=True, period_format=2), 1),
)
"""Clocks change at 1, 2 and 0 o'clock and by half an hour; a fiscal year begins on a day that most years do not have."""

NOWS = (
    datetime(2024, 2, 29, 12, 0, tzinfo=UTC),
    datetime(2026, 3, 29, 14, 25, 36, 123456, tzinfo=UTC),
    datetime(2026, 10, 25, 1, 30, tzinfo=UTC),
    datetime(2025, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    datetime(2026, 3, 8, 7, 0, tzinfo=UTC),
    datetime(2026, 4, 4, 15, 0, tzinfo=UTC),
    datetime(2024, 4, 26, 0, 30, tzinfo=UTC),
)
"""A leap day; clocks forward and back in Europe; the last microsecond of a year; the very moment at which New York's
clocks go forward, Lord Howe's go back; and Cairo on the day that has no midnight."""


def circumstances(asker: Asker, now: datetime, language: str) -> Circumstances:
    """As the evaluator sees them: its rows hold SQLite's raw values."""
    return Circumstances(asker.caller, now, "sqlite", language, CATALOG)


def boundaries() -> list[datetime]:
    """Moments at which a day, week, month, quarter, fiscal period or year begins for somebody, or clocks change."""
    found: set[datetime] = set()
    for asker in ASKERS:
        local, calendar = zone(asker.caller.timezone_code), asker.caller.calendar
        for now in NOWS:
            today = now.astimezone(local).date()
            days = {today + timedelta(days=n) for n in (-8, -7, -2, -1, 0, 1, 2, 3, 7, 8)}
            days |= {
                today - timedelta(days=(today.weekday() + 1 - calendar.week_start) % 7 + 7 * n) for n in (-2, -1, 0, 1)
            }
            days |= {_month(today, n) for n in (-12, -3, -1, 0, 1, 2, 12)}
            days |= {date(today.year + n, month, 1) for n in (-1, 0, 1, 2) for month in (1, 4, 7, 10)}
            days |= {_clamped(today.year + n, calendar.month, calendar.day) for n in (-1, 0, 1, 2)}
            found |= {datetime(day.year, day.month, day.day, tzinfo=local).astimezone(UTC) for day in days}
            found |= {now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=n) for n in (-2, -1, 0, 1, 2)}
            found |= {now + timedelta(minutes=n) for n in (-6, -5, 0)}
    return sorted(found)


def _month(day: date, count: int) -> date:
    months = day.year * 12 + day.month - 1 + count
    return date(months // 12, months % 12 + 1, 1)


def _clamped(year: int, month: int, day: int) -> date:
    try:
        return date(year, month, day)
    except ValueError:
        return date(year, month, 28)


NAMES = (
    None,
    "",
    "a",
    "A",
    "ab",
    "aB%",
    "Ärger",
    "ärger",
    "a_b",
    "[x]",
    "Zoë",
    "z",
    "x-y",
    "ß",
    "Contoso",
    "contoso ltd",
)
STEPS = (timedelta(0), timedelta(0), timedelta(microseconds=-1), timedelta(microseconds=1), timedelta(seconds=-1),
         timedelta(seconds=1))  # fmt: skip


def rows(seed: int = 20260329) -> Rows:
    """Everything there is."""
    draw = random.Random(seed)
    pick = draw.choice
    edges = boundaries()
    starts = [pick(edges) + pick(STEPS) for _ in range(ROWS_OF_TRIPS - 40)]
    starts += [NOWS[0] + timedelta(minutes=draw.randint(-2_000_000, 2_000_000)) for _ in range(20)]
    trips: list[dict[str, Any]] = []
    ids = [guid(1000 + n) for n in range(ROWS_OF_TRIPS)]
    for number, trip in enumerate(ids):
        start = starts[number] if number < len(starts) else None
        end = None if start is None or draw.random() < 0.2 else start + pick(STEPS)
        owner, kind = (pick(USERS), "systemuser") if draw.random() < 0.7 else (pick(TEAMS), "team")
        parent = None
        if 0 < number < 60 and draw.random() < 0.85:
            parent = ids[draw.randrange(max(0, number - 4), number)]
        elif number in (60, 61):
            parent = ids[121 - number]  # each other's parents
        elif number == 62:
            parent = trip
        elif 62 < number < 180:  # a chain longer than the walk
            parent = ids[number - 1]
        trips.append(
            {
                "new_tripid": trip,
                "new_name": pick(NAMES),
                "new_note": pick((None, "long text", "Long Text", "x%y")),
                "new_start": start and moment_text(start),
                "new_end": end and moment_text(end),
                "new_day": (start or NOWS[0]).date().isoformat() if draw.random() < 0.9 else None,
                "new_seats": pick((None, 0, 1, 2, 4, 4, -3, 2**31 - 1)),
                "new_taken": pick((None, 0, 1, 4)),
                "new_price": pick((None, 0, 10_000, 10_001, -25_000, 123_4567, 10**14)),
                "new_rate": pick((None, 0, 1, 150, -2)),
                "new_weight": pick((None, 0.0, 0.5, 12.25, -1.5)),
                "new_count": pick((None, 0, 1033, 2057, 2**40)),
                "new_kind": pick((None, 1, 2, 3)),
                "new_tags": pick((None, None, "1", "10", "1,10", "100", "10,100,1000", "1,10,100,1000,10000", "10000")),
                "new_open": pick((None, 0, 1)),
                "new_target": pick((None, "account", "new_trip")),
                "new_parentid": parent,
                "new_accountid": pick((None, *ACCOUNTS)),
                "ownerid": owner,
                "owneridtype": kind,
            }
        )
    return {
        "businessunit": [
            {"businessunitid": id_, "name": f"Unit {n}", "parentbusinessunitid": UNITS[n - 1] if n else None}
            for n, id_ in enumerate(UNITS)
        ],
        "systemuser": [
            {"systemuserid": id_, "fullname": f"User {n}", "businessunitid": UNITS[n % len(UNITS)],
             "parentsystemuserid": None if MANAGERS[n] is None else USERS[MANAGERS[n] or 0]}
            for n, id_ in enumerate(USERS)
        ],
        "team": [{"teamid": id_, "name": f"Team {n}"} for n, id_ in enumerate(TEAMS)],
        "teammembership": [
            {"teammembershipid": guid(71 + n), "systemuserid": USERS[user], "teamid": TEAMS[team]}
            for n, (user, team) in enumerate([(0, 0), (1, 1), (1, 2), (3, 0), (5, 2), (4, 1), (7, 0)])
        ],
        "account": [
            {"accountid": id_, "name": pick(NAMES), "revenue": pick((None, 0, 10_000, -25_000, 5 * 10**9)),
             "numberofemployees": pick((None, 0, 1, 5)), "statecode": pick((0, 1)), "createdon": moment_text(pick(edges)),
             "primarycontactid": pick((None, *CONTACTS)), "parentaccountid": ACCOUNTS[n // 2] if 0 < n < 9 else None}
            for n, id_ in enumerate(ACCOUNTS)
        ],
        "contact": [
            {"contactid": id_, "fullname": pick(NAMES), "birthdate": pick((None, "2000-02-29", "1999-12-31", "2026-03-29")),
             "donotemail": pick((None, 0, 1)), "gendercode": pick((None, 1, 2)),
             "parentcustomerid": (parent := pick((None, *ACCOUNTS))), "parentcustomeridtype": "account" if parent else None}
            for id_ in CONTACTS
        ],
        "new_trip": trips,
    }  # fmt: skip


def fill(store: Store, found: Rows) -> None:
    """The same rows in a store, in the tables of this catalog."""

    def unit(tx: Transaction) -> None:
        for statement in alter.changes(load(), CATALOG, tx.dialect):
            tx.execute(statement)
        for table, records in found.items():
            for record in records:
                values = {name: _raw(table, name, value, tx.dialect) for name, value in record.items()}
                names, parameters = ", ".join(f'"{n}"' for n in values), ", ".join(f":{n}" for n in values)
                tx.execute(f'INSERT INTO "{table}" ({names}) VALUES ({parameters})', values)

    store.write(unit)


def _raw(table: str, name: str, value: Any, dialect: Dialect) -> Any:
    column = CATALOG.tables[table].columns.get(name)
    boolean = column is not None and column.type is ColumnType.BOOLEAN
    return bool(value) if boolean and dialect == "postgres" and value is not None else value
