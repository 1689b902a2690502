"""From one catalog to the next: the statements that a change of metadata at run time means for the database.

Only tables and columns of callers are ever dropped. All statements belong into the transaction that changes the metadata.
"""

from __future__ import annotations

from collections.abc import Iterator

from adjourn.metadata.model import AlternateKey, Catalog, Column, ColumnType, Table
from adjourn.store import schema
from adjourn.store.contract import Dialect

_SCALED = (ColumnType.DECIMAL, ColumnType.MONEY)


def changes(old: Catalog, new: Catalog, dialect: Dialect) -> Iterator[str]:
    """The statements, in an order in which they work."""
    for name, table in old.tables.items():
        if name not in new.tables:
            yield from _files(table, [c for c in table.columns.values() if c.type is ColumnType.FILE])
            yield f'DROP TABLE "{name}"'
        else:
            yield from _removed(table, new.tables[name], dialect)
    present = {name: set(schema.sql_columns(table)) for name, table in old.tables.items()}
    kept = {
        name: found & set(schema.sql_columns(new.tables[name])) for name, found in present.items() if name in new.tables
    }
    yield from schema.missing_tables(new, dialect, kept)
    for name, table in new.tables.items():
        yield from _added(old.tables.get(name), table, dialect)


def key_columns(table: Table, key: AlternateKey, dialect: Dialect) -> list[str]:
    """The expressions of a key's index; a lookup by the key compares the same ones."""
    return [folded(table.columns[name], dialect) for name in key.columns]


def folded(column: Column, dialect: Dialect, value: str | None = None) -> str:
    """A column, or a value that is compared with it, in the form in which keys are equal: A to Z without their case."""
    expression = value or f'"{column.logical}"'
    if column.type is not ColumnType.STRING:
        return expression
    return f'lower({expression} COLLATE "C") COLLATE "C"' if dialect == "postgres" else f"{expression} COLLATE NOCASE"


def _removed(table: Table, after: Table, dialect: Dialect) -> Iterator[str]:
    for key in table.keys:
        if key not in after.keys:
            yield f'DROP INDEX "{_key_index(table, key)}"'
    yield from _files(
        table, [c for n, c in table.columns.items() if c.type is ColumnType.FILE and n not in after.columns]
    )
    for name in schema.sql_columns(table):
        if name not in set(schema.sql_columns(after)):
            if name in table.columns and table.columns[name].type.is_lookup:
                yield f'DROP INDEX "{_lookup_index(table, name)}"'
            yield f'ALTER TABLE "{table.logical}" DROP COLUMN "{name}"'
    for name, column in table.columns.items():
        found = after.columns.get(name)
        if found is not None and column.type in _SCALED and found.precision != column.precision:
            yield _rescaled(table, column, found.precision - column.precision)


def _files(table: Table, columns: list[Column]) -> Iterator[str]:
    """Forget the files of columns that go; what is left of their contents is swept."""
    for column in columns:
        yield (
            f"DELETE FROM fileattachment WHERE objectidtypecode = '{table.logical}' "
            f"AND regardingfieldname = '{column.logical}'"
        )


def _added(before: Table | None, table: Table, dialect: Dialect) -> Iterator[str]:
    if before is None and table.guard.owner is not None:
        # Who reaches his own records only finds them by it, in the order of pages (migration 18 for the shipped tables).
        name = f"owner_{schema.short(table.logical)}"
        yield f'CREATE INDEX "{name}" ON "{table.logical}" ("{table.guard.owner}", "{table.primary_id}")'
    for column in table.columns.values():
        if column.custom and column.type.is_lookup and (before is None or column.logical not in before.columns):
            # Cascades and navigations look rows up by it.
            yield f'CREATE INDEX "{_lookup_index(table, column.logical)}" ON "{table.logical}" ("{column.logical}")'
    for key in table.keys:
        if before is None or key not in before.keys:
            columns = ", ".join(
                f"({found})" if "lower(" in found else found for found in key_columns(table, key, dialect)
            )
            yield f'CREATE UNIQUE INDEX "{_key_index(table, key)}" ON "{table.logical}" ({columns})'


def _rescaled(table: Table, column: Column, digits: int) -> str:
    """Decimals lie as whole numbers scaled by their precision: another precision is another scale."""
    name, factor = f'"{column.logical}"', 10 ** abs(digits)
    changed = f"{name} * {factor}"
    if digits < 0:
        half = factor // 2
        changed = f"({name} + CASE WHEN {name} < 0 THEN {-half} ELSE {half} END) / {factor}"
    return f'UPDATE "{table.logical}" SET {name} = {changed} WHERE {name} IS NOT NULL'


def _key_index(table: Table, key: AlternateKey) -> str:
    return f"key_{schema.short(f'{table.logical}_{key.name}')}"


def _lookup_index(table: Table, column: str) -> str:
    return f"lookup_{schema.short(f'{table.logical}_{column}')}"
