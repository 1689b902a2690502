"""Draining a queue of no-op jobs: ours against Huey on the same disk, and against claim and settle without any handler."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from adjourn.jobs import queue
from adjourn.jobs.model import ClaimedJob, Settlement, Succeeded
from adjourn.pipeline.call import Call
from adjourn.service import Service
from adjourn.store.contract import Transaction
from adjourn.worker.supervisor import Supervisor
from benchmarks import handlers
from benchmarks.measure import Figure, folder

JOBS = 50_000
JOBS_POSTGRES = 20_000
HUEY_JOBS = 3_000
ARGUMENT = "x" * 200
_OPEN = "asyncoperations?$apply=filter(statecode lt 3)/aggregate($count as n)"

HUEY = """
import logging, os, sys, threading, time
from huey import SqliteHuey
logging.disable(logging.CRITICAL)
huey = SqliteHuey("bench", filename=sys.argv[1], results=False, fsync=True)
jobs, workers = int(sys.argv[2]), int(sys.argv[3])
done, first, lock = 0, None, threading.Lock()
@huey.task()
def noop(text):
    global done, first
    with lock:
        first = first or time.perf_counter()
        done += 1
        if done == jobs:
            print(jobs / (time.perf_counter() - first), flush=True)
            os._exit(0)
for index in range(jobs):
    noop("x" * 200)
huey.create_consumer(workers=workers, initial_delay=0.01, max_delay=0.05).run()
"""


def fill(service: Service, jobs: int) -> None:
    """Enqueue no-op jobs."""
    org = service.client(Call(caller=service.administrator()))
    for _ in range(0, jobs, 1000):
        org.enqueue_many([handlers.nothing.request(ARGUMENT) for _ in range(1000)])


def ours(url: str, jobs: int) -> float:
    """Jobs a second of a supervisor with one executor, from its start until the store says that nothing is open."""
    service = Service.open(url)
    try:
        service.register("benchmarks.handlers")
        fill(service, jobs)
        org = service.client(Call(caller=service.administrator()))
        supervisor = Supervisor(service, processes=1, concurrency=8)
        start = time.perf_counter()
        supervisor.start()
        while org.retrieve_multiple(_OPEN)[0]["n"]:
            time.sleep(0.02)
        rate = jobs / (time.perf_counter() - start)
        supervisor.stop()
        return rate
    finally:
        service.close()


def claim_and_settle(url: str, jobs: int) -> float:
    """Jobs a second of the queue's own statements, in units of a hundred, with nothing run."""
    service = Service.open(url)
    try:
        service.register("benchmarks.handlers")
        fill(service, jobs)
        held: list[ClaimedJob] = []
        start = time.perf_counter()
        while True:

            def unit(tx: Transaction, held: list[ClaimedJob] = held) -> list[ClaimedJob]:
                queue.settle(tx, [Settlement(job, Succeeded(), 0.0) for job in held])
                return queue.claim(tx, operation_types=[54], limit=100, worker="bench")

            held = service.store.write(unit)
            if not held:
                return jobs / (time.perf_counter() - start)
    finally:
        service.close()


def huey(path: Path) -> float:
    """Huey's best rate over one, two and four workers, with fsync; a completed job is not stored at all there."""
    rates = []
    for workers in (1, 2, 4):
        command = [sys.executable, "-c", HUEY, str(path / f"huey{workers}.db"), str(HUEY_JOBS), str(workers)]
        printed = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
        rates.append(float(printed.stdout.strip()))
    return max(rates)


def figures() -> list[Figure]:
    with folder() as scratch:
        rate = ours(f"sqlite:///{scratch}/ours.db", JOBS)
        yardstick = huey(scratch)
        bare = claim_and_settle(f"sqlite:///{scratch}/bare.db", JOBS // 2)
    name = f"drain of {JOBS:,} no-op jobs, SQLite"
    return [
        Figure(name, rate, "/s", "Huey, SQLite with fsync", yardstick, "ratio ≥ 3", rate >= 3 * yardstick),
        Figure(name, rate, "/s", "claim and settle alone", bare, "", None),
    ]


def postgres_figures() -> list[Figure]:
    import psycopg
    from tests.support import postgres

    cluster = postgres.cluster(in_memory=False)
    url = cluster.url_of(cluster.create())
    rate = ours(url, JOBS_POSTGRES)
    with psycopg.connect(url, autocommit=False) as connection:
        connection.execute("CREATE TABLE bare (id bigint PRIMARY KEY, state int NOT NULL, data text, done timestamptz)")
        connection.execute("CREATE INDEX bare_ready ON bare (id) WHERE state = 0")
        connection.execute(f"INSERT INTO bare SELECT g, 0, '{ARGUMENT}' FROM generate_series(1, {JOBS_POSTGRES}) g")
        connection.commit()
        start = time.perf_counter()
        while True:
            rows = connection.execute(
                "UPDATE bare SET state = 2 WHERE id = ANY(ARRAY(SELECT id FROM bare WHERE state = 0 ORDER BY id LIMIT 100 "
                "FOR UPDATE SKIP LOCKED)) RETURNING id"
            ).fetchall()
            connection.commit()
            if not rows:
                break
            connection.execute(
                "UPDATE bare SET state = 3, done = now() WHERE id = ANY(%s)", ([row[0] for row in rows],)
            )
            connection.commit()
        raw = JOBS_POSTGRES / (time.perf_counter() - start)
    return [
        Figure(
            f"drain of {JOBS_POSTGRES:,} no-op jobs, PostgreSQL", rate, "/s", "raw psycopg, four columns", raw, "", None
        )
    ]
