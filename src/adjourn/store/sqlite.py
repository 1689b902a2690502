"""SQLite: one file, one writer, any number of readers.

Writing is `store.writer`; reading happens on connections of a pool, each view one deferred transaction. Long payloads
lie in files beside the database, written and synced before the COMMIT that mentions them. What lies around it:

    <file>-turn, -next   the writer's turn among processes      <file>-serve      held by the one `serve`
    <file>-files/        payloads over 4 MB                     <file>-workers/   one held lock for each live worker

Other processes' commits are noticed by a number in shared memory, looked at every 40 ms (docs/decisions/0003).
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import apsw

from adjourn import config, runtime
from adjourn.errors import InvalidRequest
from adjourn.metadata.text import SCALAR_FUNCTIONS
from adjourn.metadata.values import moment_text
from adjourn.store import lock_files, migrations, statements
from adjourn.store.contract import SUM_OVERFLOW, SUM_OVERFLOW_CODE, Dialect, Space, Transaction
from adjourn.store.files import FileFolder
from adjourn.store.sqlite_units import SqliteReader, SqliteTransaction
from adjourn.store.turn import Turn
from adjourn.store.wal import Checkpointer
from adjourn.store.writer import Writer

T = TypeVar("T")
CHANGE_POLL_SECONDS = 0.04
"""How often other processes' commits are looked for: seldom, as it is most of what an idle service does; within 50 ms."""
_FOREIGN_POLL_SECONDS = 0.01
_STEPS_BETWEEN_LOOKS = 1_000_000
"""Of SQLite's machine, some 20 ms: how often a reader looks whether its time is over."""
_READERS_IDLE_MAX = 16
_BUSY_MILLISECONDS = 2_000
"""Only programs that do not know of the turn make SQLite itself wait."""
_WRITER_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "wal_autocheckpoint=0",
    "journal_size_limit=67108864",
    "cache_size=-65536",
)
_CHECKPOINT_PRAGMAS = ("synchronous=FULL", "journal_size_limit=67108864")
_READER_PRAGMAS = ("query_only=ON", "cache_size=-16384", "temp_store=MEMORY")


