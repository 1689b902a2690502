"""What FetchXML is refused, with which code, and where."""

from __future__ import annotations

import pytest
from tests.unit.query.languages.asking import fetch, fetched

from adjourn import config
from adjourn.errors import QueryError, TooLarge

CONDITION = "<condition attribute='name' operator='eq' value='x'/>"
LINK = "<link-entity name='team' from='teamid' to='ownerid'/>"
BOMB = (
    "<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>]><fetch><entity name='&b;'/></fetch>"
)


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("", 0x80041124, "empty"),
        (" \n", 0x80041124, "empty"),
        ("<fetch>", 0x80040201, "not well-formed"),
        ("fetch", 0x80040201, "not well-formed"),
        ("<fetch><entity name='a' name='b'/></fetch>", 0x80040201, "not well-formed"),
        ("<fetch><entity name='&unknown;'/></fetch>", 0x80040201, "not well-formed"),
        ("<fetch><entity name='a\x00'/></fetch>", 0x80040201, "not well-formed"),
        ("<fetch><entity name='\ud800'/></fetch>", 0x80040201, "not well-formed"),
        (BOMB, 0x80040201, "document type"),
        ("<!DOCTYPE fetch SYSTEM 'file:///etc/passwd'><fetch/>", 0x80040201, "document type"),
        ("<!doctype html><fetch/>", 0x80040201, "document type"),
        ("<query/>", 0x80040303, "must be 'fetch', not 'query'"),
        ("<fetch/>", 0x80041123, "exactly one 'entity', found 0"),
        ("<fetch><entity name='a'/><entity name='b'/></fetch>", 0x80041123, "found 2"),
        ("<fetch><entity/></fetch>", 0x8004111E, "needs the attribute 'name'"),
        ("<fetch><entity name=''/></fetch>", 0x8004111E, "needs the attribute 'name'"),
        ("<fetch xmlns='urn:x'><entity name='a'/></fetch>", 0x80040303, "must be 'fetch'"),
        ("<fetch datasource='retained'><entity name='a'/></fetch>", 0x80040303, "'datasource' of 'fetch' is not"),
        ("<fetch utc-offset='60'><entity name='a'/></fetch>", 0x8004111D, "'utc-offset' is not supported"),
        ("<fetch min-active-row-version='true'><entity name='a'/></fetch>", 0x8004111B, "is not supported"),
        ("<fetch min-active-row-version='x'><entity name='a'/></fetch>", 0x8004111B, "must be true"),
        ("<fetch aggregatelimit='0'><entity name='a'/></fetch>", 0x8004110C, "greater than zero"),
        ("<fetch mapping='physical'><entity name='a'/></fetch>", 0x80041116, "logical or internal"),
        ("<fetch no-lock='yes'><entity name='a'/></fetch>", 0x80041118, "'no-lock' must be true"),
        ("<fetch output-format='json'><entity name='a'/></fetch>", 0x80040303, "xml-platform"),
        ("<fetch tpo='5'><entity name='a'/></fetch>", 0x80040303, "Did you mean 'top'?"),
        ("<fetch top='0'><entity name='a'/></fetch>", 0x8004110C, "greater than zero, found '0'"),
        ("<fetch top='5001'><entity name='a'/></fetch>", 0x80040303, "at most 5,000"),
        ("<fetch top='5' page='1'><entity name='a'/></fetch>", 0x80040303, "with 'page'"),
        ("<fetch top='5' count='1'><entity name='a'/></fetch>", 0x80040303, "with 'count'"),
        ("<fetch top='5' returntotalrecordcount='1'><entity name='a'/></fetch>", 0x80040303, "returntotalrecordcount"),
        ("<fetch count='x'><entity name='a'/></fetch>", 0x8004110C, "found 'x'"),
        ("<fetch count='-1'><entity name='a'/></fetch>", 0x8004110C, "found '-1'"),
        ("<fetch page='0'><entity name='a'/></fetch>", 0x8004110C, "found '0'"),
        ("<fetch page='11'><entity name='a'/></fetch>", 0x8004430A, "needs the paging cookie"),
        ("<fetch paging-cookie='x'><entity name='a'/></fetch>", 0x8004112A, "paging cookie cannot be used"),
        ("<fetch distinct='yes'><entity name='a'/></fetch>", 0x80041115, "'distinct' must be true"),
        ("<fetch aggregate='TRUE'><entity name='a'/></fetch>", 0x80040303, "'aggregate' must be true"),
        ("<fetch useraworderby='2'><entity name='a'/></fetch>", 0x800410FD, "'useraworderby' must be true"),
    ],
)
def test_a_fetch_is_refused(text: str, code: int, message: str) -> None:
    with pytest.raises(QueryError) as caught:
        fetch(text)
    assert message in caught.value.message
    assert (caught.value.code, caught.value.status) == (code, 400)


