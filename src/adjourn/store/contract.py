"""What a store promises, whichever database is behind it. SQLite and PostgreSQL pass one suite (tests/contract).

SQL text has named parameters, `:name`, in both dialects; values only ever travel as parameters. Values on this
boundary are the store's *raw* values, the same Python types for both databases (see `metadata.values`):

    guid -> str (lower case)          datetime -> str, "2030-01-01T00:00:00.000000Z"      date -> str, "2030-01-01"
    boolean -> int 0/1 (bool on PG)   integer, bigint, choice -> int                     double -> float
    decimal, money -> int, scaled by 10 ** precision (money: 4)                          text -> str

A unit of writing is all or nothing, and durable when the call returns.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol, TypeVar
from uuid import UUID

T = TypeVar("T")
Row = tuple[Any, ...]
Parameters = Mapping[str, Any]
Dialect = Literal["sqlite", "postgres"]
SUM_OVERFLOW = "A number of the answer, such as a sum, does not fit into 64 bits."
SUM_OVERFLOW_CODE = 0x80041136
"""Dataverse's SqlArithmeticOverflow."""


class Space(NamedTuple):
    """What a database takes up on its disk, in bytes. free: how much is left there; None where it cannot be seen from here."""

    database: int
    log: int
    files: int
    free: int | None

    @property
    def total(self) -> int:
        return self.database + self.log + self.files


class RowStream(Protocol):
    """Rows as they come: an iterator that can be closed before its end."""

    def __iter__(self) -> Iterator[Row]: ...
    def __next__(self) -> Row: ...
    def close(self) -> None: ...


class Reader(Protocol):
    """One consistent view of the data."""

    dialect: Dialect
    now: datetime
    """The moment of this view: taken once, UTC; every statement in it gets it as a parameter."""

    def rows(self, sql: str, parameters: Parameters = ...) -> list[Row]: ...
    def stream(self, sql: str, parameters: Parameters = ...) -> RowStream:
        """Rows as they come, few of them in memory at a time. To be read to its end or closed, and before that nothing
        else can be asked of this view."""
        ...

    def read_file(self, file_id: UUID, first: int = 0, size: int | None = None) -> bytes:
        """The content of a stored file, or at most `size` bytes of it from the byte `first` on. Raises NotFound."""
        ...

    def files_there(self, file_ids: Sequence[UUID]) -> set[UUID]:
        """Which of some files there are, without reading them."""
        ...


class Transaction(Reader, Protocol):
    """A unit of writing: all or nothing."""

    def execute(self, sql: str, parameters: Parameters = ...) -> int:
        """Run one statement; the number of rows that it changed."""
        ...

    def execute_many(self, sql: str, parameters: Sequence[Parameters]) -> int:
        """Run one statement for each set of parameters; the number of rows changed in all."""
        ...

    def savepoint(self) -> AbstractContextManager[None]:
        """A nested unit: an exception leaving the block undoes the block alone."""
        ...

    def before_commit(self, action: Callable[[], None]) -> None:
        """Run `action` inside the transaction just before it commits, in the order of registration."""
        ...

    def after_commit(self, action: Callable[[], None]) -> None:
        """Run `action` once the unit is durable (wake-ups). Not run on rollback. Must not raise or write."""
        ...

    def write_file(self, file_id: UUID, content: bytes) -> None:
        """Store a file: durable exactly when this unit is."""
        ...

    def delete_files(self, file_ids: Sequence[UUID]) -> None:
        """Forget files: gone exactly when this unit is durable."""
        ...


class Store(Protocol):
    """One organization's data."""

    dialect: Dialect
    url: str
    turn_seconds_max: float

    def read(self) -> AbstractContextManager[Reader]:
        """A consistent view for reading."""
        ...

    def version(self) -> Hashable | None:
        """Another value after every commit: what was read after asking for it is still true while it stays the same.

        What another program writes, that does not know of adjourn, counts 10 ms later. None inside a unit, and where
        asking costs as much as reading does (PostgreSQL). Other values in other processes.
        """
        ...

    def write(self, unit: Callable[[Transaction], T]) -> T:
        """Run our own, short, re-runnable code as a unit; on SQLite grouped with others into one commit.

        Returns what `unit` returned, after COMMIT. Raises what it raised, then nothing of it remains. Raises Busy when
        the queue of waiting units is full. Never hand it user code: see `transaction`.
        """
        ...

    def transaction(self, label: str) -> AbstractContextManager[Transaction]:
        """A unit that may run user code, in the caller's thread (SQLite: it holds the writer's turn).

        label: who holds the turn, for /readyz, `jobs why` and the log of slow units. Past `turn_seconds_max` the next
        statement raises TurnExceeded and everything is rolled back.
        """
        ...

    def on_change(self, wake: Callable[[], None]) -> None:
        """Call `wake` soon (within 50 ms) after anybody, in this or another process, committed a wake-up."""
        ...

    def wake(self) -> None:
        """Tell every supervisor on this database that there may be work. Called after commit."""
        ...

    def holder(self, over_seconds: float = 0.0) -> str | None:
        """Who holds the writer's turn now, in whatever process, and has for that long (None on PostgreSQL)."""
        ...

    def waited_for(self) -> bool:
        """Whether somebody waits for the writer's turn that the calling unit holds (PostgreSQL has none)."""
        ...

    def on_failure(self, stop: Callable[[str], None]) -> None:
        """Call `stop` with the reason when nothing can be written any more until the process is started anew.

        It must return at once: other threads may be waiting for their answers.
        """
        ...

    def hold_service(self) -> AbstractContextManager[None]:
        """Be the one `adjourn serve` on a SQLite file; any number may serve a PostgreSQL database.

        Raises InvalidRequest naming the process that serves it already.
        """
        ...

    def hold_worker(self, worker_id: UUID, host: str, pid: int) -> None:
        """Be alive as this incarnation of a worker, until `release_worker`, or the end of the process."""
        ...

    def beat(self, worker_id: UUID) -> bool:
        """Say that a worker is alive, once a second (PostgreSQL). False: it is taken for dead and must stop working."""
        ...

    def release_worker(self, worker_id: UUID) -> None:
        """End as this worker, or forget a dead one that holds no jobs."""
        ...

    def forget_dead(self, tx: Transaction, worker_id: str) -> bool:
        """In a unit that gives back its jobs: forget a worker that is dead, exactly if the unit is committed.

        True also for one that nobody knows (any more). False: it lives, by what `living` says and now, when nobody can
        say otherwise before the unit has ended.
        """
        ...

    def worker_signs(self, worker_id: str) -> str | None:
        """Where a worker is and what was last heard of it, for people; None for one that is gone."""
        ...

    def living(self, worker_ids: Sequence[str] | None = None) -> set[str]:
        """Which of these workers are alive; None: of all. One that nobody has heard of is not."""
        ...

    def dead_workers(self, now: datetime) -> list[str]:
        """Workers that died without `release_worker`: SQLite asks the kernel, PostgreSQL its own clock, never `now`."""
        ...

    def judges(self) -> bool:
        """Whether others may be taken for dead now, by what `living` and `dead_workers` say.

        Not on PostgreSQL soon after its server was away, when nobody has been able to beat.
        """
        ...

    def sweep_files(self, now: datetime) -> int:
        """Remove files that no fileattachment mentions and no unit is about to; returns how many. At any time."""
        ...

    def space(self) -> Space:
        """What the database takes up on its disk, payload files included."""
        ...

    def close(self) -> None:
        """Finish what is queued and let go of everything. Later units are refused with Busy."""
        ...
