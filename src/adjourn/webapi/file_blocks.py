"""The actions with which SDKs move files of columns: blocks up, blocks down, and DeleteFile.

A token is the upload's id, or says which column of which record is read; whoever presents it needs the same rights again.
Source: the page "Use file column data".
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from adjourn import config
from adjourn.errors import InvalidRequest, NotFound, nearest
from adjourn.metadata import values
from adjourn.metadata.model import Reference
from adjourn.pipeline import files as uploads
from adjourn.pipeline.handlers import RECORD
from adjourn.query import files
from adjourn.query.tree import Attribute, Query
from adjourn.service import Service
from adjourn.webapi import file_columns, single_value
from adjourn.webapi.addresses import Addresses
from adjourn.webapi.exchange import Exchange

_BLOCK_ID_BYTES_MAX = 64
Parameters = Mapping[str, Any]


def call(exchange: Exchange, service: Service, name: str, given: Parameters) -> dict[str, Any]:
    """Run one of the actions; its output parameters. Raises InvalidRequest naming a parameter."""
    accepted, action = ACTIONS[name]
    for parameter in given:
        if parameter not in {found for found, _, _ in accepted}:
            names = [found for found, _, _ in accepted]
            raise InvalidRequest(f"Action '{name}' has no parameter '{parameter[:100]}'.{nearest(parameter, names)}")
    for parameter, kind, required in accepted:
        value = given.get(parameter)
        if value is None and required:
            raise InvalidRequest(f"Action '{name}' needs parameter '{parameter}'.")
        if value is None:
            continue
        if not _fits(value, kind):
            raise InvalidRequest(
                f"Parameter '{parameter}' of action '{name}' must be {kind}, found {values.shown(value)}."
            )
    return action(exchange, service, given)


def _initialize_upload(exchange: Exchange, service: Service, given: Parameters) -> dict[str, Any]:
    target = Addresses(exchange, service).parameter(given["Target"], "Target")
    column = uploads.file_column(service.catalog, target.table, given["FileAttributeName"])
    found = uploads.begin(service.pipeline, exchange.call, target, column, given["FileName"])
    return {"FileContinuationToken": str(found)}


def _upload_block(exchange: Exchange, service: Service, given: Parameters) -> dict[str, Any]:
    if not 0 < len(_decoded(given["BlockId"], "BlockId")) <= _BLOCK_ID_BYTES_MAX:
        raise InvalidRequest(f"Parameter 'BlockId' must be 1 to {_BLOCK_ID_BYTES_MAX} bytes in Base64.")
    content = _decoded(given["BlockData"], "BlockData")
    if not 0 < len(content) <= config.FILE_PIECE_BYTES:
        raise InvalidRequest(f"Parameter 'BlockData' must be 1 to {config.FILE_PIECE_BYTES:,} bytes in Base64.")
    token = values.guid(given["FileContinuationToken"], "FileContinuationToken")
    uploads.put(service.pipeline, exchange.call, token, given["BlockId"], content)
    return {}


def _commit(exchange: Exchange, service: Service, given: Parameters) -> dict[str, Any]:
    found = uploads.commit(
        service.pipeline,
        exchange.call,
        values.guid(given["FileContinuationToken"], "FileContinuationToken"),
        lambda pieces: list(given["BlockList"]),
        mime_type=given.get("MimeType"),
        file_name=given["FileName"],
    )
    return {"FileId": found.id, "FileSizeInBytes": found.size}


def _initialize_download(exchange: Exchange, service: Service, given: Parameters) -> dict[str, Any]:
    target = Addresses(exchange, service).parameter(given["Target"], "Target")
    column = uploads.file_column(service.catalog, target.table, given["FileAttributeName"])
    found, _ = file_columns.located(service, exchange.call, _file_of(exchange, service, target, column.logical))
    token = base64.urlsafe_b64encode(f"{target.table}/{target.id}/{column.logical}".encode()).decode()
    return {
        "FileSizeInBytes": found.size,
        "FileName": found.name,
        "FileContinuationToken": token,
        "IsChunkingSupported": True,
    }


def _download_block(exchange: Exchange, service: Service, given: Parameters) -> dict[str, Any]:
    try:
        text = base64.urlsafe_b64decode(given["FileContinuationToken"].encode()).decode()
        table, record, name = text.split("/")
    except (ValueError, UnicodeError):
        raise InvalidRequest(
            "Parameter 'FileContinuationToken' is none that InitializeFileBlocksDownload gave."
        ) from None
    column = uploads.file_column(service.catalog, table, name)
    target = Reference(table, values.guid(record, "FileContinuationToken"))
    found, pieces = file_columns.located(service, exchange.call, _file_of(exchange, service, target, column.logical))
    first, length = given["Offset"], given["BlockLength"]
    if not 0 <= first <= found.size or not 0 < length <= config.FILE_PIECE_BYTES:
        raise InvalidRequest(
            f"Offset must lie within the file's {found.size:,} bytes, and BlockLength be 1 to {config.FILE_PIECE_BYTES:,}."
        )
    content = b"".join(file_columns.read(service, exchange.call, pieces, first, min(first + length, found.size) - 1))
    return {"Data": base64.b64encode(content).decode()}


def _delete(exchange: Exchange, service: Service, given: Parameters) -> dict[str, Any]:
    file_id = values.guid(given["FileId"], "FileId")
    with service.store.read() as reader:
        place = files.holder(reader, file_id)
    if place is None or not file_columns.takes_files(service.catalog.table(place[0].table).columns.get(place[1])):
        raise NotFound(f"File {file_id} does not exist in a file column.")
    target, name = place
    if _file_of(exchange, service, target, name) != file_id:
        raise NotFound(f"File {file_id} does not exist in a file column.")
    column = uploads.file_column(service.catalog, target.table, name)
    uploads.remove(service.pipeline, exchange.call, target, column)
    return {}


def _file_of(exchange: Exchange, service: Service, target: Reference, column: str) -> UUID:
    """The file in a column, as the caller may read it. Raises NotFound for none."""
    table = service.catalog.table(target.table)
    query = Query(table.logical, (Attribute(column),))
    rows, row = single_value.one(exchange, service, query, table, target.id)
    raw = row[single_value.index(rows, column)]
    if raw is None:
        raise NotFound(f"No file attachment found for attribute: {column} EntityId: {target.id}.")
    return UUID(raw)


def _fits(value: Any, kind: str) -> bool:
    if kind == RECORD:
        return isinstance(value, dict)
    if kind == "Collection(Edm.String)":
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if kind in ("Edm.Int64", "Edm.Int32"):
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, str)


def _decoded(text: str, name: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest(f"Parameter '{name}' must be Base64.") from None


_TOKEN = ("FileContinuationToken", "Edm.String", True)
Action = tuple[tuple[tuple[str, str, bool], ...], Callable[[Exchange, Service, Parameters], dict[str, Any]]]
ACTIONS: dict[str, Action] = {
    "InitializeFileBlocksUpload": (
        (("Target", RECORD, True), ("FileName", "Edm.String", True), ("FileAttributeName", "Edm.String", True)),
        _initialize_upload,
    ),
    "UploadBlock": ((("BlockId", "Edm.String", True), ("BlockData", "Edm.Binary", True), _TOKEN), _upload_block),
    "CommitFileBlocksUpload": (
        (
            ("FileName", "Edm.String", True),
            ("MimeType", "Edm.String", False),
            ("BlockList", "Collection(Edm.String)", True),
            _TOKEN,
        ),
        _commit,
    ),
    "InitializeFileBlocksDownload": (
        (("Target", RECORD, True), ("FileAttributeName", "Edm.String", True)),
        _initialize_download,
    ),
    "DownloadBlock": (
        (("Offset", "Edm.Int64", True), ("BlockLength", "Edm.Int64", True), _TOKEN),
        _download_block,
    ),
    "DeleteFile": ((("FileId", "Edm.Guid", True),), _delete),
}
"""Their parameters, as a message's, and what runs them."""
