"""The queue, in its own verbs: insert, claim, settle, rescue, delete. What people do to a job: `jobs.actions`.

Each verb runs inside a transaction of the store and keeps these promises: a job is held by one lease at a time and only
that lease settles it; of a dependency token's open jobs exactly the first is unblocked (mechanisms, "Dependency token");
counts are the triggers' affair; a payload over 4 MB is in a file exactly as long as its row says so.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from adjourn import config, runtime
from adjourn.errors import TooLarge
from adjourn.jobs import claim_statements, history, tokens
from adjourn.jobs import rows as job_rows
from adjourn.jobs.history import Entry
from adjourn.jobs.model import (
    ClaimedJob,
    NewJob,
    Released,
    Settled,
    Settlement,
)
from adjourn.jobs.outcomes import Standing, decide
from adjourn.jobs.statements import HISTORY_COLUMNS, statements
from adjourn.jobs.states import Status
from adjourn.metadata.values import moment_text
from adjourn.store.contract import Reader, Transaction

SYSTEM = config.SYSTEM_USER_ID
_DELETE_BATCH = 500


def insert(tx: Transaction, jobs: Sequence[NewJob]) -> None:
    """Put jobs into the queue, in their order. Raises TooLarge for a payload that no file may hold."""
    sql = statements(tx.dialect)
    tokens.lock(tx, [job.serial_key for job in jobs])
    plain: list[dict[str, Any]] = []
    texts: list[dict[str, Any]] = []
    files: list[tuple[NewJob, UUID, bytes]] = []
    order: list[dict[str, Any]] = []
    serial = any(job.serial_key is not None for job in jobs)
    for job in jobs:
        row = job_rows.of_new(job, tx.now)
        if job.data is not None:
            encoded = job.data.encode() if len(job.data) * 4 > config.DATA_INLINE_BYTES_MAX else b""
            if len(encoded) > config.DATA_BYTES_MAX:
                raise TooLarge(
                    f"The data of job '{job.name}' is {len(encoded):,} bytes; a file holds at most {config.DATA_BYTES_MAX:,}."
                )
            if len(encoded) > config.DATA_INLINE_BYTES_MAX:
                file_id = runtime.new_id()
                row["datablobid"], row["datablobid_name"] = str(file_id), "data.json"
                files.append((job, file_id, encoded))
            else:
                texts.append({"id": row["asyncoperationid"], "data": job.data, "message": None})
        (order if serial else plain).append(row)
    if plain:
        _insert_many(tx, sql.insert, plain)
    for row in order:
        # One by one: each must see whether the one before it is the head of its key.
        if row["serialkey"] is None:
            _insert_many(tx, sql.insert, [row])
        else:
            tx.execute(sql.insert_serial, row)
    if texts:
        tx.execute_many(sql.insert_text, texts)
    for job, file_id, encoded in files:
        write_data(tx, job.id, moment_text(job.created_on), encoded, file_id)


def write_data(tx: Transaction, job_id: UUID, created: str, content: bytes, file_id: UUID | None = None) -> UUID:
    """Put a job's data into a file, with its fileattachment; the job's row is to name it. Returns the file's id.

    created: the job's createdon, as the store writes moments.
    """
    file_id = file_id or runtime.new_id()
    tx.write_file(file_id, content)
    tx.execute(
        statements(tx.dialect).insert_file,
        {
            "file": str(file_id),
            "id": str(job_id),
            "createdon": created,
            "size": len(content),
            "version": int(tx.now.timestamp() * 1_000_000),
        },
    )
    return file_id


def _insert_many(tx: Transaction, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:
    if tx.dialect == "postgres":
        tx.execute(sql, {"rows": json.dumps(rows)})
    else:
        tx.execute_many(sql, rows)


def claim(
    tx: Transaction,
    *,
    operation_types: Sequence[int],
    limit: int,
    worker: str,
    slots: int | None = None,
    ahead_bytes: int = 0,
    from_sequence: int = 0,
    lease: str | None = None,
) -> list[ClaimedJob]:
    """Take at most `limit` Ready jobs of some types, the earliest first, under one lease.

    slots: so many, however much data they have (all, if None); the others while the data of all before them is below `ahead_bytes`.
    lease: an unguessable one of the caller's, by which it can find the claim again when it never heard of its success.
    """
    sql = claim_statements.statements(tx.dialect)
    now = moment_text(tx.now)
    lease = lease or runtime.secret(9)
    slots = limit if slots is None else slots
    claimed: list[ClaimedJob] = []
    for operation_type in operation_types:
        if limit <= len(claimed):
            break
        parameters = {
            "type": operation_type,
            "after": from_sequence,
            "limit": limit - len(claimed),
            "slots": slots - len(claimed),
            "bytes": ahead_bytes - sum(job.data_bytes for job in claimed),
        }
        held = {"worker": worker, "lease": lease, "now": now, "by": SYSTEM}
        if tx.dialect == "postgres":
            rows = tx.rows(sql.lock_candidates, {**parameters, **held})
        else:
            rows = tx.rows(sql.candidates, parameters)
            if rows:
                tx.execute(sql.claim, {**held, "sequences": json.dumps([row[1] for row in rows])})
        claimed.extend(job_rows.claimed(row, lease, tx.now) for row in rows)
    return claimed


def ready_types(reader: Reader, operation_types: Sequence[int]) -> set[int]:
    """Of some operation types, those of which there are Ready jobs."""
    types = _ids(reader, list(operation_types))
    return {
        int(row[0]) for row in reader.rows(claim_statements.statements(reader.dialect).ready_types, {"types": types})
    }


def settle(tx: Transaction, settlements: Sequence[Settlement]) -> Settled:
    """Write what became of runs. A run whose lease is no longer the job's changes nothing and is reported as refused."""
    settled = Settled()
    if not settlements:
        return settled
    sql = statements(tx.dialect)
    tokens.lock(tx, [settlement.job.serial_key for settlement in settlements])
    rows = tx.rows(sql.standing, {"sequences": _ids(tx, [found.job.sequence for found in settlements])})
    standing = {row[0]: row for row in rows}
    now = moment_text(tx.now)
    changes: list[dict[str, Any]] = []
    succeeded: list[tuple[int, str, float, str | None]] = []
    texts: list[dict[str, Any]] = []
    gone: list[UUID] = []
    heads: list[tokens.Head] = []
    told: list[Entry] = []
    for settlement in settlements:
        job = settlement.job
        found = standing.get(job.sequence)
        if found is None or found[1] != job.lease:
            settled.refused.append(job.id)
            continue
        del standing[job.sequence]  # a lease has one outcome, also when two come in one batch
        settled.accepted.append(job.id)
        status = Status(found[2])
        standing_now = Standing(status, datetime.fromisoformat(found[3]) if found[3] else None, found[4])
        change = decide(job, settlement.outcome, standing_now, tx.now, _jitter)
        telling = history.of_settle(settlement.outcome, status, change)
        if telling is not None:
            told.append(Entry(job.sequence, telling.event, status, change.status, detail=telling.detail))
        if change.delete:
            gone.append(job.id)
            continue
        if change.status is Status.SUCCEEDED:
            succeeded.append((job.sequence, job.lease, settlement.seconds, change.friendly_message))
        else:
            changes.append(job_rows.of_change(job, change, settlement.seconds, now))
        if change.text is not None:
            texts.append({"sequence": job.sequence, "message": change.text})
        if change.completed_on is not None and job.serial_key is not None:
            heads.append(tokens.Head(job.serial_key, job.sequence, job.id))
        settled.woke = settled.woke or change.status is Status.WAITING_FOR_RESOURCES
    if succeeded:
        tx.execute(sql.settle_succeeded, {"now": now, "by": SYSTEM, **_columns(tx, succeeded)})
    if changes:
        tx.execute_many(sql.settle, changes)
    if texts:
        tx.execute_many(sql.settle_text, texts)
    if told:
        history.write(tx, told)
    if gone:
        delete(tx, gone)
    if heads:
        settled.woke = tokens.promote(tx, heads) or settled.woke
    return settled


