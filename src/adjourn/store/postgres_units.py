"""What units of reading and of writing can do on PostgreSQL. When they begin and end: `store.postgres`."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

from adjourn import config, runtime
from adjourn.errors import Busy, Duplicate, InvalidRequest, NotFound, TurnExceeded
from adjourn.store import faults, statements
from adjourn.store.contract import Dialect, Parameters, Row
from adjourn.store.postgres_connections import Connection
from adjourn.store.postgres_text import translated

_NOTHING: Mapping[str, Any] = {}
_STREAM_ROWS = 16 if psycopg.capabilities.has_stream_chunked() else 1
"""Rows of a stream that are in memory at a time: some MiB each at the most. libpq before 17 has no number of them."""
_ORDINAL_MAX = 2**31 - 1


class PostgresReader:
    """One read-only snapshot (REPEATABLE READ) on a connection of the pool."""

    dialect: Dialect = "postgres"

    def __init__(self, connection: Connection, now: datetime) -> None:
        self._connection = connection
        self.now = now

    def rows(self, sql: str, parameters: Parameters = _NOTHING) -> list[Row]:
        cursor = self._connection.execute(translated(sql), parameters)
        return cursor.fetchall() if cursor.description is not None else []

    def stream(self, sql: str, parameters: Parameters = _NOTHING) -> Generator[Row]:
        # As the server sends them: a cursor of the server's would have it plan for the first rows, and ask for each part.
        # What closes this closes that one, which ends the statement.
        with self._connection.cursor() as cursor:
            yield from cursor.stream(translated(sql), parameters, size=_STREAM_ROWS)

    def read_file(self, file_id: UUID, first: int = 0, size: int | None = None) -> bytes:
        low, skipped = divmod(first, config.FILE_CHUNK_BYTES)
        high = (first + size) // config.FILE_CHUNK_BYTES if size is not None else _ORDINAL_MAX
        chunks = self.rows(statements.CHUNK_READ, {"id": str(file_id), "low": low, "high": high})
        if not chunks and not self.files_there([file_id]):
            raise NotFound(f"File {file_id} does not exist.")
        content = b"".join(chunk for (chunk,) in chunks)
        return content[skipped : None if size is None else skipped + size] if skipped or size is not None else content

    def files_there(self, file_ids: Sequence[UUID]) -> set[UUID]:
        rows = self.rows(statements.CHUNKS_THERE, {"ids": [str(file_id) for file_id in file_ids]})
        return {UUID(row[0]) if isinstance(row[0], str) else row[0] for row in rows}


class PostgresTransaction(PostgresReader):
    """A unit of writing. deadline: in monotonic seconds, for units that run somebody's code."""

    def __init__(
        self, connection: Connection, now: datetime, deadline: float | None = None, seconds_max: float = 0
    ) -> None:
        super().__init__(connection, now)
        self._deadline = deadline
        self._seconds_max = seconds_max
        self._thread = runtime.current()
        self._before: list[Callable[[], None]] = []
        self._after: list[Callable[[], None]] = []

    def rows(self, sql: str, parameters: Parameters = _NOTHING) -> list[Row]:
        cursor = self._run(sql, parameters)
        return cursor.fetchall() if cursor.description is not None else []

    def stream(self, sql: str, parameters: Parameters = _NOTHING) -> Generator[Row]:
        yield from self.rows(sql, parameters)

    def execute(self, sql: str, parameters: Parameters = _NOTHING) -> int:
        return max(0, self._run(sql, parameters).rowcount)

    def execute_many(self, sql: str, parameters: Sequence[Parameters]) -> int:
        if not parameters:
            return 0
        self.check()
        with self._connection.cursor() as cursor:
            try:
                cursor.executemany(translated(sql), parameters)  # sent in one batch
            except psycopg.Error as error:
                raise self.explained(error) from error
            return max(0, cursor.rowcount)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        self.check()
        before, after = len(self._before), len(self._after)
        self._connection.execute("SAVEPOINT nested")
        try:
            yield
        except BaseException:
            del self._before[before:], self._after[after:]
            if not self._connection.closed:
                self._connection.execute("ROLLBACK TO SAVEPOINT nested; RELEASE SAVEPOINT nested")
            raise
        self._connection.execute("RELEASE SAVEPOINT nested")

    def before_commit(self, action: Callable[[], None]) -> None:
        self._before.append(action)

    def after_commit(self, action: Callable[[], None]) -> None:
        self._after.append(action)

    def write_file(self, file_id: UUID, content: bytes) -> None:
        size = config.FILE_CHUNK_BYTES
        chunks = [content[start : start + size] for start in range(0, max(len(content), 1), size)]
        self.execute_many(
            statements.CHUNK_WRITE,
            [{"id": str(file_id), "ordinal": ordinal, "content": chunk} for ordinal, chunk in enumerate(chunks)],
        )
        faults.point("file written")

    def delete_files(self, file_ids: Sequence[UUID]) -> None:
        if file_ids:
            self.execute(statements.CHUNK_DELETE, {"ids": [str(file_id) for file_id in file_ids]})
            faults.point("file deleted")

    def finish(self) -> None:
        """Do what still belongs into the transaction."""
        done = 0
        while done < len(self._before):  # an action may register another one
            self._before[done]()
            done += 1
        self.check()

    def committed(self) -> None:
        """Do what had to wait until the unit was durable."""
        for action in self._after:
            action()

    def check(self) -> None:
        """Raises whatever forbids another statement."""
        if self._thread != runtime.current():
            raise InvalidRequest(
                "A transaction belongs to the thread that began it. A step that starts threads collects their results "
                "and writes by itself."
            )
        if self._overdue():
            raise self._too_long()

    def explained(self, error: psycopg.Error) -> Exception:
        """What the caller gets to see; errors that the store itself retries stay as they are."""
        if isinstance(error, psycopg.errors.UniqueViolation):
            return Duplicate(f"A record with this key exists already in table '{error.diag.table_name}'.")
        if isinstance(error, psycopg.errors.LockNotAvailable):
            return Busy("Another transaction holds a record that this one needs; try again.")
        if self._overdue():  # the server ended a transaction that did nothing
            return self._too_long()
        return error

    def _run(self, sql: str, parameters: Parameters) -> psycopg.Cursor[Row]:
        self.check()
        try:
            return self._connection.execute(translated(sql), parameters)
        except psycopg.Error as error:
            raise self.explained(error) from error

    def _overdue(self) -> bool:
        return self._deadline is not None and runtime.monotonic() > self._deadline

    def _too_long(self) -> TurnExceeded:
        return TurnExceeded(
            f"The operation kept its transaction open longer than {self._seconds_max:g} s and was rolled back. "
            "Do long work in an asynchronous step."
        )
