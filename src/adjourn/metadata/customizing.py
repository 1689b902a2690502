"""Tables, columns, relationships and keys that callers make at run time: documents of the shipped form, laid over those.

Each change is checked here (single columns and names by `custom_columns`), against the catalog that it would make;
`store.schema` knows what it means for the database, the pipeline's `customization` carries it out.
Source: webapi.md §17 and the request shapes of clients (clients.md).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from adjourn.errors import Duplicate, InvalidRequest, NotFound, NotSupported, nearest
from adjourn.metadata.additions import FILE, INVALID_METADATA, JOB, Additions, catalog_of
from adjourn.metadata.catalog import shipped
from adjourn.metadata.custom_columns import (
    FILE_NAME_CHARACTERS_MAX,
    Entry,
    check_texts,
    checked_entry,
    checked_name,
    checked_options,
)
from adjourn.metadata.model import Catalog, ColumnType, Table

HAS_DEPENDENTS = 0x8004F01F
NO_SUCH_PART = 0x80060888
FIRST_TYPE_CODE = 10_000
COLUMNS_MAX = 800
KEYS_MAX = 10
KEY_COLUMNS_MAX = 16
DELETE_RULES = ("NoCascade", "Cascade", "RemoveLink", "Restrict")
_MESSAGES = (
    "Create", "Retrieve", "RetrieveMultiple", "Update", "Upsert", "Delete", "Associate", "Disassociate", "Assign", "SetState",
)  # fmt: skip
_KEY_TYPES = (
    ColumnType.STRING, ColumnType.INTEGER, ColumnType.DECIMAL, ColumnType.DATETIME, ColumnType.DATE, ColumnType.LOOKUP,
    ColumnType.PICKLIST,
)  # fmt: skip
_STANDARD = (
    "createdon", "createdby", "createdonbehalfby", "modifiedon", "modifiedby", "modifiedonbehalfby", "versionnumber",
    "importsequencenumber", "overriddencreatedon",
)  # fmt: skip
_OWNED = ("ownerid", "owneridtype", "owningbusinessunit", "owninguser", "owningteam")


class Customizing:
    """Changes one after the other; `additions` and `catalog` are what they come to. The caller's additions are left alone."""

    def __init__(self, additions: Mapping[str, Mapping[str, Any]], version: int) -> None:
        self.additions: Additions = copy.deepcopy({name: dict(found) for name, found in additions.items()})
        self._version = version
        self.catalog = catalog_of(self.additions, version)

    def create_table(self, header: Mapping[str, Any], entries: Iterable[Entry], primary: str) -> Table:
        """A table of the caller's. header: schema, display, display_collection, description, ownership, entityset.

        entries: its own columns; primary: the schema name of the one that names its records.
        """
        schema = checked_name(header["schema"], "table")
        logical = schema.lower()
        if logical in self.catalog.tables:
            raise Duplicate(f"Table '{logical}' already exists.", code=INVALID_METADATA, status=400)
        ownership = header.get("ownership") or "UserOwned"
        if ownership not in ("UserOwned", "OrganizationOwned"):
            raise InvalidRequest(
                f"OwnershipType must be UserOwned or OrganizationOwned, found '{str(ownership)[:100]}'."
            )
        collection = checked_name(header["entityset"], "collection") if header.get("entityset") else _plural(logical)
        document: dict[str, Any] = {
            "table": {
                "logical": logical,
                "schema": schema,
                "entityset": collection,
                "display": header.get("display") or schema,
                "display_collection": header.get("display_collection") or _plural(header.get("display") or schema),
                "description": header.get("description") or "",
                "primary_id": f"{logical}id",
                "primary_name": primary.lower(),
                "object_type_code": max(FIRST_TYPE_CODE, max(self.catalog.by_type_code) + 1),
                "ownership": ownership,
                "messages": [m for m in _MESSAGES if ownership == "UserOwned" or m != "Assign"],
                "custom": True,
            },
            "columns": [
                {"name": f"{logical}id", "schema": f"{schema}Id", "type": "Uniqueidentifier", "required": True, "update": False},
                *_standard(ownership),
            ],
            "choices": {name: shipped()["account"]["choices"][name] for name in ("statecode", "statuscode")},
            "relationships": [],
            "keys": [],
        }  # fmt: skip
        self.additions[logical] = document
        for entry in entries:
            self._add_column(logical, entry)
        if primary.lower() not in {entry["name"] for entry in document["columns"] if entry["type"] == "String"}:
            raise InvalidRequest(f"The primary name column '{primary[:100]}' must be one of the table's text columns.")
        return self._rebuilt().tables[logical]

    def update_table(self, table: Table, changes: Mapping[str, Any]) -> None:
        """Change display, display_collection or description of a caller's own table."""
        self._own(table)
        self.additions[table.logical]["table"].update(changes)
        self._rebuilt()

    def delete_table(self, table: Table) -> None:
        """Drop a caller's own table with its many-to-many relationships. Refused while lookups of others lead to it."""
        self._own(table)
        holders = [
            f"{found.referencing}.{found.column}"
            for found in table.one_to_many
            if found.referencing not in (table.logical, JOB, FILE)
        ]
        if holders:
            raise _depended(f"Table '{table.logical}'", f"lookups lead to it: {', '.join(sorted(holders))[:300]}")
        if table.is_intersect:
            raise NotSupported(f"'{table.logical}' belongs to a relationship: delete that.", status=400)
        for joined in table.many_to_many:
            self.additions.pop(joined.intersect, None)
        del self.additions[table.logical]
        self._rebuilt()

    def create_column(self, table: Table, entry: Entry) -> None:
        """A column on a caller's own table, or on a business table that ships."""
        self._customizable(table)
        self._add_column(table.logical, entry)
        self._rebuilt()

    def update_column(self, table: Table, name: str, entry: Entry) -> None:
        """Change what may change of a column: texts, bounds, lengths, precision, whether it is required, options."""
        held = self._own_column(table, name)
        document = self.additions[table.logical]
        if entry["type"] != held["type"] or entry["schema"].lower() != name:
            raise InvalidRequest(
                f"Name and type of column '{name}' ({held['type']}) cannot change.", code=INVALID_METADATA
            )
        options = entry.pop("options", None)
        entry = {**held, **entry}  # what is not said stays as it is
        if held["type"] != "Lookup":
            checked_entry(entry)
        held.update({key: value for key, value in entry.items() if key not in ("name", "schema", "targets", "choice")})
        if options is not None:
            document["choices"][held["choice"]] = checked_options(options, name)
        self._rebuilt()

    def delete_column(self, table: Table, name: str) -> None:
        """Drop a column, with its relationships. Refused for the primary name and for columns of a key."""
        self._own_column(table, name)
        if name == table.primary_name:
            raise InvalidRequest(f"'{name}' names the records of table '{table.logical}' and cannot be deleted.")
        for key in table.keys:
            if name in key.columns:
                raise _depended(f"Column '{name}'", f"key '{key.name}' is made of it")
        document = self.additions[table.logical]
        document["columns"] = [
            entry for entry in document["columns"] if entry["name"] != name and entry.get("file_of") != name
        ]
        document["relationships"] = [found for found in document["relationships"] if found["column"] != name]
        document["choices"].pop(name, None)
        self._rebuilt()

    def create_lookup(self, relationship: Mapping[str, Any], entry: Entry) -> None:
        """A one-to-many relationship with the lookup that carries it.

        relationship: schema, referenced, referencing, delete (the rule); entry: the lookup's schema, display, required.
        """
        name = checked_name(relationship["schema"], "relationship")
        referenced, referencing = self._table(relationship["referenced"]), self._table(relationship["referencing"])
        self._customizable(referencing)
        self._free_relationship(name)
        if referenced.is_intersect:
            raise InvalidRequest(f"'{referenced.logical}' joins two tables; no lookup can lead to it.")
        rule = relationship.get("delete") or "RemoveLink"
        if rule not in DELETE_RULES:
            raise _bad_rule(rule)
        hierarchical = bool(relationship.get("hierarchical"))
        if hierarchical and (referenced.logical != referencing.logical or referenced.hierarchy is not None):
            raise InvalidRequest(
                f"Only a relationship of a table with itself can be hierarchical, and only one of a table: '{name}' joins "
                f"'{referencing.logical}' with '{referenced.logical}'"
                + (f", whose hierarchy is '{referenced.hierarchy.name}'." if referenced.hierarchy else "."),
                code=INVALID_METADATA,
            )
        schema = checked_name(entry["schema"], "column")
        self._add_column(referencing.logical, {**entry, "type": "Lookup", "targets": [referenced.logical]})
        self.additions[referencing.logical]["relationships"].append(
            {"name": name, "column": schema.lower(), "references": referenced.logical, "navigation": schema, "delete": rule,
             "hierarchical": hierarchical}
        )  # fmt: skip
        self._rebuilt()

    def create_many_to_many(self, schema: str, first: str, second: str, intersect: str) -> None:
        """A many-to-many relationship with the table that joins the two."""
        name = checked_name(schema, "relationship")
        table = checked_name(intersect, "table")
        self._free_relationship(name)
        if table.lower() in self.catalog.tables:
            raise Duplicate(f"Table '{table.lower()}' already exists.", code=INVALID_METADATA, status=400)
        sides = [self._table(first), self._table(second)]
        for side in sides:
            self._customizable(side)
        if sides[0].logical == sides[1].logical:
            raise NotSupported("A many-to-many relationship of a table with itself is not supported.", status=400)
        columns = [side.primary_id for side in sides]
        logical = table.lower()
        self.additions[logical] = {
            "table": {
                "logical": logical, "schema": table, "entityset": f"{logical}set", "display": table, "display_collection": table,
                "primary_id": f"{logical}id", "primary_name": None, "ownership": "None", "events": False, "is_intersect": True,
                "object_type_code": max(FIRST_TYPE_CODE, max(self.catalog.by_type_code) + 1), "custom": True,
                "messages": ["Retrieve", "RetrieveMultiple"],
                "joins": {"name": name, "table1": sides[0].logical, "column1": columns[0],
                          "table2": sides[1].logical, "column2": columns[1]},
            },
            "columns": [
                {"name": f"{logical}id", "schema": f"{table}Id", "type": "Uniqueidentifier", "required": True, "update": False},
                *({"name": column, "schema": column, "type": "Uniqueidentifier"} for column in columns),
                {"name": "versionnumber", "schema": "VersionNumber", "type": "BigInt", "create": False, "update": False},
            ],
            "choices": {}, "relationships": [], "keys": [],
        }  # fmt: skip
        self._rebuilt()

    def update_relationship(self, name: str, rule: str) -> None:
        """Change what deleting the referenced record does to those that refer to it."""
        if rule not in DELETE_RULES:
            raise _bad_rule(rule)
        for document in self.additions.values():
            for found in document.get("relationships", ()):
                if found["name"] == name:
                    found["delete"] = rule
                    self._rebuilt()
                    return
        raise NotSupported(f"Relationship '{name[:200]}' is part of the system, or joins many to many.", status=400)

    def delete_relationship(self, name: str) -> None:
        """Drop a relationship that a caller made: its lookup, or the table that joined the two."""
        for logical, document in self.additions.items():
            if document.get("table", {}).get("joins", {}).get("name") == name:
                del self.additions[logical]
                self._rebuilt()
                return
            for found in document.get("relationships", ()):
                if found["name"] == name:
                    self.delete_column(self.catalog.tables[logical], found["column"])
                    return
        raise NotSupported(f"Relationship '{name[:200]}' ships with adjourn and cannot be deleted.", status=400)

    def create_key(self, table: Table, schema: str, columns: Iterable[str], display: str) -> None:
        """An alternate key. That the rows have no doubles is the database's to say."""
        self._customizable(table)
        name = checked_name(schema, "key").lower()
        wanted = [column.lower() for column in columns]
        for column in wanted:
            found = table.columns.get(column)
            if found is None or not found.readable or found.storage != "row":
                raise InvalidRequest(
                    f"Column '{column[:100]}' does not exist on table '{table.logical}'.{nearest(column, table.columns)}"
                )
            if found.type not in _KEY_TYPES or found.polymorphic:
                raise InvalidRequest(
                    f"Column '{column}' ({found.type}) cannot be part of a key.", code=INVALID_METADATA
                )
        if not 0 < len(set(wanted)) <= KEY_COLUMNS_MAX or len(set(wanted)) != len(wanted):
            raise InvalidRequest(f"A key is made of 1 to {KEY_COLUMNS_MAX} different columns, found {len(wanted)}.")
        if any(name == key.name or set(wanted) == set(key.columns) for key in table.keys):
            raise Duplicate(f"Table '{table.logical}' has that key already.", code=INVALID_METADATA, status=400)
        if len(table.keys) >= KEYS_MAX:
            raise InvalidRequest(
                f"Table '{table.logical}' has {KEYS_MAX} keys, which is the most.", code=INVALID_METADATA
            )
        entry = {"name": name, "schema": schema, "display": display, "columns": wanted}
        self._document(table.logical).setdefault("keys", []).append(entry)
        self._rebuilt()

    def delete_key(self, table: Table, name: str) -> None:
        """Drop an alternate key that a caller made."""
        document = self._document(table.logical)
        document["keys"] = [entry for entry in document.get("keys", ()) if entry["name"] != name]
        self._rebuilt()

    def _rebuilt(self) -> Catalog:
        check_texts(self.additions)
        self.catalog = catalog_of(self.additions, self._version)
        return self.catalog

    def _document(self, logical: str) -> dict[str, Any]:
        return self.additions.setdefault(logical, {"columns": [], "choices": {}, "relationships": [], "keys": []})

    def _add_column(self, logical: str, entry: Entry) -> None:
        entry = dict(entry)
        schema = checked_name(entry["schema"], "column")
        name = entry["name"] = schema.lower()
        document = self._document(logical)
        table = self.catalog.tables.get(logical)
        taken = {found["name"] for found in document["columns"]} | (set(table.columns) if table else set())
        if name in taken:
            raise Duplicate(f"Column '{name}' already exists on table '{logical}'.", code=INVALID_METADATA, status=400)
        if len(document["columns"]) >= COLUMNS_MAX:
            raise InvalidRequest(
                f"Table '{logical}' has {COLUMNS_MAX} columns, which is the most.", code=INVALID_METADATA
            )
        options = entry.pop("options", None)
        if entry["type"] in ("Picklist", "MultiSelectPicklist"):
            document["choices"][name] = checked_options(options or [], name)
            entry["choice"] = name
        if entry["type"] != "Lookup":
            checked_entry(entry)
        document["columns"].append({**entry, "custom": True})
        if entry["type"] == "File":
            # Their values come with the file, not with the record.
            document["columns"][-1] |= {"create": False, "update": False}
            beside = f"{name}_name"
            if beside in taken:
                raise Duplicate(f"Column '{beside}' exists, which is to hold the name of the file.", status=400)
            document["columns"].append(
                {"name": beside, "schema": f"{schema}_Name", "type": "String", "max_length": FILE_NAME_CHARACTERS_MAX,
                 "create": False, "update": False, "custom": True, "file_of": name}
            )  # fmt: skip

    def _table(self, logical: str) -> Table:
        found = self.catalog.tables.get(str(logical).lower())
        if found is None:
            raise NotFound(
                f"Could not find an entity with name {str(logical)[:200]}.{nearest(str(logical), self.catalog.tables)}",
                code=NO_SUCH_PART,
            )
        return found

    def _own(self, table: Table) -> None:
        if not table.custom:
            raise NotSupported(
                f"Table '{table.logical}' is part of the system and cannot be changed or deleted.", status=400
            )

    def _customizable(self, table: Table) -> None:
        if not table.customizable:
            raise NotSupported(
                f"Table '{table.logical}' is part of the system: it takes no columns, relationships and keys.",
                status=400,
            )

    def _own_column(self, table: Table, name: str) -> Entry:
        for entry in self.additions.get(table.logical, {}).get("columns", ()):
            if entry["name"] == name and entry.get("custom") and "file_of" not in entry:
                found: Entry = entry
                return found
        raise NotSupported(
            f"Column '{name[:100]}' of table '{table.logical}' is part of the system and cannot be changed or deleted.",
            status=400,
        )

    def _free_relationship(self, name: str) -> None:
        lowered = name.lower()
        for table in self.catalog.tables.values():
            taken = [found.name for found in table.many_to_one] + [found.name for found in table.many_to_many]
            if lowered in map(str.lower, taken):
                raise Duplicate(f"Relationship '{name}' already exists.", code=INVALID_METADATA, status=400)


def _standard(ownership: str) -> Iterator[Entry]:
    wanted = (*_STANDARD, *(_OWNED if ownership == "UserOwned" else ()), "statecode", "statuscode")
    columns = {entry["name"]: entry for entry in shipped()["account"]["columns"]}
    for name in wanted:
        yield dict(columns[name])


def _plural(name: str) -> str:
    if re.search(r"([sxz]|[cs]h)$", name, re.IGNORECASE):
        return f"{name}es"
    if re.search(r"[^aeiou]y$", name, re.IGNORECASE):
        return f"{name[:-1]}ies"
    return f"{name}s"


def _bad_rule(rule: object) -> InvalidRequest:
    accepted = ", ".join(DELETE_RULES)
    return InvalidRequest(f"CascadeConfiguration/Delete must be one of {accepted}, found '{str(rule)[:100]}'.")


def _depended(what: str, why: str) -> InvalidRequest:
    return InvalidRequest(f"{what} cannot be deleted because it is used: {why}.", code=HAS_DEPENDENTS)
