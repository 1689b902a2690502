"""All condition operators as one table: FetchXML's operators and the Web API's query functions are one list.

Each entry: its FetchXML name, the Web API function (without `Microsoft.Dynamics.CRM.`), how many values it takes, the
families of columns it fits, and its *test*. A test renders itself as SQL (`sql`) and decides in plain Python
(`matches`), so that both meanings stand side by side. An entry without a test is known and refused by name.

Rules that hold for all: text is compared without regard to case; a negative operator keeps rows whose value is null.
Families: S text, E table name, N number, D date, C choice and yes/no, O lookup, U guid.
Source: fetchxml.md §6, webapi.md §8.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from adjourn.metadata import text
from adjourn.metadata.model import Column, ColumnType
from adjourn.metadata.values import moment_text
from adjourn.query import literals, windows
from adjourn.query.literals import Circumstances
from adjourn.query.windows import Bounds, Window
from adjourn.store.contract import Dialect


@dataclass(frozen=True, slots=True)
class Asked:
    """A condition's literals, where they stand in the text, and under which circumstances they are read."""

    column: Column
    values: tuple[Any, ...]
    position: int
    circumstances: Circumstances

    def raw(self, index: int) -> Any:
        return literals.raw(self.column, self.values[index], self.position, self.circumstances)

    def all_raw(self) -> list[Any]:
        c = self.circumstances
        found = (literals.raw(self.column, value, self.position, c) for value in self.values)
        return [value for value in found if value is not None]


class Site(Protocol):
    """Where a condition becomes SQL: its column there, and a way to make parameters.

    classes: what may be known of the literals when the SQL is made (`classify`), since it is kept for others.
    """

    expression: str
    column: Column
    dialect: Dialect
    classes: frozenset[str]

    def bind(self, value: Callable[[Asked], Any], cast: str | None = None) -> str:
        """The SQL of a parameter that gets this value, as PostgreSQL's type `cast` (the column's own, if None)."""
        ...


class Test(Protocol):
    """How an operator decides. `values`, in Python, are raw values; a null literal never reaches `matches`."""

    def sql(self, site: Site) -> str: ...
    def matches(self, value: Any, asked: Asked) -> bool: ...


@dataclass(frozen=True, slots=True)
class Operator:
    """One entry of the table. arity None: one value or more."""

    name: str
    arity: int | None
    families: str
    test: Test | None
    function: str | None = None
    comparable: bool = False
    """Whether it may compare a column with a column (`valueof`)."""


def family(column: Column) -> str:
    """The family of a column, as in the table."""
    kind = column.type
    if kind in (ColumnType.STRING, ColumnType.MEMO):
        return "S"
    if kind is ColumnType.ENTITYNAME:
        return "E"
    if kind in (ColumnType.DATETIME, ColumnType.DATE):
        return "D"
    if kind.is_choice or kind is ColumnType.BOOLEAN:
        return "C"
    if kind.is_lookup:
        return "O"
    if kind in (ColumnType.UNIQUEIDENTIFIER, ColumnType.FILE):
        return "U"
    return "N"


_NULL, _FOREIGN, _BRACKET = "null", "foreign", "bracket"


def classify(values: tuple[Any, ...]) -> frozenset[str]:
    """What of the literals the SQL text depends on: a null, a text beyond ASCII, a character class."""
    found = set()
    for value in values:
        if value is None:
            found.add(_NULL)
        elif isinstance(value, str):
            if not value.isascii():
                found.add(_FOREIGN)
            if "[" in value:
                found.add(_BRACKET)
    return frozenset(found)


def folded(expression: str, dialect: Dialect) -> str:
    """A text expression in the form by which texts are ordered and compared with ASCII literals."""
    return f'lower({expression} COLLATE "C") COLLATE "C"' if dialect == "postgres" else f"{expression} COLLATE NOCASE"


