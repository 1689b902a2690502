"""A small random organization, the same in a store and as Python rows, and random questions about it."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from adjourn.metadata.catalog import load
from adjourn.metadata.model import Column, ColumnType
from adjourn.metadata.values import moment_text
from adjourn.query.conditions import family
from adjourn.query.hierarchy import Related as RelatedTest
from adjourn.query.hierarchy import relationship_of
from adjourn.query.literals import Circumstances
from adjourn.query.operators import OPERATORS
from adjourn.query.security import Caller
from adjourn.query.tree import Attribute, Condition, Filter, Link, Order, Page, Query, Related
from adjourn.store.contract import Dialect, Store, Transaction

CATALOG = load()
NOW = datetime(2026, 3, 29, 14, 25, 36, 123456, tzinfo=UTC)
"""On the day when clocks go forward in Berlin."""
TEXTS = (None, "", "a", "A", "ab", "aB%", "Ärger", "ärger", "a_b", "[x]", "Zoë", "z", "a\\b", "x-y", "ß")
PATTERNS = (*[text for text in TEXTS if text], "%", "a%", "%b", "_", "[a-c]%", "[^a]%", "%[%]", "ä%", "%r", "a_b%", "[")
PAIRS = ((0, 0), (1, 10), (3, 30), (3, 31), (3, 32))
COLUMNS = {
    "systemuser": ("systemuserid", "fullname", "businessunitid", "parentsystemuserid"),
    "team": ("teamid", "name"),
    "businessunit": ("businessunitid", "name"),
    "teammembership": ("teammembershipid", "systemuserid", "teamid"),
    "account": ("accountid", "name", "revenue", "numberofemployees", "statecode", "createdon", "primarycontactid", "parentaccountid"),
    "contact": ("contactid", "fullname", "birthdate", "donotemail", "gendercode", "parentcustomerid", "createdon"),
    "fileattachment": ("fileattachmentid", "filename", "filesizeinbytes", "objectid", "objectidtypecode"),
    "asyncoperation": (
        "asyncoperationid", "name", "messagename", "friendlymessage", "message", "operationtype", "statecode",
        "statuscode", "createdon", "completedon", "ownerid", "owningbusinessunit", "regardingobjectid", "datablobid",
        "executiontimespan", "depth", "retrycount", "primaryentitytype", "iswaitingforevent", "sequence",
    ),
}  # fmt: skip


def guid(number: int) -> str:
    return str(UUID(int=0x0190_0000_0000_7000_8000_0000_0000_0000 + number * 0x1_0000_0001))


USERS, TEAMS, UNITS = [guid(n) for n in range(1, 5)], [guid(11), guid(12)], [guid(21), guid(22)]
CALLER = Caller(UUID(USERS[0]), UUID(UNITS[0]), (UUID(TEAMS[0]),), timezone_code=110, is_administrator=True)


def circumstances(language: str) -> Circumstances:
    """As the oracle sees them: its rows hold SQLite's raw values."""
    return Circumstances(CALLER, NOW, "sqlite", language, CATALOG)


