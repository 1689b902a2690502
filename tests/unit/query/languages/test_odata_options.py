"""The query options other than `$filter`: `$select $expand $orderby $top $count $apply`."""

from __future__ import annotations

import pytest
from tests.unit.query.languages.asking import odata

from adjourn.query.tree import Attribute, Condition, Filter, Link, Order


def test_no_option_asks_for_all_columns() -> None:
    found = odata()
    assert (found.all_columns, found.columns, found.language) == (True, (), "odata")


def test_a_lookup_is_selected_by_the_name_of_its_value() -> None:
    assert odata(select="name,_ownerid_value , name").columns == (Attribute("name"), Attribute("ownerid"))


def test_a_star_selects_everything() -> None:
    assert odata(select="name,*").all_columns


def test_expanded_records_nest() -> None:
    found = odata(expand="createdby($select=fullname;$expand=businessunitid($select=name)),owningteam")
    unit = Link(
        "businessunit", "businessunitid", "businessunitid", "e2", "outer", (Attribute("name"),), expand="businessunitid"
    )
    assert found.links == (
        Link("systemuser", "systemuserid", "createdby", "e1", "outer", (Attribute("fullname"),), links=(unit,),
             expand="createdby"),
        Link("team", "teamid", "owningteam", "e3", "outer", all_columns=True, expand="owningteam"),
    )  # fmt: skip


def test_a_lookup_to_several_tables_has_a_navigation_property_for_each() -> None:
    (link,) = odata(expand="regardingobjectid_account($select=name)").links
    assert (link.table, link.from_, link.to) == ("account", "accountid", "regardingobjectid")


def test_orders_are_rising_unless_said() -> None:
    found = odata(orderby="statecode,createdon desc, name asc").orders
    assert found == (Order("statecode"), Order("createdon", descending=True), Order("name"))


def test_top_and_count() -> None:
    found = odata(top="5", count="true")
    assert (found.top, found.total) == (5, True)
    assert not odata(count="false").total


def test_groups_without_aggregates_are_distinct_values() -> None:
    found = odata(apply="groupby((statuscode))")
    assert found.columns == (Attribute("statuscode", groupby=True),)
    assert found.aggregate


def test_aggregates_have_methods_and_aliases() -> None:
    text = "aggregate(retrycount with sum as s,retrycount with average as a,retrycount with min as i,$count as n)"
    assert odata(apply=text).columns == (
        Attribute("retrycount", "s", "sum"),
        Attribute("retrycount", "a", "avg"),
        Attribute("retrycount", "i", "min"),
        Attribute("asyncoperationid", "n", "count"),
    )


def test_a_group_through_a_lookup_is_answered_under_the_target_table_s_name() -> None:
    found = odata(apply="groupby((createdby/fullname),aggregate($count as n))")
    (link,) = found.links
    assert link.columns == (Attribute("fullname", "systemuser_fullname", groupby=True),)
    assert not link.hidden


def test_filters_of_apply_and_of_filter_both_hold() -> None:
    found = odata(apply="filter(statecode eq 1)/filter(statuscode eq 10)/aggregate($count as n)", filter="depth eq 1")
    assert found.filter == Filter(
        "and",
        (
            Filter("and", (Condition("statecode", "eq", (1,)),)),
            Filter("and", (Condition("statuscode", "eq", (10,)),)),
            Filter("and", (Condition("depth", "eq", (1,)),)),
        ),
    )


def test_an_aggregate_may_be_ordered_by_its_groups() -> None:
    found = odata(apply="groupby((statecode),aggregate($count as n))", orderby="statecode desc")
    assert found.orders == (Order("statecode", descending=True),)


@pytest.mark.parametrize("blank", [" ", "\n", "\r\n", "\t", "   "])
def test_blanks_between_tokens_mean_nothing(blank: str) -> None:
    folded = f"groupby({blank}({blank}statecode{blank},statuscode{blank}){blank},aggregate{blank}($count as n){blank})"
    assert odata(apply=folded) == odata(apply="groupby((statecode,statuscode),aggregate($count as n))")
