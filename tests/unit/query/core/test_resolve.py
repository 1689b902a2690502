from __future__ import annotations

import pytest
from tests.unit.query.core.questions import jobs_by_state, plan, where

from adjourn.errors import AdjournError, QueryError
from adjourn.query.tree import Attribute, Condition, Filter, Link, Order, Page, Query, Related

FILE = Link("fileattachment", "fileattachmentid", "datablobid", "f")
MANY = tuple(Link("account", "accountid", "regardingobjectid", f"a{n}") for n in range(16))


def fetch(**parts: object) -> Query:
    return Query("asyncoperation", **{"columns": (Attribute("name"),), "language": "fetchxml", **parts})  # type: ignore[arg-type]


REFUSED = {
    "unknown table": (Query("asyncoperatoin", language="fetchxml"), 0x80041102, "Did you mean 'asyncoperation'"),
    "unknown column": (fetch(columns=(Attribute("postponuntil", position=5),)), 0x80041103, "Did you mean 'postponeuntil'"),
    "internal column": (fetch(columns=(Attribute("lease"),)), 0x80041103, "NameMapping = 'Logical'"),
    "unreadable column": (fetch(columns=(Attribute("workflowstate"),)), 0x80041103, "workflowstate"),
    "unknown operator": (where(Condition("name", "eqq", ("x",))), 0x80041120, "Did you mean 'eq'"),
    "operator of another type": (where(Condition("name", "last-x-days", (1,))), 0x80041120, "does not fit"),
    "too few values": (where(Condition("depth", "between", (1,))), 0x80041106, "takes 2 values, found 1"),
    "no values": (where(Condition("depth", "in")), 0x80041106, "at least one"),
    "columns of two types": (where(Condition("name", "eq", valueof=(None, "depth"))), 0x80041106, "columns of one type"),
    "unknown link in a filter": (where(Condition("name", "null", entity="g"), links=(FILE,)), 0x80041106, "alias 'g'"),
    "filter type": (fetch(filter=Filter("xor", (Condition("name", "null"),))), 0x800410FE, "'and' or 'or'"),
    "link type": (fetch(links=(Link("account", "accountid", "regardingobjectid", "a", "iner"),)), 0x80041121, "'inner'"),
    "related link outside": (fetch(links=(Link("account", "accountid", "regardingobjectid", "a", "any"),)), 0x80041121, "inside"),
    "joined columns": (fetch(links=(Link("account", "accountid", "name", "a"),)), 0x80041111, "one type"),
    "alias twice": (fetch(links=(FILE, FILE)), 0x80041130, "two links"),
    "column alias twice": (fetch(columns=(Attribute("name", "x"), Attribute("depth", "x"))), 0x80041130, "two columns"),
    "alias form": (fetch(columns=(Attribute("name", "1x"),)), 0x80041109, "begin with a letter"),
    "plain in aggregate": (jobs_by_state(columns=(Attribute("name", "n"),)), 0x80041107, "neither grouped nor"),
    "aggregate without alias": (jobs_by_state(columns=(Attribute("name", groupby=True),)), 0x8004110B, "alias"),
    "aggregate unknown": (jobs_by_state(columns=(Attribute("name", "n", "median"),)), 0x8004111A, "count"),
    "sum of a text": (jobs_by_state(columns=(Attribute("name", "n", "sum"),)), 0x8004112F, "String"),
    "grouped and aggregated": (
        jobs_by_state(columns=(Attribute("depth", "a", "sum", groupby=True),)), 0x80041137, "both",
    ),
    "date grouping": (jobs_by_state(columns=(Attribute("createdon", "a", groupby=True, dategrouping="hour"),)), 0x80041135, "hour"),
    "children of what is no tree": (
        fetch(columns=(Attribute("asyncoperationid", "n", rowaggregate="CountChildren"),)), 0x8004112F, "hierarchical",
    ),
    "children without alias": (fetch(columns=(Attribute("asyncoperationid", rowaggregate="CountChildren"),)), 0x8004110B, "alias"),
    "another row aggregate": (fetch(columns=(Attribute("asyncoperationid", "n", rowaggregate="Sum"),)), 0x8004111A, "CountChildren"),
    "order by column": (jobs_by_state(orders=(Order("statecode"),)), 0x80041131, "names an alias"),
    "order by alias": (fetch(orders=(Order(alias="name"),)), 0x80041132, "aggregate query only"),
    "distinct by another column": (fetch(distinct=True, orders=(Order("depth"),)), 0x80041131, "column of the answer"),
    "order by nothing": (fetch(orders=(Order(),)), 0x80041133, "names a column"),
    "order alias unknown": (jobs_by_state(orders=(Order(alias="cuont"),)), 0x8004110A, "Did you mean 'count'"),
    "order of a link": (fetch(orders=(Order("name", entity="q"),)), 0x80041126, "alias 'q'"),
    "too many links": (fetch(links=MANY), 0x8004430D, "15"),
    "too many conditions": (where(*[Condition("name", "null")] * 501), 0x8004430C, "500"),
    "page of nothing": (fetch(page=Page(0)), 0x8004110C, "at least one row"),
    "page without cookie": (fetch(page=Page(5000, 11)), 0x8004430A, "cookie"),
    "cookie of another order": (fetch(page=Page(10, 2, ("a", "b", "c"))), 0x80041129, "3 values"),
    "cookie value": (fetch(orders=(Order("depth"),), page=Page(10, 2, ("x", None))), 0x8004112A, "depth"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_question_against_the_rules_is_refused_with_its_documented_code(case: str) -> None:
    query, code, text = REFUSED[case]
    with pytest.raises(QueryError, match=text) as refusal:
        plan(query)
    assert refusal.value.hex == f"0x{code:08x}"


def test_the_web_api_names_an_unknown_property_in_its_own_words() -> None:
    with pytest.raises(QueryError) as refusal:
        plan(Query("asyncoperation", (Attribute("statcode"),)))
    expected = "Could not find a property named 'statcode' on type 'Microsoft.Dynamics.CRM.asyncoperation'."
    assert refusal.value.message.startswith(expected)
    assert refusal.value.hex == "0x0"


def test_a_refusal_says_where_it_stands() -> None:
    with pytest.raises(QueryError, match="at position 42"):
        plan(where(Condition("nam", "null", position=42)))


def test_links_inside_filters_count_among_the_fifteen() -> None:
    link = Link("account", "accountid", "regardingobjectid", "x", "any")
    with pytest.raises(AdjournError, match="15 links"):
        plan(where(*[Related(link)] * 16))


def test_the_key_is_always_answered_but_not_of_groups() -> None:
    assert [o.key for o in plan(fetch()).outputs] == ["name", "asyncoperationid"]
    assert [o.key for o in plan(fetch(distinct=True)).outputs] == ["name"]


def test_a_linked_column_is_named_by_its_alias_and_an_expanded_one_lies_in_its_path() -> None:
    linked = plan(
        fetch(links=(Link("systemuser", "systemuserid", "createdby", "u", columns=(Attribute("fullname"),)),))
    )
    assert [o.key for o in linked.outputs][-1] == "u.fullname"
    nested = Link(
        "businessunit", "businessunitid", "businessunitid", "b", "outer", (Attribute("name"),), expand="businessunitid"
    )
    user = Link(
        "systemuser",
        "systemuserid",
        "createdby",
        "u",
        "outer",
        (Attribute("fullname"),),
        links=(nested,),
        expand="createdby",
    )
    outputs = {(o.path, o.key) for o in plan(Query("asyncoperation", (Attribute("name"),), links=(user,))).outputs}
    assert outputs == {
        ((), "name"), ((), "asyncoperationid"), (("createdby",), "fullname"), (("createdby",), "systemuserid"),
        (("createdby", "businessunitid"), "name"), (("createdby", "businessunitid"), "businessunitid"),
    }  # fmt: skip
