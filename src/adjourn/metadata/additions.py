"""What callers add to the shipped metadata: documents of the same form, laid over it.

`Additions` holds one document per table: a whole one for a table of the caller's, and only `columns`, `choices`,
`relationships` and `keys` for a table that ships. `customizing` makes them, `query.metadata_documents` keeps them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adjourn.errors import InvalidRequest
from adjourn.metadata.catalog import MetadataError, build, shipped
from adjourn.metadata.model import Catalog

Additions = dict[str, dict[str, Any]]
JOB = "asyncoperation"
"""Jobs can be about every table of the callers'."""
FILE = "fileattachment"
INVALID_METADATA = 0x8004023A


def combined(additions: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The shipped documents with the additions laid over them; jobs can be about every table of the callers'."""
    documents: dict[str, Mapping[str, Any]] = dict(shipped())
    for name, added in additions.items():
        base = documents.get(name)
        documents[name] = added if base is None else _over(base, added)
    own = [name for name, added in additions.items() if "table" in added and not added["table"].get("is_intersect")]
    if own:
        documents[JOB] = _regarding(documents[JOB], {name: additions[name]["table"]["schema"] for name in own})
    holders = [name for name, added in additions.items() if any(e["type"] == "File" for e in added.get("columns", ()))]
    if holders:
        documents[FILE] = _attached(documents[FILE], holders)
    return documents


def catalog_of(additions: Mapping[str, Mapping[str, Any]], version: int) -> Catalog:
    """The catalog of the shipped tables and these. Raises InvalidRequest for additions that contradict each other."""
    try:
        return build(combined(additions), version)
    except MetadataError as error:
        raise InvalidRequest(
            f"The change does not fit the rest of the metadata: {error}.", code=INVALID_METADATA
        ) from error


def _over(base: Mapping[str, Any], added: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **base,
        "columns": [*base["columns"], *added.get("columns", ())],
        "choices": {**base["choices"], **added.get("choices", {})},
        "relationships": [*base["relationships"], *added.get("relationships", ())],
        "keys": [*base.get("keys", ()), *added.get("keys", ())],
    }


def _attached(file: Mapping[str, Any], holders: list[str]) -> dict[str, Any]:
    """Files belong to records of these tables too."""
    columns = [
        {**entry, "targets": [*entry["targets"], *(name for name in holders if name not in entry["targets"])]}
        if entry["name"] == "objectid"
        else entry
        for entry in file["columns"]
    ]
    present = {found["references"] for found in file["relationships"]}
    relationships = [
        {
            "name": f"{name}_FileAttachments",
            "column": "objectid",
            "references": name,
            "navigation": f"objectid_{name}",
            "delete": "Cascade",
        }
        for name in holders
        if name not in present
    ]
    return {**file, "columns": columns, "relationships": [*file["relationships"], *relationships]}


def _regarding(job: Mapping[str, Any], own: Mapping[str, str]) -> dict[str, Any]:
    columns = [
        {**entry, "targets": [*entry["targets"], *own]} if entry["name"] == "regardingobjectid" else entry
        for entry in job["columns"]
    ]
    relationships = [
        {
            "name": f"{schema}_AsyncOperations",
            "column": "regardingobjectid",
            "references": name,
            "navigation": f"regardingobjectid_{name}",
            "delete": "NoCascade",
        }
        for name, schema in own.items()
    ]
    return {**job, "columns": columns, "relationships": [*job["relationships"], *relationships]}
