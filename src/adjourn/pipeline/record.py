"""A record: a table, an id and some of its columns. What callers create and what they get back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from adjourn.metadata.model import Reference


@dataclass(slots=True)
class Record:
    """Column values of one record, by logical name.

    Values are Python's own: UUID, aware datetime, int, Decimal, bool, str; a lookup is a `Reference(table, id)`. A column
    that is absent was not asked for or not sent; None is null. `formatted` holds labels where they were asked for.
    """

    table: str
    id: UUID | None = None
    values: dict[str, Any] = field(default_factory=dict)
    formatted: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, column: str) -> Any:
        return self.values[column]

    def __setitem__(self, column: str, value: Any) -> None:
        self.values[column] = value

    def __contains__(self, column: str) -> bool:
        return column in self.values

    def __iter__(self) -> Iterator[str]:
        return iter(self.values)

    def get(self, column: str, default: Any = None) -> Any:
        return self.values.get(column, default)

    def reference(self) -> Reference:
        """The record as a lookup's value. Raises ValueError before it has an id."""
        if self.id is None:
            raise ValueError(f"this {self.table} record has no id yet")
        return Reference(self.table, self.id)

    @classmethod
    def of(cls, table: str, values: Mapping[str, Any], id: UUID | None = None) -> Record:
        return cls(table, id, dict(values))
