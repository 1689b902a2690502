"""Reading metadata documents into a Catalog, and checking that they fit together.

One JSON file per table under `data/`; what callers make at run time are documents of the same form (`customizing`), laid
over them. A lookup without a relationship of its own gets one with the name that Dataverse
would give it; a many-to-one read from the other end is the one-to-many. Choices, Booleans and lookups bring their
derived name columns (`statecodename`, `createdbyname`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

import msgspec

from adjourn.metadata import privileges
from adjourn.metadata.model import (
    AlternateKey,
    Catalog,
    Choice,
    Column,
    ColumnType,
    ManyToMany,
    Option,
    Relationship,
    Table,
)

_YES_NO = ("No", "Yes")
_NAME_LENGTH = 4000
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|_")


Document = Mapping[str, Any]
"""What one file holds: `table`, `columns`, `choices`, `relationships`, `keys`."""


class MetadataError(Exception):
    """A metadata document contradicts itself or another one; names it."""


@cache
def load() -> Catalog:
    """The tables that ship with adjourn. Raises MetadataError."""
    return build(shipped())


@cache
def shipped() -> Mapping[str, Document]:
    """The documents that ship with adjourn, by logical name."""
    return MappingProxyType(dict(_files()))


def build(raw: Mapping[str, Document], version: int = 1) -> Catalog:
    """The catalog of these documents. Raises MetadataError."""
    for name, document in raw.items():
        if document["table"]["logical"] != name:
            raise MetadataError(f"{name}.json describes table '{document['table']['logical']}'")
    many_to_one = {name: tuple(_many_to_one(name, document, raw)) for name, document in raw.items()}
    many_to_many = tuple(_many_to_many(raw))
    tables = {name: _table(name, document, many_to_one, many_to_many) for name, document in raw.items()}
    return Catalog(
        tables,
        _unique({table.entityset: table for table in tables.values()}, len(tables), "entity set"),
        _unique({table.object_type_code: table for table in tables.values()}, len(tables), "object type code"),
        version,
        privileges.index(table.guard for table in tables.values()),
    )


def _files() -> Iterator[tuple[str, dict[str, Any]]]:
    folder = resources.files("adjourn.metadata") / "data"
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.name.endswith(".json"):
            yield file.name.removesuffix(".json"), msgspec.json.decode(file.read_bytes())


def _unique(found: Any, expected: int, what: str) -> Any:
    if len(found) != expected:
        raise MetadataError(f"two tables share an {what}")
    return found


def _table(
    name: str,
    document: Mapping[str, Any],
    many_to_one: Mapping[str, tuple[Relationship, ...]],
    many_to_many: tuple[ManyToMany, ...],
) -> Table:
    header = document["table"]
    choices = {key: _choice(f"{name}_{key}", options) for key, options in document["choices"].items()}
    columns: dict[str, Column] = {}
    for entry in document["columns"]:
        column = _column(name, entry, choices, header["primary_id"])
        if column.logical in columns:
            raise MetadataError(f"{name}.json: column '{column.logical}' stands there twice")
        columns[column.logical] = column
    lengths = {entry["name"]: entry["name_length"] for entry in document["columns"] if "name_length" in entry}
    for column in list(columns.values()):
        for derived in _derived(column, lengths.get(column.logical, _NAME_LENGTH)):
            columns.setdefault(derived.logical, derived)
    for needed in (header["primary_id"], header["primary_name"]):
        if needed is not None and needed not in columns:
            raise MetadataError(f"{name}.json: there is no column '{needed}'")
    _check_states(name, columns)
    outgoing = many_to_one[name]
    incoming = tuple(found for group in many_to_one.values() for found in group if found.referenced == name)
    joined = tuple(found for found in many_to_many if name in (found.table1, found.table2))
    by_navigation = {found.navigation: found for found in outgoing}
    by_collection: dict[str, Relationship | ManyToMany] = {found.name: found for found in incoming}
    by_collection |= {found.name: found for found in joined}
    if len({*by_navigation, *by_collection}) != len(outgoing) + len(incoming) + len(joined):
        raise MetadataError(f"{name}.json: two relationships of this table share a name")
    return Table(
        logical=name,
        schema=header["schema"],
        entityset=header["entityset"],
        display=header["display"],
        display_collection=header["display_collection"],
        primary_id=header["primary_id"],
        primary_name=header["primary_name"],
        object_type_code=header["object_type_code"],
        ownership=header["ownership"],
        columns=columns,
        messages=frozenset(header["messages"]),
        many_to_one=outgoing,
        one_to_many=incoming,
        many_to_many=joined,
        is_activity=header.get("is_activity", False),
        is_intersect=header.get("is_intersect", False),
        custom=header.get("custom", False),
        customizable=header.get("custom", False) or header.get("customizable", False),
        description=header.get("description", ""),
        events=header.get("events", True),
        keys=tuple(_keys(name, document, columns)),
        guard=privileges.guard_of(header, _parents(header, columns)),
        by_property={c.property: c for c in columns.values() if c.readable and c.storage != "derived"},
        by_navigation=by_navigation,
        by_collection=by_collection,
    )


def _parents(header: Mapping[str, Any], columns: Mapping[str, Column]) -> Iterator[privileges.Parent]:
    """The records on which the rights to a table's rows depend, where it has no privileges of its own."""
    joins = header.get("joins")
    if joins is not None:
        yield privileges.Parent(joins["column1"], (joins["table1"],))
        yield privileges.Parent(joins["column2"], (joins["table2"],))
    leading = privileges.parent_column(header["logical"])
    if leading is not None:
        column = columns[leading]
        yield privileges.Parent(leading, column.targets, column.type_column)


