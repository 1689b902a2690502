"""New data for a job, taken in as it arrives: adjourn's own way to give a job more arguments than a request may hold.

Up to 4 MB are kept and written into the job's row at the end. What is longer becomes pieces of 4 MiB, each stored in a short
unit of its own as soon as it is whole, so that no more of it is ever in memory; the last unit makes them the job's data and
removes what was there before. A process that dies leaves an upload that nobody goes on with, which is swept within a day; the
job still has its old data. Whoever may is asked before anything is stored, and again at the end, by who may update the job
and is the one whom it runs as, or an administrator: data is what the job does in its owner's name.
Source: docs/decisions/0028; specification, "Managing system jobs", opens no column for this.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

from adjourn import config, runtime
from adjourn.errors import InvalidRequest, NotFound, PrivilegeDenied, TooLarge
from adjourn.jobs import job_data
from adjourn.metadata.model import Reference
from adjourn.pipeline import access, system_jobs
from adjourn.pipeline.call import Call
from adjourn.pipeline.execute import Pipeline
from adjourn.pipeline.files import FILE_TOO_LARGE
from adjourn.query import files
from adjourn.query.files import Piece, Upload
from adjourn.store.contract import Transaction

T = TypeVar("T")


class DataUpload:
    """The new data of one job.

    Raises, from its making on: NotFound, PrivilegeDenied, ConcurrencyMismatch (`call.if_match`), InvalidRequest for a job of the
    platform's, InvalidStateChange for one that has begun. `write` also raises TooLarge (0x80044A02) and InvalidRequest for
    what is no text; then, or when nothing more comes, `abandon` is to be called.
    """

    def __init__(self, pipeline: Pipeline, call: Call, job_id: UUID) -> None:
        self._pipeline = pipeline
        self._call = call
        self._job_id = job_id
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._held = bytearray()
        self._size = 0
        self._upload: Upload | None = None
        self._pieces: list[Piece] = []
        self._unit(self._check)

    def write(self, content: bytes) -> None:
        """Take in what has arrived."""
        self._size += len(content)
        check_size(self._size)
        self._check_text(content, final=False)
        self._held += content
        while len(self._held) > config.DATA_INLINE_BYTES_MAX:
            self._store(bytes(self._held[: config.FILE_PIECE_BYTES]))
            del self._held[: config.FILE_PIECE_BYTES]

    def finish(self) -> None:
        """Make what has arrived the job's data: durable when it returns."""
        self._check_text(b"", final=True)
        if self._upload is None:
            self._unit(self._switch_to_text)
            return
        if self._held:
            self._store(bytes(self._held))
        self._unit(self._switch_to_file)

    def abandon(self) -> None:
        """Forget what has arrived; nothing has happened to the job."""
        upload, self._upload = self._upload, None
        if upload is not None:
            self._unit(lambda tx: files.abandon(tx, upload.id))

    def _store(self, content: bytes) -> None:
        first = self._upload is None
        upload = self._upload = self._upload or Upload(
            runtime.new_id(),
            Reference(job_data.TABLE, self._job_id),
            job_data.COLUMN,
            job_data.FILE_NAME,
            self._call.caller.user_id,
        )
        start = sum(piece.size for piece in self._pieces)
        piece = Piece(runtime.new_id(), str(start), start, len(content))

        def unit(tx: Transaction) -> None:
            if first:
                files.begin(tx, upload)
            self._still_there(tx, upload)
            tx.write_file(piece.id, content)
            files.add(tx, upload.id, [piece])

        self._unit(unit)
        self._pieces.append(piece)

    def _switch_to_text(self, tx: Transaction) -> None:
        self._check(tx)
        job_data.replace_by_text(tx, self._job_id, self._held.decode(), by=self._call.caller.user_id)

    def _switch_to_file(self, tx: Transaction) -> None:
        assert self._upload is not None
        self._still_there(tx, self._upload)
        self._check(tx)
        job_data.replace_by_file(tx, self._job_id, self._upload, self._pieces, by=self._call.caller.user_id)

    def _check(self, tx: Transaction) -> None:
        caller, catalog = self._call.caller, self._pipeline.catalog
        table = catalog.table(job_data.TABLE)
        access.able(caller, catalog, "Write", table)
        access.require(tx, catalog, caller, "Write", table, self._job_id)
        found = job_data.standing(tx, self._job_id)
        if found.user_id != caller.user_id and not caller.is_administrator:
            raise PrivilegeDenied(
                "Only the user whom a system job runs as, or a system administrator, may replace its data: it says what the job "
                "does in that user's name."
            )
        system_jobs.check_version(tx, self._job_id, self._call.if_match)

    def _still_there(self, tx: Transaction, upload: Upload) -> None:
        if files.touch(tx, upload.id) is None:
            raise NotFound("The upload was forgotten, because nobody went on with it for too long; send it again.")

    def _check_text(self, content: bytes, *, final: bool) -> None:
        try:
            text = self._decoder.decode(content, final)
        except UnicodeDecodeError as error:
            raise InvalidRequest(f"The data of a system job is text in UTF-8; this is none: {error.reason}.") from None
        if "\0" in text:
            raise InvalidRequest("The data of a system job cannot hold the character NUL.")

    def _unit(self, unit: Callable[[Transaction], T]) -> T:
        if self._call.transaction is not None:
            with self._call.transaction.savepoint():
                return unit(self._call.transaction)
        return self._pipeline.store.write(unit)


def check_size(size: int) -> None:
    """Raise the documented error for more bytes than a job's data may have."""
    if size > config.DATA_BYTES_MAX:
        raise TooLarge(
            f"Attachment file size is too big. The data of a system job takes {config.DATA_BYTES_MAX // 1024:,} KB.",
            code=FILE_TOO_LARGE,
        )
