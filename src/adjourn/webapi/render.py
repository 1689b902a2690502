"""Rows as JSON: a writer for each shape of answer, made once and kept.

A page of 5,000 rows of 27 columns must not cost more than reading it. So the columns of an answer become the fields of
a msgspec Struct, renamed to the properties of the Web API, and one generated comprehension turns raw rows into such
objects; only columns whose raw value is not their JSON value are touched (`metadata.values` has the table). The Structs
are encoded in one call. A page repeats itself: an expanded record is encoded once however many rows lead to it, a
moment is read aloud once a minute. What varies inside one shape: nulls are written by OData and left out by FetchXML and $apply,
and annotations stand where they were asked for, each immediately before what it describes.
Names never become code: the generated text holds positions only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from typing import Any, Protocol

import msgspec
from msgspec import UNSET

from adjourn.metadata import values
from adjourn.metadata.model import Catalog, Column, ColumnType, Table
from adjourn.query.plan import Output, Shape
from adjourn.webapi.prefer import ATTRIBUTE, FORMATTED, LOOKUP_TABLE, NAVIGATION, Annotations

WRITERS_MAX = 500
ETAG = "@odata.etag"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RAW_NAME, _KEPT_NAME = re.compile(r"\bc\d+\b"), re.compile(r"\bp\d+\b")
_BOOLEANS: dict[Any, bool | None] = {0: False, 1: True, None: None}
_ENCODER = msgspec.json.Encoder(decimal_format="number")

Rows = Sequence[tuple[Any, ...]]


class Related(Protocol):
    """One expanded collection of a page: by the key of the record in which it stands, its records and their address."""

    def records(self, key: str) -> list[Any]: ...
    def link(self, key: str) -> str: ...


class Writer(Protocol):
    """Begins a page for readers in a time zone; what it returns turns raw rows of the page into what msgspec encodes.

    root: the address that those of expanded references begin with. related: the collections, in the order of the shape.
    """

    def __call__(
        self, zone: tzinfo, root: str = "", related: Sequence[Related] = ()
    ) -> Callable[[Rows], list[Any]]: ...


@dataclass(frozen=True, slots=True)
class Style:
    """How the rows of one answer are written.

    nulls: write them. version: add an ETag. hidden: outputs that were only asked for the ETag's sake.
    collections: how those of expanded collections are written.
    """

    annotations: Annotations
    nulls: bool
    version: str | None = None
    hidden: frozenset[str] = frozenset()
    collections: tuple[Style, ...] = ()


_kept: dict[tuple[Shape, Style], Writer] = {}


def writer(shape: Shape, style: Style, catalog: Catalog) -> Writer:
    """What writes pages of rows of this shape."""
    key = (shape, style)
    found = _kept.get(key)
    if found is None:
        while len(_kept) >= WRITERS_MAX:
            _kept.pop(next(iter(_kept)), None)
        found = _kept[key] = _Maker(shape, style, catalog).make()
    return found


def arrays(page: Callable[[Rows], list[Any]]) -> Callable[[Rows], bytearray]:
    """Rows as JSON arrays, each in memory of its own that is a little larger than the last ones were for so many rows.

    The encoder takes half as much again where what it is given does not suffice, and all of it waits to be sent.
    """
    each = 0

    def write(rows: Rows) -> bytearray:
        nonlocal each
        found = bytearray(each * len(rows) * 17 // 16)
        _ENCODER.encode_into(page(rows), found)
        each = len(found) // len(rows) + 1
        return found

    return write


def property_name(output: Output) -> str:
    """The name under which a value is answered."""
    if output.aliased or (output.alias is not None and not output.path):
        return output.key
    return output.source.property


def etag_column(table: Table) -> str | None:
    """The column whose value is the record's version: a job's is its modifiedon (its counters change without notice)."""
    if "versionnumber" in table.columns:
        return "versionnumber"
    return "modifiedon" if table.logical == "asyncoperation" else None


def etag(column: Column, raw: Any) -> str | None:
    """The ETag of a record whose version has this raw value, as the writers write it."""
    if raw is not None and column.type is ColumnType.DATETIME:
        raw = f"{_Seconds()[raw[:19]]}{raw[20:26]}"
    return None if raw is None else f'W/"{raw}"'


class _Seconds(dict[str, int]):
    """Seconds since 1970 by the first 19 characters of a moment; with its six last digits they are its microseconds."""

    def __missing__(self, text: str) -> int:
        since = datetime.fromisoformat(text + "+00:00") - _EPOCH
        found = self[text] = since.days * 86_400 + since.seconds
        return found


class _Minutes(dict[str, str | None]):
    """Moments as people read them, by their first 16 characters: they are not read aloud more finely."""

    def __init__(self, column: Column, zone: tzinfo) -> None:
        self.column, self.zone = column, zone

    def __missing__(self, text: str) -> str | None:
        found = self[text] = values.formatted(self.column, f"{text}:00.000000Z", self.zone)
        return found


class _Expanded(dict[str, msgspec.Raw]):
    """Expanded records of a page as JSON, by their keys, on which all their values depend."""

    def __init__(self, make: Callable[..., Any]) -> None:
        self.make = make

    def add(self, key: str, *raw: Any) -> msgspec.Raw:
        found = self[key] = msgspec.Raw(_ENCODER.encode(self.make(*raw)))
        return found


@dataclass(slots=True)
class _Node:
    """One JSON object being described: the record, or one expanded in it. key: the raw value that is null without it."""

    fields: list[tuple[str, str]] = field(default_factory=list)
    children: dict[str, _Node] = field(default_factory=dict)
    key: int | None = None
    related: list[tuple[str, str]] = field(default_factory=list)
    """The expanded collections, which come last."""


class _Maker:
    """Generates one writer. `c0`… are the raw values of a row, `k0`… constants of this shape."""

    def __init__(self, shape: Shape, style: Style, catalog: Catalog) -> None:
        self.shape = shape
        self.style = style
        self.catalog = catalog
        self.constants: dict[str, Any] = {"U": UNSET, "B": _BOOLEANS, "D": Decimal}
        self.prelude: list[str] = []
        self.functions: list[str] = []

    def make(self) -> Writer:
        root = _Node()
        self.add_etag(root)
        grouped = any(output.kind != "column" for output in self.shape.outputs)
        for output in self.shape.outputs:
            if output.key in self.style.hidden and not output.path and not output.aliased:
                continue
            node = root
            for step in output.path:
                node = node.children.setdefault(step, _Node())
            if output.path and output.key == output.source.logical and self.is_key(output):
                node.key = output.index
            if output.reference:
                address = self.constant(f"{self.catalog.tables[output.source.table].entityset}(")
                node.fields.append(("@odata.id", f"{self.kept('root')} + {address} + c{output.index} + ')'"))
            else:
                self.add(node, output, grouped)
        for place, collection in enumerate(self.shape.collections):
            node = root
            for step in collection.path:
                node = node.children.setdefault(step, _Node())
            related, name = self.kept(f"related[{place}]"), collection.navigation
            node.related.append((name, f"{related}.records(c{collection.key})"))
            node.related.append((f"{name}@odata.nextLink", f"{related}.link(c{collection.key})"))
        body = self.expression(root)
        row = ", ".join(f"c{index}" for index in range(self.shape.width)) + ","
        lines = [*self.functions, "def page(zone, root='', related=()):", *(f"    {line}" for line in self.prelude)]
        text = "\n".join(
            [*lines, "    def write(rows):", f"        return [{body} for ({row}) in rows]", "    return write\n"]
        )
        exec(compile(text, "<row writer>", "exec"), self.constants)
        found: Writer = self.constants["page"]
        return found

    def is_key(self, output: Output) -> bool:
        return self.catalog.tables[output.source.table].primary_id == output.source.logical

    def add_etag(self, root: _Node) -> None:
        if self.style.version is None:
            return
        for output in self.shape.outputs:
            if output.key == self.style.version and not output.path and output.source.logical == self.style.version:
                value = f"c{output.index}"
                if output.column.type is ColumnType.DATETIME:
                    seconds = self.kept(f"{self.constant(_Seconds)}()")
                    text = f"f'W/\"{{{seconds}[{value}[:19]]}}{{{value}[20:26]}}\"'"
                    root.fields.append((ETAG, f"U if {value} is None else {text}"))
                else:
                    root.fields.append((ETAG, f"U if {value} is None else f'W/\"{{{value}}}\"'"))
                return

    def add(self, node: _Node, output: Output, grouped: bool) -> None:
        name, value, column = property_name(output), f"c{output.index}", output.column
        wanted = self.style.annotations
        lookup = column.type.is_lookup and output.kind != "aggregate"
        if wanted.attribute and (output.aliased or output.alias is not None) and not output.path:
            constant = self.constant(output.source.logical)
            node.fields.append((f"{name}@{ATTRIBUTE}", f"U if {value} is None else {constant}"))
        if wanted.formatted:
            if lookup and output.name_index is not None:
                label = f"c{output.name_index}"
                node.fields.append((f"{name}@{FORMATTED}", f"U if {label} is None else {label}"))
            elif not lookup and _has_label(column):
                node.fields.append((f"{name}@{FORMATTED}", f"U if {value} is None else {self.label(column, value)}"))
        if lookup and wanted.navigation and not grouped:
            node.fields.append((f"{name}@{NAVIGATION}", self.navigation(output, value)))
        if lookup and wanted.lookup_table:
            node.fields.append((f"{name}@{LOOKUP_TABLE}", self.target(output, value)))
        node.fields.append((name, self.value(column, value)))

    def value(self, column: Column, value: str) -> str:
        kind = column.type
        if kind is ColumnType.DATETIME:
            null = "U" if not self.style.nulls else "None"
            # One character tells nine moments of ten apart from a whole second, without making a text for it.
            whole = f"{value} if {value}[20] != '0' or {value}[20:26] != '000000' else {value}[:19] + 'Z'"
            return f"{null} if {value} is None else {whole}"
        if kind is ColumnType.BOOLEAN:
            found = f"B[{value}]"
        elif kind in (ColumnType.DECIMAL, ColumnType.MONEY):
            found = f"None if {value} is None else D({value}).scaleb({-column.precision})"
        else:
            found = value
        return found if self.style.nulls else f"U if {value} is None else {found}"

    def label(self, column: Column, value: str) -> str:
        if column.choice is not None and column.type is not ColumnType.MULTISELECT:
            labels: dict[Any, Any] = {option.value: option.label for option in column.choice.options.values()}
            return f"{self.constant(labels)}.get({value}, U)"
        if column.type in (ColumnType.INTEGER, ColumnType.BIGINT):
            return f"format({value}, ',')"
        if column.type is ColumnType.DATETIME:
            return f"{self.kept(f'{self.constant(_Minutes)}({self.constant(column)}, zone)')}[{value}[:16]]"
        return f"{self.constant(values.formatted)}({self.constant(column)}, {value}, zone)"

    def navigation(self, output: Output, value: str) -> str:
        """The navigation property that leads to the actual target of a lookup; an owner's is one for all tables."""
        if output.source.type is ColumnType.OWNER:
            return f"U if {value} is None else {self.constant(output.source.logical)}"
        table = self.catalog.tables[output.source.table]
        names = {r.referenced: r.navigation for r in table.many_to_one if r.column == output.source.logical}
        if output.table_index is not None:
            return f"U if {value} is None else {self.constant(names)}.get(c{output.table_index}, U)"
        only = next(iter(names.values()), None)
        return "U" if only is None else f"U if {value} is None else {self.constant(only)}"

    def target(self, output: Output, value: str) -> str:
        if output.table_index is not None:
            return f"U if {value} is None or c{output.table_index} is None else c{output.table_index}"
        return f"U if {value} is None else {self.constant(output.source.targets[0])}"

    def expression(self, node: _Node) -> str:
        # A file column and the navigation to its file share a name; the file expanded says all that its id does.
        fields = [(name, text) for name, text in node.fields if name not in node.children]
        for name, child in node.children.items():
            fields.append((name, self.expanded(child)))
        fields.extend(node.related)
        kind = msgspec.defstruct(
            "Row",
            [(f"f{index}", Any) for index in range(len(fields))],
            rename={f"f{index}": name for index, (name, _) in enumerate(fields)},
            gc=False,
            eq=False,
        )
        return f"{self.constant(kind)}({', '.join(f'({text})' for _, text in fields)})"

    def expanded(self, child: _Node) -> str:
        """An expanded record, from the page's memory of those that stood in it before."""
        text = self.expression(child)
        names = sorted(set(_RAW_NAME.findall(text)), key=lambda name: int(name[1:]))
        kept = _KEPT_NAME.findall(text)
        function = f"e{len(self.functions)}"
        parameters = ", ".join([*dict.fromkeys(kept), "zone", *names])
        self.functions.append(f"def {function}({parameters}):\n    return {text}")
        memory = self.kept(f"{self.constant(_Expanded)}({function})")
        return (
            f"None if c{child.key} is None else {memory}.get(c{child.key}) or {memory}.add(c{child.key}, {parameters})"
        )

    def kept(self, text: str) -> str:
        """A value made anew for each page."""
        name = f"p{len(self.prelude)}"
        self.prelude.append(f"{name} = {text}")
        return name

    def constant(self, value: Any) -> str:
        name = f"k{len(self.constants)}"
        self.constants[name] = value
        return name


def _has_label(column: Column) -> bool:
    return column.choice is not None or column.type in (
        ColumnType.INTEGER,
        ColumnType.BIGINT,
        ColumnType.DATETIME,
        ColumnType.DATE,
        ColumnType.DECIMAL,
        ColumnType.DOUBLE,
        ColumnType.MONEY,
    )
