"""Scenarios of what takes many transactions: schedules with their runs, bulk deletes; and what must be there in the end.

As in `crash_scenarios` each step is in the journal before it is done and again when it has been acknowledged. The process
that comes last has run everything that can run, with its clock far ahead; then `broken_promises` looks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from tests.proof import crash_plugins as plugins
from tests.proof.crash_scenarios import LARGE, Teller

from adjourn import runtime
from adjourn.jobs import schedules
from adjourn.jobs.states import Status
from adjourn.metadata.values import moment_text
from adjourn.operations import chunks
from adjourn.pipeline.call import Request
from adjourn.pipeline.record import Record
from adjourn.store.contract import Reader, Transaction

_DAY = timedelta(days=1)
_TWICE = "FREQ=DAILY;COUNT=2"
_CONTACTS, _JOBS, _FEW = 24, 30, 3
"""With the first chunk's twenty rows: two chunks of contacts, two of jobs."""
_UNLIMITED = 3600.0
"""How many rows a chunk has must not depend on the machine."""
_FAR = datetime(2150, 1, 1, tzinfo=UTC)


def recurring(tell: Teller) -> None:
    """Two schedules of two days each: their first runs, a moment at which these are open still, their last runs."""
    tell.stage("schedule")
    twice = {"recurrence": _TWICE}
    made = tell.enqueue((plugins.writes, "daily", {**twice, "dependency_token": "daily"}))
    made += tell.enqueue((plugins.plain, "s" * 2 * LARGE, twice))
    tell.stage("schedule due")
    today = runtime.now()
    _due(tell, made, today)
    _due(tell, made, today + _DAY)
    tell.stage("schedule run")
    tell.org.drain()
    tell.stage("schedule ends")
    _due(tell, made, today + 2 * _DAY)
    tell.org.drain()


def _due(tell: Teller, made: Sequence[UUID], moment: datetime) -> None:
    """Serve the schedules as if it were that moment."""
    number = tell.tried(kind="due", schedules=[str(schedule) for schedule in made], at=moment_text(moment))
    tell.store.write(_serve_at(moment))
    tell.done(number)


def _serve_at(moment: datetime) -> Callable[[Transaction], None]:
    """Runs that are made then bear that moment, by which the checks tell them apart."""

    def serve(tx: Transaction) -> None:
        tx.now = moment
        schedules.promote_due(tx)

    return serve


def bulk_delete(tell: Teller) -> None:
    """Of contacts, with a step before and one behind each deletion, and of jobs."""
    chunks.CHUNK_SECONDS = _UNLIMITED
    tell.stage("order")
    jobs = tell.enqueue(
        *((plugins.plain, f"deleted {place}", {"postpone_until": _FAR}) for place in range(_JOBS - 1)),
        (plugins.plain, "d" * 2 * LARGE, {"postpone_until": _FAR}),
    )
    _order(tell, "once", _contacts(tell, "once", _CONTACTS), jobs)
    tell.stage("chunks")
    tell.org.drain()


def recurring_bulk_delete(tell: Teller) -> None:
    """Two runs: the second finds only what refused the first."""
    chunks.CHUNK_SECONDS = _UNLIMITED
    tell.stage("chunks of runs")
    _order(tell, "daily", _contacts(tell, "daily", _FEW), (), _TWICE)
    tell.org.drain()
    tell.store.write(_serve_at(runtime.now() + _DAY))
    tell.org.drain()


def _contacts(tell: Teller, mark: str, count: int) -> list[UUID]:
    """To be deleted; the last one refuses."""
    name = f"{mark} {tell.key}"
    names = [name] * (count - 1) + [plugins.STAYS + name]
    number = tell.tried(kind="contacts", name=name, count=count)
    ids = [runtime.new_id() for _ in names]
    targets = [
        Record("contact", key, {"lastname": name, "firstname": first}) for key, first in zip(ids, names, strict=True)
    ]
    tell.org.execute(Request("CreateMultiple", {"Targets": targets}))
    tell.done(number)
    return ids


