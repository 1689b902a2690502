"""What a job's life is, once more: a plain-Python model of the queue, written from the specification's tables.

It shares no code with the queue and knows no database, lease or lock: one list, one clock, one thing at a time. Whatever
is done to it and to a store must leave both alike. Times are seconds since the model's beginning.

Sources: specification, "Manage system job states", "Execution order and dependencies", "Postpone"; design §3, §9.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

READY, WAITING, RUNNING, PAUSING, CANCELING, SUCCEEDED, FAILED, CANCELED = 0, 10, 20, 21, 22, 30, 31, 32
EVENT, REQUEST = 1, 54
TO_COMPLETED, TO_READY, TO_SUSPENDED = 0x80044165, 0x80044166, 0x80044167
CANCELED_CODE, CRASHED_CODE, FAILED_CODE = 0x80044171, 0x8004418D, 0x80040224
RUNS_MAX = 4
CRASHES_MAX = 3
BACKOFF_SECONDS = 10.0
BACKOFF_SECONDS_MAX = 3600.0


class Refused(Exception):
    """An action that the state does not allow, with its published code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"0x{code:08X}")
        self.code = code


@dataclass
class Job:
    """One job. number: its place in the order of creation."""

    number: int
    kind: int = REQUEST
    token: str | None = None
    status: int = READY
    until: float | None = None
    reason: str | None = None
    blocked: bool = False
    retries: int = 0
    crashes: int = 0
    cursor: str | None = None
    error: int | None = None
    started: float | None = None
    completed: float | None = None
    modified: float = 0.0
    progress: tuple[str | None, int | None] = (None, None)
    does: str = "succeeded"
    """How its handler ends when a drain runs it."""
    held: int | None = None
    """Which claim holds it."""
    told: list[tuple[str, int, int]] = field(default_factory=list)
    """Its history: event, status before, status after."""

    @property
    def open(self) -> bool:
        return self.status < SUCCEEDED


@dataclass(frozen=True)
class Held:
    """A claim: what a worker has in hand. It may be stale by the time it comes back."""

    number: int
    claim: int


@dataclass(frozen=True)
class Ended:
    """How a run ended. kind: succeeded, failed, retry, postpone, continue, canceled, released, crashed."""

    kind: str
    seconds: float | None = None
    """Of a retry its delay, of a postponement how far from now."""
    cursor: str = ""


class Wanted(NamedTuple):
    """A job to be. wait: how many seconds from now it is postponed; does: how its handler ends."""

    token: str | None = None
    wait: float | None = None
    does: str = "succeeded"


