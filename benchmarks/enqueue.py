"""Enqueueing on SQLite: one at a time by 64 callers, and in bulk; against bare loops of the same shape and the same row."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import apsw

import adjourn
from adjourn import config, runtime
from adjourn.demo.plugins import greet
from adjourn.jobs.model import NewJob
from adjourn.jobs.rows import of_new
from adjourn.jobs.statements import statements
from adjourn.metadata.model import Reference
from benchmarks.measure import Figure, folder, paired

CALLERS = 64
SECONDS = 3.0
ARGUMENT = "x" * 200


def callers(action: Callable[[], object]) -> float:
    """Calls a second of 64 threads that call at once, for a few seconds."""
    done = [0] * CALLERS
    stop = time.perf_counter() + SECONDS

    def loop(index: int) -> None:
        while time.perf_counter() < stop:
            action()
            done[index] += 1

    threads = [threading.Thread(target=loop, args=(index,)) for index in range(CALLERS)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / (time.perf_counter() - start)


def row() -> dict[str, object]:
    """The row of one job, made as the queue makes it."""
    from uuid import UUID

    user = UUID(config.ADMIN_USER_ID)
    now = runtime.now()
    job = NewJob(
        id=runtime.new_id(),
        operation_type=54,
        name="greet",
        message_name="greet",
        owner=Reference("systemuser", user),
        owning_business_unit=UUID(config.ROOT_BUSINESS_UNIT_ID),
        created_by=user,
        created_on=now,
        correlation_id=runtime.new_id(),
        correlation_updated=now,
        data=f'{{"name":"{ARGUMENT}"}}',
    )
    return {**of_new(job, now), "id": str(job.id), "data": job.data, "message": None}


class BareWriter:
    """The least that could do it: one queue, one writer thread, one commit for what is waiting."""

    def __init__(self, path: Path) -> None:
        adjourn.Organization(f"sqlite:///{path}").close()
        self._connection = apsw.Connection(str(path), statementcachesize=100)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=0"):
            self._connection.execute(f"PRAGMA {pragma}").fetchall()
        self._queue: queue.Queue[tuple[dict[str, object], Future[None]] | None] = queue.Queue(4096)
        self._thread = threading.Thread(target=self._loop)
        self._thread.start()
        self._sql = statements("sqlite")

    def enqueue(self) -> None:
        future: Future[None] = Future()
        self._queue.put((row(), future))
        future.result()

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join()
        self._connection.close()

    def _loop(self) -> None:
        while (first := self._queue.get()) is not None:
            batch = [first]
            while len(batch) < config.GROUP_UNITS_MAX:
                try:
                    following = self._queue.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    self._queue.put(None)
                    break
                batch.append(following)
            self._connection.execute("BEGIN IMMEDIATE")
            for values, _ in batch:
                self._connection.execute(self._sql.insert, values)
                self._connection.execute(self._sql.insert_text, values)
            self._connection.execute("COMMIT")
            for _, future in batch:
                future.set_result(None)


def single() -> Figure:
    with folder() as scratch, adjourn.Organization(f"sqlite:///{scratch}/ours.db") as org:
        org.enqueue(greet.request(ARGUMENT))
        bare = BareWriter(scratch / "bare.db")
        ours, theirs, spread = paired(
            lambda: callers(lambda: org.enqueue(greet.request(ARGUMENT))), lambda: callers(bare.enqueue)
        )
        bare.close()
    return Figure(
        f"single durable enqueues, {CALLERS} callers, SQLite", ours, "/s", "bare queue and writer, same row", theirs,
        "ratio ≥ 0.50", ours >= 0.5 * theirs, spread,
    )  # fmt: skip


def bulk() -> Figure:
    with folder() as scratch, adjourn.Organization(f"sqlite:///{scratch}/ours.db") as org:
        org.enqueue(greet.request(ARGUMENT))
        requests = [greet.request(ARGUMENT) for _ in range(1000)]
        bare = BareWriter(scratch / "bare.db")
        connection, sql = bare._connection, bare._sql

        def ours() -> float:
            start = time.perf_counter()
            for _ in range(10):
                org.enqueue_many(requests)
            return 10_000 / (time.perf_counter() - start)

        def theirs() -> float:
            start = time.perf_counter()
            for _ in range(10):
                rows = [row() for _ in range(1000)]
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(sql.insert, rows)
                connection.executemany(sql.insert_text, rows)
                connection.execute("COMMIT")
            return 10_000 / (time.perf_counter() - start)

        found, yardstick, spread = paired(ours, theirs)
        bare.close()
    return Figure(
        "bulk enqueue by 1,000, SQLite", found, "/s", "bare executemany, same rows", yardstick, "", None, spread
    )


def figures() -> list[Figure]:
    return [single(), bulk()]
