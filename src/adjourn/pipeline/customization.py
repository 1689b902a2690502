"""Carrying out a change of the metadata: its documents, the database's tables, the filters that steps hang on.

All of it is one transaction, in which the next operation sees the new tables already; other processes notice by
`configversion`. Who may is decided by the privileges of what changes: prvCreateEntity, prvWriteAttribute and so on. A table of
a caller's brings privileges of its own, and takes them along when it goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from adjourn.errors import Duplicate, InvalidRequest
from adjourn.metadata.customizing import HAS_DEPENDENTS, Customizing
from adjourn.metadata.model import Catalog, Table
from adjourn.pipeline import stock_roles, system_jobs
from adjourn.pipeline.bootstrap import write_filters
from adjourn.pipeline.call import Call
from adjourn.pipeline.execute import Pipeline
from adjourn.pipeline.flow import Unit
from adjourn.query import metadata_documents, security, write
from adjourn.query.security import Caller
from adjourn.store import alter
from adjourn.store.contract import Transaction

T = TypeVar("T")
_PRIVILEGES = tuple(
    f"prv{kind}{part}" for part in ("Entity", "Attribute", "Relationship") for kind in ("Write", "Create", "Delete")
)


def customize(pipeline: Pipeline, call: Call, label: str, change: Callable[[Customizing], T]) -> T:
    """Make a change and all that follows from it. Raises what `change` raises, and then nothing has changed.

    change: gets the present additions; what it returns is returned. label: who holds the writer meanwhile.
    """
    if not any(security.may(call.caller, name) for name in _PRIVILEGES):
        # Said before the transaction, so that nobody holds the writer for nothing.
        security.require(call.caller, _PRIVILEGES[0], pipeline.catalog)
    joined = pipeline.unit_of(call)
    if joined is not None:
        with joined.tx.savepoint():
            return _apply(pipeline, joined, call.caller, change)
    with pipeline.transaction(label) as unit:
        result = _apply(pipeline, unit, call.caller, change)
    pipeline.registry.refresh()
    return result


def _apply(pipeline: Pipeline, unit: Unit, caller: Caller, change: Callable[[Customizing], T]) -> T:
    tx = unit.tx
    metadata_documents.begin(tx)
    held = metadata_documents.additions(metadata_documents.rows(tx))
    work = Customizing(held, write.config_version(tx))
    before = work.catalog
    result = change(work)
    for name in sorted(_needed(before, work.catalog)):
        security.require(caller, name, work.catalog)
    gone = [table for name, table in before.tables.items() if name not in work.catalog.tables]
    for table in gone:
        _let_go(tx, unit, table)
    _check_keys(tx, before, work.catalog)
    for statement in alter.changes(before, work.catalog, tx.dialect):
        tx.execute(statement)
    metadata_documents.replace(tx, held, work.additions)
    write_filters(tx, work.catalog, [t for name, t in work.catalog.tables.items() if name not in before.tables])
    stock_roles.follow(tx, before, work.catalog)
    unit.snapshot = pipeline.registry.current(tx)
    return result


def _needed(before: Catalog, after: Catalog) -> set[str]:
    """The privileges that a change of the metadata takes; for a table that is made or dropped, that of the table alone."""
    needed = {_whole("Create", table) for name, table in after.tables.items() if name not in before.tables}
    needed |= {_whole("Delete", table) for name, table in before.tables.items() if name not in after.tables}
    for name, table in after.tables.items():
        old = before.tables.get(name)
        if old is None or name == system_jobs.TABLE:  # jobs can be about every table, so they change with each
            continue
        joins = {each.name: each for each in table.many_to_one}
        old_joins = {each.name: each for each in old.many_to_one}
        changed = {f"prv{kind}Attribute" for kind in _kinds(old.columns, table.columns)}
        changed |= {f"prv{kind}Relationship" for kind in _kinds(old_joins, joins)}
        if _header(old) != _header(table):
            changed.add("prvWriteEntity")
        needed |= changed
    return needed


def _whole(kind: str, table: Table) -> str:
    return f"prv{kind}{'Relationship' if table.is_intersect else 'Entity'}"


def _kinds(before: Mapping[str, object], after: Mapping[str, object]) -> Iterator[str]:
    if any(name not in before for name in after):
        yield "Create"
    if any(name not in after for name in before):
        yield "Delete"
    if any(name in before and before[name] != found for name, found in after.items()):
        yield "Write"


def _header(table: Table) -> object:
    return (table.display, table.display_collection, table.description, table.keys)


def _let_go(tx: Transaction, unit: Unit, table: Table) -> None:
    """Part a table from all that is not its own."""
    for step in unit.snapshot.by_id.values():
        if step.table == table.logical:
            raise InvalidRequest(
                f"Table '{table.logical}' cannot be deleted because it is used: step '{step.name}' is registered on it.",
                code=HAS_DEPENDENTS,
            )
    metadata_documents.let_go(tx, table)


def _check_keys(tx: Transaction, before: Catalog, after: Catalog) -> None:
    """A key that the rows do not keep is refused by name, not by the database."""
    for name, table in after.tables.items():
        old = before.tables.get(name)
        for key in table.keys if old is not None else ():
            if key in (old.keys if old is not None else ()):
                continue
            if shared := metadata_documents.doubles(tx, table, key):
                raise Duplicate(
                    f"Key '{key.name}' cannot be made: {shared} records of table '{name}' have the same values in "
                    f"{', '.join(key.columns)}.",
                    code=0x80060892,
                )
