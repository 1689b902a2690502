"""What a job waits for, in a sentence; and what should never be, found by looking."""

from __future__ import annotations

from uuid import UUID

from adjourn.jobs.classes import class_of
from adjourn.jobs.queue import missing, running
from adjourn.jobs.statements import statements
from adjourn.jobs.states import LABELS, STATE_OF, Status, WaitReason
from adjourn.store.contract import Reader


def examine(reader: Reader) -> list[str]:
    """What should never be: counts that are wrong, tokens without a head, files without a row. One sentence each."""
    sql = statements(reader.dialect)
    findings = [
        f"the count of jobs in state {row[0]}/{row[1]} of type {row[2]} is off by {row[3]}"
        for row in reader.rows(sql.wrong_counts)
    ]
    findings += [f"serial key '{row[0]}' has {row[1]} open jobs and not one head" for row in reader.rows(sql.headless)]
    findings += [f"job {row[0]} names file {row[1]}, which does not exist" for row in reader.rows(sql.lost_files)]
    return findings


def why(reader: Reader, job_id: UUID) -> str:
    """A sentence on what a job is doing or waiting for, naming the job, moment or limit. Raises NotFound."""
    sql = statements(reader.dialect)
    rows = reader.rows(sql.why, {"id": str(job_id)})
    if not rows:
        raise missing(job_id)
    (
        status_code, reason, detail, until, operation_type, sequence, key, token, worker, started, friendly, completed,
        progress, percent, blocked,
    ) = rows[0]  # fmt: skip
    status = Status(status_code)
    if status is Status.WAITING_FOR_RESOURCES:
        found = class_of(operation_type)
        ahead = reader.rows(sql.ahead, {"type": operation_type, "sequence": sequence})[0][0]
        busy = sum(count for kind, count in running(reader).items() if kind in found.operation_types)
        return f"It is ready and waits for a free slot of class {found.name}: {ahead:,} ahead of it, {busy:,} running."
    if STATE_OF[status] is STATE_OF[Status.SUCCEEDED]:
        return f"It is {LABELS[status]} since {_shown(completed)}{': ' + friendly if friendly else ''}."
    if status is not Status.WAITING:
        part = (
            f", {progress or ''} {percent if percent is not None else ''}{'%' if percent is not None else ''}"
            if progress or percent
            else ""
        )
        asked = {Status.PAUSING: " It was asked to pause.", Status.CANCELING: " It was asked to stop."}.get(status, "")
        return f"Worker {worker} has run it since {_shown(started)}{part}.{asked}"
    if blocked:
        heads = reader.rows(sql.blocker, {"key": key})
        if not heads:
            return f"It waits behind earlier jobs of the token '{token or key}'."
        head_id, name, head_status, head_until = heads[0]
        moment = f", postponed until {_shown(head_until)}" if head_until else ""
        return (
            f"It waits behind job {head_id} '{name}' of the same token, which is {LABELS[Status(head_status)]}{moment}."
        )
    match reason:
        case WaitReason.PAUSED:
            return "It was paused by a person and waits to be resumed."
        case WaitReason.BACKOFF:
            return f"Its handler asked for a retry; it runs again at {_shown(until)}{': ' + detail if detail else ''}."
        case WaitReason.EVENT:
            return "It waits for an event."
        case WaitReason.SCHEDULE:
            return f"It is a schedule; its next run is at {_shown(until)}."
    return f"It is postponed until {_shown(until)}." if until else "It is suspended until somebody resumes it."


def _shown(raw: str | None) -> str:
    return raw[:19].replace("T", " ") + " UTC" if raw else "an unknown moment"
