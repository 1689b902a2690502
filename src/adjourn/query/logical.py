"""The logical tables `_t_<table>`: what any query language sees of a table, and the security boundary.

Each is a common table expression put in front of a compiled query: the readable columns that the query uses, long text
from its side table, labels and names as scalar subqueries, restricted to the rows that the caller may see. Compilers
name `_t_…` only. Both databases flatten these expressions into the query, so that indexes are used and columns that
nobody asks for cost nothing.

    "_t_asyncoperation" AS NOT MATERIALIZED (SELECT s."statecode", … FROM "asyncoperation" AS s WHERE <predicate>)
"""

from __future__ import annotations

from collections.abc import Iterable

from adjourn.metadata.model import Catalog, Choice, Column, ColumnType, Table
from adjourn.query import security
from adjourn.query.security import Caller
from adjourn.store.contract import Dialect

COUNTS = "jobcount"
COUNTED_TABLE = "asyncoperation"
_OF_JOB = {
    "statecode": "j.statecode",
    # A bulk delete tells apart what is Waiting for a job (semantics §2).
    "statuscode": "CASE WHEN j.statuscode = 10 AND j.waitreason = 'paused' THEN 12 "
    "WHEN j.statuscode = 10 AND j.waitreason = 'back-off' THEN 11 ELSE j.statuscode END",
    "nextrun": "CASE WHEN j.statecode = 1 THEN j.postponeuntil END",
}
"""Columns with the storage "job": what they are of the job `j`."""
COUNTED_COLUMNS = ("ownerid", "owningbusinessunit", "statecode", "statuscode", "operationtype", "datablobid")


def name(table: Table) -> str:
    """The SQL name of a logical table."""
    return f'"_t_{table.logical}"'


def prefix(
    uses: Iterable[tuple[Table, Iterable[str]]],
    catalog: Catalog,
    caller: Caller,
    dialect: Dialect,
    *,
    counts: bool = False,
) -> str:
    """`WITH …` for the logical tables and columns that a query uses. counts: the job table stands for its counts."""
    tables = [_expression(table, names, catalog, caller, dialect, counts) for table, names in uses]
    return "WITH " + ",\n".join(tables) + "\n"


def _expression(
    table: Table, names: Iterable[str], catalog: Catalog, caller: Caller, dialect: Dialect, counts: bool
) -> str:
    columns = [f'{column_sql(table, column, catalog, dialect, counts)} AS "{column}"' for column in names]
    if counts:
        columns.append("s.n AS n")
    source = COUNTS if counts else table.logical
    visible, _ = security.predicate(table, catalog, caller, dialect)
    where = f" WHERE {visible}" if visible else ""
    return f'{name(table)} AS NOT MATERIALIZED (SELECT {", ".join(columns)} FROM "{source}" AS s{where})'


def column_sql(table: Table, logical: str, catalog: Catalog, dialect: Dialect, counts: bool) -> str:
    """What a column of a logical table is, over the alias `s` of the stored one."""
    if counts and logical == "owneridtype":
        # Not kept with the counts. An owner is a user or a team.
        team = 'SELECT 1 FROM "team" AS o WHERE o."teamid" = s."ownerid"'
        return f"CASE WHEN EXISTS ({team}) THEN 'team' ELSE 'systemuser' END"
    column = table.columns.get(logical)
    if column is None or column.storage == "row":
        return f's."{logical}"'
    if column.storage == "text":
        side = f"{table.logical}text"
        return f'(SELECT x."{logical}" FROM "{side}" AS x WHERE x."{table.logical}sequence" = s."sequence")'
    if column.storage == "job":
        belongs = 'j."asyncoperationid" = s."asyncoperationid"'
        return f'(SELECT {_OF_JOB[logical]} FROM "asyncoperation" AS j WHERE {belongs})'
    base = table.columns[column.derives or ""]
    kind = column_sql(table, base.type_column, catalog, dialect, counts) if base.type_column else None
    value = column_sql(table, base.logical, catalog, dialect, counts)
    return name_sql(base, value, kind, catalog, dialect)


def name_sql(column: Column, value: str, kind: str | None, catalog: Catalog, dialect: Dialect) -> str:
    """What people read for a value: a choice's label, a lookup's name. kind: the expression of the lookup's table."""
    if column.choice is not None:
        return _label(column.choice, value, column.type is ColumnType.BOOLEAN and dialect == "postgres")
    targets = [catalog.tables[target] for target in column.targets if target in catalog.tables]
    if kind is None:
        return _target_name(targets[0], value) if targets else "NULL"
    cases = " ".join(f"WHEN {_quoted(target.logical)} THEN {_target_name(target, value)}" for target in targets)
    return f"CASE {kind} {cases} END" if cases else "NULL"


def _target_name(target: Table, value: str) -> str:
    if target.primary_name is None:
        return "NULL"
    return f'(SELECT n."{target.primary_name}" FROM "{target.logical}" AS n WHERE n."{target.primary_id}" = {value})'


def _label(choice: Choice, value: str, boolean: bool) -> str:
    cases = " ".join(
        f"WHEN {('TRUE' if option.value else 'FALSE') if boolean else option.value} THEN {_quoted(option.label)}"
        for option in choice.options.values()
    )
    return f"CASE {value} {cases} END" if cases else "NULL"


def _quoted(label: str) -> str:
    """A text of the metadata, never one of a caller, as a literal."""
    escaped = label.replace("'", "''")
    return f"'{escaped}'"
