"""The history checker finds nothing in an honest history, and each kind of violation where one was planted."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import UUID

import pytest
from tests.proof import audit, diary
from tests.proof.checker import violations
from tests.proof.violations import Act, Batch, Effect, Hint, Log, Rule, Success
from tests.support import postgres

from adjourn import config, runtime
from adjourn.jobs import actions, queue, schedules
from adjourn.jobs.model import REQUEST, Canceled, ClaimedJob, Continue, Failed, NewJob, Retry, Settlement, Succeeded
from adjourn.jobs.states import Action
from adjourn.metadata.model import Reference
from adjourn.store import open_store
from adjourn.store.contract import Store, Transaction

ADMIN = UUID(config.ADMIN_USER_ID)
LATER = datetime(2199, 1, 1, tzinfo=UTC)


@dataclass
class Story:
    """A history without a fault, its jobs by their names in it, and what was acknowledged."""

    store: Store
    jobs: dict[str, UUID]
    log: Log
    worker: UUID
    held: ClaimedJob

    def sequence(self, name: str) -> int:
        with self.store.read() as reader:
            sql = "SELECT sequence FROM asyncoperation WHERE CAST(asyncoperationid AS text) = :id"
            return int(reader.rows(sql, {"id": str(self.jobs[name])})[0][0])


def new(name: str, token: str | None = None, until: datetime | None = None, pad: int = 0) -> NewJob:
    now = runtime.now()
    return NewJob(
        id=runtime.new_id(), operation_type=REQUEST, name=name, message_name="greet", created_by=ADMIN,
        owner=Reference("systemuser", ADMIN), owning_business_unit=UUID(config.ROOT_BUSINESS_UNIT_ID), created_on=now,
        correlation_id=runtime.new_id(), correlation_updated=now, data=f'{{"name":"{name}{"x" * pad}"}}',
        dependency_token=token, serial_key=f"t:{token}" if token else None, postpone_until=until,
    )  # fmt: skip


def tell(store: Store) -> Story:
    """Live through it: every way in which a job begins, goes on and ends."""
    audit.begin(store)
    log = Log(drained=False)
    jobs: dict[str, UUID] = {}
    worker = runtime.new_id()
    store.hold_worker(worker, "host", 1)

    def enqueue(*batch: NewJob) -> None:
        began = runtime.monotonic()
        store.write(lambda tx: queue.insert(tx, batch))
        jobs.update({job.name: job.id for job in batch})
        log.batches.append(
            Batch(
                texts=tuple(job.data or "" for job in batch),
                tokens=tuple(job.dependency_token for job in batch),
                ids=tuple(job.id for job in batch),
                began=began,
                ended=runtime.monotonic(),
            )
        )

    def act(action: Action, name: str, verb: Callable[..., Any], **more: Any) -> None:
        store.write(lambda tx: verb(tx, jobs[name], by=ADMIN, **more))
        log.acts.append(Act(action, jobs[name]))

    def claim() -> ClaimedJob:
        take = partial(queue.claim, operation_types=[REQUEST], limit=1, worker=str(worker))
        return store.write(take)[0]

    def settle(job: ClaimedJob, outcome: Any) -> None:
        assert store.write(partial(queue.settle, settlements=[Settlement(job, outcome, 0.1)])).refused == []
        if isinstance(outcome, Succeeded):
            log.successes.append(Success(job.id, job.lease))

    with mock.patch.object(config, "DATA_INLINE_BYTES_MAX", 1000):
        enqueue(replace(new("daily", "blue"), serial_key=None, recurrence_pattern="FREQ=DAILY;"))
        store.write(schedules.make_due)
        settle(claim(), Succeeded())
        enqueue(replace(new("once only"), recurrence_pattern="FREQ=DAILY;COUNT=1"))
        store.write(schedules.make_due)
        settle(claim(), Succeeded())
        enqueue(new("succeeded"), new("failed"), new("continued"), new("canceled while it ran"))
        for outcome in (Succeeded(), Failed(1, "no", "no"), Continue("c")):
            settle(claim(), outcome)
        settle(claim(), Succeeded())
        running = claim()
        act(Action.PAUSE, "canceled while it ran", actions.pause)
        act(Action.CANCEL, "canceled while it ran", actions.cancel)
        settle(running, Canceled())
        enqueue(new("red 1", "red"), new("red 2", "red"), new("red 3", "red", LATER), new("red 4", "red"))
        settle(claim(), Succeeded())
        settle(claim(), Retry("again", 0.0))
        act(Action.RESUME, "red 2", actions.resume)
        settle(claim(), Succeeded())
        enqueue(new("with a file", pad=2000), new("paused"), new("postponed", until=LATER), new("deleted", pad=2000))
        settle(claim(), Succeeded())
        running = claim()
        act(Action.PAUSE, "paused", actions.pause)
        settle(running, Continue("c"))
        act(Action.POSTPONE, "postponed", actions.postpone, until=LATER + timedelta(days=1))
        act(Action.CANCEL, "red 4", actions.cancel)
        store.write(lambda tx: queue.delete(tx, [jobs["deleted"]]))
        log.acts.append(Act(Action.DELETE, jobs["deleted"]))
        enqueue(new("held"), new("ready"), new("red 5", "red"))
        held = claim()
    log.effects = [Effect(jobs["succeeded"], 0)]
    return Story(store, jobs, log, worker, held)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def story(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """One for all tests, which undo what they plant."""
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("proof") / "adjourn.db"
        shutil.copyfile(request.getfixturevalue("_sqlite_template"), path)
        store = open_store(f"sqlite:///{path}")
        yield tell(store)
        store.close()
        return
    cluster = postgres.cluster()
    name = cluster.create(template=request.getfixturevalue("_postgres_template"))
    store = open_store(cluster.url_of(name))
    yield tell(store)
    store.close()
    cluster.drop(name)


def test_an_honest_history_has_no_violations(story: Story) -> None:
    assert violations(story.store, story.log) == []


Plant = Callable[[Transaction, Story], Any]
JOB = "CAST(asyncoperationid AS text) = :id"


def row(assignments: str, name: str) -> Plant:
    """Change a job behind the queue's back."""
    sql = f"UPDATE asyncoperation SET {assignments} WHERE {JOB}"
    return lambda tx, story: tx.execute(sql, {"id": str(story.jobs[name])})


