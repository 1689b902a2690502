"""Long work in chunks: interrupted between any two, killed at any point, gone on with, told, and repeated row by row."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest
from tests.flows.operations.test_bulk_delete import bulk_delete, names, operation, query

from adjourn import runtime
from adjourn.client import Client
from adjourn.errors import Busy, InvalidRequest
from adjourn.jobs import explain, queue
from adjourn.jobs.model import Continue, Settlement, Succeeded
from adjourn.metadata.model import Reference
from adjourn.operations import chunks, prepare
from adjourn.operations.chunks import Chunk, Item, Progress
from adjourn.pipeline.call import Call
from adjourn.service import Service
from adjourn.store import faults
from adjourn.store.contract import Reader, Store
from adjourn.worker import own_jobs
from adjourn.worker.inline import drain

POINTS = ("rows read", "chunk row", "chunk kept", "chunk committed", "operation finished")


@pytest.fixture
def service(store: Store) -> Service:
    return Service(store)


@pytest.fixture
def org(service: Service) -> Client:
    return service.client(Call(caller=service.administrator()))


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every row a chunk of its own."""
    monkeypatch.setattr(chunks, "CHUNK_SECONDS", 0.0)


@contextmanager
def at(point: str, number: int, action: Callable[[], object]) -> Iterator[list[str]]:
    """Do something when a fault point comes for the n-th time."""
    seen: list[str] = []

    def hook(name: str) -> None:
        if name == point:
            seen.append(name)
            if len(seen) == number:
                action()

    with faults.listening(hook):
        yield seen


def accounts(org: Client, count: int = 6) -> None:
    for place in range(count):
        org.create("account", {"name": f"a{place}"})


@pytest.mark.usefixtures("small_chunks")
def test_a_pause_takes_hold_between_two_chunks_and_a_resume_goes_on_from_there(service: Service, org: Client) -> None:
    accounts(org)
    job = bulk_delete(org, query("account"))
    with at("chunk committed", 2, lambda: org.update("asyncoperation", job, {"statecode": 1})):
        drain(service)
    paused = org.retrieve("asyncoperation", job)
    assert (paused["statecode"], paused["statuscode"], names(org)) == (1, 10, ["a2", "a3", "a4", "a5"])
    told = operation(org, job)
    assert (told["statuscode"], told["successcount"]) == (12, 2)
    org.update("asyncoperation", job, {"statecode": 0})
    drain(service)
    assert (names(org), operation(org, job)["successcount"]) == ([], 6)


@pytest.mark.usefixtures("small_chunks")
def test_a_cancel_takes_hold_between_two_chunks_and_undoes_nothing(service: Service, org: Client) -> None:
    accounts(org)
    job = bulk_delete(org, query("account"))
    with at("chunk committed", 2, lambda: org.update("asyncoperation", job, {"statecode": 3})):
        drain(service)
    assert org.retrieve("asyncoperation", job)["statuscode"] == 32
    assert (names(org), operation(org, job)["successcount"]) == (["a2", "a3", "a4", "a5"], 2)


@pytest.mark.usefixtures("small_chunks")
def test_a_postponed_job_goes_on_at_its_moment(service: Service, org: Client) -> None:
    accounts(org)
    job = bulk_delete(org, query("account"))
    with at("chunk committed", 2, lambda: org.update("asyncoperation", job, {"postponeuntil": "2030-01-01T00:00:00Z"})):
        drain(service)
    waiting = org.retrieve("asyncoperation", job)
    assert (waiting["statecode"], waiting["postponeuntil"].year, len(names(org))) == (1, 2030, 4)


@pytest.mark.usefixtures("small_chunks")
def test_a_job_deleted_while_it_runs_stops_at_the_next_chunk(service: Service, org: Client) -> None:
    accounts(org)
    job = bulk_delete(org, query("account"))
    with at("chunk committed", 2, lambda: org.delete("asyncoperation", job)):
        drain(service)
    assert names(org) == ["a2", "a3", "a4", "a5"]
    assert org.retrieve_multiple("bulkdeleteoperations") == []


