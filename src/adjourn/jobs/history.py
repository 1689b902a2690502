"""What happened to a job besides its plain run: one row for each thing that a person, a retry, a pause, a rescue or a token did.

A row is written in the transaction of the change that it tells of, and goes with its job. createdon, startedon and
completedon tell the rest: a job that is created, runs and succeeds has no rows. The newest `ENTRIES_MAX` are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import NamedTuple
from uuid import UUID

from adjourn import config
from adjourn.jobs.model import Canceled, Outcome, Postpone, Released, Retry
from adjourn.jobs.outcomes import RUNS_MAX, Change
from adjourn.jobs.states import Status
from adjourn.metadata.values import moment_text
from adjourn.store.contract import Dialect, Reader, Transaction

ENTRIES_MAX = 1_000
"""Of one job: a script that postpones the same job for ever must not fill the disk."""
_DETAIL_CHARACTERS_MAX = 2_000
_SYSTEM = UUID(config.SYSTEM_USER_ID)


class Event(StrEnum):
    """What happened."""

    CANCEL = "cancel"
    RESUME = "resume"
    PAUSE = "pause"
    POSTPONE = "postpone"
    LET_GO = "let go"
    """A running job that was asked to pause, to wait or to stop has done so."""
    RETRY = "retry"
    RESCUE = "rescue"
    """Its executor or its worker died, or was stopped: it was given back."""
    RECURRENCE = "recurrence"
    """A schedule got another pattern."""
    DATA = "data"
    """Its data was replaced, before it had begun."""
    TURN = "turn"
    """The job before it among those of its dependency token has ended."""


class Telling(NamedTuple):
    """What there is to tell of a change, and why it came."""

    event: Event
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One row."""

    sequence: int
    """Of the job."""
    event: Event
    was: Status
    became: Status
    by: UUID = _SYSTEM
    detail: str | None = None


class Told(NamedTuple):
    """One row, read: with the name of who did it."""

    on: datetime
    event: Event
    was: Status
    became: Status
    by: UUID
    by_name: str | None
    detail: str | None


def of_settle(outcome: Outcome, status: Status, change: Change) -> Telling | None:
    """What there is to tell of the end of a run, if anything. status: that of the job when its worker came back."""
    if status is Status.CANCELING:
        return Telling(Event.LET_GO, change.friendly_message)
    match outcome:
        case Retry(reason, _):
            attempt = change.retry_count if change.status is Status.WAITING else RUNS_MAX
            text = f"attempt {attempt} of {RUNS_MAX} asked for a retry{': ' + reason if reason else ''}"
            return Telling(Event.RETRY, text)
        case Released(_, reason) if status is Status.PAUSING and change.completed_on is None:
            return Telling(Event.LET_GO, reason)
        case Released(_, reason):
            return Telling(Event.RESCUE, reason if change.completed_on is None else change.friendly_message)
        case Canceled(message):
            return Telling(Event.LET_GO, message)
    if status is Status.PAUSING and change.status is Status.WAITING:
        until = change.postpone_until
        return Telling(Event.LET_GO, f"until {shown(until)}" if until else "paused")
    if isinstance(outcome, Postpone) and change.postpone_until is not None:
        return Telling(Event.POSTPONE, f"its handler asked to wait until {shown(change.postpone_until)}")
    return None


def write(tx: Transaction, entries: Sequence[Entry]) -> None:
    """Add rows; the moment is the transaction's."""
    insert, trim, _ = _statements(tx.dialect)
    for entry in entries:
        detail = entry.detail[:_DETAIL_CHARACTERS_MAX] if entry.detail else None
        (row,) = tx.rows(
            insert,
            {
                "sequence": entry.sequence,
                "now": moment_text(tx.now),
                "event": str(entry.event),
                "was": int(entry.was),
                "became": int(entry.became),
                "by": str(entry.by),
                "detail": detail,
            },
        )
        if row[0] > ENTRIES_MAX:
            tx.execute(trim, {"sequence": entry.sequence, "number": row[0] - ENTRIES_MAX})


def read(reader: Reader, sequence: int) -> list[Told]:
    """A job's history, the oldest first."""
    return [
        Told(
            datetime.fromisoformat(row[0]), Event(row[1]), Status(row[2]), Status(row[3]), UUID(row[4]), row[5], row[6]
        )
        for row in reader.rows(_statements(reader.dialect)[2], {"sequence": sequence})
    ]


def shown(moment: datetime | str | None) -> str:
    """A moment as sentences have it; milliseconds only where there are any."""
    if moment is None:
        return "an unknown moment"
    text = moment if isinstance(moment, str) else moment_text(moment)
    whole = text[:19].replace("T", " ")
    return f"{whole} UTC" if text[20:23] == "000" else f"{whole}.{text[20:23]} UTC"


@cache
def _statements(dialect: Dialect) -> tuple[str, str, str]:
    """Insert (returns the row's number), trim, read."""
    postgres = dialect == "postgres"

    def typed(name: str, kind: str) -> str:
        return f":{name}::{kind}" if postgres else f":{name}"

    # Two who wait for one job took their moments before they had it: in the story time never runs backwards.
    now, later = typed("now", "timestamptz"), "greatest" if postgres else "max"
    values = ", ".join(
        (f"{later}({now}, coalesce(max(happenedon), {now}))", typed("event", "text"), typed("was", "integer"),
         typed("became", "integer"), typed("by", "uuid"), typed("detail", "text"))
    )  # fmt: skip
    return (
        "INSERT INTO jobhistory (jobsequence, number, happenedon, event, fromstatus, tostatus, actorid, detail) "
        f"SELECT {typed('sequence', 'bigint')}, coalesce(max(number), 0) + 1, {values} FROM jobhistory "
        "WHERE jobsequence = :sequence RETURNING number",
        "DELETE FROM jobhistory WHERE jobsequence = :sequence AND number <= :number",
        "SELECT h.happenedon, h.event, h.fromstatus, h.tostatus, h.actorid, u.fullname, h.detail FROM jobhistory h "
        "LEFT JOIN systemuser u ON u.systemuserid = h.actorid WHERE h.jobsequence = :sequence ORDER BY h.number",
    )
