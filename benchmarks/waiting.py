"""What waits costs nothing, and what is due is Ready in time: a million jobs behind one token, ten thousand due at once."""

from __future__ import annotations

import statistics
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tests.support import postgres
from tests.support.behind import put_behind

from adjourn import runtime
from adjourn.jobs import queue
from adjourn.jobs.model import ClaimedJob, Settlement, Succeeded
from adjourn.metadata.values import moment_text
from adjourn.pipeline.call import Call
from adjourn.service import Service
from adjourn.store.contract import Transaction
from adjourn.worker.supervisor import Supervisor
from benchmarks import handlers
from benchmarks.measure import Figure, folder, paired, percentile

BEHIND = 1_000_000
DUE = 10_000
ROUNDS = 300
REPEATS = 5
PAUSE_SECONDS = 15.0
NAMES = {"sqlite": "SQLite", "postgres": "PostgreSQL"}


def opened(dialect: str, scratch: Path, name: str) -> Service:
    """A fresh organization on a database."""
    if dialect == "sqlite":
        service = Service.open(f"sqlite:///{scratch}/{name}.db")
    else:
        cluster = postgres.cluster()
        service = Service.open(cluster.url_of(cluster.create()))
    service.register("benchmarks.handlers")
    return service


def claim_milliseconds(service: Service) -> float:
    """A unit that claims one job and settles the one before it, with something to claim each time."""
    org = service.client(Call(caller=service.administrator()))
    org.enqueue_many([handlers.nothing.request("")] * ROUNDS)
    held: list[ClaimedJob] = []

    def unit(tx: Transaction) -> list[ClaimedJob]:
        queue.settle(tx, [Settlement(job, Succeeded(), 0.0) for job in held])
        return queue.claim(tx, operation_types=[54], limit=1, worker="bench")

    took = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        held = service.store.write(unit)
        took.append((time.perf_counter() - start) * 1000)
        assert len(held) == 1
    service.store.write(lambda tx: queue.settle(tx, [Settlement(job, Succeeded(), 0.0) for job in held]))
    return statistics.median(took)


def behind(dialect: str, scratch: Path) -> Figure:
    """The same unit in two organizations in turn: one with a million jobs behind one token, one without."""
    full, empty = (opened(dialect, scratch, name) for name in ("full", "empty"))
    try:
        org = full.client(Call(caller=full.administrator()))
        later = runtime.now() + timedelta(days=1)
        head = org.enqueue(handlers.nothing.request(""), dependency_token="t", postpone_until=later)
        for batch in range(10):
            put_behind(full.store, str(head), BEHIND // 10, batch=batch)
        time.sleep(PAUSE_SECONDS)  # what the database itself still does with a million new rows is not what we ask
        with_them, without, spread = paired(
            lambda: claim_milliseconds(full), lambda: claim_milliseconds(empty), REPEATS
        )
    finally:
        full.close()
        empty.close()
    return Figure(
        f"claim and settle with {BEHIND:,} jobs behind one token, {NAMES[dialect]}", with_them, "ms",
        "without them", without, "ratio ≤ 1.2", with_them <= 1.2 * without, spread,
    )  # fmt: skip


def rows(service: Service, sql: str) -> list[tuple[Any, ...]]:
    with service.store.read() as reader:
        return reader.rows(sql)


def watch(service: Service, moment: datetime, seen: list[tuple[float, int]]) -> None:
    """How many are Ready, as somebody sees it who asks all the time: milliseconds after the moment, and their number."""
    while runtime.now() < moment + timedelta(seconds=3):
        ((number,),) = rows(
            service, "SELECT coalesce(sum(n), 0) FROM jobcount WHERE statecode = 0 AND operationtype = 54"
        )
        seen.append(((runtime.now() - moment).total_seconds() * 1000, int(number)))
        time.sleep(0.002)


def due(dialect: str, scratch: Path) -> list[Figure]:
    """Ten thousand due at once: when they are Ready, and what a job of another class notices of them."""
    service = opened(dialect, scratch, "due")
    try:
        org = service.client(Call(caller=service.administrator()))
        supervisor = Supervisor(service, processes=0)
        supervisor.start()
        later = runtime.now() + timedelta(hours=1)
        org.enqueue_many([(handlers.nothing.request(""), {"postpone_until": later})] * DUE)
        moment = runtime.now() + timedelta(seconds=5)
        sql = "UPDATE asyncoperation SET postponeuntil = :moment WHERE statecode = 1"
        service.store.write(lambda tx: tx.execute(sql, {"moment": moment_text(moment)}))
        service.store.wake()
        seen: list[tuple[float, int]] = []
        watcher = runtime.spawn(watch, service, moment, seen, name="bench-watch")
        others = []
        while runtime.now() < moment + timedelta(seconds=3):
            start = time.perf_counter()
            org.create("account", {"name": "other"})
            others.append((time.perf_counter() - start) * 1000)
            time.sleep(0.01)
        watcher.join(10)
        supervisor.stop()
        ready = rows(
            service, "SELECT modifiedon, statecode FROM asyncoperation WHERE operationtype = 54 ORDER BY sequence"
        )
        assert {state for _, state in ready} == {0}
        assert ready == sorted(ready), "in order"
        assert datetime.fromisoformat(ready[0][0]) >= moment
        first, half, last = (next(late for late, number in seen if number >= wanted) for wanted in (1, DUE // 2, DUE))
        assert first >= 0, "not before its moment"
    finally:
        service.close()
    name, other = f"{DUE:,} jobs due at once, {NAMES[dialect]}", percentile(others, 0.99)
    return [
        Figure(f"{name}: first is Ready after", first, "ms", "", None, "< 100 ms", first < 100),
        Figure(f"{name}: half are Ready after", half, "ms", "", None, "< 100 ms", half < 100),
        Figure(f"{name}: last is Ready after", last, "ms", "", None, "< 100 ms", last < 100),
        Figure(f"{name}: a create meanwhile, p99", other, "ms", "", None, "< 20 ms", other < 20),
    ]


def figures() -> list[Figure]:
    found = []
    with folder() as scratch:
        for dialect in NAMES:
            found.append(behind(dialect, scratch))
            found += due(dialect, scratch)
    return found
