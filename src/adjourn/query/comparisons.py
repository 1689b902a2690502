"""The tests of values: equal, less, like, null, one of several, between, and what a value of several choices contains.

Text is compared without regard to case; a negative test keeps rows whose value is null. Source: fetchxml.md §4 and §6.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from adjourn.metadata import text
from adjourn.metadata.model import Column
from adjourn.query import literals
from adjourn.query.conditions import BRACKET, FOREIGN, NULL, Asked, Site, among, family, folded
from adjourn.store.contract import Dialect


@dataclass(frozen=True, slots=True)
class Compare:
    """`= <> > >= < <=` with one value, or with another column of the same family."""

    symbol: str

    def sql(self, site: Site) -> str:
        if NULL in site.classes:
            return {"=": f"{site.expression} IS NULL", "<>": f"{site.expression} IS NOT NULL"}.get(self.symbol, "FALSE")
        if family(site.column) != "S":
            plain = f"{site.expression} {self.symbol} {site.bind(_first)}"
        elif FOREIGN in site.classes and self.symbol in ("=", "<>"):
            plain = f"fold_({site.expression}) {self.symbol} {site.bind(lambda asked: text.fold(asked.raw(0)))}"
        else:
            parameter = site.bind(lambda asked: text.ascii_fold(asked.raw(0)))
            plain = f"{folded(site.expression, site.dialect)} {self.symbol} {parameter}"
        return f"({plain} OR {site.expression} IS NULL)" if self.symbol == "<>" else plain

    def columns_sql(self, left: str, right: str, column: Column, dialect: Dialect) -> str:
        """Column with column. `<>` also holds when just one of them is null."""
        if family(column) == "S" and self.symbol in ("=", "<>"):
            left, right = f"fold_({left})", f"fold_({right})"
        elif family(column) == "S":
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
        if NULL in site.classes:
            return f"{site.expression} IS NOT NULL" if self.negative else "FALSE"
        plain = self._plain(site)
        return f"(NOT {plain} OR {site.expression} IS NULL)" if self.negative else plain

    def _plain(self, site: Site) -> str:
        foreign = FOREIGN in site.classes
        if site.dialect == "postgres":
            subject = f"fold_({site.expression})" if foreign else folded(site.expression, site.dialect)
            if BRACKET in site.classes:
                return f"({subject} ~ {site.bind(lambda asked: _anchored(text.fold(self._pattern(asked))))})"
            return f"({subject} LIKE {site.bind(lambda asked: text.fold(self._pattern(asked)))} ESCAPE '')"
        if foreign or BRACKET in site.classes:
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
    """One of several values."""

    negative: bool = False

    def sql(self, site: Site) -> str:
        textual = family(site.column) == "S"
        foreign = textual and FOREIGN in site.classes
        fold = text.fold if foreign else text.ascii_fold if textual else None
        subject = site.expression
        if foreign:
            subject = f"fold_({subject})"
        elif textual:
            subject = folded(subject, site.dialect)
        plain = among(site, subject, lambda asked: asked.all_raw(), fold)
        nullable = NULL in site.classes
        if self.negative:
            return f"(NOT {plain} AND {site.expression} IS NOT NULL)" if nullable else f"({plain}) IS NOT TRUE"
        return f"({plain} OR {site.expression} IS NULL)" if nullable else plain

    def matches(self, value: Any, asked: Asked) -> bool:
        if value is None:
            return (None in asked.values) != self.negative
        fold: Callable[[Any], Any] = text.fold if family(asked.column) == "S" else lambda found: found
        return (fold(value) in {fold(found) for found in asked.all_raw()}) != self.negative


@dataclass(frozen=True, slots=True)
class Between:
    """Between two values, both included."""

    negative: bool = False

    def sql(self, site: Site) -> str:
        if NULL in site.classes:
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
class Contains:
    """A value of several choices that holds at least one of the options."""

    negative: bool = False

    def sql(self, site: Site) -> str:
        if site.dialect == "postgres":
            plain = f"string_to_array({site.expression}, ',') && {site.bind(self._listed, 'text[]')}"
        else:
            listed = f"SELECT 1 FROM json_each({site.bind(self._listed)}) AS j"
            plain = f"EXISTS ({listed} WHERE instr(',' || {site.expression} || ',', ',' || j.value || ',') > 0)"
        return f"({plain}) IS NOT TRUE" if self.negative else f"({plain})"

    def _listed(self, asked: Asked) -> Any:
        return literals.listed(sorted(self._options(asked)), asked.circumstances.dialect)

    @staticmethod
    def _options(asked: Asked) -> set[str]:
        return {option for value in asked.all_raw() for option in value.split(",")}

    def matches(self, value: Any, asked: Asked) -> bool:
        if value is None:
            return self.negative
        return bool(asked.once(self._options) & set(value.split(","))) != self.negative