def _order(tell: Teller, mark: str, contacts: Sequence[UUID], jobs: Sequence[UUID], pattern: str = "") -> None:
    name = f"{mark} {tell.key}"
    queries = [_query("contact", "lastname", "Equal", name)]
    if jobs:
        queries.append(_query("asyncoperation", "asyncoperationid", "In", *map(str, jobs)))
    given = {
        "QuerySet": queries,
        "JobName": name,
        "SendEmailNotification": False,
        "ToRecipients": [],
        "CCRecipients": [],
        "RecurrencePattern": pattern,
        "StartDateTime": moment_text(runtime.now()),
    }
    number = tell.tried(
        kind="bulk delete", name=name, contacts=[str(key) for key in contacts], jobs=[str(job) for job in jobs]
    )
    job = tell.org.execute(Request("BulkDelete", given))["JobId"]
    tell.done(number, id=str(job))


def _query(table: str, column: str, operator: str, *values: str) -> dict[str, Any]:
    condition = {"AttributeName": column, "Operator": operator, "Values": [{"Value": value} for value in values]}
    return {"EntityName": table, "Criteria": {"FilterOperator": "And", "Conditions": [condition]}}


@dataclass(slots=True)
class Asked:
    """What the journal tells of long work."""

    due: dict[str, list[datetime]] = field(default_factory=dict)
    """Of a schedule: the moments at which it was served, as was acknowledged."""
    contacts: dict[str, tuple[int, bool]] = field(default_factory=dict)
    """Of a name: how many contacts were created together, and whether that was acknowledged."""
    deletes: dict[str, tuple[list[str], list[str], str | None]] = field(default_factory=dict)
    """Of a bulk delete's name: its contacts, its jobs, and its acknowledged id."""

    def take(self, line: dict[str, Any], answer: dict[str, Any] | None) -> None:
        """Something that was tried."""
        match line["kind"]:
            case "due" if answer:
                for schedule in line["schedules"]:
                    self.due.setdefault(schedule, []).append(datetime.fromisoformat(line["at"]))
            case "contacts":
                self.contacts[line["name"]] = (line["count"], answer is not None)
            case "bulk delete":
                self.deletes[line["name"]] = (line["contacts"], line["jobs"], answer["id"] if answer else None)


def broken_promises(reader: Reader, asked: Asked) -> Iterator[str]:
    """What is not as was promised, when everything that can run has been run."""
    yield from _schedules(reader, asked)
    for name, (count, acknowledged) in asked.contacts.items():
        if name not in asked.deletes:
            there = _count(reader, "SELECT count(*) FROM contact WHERE lastname = :name", name=name)
            if there != count and (acknowledged or there):
                yield f"{there} of {count} contacts '{name}' are there, and nobody deleted any"
    for name, (contacts, jobs, acknowledged_id) in asked.deletes.items():
        yield from _deleted(reader, name, contacts, jobs, acknowledged_id)


def _schedules(reader: Reader, asked: Asked) -> Iterator[str]:
    """At the first moment a run, unless nobody served it before the last one; from the last moment on exactly one.

    The runs of an acknowledged serving are there. The second serving finds the first run open and makes none, so
    that the last run is of the third, or of the process that came last.
    """
    sql = (
        "SELECT s.asyncoperationid, s.statuscode, s.createdon, r.createdon, r.statuscode, r.name, s.name, r.dependencytoken, "
        "s.dependencytoken FROM asyncoperation s LEFT JOIN asyncoperation r ON r.scheduleid = s.asyncoperationid "
        "WHERE s.recurrencepattern = :pattern ORDER BY s.sequence, r.sequence"
    )
    found: dict[str, list[tuple[Any, ...]]] = {}
    for row in reader.rows(sql, {"pattern": _TWICE}):
        found.setdefault(row[0], []).append(row)
    for schedule, rows in found.items():
        if rows[0][1] != Status.SUCCEEDED:
            yield f"schedule {schedule} stands at {rows[0][1]}, and its recurrence has ended"
        begun = datetime.fromisoformat(rows[0][2])
        last = (begun + _DAY).replace(microsecond=0)
        runs = [datetime.fromisoformat(row[3]) for row in rows if row[3] is not None]
        early = [moment for moment in runs if moment < last]
        if len(early) > 1 or len(runs) - len(early) != 1:
            yield f"schedule {schedule} of {begun} made its runs at {runs}"
        served = asked.due.get(schedule, [])
        if (served[:1] + served[2:]) != runs[: len(served[:1] + served[2:])] or runs[1:2] == served[1:2] != []:
            yield f"schedule {schedule} of {begun} was served at {served} and made its runs at {runs}"
        for _, _, _, _, status, name, own_name, token, own_token in rows:
            if (status, name, token) != (Status.SUCCEEDED, own_name, own_token):
                yield f"a run of schedule {schedule} '{own_name}' of {own_token} is '{name}' of {token} and stands at {status}"


