"""`POST searchquery`: records by the words in their texts, over all tables. Its answer is JSON in a text, as Dataverse's is.

The index (`query/text_index.py`) is as of the last run of the job "Organization Full Text Catalog Index", and the answer says of
when that is (`IndexedOn`, adjourn's own; null before the first); the records that it
names are then read as the caller, so that he finds exactly what he may read, as it is now. Source: the page "Dataverse
Search query". Accepted of its syntax: words (any of them, or with searchmode all of them), `+` and, `|` or, a `*` at a word's end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec

from adjourn.errors import InvalidRequest, PrivilegeDenied, nearest
from adjourn.metadata import values
from adjourn.metadata.model import Reference, Table
from adjourn.metadata.values import moment_text, moment_wire
from adjourn.operations.text_catalog import indexed_on, searched, texts_of
from adjourn.pipeline.read import python_rows
from adjourn.query import text_index
from adjourn.query.text_index import Found
from adjourn.query.tree import Attribute, Condition, Filter, Query
from adjourn.service import Service
from adjourn.webapi.exchange import Exchange

NAME = "searchquery"
CANDIDATES_MAX = 1_000
"""Records that the index names, before it is known which of them the caller may read."""
TOP_DEFAULT, TOP_MAX = 50, 100
_SEARCH_CHARACTERS_MAX = 100
_IDS_AT_ONCE = 200
_ENCODER = msgspec.json.Encoder(decimal_format="number")
_SYNTAX = set('-&!(){}[]^"~?:\\/')
PARAMETERS = (
    ("search", "Edm.String", True),
    ("count", "Edm.Boolean", False),
    ("entities", "Edm.String", False),
    ("options", "Edm.String", False),
    ("skip", "Edm.Int32", False),
    ("top", "Edm.Int32", False),
)
_REFUSED = ("facets", "filter", "orderby", "propertybag")


def call(exchange: Exchange, service: Service, given: Mapping[str, Any]) -> dict[str, Any]:
    """Run a search. Raises InvalidRequest naming a parameter, PrivilegeDenied for a named table that the caller may not read."""
    names = [name for name, _, _ in PARAMETERS]
    for name, value in given.items():
        if name in _REFUSED and value is not None:
            raise InvalidRequest(f"Parameter '{name}' of '{NAME}' is not supported. Accepted: {', '.join(names)}.")
        if name not in names and name not in _REFUSED:
            raise InvalidRequest(f"Action '{NAME}' has no parameter '{name[:100]}'.{nearest(name, names)}")
    options = _options(given.get("options"))
    groups = _groups(given.get("search"), every=options.get("searchmode") == "all")
    chosen = _entities(given.get("entities"), service)
    skip, top = _whole(given, "skip", 0, CANDIDATES_MAX), _whole(given, "top", TOP_DEFAULT, TOP_MAX)
    count = given.get("count")
    if not isinstance(count, bool | None):
        raise InvalidRequest(f"Parameter 'count' must be true or false, found {values.shown(count)}.")
    tables = {table.logical: columns for table, columns in chosen} if chosen else {}
    named = list(tables) or [table.logical for table in searched(service.catalog)]
    with service.store.read() as reader:
        found = text_index.search(reader, groups, named, CANDIDATES_MAX)
        as_of = indexed_on(reader, service.catalog)
    records = _readable(exchange, service, found, tables)
    seen = [item for item in found if (item.table, item.id) in records]
    answer: dict[str, Any] = {
        "Error": None,
        "Value": [
            {
                "Id": item.id,
                "EntityName": item.table,
                "ObjectTypeCode": service.catalog.table(item.table).object_type_code,
                "Attributes": records[item.table, item.id],
                "Highlights": {},
                "Score": item.score,
            }
            for item in seen[skip : skip + top]
        ],
        "Facets": {},
        "QueryContext": None,
        "Count": len(seen) if count else -1,
        "IndexedOn": _plain(as_of),
    }
    return {"response": _ENCODER.encode(answer).decode()}


def _readable(
    exchange: Exchange, service: Service, found: Sequence[Found], chosen: Mapping[str, Sequence[str]]
) -> dict[tuple[str, str], dict[str, Any]]:
    """Of the records that the index names those that the caller may read, with their columns."""
    by_table: dict[str, list[str]] = {}
    for item in found:
        by_table.setdefault(item.table, []).append(item.id)
    records: dict[tuple[str, str], dict[str, Any]] = {}
    for name, ids in by_table.items():
        table = service.catalog.table(name)
        columns = [table.primary_id, *(chosen.get(name) or _shown_columns(table))]
        try:
            for start in range(0, len(ids), _IDS_AT_ONCE):
                wanted = tuple(UUID(found) for found in ids[start : start + _IDS_AT_ONCE])
                asked = Query(
                    name,
                    tuple(Attribute(column) for column in dict.fromkeys(columns)),
                    filter=Filter("and", (Condition(table.primary_id, "in", wanted),)),
                    top=_IDS_AT_ONCE,
                )
                for row in python_rows(service.retrieve_multiple(asked, exchange.call)):
                    values_of = {key: _plain(value) for key, value in row.items() if value is not None}
                    records[name, str(row[table.primary_id])] = values_of
        except PrivilegeDenied:
            if name in chosen:
                raise
    return records


def _shown_columns(table: Table) -> list[str]:
    return [table.primary_name] if table.primary_name is not None else [column.logical for column in texts_of(table)]


def _plain(value: Any) -> Any:
    if isinstance(value, Reference):
        return str(value.id)
    if isinstance(value, datetime):
        return moment_wire(moment_text(value))
    if isinstance(value, UUID | date):
        return str(value)
    return value


def _groups(search: Any, *, every: bool) -> list[list[str]]:
    """What is searched for: the words of one group must all be there, and one group is enough."""
    if not isinstance(search, str) or not search.strip():
        raise InvalidRequest(f"Action '{NAME}' needs parameter 'search': the words to look for.")
    if len(search) > _SEARCH_CHARACTERS_MAX:
        raise InvalidRequest(
            f"Parameter 'search' has at most {_SEARCH_CHARACTERS_MAX} characters, found {len(search)}."
        )
    for position, character in enumerate(search):
        if character in _SYNTAX:
            raise InvalidRequest(
                f"Parameter 'search': '{character}' is not supported; words, '+', '|' and a '*' at a word's end are "
                f"(at position {position})."
            )
    groups: list[list[str]] = []
    for alternative in search.split("|"):
        # "a+b c": both of the first two, or the third; where all are wanted, all three.
        joined = False
        for part in alternative.replace("+", " + ").split():
            if part == "+":
                joined = True
                continue
            if joined and groups:
                groups[-1].extend(_words(part))
            else:
                groups.append(_words(part))
            joined = every
        groups.append([])
    found = [group for group in groups if group]
    if not found:
        raise InvalidRequest(f"Parameter 'search' holds no word: '{search}'.")
    return found


def _words(part: str) -> list[str]:
    prefix = part.endswith("*")
    if "*" in part.rstrip("*"):
        raise InvalidRequest(f"Parameter 'search': a '*' stands at a word's end, not as in '{part}'.")
    words = list(text_index.words_of([part]))
    if prefix and words:
        words[-1] += "*"
    return words


def _entities(found: Any, service: Service) -> list[tuple[Table, list[str]]]:
    """The tables that are meant, with the columns to answer; none: all."""
    given = _json(found, "entities") if isinstance(found, str) else found
    if given is None:
        return []
    if not isinstance(given, list) or not all(isinstance(item, dict) and "name" in item for item in given):
        raise InvalidRequest("Parameter 'entities' must be an array of {\"name\": …} as JSON.")
    known = {table.logical: table for table in searched(service.catalog)}
    chosen = []
    for item in given:
        lowered = {str(key).lower(): value for key, value in item.items()}
        for key in lowered:
            if key not in ("name", "selectcolumns"):
                raise InvalidRequest(
                    f"Parameter 'entities': '{key[:100]}' is not supported; name and selectColumns are."
                )
        table = known.get(str(lowered["name"]))
        if table is None:
            name = str(lowered["name"])[:100]
            raise InvalidRequest(f"Table '{name}' cannot be searched.{nearest(name, known)}")
        columns = [str(column) for column in lowered.get("selectcolumns") or ()]
        for column in columns:
            if column not in table.columns or not table.columns[column].readable:
                raise InvalidRequest(
                    f"Column '{column[:100]}' does not exist on table '{table.logical}'.{nearest(column, table.columns)}"
                )
        chosen.append((table, columns))
    return chosen


def _options(found: Any) -> dict[str, str]:
    options = _json(found, "options") if isinstance(found, str) else found
    if options is None:
        return {}
    accepted = {"searchmode": ("any", "all"), "querytype": ("simple",)}
    if not isinstance(options, dict):
        raise InvalidRequest("Parameter 'options' must be an object as JSON.")
    for name, value in options.items():
        if name not in accepted or value not in accepted[name]:
            known = ", ".join(f"{key}: {' or '.join(allowed)}" for key, allowed in accepted.items())
            raise InvalidRequest(
                f"Parameter 'options': {values.shown({name: value})} is not supported. Accepted: {known}."
            )
    return options


def _json(text: str, name: str) -> Any:
    try:
        return msgspec.json.decode(text.encode())
    except (msgspec.DecodeError, RecursionError):
        raise InvalidRequest(f"Parameter '{name}' is no valid JSON.") from None


def _whole(given: Mapping[str, Any], name: str, default: int, most: int) -> int:
    value = given.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise InvalidRequest(
            f"Parameter '{name}' must be a whole number from 0 to {most:,}, found {values.shown(value)}."
        )
    return value
