"""Type 25, Organization Full Text Catalog Index: the index of words that `searchquery` asks, brought up to date.

All records of all tables are read, five hundred at a time and beside everybody else; only what has changed since the last
run is written, in small units. System jobs and what the platform measures are left out: there are too many of them, and
they have queries of their own. Where the worker is stopped the next run goes on from its cursor.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

import msgspec

from adjourn.jobs.model import Continue
from adjourn.metadata.model import Catalog, Column, ColumnType, Table
from adjourn.operations.measuring import TABLE as MEASUREMENTS
from adjourn.operations.measuring import Figure, Work
from adjourn.pipeline.read import ask, python_row
from adjourn.query import result, text_index
from adjourn.query.compile import compile
from adjourn.query.security import PLATFORM
from adjourn.query.tree import Attribute, Condition, Filter, Order, Page, Query
from adjourn.store.contract import Reader, Transaction

TYPE = 25
PAGE_ROWS = 500
_UNIT_ROWS = 100
_RECORDS = "records"
"""The figure with which each run ends, by which it is known that it has."""
_LEFT_OUT = ("asyncoperation", "fileattachment", "plugintracelog", MEASUREMENTS)


class Progress(msgspec.Struct):
    """The job's cursor: the table, and the last record of it that is done."""

    table: str = ""
    after: str | None = None
    written: int = 0
    records: int = 0


def searched(catalog: Catalog) -> list[Table]:
    """The tables whose texts can be searched, by name."""
    tables = (catalog.tables[name] for name in sorted(catalog.tables))
    return [table for table in tables if table.logical not in _LEFT_OUT and not table.is_intersect and texts_of(table)]


def texts_of(table: Table) -> list[Column]:
    """The text columns that are searched."""
    kinds = (ColumnType.STRING, ColumnType.MEMO)
    return [column for column in table.readable() if column.type in kinds and column.storage == "row"]


def indexed_on(reader: Reader, catalog: Catalog) -> datetime | None:
    """When the index was brought up to date last; None if it has never been."""
    conditions = (Condition("operationtype", "eq", (TYPE,)), Condition("name", "eq", (_RECORDS,)))
    newest = Attribute("createdon", alias="newest", aggregate="max")
    asked = Query(MEASUREMENTS, (newest,), filter=Filter("and", conditions), aggregate=True)
    found: datetime | None = ask(reader, catalog, asked)[0]["newest"]
    return found


def run(work: Work) -> str | Continue:
    """Bring the index up to date."""
    progress = msgspec.json.decode(work.job.cursor, type=Progress) if work.job.cursor else Progress()
    tables = searched(work.service.catalog)
    for table in tables:
        if table.logical < progress.table:
            continue
        if table.logical > progress.table:
            progress = msgspec.structs.replace(progress, table=table.logical, after=None)
        while _page(work, table, progress):
            if work.call.leaving():
                return Continue(msgspec.json.encode(progress).decode())
    with work.service.store.read() as reader:
        strangers = text_index.strangers(reader, [table.logical for table in tables], PAGE_ROWS)
    if strangers:
        work.service.store.write(partial(_write, work, "", strangers, {}))
    work.keep((Figure(_RECORDS, progress.records), Figure("records written", progress.written)))
    return f"{progress.records:,} records are indexed; {progress.written:,} had changed."


def _page(work: Work, table: Table, progress: Progress) -> bool:
    """Index the next records of a table; False when there are no more."""
    with work.service.store.read() as reader:
        found = _read(reader, work.service.catalog, table, progress.after)
        last = max(found) if len(found) == PAGE_ROWS else None
        known = text_index.indexed(reader, table.logical, progress.after, last)
    changed = {
        record_id: words
        for record_id, words in found.items()
        if words and (record_id not in known or known[record_id][1] != text_index.digest(words))
    }
    fresh = list(changed)
    for start in range(0, len(fresh), _UNIT_ROWS):
        some = {record_id: changed[record_id] for record_id in fresh[start : start + _UNIT_ROWS]}
        stale = [known[record_id][0] for record_id in some if record_id in known]
        work.service.store.write(partial(_write, work, table.logical, stale, some))
    gone = [number for record_id, (number, _) in known.items() if not found.get(record_id)]
    if gone:
        work.service.store.write(partial(_write, work, table.logical, gone, {}))
    progress.records += sum(1 for words in found.values() if words)
    progress.written += len(changed) + len(gone)
    progress.after = last
    return last is not None


def _read(reader: Reader, catalog: Catalog, table: Table, after: str | None) -> dict[str, tuple[str, ...]]:
    """The words of the next records behind an id."""
    columns = texts_of(table)
    query = Query(
        table.logical,
        (Attribute(table.primary_id), *(Attribute(column.logical) for column in columns)),
        orders=(Order(table.primary_id),),
        page=Page(size=PAGE_ROWS, after=(after,) if after is not None else None),
    )
    plan = compile(query, catalog, PLATFORM, reader.dialect, reader.now)
    found: dict[str, tuple[str, ...]] = {}
    for row in result.run(plan, reader).rows:
        values: dict[str, Any] = python_row(plan, row)
        texts = (values[column.logical] for column in columns)
        found[str(values[table.primary_id])] = text_index.words_of(text for text in texts if isinstance(text, str))
    return found


def _write(work: Work, table: str, gone: list[int], fresh: dict[str, tuple[str, ...]], tx: Transaction) -> None:
    assert work.call.guard is not None
    work.call.guard(tx)
    text_index.replace(tx, table, gone, fresh)
