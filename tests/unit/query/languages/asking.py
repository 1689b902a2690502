"""Parsing in one line, and trees without the positions of their nodes."""

from __future__ import annotations

import dataclasses
from typing import Any

from adjourn.metadata.catalog import load
from adjourn.query import fetchxml, odata_options
from adjourn.query.tree import NEVER, Condition, Filter, Query

CATALOG = load()


def odata(table: str = "asyncoperation", **options: str) -> Query:
    """`odata(filter="…", select="…")`; parameter aliases as `at_p="…"`."""
    named = {("@" + name[3:] if name.startswith("at_") else "$" + name): text for name, text in options.items()}
    return plain(odata_options.parse(CATALOG.tables[table], CATALOG, named))


def fetch(text: str) -> Query:
    return plain(fetchxml.parse(text, CATALOG))


def where(text: str, table: str = "asyncoperation", **aliases: str) -> Filter:
    """The filter of a $filter."""
    found = odata(table, filter=text, **aliases).filter
    assert found is not None
    return found


def one(text: str, table: str = "asyncoperation", **aliases: str) -> Condition:
    """The only condition of a $filter."""
    found = where(text, table, **aliases)
    assert found.kind == "and"
    assert not found.negated
    (condition,) = found.conditions
    assert isinstance(condition, Condition)
    return condition


def fetched(inside: str, attributes: str = "", table: str = "asyncoperation") -> Query:
    """A fetch of one entity."""
    return fetch(f"<fetch {attributes}><entity name='{table}'>{inside}</entity></fetch>")


def plain(node: Any) -> Any:
    """The same tree with no positions, so that trees of different texts can be compared."""
    if isinstance(node, tuple):
        return tuple(plain(part) for part in node)
    if not dataclasses.is_dataclass(node) or isinstance(node, type):
        return node
    changes = {field.name: plain(getattr(node, field.name)) for field in dataclasses.fields(node)}
    if "position" in changes:
        changes["position"] = NEVER
    return type(node)(**changes)
