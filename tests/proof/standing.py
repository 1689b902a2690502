"""A store as it stands: its rows, counts, files and holders agree with one another."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, NamedTuple
from uuid import UUID

from tests.proof.violations import Log, Rule, Violation

from adjourn import config
from adjourn.errors import NotFound
from adjourn.jobs.states import State, WaitReason
from adjourn.store.contract import Reader, Store
from adjourn.store.sqlite import SqliteStore

_TIMED = frozenset((WaitReason.POSTPONED, WaitReason.BACKOFF, WaitReason.SCHEDULE))
_BLOCKED = frozenset((WaitReason.TOKEN, WaitReason.PAUSED, WaitReason.EVENT))
_KEY = (
    "ownerid, owningbusinessunit, statecode, statuscode, operationtype, "
    "CASE WHEN datablobid IS NULL THEN 0 ELSE 1 END AS blob"
)
_HANGING = {
    "asyncoperationtext": "SELECT asyncoperationsequence FROM asyncoperationtext WHERE asyncoperationsequence NOT IN "
    "(SELECT sequence FROM asyncoperation)",
    "jobhistory": "SELECT jobsequence FROM jobhistory WHERE jobsequence NOT IN (SELECT sequence FROM asyncoperation)",
    "bulkdeleteoperation": "SELECT asyncoperationid FROM bulkdeleteoperation WHERE asyncoperationid IS NOT NULL AND "
    "asyncoperationid NOT IN (SELECT asyncoperationid FROM asyncoperation)",
    "bulkdeletefailure": "SELECT asyncoperationid FROM bulkdeletefailure WHERE asyncoperationid IS NOT NULL AND "
    "asyncoperationid NOT IN (SELECT asyncoperationid FROM asyncoperation)",
}


class Job(NamedTuple):
    """A row."""

    id: str
    sequence: int
    state: int
    status: int
    token: str | None
    key: str | None
    blocked: bool
    reason: str | None
    until: str | None
    recurrence: str | None
    worker: str | None
    lease: str | None
    file: str | None
    modified: str
    imported: bool
    schedule: str | None
    """Of a run: what made it."""
    data: str | None
    """Its payload, when it lies in the row's own text."""


class Attachment(NamedTuple):
    """A job's file as its row says."""

    id: str
    job: str
    size: int


@dataclass(slots=True)
class Facts:
    """Everything that the rules look at, read in one view."""

    now: datetime
    jobs: dict[str, Job]
    texts: dict[str, str]
    """The payload of each job that has one, wherever it lies."""
    attachments: list[Attachment]
    pieces: set[str]
    """Contents of columns' files, which are not the jobs'."""
    contents: dict[str, int] | None
    """Sizes of stored contents by id; None until `examine` has looked (SQLite keeps them outside the view)."""
    counted: Counter[tuple[Any, ...]]
    counts: Counter[tuple[Any, ...]]
    hanging: list[tuple[str, Any]]
    told: list[tuple[str, str, int, int]]
    """jobhistory: the job's id, the event, the status before and after."""