class SqliteStore:
    """See `store.contract.Store`."""

    dialect: Dialect = "sqlite"

    def __init__(self, path: Path, url: str, *, migrate: bool = True) -> None:
        self.url = url
        self.path = path
        self.files = FileFolder(Path(f"{path}-files"))
        self._idle: list[apsw.Connection] = []
        self._readers: set[SqliteReader] = set()
        self._guard = runtime.lock()
        self._versions: apsw.Connection | None = None
        self._foreign: Any = None
        self._foreign_until = 0.0
        self._counted = -1
        self._version_lock = runtime.lock()
        self._listeners: list[Callable[[], None]] = []
        self._watcher: Any = None
        self._closed = False
        self._workers = lock_files.WorkerLocks(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._turn = Turn(path)
        except OSError as error:
            raise InvalidRequest(f"Cannot open the database {path}: {error}") from error
        try:
            connection = self._open(migrate)
        except BaseException:
            self._turn.close()
            raise
        self._checkpointer = Checkpointer(
            lambda: self._connect(_CHECKPOINT_PRAGMAS), self._turn, lambda: list(self._readers)
        )
        connection.set_wal_hook(self._changed)
        self._writer = Writer(connection, self._turn, self.files)

    # Reading

    def version(self) -> Hashable | None:
        if self._writer.joined() is not None or self._closed:
            return None
        commits = self._turn.commits()
        if commits != self._counted or runtime.monotonic() >= self._foreign_until:
            self._look_for_foreign_commits(commits)
        return self._foreign, commits

    def _look_for_foreign_commits(self, commits: int) -> None:
        with self._version_lock:
            if self._closed:
                return
            if self._versions is None:
                self._versions = self._connect(_READER_PRAGMAS)
            # SQLite's own number for one connection: it counts the commits of all others, whoever they are. It takes locks
            # on the file to ask for it, which costs as much as the rest of a remembered answer.
            self._foreign = self._versions.execute("PRAGMA data_version").fetchall()[0][0]
            self._foreign_until = runtime.monotonic() + _FOREIGN_POLL_SECONDS
            self._counted = commits

    @contextmanager
    def read(self) -> Iterator[SqliteReader]:
        joined = self._writer.joined()
        if joined is not None:
            yield joined
            return
        with self._guard:
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            connection = self._connect(_READER_PRAGMAS)
        reader = SqliteReader(connection, self.files)
        connection.set_progress_handler(reader.overdue, _STEPS_BETWEEN_LOOKS)
        connection.execute("BEGIN")
        self._readers.add(reader)
        try:
            yield reader
        except apsw.Error as error:
            if reader.ended:
                raise reader.too_long() from error
            if "integer overflow" in str(error):
                raise InvalidRequest(SUM_OVERFLOW, code=SUM_OVERFLOW_CODE) from error
            raise
        finally:
            self._readers.discard(reader)
            if not reader.ended and connection.in_transaction:
                connection.execute("ROLLBACK")
            with self._guard:
                keep = not reader.ended and not self._closed and len(self._idle) < _READERS_IDLE_MAX
                if keep:
                    self._idle.append(connection)
            if not keep:
                connection.close(force=True)

    # Writing

    @property
    def turn_seconds_max(self) -> float:
        return self._writer.turn_seconds_max

    @turn_seconds_max.setter
    def turn_seconds_max(self, seconds: float) -> None:
        self._writer.turn_seconds_max = seconds

    @property
    def slow_units(self) -> int:
        """How many lone units held the writer longer than 50 ms."""
        return self._writer.slow_units

    def write(self, unit: Callable[[Transaction], T]) -> T:
        return self._writer.write(unit)

    def transaction(self, label: str) -> AbstractContextManager[SqliteTransaction]:
        return self._writer.transaction(label)

    def waited_for(self) -> bool:
        return self._turn.waited_for()

    def holder(self, over_seconds: float = 0.0) -> str | None:
        return self._turn.holder(over_seconds)

    def on_failure(self, stop: Callable[[str], None]) -> None:
        self._writer.on_failure(stop)

    # Waking others

    def on_change(self, wake: Callable[[], None]) -> None:
        self._listeners.append(wake)
        if self._watcher is None:
            self._watcher = runtime.spawn(self._watch, name="adjourn-watch")

    def wake(self) -> None:
        for listener in self._listeners:
            listener()

    def _watch(self) -> None:
        """Ring after commits of other processes. Our own ring by `wake`, where they mean to."""
        seen = self._turn.others_commits()
        while not self._closed:
            commits = self._turn.others_commits()
            if commits > seen:
                seen = commits
                self.wake()
            runtime.sleep(CHANGE_POLL_SECONDS)

    def _changed(self, connection: apsw.Connection, database: str, pages: int) -> int:
        """SQLite calls it after each commit on the write connection that changed something."""
        self._turn.committed()
        self._checkpointer.committed(pages)
        return apsw.SQLITE_OK

    # Who is alive

    def hold_service(self) -> AbstractContextManager[None]:
        return lock_files.hold_service(self.path)

    def hold_worker(self, worker_id: UUID, host: str, pid: int) -> None:
        self._workers.hold(worker_id, host, pid)

    def release_worker(self, worker_id: UUID) -> None:
        self._workers.release(str(worker_id))

    def forget_dead(self, tx: Transaction, worker_id: str) -> bool:
        if self._workers.living([worker_id]):
            return False
        # A lock that a process has lost is never taken again: each incarnation has an id of its own.
        tx.after_commit(lambda: self._workers.release(worker_id))
        return True

    def beat(self, worker_id: UUID) -> bool:
        """The kernel beats for us."""
        return bool(self._workers.living([str(worker_id)]))

    def worker_signs(self, worker_id: str) -> str | None:
        return self._workers.signs(worker_id)

    def living(self, worker_ids: Sequence[str] | None = None) -> set[str]:
        return self._workers.living(worker_ids)

    def dead_workers(self, now: datetime) -> list[str]:
        return self._workers.dead()

    def judges(self) -> bool:
        """The kernel is never away."""
        return True

    # House-keeping

    def sweep_files(self, now: datetime) -> int:
        def known(reader: SqliteReader, ids: Sequence[UUID]) -> set[UUID]:
            found = reader.rows(statements.SQLITE_KNOWN_FILES, {"ids": json.dumps([str(file_id) for file_id in ids])})
            return {UUID(row[0]) for row in found}

        before = {"before": moment_text(now - timedelta(seconds=config.UPLOAD_SECONDS_MAX))}
        self.write(lambda tx: (tx.execute(statements.UPLOADS_EXPIRED, before), tx.execute(statements.PIECES_FORGOTTEN)))
        removed = 0
        for batch in self.files.batches():
            with self.read() as reader:
                orphans = [file_id for file_id in batch if file_id not in known(reader, batch)]
            if not orphans:
                continue
            # A file is written under the turn, before its row: what has no row under the turn will never get one.
            with self.transaction("sweep files") as tx:
                mentioned = known(tx, orphans)
                tx.delete_files([file_id for file_id in orphans if file_id not in mentioned])
                removed += len(orphans) - len(mentioned)
        return removed

    def space(self) -> Space:
        free = shutil.disk_usage(self.path.parent).free
        return Space(_size(self.path), _size(Path(f"{self.path}-wal")), self.files.size(), free)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._watcher is not None:
            self._watcher.join(5)
        self._checkpointer.close()
        self._workers.release_all()
        with self._guard:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
        with self._version_lock:
            if self._versions is not None:
                self._versions.close()
        self._writer.close()
        self._turn.close()

    def _open(self, migrate: bool) -> apsw.Connection:
        connection = self._connected_beside() or self._connected_in_turn()
        try:
            if self._pending(connection):
                if not migrate:
                    raise InvalidRequest(f"The database {self.path} is not up to date; run `adjourn migrate`.")
                self._migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _connected_beside(self) -> apsw.Connection | None:
        """A connection to a file that is there already, without waiting for who writes: so that one can ask what he does."""
        if not self.path.exists() or self.path.stat().st_size == 0:
            return None
        try:
            return self._connect(_WRITER_PRAGMAS)
        except apsw.Error:
            return None  # it is being created now; or it is no database, which the other way will say

    def _connected_in_turn(self) -> apsw.Connection:
        """Two processes that create one file at the same time would find each other's locks."""
        self._turn.acquire("open")
        try:
            return self._connect(_WRITER_PRAGMAS)
        except apsw.Error as error:
            raise InvalidRequest(f"Cannot open the database {self.path}: {error}") from error
        finally:
            self._turn.release()

    def _connect(self, pragmas: Sequence[str]) -> apsw.Connection:
        connection = apsw.Connection(str(self.path), statementcachesize=500)
        connection.set_busy_timeout(_BUSY_MILLISECONDS)
        for pragma in pragmas:
            # One by one: apsw runs a string of several statements only as far as its rows are read.
            connection.execute(f"PRAGMA {pragma}").fetchall()
        for name, (function, arguments) in SCALAR_FUNCTIONS.items():
            connection.create_scalar_function(name, function, arguments, deterministic=True)
        return connection

    def _pending(self, connection: apsw.Connection) -> bool:
        return migrations.pending("sqlite", lambda sql: connection.execute(sql).fetchall())

    def _migrate(self, connection: apsw.Connection) -> None:
        self._turn.acquire("migration")
        try:
            connection.execute("BEGIN IMMEDIATE")
            with contextlib.ExitStack() as undo:
                undo.callback(lambda: connection.in_transaction and connection.execute("ROLLBACK"))
                migrations.bring_up_to_date(
                    "sqlite", lambda sql, values=None: connection.execute(sql, values).fetchall()
                )
                connection.execute("COMMIT")
        finally:
            self._turn.release()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
