"""Recurring jobs from Python: enqueued, run by supervisors and by drain(), for ten years of virtual time. On both stores."""

from __future__ import annotations

import dataclasses
import itertools
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from dateutil.rrule import rrulestr
from tests.support import roles
from tests.support import worker_plugins as plugins

from adjourn import errors, runtime
from adjourn.client import Client
from adjourn.errors import InvalidRequest, QueryError
from adjourn.jobs import explain, postponed, queue, schedules
from adjourn.jobs.model import Settlement, Succeeded
from adjourn.metadata.values import moment_text
from adjourn.pipeline.call import Call
from adjourn.pipeline.enqueue import Jobs
from adjourn.service import Service
from adjourn.store.contract import Store, Transaction
from adjourn.worker.inline import drain
from adjourn.worker.supervisor import Supervisor

ROOT = Path(__file__).resolve().parents[3]
MANY = 10_000
DAY = timedelta(days=1)


@pytest.fixture
def service(store: Store) -> Service:
    service = Service(store)
    service.register("tests.support.worker_plugins")
    return service


@pytest.fixture
def org(service: Service) -> Client:
    return service.client(Call(caller=service.administrator()))


@pytest.fixture
def start(service: Service) -> Iterator[Callable[[int], Supervisor]]:
    started: list[Supervisor] = []

    def begin(processes: int) -> Supervisor:
        found = Supervisor(service, processes=processes, concurrency=4)
        found.start()
        started.append(found)
        return found

    yield begin
    for supervisor in started:
        supervisor.stop()


def rows(store: Store, sql: str) -> list[tuple[Any, ...]]:
    with store.read() as reader:
        return reader.rows(sql)


def runs(store: Store) -> list[tuple[Any, ...]]:
    """When each run was made, and how it stands."""
    return rows(
        store, "SELECT createdon, statuscode FROM asyncoperation WHERE scheduleid IS NOT NULL ORDER BY sequence"
    )


