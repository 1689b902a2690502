"""Dependency tokens, as serial keys: their mutex, and who comes forward when the first job of one has left.

Of a key's open jobs exactly the first, its head, is not blocked. Who adds jobs with a key, or ends or removes one, locks its
keys before any row, and only in a later statement looks at rows. Source: mechanisms, "Dependency token: who may run".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

from adjourn import config
from adjourn.jobs import history
from adjourn.jobs.history import Entry, Event
from adjourn.jobs.statements import statements
from adjourn.jobs.states import Status
from adjourn.metadata.values import moment_text
from adjourn.store.contract import Transaction


def lock(tx: Transaction, keys: Iterable[str | None]) -> None:
    """Take the mutex of serial keys, all at once and first: a later statement's view then holds all that others did."""
    wanted = sorted({key for key in keys if key is not None})
    if wanted and tx.dialect == "postgres":
        tx.execute(statements(tx.dialect).lock_tokens, {"tokens": wanted})


class Head(NamedTuple):
    """A job that was the first of its serial key and has ended or gone."""

    key: str
    sequence: int
    id: UUID


def promote(tx: Transaction, heads: Sequence[Head]) -> bool:
    """Bring forward the next job of each key whose head has left."""
    sql = statements(tx.dialect).promote
    now = moment_text(tx.now)
    told: list[Entry] = []
    for head in heads:
        for sequence, status in tx.rows(
            sql, {"key": head.key, "sequence": head.sequence, "now": now, "by": config.SYSTEM_USER_ID}
        ):
            detail = f"job {head.id} before it has ended"
            told.append(Entry(sequence, Event.TURN, Status.WAITING, Status(status), detail=detail))
    history.write(tx, told)
    return bool(told)
