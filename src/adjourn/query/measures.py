"""What the database says about itself: bytes of tables and indexes, pages, dead rows; and its planner's statistics.

The figures are those of the databases' own views: `dbstat` and the pragmas of SQLite, the catalogs of PostgreSQL.
"""

from __future__ import annotations

from typing import NamedTuple

from adjourn.store.contract import Dialect, Reader, Transaction

_ANALYZED_ROWS = 1_000
"""Rows of each index that SQLite looks at: a good enough estimate, in milliseconds whatever the size."""
_SQLITE_BYTES = (
    "SELECT coalesce(m.tbl_name, d.name), m.type, d.name, d.pgsize FROM dbstat d LEFT JOIN sqlite_schema m ON m.name = d.name "
    "WHERE d.aggregate = TRUE ORDER BY 1, 3"
)
_SQLITE_PAGES = (
    "SELECT (SELECT page_count FROM pragma_page_count), (SELECT freelist_count FROM pragma_freelist_count), "
    "(SELECT page_size FROM pragma_page_size)"
)
_POSTGRES_TABLES = (
    "SELECT c.relname, pg_total_relation_size(c.oid) FROM pg_class c "
    "WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'm') ORDER BY c.relname"
)
_POSTGRES_INDEXES = (
    "SELECT indexrelname, pg_relation_size(indexrelid) FROM pg_stat_user_indexes WHERE schemaname = current_schema() "
    "ORDER BY indexrelname"
)
_POSTGRES_HEALTH = (
    "SELECT (SELECT coalesce(sum(pg_relation_size(c.oid)), 0) FROM pg_class c "
    "WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'i', 'm')), "
    "current_setting('block_size')::bigint, "
    "(SELECT coalesce(sum(n_dead_tup), 0) FROM pg_stat_user_tables WHERE schemaname = current_schema())"
)


class Health(NamedTuple):
    """The state of the store. free_pages: of SQLite; dead_rows: of PostgreSQL; None where the database does not tell."""

    pages: int
    page_bytes: int
    free_pages: int | None
    dead_rows: int | None


def table_bytes(reader: Reader) -> dict[str, int]:
    """Bytes of each table with its indexes."""
    if reader.dialect == "postgres":
        return {row[0]: int(row[1]) for row in reader.rows(_POSTGRES_TABLES)}
    found: dict[str, int] = {}
    for table, _, _, size in reader.rows(_SQLITE_BYTES):
        found[table] = found.get(table, 0) + int(size)
    return found


def index_bytes(reader: Reader) -> dict[str, int]:
    """Bytes of each index."""
    if reader.dialect == "postgres":
        return {row[0]: int(row[1]) for row in reader.rows(_POSTGRES_INDEXES)}
    return {name: int(size) for _, kind, name, size in reader.rows(_SQLITE_BYTES) if kind == "index"}


def health(reader: Reader) -> Health:
    """Pages in use and not, rows that only a vacuum takes away."""
    if reader.dialect == "postgres":
        size, page, dead = reader.rows(_POSTGRES_HEALTH)[0]
        return Health(int(size) // int(page), int(page), None, int(dead))
    pages, free, page = reader.rows(_SQLITE_PAGES)[0]
    return Health(int(pages), int(page), int(free), None)


def refresh_statistics(tx: Transaction, table: str) -> None:
    """Have the planner's statistics of one table measured anew."""
    if tx.dialect == "sqlite":
        tx.rows(f"PRAGMA analysis_limit = {_ANALYZED_ROWS}")
    tx.execute(f'ANALYZE "{table}"')


def tables(reader: Reader) -> list[str]:
    """The names of all tables that have statistics."""
    return [row[0] for row in reader.rows(_TABLES[reader.dialect])]


_TABLES: dict[Dialect, str] = {
    # Virtual tables, and those in which they keep themselves, have none.
    "sqlite": (
        "SELECT m.name FROM sqlite_schema m WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' "
        "AND m.sql NOT LIKE 'CREATE VIRTUAL%' AND NOT EXISTS (SELECT 1 FROM sqlite_schema v "
        "WHERE v.sql LIKE 'CREATE VIRTUAL%' AND m.name LIKE v.name || '\\_%' ESCAPE '\\') ORDER BY m.name"
    ),
    "postgres": (
        "SELECT c.relname FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' "
        "ORDER BY c.relname"
    ),
}
