"""What units of reading and of writing can do on SQLite. When they begin and end: `store.sqlite`, `store.writer`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

import apsw

from adjourn import config, errors, runtime
from adjourn.errors import Busy, Duplicate, InvalidRequest, TurnExceeded
from adjourn.store.contract import Dialect, Parameters, Row, RowStream
from adjourn.store.files import FileFolder

_NOTHING: Mapping[str, Any] = {}


class SqliteReader:
    """One deferred transaction on a connection of its own: a snapshot."""

    dialect: Dialect = "sqlite"

    def __init__(self, connection: apsw.Connection, files: FileFolder) -> None:
        self._connection = connection
        self._files = files
        self.now: datetime = runtime.now()
        self.since = runtime.monotonic()
        self.ended = False

    def rows(self, sql: str, parameters: Parameters = _NOTHING) -> list[Row]:
        return self._ask(sql, parameters).fetchall()

    def stream(self, sql: str, parameters: Parameters = _NOTHING) -> RowStream:
        return self._ask(sql, parameters)

    def read_file(self, file_id: UUID, first: int = 0, size: int | None = None) -> bytes:
        return self._files.read(file_id, first, size)

    def files_there(self, file_ids: Sequence[UUID]) -> set[UUID]:
        return {file_id for file_id in file_ids if self._files.has(file_id)}

    def overdue(self) -> bool:
        """Asked by SQLite in the middle of a statement: True ends it."""
        self.ended = self.ended or runtime.monotonic() - self.since > config.READ_SECONDS_MAX
        return self.ended

    def end(self) -> None:
        """From another thread: take the view away, because it keeps the log from shrinking. Its holder gets Busy."""
        self.ended = True
        self._connection.interrupt()
        with contextlib.suppress(apsw.Error):
            self._connection.execute("ROLLBACK")

    def _ask(self, sql: str, parameters: Parameters) -> apsw.Cursor:
        if self.ended:
            raise self.too_long()
        return self._connection.execute(sql, parameters)

    def too_long(self) -> Busy:
        return Busy(
            "The query kept its view of the data too long and was ended; ask for less at a time.",
            code=errors.QUERY_TIMED_OUT,
        )


class SqliteTransaction(SqliteReader):
    """A unit on the write connection. deadline: in monotonic seconds, for units that run somebody's code."""

    def __init__(
        self, connection: apsw.Connection, files: FileFolder, deadline: float | None = None, seconds_max: float = 0
    ) -> None:
        super().__init__(connection, files)
        self._deadline = deadline
        self._seconds_max = seconds_max
        self._thread = runtime.current()
        self._before: list[Callable[[], None]] = []
        self._after: list[Callable[[], None]] = []
        self._written: list[UUID] = []
        self._deleted: list[UUID] = []
        self.lost: apsw.Error | None = None

    def rows(self, sql: str, parameters: Parameters = _NOTHING) -> list[Row]:
        self.check()
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except apsw.Error as error:
            raise self._explained(error) from error

    def stream(self, sql: str, parameters: Parameters = _NOTHING) -> RowStream:
        # Read at once: an open statement would be in the way of the unit's own savepoints.
        return (row for row in self.rows(sql, parameters))

    def execute(self, sql: str, parameters: Parameters = _NOTHING) -> int:
        self.check()
        try:
            self._connection.execute(sql, parameters)
        except apsw.Error as error:
            raise self._explained(error) from error
        return self._connection.changes()

    def execute_many(self, sql: str, parameters: Sequence[Parameters]) -> int:
        # Not by total_changes(), which counts what triggers did, too.
        return sum([self.execute(sql, found) for found in parameters])

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        self.check()
        before, after = len(self._before), len(self._after)
        written, deleted = len(self._written), len(self._deleted)
        self._connection.execute("SAVEPOINT nested")
        try:
            yield
        except BaseException:
            if self.lost is None:
                self._connection.execute("ROLLBACK TO nested")
                self._connection.execute("RELEASE nested")
            self._files.remove(self._written[written:])
            del self._before[before:], self._after[after:], self._written[written:], self._deleted[deleted:]
            raise
        self._connection.execute("RELEASE nested")

    def before_commit(self, action: Callable[[], None]) -> None:
        self._before.append(action)

    def after_commit(self, action: Callable[[], None]) -> None:
        self._after.append(action)

    def write_file(self, file_id: UUID, content: bytes) -> None:
        self.check()
        self._written.append(file_id)
        self._files.write(file_id, content)

    def delete_files(self, file_ids: Sequence[UUID]) -> None:
        self._deleted.extend(file_ids)

    def finish(self) -> None:
        """Do what still belongs into the transaction."""
        done = 0
        while done < len(self._before):  # an action may register another one
            self._before[done]()
            done += 1
        self.check()

    def committed(self) -> None:
        """Do what had to wait until the unit was durable."""
        self._files.remove(self._deleted)
        for action in self._after:
            action()

    def undone(self) -> None:
        """Remove the files of a unit that will never be."""
        self._files.remove(self._written)

    def check(self) -> None:
        """Raises whatever forbids another statement."""
        if self._thread != runtime.current():
            raise InvalidRequest(
                "A transaction belongs to the thread that began it. A step that starts threads collects their results "
                "and writes by itself."
            )
        if self.lost is not None:
            raise self.lost
        if self._deadline is not None and runtime.monotonic() > self._deadline:
            raise TurnExceeded(
                f"The operation held the database's one writer longer than {self._seconds_max:g} s and was rolled "
                "back. Do long work in an asynchronous step."
            )

    def _explained(self, error: apsw.Error) -> Exception:
        """What the caller gets to see. When SQLite has given up the whole transaction (disk full, I/O error), a later
        statement would commit by itself: `lost` stops those."""
        if not self._connection.in_transaction:
            self.lost = error
            return error
        if isinstance(error, apsw.ConstraintError) and "UNIQUE constraint failed" in str(error):
            table = str(error).rpartition(": ")[2].partition(".")[0]
            return Duplicate(f"A record with this key exists already in table '{table}'.")
        return error
