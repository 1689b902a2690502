"""All condition operators as one table: FetchXML's operators and the Web API's query functions are one list.

Each entry: its FetchXML name, the Web API function (without `Microsoft.Dynamics.CRM.`), how many values it takes, the
families of columns it fits (`conditions.family`), and its test. docs/queries.md shows the table to people.
Rules that hold for all: text is compared without regard to case; a negative operator keeps rows whose value is null.
Source: fetchxml.md §6, webapi.md §8.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from adjourn.query import own, windows, within
from adjourn.query.comparisons import Between, Compare, Contains, Member, Null, Pattern
from adjourn.query.conditions import Test
from adjourn.query.hierarchy import Related
from adjourn.query.own import Language, Own, Reports
from adjourn.query.windows import Window
from adjourn.query.within import InPeriod, Within


@dataclass(frozen=True, slots=True)
class Operator:
    """One entry of the table. arity None: one value or more."""

    name: str
    arity: int | None
    families: str
    test: Test
    function: str | None = None
    comparable: bool = False
    """Whether it may compare a column with a column (`valueof`)."""


def _compare(name: str, symbol: str, families: str) -> Operator:
    return Operator(name, 1, families, Compare(symbol), comparable=True)


def _window(name: str, window: Window, *, arity: int = 1, low: bool = True, clock: bool = False) -> Operator:
    return Operator(name, arity, "D", Within(within.moving(window), low=low, clock=clock), _camel(name))


def _camel(name: str) -> str:
    """`last-x-days` as `LastXDays`."""
    return "".join(part.capitalize() for part in name.split("-")).replace("Olderthan", "OlderThan")


_UNITS = ("days", "weeks", "months", "years")
_ANY = "SENDCMOU"

_ALL = [
    _compare("eq", "=", _ANY),
    _compare("ne", "<>", _ANY),
    _compare("neq", "<>", _ANY),
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
    Operator("null", 0, _ANY, Null()),
    Operator("not-null", 0, _ANY, Null(negative=True)),
    Operator("in", None, _ANY, Member(), "In"),
    Operator("not-in", None, _ANY, Member(negative=True), "NotIn"),
    Operator("between", 2, "NDC", Between(), "Between"),
    Operator("not-between", 2, "NDC", Between(negative=True), "NotBetween"),
    Operator("contain-values", None, "M", Contains(), "ContainValues"),
    Operator("not-contain-values", None, "M", Contains(negative=True), "DoesNotContainValues"),
    Operator("eq-userid", 0, "OU", Own(own.user), "EqualUserId"),
    Operator("ne-userid", 0, "OU", Own(own.user, negative=True), "NotEqualUserId"),
    Operator("eq-userteams", 0, "OU", Own(own.teams), "EqualUserTeams"),
    Operator("eq-useroruserteams", 0, "OU", Own(own.user_and_teams), "EqualUserOrUserTeams"),
    Operator("eq-useroruserhierarchy", 0, "OU", Reports(), "EqualUserOrUserHierarchy"),
    Operator("eq-useroruserhierarchyandteams", 0, "OU", Reports(with_teams=True), "EqualUserOrUserHierarchyAndTeams"),
    Operator("eq-businessid", 0, "OU", Own(own.unit), "EqualBusinessId"),
    Operator("ne-businessid", 0, "OU", Own(own.unit, negative=True), "NotEqualBusinessId"),
    Operator("eq-userlanguage", 0, "N", Language(), "EqualUserLanguage"),
    Operator("under", 1, "OU", Related(), "Under"),
    Operator("eq-or-under", 1, "OU", Related(itself=True), "UnderOrEqual"),
    Operator("not-under", 1, "OU", Related(negative=True), "NotUnder"),
    Operator("above", 1, "OU", Related(upwards=True), "Above"),
    Operator("eq-or-above", 1, "OU", Related(upwards=True, itself=True), "AboveOrEqual"),
    Operator("on", 1, "D", Within(within.that_day), "On"),
    Operator("on-or-before", 1, "D", Within(within.that_day, low=False), "OnOrBefore"),
    Operator("on-or-after", 1, "D", Within(within.that_day, high=False), "OnOrAfter"),
    _window("yesterday", windows.day(-1), arity=0),
    _window("today", windows.day(0), arity=0),
    _window("tomorrow", windows.day(1), arity=0),
    Operator("last-seven-days", 0, "D", Within(within.moving(windows.last_seven_days)), "Last7Days"),
    Operator("next-seven-days", 0, "D", Within(within.moving(windows.next_seven_days)), "Next7Days"),
    *(
        _window(f"{word}-{unit}", windows.unit(unit, offset), arity=0)
        for unit in ("week", "month", "year", "fiscal-year", "fiscal-period")
        for word, offset in (("last", -1), ("this", 0), ("next", 1))
    ),
    _window("last-x-hours", windows.last_hours, clock=True),
    *(_window(f"last-x-{units}", windows.last(units[:-1])) for units in (*_UNITS, "fiscal-years", "fiscal-periods")),
    _window("next-x-hours", windows.next_hours, clock=True),
    *(
        _window(f"next-x-{units}", windows.following(units[:-1]))
        for units in (*_UNITS, "fiscal-years", "fiscal-periods")
    ),
    _window("olderthan-x-minutes", windows.older_minutes, low=False, clock=True),
    _window("olderthan-x-hours", windows.older_hours, low=False, clock=True),
    *(_window(f"olderthan-x-{units}", windows.older(units[:-1]), low=False) for units in _UNITS),
    Operator("in-fiscal-year", 1, "D", Within(within.that_fiscal_year), "InFiscalYear"),
    Operator("in-fiscal-period", 1, "D", InPeriod(), "InFiscalPeriod"),
    Operator("in-fiscal-period-and-year", 2, "D", Within(within.that_fiscal_period), "InFiscalPeriodAndYear"),
    Operator(
        "in-or-before-fiscal-period-and-year",
        2,
        "D",
        Within(within.that_fiscal_period, low=False),
        "InOrBeforeFiscalPeriodAndYear",
    ),
    Operator(
        "in-or-after-fiscal-period-and-year",
        2,
        "D",
        Within(within.that_fiscal_period, high=False),
        "InOrAfterFiscalPeriodAndYear",
    ),
]

OPERATORS: Mapping[str, Operator] = {operator.name: operator for operator in _ALL}
"""All operators by their FetchXML names."""

ODATA_FUNCTIONS: Mapping[str, str] = {operator.function: operator.name for operator in _ALL if operator.function}
"""FetchXML names by the name of the Web API's query function, without its namespace."""

REFUSED_FUNCTIONS: Mapping[str, str] = {
    "Contains": "it searches the full-text index of tables that have one, and none has; contains(property,'text') "
    "looks for a part of a text",
}
"""Query functions that Dataverse documents and we do not have, with what to do instead."""