def _deleted(
    reader: Reader, name: str, contacts: Sequence[str], jobs: Sequence[str], acknowledged_id: str | None
) -> Iterator[str]:
    """Nothing is deleted twice or forgotten, and all that is told of it is right."""
    rows = reader.rows(
        "SELECT j.asyncoperationid, j.scheduleid, j.statuscode, j.recurrencepattern, o.successcount, o.failurecount, "
        "(SELECT count(*) FROM bulkdeletefailure f WHERE f.asyncoperationid = j.asyncoperationid) FROM asyncoperation j "
        "LEFT JOIN bulkdeleteoperation o ON o.asyncoperationid = j.asyncoperationid WHERE j.name = :name ORDER BY j.sequence",
        {"name": name},
    )
    orders = [row for row in rows if row[1] is None]
    left = [
        (key, first.startswith(plugins.STAYS))
        for key, first in reader.rows("SELECT contactid, firstname FROM contact WHERE lastname = :name", {"name": name})
    ]
    behind = Counter(
        row[0]
        for row in reader.rows(
            f"SELECT regardingobjectid FROM asyncoperation WHERE name = '{plugins.BEHIND}' AND statuscode = 30"
        )
        if row[0] in contacts
    )
    if not orders:
        if acknowledged_id is not None:
            yield f"bulk delete '{name}' was acknowledged and is gone"
        if len(left) != len(contacts) or behind:
            yield f"{len(left)} of {len(contacts)} contacts '{name}' are there, and nobody deleted any"
        return
    if len(orders) > 1 or acknowledged_id not in (None, orders[0][0]):
        yield f"bulk delete '{name}' is there {len(orders)} times"
    working = [row for row in rows if row[3] is None]
    if any(row[2] != Status.SUCCEEDED for row in rows):
        yield f"bulk delete '{name}' stands at {[row[2] for row in rows]}"
    expected = len(contacts) - 1 + len(jobs)
    succeeded, failed = ([row[place] for row in working] for place in (4, 5))
    if sum(succeeded) != expected or failed != [1] * len(working):
        yield f"bulk delete '{name}' tells of {succeeded} deleted, {failed} refused, instead of {expected} and one each"
    if orders[0][4:6] != (sum(succeeded), sum(failed)):
        yield f"bulk delete '{name}' as a whole tells of {orders[0][4:6]}, its runs of {succeeded} and {failed}"
    if [row[6] for row in working] != failed:
        yield f"bulk delete '{name}' has {[row[6] for row in working]} failure records for {failed} refused rows"
    if left != [(contacts[-1], True)]:
        yield f"of bulk delete '{name}' these contacts are there: {left}"
    if behind != Counter(contacts[:-1]):
        yield f"of bulk delete '{name}' these had another number of steps behind: {behind - Counter(contacts[:-1])}"
    for job in jobs:
        if _count(reader, "SELECT count(*) FROM asyncoperation WHERE CAST(asyncoperationid AS text) = :name", name=job):
            yield f"job {job} is there after bulk delete '{name}'"


def _count(reader: Reader, sql: str, **parameters: str) -> int:
    return int(reader.rows(sql, parameters)[0][0])