def wait(accepted: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not accepted():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.requirement("M103")
def test_the_first_run_starts_at_the_start_time(org: Client, store: Store, start: Callable[[int], Supervisor]) -> None:
    start(1)
    org.enqueue(plugins.quick.request("warm"))
    wait(lambda: rows(store, "SELECT count(*) FROM asyncoperation WHERE statecode < 3") == [(0,)], 20)
    moment = runtime.now() + timedelta(seconds=1.3)
    schedule = org.enqueue(plugins.quick.request("x"), recurrence="FREQ=DAILY;", postpone_until=moment)
    found = org.retrieve("asyncoperation", schedule)
    assert (found["statecode"], found["statuscode"]) == (1, 10)
    assert found["postponeuntil"] == found["recurrencestarttime"] == moment
    wait(lambda: [run[1] for run in runs(store)] == [30], 20)
    (started,) = rows(store, "SELECT startedon FROM asyncoperation WHERE scheduleid IS NOT NULL")
    late = (datetime.fromisoformat(started[0]) - moment).total_seconds()
    assert 0 <= late < 0.1, late
    found = org.retrieve("asyncoperation", schedule)
    assert (found["statecode"], found["statuscode"], found["startedon"]) == (1, 10, None)
    assert found["postponeuntil"] == (moment + DAY).replace(microsecond=0)


@pytest.mark.requirement("M104")
def test_without_a_start_time_the_first_run_is_now(
    org: Client, store: Store, start: Callable[[int], Supervisor]
) -> None:
    start(1)
    schedule = org.enqueue(plugins.quick.request("x"), recurrence="FREQ=DAILY;")
    wait(lambda: [run[1] for run in runs(store)] == [30], 20)
    found = org.retrieve("asyncoperation", schedule)
    assert found["recurrencestarttime"] is None
    assert found["postponeuntil"] == found["createdon"].replace(microsecond=0) + DAY


def test_quick_runs_follow_each_other_and_slow_ones_never_overlap(
    org: Client, store: Store, start: Callable[[int], Supervisor]
) -> None:
    start(1)
    schedule = org.enqueue(plugins.sleepy.request(1.2), recurrence="FREQ=SECONDLY;")
    wait(lambda: len(runs(store)) >= 2, 20)
    org.update("asyncoperation", schedule, {"statecode": 3})
    wait(lambda: rows(store, "SELECT count(*) FROM asyncoperation WHERE statecode < 3") == [(0,)], 20)
    times = rows(
        store, "SELECT startedon, completedon FROM asyncoperation WHERE scheduleid IS NOT NULL ORDER BY sequence"
    )
    for (_, ended), (began, _) in itertools.pairwise(times):
        assert ended <= began
    done = len(times)
    time.sleep(1.2)
    assert len(runs(store)) == done, "a canceled schedule makes no more runs"


@pytest.mark.requirement("M110")
@pytest.mark.parametrize(
    ("pattern", "step", "wanted"),
    [
        ("FREQ=DAILY;", DAY, [0, 1, 2]),
        pytest.param("FREQ=DAILY;INTERVAL=3;", DAY, [0, 3, 6, 9], marks=pytest.mark.requirement("M111")),
        pytest.param("FREQ=HOURLY;", timedelta(hours=1), range(6), marks=pytest.mark.requirement("M112")),
        pytest.param("FREQ=WEEKLY;", DAY, [0, 7, 14], marks=pytest.mark.requirement("M109")),
    ],
)
def test_virtual_time_brings_the_runs_of_the_pattern(
    service: Service, org: Client, store: Store, pattern: str, step: timedelta, wanted: Any
) -> None:
    began = runtime.now().replace(microsecond=0) + timedelta(minutes=1)
    schedule = org.enqueue(plugins.quick.request("x"), recurrence=pattern, postpone_until=began)
    served = [number for number in range(max(wanted) + 1) if drain(service, began + number * step)]
    assert served == list(wanted)
    made = runs(store)
    assert [status for _, status in made] == [30] * len(served)
    # Only what is due is pretended: the runs are made, and say that they are made, now and in their order.
    moments = [datetime.fromisoformat(created) for created, _ in made]
    assert moments == sorted(moments)
    assert moments[-1] <= runtime.now()
    found = org.retrieve("asyncoperation", schedule)
    assert (found["statecode"], found["recurrencepattern"]) == (1, pattern)


def test_nonsense_is_refused_by_name_and_leaves_nothing(org: Client, store: Store) -> None:
    for pattern, code, text in (
        ("FREQ=DAILY;INTERVAL=0", errors.RECURRENCE_INVALID, "INTERVAL=0 is not a whole number from 1 to"),
        ("FREQ=DALY;", errors.RECURRENCE_INVALID, "Did you mean 'DAILY'?"),
        ("RRULE:FREQ=DAILY", errors.RECURRENCE_INVALID, "no part of the pattern"),
        ("", errors.RECURRENCE_INVALID, "is missing|not of the form"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", errors.RECURRENCE_NEVER, "never occur"),
        ("FREQ=DAILY;UNTIL=20200101", errors.RECURRENCE_NEVER, "never occurs: it starts at"),
    ):
        with pytest.raises(QueryError, match=text) as refused:
            org.enqueue(plugins.quick.request("x"), recurrence=pattern)
        assert (refused.value.code, refused.value.status) == (code, 400)
    with pytest.raises(InvalidRequest, match="is a text such as") as wrong:
        org.enqueue(plugins.quick.request("x"), recurrence=5)  # type: ignore[arg-type]
    assert wrong.value.code == errors.RECURRENCE_INVALID
    assert rows(store, "SELECT 1 FROM asyncoperation") == []


def test_a_job_can_make_a_schedule_of_many_with_the_options_of_each(org: Client, store: Store) -> None:
    account = org.create("account", {"name": "Contoso"})
    options = {"recurrence": "FREQ=DAILY;", "dependency_token": "t", "regarding": ("account", account)}
    schedule, once = org.enqueue_many([(plugins.quick.request("x"), options), plugins.quick.request("y")])
    (found,) = rows(store, "SELECT dependencytoken, serialkey FROM asyncoperation WHERE recurrencepattern IS NOT NULL")
    assert found == ("t", None)
    org.update("asyncoperation", schedule, {"statecode": 0})
    (run,) = org.retrieve_multiple(f"asyncoperations?$filter=dependencytoken eq 't' and asyncoperationid ne {schedule}")
    assert (run["regardingobjectid"].id, run["name"], run["statecode"]) == (account, "quick", 0)
    assert once != run.id


@pytest.mark.requirement("M194")
def test_resume_of_a_schedule_inserts_a_run_at_once_though_nobody_runs_jobs(org: Client, store: Store) -> None:
    moment = runtime.now() + DAY
    schedule = org.enqueue(plugins.quick.request("x"), recurrence="FREQ=DAILY;", postpone_until=moment)
    org.update("asyncoperation", schedule, {"statecode": 0, "statuscode": 0})
    assert [run[1] for run in runs(store)] == [0]
    found = org.retrieve("asyncoperation", schedule)
    assert (found["statecode"], found["statuscode"], found["postponeuntil"]) == (1, 10, moment.replace(microsecond=0))
    org.update("asyncoperation", schedule, {"statecode": 0, "statuscode": 0})
    assert len(runs(store)) == 1, "the open run comes first"


@pytest.mark.requirement("M191")
def test_a_canceled_schedule_never_runs_again(service: Service, org: Client, store: Store) -> None:
    schedule = org.enqueue(plugins.quick.request("x"), recurrence="FREQ=DAILY;", postpone_until=runtime.now() + DAY)
    org.update("asyncoperation", schedule, {"statecode": 3, "statuscode": 32})
    assert drain(service, runtime.now() + 10 * DAY) == 0
    assert (runs(store), org.retrieve("asyncoperation", schedule)["statuscode"]) == ([], 32)


def of_ada(org: Client) -> tuple[UUID, UUID]:
    """A user, and a daily schedule that is hers; she may own one."""
    ada = roles.user(org, "ada")
    options: dict[str, Any] = {"recurrence": "FREQ=DAILY;", "postpone_until": runtime.now() + DAY}
    return ada, org.enqueue(plugins.quick.request("x"), owner=("systemuser", ada), **options)


def test_runs_of_a_user_who_is_disabled_fail_until_he_is_back(service: Service, org: Client, store: Store) -> None:
    """They do nothing in his name meanwhile, and say why; nothing needs to be set up again."""
    ada, schedule = of_ada(org)
    for day, disabled in enumerate((False, True, True, False), start=1):
        org.update("systemuser", ada, {"isdisabled": disabled})
        drain(service, runtime.now() + day * DAY)
    assert [status for _, status in runs(store)] == [30, 31, 31, 30]
    told = org.retrieve_multiple("asyncoperations?$filter=statuscode eq 31")
    assert {(row["errorcode"], row["friendlymessage"]) for row in told} == {
        (errors.signed(0x80040204), f"systemuser {ada} is disabled.")
    }
    assert org.retrieve("asyncoperation", schedule)["statecode"] == 1


def test_a_schedule_whose_user_is_gone_ends_and_says_so(service: Service, org: Client, store: Store) -> None:
    """Its runs could only fail, for ever; the next moment is its last."""
    ada, schedule = of_ada(org)
    drain(service, runtime.now() + DAY)
    org.delete("systemuser", ada)
    drain(service, runtime.now() + 2 * DAY)
    assert [status for _, status in runs(store)] == [30]
    found = org.retrieve("asyncoperation", schedule)
    assert (found["statecode"], found["statuscode"], found["errorcode"]) == (3, 31, errors.signed(0x80040217))
    assert found["friendlymessage"] == (
        f"It can make no more runs: systemuser {ada}, whom its runs would run as, does not exist."
    )


def test_ten_thousand_schedules_due_in_the_same_second_make_a_run_each(
    org: Client, store: Store, start: Callable[[int], Supervisor]
) -> None:
    """And nobody who writes meanwhile waits long for his turn."""
    options = {"recurrence": "FREQ=DAILY;", "postpone_until": runtime.now() + 9 * DAY}
    org.enqueue_many([(plugins.quick.request("x"), options)] * MANY)
    start(0)
    moment = runtime.now() + timedelta(seconds=2)
    chosen = "UPDATE asyncoperation SET postponeuntil = :moment, recurrencestarttime = :moment"
    store.write(lambda tx: tx.execute(chosen, {"moment": moment_text(moment)}))
    store.wake()
    wait(lambda: runtime.now() > moment, 20)
    waited = []
    deadline = time.monotonic() + 60
    while len(runs(store)) < MANY:
        assert time.monotonic() < deadline
        before = time.monotonic()
        org.create("contact", {"lastname": "Ada"})
        waited.append(time.monotonic() - before)
        time.sleep(0.02)
    assert statistics.median(waited) < 0.5, waited
    # Who writes waits for one unit at most, and that is small.
    units = rows(store, "SELECT count(*) FROM asyncoperation WHERE scheduleid IS NOT NULL GROUP BY createdon")
    assert max(count for (count,) in units) <= schedules.RUNS_BATCH
    each = rows(
        store, "SELECT scheduleid, count(*) FROM asyncoperation WHERE scheduleid IS NOT NULL GROUP BY scheduleid"
    )
    assert (len(each), {count for _, count in each}) == (MANY, {1})
    next_moments = rows(store, "SELECT DISTINCT postponeuntil FROM asyncoperation WHERE recurrencepattern IS NOT NULL")
    assert [datetime.fromisoformat(row[0]) for row in next_moments] == [(moment + DAY).replace(microsecond=0)]
    with store.read() as reader:
        assert explain.examine(reader) == []


YEARS = (datetime(2030, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC))
DOWN = (datetime(2033, 3, 10, tzinfo=UTC), datetime(2033, 4, 10, tzinfo=UTC))
"""A month without anybody, over a change to daylight saving time."""
PATTERNS = {
    # pattern, start; all in UTC, in which no clock is ever changed
    "daily": ("FREQ=DAILY;INTERVAL=10", datetime(2030, 1, 1, 1, 30, tzinfo=UTC)),
    "weekly": ("FREQ=WEEKLY;INTERVAL=4;BYDAY=SU", datetime(2030, 1, 6, 2, 30, tzinfo=UTC)),
    "last Friday": ("FREQ=MONTHLY;BYDAY=-1FR", datetime(2030, 1, 25, 17, tzinfo=UTC)),
    "month's end": ("FREQ=MONTHLY;BYMONTHDAY=-1", datetime(2030, 1, 31, 23, 59, 59, tzinfo=UTC)),
    "leap day": ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", datetime(2030, 1, 1, 12, tzinfo=UTC)),
    "in March": ("FREQ=DAILY;BYMONTH=3;BYDAY=SU;BYHOUR=2", datetime(2030, 1, 1, tzinfo=UTC)),
    "twenty": ("FREQ=WEEKLY;COUNT=20", datetime(2030, 1, 2, 3, tzinfo=UTC)),
}


def expected(pattern: str, start: datetime) -> list[datetime]:
    """python-dateutil's moments; those of the month of downtime are one, at its end."""
    moments = rrulestr(pattern, dtstart=start).between(YEARS[0], YEARS[1], inc=True)
    missed = [moment for moment in moments if DOWN[0] <= moment < DOWN[1]]
    return sorted({moment for moment in moments if moment not in missed} | ({DOWN[1]} if missed else set()))


def test_ten_years_of_virtual_time(service: Service, org: Client, store: Store) -> None:
    """Leap days, months of all lengths, daylight saving, a month of downtime: each schedule's runs are dateutil's."""
    now = YEARS[0]
    made: dict[str, list[datetime]] = {name: [] for name in PATTERNS}

    jobs = Jobs(service.registry.refresh(), store, Call(caller=service.administrator()))

    def enqueue(tx: Transaction) -> None:
        tx.now = now
        for name, (pattern, begin) in PATTERNS.items():
            job = jobs.make(plugins.quick.request(name), {})
            changed = dataclasses.replace(
                job, recurrence_pattern=pattern, recurrence_start=begin, name=name, created_on=now
            )
            queue.insert(tx, [changed])

    def live(tx: Transaction) -> bool:
        """Some hundred moments, each with its own promotion, claim and settle, under one commit."""
        nonlocal now
        for _ in range(400):
            due = postponed.next_moment(tx)
            if due is None or due >= YEARS[1]:
                return False
            now = max(now, DOWN[1] if DOWN[0] <= due < DOWN[1] else due)
            tx.now = now
            schedules.promote_due(tx)
            claimed = queue.claim(tx, operation_types=[54], limit=100, worker="w")
            assert claimed, due
            for job in claimed:
                made[job.name].append(now)
            queue.settle(tx, [Settlement(job, Succeeded(), 0.1) for job in claimed])
        return True

    store.write(enqueue)
    while store.write(live):
        pass
    for name, (pattern, begin) in PATTERNS.items():
        assert made[name] == expected(pattern, begin), name
    stands = dict(rows(store, "SELECT name, statuscode FROM asyncoperation WHERE recurrencepattern IS NOT NULL"))
    assert stands == {name: 30 if name == "twenty" else 10 for name in PATTERNS}
    assert DOWN[1] in made["daily"], "what was missed is one run, when somebody is there again"
    assert len(made["leap day"]) == 2
    with store.read() as reader:
        assert explain.examine(reader) == []


CRASH = """
import os, signal, sys
from adjourn.service import Service
from adjourn.store import faults
from adjourn.worker.inline import drain
url, point = sys.argv[1:]
service = Service.open(url)
taken = False
def die(name):
    global taken
    taken = taken or name == "schedules taken"
    if taken and name == point:
        os.kill(os.getpid(), signal.SIGKILL)
with faults.listening(die):
    drain(service)
"""


@pytest.mark.parametrize("point", ["schedules taken", "runs made", "schedules moved", "before commit", "after commit"])
def test_a_process_that_is_killed_while_it_makes_a_run_loses_none_and_makes_none_twice(
    database_url: str, point: str
) -> None:
    service = Service.open(database_url)
    try:
        service.register("tests.support.worker_plugins")
        org = service.client(Call(caller=service.administrator()))
        schedule: UUID = org.enqueue(plugins.quick.request("x"), recurrence="FREQ=DAILY;")
    finally:
        service.close()
    killed = subprocess.run(
        [sys.executable, "-c", CRASH, database_url, point],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=ROOT, timeout=60, check=False,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL
    service = Service.open(database_url)
    try:
        drain(service)
        assert [run[1] for run in runs(service.store)] == [30]
        found = service.client(Call(caller=service.administrator())).retrieve("asyncoperation", schedule)
        assert found["postponeuntil"] == found["createdon"].replace(microsecond=0) + DAY
        with service.store.read() as reader:
            assert explain.examine(reader) == []
    finally:
        service.close()