def entry(name: str, was: int | None, became: int | None, was_lease: str | None, lease: str | None) -> Plant:
    """Put a change into the diary that never was."""

    def plant(tx: Transaction, story: Story) -> None:
        known = "(jobid, sequence, serialkey, was, became, waslease, lease)"
        values = f"CAST({'NULL' if was is None else was} AS integer), CAST({'NULL' if became is None else became} AS integer)"
        leases = ", ".join("NULL" if found is None else f"'{found}'" for found in (was_lease, lease))
        tx.execute(
            f"INSERT INTO proofaudit {known} SELECT asyncoperationid, sequence, serialkey, {values}, {leases} "
            f"FROM asyncoperation WHERE {JOB}",
            {"id": str(story.jobs[name])},
        )

    return plant


def also(*plants: Plant) -> Plant:
    def both(tx: Transaction, story: Story) -> None:
        for plant in plants:
            plant(tx, story)

    return both


def sql(text: str) -> Plant:
    return lambda tx, _: tx.execute(text)


ONE_HEAD = sql("DROP INDEX job_one_head")
PLANTS: dict[str, tuple[Rule, Plant]] = {
    "an acknowledged job is gone": (
        Rule.LOST, lambda tx, story: queue.delete(tx, [story.jobs["ready"]]),
    ),
    "an acknowledged job never came": (
        Rule.LOST,
        also(lambda tx, story: queue.delete(tx, [story.jobs["ready"]]),
             lambda tx, story: tx.execute("DELETE FROM proofaudit WHERE CAST(jobid AS text) = :id",
                                          {"id": str(story.jobs["ready"])})),
    ),
    "an acknowledged job has other data": (
        Rule.LOST,
        lambda tx, story: tx.execute("UPDATE asyncoperationtext SET data = 'x' WHERE asyncoperationsequence = :s",
                                     {"s": story.sequence("ready")}),
    ),
    "an acknowledged success is undone": (
        Rule.LOST, row("statuscode = 31", "succeeded"),
    ),
    "a canceled job succeeded": (
        Rule.LOST, row("statuscode = 30", "canceled while it ran"),
    ),
    "an acknowledged postponement left no trace": (
        Rule.LOST,
        lambda tx, story: tx.execute("DELETE FROM jobhistory WHERE jobsequence = :s", {"s": story.sequence("postponed")}),
    ),
    "a deleted job is there": (
        Rule.LOST, lambda tx, story: story.log.acts.append(Act(Action.DELETE, story.jobs["ready"])),
    ),
    "a batch without an answer is there in part": (
        Rule.PARTIAL, lambda tx, story: _unanswered(story, '{"name":"never there"}'),
    ),
    "a batch without an answer is there twice": (
        Rule.TWICE, also(lambda tx, story: _unanswered(story), lambda tx, story: queue.insert(tx, [new("ready")])),
    ),
    "an acknowledged job is there twice": (
        Rule.TWICE, lambda tx, story: queue.insert(tx, [new("ready")]),
    ),
    "a lease ended twice": (
        Rule.TWICE, also(entry("succeeded", 20, 30, "l", None), entry("succeeded", 20, 30, "l", None)),
    ),
    "a lease began twice": (
        Rule.TWICE, also(entry("held", 0, 20, None, "l"), entry("held", 0, 20, None, "l")),
    ),
    "a job was taken from its holder": (Rule.TWICE, row("lease = 'thief'", "held")),
    "a job was completed without a lease": (Rule.TWICE, entry("held", 20, 30, None, None)),
    "a job was completed twice": (Rule.TWICE, entry("succeeded", 20, 30, "l", None)),
    "an atomic write is there twice": (
        Rule.EFFECT, lambda tx, story: story.log.effects.append(Effect(story.jobs["succeeded"], 0)),
    ),
    "an atomic write of a job that succeeded is missing": (
        Rule.EFFECT, lambda tx, story: _with_parts(story, "succeeded"),
    ),
    "an atomic write before the others is missing": (
        Rule.EFFECT,
        also(lambda tx, story: story.log.effects.append(Effect(story.jobs["failed"], 1)),
             lambda tx, story: _with_parts(story, "succeeded")),
    ),
    "a job began before an earlier one of its token had ended": (
        Rule.ORDER, entry("red 5", 0, 20, None, "l"),
    ),
    "a token's jobs are not in the order in which they were acknowledged": (
        Rule.ORDER, lambda tx, story: story.log.batches.append(
            replace(next(batch for batch in story.log.batches if "red" in batch.tokens), began=1e12, ended=1e12)),
    ),
    "a batch's jobs are not in its order": (Rule.ORDER, lambda tx, story: _reversed(story)),
    "a schedule began to run": (
        Rule.SCHEDULE, also(entry("daily", 10, 20, None, "l"), entry("daily", 20, 10, "l", None)),
    ),
    "two runs of a schedule are open": (
        Rule.SCHEDULE, also(sql("DROP INDEX job_one_run"),
                            lambda tx, story: queue.insert(tx, [replace(new(name), schedule_id=story.jobs["daily"])
                                                                for name in ("run", "another run")])),
    ),
    "a run made less writes than it should": (
        Rule.EFFECT, lambda tx, story: _with_parts(story, "daily"),
    ),
    "a job ended as only a schedule does": (Rule.TRANSITION, entry("ready", 10, 30, None, None)),
    "a completed job changed": (
        Rule.FINAL, row("statecode = 0, statuscode = 0, completedon = NULL", "failed"),
    ),
    "a job was paused without a worker": (
        Rule.TRANSITION, row("statecode = 2, statuscode = 21, lease = 'l'", "ready"),
    ),
    "a job began in the middle of a run": (
        Rule.TRANSITION, also(lambda tx, story: tx.execute("DELETE FROM proofaudit WHERE CAST(jobid AS text) = :id AND was IS NULL",
                                                           {"id": str(story.jobs["ready"])}),
                              entry("ready", None, 20, None, None)),
    ),
    "a change is missing in between": (Rule.TRANSITION, entry("ready", 10, 0, None, None)),
    "a history tells of what cannot be": (
        Rule.TRANSITION,
        lambda tx, story: tx.execute("UPDATE jobhistory SET tostatus = 30 WHERE jobsequence = :s",
                                     {"s": story.sequence("postponed")}),
    ),
    "a count is off": (Rule.COUNT, sql("UPDATE jobcount SET n = n + 1 WHERE statuscode = 30 AND datablobid IS NULL")),
    "a count is of another owner": (
        Rule.COUNT, sql(f"UPDATE jobcount SET ownerid = '{config.SYSTEM_USER_ID}' WHERE statuscode = 31"),
    ),
    "a file's attachment is gone": (Rule.FILE, sql("DELETE FROM fileattachment WHERE objectidtypecode = 'asyncoperation'")),
    "an attachment is nobody's": (Rule.FILE, row("datablobid = NULL", "with a file")),
    "a file's content is gone": (Rule.FILE, lambda tx, story: _contents_gone(tx, story)),
    "a file's content is shorter": (Rule.FILE, sql("UPDATE fileattachment SET filesizeinbytes = filesizeinbytes + 1")),
    "a content is mentioned nowhere": (Rule.FILE, lambda tx, story: tx.write_file(runtime.new_id(), b"lost")),
    "a payload is in its row and in a file": (
        Rule.FILE, lambda tx, story: tx.execute("INSERT INTO asyncoperationtext (asyncoperationsequence, data) VALUES (:s, '{}')",
                                                {"s": story.sequence("with a file")}),
    ),
    "a text hangs on a job that is gone": (
        Rule.LEFTOVER, sql("INSERT INTO asyncoperationtext (asyncoperationsequence, data) VALUES (999999, '{}')"),
    ),
    "a history hangs on a job that is gone": (
        Rule.LEFTOVER, sql("UPDATE jobhistory SET jobsequence = 999999 + jobsequence"),
    ),
    "a dead worker holds a job": (Rule.LOCKED, row("worker = '0ad10000-0000-7000-8000-00000000dead'", "held")),
    "nobody holds a Locked job": (Rule.LOCKED, row("worker = NULL", "held")),
    "a job that is not Locked is held": (Rule.LOCKED, row("worker = 'w'", "ready")),
    "a token has no head": (Rule.BLOCKER, row("statecode = 1, statuscode = 10, blocked = true", "red 3")),
    "a token has two heads": (
        Rule.BLOCKER, also(ONE_HEAD, row("blocked = false, statecode = 0, statuscode = 0, waitreason = NULL", "red 5")),
    ),
    "a blocked job waits behind nobody": (
        Rule.BLOCKER, row("blocked = true, statecode = 1, statuscode = 10, waitreason = 'token'", "ready"),
    ),
    "a job queues by another token's key": (Rule.BLOCKER, row("serialkey = 't:green'", "red 3")),
    "a waiting job gives no reason": (Rule.REASON, row("waitreason = NULL", "postponed")),
    "a Ready job gives a reason to wait": (Rule.REASON, row("waitreason = 'paused'", "ready")),
    "a postponed job has no moment": (Rule.REASON, row("postponeuntil = NULL", "postponed")),
    "a paused job has a moment": (Rule.REASON, row("postponeuntil = createdon", "paused")),
    "a job that is not blocked waits behind its token": (Rule.REASON, row("waitreason = 'token'", "paused")),
    "a blocked job waits for a moment": (Rule.REASON, row("waitreason = 'postponed', postponeuntil = createdon", "red 5")),
    "a job that does not recur is a schedule": (Rule.REASON, row("waitreason = 'schedule'", "postponed")),
    "a Ready job is postponed": (Rule.REASON, row("postponeuntil = createdon", "ready")),
    "a hint is above a job that is Ready for long": (
        Rule.HINT, also(row("modifiedon = '2020-01-01T00:00:00.000000Z'", "ready"),
                        lambda tx, story: setattr(story.log, "hints", [Hint("w", story.sequence("ready"))])),
    ),
    "a Ready job is left": (Rule.LEFT, lambda tx, story: setattr(story.log, "drained", True)),
    "a postponed job whose moment has passed is left": (
        Rule.LEFT, also(row("postponeuntil = createdon", "postponed"),
                        lambda tx, story: queue.delete(tx, [story.jobs[name] for name in ("ready", "held")]),
                        lambda tx, story: setattr(story.log, "drained", True)),
    ),
    "a schedule that is due is left": (
        Rule.LEFT, also(row("postponeuntil = createdon", "daily"),
                        lambda tx, story: queue.delete(tx, [story.jobs[name] for name in ("ready", "held")]),
                        lambda tx, story: setattr(story.log, "drained", True)),
    ),
}  # fmt: skip
"""What may be wrong, the rule that finds it, and how to do it."""


