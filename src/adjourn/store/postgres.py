"""PostgreSQL: several worker and web hosts on one database.

Units of writing are READ COMMITTED transactions on pooled connections; the database's clock gives each its `now`, which
arrives with the answer to BEGIN. A unit of ours is run again when the database gives it up (deadlock, serialization,
connection lost before COMMIT); a unit with somebody's code is not. When the connection is lost while it commits, the
server is asked what became of it (`store.postgres_connections`). Views for reading are REPEATABLE READ. Files lie in
`filechunk`, since hosts share no disk. Sources: design §6, mechanisms §1 and §4.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import psycopg
import structlog
from psycopg.pq import PipelineStatus, TransactionStatus

from adjourn import config, errors, runtime
from adjourn.errors import AdjournError, Busy, ConnectionLost, InvalidRequest
from adjourn.metadata.values import moment_text
from adjourn.store import faults, migrations, statements
from adjourn.store.contract import SUM_OVERFLOW, SUM_OVERFLOW_CODE, Dialect, Row, Space, Transaction
from adjourn.store.postgres_beats import Beats
from adjourn.store.postgres_connections import Begun, Connection, Connections, connect, control
from adjourn.store.postgres_text import translated
from adjourn.store.postgres_units import PostgresReader, PostgresTransaction
from adjourn.store.postgres_wake import Wake

log = structlog.get_logger("adjourn.store")
T = TypeVar("T")
_ATTEMPTS_MAX = 6
_ATTEMPT_PAUSE_SECONDS = 0.02
_AGAIN = (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected)
_AWAY = (psycopg.OperationalError, psycopg.errors.IdleInTransactionSessionTimeout)
"""The server, or the connection, is not there any more, or has no room."""


class PostgresStore:
    """See `store.contract.Store`."""

    dialect: Dialect = "postgres"

    def __init__(self, url: str, *, migrate: bool = True) -> None:
        self.url = url
        self.turn_seconds_max = config.TURN_SECONDS_MAX_POSTGRES
        self.slow_units = 0
        self._current: dict[int, PostgresTransaction] = {}
        self._closed = False
        try:
            connection = self._connect()
        except psycopg.Error as error:
            raise InvalidRequest(f"Cannot open the database: {str(error).strip()}") from error
        with connection:
            if self._pending(connection):
                if not migrate:
                    raise InvalidRequest("The database is not up to date; run `adjourn migrate`.")
                self._migrate(connection)
        self._connections = Connections(url)
        self._beats = Beats(self._connect)
        self._wake = Wake(self._connect)

    # Reading

    def version(self) -> Hashable | None:
        return None

    @contextmanager
    def read(self) -> Iterator[PostgresReader]:
        joined = self._current.get(runtime.current())
        if joined is not None:
            yield joined
            return
        limit = f"SET LOCAL statement_timeout = {int(config.READ_SECONDS_MAX * 1000)}"
        with self._begun(f"BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; {limit}", numbered=False) as begun:
            connection = begun.connection
            try:
                yield PostgresReader(connection, begun.now)
                # Not ROLLBACK, after which psycopg would prepare all its statements again.
                control(connection, "COMMIT")
            except psycopg.errors.NumericValueOutOfRange as error:
                raise InvalidRequest(SUM_OVERFLOW, code=SUM_OVERFLOW_CODE) from error
            except psycopg.errors.QueryCanceled as error:
                raise Busy(
                    "The query took too long and was ended; ask for less.", code=errors.QUERY_TIMED_OUT
                ) from error
            except psycopg.OperationalError as error:
                if not connection.closed:
                    raise
                raise ConnectionLost(
                    f"The connection to the database was lost; try again. {str(error).strip()}"
                ) from error

    # Writing

    def write(self, unit: Callable[[Transaction], T]) -> T:
        joined = self._current.get(runtime.current())
        if joined is not None:
            with joined.savepoint():
                return unit(joined)
        attempt = 0
        while True:
            attempt += 1
            try:
                with self._unit(None) as tx:
                    return unit(tx)
            except (*_AGAIN, _LostBeforeCommit) as error:
                if attempt >= _ATTEMPTS_MAX:
                    raise Busy(f"The database gave the operation up {attempt} times; try again. {error}") from error
                log.info("a unit is run again", attempt=attempt, error=str(error).strip())
                runtime.sleep(_ATTEMPT_PAUSE_SECONDS * attempt * runtime.random().uniform(0.5, 1.5))

    @contextmanager
    def transaction(self, label: str) -> Iterator[PostgresTransaction]:
        joined = self._current.get(runtime.current())
        if joined is not None:
            with joined.savepoint():
                yield joined
            return
        began = runtime.monotonic()
        try:
            with self._unit(self.turn_seconds_max) as tx:
                yield tx
        except _LostBeforeCommit as error:
            raise ConnectionLost(
                f"The connection to the database was lost, nothing was changed; try again. {error}"
            ) from error
        except _AGAIN as error:
            raise Busy("Another transaction and this one wanted the same records; try again.") from error
        finally:
            seconds = runtime.monotonic() - began
            if seconds > config.STEP_SLOW_SECONDS:
                self.slow_units += 1
                log.info("a unit kept its transaction open", label=label, seconds=round(seconds, 3))

    def waited_for(self) -> bool:
        return False

    def holder(self, over_seconds: float = 0.0) -> str | None:
        return None

    def on_failure(self, stop: Callable[[str], None]) -> None:
        """The server recovers by itself: there is no failure that a restart of ours would mend."""

    # Waking others

    def on_change(self, wake: Callable[[], None]) -> None:
        self._wake.listen(wake)

    def wake(self) -> None:
        self._wake.ring()

    # Who is alive: a row that beats, by the database's own clock

    @contextmanager
    def hold_service(self) -> Iterator[None]:
        """Any number of hosts may serve one database."""
        yield

    def hold_worker(self, worker_id: UUID, host: str, pid: int) -> None:
        self.write(lambda tx: tx.execute(statements.WORKER_HOLD, {"id": str(worker_id), "host": host, "pid": pid}))

    def release_worker(self, worker_id: UUID) -> None:
        self.write(lambda tx: tx.execute(statements.WORKER_RELEASE, {"id": str(worker_id)}))

    def forget_dead(self, tx: Transaction, worker_id: str) -> bool:
        # A beat that comes first changes the row, and it is looked at again; one that comes later finds none.
        tx.execute(statements.WORKER_FORGET, {"id": worker_id, "stale": config.WORKER_STALE_SECONDS})
        return not tx.rows(statements.WORKER_SIGNS, {"id": worker_id})

    def beat(self, worker_id: UUID) -> bool:
        return self._beats.beat(worker_id)

    def judges(self) -> bool:
        return self._beats.steady()

    def worker_signs(self, worker_id: str) -> str | None:
        with self.read() as reader:
            rows = reader.rows(statements.WORKER_SIGNS, {"id": worker_id})
        if not rows:
            return None
        host, pid, beat_on = rows[0]
        return f"on {host}, process {pid}, last heard of at {beat_on[:19].replace('T', ' ')} UTC"

    def living(self, worker_ids: Sequence[str] | None = None) -> set[str]:
        return self._workers(statements.WORKER_LIVING, {"ids": None if worker_ids is None else list(worker_ids)})

    def dead_workers(self, now: datetime) -> list[str]:
        return sorted(self._workers(statements.WORKER_DEAD, {}))

    def _workers(self, sql: str, parameters: Mapping[str, Any]) -> set[str]:
        with self.read() as reader:
            return {row[0] for row in reader.rows(sql, {**parameters, "stale": config.WORKER_STALE_SECONDS})}

    # House-keeping

    def sweep_files(self, now: datetime) -> int:
        before = {"before": moment_text(now - timedelta(seconds=config.UPLOAD_SECONDS_MAX))}

        def unit(tx: Transaction) -> int:
            tx.execute(statements.UPLOADS_EXPIRED, before)
            tx.execute(statements.PIECES_FORGOTTEN)
            return sum(ordinal == 0 for (ordinal,) in tx.rows(statements.CHUNK_SWEEP))

        return self.write(unit)

    def space(self) -> Space:
        """Payload files lie in a table; the disk is the server's, and no client sees how full it is."""
        with self.read() as reader:
            return Space(int(reader.rows(statements.DATABASE_SIZE)[0][0]), 0, 0, None)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._wake.close()
        self._beats.close()
        self._connections.close()

    @contextmanager
    def _unit(self, seconds_max: float | None) -> Iterator[PostgresTransaction]:
        begin, deadline = "BEGIN ISOLATION LEVEL READ COMMITTED", None
        if seconds_max is not None:
            limit = max(1, int(seconds_max * 1000))
            begin += f"; SET LOCAL lock_timeout = {limit}; SET LOCAL idle_in_transaction_session_timeout = {limit}"
        with self._begun(begin, numbered=True) as begun:
            connection = begun.connection
            if seconds_max is not None:
                deadline = runtime.monotonic() + seconds_max
            tx = PostgresTransaction(connection, begun.now, deadline, seconds_max or 0)
            self._current[runtime.current()] = tx
            try:
                yield tx
                tx.finish()
            except BaseException as error:
                if isinstance(error, _AWAY) and not isinstance(error, _AGAIN):
                    if _is_lost(connection):
                        raise _LostBeforeCommit(str(error).strip()) from error
                    # No memory, no space, no more connections: the server's trouble, not the unit's.
                    raise Busy(f"The database cannot do it now; try again. {str(error).strip()}") from error
                raise
            finally:
                del self._current[runtime.current()]
            self._commit(begun)
        try:
            tx.committed()
        except Exception:
            # The unit is durable, so its caller must not be told otherwise.
            log.exception("what follows a commit failed")

    def _commit(self, begun: Begun) -> None:
        faults.point("before commit")
        try:
            control(begun.connection, "COMMIT")
        except psycopg.Error as error:
            if not begun.connection.closed:
                raise
            self._in_doubt(begun, error)
        faults.point("after commit")

    def _in_doubt(self, begun: Begun, error: psycopg.Error) -> None:
        """The reply to a COMMIT was lost: returns if it is durable. Raises _LostBeforeCommit if it surely is not."""
        assert begun.number is not None
        try:
            committed = self._connections.committed(begun.number, begun.connection.counting_since)
        except Busy:  # the server does not come back
            committed = None
        log.warning("the reply to a commit was lost", committed=committed, error=str(error).strip())
        if committed is None:
            raise AdjournError(
                "The connection to the database was lost while it committed; look whether the change is there "
                f"before you try again. {str(error).strip()}",
                status=503,
            ) from error
        if not committed:
            raise _LostBeforeCommit(str(error).strip()) from error

    @contextmanager
    def _begun(self, begin: str, *, numbered: bool) -> Iterator[Begun]:
        """A transaction on a connection; what the block leaves open is rolled back."""
        begun = self._connections.begin(begin, numbered=numbered)
        connection = begun.connection
        try:
            yield begun
        finally:
            if not connection.closed and connection.info.transaction_status != TransactionStatus.IDLE:
                try:
                    control(connection, "ROLLBACK")
                except psycopg.Error:
                    connection.close()  # the server rolls back what a lost connection left; the pool makes another
            self._connections.give_back(connection)

    def _connect(self) -> Connection:
        return connect(self.url)

    def _pending(self, connection: Connection) -> bool:
        return migrations.pending("postgres", _runner(connection))

    def _migrate(self, connection: Connection) -> None:
        with connection.transaction():
            run = _runner(connection)
            run(statements.MIGRATION_LOCK)
            migrations.bring_up_to_date("postgres", run)


def _is_lost(connection: Connection) -> bool:
    """Whether nothing can be asked of it any more. One that was lost amid a batch of statements does not know it yet: it closes."""
    if not connection.closed and connection.pgconn.pipeline_status != PipelineStatus.OFF:
        connection.close()
    return connection.closed


class _LostBeforeCommit(Exception):
    """The connection broke before COMMIT was done: surely nothing is durable."""


def _runner(connection: Connection) -> migrations.Run:
    def run(sql: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        # Without parameters nothing is translated: DDL may hold colons and percent signs.
        cursor = connection.execute(sql.encode() if parameters is None else translated(sql), parameters)
        return cursor.fetchall() if cursor.description is not None else []

    return run
