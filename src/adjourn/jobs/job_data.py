"""A job's data: where it lies, and how it is replaced before the job has begun.

Up to 4 MB lie in the job's long text, more in a file: as a whole under the file's own id (what the job was made with), or in
pieces (what was uploaded, `query.files`). Replacing it is one unit: the new data is there and the old one gone, or nothing
has happened. Only the data of a job of one's own message is its maker's text; that of all others is the platform's.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple
from uuid import UUID

from adjourn.errors import InvalidRequest, InvalidStateChange
from adjourn.jobs import actions, history
from adjourn.jobs.history import Entry, Event
from adjourn.jobs.model import REQUEST
from adjourn.jobs.statements import later
from adjourn.jobs.states import LABELS, STATE_OF, State, Status
from adjourn.metadata.model import Reference
from adjourn.metadata.values import moment_text
from adjourn.query import files
from adjourn.query.files import Piece, Upload
from adjourn.store.contract import Dialect, Reader, Transaction

TABLE, COLUMN = "asyncoperation", "data"
FILE_NAME, FILE_TYPE = "data.json", "application/json"


class Standing(NamedTuple):
    """What there is to know of a job before its data is replaced."""

    sequence: int
    status: int
    operation_type: int
    started: str | None
    file_id: str | None
    owner: str
    owner_table: str | None
    created_by: str

    @property
    def user_id(self) -> UUID:
        """Who the job runs as; for a team, whoever made the job for it."""
        return UUID(self.owner if (self.owner_table or "systemuser") == "systemuser" else self.created_by)


def content(reader: Reader, file_id: UUID) -> str:
    """Data that lies in a file. Raises NotFound."""
    pieces = files.pieces(reader, file_id)
    found = [reader.read_file(piece.id) for piece in pieces] if pieces else [reader.read_file(file_id)]
    return b"".join(found).decode()


def standing(reader: Reader, job_id: UUID) -> Standing:
    """How a job stands whose data is to be replaced.

    Raises NotFound; InvalidRequest for a job of the platform's, InvalidStateChange (0x80044162) for one that has begun.
    """
    return _replaceable(reader, job_id, _statements(reader.dialect).standing)


def replace_by_text(tx: Transaction, job_id: UUID, text: str, *, by: UUID) -> None:
    """Give a job other data of at most 4 MB. Raises what `standing` raises."""
    found = _forget_old(tx, job_id)
    sql = _statements(tx.dialect)
    tx.execute(sql.put_text, {"sequence": found.sequence, "data": text})
    _changed(tx, job_id, found, None, len(text.encode()), by)


def replace_by_file(tx: Transaction, job_id: UUID, upload: Upload, pieces: Sequence[Piece], *, by: UUID) -> None:
    """Give a job data that has been uploaded in pieces. Raises what `standing` raises."""
    found = _forget_old(tx, job_id)
    size = sum(piece.size for piece in pieces)
    files.finish(tx, upload, pieces, FILE_TYPE, size)
    tx.execute(_statements(tx.dialect).no_text, {"sequence": found.sequence})
    _changed(tx, job_id, found, upload.id, size, by)


def _replaceable(reader: Reader, job_id: UUID, sql: str) -> Standing:
    rows = reader.rows(sql, {"id": str(job_id)})
    if not rows:
        raise actions.missing(job_id)
    found = Standing(*rows[0])
    status = Status(found.status)
    if found.operation_type != REQUEST:
        raise InvalidRequest(
            f"The data of a system job of type {found.operation_type} is the platform's own. Only that of jobs of type {REQUEST} "
            "(the arguments of a message) can be replaced."
        )
    if STATE_OF[status] is State.COMPLETED:
        raise InvalidStateChange(
            f"The system job is {LABELS[status]}. A completed job never changes; it can be deleted."
        )
    if STATE_OF[status] is State.LOCKED or found.started is not None:
        raise InvalidStateChange(
            f"The system job is {LABELS[status]} and has begun with the data that it has; only that of a job which has not "
            "begun can be replaced."
        )
    return found


def _forget_old(tx: Transaction, job_id: UUID) -> Standing:
    """Remove the file that the data lies in, if it does; the row is held until this unit ends."""
    found = _replaceable(tx, job_id, _statements(tx.dialect).standing_locked)
    files.forget(tx, Reference(TABLE, job_id), COLUMN)
    if found.file_id is not None:
        tx.delete_files([UUID(found.file_id)])
    return found


def _changed(tx: Transaction, job_id: UUID, found: Standing, file_id: UUID | None, size: int, by: UUID) -> None:
    tx.execute(
        _statements(tx.dialect).change,
        {
            "id": str(job_id),
            "file": str(file_id) if file_id is not None else None,
            "name": FILE_NAME if file_id is not None else None,
            "now": moment_text(tx.now),
            "by": str(by),
        },
    )
    status = Status(found.status)
    history.write(tx, [Entry(found.sequence, Event.DATA, status, status, by, f"{size:,} bytes")])


class _Statements(NamedTuple):
    standing: str
    standing_locked: str
    put_text: str
    no_text: str
    change: str


@cache
def _statements(dialect: Dialect) -> _Statements:
    postgres = dialect == "postgres"
    uuid = "::uuid" if postgres else ""
    standing = (
        "SELECT sequence, statuscode, operationtype, startedon, datablobid, ownerid, owneridtype, createdby "
        f"FROM asyncoperation WHERE asyncoperationid = :id{uuid}"
    )
    return _Statements(
        standing=standing,
        standing_locked=standing + (" FOR UPDATE" if postgres else ""),
        put_text=(
            "INSERT INTO asyncoperationtext (asyncoperationsequence, data) VALUES (:sequence, :data) "
            "ON CONFLICT (asyncoperationsequence) DO UPDATE SET data = excluded.data"
        ),
        no_text="UPDATE asyncoperationtext SET data = NULL WHERE asyncoperationsequence = :sequence",
        change=(
            f"UPDATE asyncoperation SET datablobid = :file{uuid}, datablobid_name = :name, modifiedon = {later(dialect)}, "
            f"modifiedby = :by{uuid} WHERE asyncoperationid = :id{uuid}"
        ),
    )
