"""Expanded collections hold what asking each parent's own address would; a path in a lambda means what it means outside."""

from __future__ import annotations

import dataclasses
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.properties.query import world
from tests.properties.query.conftest import ROWS
from tests.properties.query.test_languages import in_fetchxml, in_odata, same_meaning
from tests.properties.query.world import CALLER, CATALOG, NOW

from adjourn.metadata.model import ManyToMany, Relationship
from adjourn.query import result
from adjourn.query.compile import compile
from adjourn.query.conditions import Asked
from adjourn.query.evaluate import evaluate
from adjourn.query.odata_related import along, child_table, holds_for_null, lambda_link, near_and_far
from adjourn.query.operators import OPERATORS
from adjourn.query.result import Children
from adjourn.query.tree import Attribute, Collection, Condition, Filter, Link, Order, Page, Query, Related
from adjourn.store.contract import Reader, Store

FEW = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
COLLECTIONS = {
    "account": ("contact_customer_accounts", "Account_AsyncOperations"),
    "contact": ("account_primary_contact", "Contact_AsyncOperations", "contact_customer_contacts"),
    "systemuser": ("system_user_asyncoperation", "asyncoperation_ownerid_systemuser", "teammembership_association"),
    "team": ("asyncoperation_ownerid_team", "teammembership_association"),
    "asyncoperation": ("asyncoperation_FileAttachments",),
}
HOPS = {
    "asyncoperation": ("regardingobjectid_account", "regardingobjectid_contact", "owningbusinessunit"),
    "account": ("primarycontactid",),
    "contact": ("parentcustomerid_account", "parentcustomerid_contact"),
}


@st.composite
def collections(draw: Any, table: str, depth: int) -> Collection:
    name = draw(st.sampled_from(COLLECTIONS[table]))
    relationship = CATALOG.tables[table].by_collection[name]
    child = child_table(relationship, CATALOG.tables[table], CATALOG)
    where = draw(st.none() | world.filters(child.logical, (), 1))
    columns = draw(st.lists(st.sampled_from(world.COLUMNS[child.logical]), unique=True, max_size=3))
    orders = tuple(
        Order(column, descending=draw(st.booleans()))
        for column in draw(st.lists(st.sampled_from(world.COLUMNS[child.logical]), unique=True, max_size=2))
    )
    below = ()
    if depth and child.logical in COLLECTIONS:
        below = tuple(draw(st.lists(collections(child.logical, depth - 1), max_size=1)))
    links: tuple[Link, ...] = ()
    if isinstance(relationship, ManyToMany):
        column, far = near_and_far(relationship, CATALOG.tables[table])
        links = (Link(relationship.intersect, far, child.primary_id, "j0", hidden=True),)
    else:
        column = relationship.column
    query = Query(
        child.logical,
        tuple(Attribute(name) for name in columns),
        links=links,
        collections=below,
        filter=where,
        orders=orders,
        top=draw(st.sampled_from((None, 0, 1, 2, 5))),
        page=Page(draw(st.sampled_from((None, 1, 3)))),
    )
    return Collection(name, query, column, "j0" if links else None)


@st.composite
def parents(draw: Any) -> Query:
    table = draw(st.sampled_from(tuple(COLLECTIONS)))
    where = draw(st.none() | world.filters(table, (), 1))
    return Query(
        table,
        (Attribute(CATALOG.tables[table].primary_id),),
        filter=where,
        collections=tuple(
            draw(st.lists(collections(table, 2), min_size=1, max_size=2, unique_by=lambda c: c.navigation))
        ),
        page=Page(draw(st.sampled_from((None, 2, 5)))),
    )


def alone(collection: Collection, key: str, reader: Reader) -> list[tuple[Any, ...]]:
    """The children of one parent, asked by themselves."""
    query = dataclasses.replace(collection.query, collections=())
    mine = Condition(collection.column, "eq", (UUID(key),))
    if collection.entity is None:
        parts = (mine,) if query.filter is None else (query.filter, mine)
        query = dataclasses.replace(query, filter=Filter("and", parts))
    else:
        link = dataclasses.replace(query.links[0], kind="exists", filter=Filter("and", (mine,)))
        query = dataclasses.replace(query, links=(link,))
    plan = compile(query, CATALOG, CALLER, reader.dialect, NOW)
    rows = result.run(plan, reader).rows
    size = query.page.size
    return [tuple(row[o.index] for o in plan.outputs) for row in rows[:size]]


def compare(children: Children, collection: Collection, keys: list[str], reader: Reader) -> None:
    outputs = children.of.plan.outputs
    values = [tuple(row[o.index] for o in outputs) for row in children.rows]
    found = children.grouped(values)
    assert set(found) <= set(keys)
    for key in keys:
        assert found.get(key, []) == alone(collection, key, reader)
    for inner, below in zip(children.collections, collection.query.collections, strict=True):
        compare(inner, below, list({row[inner.of.of.key] for row in children.rows}), reader)


