"""The statements of files in columns: uploads under way, the pieces of files, and what belongs to which record.

A file is a `fileattachment` row and its pieces, in the order of their first bytes; each piece's content lies where the store
keeps files, under the piece's own id. The file that a job was made with has no pieces: it lies under its own id as a
whole; what was uploaded as a job's data has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from adjourn.metadata.model import Reference
from adjourn.metadata.values import moment_text
from adjourn.store.contract import Reader, Transaction


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that is being sent, for one column of one record."""

    id: UUID
    target: Reference
    column: str
    file_name: str
    user_id: UUID


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a file. start: its first byte, counted from that of its block while the file is uploaded."""

    id: UUID
    block: str
    start: int
    size: int


@dataclass(frozen=True, slots=True)
class Stored:
    """What is known of a stored file beside its content."""

    id: UUID
    name: str
    mime_type: str
    size: int


def begin(tx: Transaction, upload: Upload) -> None:
    """Note that an upload has begun."""
    tx.execute(
        "INSERT INTO fileupload (fileuploadid, tablename, recordid, columnname, filename, userid, touchedon) "
        "VALUES (:id, :table, :record, :column, :name, :user, :now)",
        {
            "id": str(upload.id),
            "table": upload.target.table,
            "record": str(upload.target.id),
            "column": upload.column,
            "name": upload.file_name,
            "user": str(upload.user_id),
            "now": moment_text(tx.now),
        },
    )


def touch(tx: Transaction, upload_id: UUID) -> Upload | None:
    """An upload that goes on now; nobody else adds to it before this unit has ended. None if there is none."""
    key = {"id": str(upload_id)}
    tx.execute("UPDATE fileupload SET touchedon = :now WHERE fileuploadid = :id", {**key, "now": moment_text(tx.now)})
    rows = tx.rows(
        "SELECT tablename, recordid, columnname, filename, userid FROM fileupload WHERE fileuploadid = :id", key
    )
    if not rows:
        return None
    table, record, column, name, user = rows[0]
    return Upload(upload_id, Reference(table, UUID(record)), column, name, UUID(user))


def held(reader: Reader, file_id: UUID) -> tuple[int, int]:
    """How many pieces of a file there are, and their bytes together."""
    rows = reader.rows(
        "SELECT count(*), CAST(coalesce(sum(sizeinbytes), 0) AS bigint) FROM filepiece WHERE fileid = :id",
        {"id": str(file_id)},
    )
    return int(rows[0][0]), int(rows[0][1])


def pieces(reader: Reader, file_id: UUID) -> list[Piece]:
    """The pieces of a file, by their first bytes."""
    rows = reader.rows(
        "SELECT pieceid, blockname, startbyte, sizeinbytes FROM filepiece WHERE fileid = :id ORDER BY startbyte",
        {"id": str(file_id)},
    )
    return [Piece(UUID(piece), block, start, size) for piece, block, start, size in rows]


def drop_block(tx: Transaction, file_id: UUID, block: str) -> None:
    """Forget what was sent as this block before."""
    parameters = {"id": str(file_id), "block": block}
    _remove(tx, tx.rows("SELECT pieceid FROM filepiece WHERE fileid = :id AND blockname = :block", parameters))
    tx.execute("DELETE FROM filepiece WHERE fileid = :id AND blockname = :block", parameters)


def add(tx: Transaction, file_id: UUID, found: Iterable[Piece]) -> None:
    """Add pieces whose contents have been written."""
    tx.execute_many(
        "INSERT INTO filepiece (pieceid, fileid, blockname, startbyte, sizeinbytes) "
        "VALUES (:piece, :id, :block, :start, :size)",
        [
            {"piece": str(one.id), "id": str(file_id), "block": one.block, "start": one.start, "size": one.size}
            for one in found
        ],
    )


def finish(tx: Transaction, upload: Upload, chosen: Sequence[Piece], mime_type: str, size: int) -> None:
    """Make a file of an upload: these pieces, with their places in it, and no others."""
    kept = {one.id for one in chosen}
    dropped = [(str(one.id),) for one in pieces(tx, upload.id) if one.id not in kept]
    tx.execute_many("DELETE FROM filepiece WHERE pieceid = :id", [{"id": found[0]} for found in dropped])
    _remove(tx, dropped)
    tx.execute_many(
        "UPDATE filepiece SET startbyte = :start WHERE pieceid = :id",
        [{"id": str(one.id), "start": one.start} for one in chosen],
    )
    tx.execute("DELETE FROM fileupload WHERE fileuploadid = :id", {"id": str(upload.id)})
    tx.execute(
        "INSERT INTO fileattachment (fileattachmentid, filename, mimetype, objectid, objectidtypecode, "
        "regardingfieldname, createdon, filesizeinbytes, iscommitted) "
        "VALUES (:id, :name, :type, :record, :table, :column, :now, :size, :committed)",
        {
            "id": str(upload.id),
            "name": upload.file_name,
            "type": mime_type,
            "record": str(upload.target.id),
            "table": upload.target.table,
            "column": upload.column,
            "now": moment_text(tx.now),
            "size": size,
            "committed": True if tx.dialect == "postgres" else 1,
        },
    )


def abandon(tx: Transaction, upload_id: UUID) -> None:
    """Forget an upload with what has arrived of it."""
    key = {"id": str(upload_id)}
    gone = tx.rows("SELECT pieceid FROM filepiece WHERE fileid = :id", key)
    tx.execute("DELETE FROM filepiece WHERE fileid = :id", key)
    tx.execute("DELETE FROM fileupload WHERE fileuploadid = :id", key)
    _remove(tx, gone)


def forget(tx: Transaction, target: Reference, column: str | None = None) -> None:
    """Remove the files of a record, or of one column of it, with their contents."""
    which = "SELECT fileattachmentid FROM fileattachment WHERE objectid = :id AND objectidtypecode = :table"
    parameters = {"id": str(target.id), "table": target.table}
    if column is not None:
        which += " AND regardingfieldname = :column"
        parameters["column"] = column
    gone = tx.rows(f"SELECT pieceid FROM filepiece WHERE fileid IN ({which})", parameters)
    tx.execute(f"DELETE FROM filepiece WHERE fileid IN ({which})", parameters)
    tx.execute(f"DELETE FROM fileattachment WHERE fileattachmentid IN ({which})", parameters)
    _remove(tx, gone)


def stored(reader: Reader, file_id: UUID) -> Stored | None:
    """A stored file's name, type and size; None if there is no such file."""
    rows = reader.rows(
        "SELECT filename, mimetype, filesizeinbytes FROM fileattachment WHERE fileattachmentid = :id",
        {"id": str(file_id)},
    )
    if not rows:
        return None
    name, mime_type, size = rows[0]
    return Stored(file_id, name or "", mime_type or "application/octet-stream", size or 0)


def holder(reader: Reader, file_id: UUID) -> tuple[Reference, str] | None:
    """The record and the column that a file lies in."""
    rows = reader.rows(
        "SELECT objectidtypecode, objectid, regardingfieldname FROM fileattachment WHERE fileattachmentid = :id",
        {"id": str(file_id)},
    )
    return (Reference(rows[0][0], UUID(rows[0][1])), rows[0][2]) if rows and rows[0][1] else None


def _remove(tx: Transaction, rows: Iterable[Sequence[str]]) -> None:
    tx.delete_files([UUID(row[0]) for row in rows])
