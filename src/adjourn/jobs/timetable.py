"""When a schedule's runs are due: its pattern, its start and what has passed, in one place. Pure.

The pattern counts from the start that was given, or else from the moment at which the schedule was made; then its first
run is due at once, whatever days the pattern names ("if it isn't set, the system job was expected to start immediately").
Moments that have been missed collapse into one run. Source: specification, "Recurrence start times and patterns".
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache

from adjourn import errors
from adjourn.jobs import recurrence
from adjourn.jobs.recurrence_rule import Rule, parse
from adjourn.jobs.recurrence_words import in_words

_SECOND = timedelta(seconds=1)
rule_of = lru_cache(maxsize=4096)(parse)


def first(pattern: str, start: datetime | None, now: datetime, not_before: datetime | None = None) -> datetime:
    """When the first run of a new schedule is due; a moment that has passed means now.

    start: from which the pattern counts, None for now and a first run at once. not_before: the first run waits for it.
    All aware. Raises QueryError for a pattern that cannot be understood (0x8004E100) or never occurs (0x80040246).
    """
    rule = rule_of(pattern)
    anchor = start or now
    found = recurrence.next_after(rule, anchor, anchor - _SECOND)
    if found is None or (rule.until is not None and rule.until < now.replace(microsecond=0)):
        raise _never(pattern, anchor)
    # The pattern counts whole seconds, and the start is never early.
    due = max(found, anchor) if start is not None else now
    return max(due, now, not_before or now)


def following(pattern: str, anchor: datetime, moment: datetime) -> datetime | None:
    """The next moment strictly after another; None if the recurrence has ended. Raises QueryError."""
    return recurrence.next_after(rule_of(pattern), anchor, moment)


def changed(pattern: str, anchor: datetime, now: datetime) -> datetime:
    """When the next run is due after a schedule got a new pattern. Raises QueryError, also if that never occurs again."""
    found = following(pattern, anchor, now)
    if found is None:
        raise _never(pattern, anchor)
    return found


def upcoming(pattern: str, anchor: datetime, due: datetime, now: datetime, count: int) -> list[datetime]:
    """The next moments: the one at which a schedule is due, and those of the pattern behind it."""
    moments: list[datetime] = []
    found: datetime | None = due
    while found is not None and len(moments) < count:
        moments.append(found)
        found = following(pattern, anchor, max(found, now))
    return moments


def said(pattern: str, anchor: datetime) -> str:
    """The pattern in English, as it works from its start: "every three days at 05:30 UTC"."""
    return in_words(rule_of(pattern), anchor)


def _never(pattern: str, anchor: datetime) -> errors.QueryError:
    rule: Rule = rule_of(pattern)
    until = f" and ends at {rule.until:%Y-%m-%d %H:%M:%S} UTC" if rule.until is not None else ""
    return errors.QueryError(
        f"Recurrence pattern '{pattern[:200]}' never occurs: it starts at {anchor:%Y-%m-%d %H:%M:%S} UTC{until}",
        code=errors.RECURRENCE_NEVER,
    )
