"""What a condition is, apart from its operator: its literals, its place in the SQL, and the test that decides it.

A test renders itself as SQL (`sql`) and decides in plain Python (`matches`), so that both meanings stand side by side.
The tests are in `comparisons` (values), `own` (the caller's ids and language), `hierarchy` (trees of records) and
`within` (dates); `operators` gives them their names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from adjourn.metadata.fiscal import Calendar
from adjourn.metadata.model import Catalog, Column, ColumnType
from adjourn.query import literals
from adjourn.query.literals import Circumstances
from adjourn.store.contract import Dialect

_T = TypeVar("_T")
Data = Mapping[str, Sequence[Mapping[str, Any]]]
"""Rows by table, for the plain-Python evaluator."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A condition's literals, where they stand in the text, and under which circumstances they are read.

    data: all rows there are, where a test of the plain-Python evaluator needs other rows than its own.
    """

    column: Column
    values: tuple[Any, ...]
    position: int
    circumstances: Circumstances
    data: Data = field(default_factory=dict)
    _kept: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    def raw(self, index: int) -> Any:
        return literals.raw(self.column, self.values[index], self.position, self.circumstances)

    def all_raw(self) -> list[Any]:
        c = self.circumstances
        found = (literals.raw(self.column, value, self.position, c) for value in self.values)
        return [value for value in found if value is not None]

    def once(self, find: Callable[[Asked], _T]) -> _T:
        """What `find` makes of these literals, found once however many rows are tested."""
        if find not in self._kept:
            self._kept[find] = find(self)
        found: _T = self._kept[find]
        return found


class Site(Protocol):
    """Where a condition becomes SQL: its column there, and a way to make parameters.

    classes: what may be known of the literals when the SQL is made (`classify`), since it is kept for others.
    """

    expression: str
    column: Column
    dialect: Dialect
    classes: frozenset[str]

    @property
    def catalog(self) -> Catalog: ...

    @property
    def calendar(self) -> Calendar: ...

    def bind(self, value: Callable[[Asked], Any], cast: str | None = None) -> str:
        """The SQL of a parameter that gets this value, as PostgreSQL's type `cast` (the column's own, if None)."""
        ...


class Test(Protocol):
    """How an operator decides. `values`, in Python, are raw values; a null literal never reaches `matches`."""

    def sql(self, site: Site) -> str: ...
    def matches(self, value: Any, asked: Asked) -> bool: ...


def family(column: Column) -> str:
    """The family of a column.

    S text, E table name, N number, D date, C choice and yes/no, M several choices, O lookup, U guid.
    """
    kind = column.type
    if kind in (ColumnType.STRING, ColumnType.MEMO):
        return "S"
    if kind is ColumnType.ENTITYNAME:
        return "E"
    if kind in (ColumnType.DATETIME, ColumnType.DATE):
        return "D"
    if kind.is_choice or kind is ColumnType.BOOLEAN:
        return "C"
    if kind is ColumnType.MULTISELECT:
        return "M"
    if kind.is_lookup:
        return "O"
    if kind in (ColumnType.UNIQUEIDENTIFIER, ColumnType.FILE):
        return "U"
    return "N"


NULL, FOREIGN, BRACKET = "null", "foreign", "bracket"


def classify(values: tuple[Any, ...]) -> frozenset[str]:
    """What of the literals the SQL text depends on: a null, a text beyond ASCII, a character class."""
    found = set()
    for value in values:
        if value is None:
            found.add(NULL)
        elif isinstance(value, str):
            if not value.isascii():
                found.add(FOREIGN)
            if "[" in value:
                found.add(BRACKET)
    return frozenset(found)


def folded(expression: str, dialect: Dialect) -> str:
    """A text expression in the form by which texts are ordered and compared with ASCII literals."""
    return f'lower({expression} COLLATE "C") COLLATE "C"' if dialect == "postgres" else f"{expression} COLLATE NOCASE"


def among(
    site: Site,
    subject: str,
    values: Callable[[Asked], list[Any]],
    fold: Callable[[str], str] | None = None,
) -> str:
    """Whether the subject is in a list. The whole list is one parameter: it has no length limit and one SQL text."""

    def value(asked: Asked) -> Any:
        found = values(asked)
        if asked.column.type in (ColumnType.DECIMAL, ColumnType.MONEY):
            # What is finer than the column can hold is equal to no row.
            found = [item for item in found if isinstance(item, int)]
        return literals.listed([fold(item) for item in found] if fold else found, asked.circumstances.dialect)

    if site.dialect == "postgres":
        return f"{subject} = ANY({site.bind(value, literals.postgres_type(site.column) + '[]')})"
    return f"{subject} IN (SELECT value FROM json_each({site.bind(value)}))"
