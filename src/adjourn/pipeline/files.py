"""Files in columns of records: uploaded block by block, put into the record at once, read by ranges.

    begin      an upload for one column of one record; it has an id, which is the file's later
    put        one block, in a short unit of its own: durable when it returns, and no file yet
    commit     the blocks in their order become the file: an Update of the record, in one transaction with the file's row;
               the file that was there before goes with it

Blocks are cut into pieces of at most 4 MiB which are never joined again, so that committing a large file is as quick as
committing a small one, and nothing ever holds more of it than a piece. A process that dies leaves an upload that nobody
goes on with (forgotten after a day) or contents that no row mentions (swept); never a column without its file.
Source: the page "Use file column data".
"""

from __future__ import annotations

import dataclasses
import mimetypes
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar
from uuid import UUID

from adjourn import config, runtime
from adjourn.errors import Duplicate, InvalidRequest, NotFound, clean
from adjourn.metadata.custom_columns import FILE_NAME_CHARACTERS_MAX
from adjourn.metadata.model import Catalog, Column, ColumnType, Reference
from adjourn.pipeline import access
from adjourn.pipeline.call import Call
from adjourn.pipeline.execute import Pipeline
from adjourn.pipeline.messages import MESSAGES
from adjourn.pipeline.prepared import Prepared
from adjourn.pipeline.read import not_found
from adjourn.pipeline.record import Record
from adjourn.query import files, write
from adjourn.query.files import Piece, Stored, Upload
from adjourn.store.contract import Transaction

T = TypeVar("T")
FILE_TOO_LARGE = 0x80044A02
OCTETS = "application/octet-stream"


def file_column(catalog: Catalog, table: str, name: str) -> Column:
    """A file column that callers may put files into. Raises InvalidRequest for any other."""
    column = catalog.table(table).columns.get(name)
    if column is None or column.type is not ColumnType.FILE or column.size_kb_max is None:
        raise InvalidRequest(f"Column '{name[:100]}' of table '{table}' is no file column that files can be put into.")
    return column


def begin(pipeline: Pipeline, call: Call, target: Reference, column: Column, file_name: str) -> UUID:
    """Begin an upload; returns its id. Raises NotFound for a record that is not there, InvalidRequest for the name."""
    upload = Upload(runtime.new_id(), target, column.logical, _checked_name(file_name), call.caller.user_id)

    def unit(tx: Transaction) -> None:
        table = pipeline.catalog.table(target.table)
        access.require(tx, pipeline.catalog, call.caller, "Write", table, target.id)
        if not write.exists(tx, table, target.id):
            raise not_found(table, target.id)
        files.begin(tx, upload)

    _write(pipeline, call, unit)
    return upload.id


def put(
    pipeline: Pipeline,
    call: Call,
    upload_id: UUID,
    block: str,
    content: bytes,
    *,
    target: Reference | None = None,
    total: int = 0,
) -> int:
    """Keep a block; one of this name that was sent before is replaced. Returns how many bytes of the file are there.

    target: the record that the upload must be for. total: how large the file will be, if that is known. Raises
    InvalidRequest when the file becomes larger than its column takes, NotFound for no such upload.
    """
    size = config.FILE_PIECE_BYTES
    parts = [
        (Piece(runtime.new_id(), block, start, len(content[start : start + size])), content[start : start + size])
        for start in range(0, len(content), size)
    ]

    def unit(tx: Transaction) -> int:
        upload = _going_on(tx, upload_id, call, target)
        files.drop_block(tx, upload_id, block)
        count, held = files.held(tx, upload_id)
        if count + len(parts) > config.FILE_BLOCKS_MAX:
            raise InvalidRequest(f"A file is sent in at most {config.FILE_BLOCKS_MAX:,} blocks; send larger ones.")
        check_size(file_column(pipeline.catalog, upload.target.table, upload.column), max(held + len(content), total))
        for piece, part in parts:
            tx.write_file(piece.id, part)
        files.add(tx, upload_id, [piece for piece, _ in parts])
        return held + len(content)

    return _write(pipeline, call, unit)