class Killed(BaseException):
    """As if the process had died here."""


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("number", [1, 4])
def test_a_run_that_dies_is_gone_on_with_and_the_counts_are_right(
    service: Service, org: Client, point: str, number: int
) -> None:
    """Between what it committed and what it did not there is no third: nothing twice, nothing forgotten."""
    service.register("tests.support.bulk_plugins")
    accounts(org)
    org.create("account", {"name": "refused"})
    job = bulk_delete(org, query("account"))

    def die() -> None:
        raise Killed

    with at(point, number, die) as seen:
        try:
            drain(service)
        except Killed:
            assert org.retrieve("asyncoperation", job)["statecode"] == 0
    drain(service)
    if number > len(seen):
        assert point in ("rows read", "operation finished")
    assert org.retrieve("asyncoperation", job)["friendlymessage"] == "6 deleted, 1 could not be."
    told = operation(org, job)
    assert (names(org), told["successcount"], told["failurecount"]) == (["refused"], 6, 1)
    assert len(org.retrieve_multiple("bulkdeletefailures")) == 1
    assert len(org.retrieve_multiple("asyncoperations?$filter=operationtype eq 1")) == 6


def test_a_chunk_whose_time_is_up_is_repeated_row_by_row(service: Service, org: Client) -> None:
    """The row that is too slow alone becomes a failure record, and all others are deleted."""
    service.register("tests.support.bulk_plugins")
    service.store.turn_seconds_max = 0.25
    accounts(org, 3)
    org.create("account", {"name": "slow"})
    org.create("account", {"name": "last"})
    job = bulk_delete(org, query("account"))
    drain(service)
    service.store.turn_seconds_max = 5
    assert org.retrieve("asyncoperation", job)["friendlymessage"] == "4 deleted, 1 could not be."
    assert names(org) == ["slow"]
    failure = org.retrieve_multiple("bulkdeletefailures")[0]
    assert (failure["regardingobjectidname"], failure["errornumber"]) == ("slow", -2147204750)


@pytest.mark.usefixtures("small_chunks")
def test_a_chunk_that_others_keep_waiting_is_tried_again(service: Service, org: Client) -> None:
    accounts(org, 3)
    job = bulk_delete(org, query("account"))

    def busy() -> None:
        raise Busy("somebody holds it")

    with at("chunk kept", 2, busy) as seen:
        drain(service)
    assert len(seen) == 4
    assert org.retrieve("asyncoperation", job)["friendlymessage"] == "3 deleted."


@pytest.mark.usefixtures("small_chunks")
def test_people_see_how_far_it_is(service: Service, org: Client) -> None:
    accounts(org, 4)
    job = bulk_delete(org, query("account"))
    seen: list[explain.Progress] = []

    def look() -> None:
        with service.store.read() as reader:
            seen.append(explain.progress(reader, job))

    with at("chunk committed", 2, look):
        drain(service)
    assert seen == [("2 of 4 deleted.", 50)]
    with service.store.read() as reader:
        assert explain.progress(reader, job) == ("4 deleted.", 100)


@pytest.mark.usefixtures("small_chunks")
def test_a_worker_that_leaves_gives_the_job_back_with_its_cursor(service: Service, org: Client) -> None:
    accounts(org, 4)
    job_id = bulk_delete(org, query("account"))
    worker = str(runtime.new_id())
    job = service.store.write(lambda tx: queue.claim(tx, operation_types=(13,), limit=1, worker=worker))[0]
    leaving: list[bool] = []
    with at("chunk committed", 2, lambda: leaving.append(True)):
        outcome = own_jobs.run(service, job, prepare(job, service), lambda: bool(leaving))
    assert isinstance(outcome, Continue)
    service.store.write(lambda tx: queue.settle(tx, [Settlement(job, outcome, 0.1)]))
    assert (org.retrieve("asyncoperation", job_id)["statecode"], names(org)) == (0, ["a2", "a3"])
    drain(service)
    assert operation(org, job_id)["successcount"] == 4


@pytest.mark.usefixtures("small_chunks")
def test_a_run_without_its_lease_writes_nothing_more(service: Service, org: Client) -> None:
    accounts(org, 4)
    job_id = bulk_delete(org, query("account"))
    worker = str(runtime.new_id())
    job = service.store.write(lambda tx: queue.claim(tx, operation_types=(13,), limit=1, worker=worker))[0]

    def rescue() -> None:
        service.store.write(lambda tx: queue.rescue(tx, [worker]))

    with at("chunk committed", 2, rescue):
        own_jobs.run(service, job, prepare(job, service), lambda: False)
    assert names(org) == ["a2", "a3"]
    drain(service)
    assert (names(org), operation(org, job_id)["successcount"]) == ([], 4)


