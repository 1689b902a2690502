"""PostgreSQL: several worker and web hosts on one database.

Units of writing are READ COMMITTED transactions on pooled connections; the database's clock gives each its `now`, which
arrives with the answer to BEGIN. A unit of ours is run again when the database gives it up (deadlock, serialization,
connection lost before COMMIT); a unit with somebody's code is not. Views for reading are REPEATABLE READ. Files lie in
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
from psycopg.pq import TransactionStatus
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from adjourn import config, errors, runtime
from adjourn.errors import AdjournError, Busy, InvalidRequest
from adjourn.metadata.values import moment_text
from adjourn.store import faults, migrations, statements
from adjourn.store.contract import SUM_OVERFLOW, SUM_OVERFLOW_CODE, Dialect, Row, Space, Transaction
from adjourn.store.postgres_text import adapt, translated
from adjourn.store.postgres_units import Connection, PostgresReader, PostgresTransaction
from adjourn.store.postgres_wake import Wake

log = structlog.get_logger("adjourn.store")
T = TypeVar("T")
CONNECTIONS_MAX = 24
"""Of one process: four processes fit into a default PostgreSQL's 100."""
_CONNECTION_WAIT_SECONDS = 30.0
_CONNECT_SECONDS = 10
_ATTEMPTS_MAX = 6
_ATTEMPT_PAUSE_SECONDS = 0.02
_SESSION = "-c timezone=UTC -c datestyle=ISO -c intervalstyle=iso_8601 -c synchronous_commit=on -c bytea_output=hex"
_AGAIN = (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected)


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
        self._pool: ConnectionPool[Connection] = ConnectionPool(
            url,
            kwargs={"autocommit": True, "options": _SESSION, "connect_timeout": _CONNECT_SECONDS},
            configure=adapt,
            min_size=1,
            max_size=CONNECTIONS_MAX,
            timeout=_CONNECTION_WAIT_SECONDS,
            open=True,
            name="adjourn",
        )
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
        with self._begun(f"BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; {limit}") as (connection, now):
            try:
                yield PostgresReader(connection, now)
                # Not ROLLBACK, after which psycopg would prepare all its statements again.
                _control(connection, "COMMIT")
            except psycopg.errors.NumericValueOutOfRange as error:
                raise InvalidRequest(SUM_OVERFLOW, code=SUM_OVERFLOW_CODE) from error
            except psycopg.errors.QueryCanceled as error:
                raise Busy(
                    "The query took too long and was ended; ask for less.", code=errors.QUERY_TIMED_OUT
                ) from error
            except psycopg.OperationalError as error:
                if not connection.closed:
                    raise
                raise Busy(f"The connection to the database was lost; try again. {str(error).strip()}") from error

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
            raise Busy(f"The connection to the database was lost, nothing was changed; try again. {error}") from error
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

    def beat(self, worker_id: UUID) -> bool:
        return bool(self.write(lambda tx: tx.execute(statements.WORKER_BEAT, {"id": str(worker_id)})))

    def worker_signs(self, worker_id: str) -> str | None:
        with self.read() as reader:
            rows = reader.rows(statements.WORKER_SIGNS, {"id": worker_id})
        if not rows:
            return None
        host, pid, beat_on = rows[0]
        return f"on {host}, process {pid}, last heard of at {beat_on[:19].replace('T', ' ')} UTC"

    def living(self, worker_ids: Sequence[str]) -> set[str]:
        return self._workers(statements.WORKER_LIVING, {"ids": list(worker_ids)})

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
        self._pool.close()

    @contextmanager
    def _unit(self, seconds_max: float | None) -> Iterator[PostgresTransaction]:
        begin, deadline = "BEGIN ISOLATION LEVEL READ COMMITTED", None
        if seconds_max is not None:
            limit = max(1, int(seconds_max * 1000))
            begin += f"; SET LOCAL lock_timeout = {limit}; SET LOCAL idle_in_transaction_session_timeout = {limit}"
        with self._begun(begin) as (connection, now):
            if seconds_max is not None:
                deadline = runtime.monotonic() + seconds_max
            tx = PostgresTransaction(connection, now, deadline, seconds_max or 0)
            self._current[runtime.current()] = tx
            try:
                yield tx
                tx.finish()
            except BaseException as error:
                if connection.closed and isinstance(error, psycopg.OperationalError):
                    raise _LostBeforeCommit(str(error).strip()) from error
                raise
            finally:
                del self._current[runtime.current()]
            self._commit(connection)
        try:
            tx.committed()
        except Exception:
            # The unit is durable, so its caller must not be told otherwise.
            log.exception("what follows a commit failed")

    def _commit(self, connection: Connection) -> None:
        faults.point("before commit")
        try:
            _control(connection, "COMMIT")
        except psycopg.Error as error:
            if connection.closed:
                raise AdjournError(
                    "The connection to the database was lost while it committed; look whether the change is there "
                    f"before you try again. {str(error).strip()}",
                    status=503,
                ) from error
            raise
        faults.point("after commit")

    @contextmanager
    def _begun(self, begin: str) -> Iterator[tuple[Connection, datetime]]:
        """A connection in a transaction, with the transaction's moment; what the block leaves open is rolled back."""
        connection, now = self._begin(begin)
        try:
            yield connection, now
        finally:
            if not connection.closed and connection.info.transaction_status != TransactionStatus.IDLE:
                try:
                    _control(connection, "ROLLBACK")
                except psycopg.Error:
                    connection.close()  # the server rolls back what a lost connection left; the pool makes another
            self._pool.putconn(connection)

    def _begin(self, begin: str) -> tuple[Connection, datetime]:
        """Begin and learn the moment, in one round trip. A connection that broke while it was idle is replaced."""
        for _ in range(CONNECTIONS_MAX + 1):
            try:
                connection = self._pool.getconn()
            except PoolClosed as error:
                raise Busy("The database is closed.") from error
            except PoolTimeout as error:
                wait = f"{_CONNECTION_WAIT_SECONDS:.0f} s"
                raise Busy(f"No connection to the database was free within {wait}; try again.") from error
            try:
                cursor = _control(connection, f"{begin}; SELECT transaction_timestamp()")
                while cursor.nextset():
                    pass
                return connection, datetime.fromisoformat(cursor.fetchall()[0][0])
            except BaseException as error:
                self._pool.putconn(connection)
                if not isinstance(error, psycopg.OperationalError):
                    raise
        raise Busy("The database does not answer; try again.")

    def _connect(self) -> Connection:
        connection: Connection = psycopg.connect(
            self.url, autocommit=True, options=_SESSION, connect_timeout=_CONNECT_SECONDS
        )
        adapt(connection)
        return connection

    def _pending(self, connection: Connection) -> bool:
        return migrations.pending("postgres", _runner(connection))

    def _migrate(self, connection: Connection) -> None:
        with connection.transaction():
            run = _runner(connection)
            run(statements.MIGRATION_LOCK)
            migrations.bring_up_to_date("postgres", run)


class _LostBeforeCommit(Exception):
    """The connection broke before COMMIT was sent: surely nothing is durable."""


def _control(connection: Connection, text: str) -> psycopg.Cursor[Row]:
    """Run what begins and ends transactions. Never prepared: it may be several statements."""
    return connection.execute(text.encode(), prepare=False)


def _runner(connection: Connection) -> migrations.Run:
    def run(sql: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        # Without parameters nothing is translated: DDL may hold colons and percent signs.
        cursor = connection.execute(sql.encode() if parameters is None else translated(sql), parameters)
        return cursor.fetchall() if cursor.description is not None else []

    return run
