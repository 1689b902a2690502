"""Numbered migrations: what the metadata cannot say (indexes, triggers, tables of our own), once each and in order.

A file `NNNN_name.sql` under `migrations/<dialect>/`, statements ended by a line that ends in `;;`. The checksum of an
applied file is kept; a file that changed afterwards stops us by name, instead of leaving databases that differ.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources

from adjourn.errors import AdjournError
from adjourn.store.contract import Dialect


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


def apply(dialect: Dialect, applied: dict[int, tuple[str, str]], run: Callable[[str], None]) -> list[Migration]:
    """Run what is missing, given number -> (name, checksum) of what was applied; returns the new ones.

    Raises AdjournError naming a file that changed after it was applied, or that this version does not know.
    """
    known = {migration.number: migration for migration in migrations(dialect)}
    for number, (name, checksum) in sorted(applied.items()):
        migration = known.get(number)
        if migration is None:
            raise AdjournError(f"The database has migration {number:04}_{name}, which this version of adjourn does not know.")
        if migration.checksum != checksum:
            raise AdjournError(f"Migration {number:04}_{migration.name}.sql changed after it was applied to this database.")
    fresh = [migration for number, migration in sorted(known.items()) if number not in applied]
    for migration in fresh:
        for statement in migration.statements():
            run(statement)
    return fresh