def build(seed: int, jobs: int = 30) -> dict[str, list[dict[str, Any]]]:
    """Random rows, as raw values of SQLite."""
    draw = random.Random(seed)
    pick = draw.choice

    def moment() -> str:
        days = timedelta(days=pick((0, 0, -1, 1, -7, 7, -30, 31, -366, draw.randint(-800, 400))))
        return moment_text(NOW + days + timedelta(minutes=draw.randint(-1500, 1500)))

    accounts, contacts = [guid(n) for n in range(31, 39)], [guid(n) for n in range(41, 51)]
    files = [guid(n) for n in range(61, 69)]
    world: dict[str, list[dict[str, Any]]] = {
        "businessunit": [{"businessunitid": id_, "name": f"Unit {id_[-1]}"} for id_ in UNITS],
        "systemuser": [
            {
                "systemuserid": id_,
                "fullname": pick(TEXTS),
                "businessunitid": pick([*UNITS, None]),
                "parentsystemuserid": pick([*USERS, None]),
            }
            for id_ in USERS
        ],
        "team": [{"teamid": id_, "name": pick(TEXTS)} for id_ in TEAMS],
        "teammembership": [
            {"teammembershipid": guid(71 + n), "systemuserid": user, "teamid": team}
            for n, (user, team) in enumerate(draw.sample([(u, t) for u in USERS for t in TEAMS], 4))
        ],
        "account": [
            {
                "accountid": id_,
                "name": pick(TEXTS),
                "revenue": pick((None, 0, 10_000, 10_001, -25_000, draw.randint(-(10**9), 10**9))),
                "numberofemployees": pick((None, 0, 1, 5, -3)),
                "statecode": pick((0, 1)),
                "createdon": moment(),
                "primarycontactid": pick([None, *contacts]),
                "parentaccountid": pick([None, *accounts]),
            }
            for id_ in accounts
        ],
        "contact": [
            {
                "contactid": id_,
                "fullname": pick(TEXTS),
                "birthdate": pick((None, moment()[:10])),
                "donotemail": pick((None, 0, 1)),
                "gendercode": pick((None, 1, 2)),
                **_polymorphic("parentcustomerid", "parentcustomeridtype", pick, account=accounts, contact=contacts),
                "createdon": moment(),
            }
            for id_ in contacts
        ],
        "fileattachment": [],
        "asyncoperation": [],
    }
    for number in range(jobs):
        state, status = pick(PAIRS)
        file = pick([None, None, *files])
        world["asyncoperation"].append(
            {
                "asyncoperationid": guid(100 + number),
                "sequence": number + 1,
                "name": pick(TEXTS),
                "messagename": pick(TEXTS),
                "friendlymessage": pick(TEXTS),
                "message": pick(TEXTS),
                "operationtype": pick((1, 10, 54)),
                "statecode": state,
                "statuscode": status,
                "createdon": moment(),
                "completedon": moment() if state == 3 else None,
                **_polymorphic("ownerid", "owneridtype", pick, systemuser=USERS, team=TEAMS),
                "owningbusinessunit": pick(UNITS),
                **_polymorphic(
                    "regardingobjectid", "regardingobjecttypecode", pick, account=accounts, contact=contacts
                ),
                "datablobid": file,
                "executiontimespan": pick((0.0, 0.5, 12.25)),
                "depth": pick((1, 2, 3)),
                "retrycount": pick((None, 0, 4)),
                "primaryentitytype": pick((None, "account", "contact")),
                "iswaitingforevent": pick((0, 1)),
                "blocked": 0,
            }
        )
    for id_ in files:
        owner = pick([None, *[job["asyncoperationid"] for job in world["asyncoperation"]]])
        world["fileattachment"].append(
            {
                "fileattachmentid": id_,
                "filename": pick(TEXTS),
                "filesizeinbytes": draw.randint(0, 2**40),
                "objectid": owner,
                "objectidtypecode": "asyncoperation" if owner else None,
            }
        )
    for job in world["asyncoperation"]:
        if job["ownerid"] is None:
            job["ownerid"], job["owneridtype"] = USERS[0], "systemuser"
    return world


def _polymorphic(column: str, type_column: str, pick: Any, **targets: list[str]) -> dict[str, Any]:
    kind = pick([None, *targets])
    return {column: pick(targets[kind]) if kind else None, type_column: kind}


def fill(store: Store, world: dict[str, list[dict[str, Any]]]) -> None:
    """The same rows in a store."""

    def unit(tx: Transaction) -> None:
        for table, rows in world.items():
            for row in rows:
                stored = {k: v for k, v in row.items() if k != "message" or table != "asyncoperation"}
                _insert(tx, table, {name: _raw(table, name, value, tx.dialect) for name, value in stored.items()})
                if row.get("message") is not None and table == "asyncoperation":
                    text = {"asyncoperationsequence": row["sequence"], "message": row["message"]}
                    _insert(tx, "asyncoperationtext", text)

    store.write(unit)


def _raw(table: str, name: str, value: Any, dialect: Dialect) -> Any:
    column = CATALOG.tables[table].columns.get(name)
    boolean = column is not None and column.type is ColumnType.BOOLEAN
    return bool(value) if boolean and dialect == "postgres" and value is not None else value


