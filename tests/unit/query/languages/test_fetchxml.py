"""FetchXML: what each element and attribute becomes."""

from __future__ import annotations

import pytest
from tests.unit.query.languages.asking import CATALOG, fetch, fetched

from adjourn.errors import QueryError
from adjourn.query import fetchxml
from adjourn.query.operators import OPERATORS
from adjourn.query.tree import Attribute, Condition, Filter, Link, Order, Page, Related


def test_an_entity_without_attributes_asks_for_its_key_alone() -> None:
    found = fetched("")
    assert (found.table, found.columns, found.all_columns, found.language) == ("asyncoperation", (), False, "fetchxml")


def test_attributes_in_either_quotes_and_any_layout() -> None:
    text = "<?xml version=\"1.0\" encoding='utf-16'?>\n<!-- x --><fetch\n version = '1.0' mapping=\"logical\" >" \
        "<entity name='asyncoperation'><attribute\nname=\"name\"/><!-- < --><attribute name='data' alias='d'>" \
        "</attribute></entity></fetch>\n"  # fmt: skip
    assert fetch(text).columns == (Attribute("name"), Attribute("data", "d"))


@pytest.mark.parametrize("before", ["\ufeff", "\ufeff\r\n", ""], ids=["mark", "mark and line end", "nothing"])
@pytest.mark.parametrize("declaration", ['<?xml version="1.0" encoding="utf-16"?>\r\n', ""], ids=["declared", "bare"])
def test_a_byte_order_mark_and_a_declaration_of_dotnet_mean_nothing(before: str, declaration: str) -> None:
    text = f"{before}{declaration}<fetch><entity name='asyncoperation'><attribute name='name'/></entity></fetch>"
    assert fetch(text).columns == (Attribute("name"),)


def test_where_the_xml_is_broken_is_said_without_a_file_that_nobody_named() -> None:
    with pytest.raises(QueryError, match=r"not well-formed XML: [^(]*, line 1, column \d+$"):
        fetch("<fetch><entity")


def test_all_attributes() -> None:
    assert fetched("<all-attributes/>").all_columns


def test_every_attribute_of_an_attribute() -> None:
    text = "<attribute name='createdon' alias='month' groupby='1' dategrouping='month' usertimezone='false'/>" \
        "<attribute name='name' alias='names' aggregate='countcolumn' distinct='true' build='1.504021' addedby='x'/>"  # fmt: skip
    assert fetched(text, "aggregate='1'").columns == (
        Attribute("createdon", "month", groupby=True, dategrouping="month", usertimezone=False),
        Attribute("name", "names", "countcolumn", distinct=True),
    )


@pytest.mark.parametrize(("text", "value"), [("true", True), ("false", False), ("1", True), ("0", False)])
def test_a_boolean_is_one_of_four_words(text: str, value: bool) -> None:
    assert fetched("<attribute name='name'/>", f"distinct='{text}'").distinct is value


def test_orders_sort_choices_by_label_unless_told() -> None:
    text = "<order attribute='statecode' descending='true'/><order attribute='name' entityname='u'/>"
    assert fetched(text).orders == (
        Order("statecode", descending=True, by_label=True),
        Order("name", entity="u", by_label=True),
    )
    assert fetched(text, "useraworderby='true'").orders[0].by_label is False


def test_pages() -> None:
    assert fetched("").page == Page()
    assert fetched("", "count='10'").page == Page(10, 1)
    assert fetched("", "count='10' page='3'").page == Page(10, 3)
    assert fetched("", "page='2'").page == Page(5000, 2)
    cookie = "&lt;cookie page=&quot;2&quot;&gt;&lt;name last=&quot;Z&quot; first=&quot;A&quot; /&gt;&lt;/cookie&gt;"
    assert fetched("", f"count='10' page='3' paging-cookie='{cookie}'").page == Page(10, 3, ("Z",))
    assert fetched("", f"count='10' page='9' paging-cookie='{cookie}'").page == Page(10, 9)


def test_top_and_total() -> None:
    assert fetched("", "top='5000'").top == 5000
    assert fetched("", "returntotalrecordcount='true'").total


def test_filters_nest_and_siblings_both_hold() -> None:
    a, b, c = (f"<condition attribute='statecode' operator='eq' value='{n}'/>" for n in (1, 2, 3))
    text = f"<filter>{a}</filter><filter type='or' hint='union'>{b}<filter isquickfindfields='1'>{c}</filter></filter>"
    one, two, three = (Condition("statecode", "eq", (str(n),)) for n in (1, 2, 3))
    assert fetched(text).filter == Filter("and", (Filter("and", (one,)), Filter("or", (two, Filter("and", (three,))))))


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_operator_is_kept_with_its_values(operator: str) -> None:
    value = "<value>1</value><value uitype='x' uiname='y'>2</value>"
    text = f"<filter><condition attribute='createdon' operator='{operator}'>{value}</condition></filter>"
    assert fetched(text).filter == Filter("and", (Condition("createdon", operator, ("1", "2")),))


