"""Who changes the metadata: tables of their own with columns, keys, lookups and records; and what must have come of it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from uuid import UUID

from adjourn.errors import AdjournError
from adjourn.metadata.customizing import Customizing
from adjourn.pipeline.call import Call
from adjourn.pipeline.customization import customize
from adjourn.service import Service
from adjourn.store import schema
from adjourn.store.contract import Reader

_TYPES = ("Integer", "Money", "Boolean", "DateTime", "Memo", "File")
_PRECISIONS = (0, 1, 4)


@dataclass
class Made:
    """What people remember of one table, whatever happens to the processes."""

    records: dict[UUID, int] = field(default_factory=dict)
    """With their amounts."""
    columns: set[str] = field(default_factory=set)
    dropping: set[str] = field(default_factory=set)
    """Columns that somebody tried to drop."""
    drop_tried: bool = False
    dropped: bool = False


class Customizers:
    """All of them. changes: how many are still to be made."""

    def __init__(self, dice: random.Random, *, changes: int) -> None:
        self.changes = changes
        self.tables: dict[str, Made] = {}
        """Those that were acknowledged."""
        self.done: Counter[str] = Counter()
        self._dice = dice
        self._number = 0

    def change(self, service: Service, call: Call) -> None:
        """One change, or one record in a table that somebody made."""
        self.changes -= 1
        self._number += 1
        table = self._dice.choice(list(self.tables)) if self.tables and self._dice.random() < 0.9 else None
        doing = self._create if table is None else self._dice.choice(self._changes)
        name = getattr(doing, "__name__", "").strip("_")
        try:
            doing(self, service, call, table) if table is not None else self._create(service, call)
        except AdjournError as error:
            # Somebody else has dropped it meanwhile, or the store is busy.
            if error.status >= 500 and error.status != 503:
                raise
            name = f"{name}: {type(error).__name__}"
        self.done[name] += 1

    def _create(self, service: Service, call: Call) -> None:
        name = f"new_Thing{self._number}"
        entries = [
            {"schema": "new_Name", "type": "String"},
            {"schema": "new_Amount", "type": "Decimal", "precision": 2},
        ]
        ownership = self._dice.choice(("UserOwned", "OrganizationOwned"))
        _customize(
            service, call, lambda work: work.create_table({"schema": name, "ownership": ownership}, entries, "new_Name")
        )
        self.tables[name.lower()] = Made(columns={"new_name", "new_amount"})

    def _record(self, service: Service, call: Call, table: str) -> None:
        amount = self._dice.randint(-99, 99)
        client = service.client(call)
        record = client.create(table, {"new_name": f"thing {self._number}", "new_amount": amount})
        self.tables[table].records[record] = amount

    def _column(self, service: Service, call: Call, table: str) -> None:
        entry = {"schema": f"new_Column{self._number}", "type": self._dice.choice(_TYPES)}
        _customize(service, call, lambda work: work.create_column(work.catalog.table(table), entry))
        self.tables[table].columns.add(entry["schema"].lower())

    def _lookup(self, service: Service, call: Call, table: str) -> None:
        relationship = {"schema": f"new_leads{self._number}", "referenced": "account", "referencing": table}
        entry = {"schema": f"new_Lookup{self._number}"}
        _customize(service, call, lambda work: work.create_lookup(relationship, entry))
        self.tables[table].columns.add(entry["schema"].lower())

    def _key(self, service: Service, call: Call, table: str) -> None:
        name = f"new_Key{self._number}"
        _customize(service, call, lambda work: work.create_key(work.catalog.table(table), name, ["new_name"], ""))

    def _drop_key(self, service: Service, call: Call, table: str) -> None:
        def drop(work: Customizing) -> None:
            for key in work.catalog.table(table).keys:
                work.delete_key(work.catalog.table(table), key.name)

        _customize(service, call, drop)

    def _precision(self, service: Service, call: Call, table: str) -> None:
        entry = {"schema": "new_Amount", "type": "Decimal", "precision": self._dice.choice(_PRECISIONS)}
        _customize(service, call, lambda work: work.update_column(work.catalog.table(table), "new_amount", entry))

    def _drop_column(self, service: Service, call: Call, table: str) -> None:
        own = sorted(self.tables[table].columns - {"new_name", "new_amount"} - self.tables[table].dropping)
        if own:
            self.tables[table].dropping.add(own[0])
            _customize(service, call, lambda work: work.delete_column(work.catalog.table(table), own[0]))

    def _drop(self, service: Service, call: Call, table: str) -> None:
        self.tables[table].drop_tried = True
        _customize(service, call, lambda work: work.delete_table(work.catalog.table(table)))
        self.tables[table].dropped = True

    _changes = (_record, _record, _record, _column, _column, _lookup, _key, _drop_key, _precision, _drop_column, _drop)


def _customize(service: Service, call: Call, change: Callable[[Customizing], object]) -> None:
    customize(service.pipeline, call, "a change of the metadata", change)


def examine(reader: Reader, service: Service, tables: dict[str, Made]) -> Iterator[str]:
    """The database has the tables and columns that the metadata tells of, and what was acknowledged is in them."""
    catalog = service.catalog
    for name, table in catalog.tables.items():
        present = [row[0] for row in reader.rows("SELECT name FROM pragma_table_info(:table)", {"table": name})]
        if {*schema.sql_columns(table)} - {*present} or (table.custom and {*present} != {*schema.sql_columns(table)}):
            yield f"table {name} has the columns {present}, and its metadata {schema.sql_columns(table)}"
    sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'new_%'"
    for name in [row[0] for row in reader.rows(sql) if row[0] not in catalog.tables]:
        yield f"table {name} is there, and the metadata does not know it"
    for name, made in tables.items():
        if made.dropped and name in catalog.tables:
            yield f"the deletion of table {name} was acknowledged, and it is there"
        if name not in catalog.tables:
            if not made.drop_tried:
                yield f"table {name} was acknowledged, and nobody deleted it, and it is gone"
            continue
        missing = made.columns - made.dropping - {*catalog.tables[name].columns}
        if missing:
            yield f"the columns {sorted(missing)} of table {name} were acknowledged and are gone"
        scale = 10 ** catalog.tables[name].columns["new_amount"].precision
        amounts = dict(reader.rows(f'SELECT "{name}id", new_amount FROM "{name}"'))
        for record, amount in made.records.items():
            if amounts.get(str(record)) != amount * scale:
                yield f"record {record} of table {name} has the amount {amounts.get(str(record))}, not {amount * scale}"
