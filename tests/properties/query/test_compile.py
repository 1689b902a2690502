"""Random questions over random rows: SQL on both databases answers what plain Python does."""

from __future__ import annotations

import dataclasses
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.properties.query import world
from tests.properties.query.conftest import ROWS
from tests.properties.query.world import CALLER, CATALOG, NOW

from adjourn.query import counts, result
from adjourn.query.compile import compile
from adjourn.query.evaluate import evaluate
from adjourn.query.plan import Plan
from adjourn.query.tree import Page, Query
from adjourn.store.contract import Reader, Store

FEW = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def answer(plan: Plan, reader: Reader) -> tuple[list[tuple[Any, ...]], int | None, result.Rows]:
    rows = result.run(plan, reader)
    return [tuple(_comparable(row[o.index]) for o in plan.outputs) for row in rows.rows], rows.total, rows


def _comparable(value: Any) -> Any:
    return int(value) if isinstance(value, bool) else value


def check(store: Store, query: Query) -> None:
    """All pages, continued from cookie to cookie, are the oracle's rows; so are those found by number."""
    everything = dataclasses.replace(query, page=Page())
    expected, _ = evaluate(everything, ROWS, CATALOG, world.circumstances(query.language))
    _, total = evaluate(dataclasses.replace(everything, top=None), ROWS, CATALOG, world.circumstances(query.language))
    with store.read() as reader:
        found: list[tuple[Any, ...]] = []
        page = query.page
        while True:
            asked = dataclasses.replace(query, page=page)
            rows, counted, whole = answer(compile(asked, CATALOG, CALLER, reader.dialect, NOW, names=True), reader)
            assert counted == total
            found += rows
            if not whole.more:
                break
            if page.number < 3:
                numbered = dataclasses.replace(query, page=Page(page.size, page.number + 1))
                after, _, _ = answer(compile(numbered, CATALOG, CALLER, reader.dialect, NOW), reader)
                begun = (page.size or 0) * page.number
                assert after == expected[begun : begun + (page.size or 0)]
            page = Page(page.size, page.number + 1, whole.after)
    assert found == expected


@FEW
@given(query=world.queries(form="plain"))
def test_a_plain_question_has_the_rows_that_python_finds(filled: Store, query: Query) -> None:
    check(filled, query)


@FEW
@given(query=world.queries(form="distinct"))
def test_distinct_rows_are_those_that_python_finds(filled: Store, query: Query) -> None:
    check(filled, query)


@FEW
@given(query=world.queries(form="aggregate"))
def test_groups_and_aggregates_are_those_that_python_computes(filled: Store, query: Query) -> None:
    check(filled, query)


@FEW
@given(query=world.counting())
def test_the_counts_answer_what_the_jobs_do(filled: Store, query: Query) -> None:
    with filled.read() as reader:
        counted = compile(query, CATALOG, CALLER, reader.dialect, NOW)
        assert counted.counted
        assert counted.total_counted
    check(filled, query)


@settings(max_examples=40, deadline=None)
@given(condition=world.conditions("asyncoperation"), data=st.data())
def test_a_kept_plan_reads_the_literals_of_each_asking(condition: Any, data: st.DataObject) -> None:
    """Questions of one shape share their SQL; the parameters are each one's own."""
    from adjourn.query.tree import Attribute, Condition, Filter

    def plan(values: tuple[Any, ...]) -> Plan:
        part = Condition(condition.column, condition.operator, values, valueof=condition.valueof)
        query = Query("asyncoperation", (Attribute("name"),), filter=Filter("and", (part,)), language="fetchxml")
        return compile(query, CATALOG, CALLER, "sqlite", NOW)

    first, second = plan(condition.values), plan(condition.values)
    assert first.shape is second.shape
    assert first.parameters == second.parameters
    assert first.parameters is not second.parameters
    literals = [v for v in condition.values if isinstance(v, str) and len(v) > 3 and v not in CATALOG.tables]
    assert not any(v in first.sql for v in literals)


def test_a_question_that_names_another_column_is_not_answered_from_the_counts() -> None:
    assert "name" not in counts.COUNTED_COLUMNS
