"""QueryExpression, as JSON, as a query tree: the form in which BulkDelete takes its queries.

Both of the forms that clients send are read: the Web API's (`FilterOperator`, `Conditions`, operators by name, values as
`{"Value": "1", "Type": "System.Int32"}`) and what C# serializers make of the class, with members that say nothing
(`ExtensionData`, `HasLazyFileAttribute`, …), enumerations as numbers, and values as they are. A member that is not known
is refused by name. Beside it a text or `{"Query": "<fetch…"}` (FetchExpression) is read as FetchXML.
Source: messages.md, "BulkDelete"; clients.md; the classes QueryExpression, FilterExpression, ConditionExpression,
LinkEntity and OrderExpression of the SDK.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from adjourn import config, errors
from adjourn.errors import QueryError, nearest
from adjourn.metadata.model import Catalog
from adjourn.query import fetchxml
from adjourn.query.operators import OPERATORS
from adjourn.query.tree import Attribute, Condition, Filter, Link, Order, Page, Query

_IGNORED = frozenset(
    ("extensiondata", "nolock", "queryhints", "forceseek", "subqueryexpression", "hint", "filterhint",
     "isquickfindfilter", "anyallfilterlinkentity", "datasource", "queryid")
)  # fmt: skip
"""Members that mean nothing for what is found, as long as they have no value or say no more than the default."""
_HARMLESS = frozenset(("extensiondata", "nolock", "queryhints", "forceseek", "filterhint", "hint"))
"""Those of them that may even have a value."""
_NUMBERED = (
    "Equal", "NotEqual", "GreaterThan", "LessThan", "GreaterEqual", "LessEqual", "Like", "NotLike", "In", "NotIn", "Between",
    "NotBetween", "Null", "NotNull", "Yesterday", "Today", "Tomorrow", "Last7Days", "Next7Days", "LastWeek", "ThisWeek",
    "NextWeek", "LastMonth", "ThisMonth", "NextMonth", "On", "OnOrBefore", "OnOrAfter", "LastYear", "ThisYear", "NextYear",
    "LastXHours", "NextXHours", "LastXDays", "NextXDays", "LastXWeeks", "NextXWeeks", "LastXMonths", "NextXMonths",
    "LastXYears", "NextXYears", "EqualUserId", "NotEqualUserId", "EqualBusinessId", "NotEqualBusinessId", "ChildOf", "Mask",
    "NotMask", "MasksSelect", "Contains", "DoesNotContain", "EqualUserLanguage", "NotOn", "OlderThanXMonths", "BeginsWith",
    "DoesNotBeginWith", "EndsWith", "DoesNotEndWith",
)  # fmt: skip
"""ConditionOperator by number, as far as serializers that write numbers are sure to mean it."""
_BASIC = {
    "Equal": "eq", "NotEqual": "ne", "GreaterThan": "gt", "LessThan": "lt", "GreaterEqual": "ge", "LessEqual": "le",
    "Like": "like", "NotLike": "not-like", "Null": "null", "NotNull": "not-null", "BeginsWith": "begins-with",
    "DoesNotBeginWith": "not-begin-with", "EndsWith": "ends-with", "DoesNotEndWith": "not-end-with",
    "EqualUserOrUserTeams": "eq-useroruserteams", "EqualUserTeams": "eq-userteams",
}  # fmt: skip
OPERATOR_NAMES = {**{found.function: name for name, found in OPERATORS.items() if found.function}, **_BASIC}
"""FetchXML's operators by the names of ConditionOperator."""
_JOINS = {"inner": "inner", "leftouter": "outer", "natural": "inner", "exists": "exists", "in": "in"}
_JOIN_NUMBERS = ("Inner", "LeftOuter", "Natural")
_LOGICAL = {"and": "and", "or": "or", "0": "and", "1": "or"}
_ASCENDING = {"ascending": False, "descending": True, "0": False, "1": True}
_DEPTH_MAX = config.NESTING_MAX


