"""Each class is claimed in the order of its sequences, wherever claims begin (PostgreSQL: behind what was claimed a while ago)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from adjourn import config, runtime
from adjourn.jobs import actions, queue
from adjourn.jobs.classes import SLOT_CLASSES
from adjourn.jobs.model import EVENT, REQUEST, ClaimedJob, NewJob
from adjourn.metadata.model import Reference
from adjourn.store.contract import Store
from adjourn.worker import claims
from adjourn.worker.claims import Claims, Room

ADMIN = UUID(config.ADMIN_USER_ID)
NONE_HELD = dict.fromkeys((found.name for found in SLOT_CLASSES), 0)


class Queue:
    """A store's queue, and the claims of one supervisor, whose time the test makes pass."""

    def __init__(self, store: Store, patch: pytest.MonkeyPatch) -> None:
        self.store, self.patch = store, patch
        self.claims = Claims(str(runtime.new_id()), store.dialect)

    def add(self, operation_type: int, count: int = 1, **changes: Any) -> list[UUID]:
        moment = runtime.now()
        jobs = [
            NewJob(
                id=runtime.new_id(), operation_type=operation_type, name="job", message_name="greet",
                owner=Reference("systemuser", ADMIN), owning_business_unit=UUID(config.ROOT_BUSINESS_UNIT_ID),
                created_by=ADMIN, created_on=moment, correlation_id=runtime.new_id(), correlation_updated=moment, **changes,
            )
            for _ in range(count)
        ]  # fmt: skip
        self.store.write(lambda tx: queue.insert(tx, jobs))
        return [job.id for job in jobs]

    def claim(self, room: int | Room) -> list[UUID]:
        room = Room(room, room, 0) if isinstance(room, int) else room
        claimed: list[ClaimedJob] = self.store.write(
            lambda tx: self.claims.claim(tx, room, NONE_HELD, runtime.secret(9))
        )
        self.claims.claimed(claimed)
        return [job.id for job in claimed]

    def ready(self, job: UUID) -> None:
        """Its moment has come, as `promote_due` does it."""
        self.store.write(lambda tx: actions.resume(tx, job, by=ADMIN))
        with self.store.read() as reader:
            ((sequence,),) = reader.rows(
                "SELECT sequence FROM asyncoperation WHERE CAST(asyncoperationid AS text) = :id", {"id": str(job)}
            )
        self.claims.promoted(sequence)

    def pass_by(self, seconds: float) -> None:
        """So much time passes."""
        self.claims._swept -= seconds
        for hints in self.claims._hints.values():
            hints[:] = [(moment - seconds, sequence) for moment, sequence in hints]

    def later(self) -> None:
        """So much time passes that all that was claimed counts as long ago; the sweep from the very beginning was just now."""
        self.patch.setattr(claims, "_HINT_SECONDS", -1.0)
        self.claims._swept = runtime.monotonic()


@pytest.fixture
def jobs(store: Store, monkeypatch: pytest.MonkeyPatch) -> Queue:
    return Queue(store, monkeypatch)


def test_a_class_that_is_ahead_leaves_no_other_s_jobs_behind(jobs: Queue) -> None:
    """A single slot, which plug-ins got: where they are says nothing of the requests, of which there are many."""
    requests = jobs.add(REQUEST, 5)
    (plugin,) = jobs.add(EVENT)
    while plugin not in (claimed := jobs.claim(1)):
        requests = [job for job in requests if job not in claimed]
    jobs.later()
    requests += jobs.add(REQUEST)
    assert jobs.claim(3) == requests[:3]
    assert jobs.claim(9) == requests[3:]


def test_what_waits_ahead_of_the_slots_shares_a_room_for_data(jobs: Queue) -> None:
    """Of all classes; the one that passes it is the last. Who has a slot is taken whatever his size."""
    jobs.add(REQUEST, 4, data="x" * 100)
    jobs.add(EVENT, 4, data="x" * 100)
    assert len(jobs.claim(Room(jobs=8, slots=1, bytes=150))) == 2
    assert len(jobs.claim(Room(jobs=8, slots=0, bytes=0))) == 0
    assert len(jobs.claim(Room(jobs=8, slots=3, bytes=0))) == 3
    assert len(jobs.claim(Room(jobs=8, slots=0, bytes=1))) == 1


def test_jobs_that_became_due_come_first_however_long_they_take(jobs: Queue) -> None:
    """They are older than everything that was claimed before they were due, and more than ten seconds' work."""
    old = jobs.add(REQUEST, 4, postpone_until=runtime.now() + timedelta(hours=1))
    jobs.add(REQUEST, 2)
    jobs.claim(2)
    for job in reversed(old):
        jobs.ready(job)
    new = jobs.add(REQUEST, 2)
    assert jobs.claim(1) == old[:1]
    jobs.later()
    assert jobs.claim(1) == old[1:2]
    assert jobs.claim(9) == old[2:] + new


def test_what_became_due_while_a_claim_was_under_way_is_not_left_behind(jobs: Queue) -> None:
    (old,) = jobs.add(REQUEST, postpone_until=runtime.now() + timedelta(hours=1))
    (new,) = jobs.add(REQUEST)
    claimed = jobs.store.write(lambda tx: jobs.claims.claim(tx, Room(1, 1, 0), NONE_HELD, runtime.secret(9)))
    jobs.ready(old)
    jobs.claims.claimed(claimed)
    assert [job.id for job in claimed] == [new]
    newest = jobs.add(REQUEST)
    jobs.later()
    assert jobs.claim(2) == [old, *newest]


@pytest.mark.parametrize("idle", [True, False])
def test_a_look_from_the_beginning_without_room_is_none(jobs: Queue, idle: bool) -> None:
    """Large jobs fill what may wait for a slot, for as long as there are more of them: an older one is found nevertheless."""
    (old,) = jobs.add(REQUEST, postpone_until=runtime.now() + timedelta(hours=1))
    jobs.add(REQUEST, 8, data="x" * 100)
    jobs.claim(1)
    jobs.store.write(lambda tx: actions.resume(tx, old, by=ADMIN))  # elsewhere: nobody tells these claims
    jobs.pass_by(claims._HINT_SECONDS + 1)
    jobs.claims._swept = runtime.monotonic() - (1 if idle else config.SWEEP_SECONDS)
    # SQLite looks from the beginning each time, and finds it now
    found = jobs.claim(Room(jobs=8, slots=0, bytes=150 if idle else 0))
    jobs.pass_by(config.SWEEP_SECONDS - 0.5)
    assert old in found + jobs.claim(Room(jobs=8, slots=1, bytes=0))