def _insert(tx: Transaction, table: str, row: dict[str, Any]) -> None:
    overriding = " OVERRIDING SYSTEM VALUE" if tx.dialect == "postgres" and "sequence" in row else ""
    names, values = ", ".join(f'"{name}"' for name in row), ", ".join(f":{name}" for name in row)
    tx.execute(f'INSERT INTO "{table}" ({names}){overriding} VALUES ({values})', row)


# --- questions


def column(table: str, name: str) -> Column:
    return CATALOG.tables[table].columns[name]


def literal(found: Column) -> st.SearchStrategy[Any]:
    """A literal that fits a column, as OData (typed) or FetchXML (text) would write it."""
    kind = found.type
    days = ("2026-03-29", "2026-03-28", "2025-03-29", "2026-03-01")
    moments = ("2026-03-29T01:30:00Z", "2026-03-29T14:25:36.123456Z", "2026-03-28T12:00", "2025-10-26T02:30:00+02:00")
    if kind in (ColumnType.STRING, ColumnType.MEMO):
        return st.sampled_from(PATTERNS)
    if kind is ColumnType.ENTITYNAME:
        return st.sampled_from(("account", "asyncoperation", 1, "4700", "Contact"))
    if kind is ColumnType.DATETIME:
        return st.sampled_from((*days, *moments, NOW))
    if kind is ColumnType.DATE:
        return st.sampled_from((*days, NOW.date()))
    if kind is ColumnType.BOOLEAN:
        return st.sampled_from((True, False, "1", "false", 0))
    if kind.is_choice:
        return st.sampled_from((0, 1, "3", 10, 30, "31", 54))
    if kind.is_lookup or kind in (ColumnType.UNIQUEIDENTIFIER, ColumnType.FILE):
        pool = [*USERS, *TEAMS, *UNITS, *(guid(n) for n in (31, 35, 41, 45, 61, 65, 100, 110))]
        return st.sampled_from((*pool, *("{" + id_.upper() + "}" for id_ in pool[:3]), *(UUID(id_) for id_ in pool)))
    if kind is ColumnType.MONEY:
        return st.sampled_from((0, "1", "1.0001", "1.00005", -2.5, "-3"))
    if kind is ColumnType.DOUBLE:
        return st.sampled_from((0, 0.5, "12.25", "1e1"))
    return st.sampled_from((0, 1, "2", 3, "-3", 2**40))


@st.composite
def conditions(draw: Any, table: str, entities: tuple[tuple[str, str], ...] = ()) -> Condition:
    entity, owner = draw(st.sampled_from(((None, table), *entities)))
    name = draw(st.sampled_from(COLUMNS[owner]))
    found = column(owner, name)
    fitting = [
        operator
        for operator in OPERATORS.values()
        if family(found) in operator.families
        and not (isinstance(operator.test, RelatedTest) and relationship_of(found, CATALOG) is None)
        and not (getattr(operator.test, "clock", False) and found.type is ColumnType.DATE)
    ]
    operator = draw(st.sampled_from(fitting))
    if operator.comparable and draw(st.integers(0, 9)) == 0:
        like = [
            n
            for n in COLUMNS[owner]
            if family(column(owner, n)) == family(found) and column(owner, n).type == found.type
        ]
        return Condition(name, operator.name, (), entity, (entity, draw(st.sampled_from(like))))
    if family(found) == "D" and operator.arity == 1 and "-x-" in operator.name:
        values: tuple[Any, ...] = (draw(st.sampled_from((1, "2", 7, 30, 5000, 10**9))),)
    elif "fiscal" in operator.name and operator.arity:
        periods = (draw(st.sampled_from((1, "2", 3, 4))),) if "period" in operator.name else ()
        years = (draw(st.sampled_from((2025, "2026", 2027, 99_999))),) if "year" in operator.name else ()
        values = (*periods, *years)
    else:
        count = draw(st.integers(1, 4)) if operator.arity is None else operator.arity
        nullable = st.none() if draw(st.integers(0, 19)) == 0 else st.nothing()
        strategy = literal(found)
        if operator.arity is None or operator.comparable:
            strategy = strategy | nullable
        values = tuple(draw(strategy) for _ in range(count))
    return Condition(name, operator.name, values, entity)


