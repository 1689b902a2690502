"""What goes wrong, when, and to whom: all drawn from the seed.

Some perils come after a number of steps to any process, some after a number of fault points to the process that is
there, some after a number of commits to the one that commits. Each is counted when it has really happened.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import apsw
from tests.proof import points
from tests.simulation.machine import Machine
from tests.simulation.scheduler import Process, Scheduler

KILL, KILL_EXECUTOR, STOP = "a process is killed", "an executor is killed", "a process is asked to stop"
FREEZE, FREEZE_EXECUTOR = "a process is paused and comes back", "an executor is paused and comes back"
FORWARD, BACK, WAKE = "the clock jumps forward", "the clock jumps back", "a wake-up comes twice"
REPLY_LOST, DISK_FULL = "the reply of a commit is lost", "the disk is full at a commit"
_ANYWHERE = (
    (KILL, 6), (KILL_EXECUTOR, 4), (STOP, 2), (FREEZE, 3), (FREEZE_EXECUTOR, 3), (FORWARD, 2), (BACK, 6), (WAKE, 6),
)  # fmt: skip
_FULL = "database or disk is full"
_FULL_COMMITS = (1, 1, 1, 2, 4, 8)
"""For so many commits the disk is full: after the first, what is done again fails as well."""
_FROZEN_SECONDS = ((0.01, 1.0), (1.0, 8.0), (25.0, 40.0))
_JUMP_SECONDS = ((0.1, 5.0), (60.0, 7_200.0))
_PATIENCE = 250
"""So many fault points more may come until the one that is waited for; then any will do."""
DEATHS = tuple(sorted({site.rpartition(": ")[2] for site in points.declared("sqlite")}))
"""The fault points of the source, at each of which a process must have died."""
_COMMITS = ("before commit", "after commit")
"""Where most of what is wrong shows: met more often than the others."""
KINDS = (*(kind for kind, _ in _ANYWHERE), REPLY_LOST, DISK_FULL, *(f"death at: {moment}" for moment in DEATHS))
"""Everything that a run of many seeds must have met."""


class Perils:
    """The fate of one world. stop: ask a process to stop, as by a signal; False when it cannot be asked now."""

    def __init__(self, dice: random.Random, scheduler: Scheduler, machine: Machine, stop: Callable[[Process], bool]):
        self.counts: Counter[str] = Counter()
        self.on = True
        self.services: list[Process] = []
        self._dice = dice
        self._scheduler = scheduler
        self._machine = machine
        self._stop = stop
        self._left = dice.randint(4, 12)
        self._steps = self._moments = self._commits = 0
        self._full = 0
        self._next()
        scheduler.on_step = self._step
        scheduler.on_moment = self._moment
        machine.at_commit = self._commit

    def end(self) -> None:
        """From now on nothing goes wrong any more."""
        self.on = False
        self._full = 0

    def _next(self) -> None:
        """When the next one comes: after so many steps, moments or commits, whichever is first."""
        dice = self._dice
        far = 1_000_000
        kind = dice.choice(("step", "step", "moment", "commit"))
        self._steps = dice.randint(5, 600) if kind == "step" else far
        self._moments = dice.randint(1, 40) if kind == "moment" else far
        self._commits = dice.randint(1, 25) if kind == "commit" else far
        # Some come seldom, so who waits for one may wait longer.
        self._wanted = dice.choice((None, None, *DEATHS, *_COMMITS, *_COMMITS))

    def _happened(self, kind: str) -> None:
        self.counts[kind] += 1
        self._left -= 1
        if self._left <= 0:
            self.on = False
        self._next()

    def _step(self, process: Process) -> None:
        if not self.on:
            return
        self._steps -= 1
        if self._steps > 0:
            return
        kinds, weights = zip(*_ANYWHERE, strict=True)
        kind = self._dice.choices(kinds, weights)[0]
        if self._bring(kind, process):
            self._happened(kind)
        else:
            self._steps = self._dice.randint(1, 50)

    def _bring(self, kind: str, process: Process) -> bool:
        dice = self._dice
        victims = [found for found in self.services if found.alive and not found.frozen]
        victim = process if process in victims and dice.random() < 0.5 else dice.choice(victims) if victims else None
        executors = [found for found in self._machine.executors if not found.frozen]
        if kind in (KILL_EXECUTOR, FREEZE_EXECUTOR):
            victim = dice.choice(executors) if executors else None
        if kind in (FORWARD, BACK):
            seconds = dice.uniform(*dice.choice(_JUMP_SECONDS))
            self._scheduler.jump(seconds if kind == FORWARD else -seconds)
            return True
        if kind == WAKE:
            bells = self._scheduler.bells
            if bells:
                dice.choice(bells[-40:]).ring()
            return bool(bells)
        if victim is None:
            return False
        if kind in (KILL, KILL_EXECUTOR):
            self._scheduler.kill(victim, "peril")
        elif kind == STOP:
            return self._stop(victim)
        else:
            self._scheduler.freeze(victim, dice.uniform(*dice.choice(_FROZEN_SECONDS)))
        return True

    def _moment(self, process: Process, moment: str) -> None:
        if not self.on or self._moments > 100_000:
            return
        if process not in self.services and process not in self._machine.executors:
            return
        self._moments -= 1
        if self._moments > 0 or (self._wanted is not None and self._wanted != moment and self._moments > -_PATIENCE):
            return
        self._happened(f"death at: {moment}")
        self._scheduler.kill(process, moment)

    def _commit(self) -> Exception | None:
        """Before a COMMIT: the error that it is to meet."""
        running = self._scheduler.running
        if self._full and running is not None and running.process in self.services:
            self._full -= 1
            return apsw.FullError(_FULL)
        if not self.on or self._commits > 100_000 or running is None or running.process not in self.services:
            return None
        self._commits -= 1
        if self._commits > 0:
            return None
        kind = self._dice.choice((REPLY_LOST, DISK_FULL))
        self._happened(kind)
        self._scheduler.note(kind)
        if kind == REPLY_LOST:
            return apsw.IOError("disk I/O error")
        self._full = self._dice.choice(_FULL_COMMITS) - 1
        return apsw.FullError(_FULL)
