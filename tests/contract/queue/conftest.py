"""A queue with a clock of its own, and a look afterwards that nothing is wrong with it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import pytest
from tests.support import postgres

from adjourn import config, runtime
from adjourn.jobs import explain, postponed, queue
from adjourn.jobs.model import ClaimedJob, NewJob, Outcome, Settled, Settlement, Succeeded
from adjourn.metadata.model import Reference
from adjourn.store import open_store
from adjourn.store.contract import Store, Transaction

T = TypeVar("T")
ADMIN = UUID(config.ADMIN_USER_ID)
UNIT = UUID(config.ROOT_BUSINESS_UNIT_ID)
COLUMNS = (
    "asyncoperationid", "sequence", "operationtype", "name", "messagename", "statecode", "statuscode", "createdon", "modifiedon",
    "modifiedby", "startedon", "completedon", "postponeuntil", "executiontimespan", "errorcode", "friendlymessage", "retrycount",
    "datablobid", "dependencytoken", "serialkey", "blocked", "waitreason", "waitdetail", "worker", "lease", "crashes", "cursor",
    "progresstext", "progresspercent", "ownerid", "owninguser", "owningteam", "regardingobjectid", "depth", "imported",
)  # fmt: skip


class Jobs:
    """The queue of a store at a moment that the test chooses."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = datetime(2030, 1, 1, 12, tzinfo=UTC)

    def tick(self, seconds: float = 1) -> datetime:
        self.now += timedelta(seconds=seconds)
        return self.now

    def unit(self, action: Callable[[Transaction], T]) -> T:
        """Run `action` as one unit of writing at the test's moment."""

        def at(tx: Transaction) -> T:
            tx.now = self.now
            return action(tx)

        return self.store.write(at)

    def new(self, number: int = 0, **changes: Any) -> NewJob:
        token = changes.get("dependency_token")
        given: dict[str, Any] = {
            "id": runtime.new_id(), "operation_type": 54, "name": f"job {number}", "message_name": "greet",
            "owner": Reference("systemuser", ADMIN), "owning_business_unit": UNIT, "created_by": ADMIN, "created_on": self.now,
            "correlation_id": runtime.new_id(), "correlation_updated": self.now,
            "serial_key": f"t:{token}" if token else None,
        }  # fmt: skip
        return NewJob(**(given | changes))

    def add(self, count: int = 1, **changes: Any) -> list[UUID]:
        """Put alike jobs into the queue in one batch."""
        jobs = [self.new(number, **changes) for number in range(count)]
        self.unit(lambda tx: queue.insert(tx, jobs))
        return [job.id for job in jobs]

    def claim(
        self, limit: int = 10, worker: str = "w", types: tuple[int, ...] = (54,), after: int = 0, **room: int
    ) -> list[ClaimedJob]:
        return self.unit(
            lambda tx: queue.claim(tx, operation_types=types, limit=limit, worker=worker, from_sequence=after, **room)
        )

    def settle(self, *ended: tuple[ClaimedJob, Outcome]) -> Settled:
        return self.unit(lambda tx: queue.settle(tx, [Settlement(job, outcome, 1.5) for job, outcome in ended]))

    def run(self, limit: int = 1) -> list[UUID]:
        """Claim and let succeed; the jobs in the order in which they ran."""
        claimed = self.claim(limit)
        assert self.settle(*((job, Succeeded()) for job in claimed)).refused == []
        return [job.id for job in claimed]

    def act(self, verb: Callable[..., None], job: UUID, *more: Any) -> None:
        self.unit(lambda tx: verb(tx, job, *more, by=ADMIN))

    def delete(self, *jobs: UUID) -> int:
        return self.unit(lambda tx: queue.delete(tx, jobs))

    def due(self, limit: int = 1000) -> tuple[int, int | None]:
        return self.unit(lambda tx: postponed.promote(tx, limit))

    def rows(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        with self.store.read() as reader:
            return reader.rows(sql, parameters)

    def row(self, job: UUID) -> dict[str, Any]:
        (found,) = self.rows(
            f"SELECT {', '.join(COLUMNS)} FROM asyncoperation WHERE CAST(asyncoperationid AS text) = :id", id=str(job)
        )
        return dict(zip(COLUMNS, found, strict=True))

    def stands(self, *jobs: UUID) -> list[tuple[int, int]]:
        rows = [self.row(job) for job in jobs]
        return [(row["statecode"], row["statuscode"]) for row in rows]

    def why(self, job: UUID) -> str:
        with self.store.read() as reader:
            return explain.why(reader, job)

    def clear(self) -> None:
        """Delete every job; nothing that hangs on one is left."""
        self.delete(*(UUID(str(row[0])) for row in self.rows("SELECT asyncoperationid FROM asyncoperation")))
        for table in ("asyncoperation", "asyncoperationtext", "fileattachment", "jobhistory"):
            assert self.rows(f"SELECT count(*) FROM {table}") == [(0,)], table
        self.check()

    def check(self) -> None:
        """What holds at every moment, whatever happened."""
        with self.store.read() as reader:
            assert explain.examine(reader) == []
            key = "ownerid, owningbusinessunit, statecode, statuscode, operationtype, datablobid IS NOT NULL"
            counted = reader.rows(f"SELECT {key}, sum(n) FROM jobcount GROUP BY {key} HAVING sum(n) <> 0")
            real = reader.rows(f"SELECT {key}, count(*) FROM asyncoperation GROUP BY {key}")
            assert sorted(counted, key=repr) == sorted(real, key=repr)
            two = "SELECT serialkey FROM asyncoperation WHERE statecode = 2 GROUP BY serialkey HAVING count(serialkey) > 1"
            assert reader.rows(two) == [], "two jobs of one token run at the same time"


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def _queue_store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One database for all tests of the queue: a new one for each costs half a second."""
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("queue") / "adjourn.db"
        shutil.copyfile(request.getfixturevalue("_sqlite_template"), path)
        store = open_store(f"sqlite:///{path}")
        yield store
        store.close()
        return
    cluster = postgres.cluster()
    name = cluster.create(template=request.getfixturevalue("_postgres_template"))
    store = open_store(cluster.url_of(name))
    yield store
    store.close()
    cluster.drop(name)


@pytest.fixture
def jobs(_queue_store: Store) -> Iterator[Jobs]:
    """The queue on each database, empty."""
    found = Jobs(_queue_store)
    yield found
    found.check()
    found.clear()
