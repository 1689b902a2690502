from __future__ import annotations

import dataclasses
from uuid import UUID

import pytest
from tests.unit.query.core.questions import CALLER, CATALOG, NOW, jobs_by_state, plan, where

from adjourn.query.compile import compile
from adjourn.query.security import PLATFORM
from adjourn.query.tree import Attribute, Condition, Filter, Link, Order, Page, Query
from adjourn.store.contract import Dialect

DIALECTS: tuple[Dialect, ...] = ("sqlite", "postgres")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_no_value_of_a_caller_becomes_sql(dialect: Dialect) -> None:
    evil = "'; DROP TABLE asyncoperation; --"
    query = where(
        Condition("name", "eq", (evil,)), Condition("name", "like", (evil,)), Condition("name", "in", (evil, "b")),
        Condition("ownerid", "eq-useroruserteams"),
    )  # fmt: skip
    found = plan(query, dialect)
    assert "DROP" not in found.sql
    assert str(CALLER.user_id) not in found.sql
    assert sum(evil.lower() in str(value).lower() for value in found.parameters.values()) == 3


def test_questions_that_differ_in_literals_and_callers_only_share_one_shape() -> None:
    first = plan(where(Condition("name", "eq", ("a",), position=3)))
    other = dataclasses.replace(CALLER, user_id=UUID(int=9), timezone_code=4)
    second = compile(where(Condition("name", "eq", ("b",), position=7)), CATALOG, other, "sqlite", NOW)
    assert first.shape is second.shape
    assert (first.parameters["p0"], second.parameters["p0"]) == ("a", "b")


def test_a_condition_that_stands_twice_is_not_mistaken_for_two() -> None:
    twice = Condition("name", "eq", ("a",))
    plan(where(twice, twice))
    found = plan(where(Condition("name", "eq", ("a",)), Condition("name", "eq", ("b",))))
    assert sorted(v for k, v in found.parameters.items() if k.startswith("p")) == ["a", "b"]


def test_a_list_is_one_parameter_however_long() -> None:
    short, long = (plan(where(Condition("depth", "in", tuple(range(n))))) for n in (3, 40_000))
    assert short.shape is long.shape
    assert len(long.parameters) == len(short.parameters)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_only_logical_tables_are_named_outside_the_prefix(dialect: Dialect) -> None:
    found = plan(
        where(Condition("name", "eq", ("a",)), links=(Link("account", "accountid", "regardingobjectid", "a"),)), dialect
    )
    body = found.sql[found.sql.rindex(" AS s)\n") :]
    assert '"_t_asyncoperation" AS t0' in body
    assert 'FROM "asyncoperation"' not in body
    assert 'JOIN "account"' not in body


def test_the_logical_table_has_the_columns_in_use_alone_and_never_internal_ones() -> None:
    everything = plan(Query("asyncoperation", all_columns=True))
    assert {o.key for o in everything.outputs} >= {"name", "data", "message", "sequence"}
    assert not {o.key for o in everything.outputs} & {
        "lease",
        "worker",
        "serialkey",
        "workflowstate",
        "workflowisblocked",
    }
    assert "messagename" not in plan(where(Condition("name", "eq", ("a",)))).sql


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_specifications_counting_question_reads_the_counts(dialect: Dialect) -> None:
    found = plan(jobs_by_state(filter=Filter("and", (Condition("statecode", "eq", ("1",)),))), dialect)
    assert found.counted
    assert 'FROM "jobcount" AS s' in found.sql
    assert "sum(t0.n) <> 0" in found.sql
    assert 'FROM "asyncoperation"' not in found.sql


COUNTED = [
    jobs_by_state(),
    jobs_by_state(columns=(Attribute("asyncoperationid", "n", "countcolumn"),), orders=()),
    jobs_by_state(filter=Filter("and", (Condition("datablobid", "not-null"),))),
    jobs_by_state(filter=Filter("and", (Condition("statecodename", "eq", ("Ready",)),))),
    jobs_by_state(filter=Filter("and", (Condition("ownerid", "eq-userid"),))),
]
NOT_COUNTED = [
    jobs_by_state(filter=Filter("and", (Condition("name", "eq", ("x",)),))),
    jobs_by_state(filter=Filter("and", (Condition("datablobid", "eq", ("{00000000-0000-0000-0000-000000000000}",)),))),
    jobs_by_state(columns=(Attribute("datablobid", "b", groupby=True),), orders=()),
    jobs_by_state(columns=(Attribute("depth", "n", "countcolumn"),), orders=()),
    jobs_by_state(columns=(Attribute("friendlymessage", "n", groupby=True),), orders=()),
    jobs_by_state(filter=Filter("and", (Condition("statecode", "eq", valueof=(None, "statuscode")),))),
    jobs_by_state(links=(Link("account", "accountid", "regardingobjectid", "a"),)),
    Query("account", (Attribute("accountid", "n", "count"),), aggregate=True, language="fetchxml"),
]


