"""Random questions printed in a language mean the same there; random texts are refused in bounded time."""

from __future__ import annotations

import dataclasses
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from tests.properties.query import world
from tests.properties.query.world import CATALOG

from adjourn.errors import AdjournError, NotSupported
from adjourn.query import fetchxml, odata_options
from adjourn.query.evaluate import evaluate
from adjourn.query.print_fetchxml import print_fetchxml
from adjourn.query.print_odata import print_odata
from adjourn.query.tree import Link, Page, Query

ROWS = world.build(seed=20260330, jobs=20)
MANY = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
SECONDS_MAX = 2.0
"""Of the processor, to read a text: most take a thousandth, the longest a tenth; going back over what was read would take
minutes."""
WORDS = (
    "statecode", "name", "createdby", "fullname", "_ownerid_value", "eq", "ne", "in", "and", "or", "not", "any", "all",
    "(", ")", "((", "))", ",", "/", ":", ";", "=", "[", "]", "*", "'", "''", "'x'", '"', "null", "true", "1", "-1.5e3",
    "2023-03-25", "2023-99-99", "0ad10000-0000-7000-8000-000000000003", "@p", "$count", "$select=", "$expand=", "as",
    "with", "sum", "groupby", "aggregate", "filter", "contains", "Microsoft.Dynamics.CRM.Today", "PropertyName=",
    "asyncoperation_FileAttachments", " ", "\n", "é", "٣", "\x00", "\ud800", "%", "<", "&",
)  # fmt: skip
MARKUP = (
    "<fetch>", "</fetch>", "<fetch top='", "<entity name='asyncoperation'>", "</entity>", "<attribute name='name'/>",
    "<attribute ", "name='", "'", '"', "/>", ">", "<filter>", "</filter>", "<condition attribute='name' operator='eq'>",
    "</condition>", "<value>", "</value>", "<link-entity name='team' from='teamid' to='ownerid'>", "</link-entity>",
    "<order attribute='name'/>", "<!--", "-->", "<![CDATA[", "]]>", "<?x", "?>", "<!DOCTYPE x>", "&amp;", "&x;", "x",
    "\x00", "\ud800", "\ufeff", "xmlns='y'", " ",
)  # fmt: skip
OPTIONS = ("$filter", "$select", "$expand", "$orderby", "$apply", "$top", "$count", "@p")


def bare(query: Query) -> Query:
    """The question without columns of links and without pages: the languages answer those under different names."""
    return dataclasses.replace(query, links=tuple(map(_bare, query.links)), page=Page(), total=False)


def _bare(link: Link) -> Link:
    return dataclasses.replace(link, columns=(), links=tuple(map(_bare, link.links)))


def rows(query: Query) -> tuple[list[tuple[Any, ...]], int | None]:
    found, total = evaluate(query, ROWS, CATALOG, world.circumstances(query.language))
    return [tuple(row) for row in found], total


def in_fetchxml(query: Query) -> Query:
    return fetchxml.parse(print_fetchxml(query, CATALOG), CATALOG)


def in_odata(query: Query) -> Query:
    return odata_options.parse(CATALOG.tables[query.table], CATALOG, print_odata(query, CATALOG))


def same_meaning(query: Query, said: Any) -> None:
    try:
        again = said(query)
    except NotSupported as error:
        event(f"refused: {error.message.partition(': ')[2][:20]}")
        return
    event("said")
    assert rows(again)[0] == rows(query)[0]


@MANY
@given(query=world.queries(form="plain").map(bare) | world.queries(form="distinct").map(bare))
def test_a_question_said_in_fetchxml_has_the_same_rows(query: Query) -> None:
    same_meaning(query, in_fetchxml)


@MANY
@given(query=world.queries(form="aggregate").map(bare))
def test_groups_said_in_fetchxml_are_the_same(query: Query) -> None:
    same_meaning(query, in_fetchxml)


@MANY
@given(query=world.queries(form="plain").map(bare))
def test_a_question_said_in_odata_has_the_same_rows(query: Query) -> None:
    same_meaning(query, in_odata)


@MANY
@given(query=world.counting())
def test_counts_said_in_odata_are_the_same(query: Query) -> None:
    try:
        again = in_odata(query)
    except NotSupported:
        return
    # OData answers the groups before the aggregates and cannot order them.
    assert Counter(map(sorted_cells, rows(again)[0])) == Counter(map(sorted_cells, rows(query)[0]))


def sorted_cells(row: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple(sorted(map(repr, row)))


def read_odata(option: str, text: str) -> None:
    with _quickly_read_or_refused():
        odata_options.parse(CATALOG.tables["asyncoperation"], CATALOG, {option: text})


def read_fetchxml(text: str) -> None:
    with _quickly_read_or_refused():
        fetchxml.parse(text, CATALOG)


@contextmanager
def _quickly_read_or_refused() -> Iterator[None]:
    """Any exception but a refusal is an error of the test."""
    begun = time.process_time()
    with suppress(AdjournError):
        yield
    assert time.process_time() - begun < SECONDS_MAX


@MANY
@given(
    option=st.sampled_from(OPTIONS),
    text=st.text() | st.lists(st.sampled_from(WORDS), max_size=40).map("".join)
    | st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join),
)  # fmt: skip
def test_any_text_is_odata_or_refused(option: str, text: str) -> None:
    read_odata(option, text)


@MANY
@given(text=st.text() | st.lists(st.sampled_from(MARKUP), max_size=40).map("".join))
def test_any_text_is_fetchxml_or_refused(text: str) -> None:
    read_fetchxml(text)


@MANY
@given(seed=st.integers(0, 2**32))
def test_a_broken_fetch_is_refused(seed: int) -> None:
    """Whole documents with a few characters changed, so that the errors lie deep inside."""
    draw = random.Random(seed)
    text = list(
        "<fetch count='3' page='2' aggregate='true'><entity name='account'><attribute name='name' alias='n' groupby='1'/>"
        "<filter type='or'><condition attribute='name' operator='in'><value>x</value></condition></filter>"
        "<link-entity name='contact' from='contactid' to='primarycontactid' alias='c'><order alias='n'/></link-entity>"
        "</entity></fetch>"
    )
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(len(text))
        text[place : place + draw.randint(0, 3)] = draw.choice(["", "<", ">", "'", "/", "x", "&", " ", "0", "\n"])
    read_fetchxml("".join(text))


LONG_TEXTS = (
    "'" * 30_001, "(" * 30_000, "not " * 8_000, "a/" * 15_000, "1" * 30_000, "'a''" * 8_000, '"\\' * 15_000,
    "name eq 'x' or " * 2_000, "[" * 30_000, "@" * 30_000,
)  # fmt: skip
LONG_FETCHES = ("<fetch>" * 9_000, "<!--" * 16_000, "<fetch " + "a='b' " * 10_000, "&lt;" * 16_000, "<" * 65_000)


@pytest.mark.parametrize("option", OPTIONS)
def test_a_long_hostile_option_is_refused_quickly(option: str) -> None:
    for text in LONG_TEXTS:
        read_odata(option, text)


@pytest.mark.parametrize("text", LONG_FETCHES, ids=[text[:7] for text in LONG_FETCHES])
def test_a_long_hostile_fetch_is_refused_quickly(text: str) -> None:
    read_fetchxml(text)