def _keys(name: str, document: Document, columns: Mapping[str, Column]) -> Iterator[AlternateKey]:
    for entry in document.get("keys", ()):
        for column in entry["columns"]:
            if column not in columns:
                raise MetadataError(f"{name}.json: key '{entry['name']}' names '{column}', which is no column")
        yield AlternateKey(entry["name"], entry["schema"], entry.get("display", ""), tuple(entry["columns"]))


def _check_states(name: str, columns: Mapping[str, Column]) -> None:
    state, status = (columns[key].choice if key in columns else None for key in ("statecode", "statuscode"))
    if state is None or status is None:
        return
    for option in status.options.values():
        if option.state not in state.options:
            raise MetadataError(
                f"{name}.json: status {option.value} belongs to state {option.state}, which is no option"
            )
    for option in state.options.values():
        default = status.options.get(-1 if option.default_status is None else option.default_status)
        if default is None or default.state != option.value:
            raise MetadataError(f"{name}.json: state {option.value} has no default status of its own")


def _choice(name: str, options: list[Mapping[str, Any]]) -> Choice:
    return Choice(
        name,
        {o["value"]: Option(o["value"], o["label"], o.get("state"), o.get("default_status")) for o in options},
    )


def _column(table: str, entry: Mapping[str, Any], choices: Mapping[str, Choice], primary_id: str) -> Column:
    name, kind = entry["name"], ColumnType(entry["type"])
    choice: Choice | None = None
    if kind.is_choice or kind is ColumnType.MULTISELECT:
        choice = choices.get(entry.get("choice", name))
        if choice is None:
            raise MetadataError(f"{table}.json: column '{name}' has no choice '{entry.get('choice', name)}'")
    elif kind is ColumnType.BOOLEAN:
        labels = entry.get("labels", _YES_NO)
        choice = Choice(f"{table}_{name}", {value: Option(value, label) for value, label in enumerate(labels)})
    if kind.is_lookup and not entry.get("targets"):
        raise MetadataError(f"{table}.json: lookup '{name}' has no targets")
    return Column(
        table=table,
        logical=name,
        schema=entry["schema"],
        type=kind,
        display=entry.get("display") or _WORDS.sub(" ", entry["schema"]),
        required=entry.get("required", False),
        creatable=entry.get("create", True),
        updatable=entry.get("update", True) and name != primary_id,
        readable=entry.get("read", True),
        max_length=entry.get("max_length"),
        minimum=entry.get("minimum"),
        maximum=entry.get("maximum"),
        precision=entry.get("precision", 4 if kind is ColumnType.MONEY else 0),
        default=entry.get("default"),
        targets=tuple(entry.get("targets", ())),
        choice=choice,
        storage=entry.get("storage", "row"),
        description=entry.get("description", ""),
        custom=entry.get("custom", False),
        format=entry.get("format"),
        size_kb_max=entry.get("size_kb_max"),
        file_of=entry.get("file_of"),
    )


def _derived(column: Column, length: int) -> Iterator[Column]:
    if not column.readable or not (column.type.is_lookup or column.choice is not None):
        return
    if column.type is ColumnType.MULTISELECT:
        return
    for suffix in ("Name", "YomiName") if column.type.is_lookup else ("Name",):
        yield Column(
            table=column.table,
            logical=f"{column.logical}{suffix.lower()}",
            schema=f"{column.schema}{suffix}",
            type=ColumnType.STRING,
            creatable=False,
            updatable=False,
            max_length=length,
            storage="derived",
            derives=column.logical,
            custom=column.custom,
        )


def _many_to_one(name: str, document: Mapping[str, Any], raw: Mapping[str, Any]) -> Iterator[Relationship]:
    columns = {entry["name"]: entry for entry in document["columns"]}
    named: set[tuple[str, str]] = set()
    for entry in document["relationships"]:
        column, target = entry["column"], entry["references"]
        if column not in columns or target not in raw:
            raise MetadataError(f"{name}.json: relationship '{entry['name']}' joins '{column}' with '{target}'")
        named.add((column, target))
        yield Relationship(
            entry["name"],
            name,
            column,
            target,
            raw[target]["table"]["primary_id"],
            entry["navigation"],
            entry["delete"],
            entry.get("hierarchical", False),
        )
    for entry in document["columns"]:
        if ColumnType(entry["type"]).is_lookup:
            for target in entry["targets"]:
                if target not in raw:
                    raise MetadataError(f"{name}.json: lookup '{entry['name']}' leads to '{target}', which is no table")
                if (entry["name"], target) not in named:
                    yield _unnamed(name, entry, target, raw)


def _unnamed(name: str, entry: Mapping[str, Any], target: str, raw: Mapping[str, Any]) -> Relationship:
    column = entry["name"]
    alone = len(entry["targets"]) == 1
    return Relationship(
        f"lk_{name}_{column}" if alone else f"{name}_{column}_{target}",
        name,
        column,
        target,
        raw[target]["table"]["primary_id"],
        column if alone else f"{column}_{target}",
    )


def _many_to_many(raw: Mapping[str, Any]) -> Iterator[ManyToMany]:
    for name, document in raw.items():
        joins = document["table"].get("joins")
        if joins:
            yield ManyToMany(joins["name"], name, joins["table1"], joins["column1"], joins["table2"], joins["column2"])
