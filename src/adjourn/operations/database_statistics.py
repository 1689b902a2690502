"""Types 19 and 24: how the database is, and its planner's statistics measured anew."""

from __future__ import annotations

from functools import partial

from adjourn.jobs.model import Released
from adjourn.operations.measuring import Figure, Work
from adjourn.query import measures
from adjourn.store.contract import Transaction


def collect(work: Work) -> str:
    """Type 19: pages, free pages (SQLite), dead rows (PostgreSQL), and the bytes of each index."""
    with work.service.store.read() as reader:
        health, indexes = measures.health(reader), measures.index_bytes(reader)
    figures = [Figure("pages", health.pages), Figure("page bytes", health.page_bytes)]
    if health.free_pages is not None:
        figures.append(Figure("free pages", health.free_pages))
    if health.dead_rows is not None:
        figures.append(Figure("dead rows", health.dead_rows))
    work.keep([*figures, *(Figure("index bytes", count, name) for name, count in indexes.items())])
    return f"{health.pages:,} pages of {health.page_bytes:,} bytes; {len(indexes)} indexes."


def refresh(work: Work) -> str | Released:
    """Type 24: the statistics by which the database chooses its plans, table by table, each a unit of its own."""
    with work.service.store.read() as reader:
        tables = measures.tables(reader)
    for table in tables:
        if work.call.leaving():
            return Released(reason="its worker was stopped")
        work.service.store.write(partial(_refresh, work, table))
    work.keep((Figure("tables", len(tables)),))
    return f"The statistics of {len(tables)} tables were measured anew."


def _refresh(work: Work, table: str, tx: Transaction) -> None:
    assert work.call.guard is not None
    work.call.guard(tx)
    measures.refresh_statistics(tx, table)
