"""`$select`, `$filter` and `$expand` on metadata: the catalog is in memory, so these are answered there.

A `$filter` compares properties (a path such as `IsCustomizable/Value` too) with literals, enum literals among them, by
eq ne gt ge lt le and in, contains, startswith, endswith, and, or, not and parentheses. Source: webapi.md §17.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from adjourn import config, errors
from adjourn.errors import InvalidRequest, NotSupported, QueryError, nearest
from adjourn.query.odata_lexer import END, LITERAL, NAME, Token, tokens
from adjourn.webapi.definition_shapes import Document
from adjourn.webapi.url import split_arguments

Test = Callable[[Document], bool]
Expander = Callable[[Document], Any]
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq, "ne": operator.ne, "gt": operator.gt, "ge": operator.ge, "lt": operator.lt, "le": operator.le,
}  # fmt: skip
_TEXT_FUNCTIONS: dict[str, Callable[[str, str], bool]] = {
    "contains": lambda text, part: part.lower() in text.lower(),
    "startswith": lambda text, part: text.lower().startswith(part.lower()),
    "endswith": lambda text, part: text.lower().endswith(part.lower()),
}
_ALWAYS = ("@odata.type", "MetadataId")


def shaped(
    documents: Iterable[Document],
    options: Mapping[str, str],
    type_name: str,
    expanders: Mapping[str, Expander],
) -> list[Document]:
    """The documents that a `$filter` keeps, with what `$select` and `$expand` ask for.

    type_name: how the documents are called in an error. expanders: what each property that may be expanded holds.
    Raises InvalidRequest, QueryError, NotSupported.
    """
    for name in options:
        if name not in ("$select", "$filter", "$expand") and not name.startswith("@"):
            raise InvalidRequest(
                f"Query option '{name[:100]}' cannot be used on metadata; $select, $filter and $expand can.", code=0x0
            )
    found = list(documents)
    if "$filter" in options:
        test = Filter(options["$filter"]).test
        found = [document for document in found if test(document)]
    expansions = _expansions(options.get("$expand", ""), type_name, expanders)
    names = _selected(options.get("$select"), found, type_name)
    answer = []
    for document in found:
        kept = dict(document) if names is None else {name: document[name] for name in names if name in document}
        for name, inner in expansions.items():
            kept[name] = _expanded(expanders[name](document), inner, name)
        answer.append(kept)
    return answer


def _expanded(value: Any, options: Mapping[str, str], name: str) -> Any:
    if isinstance(value, list):
        return shaped(value, options, name, {})
    return shaped([value], options, name, {})[0] if value is not None else None


def _selected(text: str | None, documents: list[Document], type_name: str) -> list[str] | None:
    if text is None or text.strip() == "*":
        return None
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    known = {name for document in documents for name in document}
    for name in names:
        # Without a single document nobody can say which properties it would have had.
        if documents and name not in known:
            raise _unknown(name, known, type_name)
    return [*_ALWAYS, *(name for name in names if name not in _ALWAYS)]


def _expansions(text: str, type_name: str, expanders: Mapping[str, Expander]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for part in split_arguments(text):
        name, bracket, rest = part.partition("(")
        name = name.strip()
        if name not in expanders:
            raise _unknown(name, set(expanders), type_name)
        options: dict[str, str] = {}
        if bracket:
            if not rest.rstrip().endswith(")"):
                raise InvalidRequest(f"The options of $expand={name} lack their closing bracket.", code=0x0)
            for option in split_arguments(rest.rstrip()[:-1], ";"):
                key, _, value = option.partition("=")
                options[key.strip()] = value
        found[name] = options
    return found


def _unknown(name: str, known: Iterable[str], type_name: str) -> InvalidRequest:
    return InvalidRequest(
        f"Could not find a property named '{name[:200]}' on type 'Microsoft.Dynamics.CRM.{type_name}'."
        f"{nearest(name, known)}",
        code=0x0,
    )


class Filter:
    """A parsed `$filter`; `test` says whether a document passes."""

    def __init__(self, text: str) -> None:
        self._tokens = tokens(text)
        self._place = 0
        self._depth = 0
        self.test = self._either()
        if self._next.kind != END:
            raise self._wrong("'and', 'or' or the end")

    @property
    def _next(self) -> Token:
        return self._tokens[self._place]

    def _take(self) -> Token:
        found = self._next
        self._place += 1
        return found

    def _word(self, *words: str) -> str | None:
        if self._next.kind != LITERAL and self._next.text in words:
            return self._take().text
        return None

    def _expect(self, mark: str) -> None:
        if self._word(mark) is None:
            raise self._wrong(f"'{mark}'")

    def _wrong(self, wanted: str) -> QueryError:
        return QueryError(
            f"Syntax error in $filter: expected {wanted}, found '{self._next.text[:60]}'.",
            code=errors.ODATA_NO_CODE,
            position=self._next.position,
        )

    def _either(self) -> Test:
        tests = [self._both()]
        while self._word("or"):
            tests.append(self._both())
        return tests[0] if len(tests) == 1 else lambda document: any(test(document) for test in tests)

    def _both(self) -> Test:
        tests = [self._one()]
        while self._word("and"):
            tests.append(self._one())
        return tests[0] if len(tests) == 1 else lambda document: all(test(document) for test in tests)

    def _one(self) -> Test:
        self._depth += 1
        if self._depth > config.NESTING_MAX:
            raise InvalidRequest(f"A $filter is nested at most {config.NESTING_MAX} levels deep.", code=0x0)
        try:
            if self._word("not"):
                inner = self._one()
                return lambda document: not inner(document)
            if self._word("("):
                found = self._either()
                self._expect(")")
                return found
            if self._next.text in _TEXT_FUNCTIONS:
                return self._text_function()
            return self._comparison()
        finally:
            self._depth -= 1

    def _text_function(self) -> Test:
        function = _TEXT_FUNCTIONS[self._take().text]
        self._expect("(")
        path = self._path()
        self._expect(",")
        part = self._literal()
        self._expect(")")
        if not isinstance(part, str):
            raise self._wrong("a text")

        def test(document: Document) -> bool:
            value = _at(document, path)
            return isinstance(value, str) and function(value, part)

        return test

    def _comparison(self) -> Test:
        path = self._path()
        if self._word("in"):
            self._expect("(")
            values = [self._literal()]
            while self._word(","):
                values.append(self._literal())
            self._expect(")")
            return lambda document: any(_same(_at(document, path), value) for value in values)
        sign = self._word(*_COMPARISONS)
        if sign is None:
            raise self._wrong("one of eq, ne, gt, ge, lt, le, in")
        literal = self._literal()
        if sign in ("eq", "ne"):
            return lambda document: _same(_at(document, path), literal) == (sign == "eq")
        compare = _COMPARISONS[sign]

        def test(document: Document) -> bool:
            value = _at(document, path)
            try:
                return value is not None and compare(value, literal)
            except TypeError:
                raise NotSupported(
                    f"'{'/'.join(path)}' cannot be compared with {literal!r} by '{sign}'.", status=400
                ) from None

        return test

    def _path(self) -> tuple[str, ...]:
        names = [self._name()]
        while self._word("/"):
            names.append(self._name())
        return tuple(names)

    def _name(self) -> str:
        if self._next.kind != NAME:
            raise self._wrong("the name of a property")
        return self._take().text

    def _literal(self) -> Any:
        if self._next.kind == NAME and self._next.text.startswith("Microsoft.Dynamics.CRM."):
            self._take()  # an enum's type; its member follows in quotes
        if self._next.kind != LITERAL:
            raise self._wrong("a literal")
        return self._take().value


def _at(document: Document, path: tuple[str, ...]) -> Any:
    value: Any = document
    for index, name in enumerate(path):
        if not isinstance(value, dict):
            return None
        if index == 0 and name not in value:
            raise _unknown(name, value, document.get("@odata.type", "#EntityMetadata").rpartition(".")[2].strip("#"))
        value = value.get(name)
    return value


def _same(value: Any, literal: Any) -> bool:
    if isinstance(value, bool) != isinstance(literal, bool):
        return False
    if isinstance(value, str) and literal is not None:
        return value.lower() == str(literal).lower()
    return bool(value == literal)