def workers(reader: Reader) -> list[str]:
    """The ids of all workers that hold jobs."""
    return sorted(row[0] for row in reader.rows(statements(reader.dialect).workers) if row[0])


def rescue(tx: Transaction, dead: Sequence[str]) -> int:
    """Give back the jobs of workers that died (mechanisms §6: 22 → 3/32, 21 → 1/10, 20 → 0/0); returns how many."""
    if not dead:
        return 0
    sql = statements(tx.dialect)
    rows = tx.rows(sql.held, {"workers": _ids(tx, list(dead))})
    given_back = Released(reason="its worker died")
    settlements = [Settlement(job_rows.held(row), given_back, 0.0) for row in rows]
    return len(settle(tx, settlements).accepted)


def give_back(tx: Transaction, worker: str, leases: Collection[str]) -> int:
    """Make Ready again what a worker holds under leases that it does not know: claims whose success it never heard of."""
    sql = statements(tx.dialect)
    rows = tx.rows(sql.held, {"workers": _ids(tx, [worker])}) if leases else []
    unheard = Released(reason="its worker never heard that it had it")
    settlements = [Settlement(job, unheard, 0.0) for job in map(job_rows.held, rows) if job.lease in leases]
    return len(settle(tx, settlements).accepted)


def interrupts(reader: Reader, worker: str) -> list[tuple[UUID, str, Status]]:
    """A worker's jobs that somebody asked to pause (21) or to stop (22), with their leases."""
    rows = reader.rows(statements(reader.dialect).interrupts, {"worker": worker})
    return [(UUID(row[0]), row[1], Status(row[2])) for row in rows]