@dataclass(frozen=True, slots=True)
class Compare:
    """`= <> > >= < <=` with one value, or with another column of the same family."""

    symbol: str

    def sql(self, site: Site) -> str:
        if _NULL in site.classes:
            return {"=": f"{site.expression} IS NULL", "<>": f"{site.expression} IS NOT NULL"}.get(self.symbol, "FALSE")
        if family(site.column) != "S":
            plain = f"{site.expression} {self.symbol} {site.bind(_first)}"
        elif _FOREIGN in site.classes and self.symbol in ("=", "<>"):
            plain = f"fold_({site.expression}) {self.symbol} {site.bind(lambda asked: text.fold(asked.raw(0)))}"
        else:
            parameter = site.bind(lambda asked: text.ascii_fold(asked.raw(0)))
            plain = f"{folded(site.expression, site.dialect)} {self.symbol} {parameter}"
        return f"({plain} OR {site.expression} IS NULL)" if self.symbol == "<>" else plain

    def columns_sql(self, left: str, right: str, column: Column, dialect: Dialect) -> str:
        """Column with column. `<>` also holds when just one of them is null."""
        if family(column) == "S":
            left, right = folded(left, dialect), folded(right, dialect)
        return f"{left} {'IS DISTINCT FROM' if self.symbol == '<>' else self.symbol} {right}"

    def matches(self, value: Any, asked: Asked) -> bool:
        if asked.values[0] is None:
            return (value is None) if self.symbol == "=" else (value is not None and self.symbol == "<>")
        return self.columns_match(value, asked.raw(0), asked.column)

    def columns_match(self, left: Any, right: Any, column: Column) -> bool:
        if left is None or right is None:
            return self.symbol == "<>" and left is not right
        if family(column) == "S":
            if self.symbol in ("=", "<>"):
                return (text.fold(left) == text.fold(right)) == (self.symbol == "=")
            left, right = text.ascii_fold(left), text.ascii_fold(right)
        return bool(_SYMBOLS[self.symbol](left, right))


_SYMBOLS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "<>": lambda a, b: a != b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
}


def _first(asked: Asked) -> Any:
    return asked.raw(0)


@dataclass(frozen=True, slots=True)
class Pattern:
    """LIKE, with something before and after the value."""

    before: str = ""
    after: str = ""
    negative: bool = False

    def sql(self, site: Site) -> str:
        if _NULL in site.classes:
            return f"{site.expression} IS NOT NULL" if self.negative else "FALSE"
        plain = self._plain(site)
        return f"(NOT {plain} OR {site.expression} IS NULL)" if self.negative else plain

    def _plain(self, site: Site) -> str:
        foreign = _FOREIGN in site.classes
        if site.dialect == "postgres":
            subject = f"fold_({site.expression})" if foreign else folded(site.expression, site.dialect)
            if _BRACKET in site.classes:
                return f"({subject} ~ {site.bind(lambda asked: _anchored(text.fold(self._pattern(asked))))})"
            return f"({subject} LIKE {site.bind(lambda asked: text.fold(self._pattern(asked)))} ESCAPE '')"
        if foreign or _BRACKET in site.classes:
            return f"like_({site.bind(self._pattern)}, {site.expression})"
        return f"({site.expression} LIKE {site.bind(self._pattern)})"

    def _pattern(self, asked: Asked) -> str:
        value = asked.raw(0)
        if len(value) > text.PATTERN_CHARACTERS_MAX:
            raise literals.refused(
                f"A pattern may have {text.PATTERN_CHARACTERS_MAX} characters, found {len(value)}.",
                asked.position,
                asked.circumstances.language,
            )
        return f"{self.before}{value}{self.after}"

    def matches(self, value: Any, asked: Asked) -> bool:
        if asked.values[0] is None:
            return self.negative and value is not None
        if value is None:
            return self.negative
        return bool(text.like(self._pattern(asked), value)) != self.negative


