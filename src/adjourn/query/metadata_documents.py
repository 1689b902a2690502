"""The statements of a change of the metadata: table `metadatadocument`, one document per table, and what hangs on a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from adjourn.metadata.additions import Additions
from adjourn.metadata.model import AlternateKey, Table
from adjourn.store import alter
from adjourn.store.contract import Reader, Row, Transaction


def rows(reader: Reader) -> list[Row]:
    """Logical name and document, by name."""
    return reader.rows("SELECT logicalname, document FROM metadatadocument ORDER BY logicalname")


def additions(found: Sequence[Row]) -> Additions:
    """The documents of these rows."""
    return {name: msgspec.json.decode(text) for name, text in found}


def replace(tx: Transaction, before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]) -> None:
    """Write what differs."""
    for name in before:
        if name not in after:
            tx.execute("DELETE FROM metadatadocument WHERE logicalname = :name", {"name": name})
    for name, document in after.items():
        values = {"name": name, "document": msgspec.json.encode(document).decode()}
        if name not in before:
            tx.execute("INSERT INTO metadatadocument (logicalname, document) VALUES (:name, :document)", values)
        elif document != before[name]:
            tx.execute("UPDATE metadatadocument SET document = :document WHERE logicalname = :name", values)


def begin(tx: Transaction) -> None:
    """A new version of the configuration. Two changes at the same time on PostgreSQL wait for each other here."""
    tx.execute("UPDATE configversion SET version = version + 1")


def let_go(tx: Transaction, table: Table) -> None:
    """Part a table from the rows of others that are about it: the filters of steps, and what jobs regard."""
    tx.execute("DELETE FROM sdkmessagefilter WHERE primaryobjecttypecode = :name", {"name": table.logical})
    tx.execute(
        "UPDATE asyncoperation SET regardingobjectid = NULL, regardingobjecttypecode = NULL "
        f'WHERE regardingobjectid IN (SELECT "{table.primary_id}" FROM "{table.logical}")'
    )


def doubles(tx: Transaction, table: Table, key: AlternateKey) -> int:
    """How many records share their values of a key, of the first such values that are found; 0 for none."""
    columns = ", ".join(alter.key_columns(table, key, tx.dialect))
    there = " AND ".join(f'"{column}" IS NOT NULL' for column in key.columns)
    found = tx.rows(
        f'SELECT count(*) FROM "{table.logical}" WHERE {there} GROUP BY {columns} HAVING count(*) > 1 LIMIT 1'
    )
    return int(found[0][0]) if found else 0
