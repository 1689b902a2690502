"""Type 16, Collect Organization Statistics: how many records each table has."""

from __future__ import annotations

from adjourn.operations.measuring import Figure, Work, row_counts


def run(work: Work) -> str:
    """Count the records of all tables at one moment, and keep the counts."""
    with work.service.store.read() as reader:
        rows = row_counts(reader, work.service.catalog)
    work.keep(Figure("rows", count, table) for table, count in rows.items())
    return f"{sum(rows.values()):,} records in {len(rows)} tables were counted."