LINKS = {
    "asyncoperation": (
        ("systemuser", "systemuserid", "ownerid"),
        ("businessunit", "businessunitid", "owningbusinessunit"),
        ("fileattachment", "fileattachmentid", "datablobid"),
        ("fileattachment", "objectid", "asyncoperationid"),
        ("account", "accountid", "regardingobjectid"),
    ),
    "systemuser": (("asyncoperation", "ownerid", "systemuserid"), ("teammembership", "systemuserid", "systemuserid")),
    "account": (("contact", "contactid", "primarycontactid"), ("contact", "parentcustomerid", "accountid")),
    "contact": (("account", "primarycontactid", "contactid"), ("asyncoperation", "regardingobjectid", "contactid")),
    "fileattachment": (("asyncoperation", "datablobid", "fileattachmentid"),),
    "teammembership": (("team", "teamid", "teamid"),),
}


@st.composite
def filters(draw: Any, table: str, entities: tuple[tuple[str, str], ...] = (), depth: int = 2) -> Filter:
    parts: list[Any] = []
    for _ in range(draw(st.integers(0, 2))):
        choice = draw(st.integers(0, 7))
        if choice == 0 and depth:
            parts.append(draw(filters(table, entities, depth - 1)))
        elif choice == 1 and table in LINKS and depth:
            target, from_, to = draw(st.sampled_from(LINKS[table]))
            kind = draw(st.sampled_from(("any", "not any", "all", "not all")))
            inner = draw(st.none() | filters(target, (), 0))
            parts.append(Related(Link(target, from_, to, "related", kind, filter=inner)))
        else:
            parts.append(draw(conditions(table, entities)))
    return Filter(draw(st.sampled_from(("and", "or"))), tuple(parts), draw(st.integers(0, 5)) == 0)


@st.composite
def links(draw: Any, table: str, alias: str, grouped: bool, depth: int = 1) -> Link:
    target, from_, to = draw(st.sampled_from(LINKS[table]))
    kind = draw(st.sampled_from(("inner", "outer", "exists", "in", "matchfirstrowusingcrossapply", "outer")))
    joined = kind in ("inner", "outer", "matchfirstrowusingcrossapply")
    names = draw(st.lists(st.sampled_from(COLUMNS[target]), unique=True, max_size=2)) if joined and not grouped else ()
    below: tuple[Link, ...] = ()
    if depth and target in LINKS and kind != "matchfirstrowusingcrossapply" and draw(st.integers(0, 2)) == 0:
        below = (draw(links(target, alias + "x", grouped, depth - 1)),)
        if kind in ("exists", "in"):
            below = tuple(Link(b.table, b.from_, b.to, b.alias, b.kind, filter=b.filter) for b in below)
    orders: tuple[Order, ...] = ()
    if kind == "matchfirstrowusingcrossapply" or (joined and not grouped and draw(st.booleans())):
        orders = tuple(draw(st.lists(order(target), max_size=1)))
    return Link(
        target, from_, to, alias, kind, tuple(Attribute(n) for n in names), filter=draw(st.none() | filters(target, (), 0)),
        orders=orders, links=below,
    )  # fmt: skip


@st.composite
def order(draw: Any, table: str) -> Order:
    name = draw(st.sampled_from(COLUMNS[table]))
    return Order(name, descending=draw(st.booleans()), by_label=draw(st.booleans()))


def visible(found: tuple[Link, ...]) -> tuple[tuple[str, str], ...]:
    """Aliases that the outermost filter may name."""
    names: list[tuple[str, str]] = []
    for link in found:
        if link.kind in ("inner", "outer", "matchfirstrowusingcrossapply"):
            names.append((link.alias, link.table))
            names.extend(visible(link.links) if link.kind != "matchfirstrowusingcrossapply" else ())
    return tuple(names)