def read(reader: Reader) -> Facts:
    """Read them."""
    jobs = reader.rows(
        "SELECT a.asyncoperationid, a.sequence, a.statecode, a.statuscode, a.dependencytoken, a.serialkey, a.blocked, "
        "a.waitreason, a.postponeuntil, a.recurrencepattern, a.worker, a.lease, a.datablobid, a.modifiedon, a.imported, a.scheduleid, "
        "t.data FROM asyncoperation a LEFT JOIN asyncoperationtext t ON t.asyncoperationsequence = a.sequence ORDER BY a.sequence"
    )
    attachments = reader.rows(
        "SELECT fileattachmentid, objectid, filesizeinbytes FROM fileattachment WHERE objectidtypecode = 'asyncoperation'"
    )
    texts = {row[0]: row[16] for row in jobs if row[16] is not None}
    for row in jobs:
        if row[12] is not None:
            with contextlib.suppress(NotFound):  # told by `_files`
                texts[row[0]] = reader.read_file(UUID(row[12])).decode()
    contents = None
    if reader.dialect == "postgres":
        sizes = "SELECT fileattachmentid, sum(length(content)) FROM filechunk GROUP BY fileattachmentid"
        contents = {row[0]: int(row[1]) for row in reader.rows(sizes)}
    return Facts(
        now=reader.now,
        jobs={row[0]: Job(*row) for row in jobs},
        texts=texts,
        attachments=[Attachment(*row) for row in attachments],
        pieces={row[0] for row in reader.rows("SELECT pieceid FROM filepiece")},
        contents=contents,
        counted=_tally(
            reader.rows(f"SELECT {_KEY}, count(*) FROM asyncoperation GROUP BY {_KEY.removesuffix(' AS blob')}")
        ),
        counts=_tally(reader.rows(f"SELECT {_KEY}, n FROM jobcount")),
        hanging=[(table, row[0]) for table, sql in _HANGING.items() for row in reader.rows(sql)],
        told=[
            (row[0], row[1], row[2], row[3])
            for row in reader.rows(
                "SELECT a.asyncoperationid, h.event, h.fromstatus, h.tostatus FROM jobhistory h "
                "JOIN asyncoperation a ON a.sequence = h.jobsequence ORDER BY h.jobsequence, h.number"
            )
        ],
    )


def examine(store: Store, facts: Facts, log: Log) -> Iterator[Violation]:
    """What does not agree."""
    if isinstance(store, SqliteStore):
        facts.contents = _in_folder(store)
    yield from _counts(facts)
    yield from _files(facts, log)
    yield from _leftovers(facts)
    yield from _holders(store, facts)
    yield from _blockers(facts)
    yield from _reasons(facts)
    yield from _hints(facts, log)
    if log.drained:
        yield from _left(facts)


def _tally(rows: list[tuple[Any, ...]]) -> Counter[tuple[Any, ...]]:
    found: Counter[tuple[Any, ...]] = Counter()
    for row in rows:
        found[row[:-1]] += int(row[-1])
    return found


def _in_folder(store: SqliteStore) -> dict[str, int]:
    folder = f"{store.path}-files"
    if not os.path.isdir(folder):
        return {}
    return {entry.name: entry.stat().st_size for entry in os.scandir(folder)}


def _counts(facts: Facts) -> Iterator[Violation]:
    for key in sorted(facts.counted.keys() | facts.counts.keys(), key=repr):
        if facts.counted[key] != facts.counts[key]:
            yield Violation(Rule.COUNT, f"{facts.counts[key]} counted of {key}, {facts.counted[key]} are there")


def _files(facts: Facts, log: Log) -> Iterator[Violation]:
    contents = facts.contents or {}
    attached = {found.id: found for found in facts.attachments}
    for job in facts.jobs.values():
        if job.file is None or job.imported:
            continue
        found = attached.get(job.file)
        if found is None or found.job != job.id:
            yield Violation(Rule.FILE, f"job {job.sequence} names file {job.file}, which no attachment of it describes")
        if job.data is not None:
            yield Violation(Rule.FILE, f"job {job.sequence} has its data in file {job.file} and in its row")
    for found in facts.attachments:
        job_of = facts.jobs.get(found.job)
        if job_of is not None and job_of.imported:
            continue
        if job_of is None or job_of.file != found.id:
            yield Violation(Rule.FILE, f"attachment {found.id} belongs to job {found.job}, which does not name it")
        if found.id not in contents:
            yield Violation(Rule.FILE, f"the content of file {found.id} of job {found.job} is missing")
        elif contents[found.id] != found.size:
            yield Violation(Rule.FILE, f"file {found.id} has {contents[found.id]} bytes instead of {found.size}")
    for name in sorted(contents.keys() - attached.keys() - facts.pieces) if log.quiet else ():
        yield Violation(Rule.FILE, f"content {name} is mentioned nowhere")


def _leftovers(facts: Facts) -> Iterator[Violation]:
    for table, key in facts.hanging:
        yield Violation(Rule.LEFTOVER, f"a row of {table} hangs on job {key}, which is gone")


