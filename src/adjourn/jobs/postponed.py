"""Postponed jobs and their moment: they are Ready when it has come, never before, and at most 100 ms after it.

Making ten thousand jobs Ready means to write ten thousand rows. SQLite does that in time, a thousand after the other, so
that others write in between. PostgreSQL takes longer, for a row is written anew there with an entry in each index; but an
uncommitted change is nobody's business. So what many jobs wait for is prepared just before it comes, and committed when it
has (docs/decisions/0027).
"""

from __future__ import annotations

from datetime import datetime

from adjourn import config
from adjourn.jobs.statements import statements
from adjourn.metadata.values import moment_text
from adjourn.store.contract import Reader, Transaction

BATCH = 1000
"""Jobs written in one statement: some five milliseconds on SQLite, fifteen on PostgreSQL."""
STALLED_MILLISECONDS = 1000
"""A process that stops while it prepares jobs keeps them from all others for no longer than this."""


def promote(tx: Transaction, limit: int = BATCH, moment: datetime | None = None) -> tuple[int, int | None]:
    """Make Ready the postponed jobs whose moment has come; how many, and the lowest sequence among them.

    moment: what is due then; None for now.
    """
    due = moment_text(moment or tx.now)
    parameters = {"moment": due, "now": moment_text(tx.now), "limit": limit, "by": config.SYSTEM_USER_ID}
    rows = tx.rows(statements(tx.dialect).promote_due, parameters)
    return len(rows), min((row[0] for row in rows), default=None)


def next_moment(reader: Reader) -> datetime | None:
    """When the next postponed job becomes Ready, or the next schedule makes its run."""
    found = reader.rows(statements(reader.dialect).next_due)[0][0]
    return datetime.fromisoformat(found) if found else None


def crowd(reader: Reader, until: datetime, *, many: int, limit: int) -> tuple[datetime, int] | None:
    """PostgreSQL: the first moment to come, up to `until`, at which at least `many` jobs become due; how many, up to `limit`."""
    parameters = {"now": moment_text(reader.now), "until": moment_text(until), "many": many, "limit": limit}
    found = reader.rows(statements(reader.dialect).crowd, parameters)
    return (datetime.fromisoformat(found[0][0]), found[0][1]) if found else None


def prepare(tx: Transaction, moment: datetime, limit: int, batch: int = BATCH) -> tuple[int, int | None]:
    """PostgreSQL: make Ready the postponed jobs of a moment before it comes, and return when it has, by the database's clock.

    Nobody sees it before this unit's COMMIT; who wants to do something to one of the jobs waits for that. What is not done
    when the moment comes is left to `promote`. Returns how many are, and the lowest sequence among them.
    """
    sql = statements(tx.dialect)
    at = {"moment": moment_text(moment)}
    number, lowest = 0, None
    tx.rows(sql.idle_at_most, {"milliseconds": str(STALLED_MILLISECONDS)})
    while number < limit and not tx.rows(sql.reached, at)[0][0]:
        wanted = min(batch, limit - number)
        parameters = {"now": at["moment"], "limit": wanted, "by": config.SYSTEM_USER_ID}
        rows = tx.rows(sql.promote_at, parameters)
        number += len(rows)
        if lowest is None:
            lowest = min((row[0] for row in rows), default=None)
        if len(rows) < wanted:
            break
    while not tx.rows(sql.wait_until, at)[0][0]:
        pass  # somebody set its clock back
    return number, lowest
