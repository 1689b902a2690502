"""What the tests of recurrence need and the service does not: a rule's runs one after the other, and its text."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from adjourn.jobs.recurrence import next_after
from adjourn.jobs.recurrence_rule import _NUMBERS, WEEKDAYS, Rule


def occurrences(rule: Rule, start: datetime) -> Iterator[datetime]:
    """Every run from the start on, in order."""
    found = next_after(rule, start, start - timedelta(seconds=1))
    while found is not None:
        yield found
        found = next_after(rule, start, found)


def printed(rule: Rule) -> str:
    """The canonical text; `parse(printed(rule)) == rule`."""
    parts = [f"FREQ={rule.frequency.name}"]
    if rule.interval != 1:
        parts.append(f"INTERVAL={rule.interval}")
    if rule.count is not None:
        parts.append(f"COUNT={rule.count}")
    if rule.until is not None:
        moment = rule.until  # strftime does not pad years before 1000 on every platform
        day, time = f"{moment.year:04}{moment.month:02}{moment.day:02}", f"{moment:%H%M%S}"
        parts.append(f"UNTIL={day}T{time}Z")
    for part, (field, *_) in _NUMBERS.items():
        numbers: tuple[int, ...] = getattr(rule, field)
        if part == "BYHOUR" and rule.weekdays:
            parts.append("BYDAY=" + ",".join(f"{day.ordinal or ''}{WEEKDAYS[day.day]}" for day in rule.weekdays))
        if numbers:
            parts.append(f"{part}={','.join(map(str, numbers))}")
    if rule.week_start:
        parts.append(f"WKST={WEEKDAYS[rule.week_start]}")
    return ";".join(parts)
