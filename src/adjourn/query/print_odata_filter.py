"""Filters and links of the tree as the text of a `$filter`. See `print_odata`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from adjourn.errors import NotSupported
from adjourn.metadata.model import Catalog, Column, Table
from adjourn.metadata.values import moment_text, moment_wire
from adjourn.query.conditions import family
from adjourn.query.odata_related import holds_for_null
from adjourn.query.operators import ODATA_FUNCTIONS, OPERATORS
from adjourn.query.print_constants import without_constants
from adjourn.query.print_relations import collection_of, lookup_of, refused
from adjourn.query.tree import Condition, Filter, Link, Query, Related

_COMPARISONS = {"eq": "eq", "ne": "ne", "neq": "ne", "gt": "gt", "ge": "ge", "lt": "lt", "le": "le"}
_TEXT_FUNCTIONS = {"begins-with": "startswith", "ends-with": "endswith"}
_NEGATIONS = {"not-like": "like", "not-begin-with": "begins-with", "not-end-with": "ends-with"}
_FUNCTIONS = {operator: function for function, operator in ODATA_FUNCTIONS.items()}
_LISTS = ("not-in", "between", "not-between", "contain-values", "not-contain-values")
_SEMI_KINDS = {"exists": "any", "in": "any"}
_GUID = re.compile(r"\{?([0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})\}?")
_NUMBER = re.compile(r"[+-]?[0-9]{1,400}(\.[0-9]{1,400})?")
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,12})?)?(Z|[+-][0-9]{2}:?[0-9]{2})"
)
_BOOLEANS = {"0": "false", "1": "true", "true": "true", "false": "false"}


@dataclass(frozen=True, slots=True)
class Place:
    """A table in the question and the path that leads to its columns (`primarycontactid/`, or a variable's `x1/`)."""

    table: Table
    prefix: str = ""
    navigation: str = ""

    def column(self, name: str) -> Column:
        found = self.table.columns.get(name)
        if found is None or found.property not in self.table.by_property:
            raise _refused(f"'{name}' is no property of '{self.table.logical}'.")
        return found

    def path(self, name: str) -> str:
        return self.prefix + self.column(name).property


Places = Mapping[str, Place]


def join_kind(link: Link) -> str | None:
    """ "inner" or "outer" for a link whose columns can be named; None for one that only asks whether there are rows."""
    return "inner" if link.kind in ("inner", "natural") else "outer" if link.kind == "outer" else None


class FilterPrinter:
    """Prints the filters of one query. language: that of the tree, whose texts FetchXML left without a type."""

    def __init__(self, catalog: Catalog, language: str) -> None:
        self._catalog = catalog
        self._typed = language != "fetchxml"
        self._variables = 0

    def places(self, links: tuple[Link, ...], parent: Table, prefix: str = "") -> dict[str, Place]:
        """The joined links by alias: where their columns are found."""
        found: dict[str, Place] = {}
        for link in links:
            if join_kind(link) is None:
                continue
            relationship = lookup_of(link, parent)
            if relationship is None:
                raise _refused(
                    f"link '{link.alias}' to '{link.table}' from '{parent.logical}.{link.to}', which is no lookup to it."
                )
            table = self._catalog.table(link.table)
            inner = f"{prefix}{relationship.navigation}/"
            found[link.alias] = Place(table, inner, relationship.navigation)
            found.update(self.places(link.links, table, inner))
        return found

    def place(self, places: Places, entity: str | None, table: Table) -> Place:
        if entity is None:
            return Place(table)
        found = places.get(entity)
        if found is None:
            raise _refused(f"a column of '{entity}', which is no link that is joined.")
        return found

    def of_query(self, query: Query, table: Table, places: Places) -> Iterator[str]:
        """What a row of the query must be: parts to be joined by `and`."""
        root = Place(table)
        if query.filter is not None:
            yield from self._and(query.filter, root, places)
        yield from self._links(query.links, root, places)

    def _links(self, links: tuple[Link, ...], parent: Place, places: Places) -> Iterator[str]:
        """What the links ask of a row of their parent."""
        for link in links:
            kind = join_kind(link)
            if kind is None:
                if link.kind not in _SEMI_KINDS:
                    raise _refused(f"a link of type '{link.kind}'.")
                yield self._related(link, _SEMI_KINDS[link.kind], parent)
                continue
            place = places[link.alias]
            if kind == "outer" and (link.filter is not None or not _only_outer(link)):
                raise _refused(f"a filter, or a link of another type, inside the outer link '{link.alias}'.")
            if kind == "inner":
                yield f"{place.path(place.table.primary_id)} ne null"
            if link.filter is not None:
                yield from self._and(link.filter, place, places)
            yield from self._links(link.links, place, places)

    def _and(self, tree: Filter, place: Place, places: Places) -> Iterator[str]:
        """A filter as parts to be joined by `and`."""
        kept = without_constants(tree)
        if kept is False:
            raise _refused("a filter that is never true.")
        if not isinstance(kept, Filter):
            return
        if kept.kind == "and" and not kept.negated:
            yield from (self._part(part, place, places) for part in kept.conditions)
        else:
            yield self._filter(kept, place, places)

    def _filter(self, tree: Filter, place: Place, places: Places) -> str:
        parts = [self._part(part, place, places) for part in tree.conditions]
        text = parts[0] if len(parts) == 1 else f"({f' {tree.kind} '.join(parts)})"
        if not tree.negated:
            return text
        return f"not {text}" if len(parts) > 1 else f"not ({text})"

    def _part(self, part: Condition | Filter | Related, place: Place, places: Places) -> str:
        if isinstance(part, Filter):
            return self._filter(part, place, places)
        if isinstance(part, Related):
            return self._related(part.link, part.link.kind, place)
        at = places.get(part.entity or "", place) if part.entity is not None else place
        if part.entity is not None and part.entity not in places:
            raise _refused(f"a condition on '{part.entity}', which is no link that is joined.")
        return self._condition(part, at, place, places)

    # Links to collections

    def _related(self, link: Link, kind: str, parent: Place) -> str:
        hop = lookup_of(link, parent.table)
        if hop is not None and kind in ("any", "not any"):
            return self._reached(link, hop.navigation, kind, parent)
        found = collection_of(link, parent.table)
        if found is None or parent.navigation:
            raise _refused(f"link '{link.alias}' to '{link.table}', which is no collection of the table itself.")
        name, target = found
        path = parent.prefix + name
        if kind == "all":
            # FetchXML's "all": there are rows, and none of them fits.
            return f"({path}/any() and not {self._lambda(path, 'any', target, target.filter)})"
        filter_ = target.filter
        if kind == "not any" and filter_ is not None and filter_.negated and filter_.conditions:
            return self._lambda(path, "all", target, Filter(filter_.kind, filter_.conditions))
        text = self._lambda(path, "any", target, filter_)
        return f"not {text}" if kind == "not any" else text

    def _reached(self, link: Link, navigation: str, kind: str, parent: Place) -> str:
        """A link along a lookup, which asks whether there is such a record: conditions at the end of a path."""
        _check_joins(link)
        place = Place(self._catalog.table(link.table), f"{parent.prefix}{navigation}/", navigation)
        tree = link.filter
        single = tree.conditions[0] if tree is not None and len(tree.conditions) == 1 else None
        if isinstance(single, Condition) and tree is not None and tree.negated == holds_for_null(single):
            # True of a missing record exactly when it is asked by "not any": a plain condition on the path.
            if tree.negated and kind == "not any":
                return self._condition(single, place, place, {})
            if not tree.negated:
                text = self._condition(single, place, place, {})
                return text if kind == "any" else f"not ({text})"
        if isinstance(single, Related) and tree is not None and not tree.negated and single.link.kind == "any":
            hop = lookup_of(single.link, place.table)
            if hop is not None:
                return self._reached(single.link, hop.navigation, kind, place)
        parts = [f"{place.path(place.table.primary_id)} ne null"]
        parts += self._and(tree, place, {}) if tree is not None else []
        parts += self._links(link.links, place, {})
        text = f"({' and '.join(parts)})"
        return text if kind == "any" else f"not {text}"

    def _lambda(self, path: str, word: str, target: Link, tree: Filter | None) -> str:
        self._variables += 1
        variable = f"x{self._variables}"
        place = Place(self._catalog.table(target.table), f"{variable}/")
        _check_joins(target)
        parts = list(self._and(tree, place, {})) if tree is not None else []
        parts += self._links(target.links, place, {})
        return f"{path}/{word}({variable}:{' and '.join(parts)})" if parts else f"{path}/{word}()"

    # Conditions

    def _condition(self, condition: Condition, at: Place, place: Place, places: Places) -> str:
        operator, values = condition.operator, condition.values
        column = at.column(condition.column)
        name = at.prefix + column.property
        if operator in _NEGATIONS:
            return f"not {self._text_function(_NEGATIONS[operator], name, condition)}"
        if operator in ("like", *_TEXT_FUNCTIONS):
            return self._text_function(operator, name, condition)
        if operator in ("null", "not-null"):
            return f"{name} {'eq' if operator == 'null' else 'ne'} null"
        if operator in _COMPARISONS and condition.valueof is not None:
            entity, other = condition.valueof
            right = place if entity is None else self.place(places, entity, place.table)
            return f"{name} {_COMPARISONS[operator]} {right.path(other)}"
        if operator in _COMPARISONS and len(values) == 1 and (values[0] is not None or operator in ("eq", "ne", "neq")):
            return f"{name} {_COMPARISONS[operator]} {self._literal(column, values[0])}"
        if operator == "in" and values:
            return f"{name} in ({','.join(self._literal(column, value) for value in values)})"
        function = _FUNCTIONS.get(operator)
        if function is None or operator not in OPERATORS:
            raise _refused(f"operator '{operator}' on '{condition.column}' with {len(values)} values.")
        arguments = [f"PropertyName='{name if at.prefix else column.logical}'", *self._arguments(condition, column)]
        return f"Microsoft.Dynamics.CRM.{function}({','.join(arguments)})"

    def _arguments(self, condition: Condition, column: Column) -> Iterator[str]:
        values = condition.values
        if condition.operator in _LISTS:
            yield f"PropertyValues=[{','.join(self._listed(column, value) for value in values)}]"
        elif len(values) == 1:
            value = values[0]
            number = family(column) == "D" and isinstance(value, str) and not self._typed and _NUMBER.fullmatch(value)
            yield f"PropertyValue={value if number else self._plain(value)}"
        else:
            yield from (f"PropertyValue{n}={self._plain(value)}" for n, value in enumerate(values, 1))

    def _listed(self, column: Column, value: Any) -> str:
        return msgspec.json.encode(value).decode() if isinstance(value, str) else self._literal(column, value)

    def _text_function(self, operator: str, name: str, condition: Condition) -> str:
        value = condition.values[0] if len(condition.values) == 1 else None
        if not isinstance(value, str):
            raise _refused(f"operator '{condition.operator}' on '{condition.column}' without a text.")
        if operator in _TEXT_FUNCTIONS:
            return f"{_TEXT_FUNCTIONS[operator]}({name},{_quoted(value)})"
        if len(value) > 1 and value.startswith("%") and value.endswith("%"):
            return f"contains({name},{_quoted(value[1:-1])})"
        if value.endswith("%"):
            return f"startswith({name},{_quoted(value[:-1])})"
        if value.startswith("%"):
            return f"endswith({name},{_quoted(value[1:])})"
        raise _refused(f"'{condition.column}' like {_quoted(value[:60])}: a pattern bound at both ends.")

    def _literal(self, column: Column, value: Any) -> str:
        """A value as a literal of the column's type. FetchXML's texts get the type that the column has."""
        if not isinstance(value, str) or self._typed:
            return self._plain(value)
        text = value.strip()
        kind = family(column)
        if kind in "OU" and (guid := _GUID.fullmatch(text)):
            return guid[1].lower()
        if column.choice is not None and str(column.type) == "Boolean" and text.lower() in _BOOLEANS:
            return _BOOLEANS[text.lower()]
        if kind in "NC" and _NUMBER.fullmatch(text):
            return text
        if kind == "D" and _MOMENT.fullmatch(text):
            return text
        # A date without an offset is meant in the caller's zone, which a bare literal is not: it stays a text.
        return _quoted(value)

    def _plain(self, value: Any) -> str:
        """A Python value as a literal."""
        match value:
            case None:
                return "null"
            case bool():
                return str(value).lower()
            case datetime():
                return moment_wire(moment_text(value))
            case date():
                return value.isoformat()
            case Decimal() if abs(value.adjusted()) < 400:
                return f"{value:f}"
            case UUID() | int() | float() | Decimal():
                return str(value)
        return _quoted(str(value))


def _check_joins(link: Link) -> None:
    for inner in link.links:
        if join_kind(inner) is not None:
            raise _refused(f"the joined link '{inner.alias}' inside a link that only asks whether there are rows.")


def _only_outer(link: Link) -> bool:
    return all(join_kind(child) == "outer" and child.filter is None and _only_outer(child) for child in link.links)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _refused(reason: str) -> NotSupported:
    return refused("OData", reason)
