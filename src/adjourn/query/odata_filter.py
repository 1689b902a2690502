"""`$filter`: a precedence parser from tokens to conditions of the tree.

    or < and < not < comparison; comparisons: eq ne gt ge lt le in, contains() startswith() endswith(),
    Microsoft.Dynamics.CRM.<Function>(PropertyName='…',…), collection/any(x:…), collection/all(x:…)

Source: webapi.md §8.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from adjourn import config, errors
from adjourn.errors import QueryError, nearest
from adjourn.metadata.model import ColumnType
from adjourn.query.odata_lexer import LITERAL, NAME, Token
from adjourn.query.odata_paths import Paths, Place, unknown
from adjourn.query.odata_reader import AliasedPath, Aliases, Reader
from adjourn.query.odata_related import along, child_table, lambda_link
from adjourn.query.operators import ODATA_FUNCTIONS, REFUSED_FUNCTIONS
from adjourn.query.tree import Condition, Filter, Related

NAMESPACE = "Microsoft.Dynamics.CRM."
_COMPARISONS = ("eq", "ne", "gt", "ge", "lt", "le")
_FLIPPED = {"gt": "lt", "ge": "le", "lt": "gt", "le": "ge", "eq": "eq", "ne": "ne"}
_TEXT_FUNCTIONS = {"contains": ("like", "%{}%"), "startswith": ("begins-with", "{}"), "endswith": ("ends-with", "{}")}
_VALUES = ("PropertyValue", "PropertyValue1", "PropertyValue2")
Part = Condition | Filter | Related


class Parser(Reader):
    """Reads one expression over the paths of one table. Also used for the expressions inside $expand and $apply."""

    def __init__(self, text: str, paths: Paths, aliases: Aliases = None) -> None:
        super().__init__(text, aliases)
        self._depth = 0
        self._conditions = 0
        self._variables: dict[str, Paths] = {}
        self._scope = paths
        self._lambdas = 0
        self.paths = paths

    @contextmanager
    def over(self, paths: Paths) -> Iterator[None]:
        """Read on with the names of another table, in which no parameter alias is known: inside an $expand."""
        before = self.paths, self._scope, self._variables, self._aliases
        self.paths, self._scope, self._variables, self._aliases = paths, paths, {}, None
        try:
            yield
        finally:
            self.paths, self._scope, self._variables, self._aliases = before

    # Expressions

    def filter(self) -> Filter:
        """A whole boolean expression."""
        found = self._or()
        return found if isinstance(found, Filter) else Filter("and", (found,))

    def _or(self) -> Part:
        parts = [self._and()]
        while self.accept("or"):
            parts.append(self._and())
        return parts[0] if len(parts) == 1 else Filter("or", tuple(parts))

    def _and(self) -> Part:
        parts = [self._not()]
        while self.accept("and"):
            parts.append(self._not())
        return parts[0] if len(parts) == 1 else Filter("and", tuple(parts))

    def _not(self) -> Part:
        self._depth += 1
        if self._depth > config.NESTING_MAX:
            raise QueryError(
                f"The expression is nested deeper than {config.NESTING_MAX} levels.",
                code=errors.ODATA_NO_CODE,
                position=self.token.position,
            )
        try:
            if self.accept("not"):
                if self.token.text.startswith(NAMESPACE):
                    raise QueryError(
                        "Not operator along with the Custom Named Condition operators is not allowed",
                        code=errors.ODATA_UNSUPPORTED,
                        position=self.token.position,
                    )
                return Filter("and", (self._not(),), negated=True)
            if self.accept("("):
                found = self._or()
                self.expect(")")
                return found
            return self._predicate()
        finally:
            self._depth -= 1

    def _predicate(self) -> Part:
        self._conditions += 1
        if self._conditions > config.CONDITIONS_MAX:
            raise QueryError(
                f"A query may have {config.CONDITIONS_MAX} conditions.", code=0x8004430C, position=self.token.position
            )
        token = self.token
        if token.kind == NAME and token.text.startswith(NAMESPACE):
            return self._query_function()
        if token.kind == NAME and token.text in _TEXT_FUNCTIONS and self.following.text == "(":
            return self._text_function()
        if token.kind == LITERAL or (token.text.startswith("@") and not self.at_path()):
            return self._literal_first()
        place = self._path()
        if not isinstance(place, Place):
            return place
        return self._comparison(place, token.position)

    def _comparison(self, place: Place, position: int) -> Part:
        operator = self.token
        if self.accept("in"):
            return self._on(place, "in", self._list(), position)
        if operator.kind != NAME or operator.text not in _COMPARISONS:
            if place.column.type is ColumnType.BOOLEAN:
                return self._on(place, "eq", (True,), position)
            raise self.wrong(f"one of {', '.join(_COMPARISONS)}, in")
        self.advance()
        if self.at_path():
            other = self._path()
            if not isinstance(other, Place):
                raise self.wrong("a value or a property")
            if other.hops != place.hops:
                raise QueryError(
                    "A property reached through a lookup inside any() or all() can be compared with a value, or with "
                    "another property of the same record, only.",
                    code=errors.ODATA_UNSUPPORTED,
                    position=position,
                )
            return self._on(place, operator.text, (), position, (other.entity, other.column.logical))
        return self._compared(place, operator, self.value(), position)

    def _on(
        self,
        place: Place,
        operator: str,
        values: tuple[Any, ...],
        position: int,
        valueof: tuple[str | None, str] | None = None,
    ) -> Condition | Related:
        """A condition on a property, wherever its path leads."""
        condition = Condition(place.column.logical, operator, values, place.entity, valueof, position)
        if not place.hops:
            return condition
        self._lambdas += 1
        return along(place.hops, condition, f"l{self._lambdas}")

    def _compared(self, place: Place, operator: Token, value: Any, position: int) -> Part:
        if value is None:
            names = {"eq": "null", "ne": "not-null"}
            if operator.text not in names:
                raise QueryError(
                    f"null can be compared by eq and ne only, not by {operator.text}.",
                    code=errors.ODATA_NO_CODE,
                    position=operator.position,
                )
            return self._on(place, names[operator.text], (), position)
        return self._on(place, operator.text, (value,), position)

    def _literal_first(self) -> Part:
        position = self.token.position
        value = self.value()
        operator = self.name()
        if operator.text not in _COMPARISONS:
            self.back()
            raise self.wrong(f"one of {', '.join(_COMPARISONS)}")
        place = self._path()
        if not isinstance(place, Place):
            raise self.wrong("a property")
        flipped = Token(NAME, _FLIPPED[operator.text], operator.position)
        return self._compared(place, flipped, value, position)

    def _list(self) -> tuple[Any, ...]:
        token = self.token
        if token.text.startswith("@") and isinstance(self.alias(token), list):
            return tuple(self.alias(self.advance()))
        self.expect("(")
        found = [self.value()]
        while self.accept(","):
            found.append(self.value())
        self.expect(")")
        return tuple(found)

    def _text_function(self) -> Part:
        function = self.advance()
        operator, pattern = _TEXT_FUNCTIONS[function.text]
        self.expect("(")
        place = self._path()
        if not isinstance(place, Place):
            raise self.wrong("a property")
        self.expect(",")
        value = self.value()
        self.expect(")")
        if not isinstance(value, str):
            raise QueryError(
                f"{function.text}() takes a text in quotes.", code=errors.ODATA_NO_CODE, position=function.position
            )
        found = self._on(place, operator, (pattern.format(value),), function.position)
        if (self.at("eq") or self.at("ne")) and self.following.value in (True, False):
            same = self.advance().text == "eq"
            if same != self.advance().value:
                return Filter("and", (found,), negated=True)
        return found

    def _query_function(self) -> Part:
        token = self.advance()
        function = token.text.removeprefix(NAMESPACE)
        operator = ODATA_FUNCTIONS.get(function)
        if function in REFUSED_FUNCTIONS:
            raise QueryError(
                f"Query function '{token.text}' is not supported: {REFUSED_FUNCTIONS[function]}.",
                code=errors.ODATA_UNSUPPORTED,
                position=token.position,
            )
        if operator is None:
            raise QueryError(
                f"Query function '{token.text[:100]}' does not exist.{nearest(function, ODATA_FUNCTIONS)}",
                code=errors.ODATA_NO_CODE,
                position=token.position,
            )
        arguments = self._arguments(token)
        name = arguments.pop("PropertyName", None)
        if not isinstance(name, str):
            raise QueryError(
                f"{function} needs PropertyName='<column>', in quotes.",
                code=errors.ODATA_NO_CODE,
                position=token.position,
            )
        values = [arguments[key] for key in _VALUES if key in arguments]
        many = arguments.get("PropertyValues")
        if many is not None:
            values = list(many) if isinstance(many, list | tuple) else [many]
        segments = [(segment, token.position) for segment in name.split("/")]
        paths = self._variables.get(segments[0][0]) if len(segments) > 1 else None
        if paths is not None:
            del segments[0]
        paths = self._in_scope(paths or self.paths, token.position)
        # The column is named as in the SDK here: `ownerid`, not `_ownerid_value`; both are understood.
        column = paths.table.columns.get(segments[0][0]) if len(segments) == 1 else None
        if column is not None and column.readable:
            return Condition(column.logical, operator, tuple(values), position=token.position)
        return self._on(paths.resolve(segments), operator, tuple(values), token.position)

    def _arguments(self, function: Token) -> dict[str, Any]:
        accepted = ("PropertyName", *_VALUES, "PropertyValues")
        self.expect("(")
        found: dict[str, Any] = {}
        while not self.accept(")"):
            key = self.name()
            if key.text not in accepted:
                raise QueryError(
                    f"'{key.text[:60]}' is no argument of {function.text}.{nearest(key.text, accepted)}",
                    code=errors.ODATA_NO_CODE,
                    position=key.position,
                )
            self.expect("=")
            found[key.text] = self._argument()
            if not self.at(")"):
                self.expect(",")
        return found

    def _argument(self) -> Any:
        token = self.token
        if token.kind == NAME and token.text.startswith("@"):
            found = self.alias(self.advance())
            return "/".join(found.names) if isinstance(found, AliasedPath) else found
        return self.array() if self.accept("[") else self.value()

    # Paths

    def _path(self) -> Place | Related | Filter:
        position = self.token.position
        aliased = self.aliased_path()
        if aliased is not None:
            return self._in_scope(self.paths, position).resolve(aliased)
        first = self.name()
        paths = self._variables.get(first.text)
        if paths is not None:
            self.expect("/")
            first = self.name()
        else:
            paths = self.paths
        self._in_scope(paths, first.position)
        names = [(first.text, first.position)]
        while self.accept("/"):
            if self.at("any") or self.at("all"):
                return self._lambda(paths, names)
            segment = self.name()
            names.append((segment.text, segment.position))
        return paths.resolve(names)

    def _in_scope(self, paths: Paths, position: int) -> Paths:
        if paths is not self._scope:
            raise QueryError(
                "A condition inside any() or all() can name the properties of its own variable only.",
                code=errors.ODATA_UNSUPPORTED,
                position=position,
            )
        return paths

    def _lambda(self, paths: Paths, names: list[tuple[str, int]]) -> Related | Filter:
        if len(names) > 1:
            raise QueryError(
                "A lambda follows a collection of the table itself, not a path through a lookup.",
                code=errors.ODATA_UNSUPPORTED,
                position=names[1][1],
            )
        name, position = names[0]
        relationship = paths.table.by_collection.get(name)
        if relationship is None:
            raise unknown(paths.table, name, position, paths.table.by_collection)
        every = self.advance().text == "all"
        self._lambdas += 1
        number = self._lambdas
        child = child_table(relationship, paths.table, self.paths.catalog)
        inner = Paths(self.paths.catalog, child, joining=False)
        condition: Filter | None = None
        self.expect("(")
        if not self.at(")"):
            variable = self.name().text
            self.expect(":")
            known, scope = self._variables, self._scope
            self._variables, self._scope = {**known, variable: inner}, inner
            condition = self.filter()
            self._variables, self._scope = known, scope
        elif every:
            raise self.wrong("a variable: all() needs a condition")
        self.expect(")")
        if every and condition is not None:
            # All of them fit exactly when none of them does not.
            condition = Filter("and", (condition,), negated=True)
        kind = "not any" if every else "any"
        return Related(lambda_link(relationship, paths.table, child, condition, f"l{number}", kind, position))