def parse(found: Any, catalog: Catalog) -> Query:
    """One query of a QuerySet. Raises QueryError naming the member, TooLarge."""
    if isinstance(found, str):
        return fetchxml.parse(found, catalog)
    members = _Members(found, "query")
    if "query" in members.given:
        members.only("query")
        text = members.take("query")
        if not isinstance(text, str):
            raise _wrong("Query", "a text of FetchXML", text)
        return fetchxml.parse(text, catalog)
    table = members.text("entityname")
    members.take("columnset")  # a bulk delete, and whoever else takes a query in JSON, asks for records
    filter_ = _filter(members.take("criteria"), 0)
    orders = tuple(_order(item) for item in members.items("orders"))
    links = tuple(_link(item, table, 0, place) for place, item in enumerate(members.items("linkentities")))
    distinct = members.take("distinct")
    top = members.take("topcount")
    page = members.take("pageinfo")
    members.end()
    if top is not None and (not isinstance(top, int) or isinstance(top, bool) or not 1 <= top <= config.PAGE_ROWS_MAX):
        raise _wrong("TopCount", f"a whole number from 1 to {config.PAGE_ROWS_MAX:,}", top)
    if not isinstance(distinct, bool | None):
        raise _wrong("Distinct", "true or false", distinct)
    _unpaged(page)
    return Query(
        table,
        (Attribute(catalog.table(table).primary_id),),
        links=links,
        filter=filter_,
        orders=orders,
        distinct=bool(distinct),
        top=top,
        page=Page(),
        language="fetchxml",
    )


def _filter(found: Any, depth: int) -> Filter | None:
    if found is None:
        return None
    if depth > _DEPTH_MAX:
        raise QueryError(f"The filters of a query may be nested {_DEPTH_MAX} deep.", code=errors.ODATA_BAD_PAYLOAD)
    members = _Members(found, "filter")
    kind = _chosen(members.take("filteroperator", 0), _LOGICAL, "FilterOperator", "And or Or")
    parts: list[Condition | Filter] = [_condition(item) for item in members.items("conditions")]
    parts += [inner for item in members.items("filters") if (inner := _filter(item, depth + 1)) is not None]
    members.end()
    return Filter(kind, tuple(parts))


def _condition(found: Any) -> Condition:
    members = _Members(found, "condition")
    column = members.text("attributename")
    operator = _operator(members.take("operator", 0))
    entity = members.take("entityname")
    columns = members.take("comparecolumns", False)
    values = members.take("values")
    members.end()
    if entity is not None and not isinstance(entity, str):
        raise _wrong("EntityName", "the alias of a link", entity)
    taken = _values(values)
    if columns is True:
        if len(taken) != 1 or not isinstance(taken[0], str):
            raise _wrong("Values", "one column, because CompareColumns is true,", values)
        return Condition(column, operator, (), entity or None, valueof=(None, taken[0]))
    if OPERATORS[operator].arity == 0:
        taken = []
    return Condition(column, operator, tuple(taken), entity or None)


def _values(found: Any) -> list[Any]:
    if found is None:
        return []
    if not isinstance(found, list):
        raise _wrong("Values", "an array", found)
    return [_value(item) for item in found]


def _value(found: Any) -> Any:
    """A value as it stands, or as the Web API's Object: {"Value": "…", "Type": "System.Guid"}."""
    if isinstance(found, Mapping):
        members = _Members(found, "value")
        members.take("type")
        inner = members.take("value")
        members.end()
        found = inner
    if isinstance(found, bool):
        return "true" if found else "false"
    if isinstance(found, int | float | Decimal):
        return str(found)
    if isinstance(found, str):
        return found
    raise _wrong("Values", "texts, numbers, booleans or objects with Value and Type", found)


def _operator(found: Any) -> str:
    if isinstance(found, int) and not isinstance(found, bool):
        found = _NUMBERED[found] if 0 <= found < len(_NUMBERED) else str(found)
    name = OPERATOR_NAMES.get(found) if isinstance(found, str) else None
    if name is None and isinstance(found, str):
        lowered = {known.lower(): fetch for known, fetch in OPERATOR_NAMES.items()}
        name = lowered.get(found.lower()) or (found if found in OPERATORS else None)
    if name is None:
        raise QueryError(
            f"Operator {errors.clean(repr(found))[:60]} of a condition is not known.{nearest(str(found), OPERATOR_NAMES)}",
            code=0x80041107,
        )
    return name


def _order(found: Any) -> Order:
    members = _Members(found, "order")
    column = members.text("attributename")
    descending = _chosen(members.take("ordertype", 0), _ASCENDING, "OrderType", "Ascending or Descending")
    entity = members.take("entityname")
    for empty in ("alias", "entityalias"):
        if members.take(empty) not in (None, ""):
            raise _wrong(empty, "left out: a query without aggregates has none", "a value")
    members.end()
    return Order(column, descending=descending, entity=entity or None)


