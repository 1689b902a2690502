"""`PUT asyncoperations(<id>)/data/$value`: the body becomes the job's data, stored while it arrives. adjourn's own.

The address that gives a job's data back also takes it: the text itself, in UTF-8, up to the 128,000 KB of its file column.
Who may, when, and what happens to the job: `pipeline.data_upload`. PATCH and PUT of the property stay refused, as the
specification opens three columns for update. Source: docs/decisions/0028.
"""

from __future__ import annotations

import dataclasses

from adjourn import config
from adjourn.errors import InvalidRequest, UnknownResource
from adjourn.jobs.job_data import COLUMN, TABLE
from adjourn.pipeline.data_upload import DataUpload, check_size
from adjourn.service import Service
from adjourn.webapi.exchange import Answer, Exchange, check_encoding, condition, no_content
from adjourn.webapi.resource import Resource

PIECE_BYTES = 1024 * 1024
"""What is handed on at a time as the body arrives."""
HELD_BYTES_MAX = 2 * config.FILE_PIECE_BYTES
"""What one request may hold in memory: what waits to be a whole piece, and the piece that is being written."""
_ENDING = f"/{COLUMN}/$value"


def arrives(method: str, path: str) -> bool:
    """Whether a request's body is to be taken in as it arrives."""
    return method == "PUT" and path.endswith(_ENDING)


def is_data(resource: Resource) -> bool:
    """Whether an address is that of a job's data."""
    return resource.table.logical == TABLE and resource.column is not None and resource.column.logical == COLUMN


def put(exchange: Exchange, service: Service, resource: Resource) -> Answer:
    """New data for a job: 204. Raises what `DataUpload` raises, InvalidRequest for headers that mean something else."""
    if resource.key is None or resource.hops:
        raise UnknownResource("A job's data is addressed by the job's own key: asyncoperations(<id>)/data/$value.")
    _check_headers(exchange)
    announced = exchange.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit():
        check_size(int(announced[:20]))
    call = dataclasses.replace(exchange.call, if_match=condition(exchange, "if-match"))
    upload = DataUpload(service.pipeline, call, resource.key)
    if exchange.arriving:
        return dataclasses.replace(no_content(), taker=upload)
    try:
        upload.write(exchange.body)
        upload.finish()
    except BaseException:
        upload.abandon()
        raise
    return no_content()


def _check_headers(exchange: Exchange) -> None:
    headers = exchange.headers
    check_encoding(headers)
    if headers.get("if-none-match", "") not in ("", "null"):
        raise InvalidRequest("If-None-Match cannot be used with a job's data; If-Match can.")
    if "content-range" in headers:
        raise InvalidRequest("A job's data is sent as a whole; Content-Range cannot be used with it.")
    kind, _, options = headers.get("content-type", "").partition(";")
    charset = options.partition("charset=")[2].partition(";")[0].strip('" ').lower()
    if charset not in ("", "utf-8", "utf8"):
        raise InvalidRequest(f"The data of a system job is text in UTF-8, not in '{charset[:60]}' ({kind[:60]}).")