@pytest.mark.parametrize("query", COUNTED)
def test_a_question_that_counts_by_the_six_columns_is_answered_from_the_counts(query: Query) -> None:
    assert plan(query).counted


@pytest.mark.parametrize("query", NOT_COUNTED)
def test_any_other_question_is_not(query: Query) -> None:
    assert not plan(query).counted


def test_the_total_of_a_plain_question_comes_from_the_counts_when_links_cannot_change_it() -> None:
    user = Link("systemuser", "systemuserid", "createdby", "u", "outer", (Attribute("fullname"),), expand="createdby")
    state = Filter("and", (Condition("statecode", "eq", (3,)),))
    query = Query("asyncoperation", (Attribute("name"),), links=(user,), filter=state, total=True)
    assert plan(query).total_counted
    assert "LEFT JOIN" not in (plan(query).total_sql or "")
    by_user = Filter("and", (Condition("fullname", "eq", ("x",), entity="u"),))
    assert not plan(dataclasses.replace(query, filter=by_user)).total_counted


def test_a_page_fetches_one_row_more_and_top_ends_all_pages() -> None:
    query = Query("asyncoperation", (Attribute("name"),), page=Page(10))
    assert plan(query).parameters["limit_"] == 11
    assert plan(dataclasses.replace(query, top=4)).parameters["limit_"] == 4
    assert (
        plan(
            dataclasses.replace(query, top=25, page=Page(10, 3, ("00000000-0000-0000-0000-000000000001",)))
        ).parameters["limit_"]
        == 5
    )
    assert plan(dataclasses.replace(query, page=Page(9999))).size == 5000


def test_a_page_without_a_size_is_5000_rows_but_the_platform_gets_all() -> None:
    query = Query("asyncoperation", (Attribute("name"),))
    assert plan(query).size == 5000
    assert compile(query, CATALOG, PLATFORM, "sqlite", NOW).size is None


def test_the_next_page_is_searched_by_the_sort_keys_and_not_counted_off() -> None:
    order = (Order("createdon", descending=True),)
    after = ("2026-01-01T00:00:00.000000Z", "00000000-0000-0000-0000-000000000001")
    found = plan(Query("asyncoperation", (Attribute("name"),), orders=order, page=Page(10, 2, after)))
    assert "OFFSET" not in found.sql
    assert [s.name for s in found.sort] == ["createdon", "asyncoperationid"]
    assert found.parameters["a0"] == after[0]


def test_names_of_lookups_come_along_when_they_are_asked_for() -> None:
    query = Query("asyncoperation", (Attribute("ownerid"), Attribute("createdby")))
    owner, creator = plan(query, names=True).outputs[:2]
    assert owner.name_index is not None
    assert owner.table_index is not None
    assert creator.name_index is not None
    assert creator.table_index is None
    assert plan(query).outputs[0].name_index is None


def test_choices_sort_by_label_in_fetchxml_and_by_number_in_odata() -> None:
    by_label = plan(Query("asyncoperation", (Attribute("name"),), orders=(Order("statecode", by_label=True),)))
    by_number = plan(Query("asyncoperation", (Attribute("name"),), orders=(Order("statecode"),)))
    assert 'ORDER BY t0."statecodename" COLLATE NOCASE' in by_label.sql
    assert 'ORDER BY t0."statecode",' in by_number.sql


def test_values_of_aggregates_read_as_their_results_type() -> None:
    columns = (
        Attribute("filesizeinbytes", "size", "sum"),
        Attribute("filename", "rows", "count"),
        Attribute("createdon", "last", "max"),
    )
    outputs = plan(Query("fileattachment", columns, aggregate=True, language="fetchxml")).outputs
    assert [(o.column.type, o.source.logical) for o in outputs] == [
        ("BigInt", "filesizeinbytes"), ("BigInt", "filename"), ("DateTime", "createdon"),
    ]  # fmt: skip
