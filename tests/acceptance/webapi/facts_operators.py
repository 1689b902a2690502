"""Facts of FetchXML's reference: condition operators (§6), each asked in both languages. Which rows each window holds, with time
zones and fiscal settings, is proved on both stores by tests/queries.

A row is (FetchXML's name, the Web API's function, the column, the values). The names stand here as the reference has them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from tests.acceptance.webapi.facts import CRM, Fact
from tests.acceptance.webapi.facts_fetchxml import NAME, fact

GUID = "0ad10000-0000-7000-8000-000000000004"
DATE = "2023-03-25"
UNITS = ("hours", "days", "weeks", "months", "years")
COUNTED = (
    *(f"{way}-x-{unit}" for way in ("last", "next") for unit in UNITS),
    *(f"olderthan-x-{unit}" for unit in ("minutes", *UNITS)),
    *(f"{way}-x-fiscal-{unit}" for way in ("last", "next") for unit in ("years", "periods")),
)
NAMED = (
    *("yesterday", "today", "tomorrow"),
    *(f"{way}-{unit}" for way in ("last", "this", "next") for unit in ("week", "month", "year")),
    *(f"{way}-fiscal-{unit}" for way in ("this", "last", "next") for unit in ("year", "period")),
)
FISCAL = ("in-fiscal-period-and-year", "in-or-before-fiscal-period-and-year", "in-or-after-fiscal-period-and-year")
CALLER = (
    "eq-userid",
    "ne-userid",
    "eq-userteams",
    "eq-useroruserteams",
    "eq-useroruserhierarchy",
    "eq-useroruserhierarchyandteams",
)
SPELT = {
    "eq-userid": "EqualUserId",
    "ne-userid": "NotEqualUserId",
    "eq-userteams": "EqualUserTeams",
    "eq-useroruserteams": "EqualUserOrUserTeams",
    "eq-useroruserhierarchy": "EqualUserOrUserHierarchy",
    "eq-useroruserhierarchyandteams": "EqualUserOrUserHierarchyAndTeams",
    "eq-businessid": "EqualBusinessId",
    "ne-businessid": "NotEqualBusinessId",
    "eq-userlanguage": "EqualUserLanguage",
    "eq-or-under": "UnderOrEqual",
    "eq-or-above": "AboveOrEqual",
    "last-seven-days": "Last7Days",
    "next-seven-days": "Next7Days",
}
TABLE: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    *((name, "createdon", ()) for name in (*NAMED, "last-seven-days", "next-seven-days")),
    *((name, "createdon", (DATE,)) for name in ("on", "on-or-before", "on-or-after")),
    *((name, "createdon", ("3",)) for name in (*COUNTED, "in-fiscal-period")),
    ("in-fiscal-year", "createdon", ("2023",)),
    *((name, "createdon", ("3", "2023")) for name in FISCAL),
    *((name, "ownerid", ()) for name in CALLER),
    *((name, "owningbusinessunit", ()) for name in ("eq-businessid", "ne-businessid")),
    ("eq-userlanguage", "numberofemployees", ()),
    *((name, "accountid", (GUID,)) for name in ("under", "eq-or-under", "not-under", "above", "eq-or-above")),
    *((name, "statecode", ("0", "1")) for name in ("in", "not-in")),
    *((name, "primarycontactid", (GUID, GUID)) for name in ("in", "not-in")),
    *((name, "name", ("a", "b")) for name in ("in", "not-in")),
    *((name, "numberofemployees", ("1", "3000")) for name in ("between", "not-between")),
    *((name, "createdon", (DATE, DATE)) for name in ("between", "not-between")),
)
"""Those that the Web API calls as functions."""
COMPARED: tuple[tuple[str, str, str, str], ...] = (
    *(
        (name, name.replace("neq", "ne"), "numberofemployees", "2023")
        for name in ("eq", "ne", "neq", "gt", "ge", "lt", "le")
    ),
    *((name, name, "createdon", "2023-03-25T00:00:00Z") for name in ("gt", "ge", "lt", "le")),
    *((name, name, "accountid", GUID) for name in ("eq", "ne")),
    *((name, name, "statecode", "0") for name in ("eq", "ne")),
    *((name, name, "name", "'Contoso'") for name in ("eq", "ne", "gt", "ge", "lt", "le")),
)
"""And those that it writes as operators."""


def function(name: str) -> str:
    return SPELT.get(name) or "".join(part[:1].upper() + part[1:] for part in name.split("-")).replace(
        "Olderthan", "OlderThan"
    )


def condition(name: str, column: str, values: tuple[str, ...]) -> str:
    if len(values) == 1:
        return f"{NAME}<filter><condition attribute='{column}' operator='{name}' value='{values[0]}'/></filter>"
    inside = "".join(f"<value>{value}</value>" for value in values)
    return f"{NAME}<filter><condition attribute='{column}' operator='{name}'>{inside}</condition></filter>"


def called(name: str, column: str, values: tuple[str, ...]) -> str:
    prop = f"_{column}_value" if column in ("ownerid", "owningbusinessunit", "primarycontactid") else column
    given = f"PropertyName='{prop}'"
    if name in FISCAL:
        given += "".join(f",PropertyValue{place}={value}" for place, value in enumerate(values, 1))
    elif name in ("in", "not-in", "between", "not-between"):
        given += f",PropertyValues={json.dumps(values)}"
    elif values:
        given += f",PropertyValue={values[0] if values[0].isdigit() else repr(values[0])}"
    return f"GET accounts?$select=name&$filter={CRM}.{function(name)}({given})"


def asked() -> Iterator[Fact]:
    for name, column, values in TABLE:
        yield fact(f"{name} of {column}", condition(name, column, values), 200, ('"value":',))
        yield Fact(f"{function(name)} of {column}", called(name, column, values), 200, ('"value":',))
    for name, operator, column, value in COMPARED:
        yield fact(f"{name} of {column}", condition(name, column, (value.strip("'"),)), 200, ('"value":',))
        yield Fact(
            f"{operator} of {column}, for {name}", f"GET accounts?$select=name&$filter={column} {operator} {value}", 200
        )


TEXTS = (
    *(
        fact(f"{name}: {value}", condition(name, "name", (value,)), 200, holds, lacks)
        for name, value, holds, lacks in (
            ("like", "con%", ("Contoso",), ("Fabrikam",)),
            ("like", "%[t-u]oso", ("Contoso",), ("Fabrikam",)),
            ("like", "[^c]%", ("Fabrikam",), ("Contoso",)),
            ("not-like", "con%", ("Fabrikam",), ("Contoso",)),
            ("begins-with", "CON", ("Contoso",), ("Fabrikam",)),
            ("not-begin-with", "con", ("Fabrikam",), ("Contoso",)),
            ("ends-with", "oso", ("Contoso",), ("Fabrikam",)),
            ("not-end-with", "oso", ("Fabrikam",), ("Contoso",)),
            ("begins-with", "c_n", ("Contoso",), ("Fabrikam",)),
        )
    ),
    *(
        Fact(text, f"GET accounts?$select=name&$filter={text}", 200, holds, lacks)
        for text, holds, lacks in (
            ("startswith(name,'con')", ("Contoso",), ("Fabrikam",)),
            ("endswith(name,'OSO')", ("Contoso",), ("Fabrikam",)),
            ("not startswith(name,'con')", ("Fabrikam",), ("Contoso",)),
        )
    ),
    fact("null", condition("null", "primarycontactid", ()), 200, ("Fabrikam",), ("Contoso",)),
    fact("not-null", condition("not-null", "primarycontactid", ()), 200, ("Contoso",), ("Fabrikam",)),
)
REFUSED = (
    *(
        fact(f"{name} of {value}", condition(name, "createdon", (value,)), 400, ("0x8004110[cC]", "greater than zero"))
        for name in COUNTED
        for value in ("0", "-1")
    ),
    *(
        Fact(f"{function(name)} of 0", called(name, "createdon", ("0",)), 400, ("greater than zero",))
        for name in COUNTED
    ),
    *(
        fact(f"{name} of a text", condition(name, "createdon", ("x",)), 400, ("0x80041108|0x8004110[cC]",))
        for name in COUNTED[:3]
    ),
    *(
        Fact(
            f"{name} of a date without a time of day",
            "GET contacts?fetchXml=<fetch><entity name='contact'><attribute name='fullname'/><filter>"
            f"<condition attribute='birthdate' operator='{name}' value='1'/></filter></entity></fetch>",
            400,
            ("0x8004", "birthdate"),
        )
        for name in ("last-x-hours", "next-x-hours", "olderthan-x-hours", "olderthan-x-minutes")
    ),
    *(
        fact(
            f"{name} with {len(values)} values", condition(name, column, values), 400, ("0x80041106|0x80041120|0x8004",)
        )
        for name, column, values in (
            ("between", "createdon", (DATE,)),
            ("not-between", "numberofemployees", ("1", "2", "3")),
            ("today", "createdon", (DATE,)),
            ("on", "createdon", ()),
            ("eq", "name", ()),
            ("null", "name", ("x",)),
            ("in", "name", ()),
            ("in-fiscal-period-and-year", "createdon", ("3",)),
        )
    ),
    *(
        fact(f"{name} is not for {column}", condition(name, column, values), 400, ("0x8004", column))
        for name, column, values in (
            ("today", "name", ()),
            ("like", "createdon", ("x%",)),
            ("under", "name", ("x",)),
            ("contain-values", "statecode", ("0", "1")),
            ("last-x-days", "numberofemployees", ("1",)),
            ("begins-with", "statecode", ("0",)),
            ("eq-userid", "name", ()),
        )
    ),
    Fact(
        "a function cannot be negated",
        f"GET accounts?$filter=not {CRM}.Today(PropertyName='createdon')",
        400,
        ("0x80060888", "Not operator along with the Custom Named Condition operators is not allowed"),
    ),
    Fact("its namespace is required", "GET accounts?$filter=Today(PropertyName='createdon')", 400, ("Today",)),
    Fact(
        "the column is a quoted text",
        f"GET accounts?$filter={CRM}.Today(PropertyName=createdon)",
        400,
        ("expected a value, found 'createdon'",),
    ),
    Fact(
        "full-text search is not there",
        f"GET accounts?$filter={CRM}.Contains(PropertyName='name',PropertyValue='x')",
        400,
        ("Contains",),
    ),
)
SECTIONS = {"FetchXML 6": tuple(asked()), "FetchXML 6, texts": TEXTS, "FetchXML 6, refused": REFUSED}
