"""The tables themselves, made from the metadata: one CREATE TABLE, or ADD COLUMN for what is missing.

A column's SQL name is its logical name; a polymorphic lookup has its type column beside it; long texts of a job lie in
`asyncoperationtext`, because SQLite rewrites a whole row when one value of it changes. Lookups carry no foreign keys:
Dataverse's delete rules are the pipeline's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping

from adjourn.metadata.model import Catalog, Column, ColumnType, Table
from adjourn.store.constraints import CONSTRAINTS
from adjourn.store.contract import Dialect

JOB = "asyncoperation"
JOB_TEXT = "asyncoperationtext"
CONFIGURATION = (
    "sdkmessageprocessingstep", "sdkmessageprocessingstepimage", "sdkmessage", "plugintype", "pluginassembly",
    "systemuser", "usersettings", "team", "teammembership", "businessunit", "organization",
)  # fmt: skip
"""Tables whose changes raise `configversion`: what registrations and callers are cached from."""

_TYPES: dict[ColumnType, tuple[str, str]] = {
    ColumnType.UNIQUEIDENTIFIER: ("TEXT", "uuid"),
    ColumnType.FILE: ("TEXT", "uuid"),
    ColumnType.LOOKUP: ("TEXT", "uuid"),
    ColumnType.OWNER: ("TEXT", "uuid"),
    ColumnType.CUSTOMER: ("TEXT", "uuid"),
    ColumnType.STRING: ("TEXT", "text"),
    ColumnType.MEMO: ("TEXT", "text"),
    ColumnType.ENTITYNAME: ("TEXT", "text"),
    ColumnType.DATETIME: ("TEXT", "timestamptz"),
    ColumnType.DATE: ("TEXT", "date"),
    ColumnType.BOOLEAN: ("INTEGER", "boolean"),
    ColumnType.INTEGER: ("INTEGER", "integer"),
    ColumnType.BIGINT: ("INTEGER", "bigint"),
    ColumnType.DECIMAL: ("INTEGER", "bigint"),
    ColumnType.MONEY: ("INTEGER", "bigint"),
    ColumnType.DOUBLE: ("REAL", "double precision"),
    ColumnType.PICKLIST: ("INTEGER", "integer"),
    ColumnType.STATE: ("INTEGER", "integer"),
    ColumnType.STATUS: ("INTEGER", "integer"),
    ColumnType.MULTISELECT: ("TEXT", "text"),
    ColumnType.MANAGEDPROPERTY: ("INTEGER", "integer"),
}


def missing(catalog: Catalog, dialect: Dialect, present: Mapping[str, set[str]]) -> Iterator[str]:
    """The DDL that is still missing. present: the columns of each table that the database has."""
    yield from missing_tables(catalog, dialect, present)
    if JOB_TEXT not in present:
        texts = ", ".join(f'"{column.logical}" {_type(column, dialect)}' for column in _texts(catalog.tables[JOB]))
        key = "INTEGER" if dialect == "sqlite" else "bigint"
        yield f'CREATE TABLE "{JOB_TEXT}" ("asyncoperationsequence" {key} PRIMARY KEY, {texts})'
    if "configversion" not in present:
        yield "CREATE TABLE configversion (version bigint NOT NULL)"
        yield "INSERT INTO configversion (version) VALUES (1)"
        yield from _configuration_triggers(dialect)


def missing_tables(catalog: Catalog, dialect: Dialect, present: Mapping[str, set[str]]) -> Iterator[str]:
    """CREATE TABLE and ADD COLUMN for the tables of a catalog."""
    for table in catalog.tables.values():
        columns = dict(_columns(table, dialect))
        existing = present.get(table.logical, set())
        if not existing:
            yield _create(table, columns, dialect)
        for name in [name for name in columns if name not in existing] if existing else ():
            yield f'ALTER TABLE "{table.logical}" ADD COLUMN "{name}" {columns[name]}'


def sql_columns(table: Table) -> list[str]:
    """The names of a table's columns in the database."""
    return [name for name, _ in _columns(table, "sqlite")]


def short(name: str) -> str:
    """A name that fits into PostgreSQL's 63 bytes beside a prefix, different for different names."""
    return name if len(name) <= 50 else f"{name[:37]}_{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def _create(table: Table, columns: dict[str, str], dialect: Dialect) -> str:
    rowid_is_sequence = table.logical == JOB and dialect == "sqlite"
    if rowid_is_sequence:
        # Claims follow the rowid, and AUTOINCREMENT never gives a deleted job's number again.
        columns |= {"sequence": "INTEGER PRIMARY KEY AUTOINCREMENT", table.primary_id: "TEXT NOT NULL UNIQUE"}
    elif table.logical == JOB:
        columns |= {"sequence": "bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) UNIQUE"}
    lines = [f'"{name}" {type_}' for name, type_ in columns.items()]
    if not rowid_is_sequence:
        lines.append(f'PRIMARY KEY ("{table.primary_id}")')
    lines.extend(CONSTRAINTS.get(table.logical, ()))
    # Guid keys rise with time, so a table clustered by them grows at its end.
    suffix = " WITHOUT ROWID" if dialect == "sqlite" and not rowid_is_sequence else ""
    body = ",\n  ".join(lines)
    return f'CREATE TABLE "{table.logical}" (\n  {body}\n){suffix}'


def _columns(table: Table, dialect: Dialect) -> Iterator[tuple[str, str]]:
    for column in table.columns.values():
        if column.storage != "row":
            continue
        default = ""
        if table.logical == JOB and column.default is not None:
            default = f" NOT NULL DEFAULT {_literal(column, dialect)}"
        yield column.logical, _type(column, dialect) + default
        if column.type_column and column.type_column not in table.columns:
            yield column.type_column, "TEXT"


def _literal(column: Column, dialect: Dialect) -> str:
    if column.type is ColumnType.BOOLEAN and dialect == "postgres":
        return "true" if column.default else "false"
    return str(int(column.default))


def _type(column: Column, dialect: Dialect) -> str:
    return _TYPES[column.type][0 if dialect == "sqlite" else 1]


def _texts(table: Table) -> Iterable[Column]:
    return (column for column in table.columns.values() if column.storage == "text")


def _configuration_triggers(dialect: Dialect) -> Iterator[str]:
    if dialect == "postgres":
        yield (
            "CREATE FUNCTION raise_configversion() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN UPDATE configversion SET version = version + 1; RETURN NULL; END $$"
        )
    for table in CONFIGURATION:
        if dialect == "postgres":
            yield (
                f"CREATE TRIGGER configversion_{table} AFTER INSERT OR UPDATE OR DELETE ON {table} "
                "FOR EACH STATEMENT EXECUTE FUNCTION raise_configversion()"
            )
            continue
        for event in ("INSERT", "UPDATE", "DELETE"):
            yield (
                f"CREATE TRIGGER configversion_{table}_{event.lower()} AFTER {event} ON {table} "
                "BEGIN UPDATE configversion SET version = version + 1; END"
            )