def test_conditions_may_name_a_link_or_another_column() -> None:
    text = "<filter><condition entityname='u' attribute='fullname' operator='null'/>" \
        "<condition attribute='startedon' operator='lt' valueof='completedon'/>" \
        "<condition attribute='createdby' operator='eq' valueof='u.createdby' uiname='x' uitype='y' uihidden='1'/>" \
        "</filter>"  # fmt: skip
    assert fetched(text).filter == Filter(
        "and",
        (
            Condition("fullname", "null", (), "u"),
            Condition("startedon", "lt", (), valueof=(None, "completedon")),
            Condition("createdby", "eq", (), valueof=("u", "createdby")),
        ),
    )


def test_a_value_keeps_its_blanks_and_entities() -> None:
    text = "<filter><condition attribute='name' operator='in'><value> a &lt;&#10;</value><value/></condition></filter>"
    assert fetched(text).filter == Filter("and", (Condition("name", "in", (" a <\n", "")),))


def test_a_link_has_everything_that_an_entity_has() -> None:
    text = "<link-entity name='systemuser' from='systemuserid' to='createdby' alias='u' link-type='outer'>" \
        "<attribute name='fullname'/><order attribute='fullname'/>" \
        "<filter><condition attribute='fullname' operator='not-null'/></filter>" \
        "<link-entity name='team' from='teamid' to='businessunitid'/></link-entity>"  # fmt: skip
    (link,) = fetched(text).links
    inner = Link("team", "teamid", "businessunitid", "team1", "inner")
    assert link == Link(
        "systemuser",
        "systemuserid",
        "createdby",
        "u",
        "outer",
        (Attribute("fullname"),),
        filter=Filter("and", (Condition("fullname", "not-null"),)),
        orders=(Order("fullname", by_label=True),),
        links=(inner,),
    )


def test_links_without_an_alias_are_numbered_by_table() -> None:
    link = "<link-entity name='systemuser' from='systemuserid' to='{}'/>"
    text = (
        link.format("createdby") + link.format("modifiedby") + "<link-entity name='team' from='teamid' to='ownerid'/>"
    )
    assert [link.alias for link in fetched(text).links] == ["systemuser1", "systemuser2", "team1"]


def test_a_link_may_leave_its_columns_to_the_only_relationship() -> None:
    (up,) = fetched("<link-entity name='sdkmessage'/>", table="sdkmessagefilter").links
    assert (up.from_, up.to) == ("sdkmessageid", "sdkmessageid")
    (down,) = fetched("<link-entity name='plugintype'/>", table="pluginassembly").links
    assert (down.from_, down.to) == ("pluginassemblyid", "pluginassemblyid")


@pytest.mark.parametrize("kind", ["any", "not any", "all", "not all"])
def test_a_link_inside_a_filter_asks_for_related_rows(kind: str) -> None:
    text = f"<filter type='or'><link-entity name='fileattachment' from='objectid' to='asyncoperationid' " \
        f"link-type='{kind}'/></filter>"  # fmt: skip
    link = Link("fileattachment", "objectid", "asyncoperationid", "fileattachment1", kind)
    assert fetched(text).filter == Filter("or", (Related(link),))


def test_natural_is_inner_and_an_intersect_table_shows_nothing() -> None:
    text = "<link-entity name='teammembership' from='teamid' to='teamid' link-type='natural' intersect='true' visible='0'/>"
    (link,) = fetched(text, table="team").links
    assert (link.kind, link.hidden) == ("inner", True)


def test_legacy_attributes_mean_nothing() -> None:
    legacy = (
        "version='1.0' mapping='logical' output-format='xml-platform' no-lock='true' latematerialize='true' "
        "options='OptimizeForUnknown,LoopJoin' aggregatelimit='100' min-active-row-version='false' savedqueryid='x'"
    )
    assert fetched("<attribute name='name'/>", legacy) == fetched("<attribute name='name'/>")


def test_a_node_knows_where_its_element_stands() -> None:
    text = "\ufeff <fetch><!-- <attribute> --><entity name='asyncoperation'>\n<attribute name='name'/></entity></fetch>"
    (attribute,) = fetchxml.parse(text, CATALOG).columns
    assert text[attribute.position :].startswith("<attribute name=")