def _holders(store: Store, facts: Facts) -> Iterator[Violation]:
    held = [job for job in facts.jobs.values() if job.state == State.LOCKED and not job.imported]
    living = store.living(sorted({job.worker for job in held if job.worker is not None}))
    for job in held:
        if job.worker is None or job.worker not in living:
            yield Violation(Rule.LOCKED, f"job {job.sequence} is Locked by worker {job.worker}, which is not alive")
    for job in facts.jobs.values():
        if job.state != State.LOCKED and job.worker is not None:
            yield Violation(Rule.LOCKED, f"job {job.sequence} is not Locked and yet held by worker {job.worker}")


def _blockers(facts: Facts) -> Iterator[Violation]:
    for job in facts.jobs.values():
        if job.token is not None and job.recurrence is None and job.key != f"t:{job.token}" and not job.imported:
            yield Violation(Rule.BLOCKER, f"job {job.sequence} of token {job.token} queues by key {job.key}")
        if job.key is None and job.blocked:
            yield Violation(Rule.BLOCKER, f"job {job.sequence} is blocked and has no serial key")
    queued = [job for job in facts.jobs.values() if job.key is not None and job.state != State.COMPLETED]
    queued.sort(key=lambda job: (job.key or "", job.sequence))
    for key, group in groupby(queued, key=lambda job: job.key):
        head, *others = group
        if head.blocked:
            yield Violation(Rule.BLOCKER, f"job {head.sequence} is the first of key {key} and blocked")
        for job in others:
            if not job.blocked:
                yield Violation(
                    Rule.BLOCKER, f"job {job.sequence} is not blocked behind job {head.sequence} of key {key}"
                )


def _reasons(facts: Facts) -> Iterator[Violation]:
    for job in facts.jobs.values():
        wrong = _wrong_reason(job)
        if wrong and not job.imported:
            yield Violation(Rule.REASON, f"job {job.sequence} ({job.state}/{job.status}) {wrong}")


def _wrong_reason(job: Job) -> str | None:
    if job.state != State.SUSPENDED:
        if job.reason is not None:
            return f"does not wait and gives the reason '{job.reason}'"
        return "is Ready and postponed" if job.state == State.READY and job.until is not None else None
    if job.reason is None:
        return "waits without a reason"
    if job.blocked != (job.reason in _BLOCKED) and (job.blocked or job.reason == WaitReason.TOKEN):
        return f"is {'' if job.blocked else 'not '}blocked and gives the reason '{job.reason}'"
    if job.reason in _TIMED and job.until is None:
        return f"gives the reason '{job.reason}' and has no moment"
    if job.reason == WaitReason.PAUSED and job.until is not None:
        return f"is paused and postponed until {job.until}"
    if (job.recurrence is not None) != (job.reason == WaitReason.SCHEDULE):
        return f"recurs by '{job.recurrence}' and gives the reason '{job.reason}'"
    return None


def _hints(facts: Facts, log: Log) -> Iterator[Violation]:
    # A claim that finds less than it has room for, and any every few seconds, begins at the very beginning: what stays
    # Ready for longer below a hint is not looked at.
    before = facts.now - timedelta(seconds=config.SWEEP_SECONDS + config.POLL_SECONDS)
    for hint in log.hints:
        for job in facts.jobs.values():
            if job.state != State.READY or job.sequence > hint.from_sequence:
                continue
            if datetime.fromisoformat(job.modified) < before:
                text = f"job {job.sequence} is Ready since {job.modified}; worker {hint.worker} begins after {hint.from_sequence}"
                yield Violation(Rule.HINT, text)


def _left(facts: Facts) -> Iterator[Violation]:
    running = {job.schedule for job in facts.jobs.values() if job.state != State.COMPLETED}
    for job in facts.jobs.values():
        if job.imported:
            continue
        if job.state in (State.READY, State.LOCKED):
            yield Violation(Rule.LEFT, f"job {job.sequence} stands at {job.state}/{job.status}")
        elif job.state == State.SUSPENDED and _due(job, facts.now) and job.id not in running:
            yield Violation(Rule.LEFT, f"job {job.sequence} was due at {job.until} and still waits")


def _due(job: Job, now: datetime) -> bool:
    """Whether only the clock held it back, and does no more; a schedule's next run waits for the one before it, too."""
    return job.until is not None and not job.blocked and datetime.fromisoformat(job.until) <= now
