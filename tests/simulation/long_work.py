"""The verdict on what takes many transactions: schedules and their runs, bulk deletes chunk by chunk.

Triggers keep three more diaries, in the transactions of the changes that they tell of: every run of a schedule with the
moment for which it was made, and every move of a schedule; which run of which job began when; every contact that was to be
deleted, when it came, and under which running bulk delete it went. What must hold is said by each rule below.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from dateutil import rrule
from tests.proof.audit import Entry
from tests.simulation import victims
from tests.simulation.orders import Order, Ordered

from adjourn import config
from adjourn.jobs.states import STATE_OF, State, Status
from adjourn.store.contract import Reader

_FINAL = frozenset(int(status) for status, state in STATE_OF.items() if state is State.COMPLETED)
_BULK = "(13, 23)"
DIARIES = (
    """CREATE TABLE proofschedule (number INTEGER PRIMARY KEY AUTOINCREMENT, schedule TEXT, run TEXT, due TEXT, moment TEXT,
        pattern TEXT, anchor TEXT, beside INTEGER, status INTEGER, person TEXT)""",
    """CREATE TRIGGER proofschedule_run AFTER INSERT ON asyncoperation WHEN new.scheduleid IS NOT NULL BEGIN
        INSERT INTO proofschedule (schedule, run, due, moment, pattern, anchor, beside)
        SELECT new.scheduleid, new.asyncoperationid, s.postponeuntil, new.createdon, s.recurrencepattern,
            coalesce(s.recurrencestarttime, s.createdon), (SELECT count(*) FROM asyncoperation r
            WHERE r.scheduleid = new.scheduleid AND r.statecode < 3 AND r.sequence <> new.sequence)
        FROM (SELECT 1) LEFT JOIN asyncoperation s ON s.asyncoperationid = new.scheduleid;
    END""",
    """CREATE TRIGGER proofschedule_moved AFTER UPDATE OF postponeuntil, statecode, recurrencepattern ON asyncoperation
    WHEN old.recurrencepattern IS NOT NULL BEGIN
        INSERT INTO proofschedule (schedule, due, moment, pattern, anchor, status, person) VALUES (new.asyncoperationid,
            new.postponeuntil, new.modifiedon, new.recurrencepattern, coalesce(new.recurrencestarttime, new.createdon),
            new.statuscode, new.modifiedby);
    END""",
    "CREATE TABLE proofbegun (jobid TEXT, moment TEXT)",
    f"""CREATE TRIGGER proofbegun_lease AFTER UPDATE OF lease ON asyncoperation
    WHEN new.operationtype IN {_BULK} AND new.lease IS NOT NULL AND new.lease IS NOT old.lease BEGIN
        INSERT INTO proofbegun VALUES (new.asyncoperationid, new.startedon);
    END""",
    "CREATE TABLE proofvictim (contact TEXT, mark TEXT, name TEXT, created TEXT, job TEXT, run TEXT)",
    f"""CREATE TRIGGER proofvictim_came AFTER INSERT ON contact WHEN new.lastname LIKE '{victims.MARK} %' BEGIN
        INSERT INTO proofvictim VALUES (new.contactid, new.lastname, new.firstname, new.createdon, NULL, 'came');
    END""",
    f"""CREATE TRIGGER proofvictim_went AFTER DELETE ON contact WHEN old.lastname LIKE '{victims.MARK} %' BEGIN
        INSERT INTO proofvictim VALUES (old.contactid, old.lastname, old.firstname, old.createdon,
            (SELECT asyncoperationid FROM asyncoperation WHERE name = old.lastname AND operationtype IN {_BULK}
                AND statecode = 2), 'went');
    END""",
)


class _Victim(NamedTuple):
    contact: str
    mark: str
    name: str
    created: str
    job: str | None
    kind: str


class _Delete(NamedTuple):
    """A job of a bulk delete as it stands, with what its bulkdeleteoperation and its failures say."""

    id: str
    name: str
    kind: int
    status: int
    schedule: str | None
    pattern: str | None
    succeeded: int | None
    failed: int | None
    failures: int
    message: str | None


def examine(reader: Reader, entries: Sequence[Entry], ordered: Ordered) -> Iterator[str]:
    """What should not have happened."""
    yield from _schedules(reader, ordered)
    yield from _BulkDeletes(reader, entries, ordered).examine()


# Schedules


class _Event(NamedTuple):
    """run: the job that was made; None: the schedule moved, or ended."""

    schedule: str
    run: str | None
    due: str | None
    moment: str
    pattern: str | None
    anchor: str
    beside: int | None
    status: int | None
    person: str | None


def _schedules(reader: Reader, ordered: Ordered) -> Iterator[str]:
    """Each run was made when it was due, for a moment for which there was none, while no other was open; and the schedule
    moved on in the same transaction, to the first moment of its pattern that lies behind it."""
    events: dict[str, list[_Event]] = defaultdict(list)
    sql = (
        "SELECT schedule, run, due, moment, pattern, anchor, beside, status, person FROM proofschedule ORDER BY number"
    )
    for row in reader.rows(sql):
        events[row[0]].append(_Event(*row))
    for job, pattern in ordered.patterns:
        if all(event.pattern != pattern for event in events[str(job)]):
            yield f"schedule {job} was given the pattern {pattern}, as was acknowledged, and never had it"
    for schedule, found in events.items():
        served: set[str | None] = set()
        for place, event in enumerate(found):
            if event.run is None and event.person != config.SYSTEM_USER_ID:
                # Somebody moved it: with the clock set back, or to a moment of his own, an old one may come again.
                served.clear()
            if event.run is not None:
                if event.due in served:
                    yield f"schedule {schedule} made two runs for {event.due}"
                served.add(event.due)
                follower = found[place + 1] if place + 1 < len(found) else None
                yield from _of_run(event, follower)
            elif event.person == config.SYSTEM_USER_ID and event.status != Status.FAILED:
                before = found[place - 1] if place else None
                if before is None or before.run is None or before.moment != event.moment:
                    yield f"schedule {schedule} moved on to {event.due} without a run"


def _of_run(event: _Event, follower: _Event | None) -> Iterator[str]:
    schedule = event.schedule
    if event.due is None or event.pattern is None:
        yield f"run {event.run} was made by schedule {schedule}, which is gone or has ended"
        return
    if event.due > event.moment:
        yield f"schedule {schedule} made run {event.run} at {event.moment}, and it was due at {event.due}"
    if event.beside:
        yield f"schedule {schedule} made run {event.run} while {event.beside} others were open"
    if follower is None or follower.run is not None or follower.moment != event.moment:
        yield f"schedule {schedule} made run {event.run} and did not move on"
        return
    expected = _following(event.pattern, event.anchor, event.moment)
    found = datetime.fromisoformat(follower.due) if follower.due is not None else None
    if found != expected or (found is None) != (follower.status == Status.SUCCEEDED):
        yield f"schedule {schedule} ({event.pattern} from {event.anchor}) moved at {event.moment} to {found}, not {expected}"


def _following(pattern: str, anchor: str, moment: str) -> datetime | None:
    """By somebody else's implementation."""
    found: datetime | None = _rule(pattern.rstrip(";"), anchor).after(datetime.fromisoformat(moment))
    return found


