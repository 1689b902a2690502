"""What a verb reads does not depend on how many jobs are finished, postponed or behind their token."""

from __future__ import annotations

import contextlib
import json
import re
from datetime import timedelta
from typing import Any

import pytest
from tests.support.behind import put_behind

from adjourn import config, runtime
from adjourn.jobs import claim_statements, queue, schedule_statements
from adjourn.jobs.statements import statements

FINISHED, POSTPONED, BEHIND, SCHEDULES = 5_000, 2_000, 500, 500
MOMENT = "2029-05-05T00:00:00.000000Z"
_SETTLED = (
    "completedon", "postponeuntil", "waitreason", "waitdetail", "cursor", "errorcode", "friendlymessage",
)  # fmt: skip
_SETTLING = {
    "statecode": 1,
    "statuscode": 10,
    "retrycount": 0,
    "crashes": 0,
    "seconds": 0.1,
    "sequence": 5,
    "lease": "l",
}
WORKERS, SEQUENCES = ["w", "v"], [20_010, 20_011]


@pytest.fixture
def crowded(jobs: Any) -> Any:
    """A queue with much in it that no claim wants."""
    rows = [
        {
            "asyncoperationid": str(runtime.new_id()), "operationtype": 54, "name": "old", "ownerid": config.ADMIN_USER_ID,
            "statecode": 3, "statuscode": 30 + number % 3, "createdon": MOMENT, "modifiedon": MOMENT, "completedon": MOMENT,
        }
        for number in range(FINISHED)
    ]  # fmt: skip
    texts = [{"id": row["asyncoperationid"], "data": "{}" * 50, "message": None} for row in rows]
    jobs.unit(lambda tx: queue.load_history(tx, rows, texts))
    jobs.add(POSTPONED, postpone_until=jobs.now + timedelta(hours=1))
    jobs.add(BEHIND, dependency_token="t")
    jobs.add(SCHEDULES, recurrence_pattern="FREQ=DAILY;", recurrence_start=jobs.now + timedelta(hours=1))
    jobs.add(20)
    jobs.unit(lambda tx: tx.execute("ANALYZE"))
    return jobs


def plan(jobs: Any, sql: str, parameters: dict[str, Any]) -> str:
    """The plan of a statement, for one that writes too; nothing is changed."""
    explain = "EXPLAIN QUERY PLAN " if jobs.store.dialect == "sqlite" else "EXPLAIN "
    return jobs.unit(lambda tx: "\n".join(str(row[-1]) for row in tx.rows(explain + sql, parameters)))


def test_the_hot_statements_use_their_indexes(crowded: Any) -> None:
    jobs = crowded
    sqlite = jobs.store.dialect == "sqlite"
    sql, own = statements(jobs.store.dialect), schedule_statements.statements(jobs.store.dialect)
    claims = claim_statements.statements(jobs.store.dialect)

    def many(found: list[Any]) -> Any:
        return json.dumps(found) if sqlite else found

    now, job = "2030-01-01T12:00:00.000000Z", str(runtime.new_id())
    held = {"worker": "w", "lease": "l", "now": now, "by": config.SYSTEM_USER_ID}
    wanted = {"type": 54, "after": 0, "limit": 10, "slots": 8, "bytes": 1_000_000}
    succeeded = (
        {"rows": json.dumps([[number, "l", 0.1, None] for number in SEQUENCES])}
        if sqlite
        else {"sequences": SEQUENCES, "leases": ["l", "l"], "seconds": [0.1, 0.1], "messages": [None, None]}
    )
    hot: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
        "claim": (
            claims.candidates if sqlite else claims.lock_candidates,
            wanted | ({} if sqlite else held),
            ("job_ready",),
        ),
        "standing": (sql.standing, {"sequences": many(SEQUENCES)}, ()),
        "settle": (sql.settle_succeeded, {"now": now, "by": config.SYSTEM_USER_ID, **succeeded}, ()),
        "promote": (
            sql.promote,
            {"key": "t:t", "sequence": 5, "now": now, "by": config.SYSTEM_USER_ID},
            ("job_serial_queue",),
        ),
        "promote due": (
            sql.promote_due,
            {"moment": now, "now": now, "limit": 10, "by": config.SYSTEM_USER_ID},
            ("job_due",),
        ),
        "next due": (sql.next_due, {}, ("job_due", "job_schedule_due", "job_one_run")),
        "due schedules": (own.due, {"moment": now, "limit": 10}, ("job_schedule_due", "job_one_run")),
        "take schedules": (own.take, {"moment": now, "ids": many([job])}, ("job_one_run",)),
        "run of": (own.of_run, {"id": job}, ()),
        "open run": (own.open_run, {"id": job}, ("job_one_run",)),
        "interrupts": (sql.interrupts, {"worker": "w"}, ("job_locked",)),
        "rescue": (sql.held, {"workers": many(WORKERS)}, ("job_locked",)),
        "workers": (sql.workers, {}, ("job_locked",)),
        "ahead": (sql.ahead, {"types": many([54]), "sequence": 30_000, "limit": 9}, ("job_ready",)),
        "blocker": (sql.blocker, {"key": "t:t"}, ("job_one_head",)),
        "why": (sql.why, {"id": job}, ("(jobsequence=?)",) if sqlite else ()),
        "cancel": (sql.require, {"id": job}, ()),
        "checkpoint": (sql.checkpoint, {"id": job, "lease": "l", "cursor": None, "text": None, "percent": None}, ()),
    }
    for verb, (text, parameters, indexes) in hot.items():
        found = plan(jobs, text, parameters)
        for index in indexes:
            assert index in found, f"{verb}:\n{found}"
        assert not re.search(r"SCAN (asyncoperation|j|t|s|r)\b(?! USING)|Seq Scan on asyncoperation", found), (
            f"{verb}:\n{found}"
        )
        if verb in ("standing", "settle", "settle one", "checkpoint", "fence"):
            # Few of the Locked jobs are meant: not all of them are read, nor what was Locked once.
            assert "job_locked" not in found, f"{verb}:\n{found}"
        assert "TEMP B-TREE FOR ORDER" not in found or verb == "rescue", f"{verb}:\n{found}"


