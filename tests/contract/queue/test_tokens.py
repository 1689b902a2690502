"""Dependency tokens: one at a time, in the order of creation, whatever becomes of the one in front."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest

from adjourn import runtime
from adjourn.errors import AdjournError
from adjourn.jobs import actions, queue
from adjourn.jobs.model import (
    Canceled,
    ClaimedJob,
    Continue,
    Failed,
    Outcome,
    Postpone,
    Released,
    Retry,
    Settlement,
    Succeeded,
)

READY, WAITS, RUNS = (0, 0), (1, 10), (2, 20)


def test_of_a_batch_only_the_first_is_ready(jobs: Any) -> None:
    first, *rest = jobs.add(3, dependency_token="t")
    assert jobs.stands(first, *rest) == [READY, WAITS, WAITS]
    assert [jobs.row(job)["waitreason"] for job in rest] == ["token", "token"]
    assert [jobs.row(job)["dependencytoken"] for job in (first, *rest)] == ["t"] * 3


@pytest.mark.requirement("M25")
def test_other_tokens_and_no_token_do_not_wait(jobs: Any) -> None:
    jobs.add(2, dependency_token="t")
    jobs.add(dependency_token="u")
    jobs.add(10)
    assert len(jobs.claim(100)) == 12


@pytest.mark.requirement("M22")
def test_a_later_one_waits_until_the_earlier_one_is_completed(jobs: Any) -> None:
    submitted = [jobs.add(dependency_token="t")[0] for _ in range(4)]
    ran = []
    while claimed := jobs.claim():
        assert len(claimed) == 1
        ran.append(claimed[0].id)
        assert jobs.claim() == []
        jobs.settle((claimed[0], Succeeded()))
    assert ran == submitted


ENDINGS: dict[str, Callable[[Any, ClaimedJob], object]] = {
    "succeeds": lambda jobs, job: jobs.settle((job, Succeeded())),
    "fails": lambda jobs, job: jobs.settle((job, Failed(1, "f", "d"))),
    "lets go canceled": lambda jobs, job: jobs.settle((job, Canceled())),
    "is deleted": lambda jobs, job: jobs.delete(job.id),
    "is canceled while it waits": lambda jobs, job: (jobs.settle((job, Retry())), jobs.act(actions.cancel, job.id)),
    "is deleted while it waits": lambda jobs, job: (jobs.settle((job, Retry())), jobs.delete(job.id)),
    "is canceled when ready": lambda jobs, job: (jobs.settle((job, Released())), jobs.act(actions.cancel, job.id)),
    "was asked to stop by a dead worker": lambda jobs, job: (
        jobs.act(actions.cancel, job.id),
        jobs.unit(lambda tx: queue.rescue(tx, ["w"])),
    ),
}


@pytest.mark.requirement("M28")
@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_any_end_of_the_first_releases_the_next(jobs: Any, ending: Callable[[Any, ClaimedJob], object]) -> None:
    _, second, third = jobs.add(3, dependency_token="t")
    (head,) = jobs.claim()
    ending(jobs, head)
    assert jobs.stands(second, third) == [READY, WAITS]
    assert jobs.row(second)["waitreason"] is None


HOLDS: list[Outcome] = [Retry(), Postpone(datetime(2031, 1, 1, tzinfo=UTC)), Continue("c"), Released(), Released(True)]


@pytest.mark.requirement("M27")
@pytest.mark.parametrize("outcome", HOLDS, ids=lambda outcome: type(outcome).__name__)
def test_a_first_one_that_is_not_through_holds_all_behind_it(jobs: Any, outcome: Outcome) -> None:
    first, second = jobs.add(2, dependency_token="t")
    jobs.settle((jobs.claim()[0], outcome))
    assert jobs.stands(second) == [WAITS]
    assert not jobs.row(first)["blocked"]


@pytest.mark.requirement("M27")
def test_a_postponed_first_one_holds_all_behind_it_until_it_ran(jobs: Any) -> None:
    first, second = jobs.add(2, dependency_token="t")
    jobs.act(actions.postpone, first, jobs.now + timedelta(hours=1))
    (third,) = jobs.add(dependency_token="t")
    assert jobs.claim() == []
    jobs.tick(3600)
    assert jobs.due()[0] == 1
    assert [jobs.run()[0] for _ in range(3)] == [first, second, third]


def test_one_behind_whose_moment_comes_still_waits_its_turn(jobs: Any) -> None:
    first, second = jobs.add(2, dependency_token="t")
    jobs.act(actions.postpone, second, jobs.now + timedelta(hours=1))
    row = jobs.row(second)
    assert (row["postponeuntil"], row["waitreason"]) == ("2030-01-01T13:00:00.000000Z", "token")
    jobs.tick(3600)
    assert jobs.due() == (0, None)
    assert jobs.run() == [first]
    assert jobs.stands(second) == [READY]


def test_one_behind_that_was_postponed_waits_for_its_moment_when_its_turn_comes(jobs: Any) -> None:
    first, second, third = jobs.add(3, dependency_token="t")
    jobs.act(actions.postpone, second, jobs.now + timedelta(hours=1))
    assert jobs.run() == [first]
    assert jobs.stands(second, third) == [WAITS, WAITS]
    assert (jobs.row(second)["waitreason"], jobs.row(second)["blocked"]) == ("postponed", False)
    jobs.tick(3600)
    jobs.due()
    assert [jobs.run()[0], jobs.run()[0]] == [second, third]


def test_resume_of_one_behind_leaves_it_in_its_place(jobs: Any) -> None:
    """It loses its postponement and runs when its turn comes."""
    first, second = jobs.add(2, dependency_token="t")
    jobs.act(actions.postpone, second, jobs.now + timedelta(hours=1))
    jobs.act(actions.resume, second)
    row = jobs.row(second)
    assert (row["statecode"], row["postponeuntil"], row["waitreason"]) == (1, None, "token")
    assert [jobs.run()[0], jobs.run()[0]] == [first, second]


@pytest.mark.parametrize("leaves", [actions.cancel, None], ids=["canceled", "deleted"])
def test_one_in_the_middle_that_goes_releases_nobody(jobs: Any, leaves: Callable[..., None] | None) -> None:
    first, second, third = jobs.add(3, dependency_token="t")
    if leaves:
        jobs.act(leaves, second)
    else:
        jobs.delete(second)
    assert jobs.stands(first, third) == [READY, WAITS]
    assert [jobs.run()[0], jobs.run()[0]] == [first, third]


def test_many_of_one_token_deleted_at_once_release_the_first_that_is_left(jobs: Any) -> None:
    submitted = jobs.add(5, dependency_token="t")
    jobs.delete(submitted[0], submitted[1], submitted[3])
    assert jobs.stands(submitted[2], submitted[4]) == [READY, WAITS]


def test_a_token_may_be_used_again_when_all_are_through(jobs: Any) -> None:
    (first,) = jobs.add(dependency_token="t")
    jobs.run()
    (second,) = jobs.add(dependency_token="t")
    assert jobs.stands(first, second) == [(3, 30), READY]


def test_per_record_order_is_kept_without_a_dependency_token(jobs: Any) -> None:
    first, second = jobs.add(2, serial_key="r:step:record")
    assert jobs.row(second)["dependencytoken"] is None
    assert jobs.stands(first, second) == [READY, WAITS]


def test_the_database_itself_refuses_a_second_head(jobs: Any) -> None:
    _, second = jobs.add(2, dependency_token="t")
    unblock = "UPDATE asyncoperation SET blocked = :no, statecode = 0, statuscode = 0 WHERE sequence = :sequence"
    with pytest.raises(AdjournError):
        jobs.unit(lambda tx: tx.execute(unblock, {"no": False, "sequence": jobs.row(second)["sequence"]}))


ENDS: list[Outcome] = [Succeeded(), Succeeded(), Failed(1, "f", "d"), Continue("c"), Released()]
PAUSE_SECONDS = 0.005
MAINTENANCE = "DELETE FROM token WHERE token IN (SELECT token FROM token LIMIT 2 FOR UPDATE SKIP LOCKED)"


@pytest.mark.requirement("M26")
@pytest.mark.parametrize("seed", [1, 2])
def test_under_any_interleaving_one_token_runs_one_at_a_time_in_order(jobs: Any, seed: int) -> None:
    """Producers, workers, a canceller, a deleter and somebody who removes the mutex rows, all at once."""
    tokens = ["a", "b"]
    ran: list[tuple[str, int, float, float]] = []
    errors: list[BaseException] = []
    producing = threading.Event()
    stop = threading.Event()

    def guarded(action: Callable[[random.Random], None], number: int) -> threading.Thread:
        def body() -> None:
            try:
                action(random.Random(f"{seed}-{number}"))
            except BaseException as error:
                errors.append(error)
                stop.set()

        return threading.Thread(target=body)

    def produce(chance: random.Random) -> None:
        for _ in range(30):
            batch = [jobs.new(dependency_token=chance.choice(tokens)) for _ in range(chance.randint(1, 2))]
            with suppress(ZeroDivisionError), jobs.store.transaction("producer") as tx:
                queue.insert(tx, batch)
                time.sleep(chance.random() * PAUSE_SECONDS)  # the longer until COMMIT, the more happens beside it
                if chance.random() < 0.1:
                    raise ZeroDivisionError
            time.sleep(chance.random() * PAUSE_SECONDS)

    def work(chance: random.Random) -> None:
        while not stop.is_set():
            claimed = jobs.claim(chance.randint(1, 3), worker=str(runtime.new_id()))
            began = time.monotonic()
            if not claimed:
                left = jobs.rows("SELECT count(*) FROM asyncoperation WHERE statecode < 3")[0][0]
                if producing.is_set() and left == 0:
                    return
                time.sleep(0.002)
                continue
            ended = [Settlement(job, chance.choice(ENDS), 0.0) for job in claimed]
            over = time.monotonic()
            with jobs.store.transaction("worker") as tx:
                accepted = queue.settle(tx, ended).accepted
                time.sleep(chance.random() * PAUSE_SECONDS)
            ran.extend((job.serial_key, job.sequence, began, over) for job in claimed if job.id in accepted)

    def interfere(chance: random.Random) -> None:
        while not stop.is_set():
            found = jobs.rows(
                "SELECT asyncoperationid FROM asyncoperation WHERE statecode < 3 ORDER BY sequence LIMIT 10"
            )
            if found:
                job = UUID(str(chance.choice(found)[0]))
                try:
                    if chance.random() < 0.5:
                        jobs.act(actions.cancel, job)
                    else:
                        jobs.delete(job)
                except AdjournError as refused:
                    if refused.code not in (0x80044165, 0x80040217):
                        raise
            if jobs.store.dialect == "postgres":
                jobs.unit(lambda tx: tx.execute(MAINTENANCE))
            time.sleep(0.02)

    producers = [guarded(produce, number) for number in range(3)]
    workers = [guarded(work, 10 + number) for number in range(3)]
    interferer = guarded(interfere, 20)
    for thread in (*producers, *workers, interferer):
        thread.start()
    for thread in producers:
        thread.join(30)
    producing.set()
    for thread in workers:
        thread.join(30)
    stop.set()
    interferer.join(30)
    assert errors == []
    assert jobs.rows("SELECT count(*) FROM asyncoperation WHERE statecode < 3") == [(0,)], "none is stuck"
    assert len(ran) > 50
    for token in tokens:
        runs = sorted((began, ended, sequence) for key, sequence, began, ended in ran if key == f"t:{token}")
        assert [sequence for _, _, sequence in runs] == sorted(sequence for _, _, sequence in runs)
        assert all(before[1] <= after[0] for before, after in pairwise(runs))


def test_a_job_whose_turn_comes_has_a_new_version_and_no_moment_that_has_passed(jobs: Any) -> None:
    """A client that asks with the ETag of the waiting job must not be told that nothing has changed."""
    jobs.add(dependency_token="t")
    (behind,) = jobs.add(dependency_token="t", postpone_until=jobs.now + timedelta(seconds=1))
    (held,) = jobs.claim()
    jobs.tick(5)
    jobs.settle((held, Succeeded()))
    row = jobs.row(behind)
    assert (row["statecode"], row["postponeuntil"], row["waitreason"]) == (0, None, None)
    assert datetime.fromisoformat(row["modifiedon"]) == jobs.now
