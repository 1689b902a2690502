"""Bulk deletes: against the same deletes one by one, and what they cost others while they run."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from adjourn import config, runtime
from adjourn.client import Client
from adjourn.jobs import queue
from adjourn.metadata.values import moment_text
from adjourn.operations import prepare
from adjourn.pipeline.call import Call, Request
from adjourn.pipeline.record import Record
from adjourn.service import Service
from adjourn.worker import own_jobs
from adjourn.worker.supervisor import Supervisor
from benchmarks import handlers
from benchmarks.measure import Figure, folder, paired, percentile, timed

ACCOUNTS = 500
JOBS = 1_000_000
"""Succeeded jobs that are deleted while others flow."""
FLOW_PER_SECOND = 500
FLOW_SECONDS = 20.0
PRODUCERS = 8
"""Callers that make them, as many at a time: each waits for its commit."""
_LOADED_TOGETHER = 5_000


def order(table: str, *conditions: dict[str, Any]) -> Request:
    """A bulk delete that starts at once."""
    given = {
        "QuerySet": [{"EntityName": table, "Criteria": {"Conditions": list(conditions)}}],
        "JobName": "benchmark",
        "SendEmailNotification": False,
        "ToRecipients": [],
        "CCRecipients": [],
        "RecurrencePattern": "",
        "StartDateTime": "2020-01-01T00:00:00Z",
    }
    return Request("BulkDelete", given)


def accounts(org: Client) -> list[Any]:
    made = [Record("account", None, {"name": f"a{place}"}) for place in range(ACCOUNTS)]
    return list(org.execute(Request("CreateMultiple", {"Targets": made}))["Ids"])


def beside_single_deletes() -> list[Figure]:
    """Milliseconds for accounts with two steps each."""
    with folder() as scratch:
        service = Service.open(f"sqlite:///{scratch}/bulk.db")
        service.register("benchmarks.bulk_steps")
        org = service.client(Call(caller=service.administrator()))

        def bulk() -> float:
            accounts(org)
            org.execute(order("account"))
            worker = str(runtime.new_id())
            job = service.store.write(lambda tx: queue.claim(tx, operation_types=(13,), limit=1, worker=worker))[0]
            return 1000 * timed(lambda: own_jobs.run(service, job, prepare(job, service), lambda: False))

        def singly() -> float:
            found = accounts(org)
            return 1000 * timed(lambda: [org.delete("account", each) for each in found])

        ours, theirs, spread = paired(bulk, singly)
        service.close()
    ratio = ours / theirs
    return [
        Figure(
            f"bulk delete of {ACCOUNTS} accounts with two steps", ours, "ms", "the same one by one", theirs,
            "≤ 4 times", ratio <= 4, spread,
        )
    ]  # fmt: skip


def history(service: Service, jobs: int) -> None:
    """Succeeded jobs, a day old."""
    moment = moment_text(runtime.now() - timedelta(days=1))
    row = {
        "operationtype": 54, "name": "old", "messagename": "old", "ownerid": config.ADMIN_USER_ID,
        "owneridtype": "systemuser", "owninguser": config.ADMIN_USER_ID, "owningbusinessunit": config.ROOT_BUSINESS_UNIT_ID,
        "createdby": config.ADMIN_USER_ID, "createdon": moment, "modifiedby": config.ADMIN_USER_ID, "modifiedon": moment,
        "statecode": 3, "statuscode": 30, "completedon": moment,
    }  # fmt: skip
    for start in range(0, jobs, _LOADED_TOGETHER):
        ids = [str(runtime.new_id()) for _ in range(min(_LOADED_TOGETHER, jobs - start))]
        rows = [{**row, "asyncoperationid": job, "correlationid": job} for job in ids]
        texts = [{"id": job, "data": '{"name":"Ada"}', "message": None} for job in ids]
        service.store.write(lambda tx, rows=rows, texts=texts: queue.load_history(tx, rows, texts))  # type: ignore[misc]


def flow(service: Service, marks: Path, per_second: float, stop: threading.Event) -> list[float]:
    """Jobs that keep coming, one at a time; milliseconds from each commit to the first line of its handler."""
    marks.write_text("")
    org = service.client(Call(caller=service.administrator()))
    sent: dict[str, float] = {}
    began = time.perf_counter()

    def produce(first: int) -> None:
        for number in itertools.count(first, PRODUCERS):
            if stop.wait(max(0.0, began + number / per_second - time.perf_counter())):
                return
            org.enqueue(handlers.mark.request(str(number), str(marks)))
            sent[str(number)] = time.time()

    threads = [threading.Thread(target=produce, args=(first,)) for first in range(PRODUCERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rate = len(sent) / (time.perf_counter() - began)
    time.sleep(2.0)
    seen = {line.split()[0]: float(line.split()[1]) for line in marks.read_text().splitlines()}
    assert len(seen) == len(sent), f"{len(sent) - len(seen)} jobs were not seen"
    assert rate > 0.9 * per_second, f"only {rate:.0f} jobs a second flowed"
    return [(seen[name] - moment) * 1000 for name, moment in sent.items()]


def while_it_runs(jobs: int, per_second: float, seconds: float) -> tuple[list[float], list[float], float]:
    """Pick-up of a flow of jobs, idle and while a million others are deleted; and how many were deleted a second."""
    with folder() as scratch:
        service = Service.open(f"sqlite:///{scratch}/flow.db")
        service.register("benchmarks.handlers")
        org = service.client(Call(caller=service.administrator()))
        history(service, jobs)
        supervisor = Supervisor(service)
        supervisor.start()
        try:
            org.enqueue(handlers.nothing.request(""))
            time.sleep(2.0)
            stop = threading.Event()
            threading.Timer(seconds, stop.set).start()
            idle = flow(service, scratch / "idle", per_second, stop)
            stop = threading.Event()
            job = org.execute(
                order("asyncoperation", {"AttributeName": "name", "Operator": "Equal", "Values": ["old"]})
            )["JobId"]
            taken: list[float] = []
            watcher = threading.Thread(target=_watch, args=(org, job, stop, taken))
            watcher.start()
            busy = flow(service, scratch / "busy", per_second, stop)
            watcher.join()
            return idle, busy, jobs / taken[0]
        finally:
            supervisor.stop()
            service.close()


def _watch(org: Client, job: Any, stop: threading.Event, taken: list[float]) -> None:
    began = time.perf_counter()
    try:
        while (found := org.retrieve("asyncoperation", job, ["statecode", "statuscode"]))["statecode"] != 3:
            time.sleep(0.2)
        taken.append(time.perf_counter() - began)
        assert found["statuscode"] == 30
    finally:
        stop.set()


def pick_up(jobs: int = JOBS) -> Sequence[Figure]:
    idle, busy, rate = while_it_runs(jobs, FLOW_PER_SECOND, FLOW_SECONDS)
    p99, base = percentile(busy, 0.99), percentile(idle, 0.99)
    name = f"pick-up of {FLOW_PER_SECOND} jobs/s while {jobs:,} succeeded ones are deleted, p99"
    return [
        Figure(name, p99, "ms", "the same flow alone", base, "≤ 3 times", p99 <= 3 * base),
        Figure("succeeded jobs deleted beside that flow", rate, "jobs/s", "", None, "", None),
    ]


def figures() -> list[Figure]:
    return [*beside_single_deletes(), *pick_up()]