FEW, MANY = 1_000, 100_000


_ENDED = """
    UPDATE asyncoperation SET statecode = 3, statuscode = 32, completedon = createdon, postponeuntil = NULL, waitreason = NULL
    WHERE sequence = :sequence"""


def work(jobs: Any, head: int) -> dict[str, int]:
    """How much the database does for the verbs that find what is next: SQLite's steps, PostgreSQL's buffers."""
    sql = statements(jobs.store.dialect)
    now = "2030-01-01T12:00:00.000000Z"
    parameters = {
        "claim": (
            claim_statements.statements(jobs.store.dialect).candidates,
            {"type": 54, "after": 0, "limit": 10, "slots": 8, "bytes": 1_000_000},
        ),
        "promote due": (
            sql.promote_due,
            {"moment": now, "now": now, "limit": 10, "by": config.SYSTEM_USER_ID},
        ),
        "next due": (sql.next_due, {}),
        "promote": (sql.promote, {"key": "t:t", "sequence": head, "now": now, "by": config.SYSTEM_USER_ID}),
    }
    done = {}
    for verb, (text, values) in parameters.items():
        steps = [0]

        def unit(tx: Any, verb: str = verb, text: str = text, values: Any = values, steps: list[int] = steps) -> None:
            if verb == "promote":
                tx.execute(_ENDED, {"sequence": head})
            if jobs.store.dialect == "postgres":
                rows = tx.rows(f"EXPLAIN (ANALYZE, BUFFERS) {text}", values)
                steps[0] = sum(
                    int(found) for found in re.findall(r"shared hit=(\d+)", "\n".join(row[0] for row in rows))
                )
            else:

                def count() -> bool:
                    steps[0] += 1
                    return False

                tx._connection.set_progress_handler(count, 1)
                try:
                    tx.rows(text, values)
                finally:
                    tx._connection.set_progress_handler(None)
            raise Undone

        with contextlib.suppress(Undone):
            jobs.unit(unit)
        done[verb] = steps[0]
    return done


class Undone(Exception):
    """Nothing of what was measured remains."""


def test_what_waits_behind_a_token_costs_a_claim_nothing(jobs: Any) -> None:
    """A hundred times as many: the same work. (`benchmarks/waiting.py` asks it of a million.)"""
    (head,) = jobs.add(1, dependency_token="t", postpone_until=jobs.now + timedelta(days=1))
    found = []
    for batch, count in enumerate((FEW, MANY)):
        put_behind(jobs.store, str(head), count, batch=batch)
        ready = jobs.add(20)  # a claim meets them after all that waits
        found.append(work(jobs, jobs.row(head)["sequence"]))
        jobs.delete(*ready)
    few, many = found
    assert all(steps > 0 for steps in few.values())
    for verb in few:
        # A larger tree has one or two more levels; nothing else grows.
        assert many[verb] <= few[verb] * 1.5 + 40, (verb, few, many)
    jobs.unit(lambda tx: tx.execute("DELETE FROM asyncoperation WHERE blocked"))


def test_what_is_finished_or_waits_is_stepped_over(crowded: Any) -> None:
    """21 Ready jobs among thousands of others: they come in order, and then nothing comes."""
    claimed = crowded.claim(100)
    assert len(claimed) == 21
    assert [job.sequence for job in claimed] == sorted(job.sequence for job in claimed)
    assert crowded.claim(100) == []