class Renames:
    """An operation of the tests: each account gets a new name in two writes; some are refused after the first."""

    def __init__(self, ids: list[UUID], together: int) -> None:
        self.ids = ids
        self.size = together
        self.refused: list[UUID] = []
        self.kept: list[int] = []

    def total(self, reader: Reader, progress: Progress) -> int:
        return len(self.ids)

    def next(self, reader: Reader, progress: Progress, position: Any, limit: int) -> list[Item]:
        start = position or 0
        return [Item(Reference("account", self.ids[place]), place + 1) for place in range(start, len(self.ids))][:limit]

    def standing(self, chunk: Chunk, progress: Progress, items: Sequence[Item]) -> set[Reference]:
        return {item.record for item in items}

    def together(self, chunk: Chunk, items: Sequence[Item]) -> int:
        return self.size

    def apply(self, chunk: Chunk, items: Sequence[Item]) -> None:
        org = chunk.service.client(chunk.call)
        for item in items:
            name = str(org.retrieve("account", item.record.id, ["name"])["name"])
            org.update("account", item.record.id, {"description": "half done"})
            if name == "a2":
                raise InvalidRequest("a2 keeps its name")
            org.update("account", item.record.id, {"name": f"new {name}", "description": None})

    def failed(self, chunk: Chunk, item: Item, error: Exception) -> None:
        self.refused.append(item.record.id)

    def keep(self, chunk: Chunk, progress: Progress) -> None:
        self.kept.append(progress.done)

    def finish(self, chunk: Chunk, progress: Progress) -> None:
        self.kept.append(-1)

    def told(self, progress: Progress) -> str:
        return f"{progress.done} renamed, {progress.failed} not"


@pytest.mark.parametrize("together", [1, 3])
def test_what_a_refused_row_had_written_is_undone_alone(service: Service, org: Client, together: int) -> None:
    """Whether it stood in a savepoint of its own, or with others, which are then done singly."""
    accounts(org, 5)
    ids = [row.id for row in org.retrieve_multiple("accounts?$select=name&$orderby=name") if row.id is not None]
    bulk_delete(org, query("account"))
    job = service.store.write(lambda tx: queue.claim(tx, operation_types=(13,), limit=1, worker="w"))[0]
    operation_ = Renames(ids, together)
    outcome = chunks.run(service, job, Call(caller=service.administrator()), operation_)
    assert outcome == Succeeded("4 renamed, 1 not")
    assert names(org) == ["a2", "new a0", "new a1", "new a3", "new a4"]
    assert [row["description"] for row in org.retrieve_multiple("accounts?$select=description")] == [None] * 5
    assert (operation_.refused, operation_.kept[-1]) == ([ids[2]], -1)


class Slow(Renames):
    """Ten milliseconds a row."""

    def apply(self, chunk: Chunk, items: Sequence[Item]) -> None:
        time.sleep(0.01)
        super().apply(chunk, items)


def test_whoever_waits_for_the_writer_need_not_wait_for_a_whole_chunk(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "CHUNK_SECONDS", 60.0)
    service = Service(sqlite_store)
    org = service.client(Call(caller=service.administrator()))
    accounts(org, 40)
    ids = [row.id for row in org.retrieve_multiple("accounts?$select=name") if row.id is not None]
    bulk_delete(org, query("account"))
    job = service.store.write(lambda tx: queue.claim(tx, operation_types=(13,), limit=1, worker="w"))[0]
    operation_ = Slow(ids, 1)
    running = threading.Thread(target=chunks.run, args=(service, job, Call(caller=service.administrator()), operation_))
    running.start()
    waits = []
    while running.is_alive():
        began = time.perf_counter()
        org.create("task", {"subject": "waits"})
        waits.append(time.perf_counter() - began)
        time.sleep(0.05)
    running.join()
    # Alone the 40 rows would be two chunks of 20, of 0.2 s each.
    assert len(operation_.kept) > 5
    assert sorted(waits)[len(waits) // 2] < 0.15