class Model:
    """All jobs, and what may be done with them."""

    def __init__(self) -> None:
        self.now = 0.0
        self.jobs: dict[int, Job] = {}
        self._made = 0
        self._claims = 0

    # Producers

    def enqueue(self, kind: int, wanted: Sequence[Wanted]) -> list[int]:
        """Jobs of one transaction, in their order."""
        return [self._add(kind, *found) for found in wanted]

    def _add(self, kind: int, token: str | None, wait: float | None, does: str) -> int:
        self._made += 1
        job = Job(self._made, kind, token, does=does, modified=self.now)
        until = None if wait is None else self.moment(wait)
        waits = until is not None and until > self.now
        job.blocked = token is not None and any(other.open for other in self._of(token))
        job.until = until if waits else None
        if job.blocked or waits:
            job.status, job.reason = WAITING, "token" if job.blocked else "postponed"
        self.jobs[job.number] = job
        return job.number

    # Workers

    def claim(self, kinds: Sequence[int], limit: int) -> list[Held]:
        """Take Ready jobs, kind after kind, the earliest first."""
        taken: list[Held] = []
        for kind in kinds:
            for job in self.jobs.values():
                if job.kind == kind and job.status == READY and len(taken) < limit:
                    self._claims += 1
                    job.status, job.reason, job.started, job.held = RUNNING, None, self.now, self._claims
                    job.modified = self.now
                    taken.append(Held(job.number, self._claims))
        return taken

    def checkpoint(self, held: Held, cursor: str, text: str | None, percent: int | None) -> int | None:
        """Keep a cursor; 21 or 22 if somebody wants the job to stop. Raises Refused when it is no longer held."""
        job = self._held(held)
        if job is None:
            raise Refused(0x80044163)
        job.cursor = cursor
        job.progress = (text or job.progress[0], percent if percent is not None else job.progress[1])
        return job.status if job.status in (PAUSING, CANCELING) else None

    def settle(self, ended: Sequence[tuple[Held, Ended]]) -> list[int]:
        """Write what became of runs; the numbers of those that were accepted."""
        accepted = [(job, how) for held, how in ended if (job := self._held(held)) is not None]
        heads = []
        for job, how in accepted:
            self._end(job, how)
            job.held, job.modified = None, self.now
            if not job.open:
                heads.append(job)
        for job in heads:
            self._turn_after(job)
        return [job.number for job, _ in accepted]

    def rescue(self) -> int:
        """The worker is dead: everything that it holds goes back."""
        holding = [Held(job.number, job.held) for job in self.jobs.values() if job.held is not None]
        return len(self.settle([(held, Ended("released")) for held in holding]))

    def promote_due(self) -> int:
        """Make Ready what waited for a moment that has come."""
        due = [
            job
            for job in self.jobs.values()
            if job.status == WAITING and not job.blocked and job.until is not None and job.until <= self.now
        ]
        for job in due:
            job.status, job.reason, job.until, job.modified = READY, None, None, self.now
        return len(due)

    def drain(self) -> int:
        """Run what is ready, one after the other; how many runs that were."""
        runs = 0
        while True:
            self.promote_due()
            taken = self.claim([EVENT, REQUEST], 1)
            if not taken:
                return runs
            self.settle([(held, Ended(self.jobs[held.number].does)) for held in taken])
            runs += 1

    # Operators

    def cancel(self, number: int) -> None:
        """End it: at once, or as soon as its handler lets go."""
        job = self.jobs[number]
        if not job.open:
            raise Refused(TO_COMPLETED)
        if job.status == CANCELING:
            return
        was, job.reason = job.status, None
        if was in (RUNNING, PAUSING):
            job.status = CANCELING
        else:
            job.status, job.until = CANCELED, None
            job.completed, job.error = self.now, CANCELED_CODE
        self._acted(job, "cancel", was)
        if job.status == CANCELED and not job.blocked:
            self._turn_after(job)

    def resume(self, number: int) -> None:
        """Let it run now; behind its token it waits for its turn."""
        job = self.jobs[number]
        if job.status != WAITING:
            raise Refused(TO_READY)
        self._due(job)
        self._acted(job, "resume", WAITING)

    def pause(self, number: int) -> None:
        """Stop a running job at its next checkpoint."""
        job = self.jobs[number]
        if job.status == PAUSING:
            return
        if job.status != RUNNING:
            raise Refused(TO_SUSPENDED)
        job.status, job.until = PAUSING, None
        self._acted(job, "pause", RUNNING)

    def postpone(self, number: int, seconds: float) -> None:
        """Hold it back until some seconds from now; what has passed means now."""
        job = self.jobs[number]
        if job.status >= CANCELING:
            raise Refused(TO_SUSPENDED)
        was = job.status
        if was in (RUNNING, PAUSING):
            job.status, job.until = PAUSING, self.moment(seconds)
        elif self.moment(seconds) <= self.now:
            self._due(job)
        else:
            job.status, job.until = WAITING, self.moment(seconds)
            job.reason = "token" if job.blocked else "postponed"
        self._acted(job, "postpone", was)

    def delete(self, number: int) -> None:
        """Remove it, whatever its state."""
        job = self.jobs.pop(number)
        if job.open and not job.blocked:
            self._turn_after(job)

    def moment(self, seconds: float) -> float:
        """Some seconds from now, in whole ones: what every surface can say."""
        return float(math.floor(self.now + seconds))

    # Inside

    def _acted(self, job: Job, event: str, was: int) -> None:
        job.modified = self.now
        job.told.append((event, was, job.status))

    def _of(self, token: str) -> list[Job]:
        return [job for job in self.jobs.values() if job.token == token]

    def _held(self, held: Held) -> Job | None:
        job = self.jobs.get(held.number)
        return job if job is not None and job.held == held.claim else None

    def _due(self, job: Job) -> None:
        job.until = None
        if job.blocked:
            job.status, job.reason = WAITING, "token"
        else:
            job.status, job.reason = READY, None

    def _turn_after(self, gone: Job) -> None:
        """The next of its token comes forward."""
        if gone.token is None:
            return
        behind = [job for job in self._of(gone.token) if job.open and job.number > gone.number]
        if not behind or not behind[0].blocked:
            return
        job = behind[0]
        job.blocked = False
        if job.until is not None and job.until > self.now:
            job.reason = "postponed"
        else:
            self._due(job)
        self._acted(job, "turn", WAITING)

    def _end(self, job: Job, how: Ended) -> None:
        was = job.status
        pausing = was == PAUSING
        job.error = None
        if was == CANCELING:
            self._complete(job, CANCELED, CANCELED_CODE)
            job.told.append(("let go", was, CANCELED))
        elif how.kind == "succeeded":
            self._complete(job, SUCCEEDED, None)
        elif how.kind == "failed":
            self._complete(job, FAILED, FAILED_CODE)
        elif how.kind == "canceled":
            self._complete(job, CANCELED, CANCELED_CODE)
            job.told.append(("let go", was, CANCELED))
        elif how.kind == "retry" and job.retries + 1 >= RUNS_MAX:
            self._complete(job, FAILED, FAILED_CODE)
            job.told.append(("retry", was, FAILED))
        elif how.kind == "retry":
            job.retries += 1
            wait = how.seconds
            if wait is None:
                wait = min(BACKOFF_SECONDS * 2 ** (job.retries - 1), BACKOFF_SECONDS_MAX)
            self._wait(job, self.now + wait, "back-off", pausing)
            job.told.append(("retry", was, WAITING))
        elif how.kind == "postpone":
            self._wait(job, self.now + (how.seconds or 0), "postponed", pausing)
            job.told.append(("let go" if pausing else "postpone", was, WAITING))
        elif how.kind == "continue":
            job.cursor = how.cursor
            self._give_back(job, pausing)
            if pausing:
                job.told.append(("let go", was, WAITING))
        elif how.kind == "crashed" and job.crashes + 1 >= CRASHES_MAX:
            job.crashes += 1
            self._complete(job, FAILED, CRASHED_CODE)
            job.told.append(("rescue", was, FAILED))
        else:
            job.crashes += how.kind == "crashed"
            self._give_back(job, pausing)
            job.told.append(("let go", was, WAITING) if pausing else ("rescue", was, READY))

    def _complete(self, job: Job, status: int, error: int | None) -> None:
        job.status, job.error, job.completed = status, error, self.now
        job.until, job.reason, job.cursor = None, None, None

    def _wait(self, job: Job, until: float, reason: str, pausing: bool) -> None:
        """A person's wish outranks the job's own."""
        job.status = WAITING
        if pausing:
            job.reason = "paused" if job.until is None else "postponed"
        else:
            job.until, job.reason = until, reason

    def _give_back(self, job: Job, pausing: bool) -> None:
        if pausing:
            self._wait(job, 0.0, "", True)
        else:
            job.status, job.until, job.reason = READY, None, None
