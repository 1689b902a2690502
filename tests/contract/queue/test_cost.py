"""What a verb reads does not depend on how many jobs are finished, postponed or behind their token."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest

from adjourn import config, runtime
from adjourn.jobs import queue
from adjourn.jobs.statements import statements

FINISHED, POSTPONED, BEHIND = 5_000, 2_000, 500
MOMENT = "2029-05-05T00:00:00.000000Z"
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
    sql = statements(jobs.store.dialect)

    def many(found: list[Any]) -> Any:
        return json.dumps(found) if sqlite else found

    now, job = "2030-01-01T12:00:00.000000Z", str(runtime.new_id())
    held = {"worker": "w", "lease": "l", "now": now, "by": config.SYSTEM_USER_ID}
    wanted = {"type": 54, "after": 0, "limit": 10}
    succeeded = (
        {"rows": json.dumps([[number, "l", 0.1, None] for number in SEQUENCES])}
        if sqlite
        else {"sequences": SEQUENCES, "leases": ["l", "l"], "seconds": [0.1, 0.1], "messages": [None, None]}
    )
    hot: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
        "claim": (sql.candidates if sqlite else sql.lock_candidates, wanted | ({} if sqlite else held), ("job_ready",)),
        "standing": (sql.standing, {"sequences": many(SEQUENCES)}, ()),
        "settle": (sql.settle_succeeded, {"now": now, "by": config.SYSTEM_USER_ID, **succeeded}, ()),
        "promote": (
            sql.promote,
            {"key": "t:t", "sequence": 5, "now": now, "by": config.SYSTEM_USER_ID},
            ("job_serial_queue",),
        ),
        "promote due": (sql.promote_due, {"now": now, "limit": 10, "by": config.SYSTEM_USER_ID}, ("job_due",)),
        "next due": (sql.next_due, {}, ("job_due",)),
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
        assert not re.search(r"SCAN (asyncoperation|j|t)\b(?! USING)|Seq Scan on asyncoperation", found), (
            f"{verb}:\n{found}"
        )
        assert "TEMP B-TREE FOR ORDER" not in found or verb == "rescue", f"{verb}:\n{found}"


def test_what_is_finished_or_waits_is_stepped_over(crowded: Any) -> None:
    """21 Ready jobs among thousands of others: they come in order, and then nothing comes."""
    claimed = crowded.claim(100)
    assert len(claimed) == 21
    assert [job.sequence for job in claimed] == sorted(job.sequence for job in claimed)
    assert crowded.claim(100) == []
