"""Views as records: the shipped ones are put into every database, and no view can be saved that could not be asked.

A savedquery is the system's, a userquery belongs to its owner. Both hold FetchXML, which is read against the metadata
when it is written, so that a mistake is the writer's error and not the reader's. Source: webapi.md §11.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lxml import etree

from adjourn.errors import Duplicate, InvalidRequest, QueryError
from adjourn.metadata.model import Catalog
from adjourn.metadata.views import VIEWS, View
from adjourn.pipeline import core
from adjourn.pipeline.read import ask
from adjourn.pipeline.record import Record
from adjourn.query import fetchxml, write
from adjourn.query.resolve import resolve
from adjourn.query.security import PLATFORM
from adjourn.query.tree import Attribute, Condition, Filter, Query
from adjourn.store.contract import Reader, Store, Transaction

SAVED, OWN = "savedquery", "userquery"
_ENTITY_MISMATCH = 0x80041128
_INVALID_XML = 0x80040201


def ship(store: Store, catalog: Catalog) -> None:
    """Put the shipped views into the database that are not there yet."""
    if not _lacking(store, catalog):
        return
    try:
        store.write(lambda tx: _write(tx, catalog))
    except Duplicate:
        # Another host started at the same moment and did it.
        if _lacking(store, catalog):
            raise


def _lacking(store: Store, catalog: Catalog) -> bool:
    with store.read() as reader:
        return bool(_missing(reader, catalog))


def _missing(reader: Reader, catalog: Catalog) -> list[View]:
    shipped = Filter("and", (Condition("savedqueryid", "in", tuple(view.id for view in VIEWS)),))
    rows = ask(reader, catalog, Query(SAVED, (Attribute("savedqueryid"),), filter=shipped))
    there = {row["savedqueryid"] for row in rows}
    return [view for view in VIEWS if view.id not in there]


def _write(tx: Transaction, catalog: Catalog) -> None:
    definition = catalog.table(SAVED)
    for view in _missing(tx, catalog):
        table = catalog.table(view.table)
        values: dict[str, Any] = {
            "name": view.name,
            "fetchxml": view.fetchxml(table),
            "layoutxml": view.layoutxml(table),
            "returnedtypecode": view.table,
            "querytype": 0,
            "isdefault": view.default,
            "isquickfindquery": False,
            "iscustom": False,
            "ismanaged": True,
            "isuserdefined": False,
        }
        core.complete(definition, values, view.id, PLATFORM, tx.now)
        write.insert(tx, definition, values)


def check(tx: Transaction, catalog: Catalog, target: Record, before: Mapping[str, Any]) -> None:
    """Refuse a view whose FetchXML or layout could not be read. before: the present row of an update."""
    merged = {**before, **target.values}
    for name in ("name", "returnedtypecode", *(("fetchxml",) if target.table == OWN else ())):
        if not merged.get(name):
            raise InvalidRequest(f"A view needs '{name}': table '{target.table}' requires it.")
    table = merged["returnedtypecode"]
    if "returnedtypecode" in target.values:
        catalog.table(table)
    if merged.get("fetchxml") and ("fetchxml" in target.values or "returnedtypecode" in target.values):
        _check_fetchxml(merged["fetchxml"], table, catalog)
    if target.values.get("layoutxml"):
        _check_layout(target.values["layoutxml"])


def _check_fetchxml(text: str, table: str, catalog: Catalog) -> None:
    query = fetchxml.parse(text, catalog)
    resolve(query, catalog)
    if query.table != table:
        raise QueryError(
            f"The view's FetchXML asks entity '{query.table}', but its returnedtypecode is '{table}'.",
            code=_ENTITY_MISMATCH,
        )


def _check_layout(text: str) -> None:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        if "<!DOCTYPE" in text.upper():
            raise ValueError("it has a document type")
        etree.fromstring(text.encode(), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise QueryError(f"Column 'layoutxml' is not well-formed XML: {error}", code=_INVALID_XML) from None