@pytest.mark.parametrize(
    ("inside", "code", "message"),
    [
        ("<atribute name='x'/>", 0x8004111C, "Did you mean 'attribute'?"),
        ("<Attribute name='x'/>", 0x8004111C, "Element 'Attribute' does not belong into 'entity'"),
        ("<condition/>", 0x8004111C, "'condition' does not belong into 'entity'"),
        ("text", 0x8004111C, "Text does not belong into 'entity'"),
        ("<attribute>x</attribute>", 0x8004111C, "Text does not belong into 'attribute'"),
        ("<attribute/>", 0x8004111E, "'attribute' needs the attribute 'name'"),
        ("<attribute name='x' colour='y'/>", 0x80040303, "has no attribute 'colour'"),
        ("<attribute name='x' groupby='yes'/>", 0x8004112E, "'groupby' must be true"),
        ("<all-attributes name='x'/>", 0x80040303, "has no attribute 'name'"),
        ("<order/>", 0x80041133, "needs an attribute"),
        ("<order alias='x'/>", 0x80041132, "aggregate query only"),
        ("<order attribute='x' descending='yes'/>", 0x80041119, "'descending' must be true"),
        ("<filter type='xor'/>", 0x80041122, "'xor' is neither"),
        ("<filter isquickfindfields='x'/>", 0x80041138, "must be true"),
        ("<filter hint='join'/>", 0x80040303, "'hint' can be 'union' only"),
        ("<filter><condition operator='eq'/></filter>", 0x8004111E, "needs the attribute 'attribute'"),
        ("<filter><condition attribute='x'/></filter>", 0x8004111E, "needs the attribute 'operator'"),
        ("<filter><condition attribute='x' operator='eq' aggregate='sum'/></filter>", 0x80040303, "is not supported"),
        (
            "<filter><condition attribute='x' operator='eq' value='1' valueof='y'/></filter>",
            0x80041106,
            "a value or a valueof",
        ),
        (
            "<filter><condition attribute='x' operator='in'><value a='1'/></condition></filter>",
            0x80040303,
            "no attribute",
        ),
        ("<link-entity/>", 0x8004111E, "needs the attribute 'name'"),
        ("<link-entity name='team' from='teamid'/>", 0x80041111, "both 'from' and 'to'"),
        ("<link-entity name='team' to='ownerid'/>", 0x80041111, "both 'from' and 'to'"),
        ("<link-entity name='nothing'/>", 0x80041111, "must name its columns"),
    ],
)
def test_an_element_is_refused_where_it_stands(inside: str, code: int, message: str) -> None:
    head = "<fetch>\n  <entity name='asyncoperation'>"
    text = f"{head}{inside}</entity></fetch>"
    with pytest.raises(QueryError) as caught:
        fetch(text)
    assert message in caught.value.message
    assert caught.value.code == code
    position = caught.value.position
    assert position is not None
    assert text[position] == "<"
    assert position >= (len(head) if "into 'entity': it" in message else text.index("<entity"))
    assert "(line 2, column " in caught.value.message


@pytest.mark.parametrize(
    ("inside", "code"),
    [
        ("<attribute name='x' groupby='true'/>", 0x8004110B),
        ("<attribute name='x' aggregate='sum'/>", 0x8004110B),
        ("<order attribute='x'/>", 0x80041131),
        ("<order/>", 0x80041134),
    ],
)
def test_an_aggregate_query_speaks_of_aliases(inside: str, code: int) -> None:
    with pytest.raises(QueryError) as caught:
        fetched(inside, "aggregate='true'")
    assert caught.value.code == code


def test_filters_nested_too_deeply_are_refused() -> None:
    text = "<filter>" * 100 + CONDITION + "</filter>" * 100
    with pytest.raises(QueryError, match="nested deeper than 64 levels") as caught:
        fetched(text)
    assert caught.value.code == 0x80040303


def test_links_nested_too_deeply_are_refused() -> None:
    text = LINK[:-2] + ">"
    with pytest.raises(QueryError, match="nested deeper than 64 levels"):
        fetched(text * 100 + "</link-entity>" * 100)


def test_more_conditions_and_links_than_allowed_are_refused() -> None:
    fetched(f"<filter>{CONDITION * 500}</filter>")
    with pytest.raises(QueryError, match="500 conditions and links") as caught:
        fetched(f"<filter>{CONDITION * 499}</filter>{LINK}{LINK}")
    assert caught.value.code == 0x8004430C


def test_a_text_over_the_limit_of_a_body_is_refused_unread() -> None:
    with pytest.raises(TooLarge):
        fetch("<" * (config.BODY_BYTES_MAX + 1))
