"""Carrying out a change of the metadata: its documents, the database's tables, the filters that steps hang on.

All of it is one transaction, in which the next operation sees the new tables already; other processes notice by
`configversion`. Only administrators may.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from adjourn.errors import Duplicate, InvalidRequest, PrivilegeDenied
from adjourn.metadata.customizing import HAS_DEPENDENTS, Customizing
from adjourn.metadata.model import Catalog, Table
from adjourn.pipeline.bootstrap import write_filters
from adjourn.pipeline.call import Call
from adjourn.pipeline.execute import Pipeline, Unit
from adjourn.query import metadata_documents, write
from adjourn.store import alter
from adjourn.store.contract import Transaction

T = TypeVar("T")


def customize(pipeline: Pipeline, call: Call, label: str, change: Callable[[Customizing], T]) -> T:
    """Make a change and all that follows from it. Raises what `change` raises, and then nothing has changed.

    change: gets the present additions; what it returns is returned. label: who holds the writer meanwhile.
    """
    if not call.caller.is_administrator:
        raise PrivilegeDenied("Only a system administrator may change the metadata.")
    joined = pipeline.unit_of(call)
    if joined is not None:
        with joined.tx.savepoint():
            return _apply(pipeline, joined, change)
    with pipeline.transaction(label) as unit:
        result = _apply(pipeline, unit, change)
    pipeline.registry.refresh()
    return result


def _apply(pipeline: Pipeline, unit: Unit, change: Callable[[Customizing], T]) -> T:
    tx = unit.tx
    metadata_documents.begin(tx)
    held = metadata_documents.additions(metadata_documents.rows(tx))
    work = Customizing(held, write.config_version(tx))
    before = work.catalog
    result = change(work)
    gone = [table for name, table in before.tables.items() if name not in work.catalog.tables]
    for table in gone:
        _let_go(tx, unit, table)
    _check_keys(tx, before, work.catalog)
    for statement in alter.changes(before, work.catalog, tx.dialect):
        tx.execute(statement)
    metadata_documents.replace(tx, held, work.additions)
    write_filters(tx, work.catalog, [t for name, t in work.catalog.tables.items() if name not in before.tables])
    unit.snapshot = pipeline.registry.current(tx)
    return result


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