def _anchored(pattern: str) -> str:
    return f"^(?:{text.to_regular_expression(pattern)})$"


@dataclass(frozen=True, slots=True)
class Null:
    """Whether there is a value."""

    negative: bool = False

    def sql(self, site: Site) -> str:
        return f"{site.expression} IS {'NOT ' if self.negative else ''}NULL"

    def matches(self, value: Any, asked: Asked) -> bool:
        return (value is None) != self.negative


@dataclass(frozen=True, slots=True)
class Member:
    """One of several values. The whole list is one parameter, so that it has no length limit and one SQL text."""

    negative: bool = False

    def sql(self, site: Site) -> str:
        textual = family(site.column) == "S"
        foreign = textual and _FOREIGN in site.classes
        fold = text.fold if foreign else text.ascii_fold if textual else None
        subject = site.expression
        if foreign:
            subject = f"fold_({subject})"
        elif textual:
            subject = folded(subject, site.dialect)
        plain = _among(site, subject, lambda asked: asked.all_raw(), fold)
        nullable = _NULL in site.classes
        if self.negative:
            return f"(NOT {plain} AND {site.expression} IS NOT NULL)" if nullable else f"({plain}) IS NOT TRUE"
        return f"({plain} OR {site.expression} IS NULL)" if nullable else plain

    def matches(self, value: Any, asked: Asked) -> bool:
        if value is None:
            return (None in asked.values) != self.negative
        fold: Callable[[Any], Any] = text.fold if family(asked.column) == "S" else lambda found: found
        return (fold(value) in {fold(found) for found in asked.all_raw()}) != self.negative


def _among(
    site: Site, subject: str, values: Callable[[Asked], list[Any]], fold: Callable[[str], str] | None = None
) -> str:
    """Whether the subject is in a list that is one parameter."""

    def value(asked: Asked) -> Any:
        found = values(asked)
        if asked.column.type in (ColumnType.DECIMAL, ColumnType.MONEY):
            # What is finer than the column can hold is equal to no row.
            found = [item for item in found if isinstance(item, int)]
        return literals.listed([fold(item) for item in found] if fold else found, asked.circumstances.dialect)

    if site.dialect == "postgres":
        return f"{subject} = ANY({site.bind(value, literals.postgres_type(site.column) + '[]')})"
    return f"{subject} IN (SELECT value FROM json_each({site.bind(value)}))"


@dataclass(frozen=True, slots=True)
class Between:
    """Between two values, both included."""

    negative: bool = False

    def sql(self, site: Site) -> str:
        if _NULL in site.classes:
            return f"{site.expression} IS NOT NULL" if self.negative else "FALSE"
        low, high = site.bind(lambda asked: asked.raw(0)), site.bind(lambda asked: asked.raw(1))
        plain = f"{site.expression} BETWEEN {low} AND {high}"
        return f"({plain}) IS NOT TRUE" if self.negative else f"({plain})"

    def matches(self, value: Any, asked: Asked) -> bool:
        if None in asked.values:
            return self.negative and value is not None
        if value is None:
            return self.negative
        return bool(asked.raw(0) <= value <= asked.raw(1)) != self.negative


@dataclass(frozen=True, slots=True)
class Own:
    """One of the caller's ids."""

    ids: Callable[[Circumstances], list[str]]
    negative: bool = False

    def sql(self, site: Site) -> str:
        plain = _among(site, site.expression, lambda asked: self.ids(asked.circumstances))
        return f"({plain}) IS NOT TRUE" if self.negative else plain

    def matches(self, value: Any, asked: Asked) -> bool:
        return (value in self.ids(asked.circumstances)) != self.negative


def _user(c: Circumstances) -> list[str]:
    return [str(c.caller.user_id)]


def _unit(c: Circumstances) -> list[str]:
    return [str(c.caller.business_unit_id)]