@lru_cache(maxsize=1000)
def _rule(pattern: str, anchor: str) -> Any:
    return rrule.rrulestr(pattern, dtstart=datetime.fromisoformat(anchor).replace(microsecond=0))


# Bulk deletes


class _BulkDeletes:
    def __init__(self, reader: Reader, entries: Sequence[Entry], ordered: Ordered) -> None:
        self._ordered = ordered
        self._victims = [_Victim(*row) for row in reader.rows("SELECT * FROM proofvictim ORDER BY rowid")]
        self._began: dict[str, list[str]] = defaultdict(list)
        for job, moment in reader.rows("SELECT jobid, moment FROM proofbegun ORDER BY rowid"):
            self._began[job].append(moment)
        self._deletes = [
            _Delete(*row)
            for row in reader.rows(
                "SELECT j.asyncoperationid, j.name, j.operationtype, j.statuscode, j.scheduleid, j.recurrencepattern, "
                "o.successcount, o.failurecount, (SELECT count(*) FROM bulkdeletefailure f WHERE f.asyncoperationid = "
                "j.asyncoperationid), j.friendlymessage FROM asyncoperation j LEFT JOIN bulkdeleteoperation o "
                f"ON o.asyncoperationid = j.asyncoperationid WHERE j.operationtype IN {_BULK} ORDER BY j.sequence"
            )
        ]
        self._failures = [
            tuple(row)
            for row in reader.rows("SELECT asyncoperationid, regardingobjectid FROM bulkdeletefailure ORDER BY 1, 2")
        ]
        self._behind = Counter(
            row[0] for row in reader.rows("SELECT regarding FROM proofjob WHERE name = :name", {"name": victims.BEHIND})
        )
        self._made = {(row[0], row[1]) for row in reader.rows("SELECT jobid, name FROM proofjob")}
        self._gone_jobs = {entry.job: entry.was for entry in entries if entry.became is None}
        self._created = dict(reader.rows("SELECT asyncoperationid, createdon FROM asyncoperation"))

    def examine(self) -> Iterator[str]:
        by_mark = {order.mark: order for order in self._ordered.orders}
        yield from self._deleted(by_mark)
        yield from self._doomed()
        for delete in self._deletes:
            order = by_mark.get(delete.name)
            if order is None or not order.sent:
                yield f"bulk delete '{delete.name}' was ordered by nobody"
            elif delete.pattern is None:
                yield from self._told(delete, order)
            else:
                yield from self._told_of_all(delete)
        for order in self._ordered.orders:
            yield from self._kept(order)

    def _deleted(self, by_mark: dict[str, Order]) -> Iterator[str]:
        """Only by a run that was under way, only what was there when its job first began, once, and with its step's job."""
        went = [found for found in self._victims if found.kind == "went"]
        for contact, count in Counter(found.contact for found in went).items():
            if count > 1:
                yield f"contact {contact} was deleted {count} times"
        for found in went:
            if found.job is None:
                yield f"contact {found.contact} of '{found.mark}' was deleted, and no bulk delete was under way"
            elif found.created > max(self._began[found.job]):
                yield f"contact {found.contact} of '{found.mark}' came at {found.created}, after the start of its deletion"
            if found.name == victims.STAYS and not by_mark[found.mark].fast:
                yield f"contact {found.contact} of '{found.mark}' was deleted, and a step had refused it"
            wanted = 0 if by_mark[found.mark].fast else 1
            if self._behind[found.contact] != wanted:
                yield f"contact {found.contact} of '{found.mark}' left {self._behind[found.contact]} jobs behind"
        contacts = {found.contact for found in went}
        for contact in sorted(set(self._behind) - contacts):
            yield f"contact {contact} was not deleted, and there is a job behind it"

    def _doomed(self) -> Iterator[str]:
        """Jobs that were made to be deleted are there, unless their deletion was ordered."""
        made = {job for job, _ in self._made}
        ordered = {str(job): order for order in self._ordered.orders if order.sent for job in order.jobs}
        for job in map(str, self._ordered.doomed):
            if job not in made:
                yield f"job {job} was acknowledged and never came to be"
            elif job in self._gone_jobs and job not in ordered:
                yield f"job {job} is gone, and nobody ordered it"
            elif job in self._gone_jobs and ordered[job].ended_only and self._gone_jobs[job] not in _FINAL:
                yield f"job {job} was open and deleted immediately"

    def _told(self, delete: _Delete, order: Order) -> Iterator[str]:
        """What a run says of itself is what it did, and when it has succeeded nothing is left to do."""
        contacts = [found.contact for found in self._victims if found.job == delete.id]
        jobs = [str(job) for job in order.jobs if str(job) in self._gone_jobs]
        several = delete.schedule is not None
        where = f"bulk delete '{delete.name}', job {delete.id} at {delete.status},"
        if delete.succeeded is None:
            if not several or contacts or delete.failures:
                yield f"{where} has no bulkdeleteoperation"
        elif not len(contacts) <= delete.succeeded <= len(contacts) + len(jobs) or (
            not several and delete.succeeded != len(contacts) + len(jobs)
        ):
            yield f"{where} tells of {delete.succeeded} deletions, and deleted {len(contacts)} contacts, {len(jobs)} jobs"
        if delete.failures != (delete.failed or 0):
            yield f"{where} tells of {delete.failed} refusals and has {delete.failures} records of them"
        refused = Counter(contact for job, contact in self._failures if job == delete.id)
        if any(count > 1 for count in refused.values()):
            yield f"{where} was refused the same record twice: {refused}"
        if delete.status == Status.FAILED:
            yield f"{where} failed: {delete.message}"
        if delete.status == Status.SUCCEEDED:
            yield from self._finished(delete, order, {*contacts, *refused}, where)

    def _finished(self, delete: _Delete, order: Order, done: set[str], where: str) -> Iterator[str]:
        gone = {found.contact for found in self._victims if found.kind == "went"}
        began = min(self._began[delete.id])
        for found in self._victims:
            known = found.kind == "came" and any(str(contact) == found.contact for contact in order.contacts)
            if known and found.mark == delete.name and found.created <= began and found.contact not in gone | done:
                yield f"{where} has succeeded, and contact {found.contact} was forgotten"
        if not order.ended_only:
            for job in map(str, order.jobs):
                if job not in self._gone_jobs and self._created.get(job, "") <= began:
                    yield f"{where} has succeeded, and job {job} was forgotten"

    def _told_of_all(self, delete: _Delete) -> Iterator[str]:
        """A recurring one adds up its runs, as they end."""
        runs = [found for found in self._deletes if found.schedule == delete.id]
        made = [job for job, name in self._made if name == delete.name and job != delete.id]
        if len(made) != len(runs) or any(run.status != Status.SUCCEEDED for run in runs):
            return  # one that was deleted or canceled may have ended before, or not
        told = (sum(run.succeeded or 0 for run in runs), sum(run.failed or 0 for run in runs))
        if (delete.succeeded, delete.failed) != told:
            yield f"recurring bulk delete '{delete.name}' tells of {delete.succeeded}, {delete.failed}, its runs of {told}"

    def _kept(self, order: Order) -> Iterator[str]:
        """An order that was acknowledged came to be; one that was not is there at most once."""
        own = [job for job, name in self._made if name == order.mark]
        if order.id is not None and str(order.id) not in own:
            yield f"bulk delete '{order.mark}' was acknowledged and never came to be"
        plain = [found for found in self._deletes if found.name == order.mark and found.schedule is None]
        if len(plain) > 1:
            yield f"bulk delete '{order.mark}' is there {len(plain)} times"
        came = {found.contact for found in self._victims if found.kind == "came"}
        for contact in map(str, order.contacts):
            if contact not in came:
                yield f"contact {contact} of '{order.mark}' was acknowledged and never came to be"
        there = came - {found.contact for found in self._victims if found.kind == "went"}
        if not order.sent and any(found.contact not in there for found in self._victims if found.mark == order.mark):
            yield f"contacts '{order.mark}' are gone, and nobody ordered it"
