"""The specification's diagnostic queries, in OData and FetchXML: each becomes exactly the expected tree.

Written here in our own layout; where the specification's files lie beside the checkout, they are read as well.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

import pytest
from tests.unit.query.languages.asking import fetch, odata

from adjourn.query.tree import Attribute, Condition, Filter, Link, Order, Query

SEED_QUERIES = Path(__file__).resolve().parents[5] / "shared" / "reference" / "seed-queries"
JOB_COLUMNS = [
    "asyncoperationid",
    "completedon",
    "createdon",
    "data",
    "dependencytoken",
    "depth",
    "errorcode",
    "executiontimespan",
    "friendlymessage",
    "iswaitingforevent",
    "message",
    "messagename",
    "modifiedon",
    "name",
    "operationtype",
    "ownerid",
    "postponeuntil",
    "primaryentitytype",
    "recurrencepattern",
    "recurrencestarttime",
    "regardingobjectid",
    "retrycount",
    "sequence",
    "startedon",
    "statecode",
    "utcconversiontimezonecode",
    "workflowstagename",
]
LOOKUPS = ("ownerid", "regardingobjectid")
EXPANDS = {
    "createdby": ("systemuser", "fullname"),
    "modifiedby": ("systemuser", "fullname"),
    "owningbusinessunit": ("businessunit", "name"),
    "owningextensionid": ("sdkmessageprocessingstep", "name"),
    "owningteam": ("team", "name"),
    "owninguser": ("systemuser", "fullname"),
}
FETCH_COLUMNS = sorted({*JOB_COLUMNS, *EXPANDS})
KEYS = ("statecode", "statuscode", "operationtype")
GROUPED = ",".join(KEYS)


def counted(alias: str, keys: tuple[str, ...], filter_: Filter | None, order: bool) -> Query:
    """An aggregate query in OData's words, or (order) in FetchXML's."""
    groups = tuple(Attribute(key, key if order else None, groupby=True) for key in keys)
    orders = (Order(alias=alias, descending=True, by_label=True),) if order and keys else ()
    return Query(
        "asyncoperation",
        (*groups, Attribute("asyncoperationid", alias, "count")),
        filter=filter_,
        orders=orders,
        aggregate=True,
        language="fetchxml" if order else "odata",
    )


def both(*conditions: tuple[str, str, int | None]) -> tuple[Filter, Filter]:
    """A filter with OData's typed literals, and the same with FetchXML's texts."""

    def made(text: bool) -> Filter:
        return Filter(
            "and",
            tuple(
                Condition(column, operator, () if value is None else (str(value) if text else value,))
                for column, operator, value in conditions
            ),
        )

    return made(False), made(True)


CASES = {
    "02-jobs-by-state-status-and-type": ("", "count", KEYS, None),
    "03-suspended-jobs-by-count": ("statecode eq 1", "count", KEYS, both(("statecode", "eq", 1))),
    "04-workflows-by-count": ("operationtype eq 10", "count", KEYS, both(("operationtype", "eq", 10))),
    "05-jobs-waiting-for-system-resources": (
        "statecode eq 0 and statuscode eq 0",
        "count",
        KEYS,
        both(("statecode", "eq", 0), ("statuscode", "eq", 0)),
    ),
    "06-file-storage-count": ("datablobid ne null", "FileStorageCount", (), both(("datablobid", "not-null", None))),
    "07-not-in-blob-storage-count": ("datablobid eq null", "DBCount", (), both(("datablobid", "null", None))),
    "08-job-names-using-file-storage": (
        "datablobid ne null",
        "jobs",
        ("operationtype", "name", "friendlymessage"),
        both(("datablobid", "not-null", None)),
    ),
}


def expected_first() -> Query:
    links = tuple(
        Link(table, f"{table}id", lookup, f"e{number}", "outer", (Attribute(name),), expand=lookup)
        for number, (lookup, (table, name)) in enumerate(EXPANDS.items(), 1)
    )
    return Query("asyncoperation", tuple(Attribute(name) for name in JOB_COLUMNS), links=links, top=1000)


def expected_last() -> Query:
    keys = (Attribute("owningextensionid", "owningextension", groupby=True),)
    link = Link(
        "fileattachment",
        "fileattachmentid",
        "datablobid",
        "fileattachment",
        "inner",
        (
            Attribute("filesizeinbytes", "TotalSize", "sum"),
            Attribute("filesizeinbytes", "RecordCount", "count"),
        ),
        filter=Filter("and", (Condition("objectidtypecode", "eq", ("4700",)),)),
        orders=(Order(alias="TotalSize", descending=True, by_label=True),),
    )
    groups = (*keys, *(Attribute(key, key, groupby=True) for key in KEYS))
    return Query("asyncoperation", groups, links=(link,), aggregate=True, language="fetchxml")


def columns_in_order(query: Query) -> Query:
    return Query(query.table, tuple(sorted(query.columns, key=lambda a: a.name)), links=query.links, top=query.top)


def test_the_list_of_jobs_is_understood_with_its_lines_folded() -> None:
    select = ",\n".join(name if name not in LOOKUPS else f"_{name}_value" for name in JOB_COLUMNS)
    expand = ",\r\n".join(f"{name}($select={column})" for name, (_, column) in EXPANDS.items())
    assert odata(top="1000", select=f"\n{select}\n", expand=f"\n{expand}\n") == expected_first()


def test_the_list_of_jobs_is_understood_in_fetchxml() -> None:
    attributes = "".join(f"<attribute name='{name}' />" for name in FETCH_COLUMNS)
    found = fetch(f"<fetch top='1000'>\n <entity name='asyncoperation' >{attributes}</entity></fetch>")
    assert found == Query("asyncoperation", tuple(map(Attribute, FETCH_COLUMNS)), top=1000, language="fetchxml")


@pytest.mark.parametrize("name", CASES)
def test_a_counting_query_is_understood_in_odata(name: str) -> None:
    filter_, alias, keys, tree = CASES[name]
    aggregate = f"aggregate($count as {alias})"
    grouped = f"groupby(({','.join(keys)}),{aggregate})" if keys else aggregate
    apply = f"filter(({filter_}))/{grouped}" if filter_ else grouped
    assert odata(apply=apply) == counted(alias, keys, tree and tree[0], order=False)


def condition_element(condition: Condition) -> str:
    value = f'value="{condition.values[0]}"' if condition.values else ""
    return f'<condition attribute="{condition.column}" operator="{condition.operator}" {value}/>'


@pytest.mark.parametrize("name", CASES)
def test_a_counting_query_is_understood_in_fetchxml(name: str) -> None:
    _, alias, keys, tree = CASES[name]
    groups = "".join(f'<attribute name="{key}" alias="{key}" groupby="true"/>' for key in keys)
    count = f'<attribute name="asyncoperationid" alias="{alias}" aggregate="count"/>'
    filters = "".join(condition_element(c) for c in tree[1].conditions if isinstance(c, Condition)) if tree else ""
    order = f'<order alias="{alias}" descending="true"/>' if keys else ""
    filter_ = f"<filter>{filters}</filter>" if filters else ""
    text = f'<fetch aggregate="true"><entity name="asyncoperation">{groups}{count}{filter_}{order}</entity></fetch>'
    assert fetch(text) == counted(alias, keys, tree and tree[1], order=True)


def test_sizes_by_owning_extension_are_understood_with_the_order_inside_the_link() -> None:
    keys = "".join(f"<attribute name='{key}' alias='{key}' groupby='true' />" for key in KEYS)
    text = f"""<fetch aggregate='true'> <entity name='asyncoperation'>
        <attribute name='owningextensionid' alias='owningextension' groupby='true' /> {keys}
        <link-entity name='fileattachment' to='datablobid' from='fileattachmentid' alias='fileattachment'
          link-type='inner'>
          <attribute name='filesizeinbytes' alias='TotalSize' aggregate='sum' />
          <attribute name='filesizeinbytes' alias='RecordCount' aggregate='count' />
          <filter><condition attribute='objectidtypecode' operator='eq' value='4700' /></filter>
          <order alias='TotalSize' descending='true' />
        </link-entity></entity></fetch>"""
    assert fetch(text) == expected_last()


def verbatim(name: str) -> str:
    path = SEED_QUERIES / name
    if not path.is_file():
        pytest.skip(f"the specification's queries are not beside the checkout, at {SEED_QUERIES}")
    return path.read_text()


def options_of(text: str) -> dict[str, str]:
    """The query options of a request, its folded lines joined."""
    request = text.partition("\nAccept:")[0].replace("\n", "")
    pairs = (part.partition("=") for part in request.partition("?")[2].split("&"))
    return {name: unquote(value) for name, _, value in pairs}


@pytest.mark.parametrize("name", ["01-retrieve-system-jobs", *CASES, "09-file-size-and-record-count"])
def test_the_specification_s_own_request_becomes_the_expected_tree(name: str) -> None:
    options = options_of(verbatim(f"{name}.http"))
    if "fetchXml" in options:
        assert fetch(options["fetchXml"]) == expected_last()
        return
    found = odata(**{key.removeprefix("$"): value for key, value in options.items()})
    if name in CASES:
        _, alias, keys, tree = CASES[name]
        assert found == counted(alias, keys, tree and tree[0], order=False)
    else:
        assert found == expected_first()


@pytest.mark.parametrize("name", ["01-retrieve-system-jobs", *CASES, "09-file-size-and-record-count"])
def test_the_specification_s_own_fetch_becomes_the_expected_tree(name: str) -> None:
    found = fetch(verbatim(f"{name}.xml"))
    if name in CASES:
        _, alias, keys, tree = CASES[name]
        expected = counted(alias, keys, tree and tree[1], order=True)
        assert set(found.columns) == set(expected.columns)
        assert (found.filter, found.orders, found.aggregate) == (expected.filter, expected.orders, True)
    elif name.startswith("01"):
        assert sorted(a.name for a in found.columns) == FETCH_COLUMNS
        assert found.top == 1000
    else:
        assert found == expected_last()
