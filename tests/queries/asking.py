"""A question in its two languages, and the ways in which it is asked: as it was written, and printed in the other one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from xml.sax.saxutils import quoteattr

from tests.queries import world
from tests.queries.world import CATALOG, Asker

from adjourn.errors import NotSupported
from adjourn.query import fetchxml, odata_options, result
from adjourn.query.compile import compile
from adjourn.query.evaluate import evaluate
from adjourn.query.print_fetchxml import print_fetchxml
from adjourn.query.print_odata import print_odata
from adjourn.query.tree import Condition, Filter, Query, Related
from adjourn.store.contract import Reader

FUNCTION = "Microsoft.Dynamics.CRM."
Answer = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Question:
    """One line of the table. odata, fetch: None where that language cannot say it. name: what failures show.

    dated: its answer depends on who asks and when. same: both languages answer the same values, not only the same rows.
    """

    name: str
    table: str
    odata: tuple[tuple[str, str], ...] | None
    fetch: str | None
    dated: bool = False
    same: bool = True
    unprinted: frozenset[str] = field(default_factory=frozenset)


def where(
    odata: str | None, *conditions: str, table: str = "new_trip", kind: str = "and", dated: bool = False
) -> Question:
    """Which rows fit: a $filter, and the same as FetchXML conditions."""
    key = CATALOG.tables[table].primary_id
    options = (("$select", key), ("$filter", odata), ("$orderby", key)) if odata is not None else None
    inner = "".join(conditions)
    fetch = (
        f"<fetch><entity name='{table}'><attribute name='{key}'/><filter type='{kind}'>{inner}</filter>"
        f"<order attribute='{key}'/></entity></fetch>"
        if conditions
        else None
    )
    return Question(odata if odata is not None else inner, table, options, fetch, dated)


def whole(table: str, odata: str | None, fetch: str | None, *, same: bool = True, dated: bool = False) -> Question:
    """Whole texts: query options joined by &, and what stands inside <fetch>, with its attributes in front of a |."""
    options = None
    if odata is not None:
        parts = (part.partition("=") for part in odata.split("&"))
        options = tuple((name, text) for name, _, text in parts)
    text = None
    if fetch is not None:
        attributes, bar, inner = fetch.partition("|")
        attributes, inner = (attributes, inner) if bar else ("", fetch)
        text = f"<fetch {attributes}><entity name='{table}'>{inner}</entity></fetch>"
    return Question(odata if odata is not None else str(fetch), table, options, text, dated, same)


def c(attribute: str, operator: str, *values: Any, **more: str) -> str:
    """A FetchXML condition."""
    others = "".join(f" {name}={quoteattr(value)}" for name, value in more.items())
    head = f"<condition attribute='{attribute}' operator='{operator}'{others}"
    if len(values) == 1 and operator not in ("in", "not-in", "contain-values", "not-contain-values"):
        return f"{head} value={quoteattr(str(values[0]))}/>"
    inner = "".join(f"<value>{value}</value>" for value in values)
    return f"{head}>{inner}</condition>" if inner else f"{head}/>"


def f(function: str, column: str, *values: Any) -> str:
    """A query function of the Web API: PropertyValue for one value, PropertyValue1 and 2 for two."""
    names = ("PropertyValue",) if len(values) == 1 else ("PropertyValue1", "PropertyValue2")
    arguments = "".join(f",{name}={_literal(value)}" for name, value in zip(names, values, strict=False))
    return f"{FUNCTION}{function}(PropertyName='{column}'{arguments})"


def many(function: str, column: str, *values: Any) -> str:
    """A query function of a list of values."""
    listed = ",".join(f'"{value}"' for value in values)
    return f"{FUNCTION}{function}(PropertyName='{column}',PropertyValues=[{listed}])"


def _literal(value: Any) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value)


def parsed(question: Question) -> Iterator[tuple[str, Query]]:
    """The question's trees: of each language, and of what each is when printed in the other one."""
    table = CATALOG.tables[question.table]
    if question.odata is not None:
        query = odata_options.parse(table, CATALOG, dict(question.odata))
        yield "OData", query
        said = _said(lambda: fetchxml.parse(print_fetchxml(query, CATALOG), CATALOG))
        if said is not None:
            yield "OData as FetchXML", said
    if question.fetch is not None:
        query = fetchxml.parse(question.fetch, CATALOG)
        yield "FetchXML", query
        again = fetchxml.parse(print_fetchxml(query, CATALOG), CATALOG)
        yield "FetchXML printed", again
        said = _said(lambda: odata_options.parse(table, CATALOG, print_odata(query, CATALOG)))
        if said is not None:
            yield "FetchXML as OData", said


def _said(say: Any) -> Query | None:
    try:
        found: Query = say()
    except NotSupported:
        return None
    return found


def expected(query: Query, data: world.Rows, asker: Asker, now: datetime) -> Answer:
    """What plain Python finds."""
    rows, _ = evaluate(query, data, CATALOG, world.circumstances(asker, now, query.language))
    return [tuple(map(_plain, row)) for row in rows]


def answered(query: Query, reader: Reader, asker: Asker, now: datetime) -> Answer:
    """What the store finds."""
    plan = compile(query, CATALOG, asker.caller, reader.dialect, now)
    return [tuple(_plain(row[output.index]) for output in plan.outputs) for row in result.run(plan, reader).rows]


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, bool) else value


def operators_of(query: Query) -> Iterator[str]:
    """The operators that a question uses, wherever they stand."""
    yield from _filtered(query.filter)
    for link in query.links:
        yield from _linked(link)


def _linked(link: Any) -> Iterator[str]:
    yield from _filtered(link.filter)
    for child in link.links:
        yield from _linked(child)


def _filtered(tree: Filter | None) -> Iterator[str]:
    for part in tree.conditions if tree else ():
        if isinstance(part, Condition):
            yield part.operator
        elif isinstance(part, Related):
            yield from _linked(part.link)
        else:
            yield from _filtered(part)


def without_pages(query: Query) -> Query:
    return dataclasses.replace(query, total=False)