@st.composite
def queries(draw: Any, *, form: str) -> Query:
    """form: "plain", "distinct" or "aggregate"."""
    table = draw(st.sampled_from(("asyncoperation", "asyncoperation", "account", "contact", "systemuser")))
    grouped = form != "plain"
    joins = tuple(draw(links(table, f"l{n}", grouped)) for n in range(draw(st.integers(0, 2))))
    where = draw(st.none() | filters(table, visible(joins)))
    language = draw(st.sampled_from(("odata", "fetchxml")))
    page = Page(draw(st.sampled_from((None, 1, 3, 7))))
    top = draw(st.sampled_from((None, None, 0, 2, 10)))
    names = draw(st.lists(st.sampled_from(COLUMNS[table]), unique=True, min_size=1, max_size=4))
    if form == "plain":
        orders = tuple(draw(st.lists(order(table), max_size=2)))
        chosen = tuple(Attribute(name) for name in names)
        return Query(
            table, chosen, links=joins, filter=where, orders=orders, top=top, page=page, total=True, language=language
        )
    if form == "distinct":
        ordered = draw(st.lists(st.sampled_from(names), unique=True, max_size=2))
        orders = tuple(Order(n, descending=draw(st.booleans()), by_label=draw(st.booleans())) for n in ordered)
        chosen = tuple(Attribute(name) for name in names)
        return Query(
            table, chosen, links=joins, filter=where, orders=orders, distinct=True, top=top, page=page, total=True,
            language=language,
        )  # fmt: skip
    keys = names[: draw(st.integers(0, min(3, len(COLUMNS[table]) - 1)))]
    attributes = [draw(group(table, name, f"k{n}")) for n, name in enumerate(keys)]
    for n in range(draw(st.integers(0 if attributes else 1, 2))):
        attributes.append(draw(aggregate(table, keys, f"a{n}")))
    orders = tuple(
        Order(
            alias=draw(st.sampled_from(attributes)).alias, descending=draw(st.booleans()), by_label=draw(st.booleans())
        )
        for _ in range(draw(st.integers(0, 2)))
    )
    return Query(
        table, tuple(attributes), links=joins, filter=where, orders=orders, aggregate=True, top=top, page=page, total=True,
        language=language,
    )  # fmt: skip


@st.composite
def group(draw: Any, table: str, name: str, alias: str) -> Attribute:
    if family(column(table, name)) == "D" and draw(st.integers(0, 3)):
        part = draw(st.sampled_from(("day", "week", "month", "quarter", "year")))
        return Attribute(name, alias, groupby=True, dategrouping=part, usertimezone=draw(st.booleans()))
    return Attribute(name, alias, groupby=True)


@st.composite
def aggregate(draw: Any, table: str, keys: list[str], alias: str) -> Attribute:
    name = draw(st.sampled_from([n for n in COLUMNS[table] if n not in keys]))
    kinds = ["count", "countcolumn"]
    if family(column(table, name)) == "N":
        kinds += ["sum", "avg", "min", "max"]
    if family(column(table, name)) == "D":
        kinds += ["min", "max"]
    return Attribute(name, alias, draw(st.sampled_from(kinds)), distinct=draw(st.booleans()))


COUNT_COLUMNS = ("ownerid", "owningbusinessunit", "statecode", "statuscode", "operationtype")


@st.composite
def counting(draw: Any) -> Query:
    """A question that the counts can answer."""
    keys = draw(st.lists(st.sampled_from(COUNT_COLUMNS), unique=True, max_size=3))
    attributes = [Attribute(name, name, groupby=True) for name in keys]
    if not keys or draw(st.booleans()):
        attributes.append(Attribute("asyncoperationid", "n", "count"))
    parts: list[Any] = []
    for _ in range(draw(st.integers(0, 3))):
        name = draw(st.sampled_from((*COUNT_COLUMNS, "datablobid")))
        if name == "datablobid":
            parts.append(Condition(name, draw(st.sampled_from(("null", "not-null")))))
        else:
            operator = draw(st.sampled_from(("eq", "ne", "in", "not-in", "null", "not-null")))
            count = {"null": 0, "not-null": 0, "in": 2, "not-in": 2}.get(operator, 1)
            found = column("asyncoperation", name)
            parts.append(Condition(name, operator, tuple(draw(literal(found)) for _ in range(count))))
    where = Filter(draw(st.sampled_from(("and", "or"))), tuple(parts), draw(st.booleans()))
    return Query("asyncoperation", tuple(attributes), filter=where, aggregate=True, total=True, language="fetchxml")
