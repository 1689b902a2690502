"""The rows that hold what callers have added to the metadata: table `metadatadocument`, one document per table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from adjourn.metadata.customizing import Additions
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