def _link(found: Any, parent: str, depth: int, place: int) -> Link:
    if depth > _DEPTH_MAX:
        raise QueryError(f"The links of a query may be nested {_DEPTH_MAX} deep.", code=errors.ODATA_BAD_PAYLOAD)
    members = _Members(found, "link")
    from_table = members.take("linkfromentityname")
    if from_table not in (None, "", parent):
        raise _wrong("LinkFromEntityName", f"'{parent}', the table that the link stands in,", from_table)
    to = members.text("linkfromattributename")
    table = members.text("linktoentityname")
    from_ = members.text("linktoattributename")
    join = members.take("joinoperator", 0)
    if isinstance(join, int) and not isinstance(join, bool) and 0 <= join < len(_JOIN_NUMBERS):
        join = _JOIN_NUMBERS[join]
    kind = _chosen(join, _JOINS, "JoinOperator", "Inner, LeftOuter, Natural, Exists or In")
    alias = members.take("entityalias") or f"{table}_{depth}_{place}"
    filter_ = _filter(members.take("linkcriteria"), 0)
    members.take("columns")
    orders = tuple(_order(item) for item in members.items("orders"))
    links = tuple(_link(item, table, depth + 1, number) for number, item in enumerate(members.items("linkentities")))
    members.end()
    if not isinstance(alias, str):
        raise _wrong("EntityAlias", "a text", alias)
    return Link(table, from_, to, alias, kind, filter=filter_, orders=orders, links=links)


def _unpaged(found: Any) -> None:
    """Pages mean nothing where all that is found is meant; a page of the client's own would be forgotten rows."""
    if found is None:
        return
    members = _Members(found, "page")
    count, number = members.take("count", 0), members.take("pagenumber", 0)
    cookie = members.take("pagingcookie")
    members.take("returntotalrecordcount")
    members.end()
    if number not in (None, 0, 1) or cookie or count not in (None, 0):
        raise QueryError("PageInfo cannot choose a page here: all records that are found are meant; use TopCount.")


def _chosen(found: Any, known: Mapping[str, Any], member: str, accepted: str) -> Any:
    name = str(found).lower() if isinstance(found, str | int) and not isinstance(found, bool) else ""
    if name not in known:
        raise _wrong(member, accepted, found)
    return known[name]


def _wrong(member: str, accepted: str, found: Any) -> QueryError:
    return QueryError(
        f"'{member}' of a query must be {accepted}, found {errors.clean(repr(found))[:60]}.",
        code=errors.ODATA_BAD_PAYLOAD,
    )


class _Members:
    """The members of one object, taken one after the other; whatever is left at the end is not known."""

    def __init__(self, found: Any, what: str) -> None:
        if not isinstance(found, Mapping):
            raise QueryError(
                f"A {what} of a QuerySet must be a JSON object, found {errors.clean(repr(found))[:60]}.",
                code=errors.ODATA_BAD_PAYLOAD,
            )
        self._what = what
        self.given = {str(name).lower(): (str(name), value) for name, value in found.items() if "@" not in str(name)}
        self._taken: list[str] = []

    def take(self, name: str, default: Any = None) -> Any:
        """A member's value; `default` where it is left out or null."""
        self._taken.append(name)
        _, value = self.given.pop(name, (name, None))
        return default if value is None else value

    def text(self, name: str) -> str:
        """A member that must be there and be a text."""
        shown = self.given.get(name, (name, None))[0]
        value = self.take(name)
        if not isinstance(value, str) or not value:
            raise QueryError(f"A {self._what} needs '{shown}', a text.", code=errors.ODATA_BAD_PAYLOAD)
        return value

    def items(self, name: str) -> Sequence[Any]:
        """A member that is an array."""
        shown = self.given.get(name, (name, None))[0]
        value = self.take(name, [])
        if not isinstance(value, list):
            raise _wrong(shown, "an array", value)
        return value

    def only(self, name: str) -> None:
        """Nothing but this member."""
        others = [shown for key, (shown, value) in self.given.items() if key != name and value is not None]
        if others:
            raise QueryError(
                f"A FetchExpression has a 'Query' and no '{others[0][:60]}'.", code=errors.ODATA_BAD_PAYLOAD
            )

    def end(self) -> None:
        """Refuse what is not known."""
        for key, (shown, value) in self.given.items():
            if key in _IGNORED or key.startswith("has"):
                if value in (None, False, "", [], {}) or key in _HARMLESS or value == "live":
                    continue
                raise QueryError(f"'{shown}' of a {self._what} is not supported.", code=errors.ODATA_BAD_PAYLOAD)
            raise QueryError(
                f"A {self._what} of a QuerySet has no member '{shown[:60]}'.{nearest(key, self._taken)}",
                code=errors.ODATA_BAD_PAYLOAD,
            )