def distinct_memberships() -> bool:
    pairs = [(row["systemuserid"], row["teamid"]) for row in ROWS["teammembership"]]
    return len(pairs) == len(set(pairs))


@FEW
@given(query=parents())
def test_children_are_those_that_each_parent_s_own_address_has(filled: Store, query: Query) -> None:
    with filled.read() as reader:
        rows = result.run(compile(query, CATALOG, CALLER, reader.dialect, NOW, names=True), reader)
        for children, collection in zip(rows.collections, query.collections, strict=True):
            compare(children, collection, [row[children.of.of.key] for row in rows.rows], reader)


def test_the_random_organization_has_no_membership_twice() -> None:
    """Else a many-to-many collection would hold a record twice, which the platform does not let happen."""
    assert distinct_memberships()


# --- paths inside lambdas


@st.composite
def reached(draw: Any) -> tuple[str, tuple[Relationship, ...], Condition]:
    """A table, lookups that lead on from it, and a condition at their end."""
    table = begin = draw(st.sampled_from(tuple(HOPS)))
    hops: list[Relationship] = []
    for _ in range(draw(st.integers(1, 3))):
        if table not in HOPS:
            break
        hops.append(CATALOG.tables[table].by_navigation[draw(st.sampled_from(HOPS[table]))])
        table = hops[-1].referenced
    return begin, tuple(hops), draw(world.conditions(table))


def joined(hops: tuple[Relationship, ...], number: int = 0) -> tuple[Link, ...]:
    if not hops:
        return ()
    hop, *rest = hops
    return (
        Link(
            hop.referenced, hop.referenced_column, hop.column, f"p{number}", "outer",
            links=joined(tuple(rest), number + 1), hidden=True,
        ),
    )  # fmt: skip


def outside(table: str, hops: tuple[Relationship, ...], condition: Condition) -> Query:
    """The same path in a filter of the table itself, where its lookups are joined."""
    last = f"p{len(hops) - 1}"
    valueof = None if condition.valueof is None else (last, condition.valueof[1])
    return asked(table, dataclasses.replace(condition, entity=last, valueof=valueof), links=joined(hops))


def asked(table: str, *parts: Any, **changes: Any) -> Query:
    key = (Attribute(CATALOG.tables[table].primary_id),)
    return Query(table, key, filter=Filter("and", parts), **changes)


def oracle(query: Query) -> list[tuple[Any, ...]]:
    return evaluate(query, ROWS, CATALOG, world.circumstances("odata"))[0]


@FEW
@given(found=reached(), negated=st.booleans())
def test_a_path_through_lookups_means_the_same_joined_and_asked(filled: Store, found: Any, negated: bool) -> None:
    table, hops, condition = found
    related = along(hops, condition, "l1")
    one, other = asked(table, related), outside(table, hops, condition)
    if negated:
        one, other = (dataclasses.replace(q, filter=Filter("and", (q.filter,), True)) for q in (one, other))
    expected = oracle(other)
    assert oracle(one) == expected
    with filled.read() as reader:
        plan = compile(one, CATALOG, CALLER, reader.dialect, NOW)
        assert [(row[plan.outputs[0].index],) for row in result.run(plan, reader).rows] == expected


@FEW
@given(found=reached(), kind=st.sampled_from(("any", "not any")), negated=st.booleans())
def test_a_lambda_with_a_path_is_printed_in_both_languages(found: Any, kind: str, negated: bool) -> None:
    table, hops, condition = found
    part: Any = along(hops, condition, "l1")
    if negated:
        part = Filter("and", (part,), True)
    query = asked(table, part)
    same_meaning(query, in_fetchxml)
    same_meaning(query, in_odata)
    for name in COLLECTIONS.get("account" if table == "contact" else "contact", ()):
        parent = CATALOG.tables["account" if table == "contact" else "contact"]
        relationship = parent.by_collection[name]
        child = child_table(relationship, parent, CATALOG)
        if child.logical != table:
            continue
        link = lambda_link(relationship, parent, child, Filter("and", (part,)), "l0", kind, -1)
        around = asked(parent.logical, Related(link))
        same_meaning(around, in_fetchxml)
        same_meaning(around, in_odata)


@FEW
@given(table=st.sampled_from(tuple(world.COLUMNS)), data=st.data())
def test_a_condition_is_known_to_hold_for_null(table: str, data: st.DataObject) -> None:
    condition = data.draw(world.conditions(table))
    if condition.valueof is not None:
        return
    column, test = CATALOG.tables[table].columns[condition.column], OPERATORS[condition.operator].test
    assert test is not None
    asked_of = Asked(column, condition.values, -1, world.circumstances("odata"))
    assert holds_for_null(condition) == test.matches(None, asked_of)


@pytest.mark.parametrize("table", tuple(COLLECTIONS))
def test_collections_below_links_are_found(table: str) -> None:
    assert all(name in CATALOG.tables[table].by_collection for name in COLLECTIONS[table])
