"""Numbered migrations: what the metadata cannot say (indexes, triggers, tables of our own), once each and in order.

A file `NNNN_name.sql` under `migrations/<dialect>/`, statements ended by a line that ends in `;;`. The checksum of an
applied file is kept; a file that changed afterwards stops us by name, instead of leaving databases that differ.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources

from adjourn import runtime
from adjourn.errors import AdjournError
from adjourn.metadata.catalog import load
from adjourn.store import schema, statements
from adjourn.store.contract import Dialect, Row


@dataclass(frozen=True, slots=True)
class Migration:
    """One file."""

    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    def statements(self) -> Iterator[str]:
        for part in self.text.split(";;"):
            lines = [line for line in part.splitlines() if not line.strip().startswith("--")]
            if "".join(lines).strip():
                yield "\n".join(lines).strip()


def migrations(dialect: Dialect) -> list[Migration]:
    """All migrations of a dialect, in order."""
    folder = resources.files("adjourn.store") / "migrations" / dialect
    found = []
    for file in folder.iterdir():
        if file.name.endswith(".sql"):
            number, _, name = file.name.removesuffix(".sql").partition("_")
            found.append(Migration(int(number), name, file.read_text()))
    return sorted(found, key=lambda migration: migration.number)


Run = Callable[..., list[Row]]
"""Runs one statement, given its text and its parameters or nothing; returns its rows."""


def pending(dialect: Dialect, run: Run) -> bool:
    """Whether the database lacks anything. Reads only. Raises as `bring_up_to_date` does."""
    present = _present(dialect, run)
    applied = _applied(run) if "migration" in present else {}
    return any(schema.missing(load(), dialect, present)) or bool(_fresh(dialect, applied))


def bring_up_to_date(dialect: Dialect, run: Run) -> None:
    """Make what is missing: tables and columns from the metadata, then the migrations. Inside one transaction.

    Raises AdjournError naming a migration that changed after it was applied, or that this version does not know.
    """
    for statement in schema.missing(load(), dialect, _present(dialect, run)):
        run(statement)
    run(statements.MIGRATION_TABLE)
    for migration in _fresh(dialect, _applied(run)):
        for statement in migration.statements():
            run(statement)
        values = {"number": migration.number, "name": migration.name, "checksum": migration.checksum}
        run(statements.MIGRATED, {**values, "now": runtime.now().isoformat()})


def _present(dialect: Dialect, run: Run) -> dict[str, set[str]]:
    present: dict[str, set[str]] = {}
    for table, column in run(statements.SQLITE_COLUMNS if dialect == "sqlite" else statements.POSTGRES_COLUMNS):
        present.setdefault(table, set()).add(column)
    return present


def _applied(run: Run) -> dict[int, tuple[str, str]]:
    return {number: (name, checksum) for number, name, checksum in run(statements.MIGRATIONS)}


def _fresh(dialect: Dialect, applied: dict[int, tuple[str, str]]) -> list[Migration]:
    known = {migration.number: migration for migration in migrations(dialect)}
    for number, (name, checksum) in sorted(applied.items()):
        migration = known.get(number)
        if migration is None:
            raise AdjournError(
                f"The database has migration {number:04}_{name}, which this version of adjourn does not know. "
                "Use a newer one."
            )
        if migration.checksum != checksum:
            raise AdjournError(
                f"Migration {number:04}_{migration.name}.sql changed after it was applied to this database. Restore "
                "it, and put the change into a migration of its own."
            )
    return [migration for number, migration in sorted(known.items()) if number not in applied]