def _teams(c: Circumstances) -> list[str]:
    return [str(team) for team in c.caller.team_ids]


def _user_and_teams(c: Circumstances) -> list[str]:
    return _user(c) + _teams(c)


@dataclass(frozen=True, slots=True)
class Within:
    """A date in a window: low <= value < high, either end open."""

    bounds: Callable[[Asked], Bounds]
    low: bool = True
    high: bool = True
    clock: bool = False
    """It counts hours or minutes, so a column without a time of day is refused."""

    def sql(self, site: Site) -> str:
        parts = []
        if self.low:
            parts.append(f"{site.expression} >= {site.bind(lambda asked: _bound(asked, self.bounds(asked)[0]))}")
        if self.high:
            parts.append(f"{site.expression} < {site.bind(lambda asked: _bound(asked, self.bounds(asked)[1]))}")
        return f"({' AND '.join(parts)})"

    def matches(self, value: Any, asked: Asked) -> bool:
        low, high = (_bound(asked, bound) for bound in self.bounds(asked))
        return value is not None and (not self.low or value >= low) and (not self.high or value < high)


def _bound(asked: Asked, bound: datetime | None) -> str | None:
    if bound is None:
        return None
    if asked.column.type is not ColumnType.DATE:
        return moment_text(bound)
    # A day counts as its midnight: the first one that is not before the bound.
    return (bound if bound == windows.midnight(bound) else windows.shifted(bound, days=1)).date().isoformat()


def _moving(window: Window) -> Callable[[Asked], Bounds]:
    def bounds(asked: Asked) -> Bounds:
        c = asked.circumstances
        n = literals.positive(asked.column, asked.values[0], asked.position, c.language) if asked.values else 0
        return window(c.local_now, n)

    return bounds


def _that_day(asked: Asked) -> Bounds:
    c = asked.circumstances
    found = literals.day(asked.column, asked.values[0], asked.position, c)
    first = datetime(found.year, found.month, found.day, tzinfo=c.zone)
    return first, windows.shifted(first, days=1)


def _compare(name: str, symbol: str, families: str) -> Operator:
    return Operator(name, 1, families, Compare(symbol), comparable=True)


def _window(name: str, window: Window, *, arity: int = 1, low: bool = True, clock: bool = False) -> Operator:
    return Operator(name, arity, "D", Within(_moving(window), low=low, clock=clock), _camel(name))


def _later(name: str, arity: int, families: str, function: str | None = None) -> Operator:
    return Operator(name, arity, families, None, function or _camel(name))


def _camel(name: str) -> str:
    """`last-x-days` as `LastXDays`."""
    return "".join(part.capitalize() for part in name.split("-")).replace("Olderthan", "OlderThan")


_UNITS = ("days", "weeks", "months", "years")