def _unanswered(story: Story, *more: str) -> None:
    """As if the answer to the batch of "held" had never arrived, and it had been larger."""
    batch = story.log.batches.pop()
    story.log.batches.append(replace(batch, ids=None, texts=(*batch.texts, *more)))


def _with_parts(story: Story, name: str) -> None:
    """As if the handler of a batch's jobs made two writes."""
    place = next(index for index, batch in enumerate(story.log.batches) if story.jobs[name] in (batch.ids or ()))
    story.log.batches[place] = replace(story.log.batches[place], parts=2)


def _reversed(story: Story) -> None:
    place = next(index for index, batch in enumerate(story.log.batches) if batch.tokens.count("red") > 1)
    batch = story.log.batches[place]
    assert batch.ids is not None
    story.log.batches[place] = replace(batch, ids=batch.ids[::-1], texts=batch.texts[::-1])


def _contents_gone(tx: Transaction, story: Story) -> None:
    if tx.dialect == "postgres":
        tx.execute("DELETE FROM filechunk")
        return
    # Outside of any transaction: the test puts it back.
    (file,) = Path(f"{story.store.path}-files").iterdir()
    file.rename(file.parent.with_suffix(".hidden"))


class _Undo(Exception):
    """Ends the unit in which something was planted."""


@pytest.mark.parametrize("what", PLANTS)
def test_a_planted_violation_is_found(story: Story, what: str) -> None:
    rule, plant = PLANTS[what]
    kept = story.log
    story.log = replace(kept, batches=[*kept.batches], acts=[*kept.acts], effects=[*kept.effects])
    try:
        with pytest.raises(_Undo), story.store.transaction("plant") as tx:
            plant(tx, story)
            found = violations(story.store, story.log)
            raise _Undo
    finally:
        story.log = kept
        if story.store.dialect == "sqlite":
            hidden = Path(f"{story.store.path}-files").with_suffix(".hidden")
            if hidden.exists():
                with story.store.read() as reader:
                    ((name,),) = reader.rows("SELECT fileattachmentid FROM fileattachment")
                hidden.rename(Path(f"{story.store.path}-files") / name)
    assert rule in {violation.rule for violation in found}, [str(violation) for violation in found]


def test_every_rule_is_planted() -> None:
    assert {rule for rule, _ in PLANTS.values()} == set(Rule)


def test_only_a_schedule_ends_while_it_waits() -> None:
    assert {(int(was), int(became)) for was, became in diary.LEGAL_OF_SCHEDULES} == {(10, 30), (10, 31)}


def test_the_legal_changes_are_those_of_the_tables() -> None:
    """Written out once, so that a change of a table is seen here."""
    numbers = {(int(was), int(became)) for was, became in diary.LEGAL}
    assert numbers == {
        (0, 0), (0, 10), (0, 20), (0, 32), (10, 0), (10, 10), (10, 32), (20, 0), (20, 10), (20, 21), (20, 22), (20, 30),
        (20, 31), (20, 32), (21, 10), (21, 21), (21, 22), (21, 30), (21, 31), (21, 32), (22, 32),
    }  # fmt: skip
