"""A tree printed in a language and read again is the same tree; what a language cannot say is refused by name."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from tests.unit.query.languages.asking import CATALOG, fetch, fetched, odata
from tests.unit.query.languages.test_seed_queries import CASES, KEYS, counted, expected_first, expected_last

from adjourn.errors import NotSupported
from adjourn.query.print_fetchxml import print_fetchxml
from adjourn.query.print_odata import print_odata
from adjourn.query.tree import Attribute, Collection, Condition, Filter, Link, Order, Page, Query

CRM = "Microsoft.Dynamics.CRM."
ODATA: list[tuple[str, dict[str, str]]] = [
    ("asyncoperation", {}),
    ("asyncoperation", {"select": "name,_ownerid_value", "top": "3", "count": "true"}),
    ("asyncoperation", {"orderby": "statecode desc,createdby/fullname"}),
    ("asyncoperation", {"expand": "createdby($select=fullname;$expand=businessunitid),owningteam"}),
    ("asyncoperation", {"filter": "statecode eq 1 and (statuscode eq 10 or not (name eq 'O''Brien'))"}),
    ("asyncoperation", {"filter": "not (statecode eq 1 and retrycount gt 2) or iswaitingforevent eq true"}),
    ("asyncoperation", {"filter": "contains(name,'50%') and startswith(name,'a') and not endswith(name,'b')"}),
    ("asyncoperation", {"filter": "createdon ge 2023-03-25 and completedon lt 2023-03-25T17:42:17.5Z"}),
    ("asyncoperation", {"filter": "_ownerid_value eq 0ad10000-0000-7000-8000-000000000003"}),
    ("asyncoperation", {"filter": "statecode in (0,1) and name in ('a','b') and datablobid ne null"}),
    ("asyncoperation", {"filter": "executiontimespan gt 1.25 and executiontimespan lt 1000000.5"}),
    ("asyncoperation", {"filter": "completedon gt startedon and createdby/createdon lt createdon"}),
    ("asyncoperation", {"filter": "createdby/businessunitid/name eq 'x' or createdby/fullname ne null"}),
    ("asyncoperation", {"filter": f"{CRM}LastXDays(PropertyName='createdon',PropertyValue=7)"}),
    ("asyncoperation", {"filter": f"{CRM}On(PropertyName='createdby/createdon',PropertyValue='2023-03-25')"}),
    ("asyncoperation", {"filter": f"{CRM}EqualUserId(PropertyName='ownerid')"}),
    ("asyncoperation", {"filter": f'{CRM}Between(PropertyName=\'retrycount\',PropertyValues=["1","5"])'}),
    ("asyncoperation", {"filter": f"{CRM}NotIn(PropertyName='statecode',PropertyValues=[1,2])"}),
    ("asyncoperation", {"filter": f"{CRM}InFiscalPeriodAndYear(PropertyName='createdon',PropertyValue1=1,PropertyValue2=2023)"}),
    ("account", {"filter": "Account_AsyncOperations/any(j:j/statecode eq 3 and contains(j/name,'x'))"}),
    ("account", {"filter": "Account_AsyncOperations/any() and not Account_Tasks/any()"}),
    ("account", {"filter": "Account_AsyncOperations/all(j:j/statecode eq 3 or j/depth eq 1)"}),
    ("account", {"filter": "Account_AsyncOperations/any(j:j/asyncoperation_FileAttachments/any(f:f/filename eq 'x'))"}),
    ("account", {"filter": f"Account_AsyncOperations/any(j:{CRM}Today(PropertyName='j/createdon'))"}),
    ("team", {"filter": "teammembership_association/any(u:u/fullname eq 'x')"}),
    ("asyncoperation", {"apply": "groupby((statecode,_ownerid_value),aggregate(retrycount with average as a,$count as n))"}),
    ("asyncoperation", {"apply": "filter(depth gt 1)/groupby((createdby/fullname))", "orderby": "createdby/fullname desc"}),
    ("asyncoperation", {"apply": "aggregate(retrycount with sum as s)", "top": "1"}),
]  # fmt: skip
FETCHES = [
    "<fetch><entity name='asyncoperation'/></fetch>",
    "<fetch top='7' distinct='true'><entity name='asyncoperation'><all-attributes/></entity></fetch>",
    "<fetch count='10' page='3' returntotalrecordcount='true'><entity name='account'><attribute name='name' alias='n'/>"
    "<order attribute='name' descending='true'/></entity></fetch>",
    "<fetch count='2' page='3' paging-cookie='&lt;cookie page=&quot;2&quot;&gt;&lt;name last=&quot;a&amp;amp;b&quot; "
    "/&gt;&lt;accountid lastnull=&quot;1&quot; /&gt;&lt;/cookie&gt;'><entity name='account'><order attribute='name'/>"
    "</entity></fetch>",
    "<fetch useraworderby='1'><entity name='account'><order attribute='statecode'/></entity></fetch>",
    "<fetch aggregate='1'><entity name='account'><attribute name='createdon' alias='m' groupby='1' dategrouping='month' "
    "usertimezone='0'/><attribute name='name' alias='n' aggregate='countcolumn' distinct='1'/>"
    "<order alias='n'/></entity></fetch>",
    "<fetch><entity name='account'><filter type='or'><condition attribute='name' operator='like' value='a_%&#10; '/>"
    "<condition attribute='name' operator='in'><value> </value><value>&lt;</value></condition><filter><condition "
    "attribute='createdon' operator='last-x-days' value='3'/><condition attribute='createdon' operator='lt' "
    "valueof='u.createdon'/></filter></filter><link-entity name='systemuser' from='systemuserid' to='createdby' alias='u' "
    "link-type='outer'><attribute name='fullname'/><filter><condition attribute='fullname' operator='not-null'/></filter>"
    "<order attribute='fullname'/></link-entity></entity></fetch>",
    "<fetch><entity name='account'><filter><condition entityname='c' attribute='contactid' operator='null'/>"
    "<link-entity name='asyncoperation' from='regardingobjectid' to='accountid' link-type='not any'>"
    "</link-entity></filter><link-entity name='contact' from='contactid' to='primarycontactid' alias='c' "
    "link-type='matchfirstrowusingcrossapply'/></entity></fetch>",
    "<fetch><entity name='team'><link-entity name='teammembership' from='teamid' to='teamid' intersect='true' alias='i'>"
    "<link-entity name='systemuser' from='systemuserid' to='systemuserid' alias='u' link-type='exists'/></link-entity>"
    "</entity></fetch>",
]  # fmt: skip


def odata_again(query: Query) -> Query:
    options = print_odata(query, CATALOG)
    return odata(query.table, **{name.removeprefix("$"): text for name, text in options.items()})


@pytest.mark.parametrize(("table", "options"), ODATA, ids=[" ".join(options.values()) for _, options in ODATA])
def test_a_tree_printed_as_odata_reads_as_itself(table: str, options: dict[str, str]) -> None:
    query = odata(table, **options)
    assert odata_again(query) == query


@pytest.mark.parametrize("text", FETCHES)
def test_a_tree_printed_as_fetchxml_reads_as_itself(text: str) -> None:
    query = fetch(text)
    assert fetch(print_fetchxml(query, CATALOG)) == query


@pytest.mark.parametrize("name", CASES)
def test_the_specification_s_counts_can_be_said_in_either_language(name: str) -> None:
    _, alias, keys, tree = CASES[name]
    in_odata, in_fetch = (counted(alias, keys, tree and tree[n], order=bool(n)) for n in (0, 1))
    assert odata_again(in_odata) == in_odata
    assert fetch(print_fetchxml(in_fetch, CATALOG)) == in_fetch
    unordered = dataclasses.replace(in_fetch, orders=())
    assert odata_again(unordered) == in_odata
    assert fetch(print_fetchxml(in_odata, CATALOG)).filter == in_fetch.filter


def test_the_specification_s_other_queries_read_as_themselves() -> None:
    assert odata_again(expected_first()) == expected_first()
    assert fetch(print_fetchxml(expected_last(), CATALOG)) == expected_last()


def test_odata_s_list_of_jobs_is_said_in_fetchxml_with_outer_links() -> None:
    found = fetch(print_fetchxml(expected_first(), CATALOG))
    assert found.columns == expected_first().columns
    assert [(link.table, link.to, link.kind, link.expand) for link in found.links] == [
        (link.table, link.to, "outer", None) for link in expected_first().links
    ]


def test_an_inner_link_along_a_lookup_asks_in_odata_that_the_record_is_there() -> None:
    text = "<attribute name='name'/><link-entity name='systemuser' from='systemuserid' to='createdby' alias='u'>" \
        "<attribute name='fullname'/><filter><condition attribute='fullname' operator='like' value='a%'/></filter>" \
        "<order attribute='fullname'/></link-entity>"  # fmt: skip
    assert print_odata(fetched(text), CATALOG) == {
        "$select": "name",
        "$expand": "createdby($select=fullname)",
        "$filter": "createdby/systemuserid ne null and startswith(createdby/fullname,'a')",
        "$orderby": "createdby/fullname",
    }


def test_the_texts_of_fetchxml_become_literals_of_their_columns() -> None:
    conditions = "".join(
        f"<condition attribute='{column}' operator='eq' value='{value}'/>"
        for column, value in (
            ("statecode", "3"),
            ("name", "3"),
            ("iswaitingforevent", "1"),
            ("ownerid", "{0AD10000-0000-7000-8000-000000000003}"),
            ("createdon", "2023-03-25T00:00:00+01:00"),
            ("createdon", "2023-03-25"),
        )
    )
    assert print_odata(fetched(f"<filter>{conditions}</filter>"), CATALOG)["$filter"] == (
        "statecode eq 3 and name eq '3' and iswaitingforevent eq true and "
        "_ownerid_value eq 0ad10000-0000-7000-8000-000000000003 and "
        "createdon eq 2023-03-25T00:00:00+01:00 and createdon eq '2023-03-25'"
    )


def test_a_date_of_odata_is_midnight_utc_in_fetchxml_too() -> None:
    text = print_fetchxml(odata(filter="createdon ge 2023-03-25"), CATALOG)
    assert 'value="2023-03-25T00:00:00Z"' in text


def test_a_negation_is_pushed_down_to_operators_that_fetchxml_has() -> None:
    found = fetch(
        print_fetchxml(odata(filter="not (statecode eq 1 and retrycount gt 2 and not (depth le 3))"), CATALOG)
    )
    missing = Condition("retrycount", "null")
    more = Filter("or", (Condition("retrycount", "le", ("2",)), missing))
    shallow = Filter("and", (Condition("depth", "le", ("3",)),))
    assert found.filter == Filter("or", (Filter("or", (Condition("statecode", "ne", ("1",)), more, shallow)),))


def made(**changes: Any) -> Query:
    return Query("asyncoperation", **{"columns": (Attribute("name"),), "language": "fetchxml", **changes})


def where(*parts: Any, **changes: Any) -> Query:
    return made(filter=Filter("and", parts), **changes)


NEVER_TRUE = Filter("and", (), negated=True)
CHILDREN = Link("fileattachment", "objectid", "asyncoperationid", "f")
DATA = Link("fileattachment", "fileattachmentid", "datablobid", "d", "exists")
DATA_OF = Link("asyncoperation", "datablobid", "fileattachmentid", "o", "exists")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (expected_last(), "'owningextension'"),
        (counted("count", KEYS, None, order=True), "an order by the aggregate 'count'; FetchXML can"),
        (made(columns=(Attribute("name", "n"),)), "'name' under the name 'n'"),
        (made(columns=(Attribute("statecodename"),)), "'statecodename' is no property"),
        (made(columns=(Attribute("nothing"),)), "'nothing' is no property"),
        (made(orders=(Order("statecode", by_label=True),)), "by number, not by label"),
        (made(page=Page(10, 2)), "a page after the first"),
        (made(links=(CHILDREN,)), "link 'f' to 'fileattachment'"),
        (made(links=(dataclasses.replace(CHILDREN, kind="matchfirstrowusingcrossapply"),)), "matchfirstrowusing"),
        (made(links=(dataclasses.replace(DATA, links=(DATA_OF,)),)), "link 'o' to 'asyncoperation'"),
        (where(Condition("name", "like", ("a_b",))), "a pattern bound at both ends"),
        (where(Condition("name", "eq", ("x",), entity="u")), "a condition on 'u'"),
        (where(NEVER_TRUE), "never true"),
        (
            made(aggregate=True, columns=(Attribute("createdon", "m", groupby=True, dategrouping="month"),)),
            "groups by the month",
        ),
        (made(aggregate=True, columns=(Attribute("name", "n", "countcolumn"),)), "the aggregate 'countcolumn'"),
        (made(collections=(Collection("x", made(page=Page(3)), "y"),)), "a page of the expanded collection 'x'"),
        (made(collections=(Collection("x", made(columns=(Attribute("name", "n"),)), "y"),)), "'name' under the name"),
    ],
)
def test_what_odata_cannot_say_is_refused_by_name(query: Query, message: str) -> None:
    with pytest.raises(NotSupported, match="OData cannot say this") as caught:
        print_odata(query, CATALOG)
    assert message in caught.value.message
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (made(top=0), "from 1 to 5,000, not 0"),
        (made(top=5, total=True), "neither a count of all rows nor pages"),
        (made(collections=(Collection("x", made(), "y"),)), "the collection 'x'"),
        (where(NEVER_TRUE), "never true"),
        (where(Filter("and", (Condition("createdon", "today"),), negated=True)), "the negation of operator 'today'"),
        (where(Condition("name", "in", (None, "x"))), "compared with null"),
        (where(Condition("name", "eq", ("\x00",))), "characters that XML cannot hold"),
        (made(orders=(Order("name"), Order("statecode", by_label=True))), "either by label or by number"),
        (
            made(
                aggregate=True,
                columns=(Attribute("asyncoperationid", "k", groupby=True),),
                links=(dataclasses.replace(CHILDREN, orders=(Order("asyncoperationid"),)),),
            ),
            "'asyncoperationid' is not among that",
        ),
    ],
)
def test_what_fetchxml_cannot_say_is_refused_by_name(query: Query, message: str) -> None:
    with pytest.raises(NotSupported, match="FetchXML cannot say this") as caught:
        print_fetchxml(query, CATALOG)
    assert message in caught.value.message