def commit(
    pipeline: Pipeline,
    call: Call,
    upload_id: UUID,
    order: Callable[[Sequence[Piece]], list[str]],
    *,
    mime_type: str | None = None,
    file_name: str | None = None,
    only_if_empty: bool = False,
    target: Reference | None = None,
) -> Stored:
    """Make the blocks the column's file. order: the names of the blocks, first to last, from the pieces that are there.

    Raises what the record's Update raises, NotFound for no such upload or a block that was never sent.
    """
    with _transaction(pipeline, call, "file upload") as inside:
        tx = inside.transaction
        assert tx is not None
        upload = _going_on(tx, upload_id, call, target)
        if file_name is not None:
            upload = dataclasses.replace(upload, file_name=_checked_name(file_name))
        column = file_column(pipeline.catalog, upload.target.table, upload.column)
        chosen, size = arranged(found := files.pieces(tx, upload_id), order(found))
        check_size(column, size)
        table = pipeline.catalog.table(upload.target.table)
        if only_if_empty and (write.fetch(tx, table, upload.target.id, [column.logical]) or {}).get(column.logical):
            raise Duplicate(f"Column '{column.logical}' holds a file already.")
        _set(pipeline, inside, upload.target, column, upload.id, upload.file_name)
        files.forget(tx, upload.target, column.logical)
        kind = _checked_type(mime_type) or mimetypes.guess_type(upload.file_name)[0] or OCTETS
        files.finish(tx, upload, chosen, kind, size)
        return Stored(upload.id, upload.file_name, kind, size)


def remove(pipeline: Pipeline, call: Call, target: Reference, column: Column) -> None:
    """Empty a file column, and remove its file."""
    with _transaction(pipeline, call, "file removal") as inside:
        assert inside.transaction is not None
        _set(pipeline, inside, target, column, None, None)
        files.forget(inside.transaction, target, column.logical)


def arranged(found: Sequence[Piece], order: Sequence[str]) -> tuple[list[Piece], int]:
    """The pieces of these blocks with their places in the file, and its size. Raises NotFound for a missing block."""
    by_block: dict[str, list[Piece]] = {}
    for piece in found:
        by_block.setdefault(piece.block, []).append(piece)
    chosen: list[Piece] = []
    size = 0
    if len(set(order)) != len(order):
        raise InvalidRequest("A block stands twice in the list of blocks.")
    for block in order:
        if block not in by_block:
            raise NotFound(f"Block '{block[:100]}' of the file was never sent.", code=0x80040203, status=400)
        for piece in sorted(by_block[block], key=lambda one: one.start):
            chosen.append(dataclasses.replace(piece, start=size))
            size += piece.size
    return chosen, size


def slices(found: Sequence[Piece], first: int, last: int) -> list[tuple[UUID, int, int]]:
    """Which parts of which pieces make the bytes from `first` to `last` of a file: piece, its first byte, behind its last."""
    return [
        (piece.id, max(first - piece.start, 0), min(last + 1 - piece.start, piece.size))
        for piece in found
        if piece.start <= last and first < piece.start + piece.size
    ]


def check_size(column: Column, size: int) -> None:
    """Raise the documented error for more bytes than the column takes."""
    limit = column.size_kb_max or 0
    if size > limit * 1024:
        raise InvalidRequest(
            f"Attachment file size is too big. Column '{column.logical}' takes {limit:,} KB.", code=FILE_TOO_LARGE
        )


def _set(
    pipeline: Pipeline, call: Call, target: Reference, column: Column, file_id: UUID | None, name: str | None
) -> None:
    """The record's Update, with its steps. Callers cannot send these columns' values, so it is prepared here."""
    values = {column.logical: file_id, f"{column.logical}_name": name}
    prepared = Prepared(target.table, target.id, {"Target": Record(target.table, target.id, values)})
    pipeline.run("Update", prepared, MESSAGES["Update"].perform, pipeline.correlated(call))


def _going_on(tx: Transaction, upload_id: UUID, call: Call, target: Reference | None = None) -> Upload:
    found = files.touch(tx, upload_id)
    if found is None or found.user_id != call.caller.user_id or target not in (None, found.target):
        raise NotFound(f"There is no upload {upload_id}: it was committed, or nobody went on with it for too long.")
    return found


def _checked_name(name: str) -> str:
    if not 0 < len(name) <= FILE_NAME_CHARACTERS_MAX or clean(name) != name or not name.isprintable() or "/" in name:
        raise InvalidRequest(
            f"A file needs a name (x-ms-file-name) of 1 to {FILE_NAME_CHARACTERS_MAX} characters without slashes and "
            f"control characters, found {clean(name[:60])!r}."
        )
    return name


def _checked_type(mime_type: str | None) -> str | None:
    if mime_type is not None and (len(mime_type) > 256 or not mime_type.isascii() or not mime_type.isprintable()):
        raise InvalidRequest("A MIME type has at most 256 printable ASCII characters.")
    return mime_type


def _write(pipeline: Pipeline, call: Call, unit: Callable[[Transaction], T]) -> T:
    return unit(call.transaction) if call.transaction is not None else pipeline.store.write(unit)


@contextmanager
def _transaction(pipeline: Pipeline, call: Call, label: str) -> Iterator[Call]:
    if call.transaction is not None:
        with call.transaction.savepoint():
            yield call
        return
    with pipeline.transaction(label) as unit:
        yield dataclasses.replace(call, transaction=unit.tx)
