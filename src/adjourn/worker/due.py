"""The duties that keep moments which people chose: what is due becomes Ready, and what many wait for is prepared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from adjourn import config
from adjourn.jobs import postponed, schedules
from adjourn.store.contract import Store, Transaction

Duty = Callable[[datetime], datetime]
CROWD_MIN = 1000
"""Jobs of one moment that are worth preparing: fewer are written soon enough when it has come."""
CROWD_MAX = 10_000
"""Jobs prepared for one moment: they are kept from everybody else until it comes, so not for long."""
_SECONDS_PER_JOB = 35e-6
"""Twice what PostgreSQL takes to write one on a quiet machine."""
_LEAD_SECONDS = 0.03
_AHEAD = timedelta(seconds=0.5)
"""How far it looks for moments to prepare; longer than it takes to write the most that it prepares, and to look again."""
_LOOK_SECONDS = 0.1
_ELSEWHERE_SECONDS = 0.005
"""Before it looks again, when everything due is in somebody else's hands."""


def due_duties(store: Store, wake: Callable[[], None], promoted: Callable[[int], None]) -> Mapping[str, Duty]:
    """The duties. wake: there are Ready jobs. promoted: hears their lowest sequence."""

    def promote_due(now: datetime) -> datetime:
        # How long until it is due is a difference by one clock, the store's: hosts need not agree on the time.
        pause = seconds_left()
        if pause is not None and pause <= 0:
            found = store.write(lambda tx: schedules.promote_due(tx, postponed.BATCH))
            tell(found.number, found.lowest)
            if found.more:
                return now
            pause = seconds_left()
            if pause is not None and not found.number:
                pause = max(pause, _ELSEWHERE_SECONDS)
        return later(now, pause)

    def prepare_due(now: datetime) -> datetime:
        """PostgreSQL: write what many wait for before its moment, and commit it then."""
        with store.read() as reader:
            first = postponed.next_moment(reader)
            if first is None or first - reader.now > _AHEAD:
                return later(now, (first - reader.now - _AHEAD).total_seconds() if first is not None else None)
            crowd = postponed.crowd(reader, reader.now + _AHEAD, many=CROWD_MIN, limit=CROWD_MAX)
            if crowd is None:
                return later(now, _LOOK_SECONDS)
            moment, number = crowd
            early = (moment - reader.now).total_seconds() - number * _SECONDS_PER_JOB - _LEAD_SECONDS
        if early > 0:
            return later(now, early)

        def unit(tx: Transaction) -> tuple[int, int | None]:
            return postponed.prepare(tx, moment, CROWD_MAX)

        tell(*store.write(unit))
        return now

    def tell(number: int, lowest: int | None) -> None:
        if lowest is not None:
            promoted(lowest)
        if number:
            wake()

    def seconds_left() -> float | None:
        with store.read() as reader:
            moment = postponed.next_moment(reader)
            return (moment - reader.now).total_seconds() if moment is not None else None

    if store.dialect == "postgres":
        return {"promote_due": promote_due, "prepare_due": prepare_due}
    return {"promote_due": promote_due}


def later(now: datetime, seconds: float | None) -> datetime:
    """When to look again: after so long, but not later than one polls anyway."""
    return now + timedelta(
        seconds=config.POLL_SECONDS if seconds is None else min(max(seconds, 0.0), config.POLL_SECONDS)
    )