_ALL = [
    _compare("eq", "=", "SENDCOU"),
    _compare("ne", "<>", "SENDCOU"),
    _compare("neq", "<>", "SENDCOU"),
    _compare("gt", ">", "NDSC"),
    _compare("ge", ">=", "NDSC"),
    _compare("lt", "<", "NDSC"),
    _compare("le", "<=", "NDSC"),
    Operator("like", 1, "S", Pattern()),
    Operator("not-like", 1, "S", Pattern(negative=True)),
    Operator("begins-with", 1, "S", Pattern(after="%")),
    Operator("not-begin-with", 1, "S", Pattern(after="%", negative=True)),
    Operator("ends-with", 1, "S", Pattern(before="%")),
    Operator("not-end-with", 1, "S", Pattern(before="%", negative=True)),
    Operator("null", 0, "SENDCOU", Null()),
    Operator("not-null", 0, "SENDCOU", Null(negative=True)),
    Operator("in", None, "SENDCOU", Member(), "In"),
    Operator("not-in", None, "SENDCOU", Member(negative=True), "NotIn"),
    Operator("between", 2, "NDC", Between(), "Between"),
    Operator("not-between", 2, "NDC", Between(negative=True), "NotBetween"),
    Operator("eq-userid", 0, "OU", Own(_user), "EqualUserId"),
    Operator("ne-userid", 0, "OU", Own(_user, negative=True), "NotEqualUserId"),
    Operator("eq-userteams", 0, "OU", Own(_teams), "EqualUserTeams"),
    Operator("eq-useroruserteams", 0, "OU", Own(_user_and_teams), "EqualUserOrUserTeams"),
    Operator("eq-businessid", 0, "OU", Own(_unit), "EqualBusinessId"),
    Operator("ne-businessid", 0, "OU", Own(_unit, negative=True), "NotEqualBusinessId"),
    Operator("on", 1, "D", Within(_that_day), "On"),
    Operator("on-or-before", 1, "D", Within(_that_day, low=False), "OnOrBefore"),
    Operator("on-or-after", 1, "D", Within(_that_day, high=False), "OnOrAfter"),
    _window("yesterday", windows.day(-1), arity=0),
    _window("today", windows.day(0), arity=0),
    _window("tomorrow", windows.day(1), arity=0),
    Operator("last-seven-days", 0, "D", Within(_moving(windows.last_seven_days)), "Last7Days"),
    Operator("next-seven-days", 0, "D", Within(_moving(windows.next_seven_days)), "Next7Days"),
    *(
        _window(f"{word}-{unit}", windows.unit(unit, offset), arity=0)
        for unit in ("week", "month", "year")
        for word, offset in (("last", -1), ("this", 0), ("next", 1))
    ),
    _window("last-x-hours", windows.last_hours, clock=True),
    *(_window(f"last-x-{units}", windows.last(units[:-1])) for units in _UNITS),
    _window("next-x-hours", windows.next_hours, clock=True),
    *(_window(f"next-x-{units}", windows.following(units[:-1])) for units in _UNITS),
    _window("olderthan-x-minutes", windows.older_minutes, low=False, clock=True),
    _window("olderthan-x-hours", windows.older_hours, low=False, clock=True),
    *(_window(f"olderthan-x-{units}", windows.older(units[:-1]), low=False) for units in _UNITS),
    # Known, and refused by name: they need an organization's fiscal year, a hierarchy, or multi-choice columns.
    _later("contain-values", 1, "C"),
    _later("not-contain-values", 1, "C", "DoesNotContainValues"),
    _later("eq-useroruserhierarchy", 0, "OU", "EqualUserOrUserHierarchy"),
    _later("eq-useroruserhierarchyandteams", 0, "OU", "EqualUserOrUserHierarchyAndTeams"),
    _later("eq-userlanguage", 0, "N", "EqualUserLanguage"),
    _later("under", 1, "OU"),
    _later("eq-or-under", 1, "OU", "UnderOrEqual"),
    _later("not-under", 1, "OU"),
    _later("above", 1, "OU"),
    _later("eq-or-above", 1, "OU", "AboveOrEqual"),
    *(_later(f"{word}-fiscal-{unit}", 0, "D") for word in ("this", "last", "next") for unit in ("year", "period")),
    *(_later(f"{word}-x-fiscal-{units}", 1, "D") for word in ("last", "next") for units in ("years", "periods")),
    _later("in-fiscal-year", 1, "D"),
    _later("in-fiscal-period", 1, "D"),
    _later("in-fiscal-period-and-year", 2, "D"),
    _later("in-or-before-fiscal-period-and-year", 2, "D"),
    _later("in-or-after-fiscal-period-and-year", 2, "D"),
]

OPERATORS: Mapping[str, Operator] = {operator.name: operator for operator in _ALL}
"""All operators by their FetchXML names."""

ODATA_FUNCTIONS: Mapping[str, str] = {operator.function: operator.name for operator in _ALL if operator.function}
"""FetchXML names by the name of the Web API's query function, without its namespace."""