def checkpoint(
    tx: Transaction, job: ClaimedJob, cursor: str | None = None, text: str | None = None, percent: int | None = None
) -> bool:
    """Keep a running job's cursor and progress; False when the lease is gone. modifiedon stays as it is."""
    parameters = {"id": str(job.id), "lease": job.lease, "cursor": cursor, "text": text, "percent": percent}
    return tx.execute(statements(tx.dialect).checkpoint, parameters) == 1


def holds(reader: Reader, job_id: UUID, lease: str) -> Status | None:
    """The status of a job that a lease still holds; None when it does not."""
    rows = reader.rows(statements(reader.dialect).holds, {"id": str(job_id), "lease": lease})
    return Status(rows[0][0]) if rows else None


def fence(tx: Transaction, job_id: UUID, lease: str) -> Status | None:
    """The same, for a unit that writes: nobody takes the job away before the unit has ended."""
    rows = tx.rows(statements(tx.dialect).fence, {"id": str(job_id), "lease": lease})
    return Status(rows[0][0]) if rows else None


def delete(tx: Transaction, job_ids: Sequence[UUID]) -> int:
    """Remove jobs in any state, with everything that hangs on them; returns how many there were.

    The next job of a dependency token comes forward; a running handler's settle will find nothing.
    """
    sql = statements(tx.dialect)
    removed = 0
    for start in range(0, len(job_ids), _DELETE_BATCH):
        ids = _ids(tx, [str(job_id) for job_id in job_ids[start : start + _DELETE_BATCH]])
        tokens.lock(tx, [row[0] for row in tx.rows(sql.keys, {"ids": ids})])
        ended = tx.rows(sql.ended, {"ids": ids})
        files = tx.rows(sql.files_of, {"ids": ids})
        if files:
            tx.delete_files([UUID(row[0]) for row in files])
            tx.execute(sql.delete_pieces, {"ids": ids})
        for statement in sql.delete:
            count = tx.execute(statement, {"ids": ids})
        removed += count
        left = [row for row in ended if row[2] is not None and not row[3] and row[4] < 3]
        tokens.promote(tx, [tokens.Head(row[2], row[1], UUID(row[0])) for row in left])
    return removed


def fold(tx: Transaction) -> None:
    """Add up the counts' addends (PostgreSQL; SQLite's are always folded)."""
    sql = statements(tx.dialect).fold
    if sql:
        tx.execute(sql)


def load_history(tx: Transaction, rows: Sequence[Mapping[str, Any]], texts: Sequence[Mapping[str, Any]] = ()) -> None:
    """Insert jobs as they were elsewhere, in any state, marked as imported. rows: raw values by column.

    For bringing history in, for demo data and for tests; a Locked row needs a lease, a Completed one its completedon.
    texts: {"id", "data", "message"} for rows that have long text.
    """
    sql = statements(tx.dialect)
    blank: dict[str, Any] = dict.fromkeys(HISTORY_COLUMNS)
    blank.update(retrycount=0, imported=True, iswaitingforevent=False, retainjobhistory=False, depth=1)
    _insert_many(tx, sql.insert_history, [{**blank, **row} for row in rows])
    if texts:
        tx.execute_many(sql.insert_text, texts)


def running(reader: Reader) -> dict[int, int]:
    """Locked jobs by operation type."""
    return {row[0]: int(row[1]) for row in reader.rows(statements(reader.dialect).per_class, {"state": 2})}


def _ids(reader: Reader, found: Sequence[Any]) -> Any:
    """A list as one parameter: an array for PostgreSQL, a JSON text for SQLite."""
    return list(found) if reader.dialect == "postgres" else json.dumps(list(found))


def _columns(reader: Reader, rows: Sequence[tuple[int, str, float, str | None]]) -> dict[str, Any]:
    """Settled rows as the parameters of `settle_succeeded`: arrays for PostgreSQL, one JSON text for SQLite."""
    if reader.dialect == "sqlite":
        return {"rows": json.dumps(rows)}
    sequences, leases, seconds, messages = zip(*rows, strict=True)
    return {
        "sequences": list(sequences),
        "leases": list(leases),
        "seconds": list(seconds),
        "messages": list(messages),
    }


def _jitter() -> float:
    return runtime.random().uniform(-1, 1)
