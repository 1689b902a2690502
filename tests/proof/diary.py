"""Every change that was ever committed: legal, one after the other, each run begun and ended once, in token order."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from tests.proof.audit import Entry
from tests.proof.standing import Facts
from tests.proof.violations import Rule, Violation

from adjourn.jobs.history import Event
from adjourn.jobs.states import CLAIMED, CREATED, ENDED, SETTLED, STATE_OF, TRANSITIONS, WOKEN, Action, State, Status

_FINAL = frozenset(status for status, state in STATE_OF.items() if state is State.COMPLETED)
_HELD = frozenset(status for status, state in STATE_OF.items() if state is State.LOCKED)
_ACTED = {
    (was, result.status) for cells in TRANSITIONS.values() for was, result in cells.items() if result.status is not None
}
_DUE = {(Status.WAITING_FOR_RESOURCES, Status.WAITING_FOR_RESOURCES), (Status.WAITING, Status.WAITING_FOR_RESOURCES)}
"""Postponed to a moment that has passed: it runs now."""
_RUN = {CLAIMED, *((was, became) for was, after in SETTLED.items() for became in after)}
LEGAL = frozenset({*_ACTED, *_DUE, *_RUN, WOKEN, (Status.WAITING, Status.WAITING)})
"""Every change from a status to a status that the tables of `jobs.states` have."""
LEGAL_OF_SCHEDULES = frozenset((was, became) for was, after in ENDED.items() for became in after)
"""What only a schedule may do besides."""
_BY_EVENT: dict[str, frozenset[tuple[Status, Status]]] = {
    Event.CANCEL: frozenset(
        (was, to.status) for was, to in TRANSITIONS[Action.CANCEL].items() if to.status is not None
    ),
    Event.PAUSE: frozenset(((Status.IN_PROGRESS, Status.PAUSING),)),
    # Behind its token a resumed job stays where it is; so does a schedule, which never runs itself.
    Event.RESUME: frozenset(((Status.WAITING, Status.WAITING_FOR_RESOURCES), (Status.WAITING, Status.WAITING))),
    Event.POSTPONE: frozenset(
        {(was, to.status) for was, to in TRANSITIONS[Action.POSTPONE].items() if to.status is not None}
        | {*_DUE, (Status.IN_PROGRESS, Status.WAITING)}
    ),
    Event.RECURRENCE: frozenset(((Status.WAITING, Status.WAITING),)),
    Event.TURN: frozenset((WOKEN, (Status.WAITING, Status.WAITING))),
    Event.LET_GO: frozenset(
        (
            (Status.CANCELING, Status.CANCELED),
            (Status.PAUSING, Status.WAITING),
            (Status.PAUSING, Status.CANCELED),
            (Status.IN_PROGRESS, Status.CANCELED),
        )
    ),
    Event.RETRY: frozenset(
        (was, became) for was in (Status.IN_PROGRESS, Status.PAUSING) for became in (Status.WAITING, Status.FAILED)
    ),
    Event.RESCUE: frozenset(
        (
            (Status.IN_PROGRESS, Status.WAITING_FOR_RESOURCES),
            (Status.IN_PROGRESS, Status.FAILED),
            (Status.PAUSING, Status.FAILED),
        )
    ),
}


def examine(entries: Sequence[Entry], facts: Facts) -> Iterator[Violation]:
    """What should not have happened."""
    yield from _transitions(entries, facts)
    yield from _attempts(entries)
    yield from _order(entries)
    yield from _schedules(entries, facts)


def _transitions(entries: Sequence[Entry], facts: Facts) -> Iterator[Violation]:
    last: dict[str, int | None] = {}
    for entry in entries:
        where = f"job {entry.sequence} went from {entry.was} to {entry.became}"
        if entry.was in _FINAL and entry.became is not None:
            yield Violation(Rule.FINAL, where)
        elif entry.was is None:
            if entry.became not in CREATED and entry.lease != "imported":
                yield Violation(Rule.TRANSITION, f"job {entry.sequence} began at {entry.became}")
        elif entry.became is not None and entry.was != entry.became and not _is_legal(entry, facts):
            yield Violation(Rule.TRANSITION, where)
        if entry.was is not None and entry.job in last and last[entry.job] != entry.was:
            yield Violation(Rule.TRANSITION, f"{where}, but stood at {last[entry.job]}")
        last[entry.job] = entry.became
    for job, event, was, became in facts.told:
        if (was, became) not in _BY_EVENT[event]:
            yield Violation(Rule.TRANSITION, f"the history of job {job} tells of {event} from {was} to {became}")


def _is_legal(entry: Entry, facts: Facts) -> bool:
    change = (entry.was, entry.became)
    job = facts.jobs.get(entry.job)
    # Of a job that is gone nobody knows whether it was a schedule.
    recurs = job is None or job.recurrence is not None
    return change in LEGAL or (recurs and change in LEGAL_OF_SCHEDULES)


def _attempts(entries: Sequence[Entry]) -> Iterator[Violation]:
    begun: Counter[tuple[str, str]] = Counter()
    ended: Counter[tuple[str, str]] = Counter()
    completed: Counter[str] = Counter()
    for entry in entries:
        if entry.claims:
            assert entry.lease is not None
            begun[entry.job, entry.lease] += 1
            if entry.was_lease is not None:
                yield Violation(
                    Rule.TWICE, f"job {entry.sequence} was taken from lease {entry.was_lease} without its end"
                )
        if entry.ends:
            assert entry.was_lease is not None
            ended[entry.job, entry.was_lease] += 1
        if entry.became in _FINAL and entry.was not in _FINAL:
            completed[entry.job] += 1
        if entry.was in _HELD and entry.became in _FINAL and entry.was_lease is None:
            yield Violation(Rule.TWICE, f"job {entry.sequence} was completed by nobody's lease")
    for (job, lease), times in begun.items():
        if times > 1:
            yield Violation(Rule.TWICE, f"job {job} was taken {times} times under lease {lease}")
    for (job, lease), times in ended.items():
        if times > max(1, begun[job, lease]) or not begun[job, lease]:
            yield Violation(
                Rule.TWICE, f"lease {lease} of job {job} began {begun[job, lease]} times and ended {times} times"
            )
    for job, times in completed.items():
        if times > 1:
            yield Violation(Rule.TWICE, f"job {job} was completed {times} times")


def _order(entries: Sequence[Entry]) -> Iterator[Violation]:
    open_: dict[str, set[int]] = defaultdict(set)
    for entry in entries:
        if entry.key is None:
            continue
        jobs = open_[entry.key]
        if entry.claims:
            earlier = sorted(sequence for sequence in jobs if sequence < entry.sequence)
            if earlier:
                yield Violation(Rule.ORDER, f"job {entry.sequence} of {entry.key} was begun before {earlier} had ended")
        if entry.became is None or entry.became in _FINAL:
            jobs.discard(entry.sequence)
        else:
            jobs.add(entry.sequence)


def _schedules(entries: Sequence[Entry], facts: Facts) -> Iterator[Violation]:
    """Of those that are there, as far as their runs are there."""
    open_: dict[str, set[int]] = defaultdict(set)
    for entry in entries:
        job = facts.jobs.get(entry.job)
        if job is None:
            continue
        if job.recurrence is not None and entry.claims:
            yield Violation(Rule.SCHEDULE, f"job {entry.sequence} is a schedule and was begun itself")
        if job.schedule is None:
            continue
        runs = open_[job.schedule]
        if entry.was is None and runs:
            yield Violation(
                Rule.SCHEDULE, f"job {entry.sequence} was made while {sorted(runs)} of its schedule was open"
            )
        if entry.became is None or entry.became in _FINAL:
            runs.discard(entry.sequence)
        else:
            runs.add(entry.sequence)
