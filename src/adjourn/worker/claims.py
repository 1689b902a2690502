"""Which jobs a supervisor claims: from where in the queue, and how many of each class.

The classes that share the executor slots take turns at being first, and none takes the last slot while another waits.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from adjourn import config, errors, runtime
from adjourn.jobs import queue
from adjourn.jobs.classes import SLOT_CLASSES, class_of
from adjourn.jobs.model import ClaimedJob, ResourceClass
from adjourn.store.contract import Dialect, Transaction

_HINT_SECONDS = 10.0
IDLE_SWEEP_SECONDS = 0.1
"""How often, at most, a claim that finds less than it has room for looks from the very beginning."""


class Room(NamedTuple):
    """What may be claimed. jobs: how many in all; slots: how many of them begin at once, and are taken whatever their size;
    bytes: how much data those before a job may have that is taken to wait for a slot."""

    jobs: int
    slots: int
    bytes: int

    @property
    def any(self) -> bool:
        """Whether there is room for anything."""
        return self.jobs > 0 and (self.slots > 0 or self.bytes > 0)

    def after(self, claimed: Sequence[ClaimedJob]) -> Room:
        """What is left of it."""
        size = sum(job.data_bytes for job in claimed)
        return Room(self.jobs - len(claimed), max(0, self.slots - len(claimed)), max(0, self.bytes - size))


class Claims:
    """The claims of one supervisor. Used by its loop; `promoted` by the loop of the duties as well."""

    def __init__(self, worker: str, dialect: Dialect) -> None:
        self._worker = worker
        self._dialect = dialect
        self._limits = {found.name: _limit(found) for found in SLOT_CLASSES}
        self._guard = runtime.lock()
        self._hints: dict[str, list[tuple[float, int]]] = {found.name: [] for found in SLOT_CLASSES}
        """By class, moments and what of it was claimed then: before that, nothing was Ready. Each class goes at its own pace."""
        self._lows: list[tuple[float, int]] = []
        """Sequences that became Ready lately, by their moment."""
        self._doubtful: set[str] = set()
        self._after_hint = False
        self._look_again = False
        self._swept = 0.0
        self._first = 0

    @property
    def limited(self) -> bool:
        """Whether any class has a limit, so that somebody must count what is held."""
        return any(limit is not None for limit in self._limits.values())

    def claim(self, tx: Transaction, room: Room, held: Mapping[str, int], lease: str) -> list[ClaimedJob]:
        """Claim for all classes that share the slots, under one lease.

        held: how many jobs of each class run, where one has a limit.
        """
        queue.give_back(tx, self._worker, self._doubtful)
        if not room.any:
            return []  # and no look from the very beginning has been had: the next one must not wait for it
        claimed = self._claim_after(tx, self._after(), room, held, lease)
        left = room.after(claimed)
        if self._after_hint and left.any:
            # Nothing more beyond the hint: there may be older ones that somebody resumed, rescued, or that had to wait.
            if runtime.monotonic() - self._swept < IDLE_SWEEP_SECONDS:
                self._look_again = True
            else:
                self._swept = runtime.monotonic()
                claimed += self._claim_after(tx, {}, left, _with(held, claimed), lease)
        return claimed

    def doubt(self, lease: str) -> None:
        """Nobody heard whether the claims under this lease are durable: the next claim gives back what is."""
        self._doubtful.add(lease)

    def claimed(self, jobs: Sequence[ClaimedJob]) -> None:
        """These claims are durable: later ones may begin behind them."""
        self._doubtful.clear()
        first: dict[str, int] = {}
        for job in jobs:
            name = class_of(job.operation_type).name
            first[name] = min(job.sequence, first.get(name, job.sequence))
        now = runtime.monotonic()
        with self._guard:
            # The claim may have looked before a job became Ready that lies before what it found.
            low = min((sequence for moment, sequence in self._lows if now - moment <= _HINT_SECONDS), default=None)
            for name, sequence in first.items():
                self._hints[name].append((now, sequence if low is None else min(low, sequence)))

    def promoted(self, sequence: int) -> None:
        """Claims must begin before a job that has just become Ready, however old it is."""
        with self._guard:
            self._lows.append((runtime.monotonic(), sequence))
            for hints in self._hints.values():
                hints[:] = [(moment, min(found, sequence)) for moment, found in hints]

    def idle_seconds(self) -> float:
        """How long to wait, when there was nothing to do, for somebody who rings."""
        seconds = IDLE_SWEEP_SECONDS if self._look_again else config.POLL_SECONDS
        self._look_again = False
        return seconds

    def _after(self) -> Mapping[str, int]:
        """Where a claim starts, by class. On PostgreSQL dead rows make the beginning slow while a snapshot is pinned: a claim
        starts at what was claimed ten seconds ago, and from the very beginning every few seconds."""
        now = runtime.monotonic()
        if self._dialect == "sqlite" or now - self._swept > config.SWEEP_SECONDS:
            self._swept = now
            with self._guard:
                for hints in self._hints.values():
                    hints[:] = [hint for hint in hints if now - hint[0] <= 2 * _HINT_SECONDS]
            return {}
        with self._guard:
            self._lows = [low for low in self._lows if now - low[0] <= _HINT_SECONDS]
            return {name: self._after_of(hints, now) for name, hints in self._hints.items()}

    def _after_of(self, hints: Sequence[tuple[float, int]], now: float) -> int:
        after = max((sequence - 1 for moment, sequence in hints if now - moment > _HINT_SECONDS), default=0)
        return min([after, *(sequence - 1 for _, sequence in self._lows)])

    def _claim_after(
        self, tx: Transaction, after: Mapping[str, int], room: Room, held: Mapping[str, int], lease: str
    ) -> list[ClaimedJob]:
        claimed: list[ClaimedJob] = []
        self._after_hint = any(after.values())
        order = SLOT_CLASSES[self._first :] + SLOT_CLASSES[: self._first]
        self._first = (self._first + 1) % len(SLOT_CLASSES)
        counts = dict(held)

        def take(found: ResourceClass, wanted: int) -> int:
            left = room.after(claimed)
            limit = self._limits[found.name]
            if limit is not None:
                wanted = min(wanted, limit - counts[found.name])
            if wanted <= 0 or not left.any:
                return 0
            jobs = queue.claim(
                tx,
                operation_types=found.operation_types,
                limit=wanted,
                slots=left.slots,
                ahead_bytes=left.bytes,
                worker=self._worker,
                from_sequence=after.get(found.name, 0),
                lease=lease,
            )
            claimed.extend(jobs)
            counts[found.name] += len(jobs)
            return len(jobs)

        full: list[ResourceClass] = []
        for index, found in enumerate(order):
            free = room.jobs - len(claimed)
            offered = max(1, free - 1) if index < len(order) - 1 else free
            if free > 0 and take(found, min(free, offered)) == offered:
                full.append(found)
        for found in full:
            if room.jobs > len(claimed):
                take(found, room.jobs - len(claimed))
        return claimed


def _with(held: Mapping[str, int], claimed: Sequence[ClaimedJob]) -> dict[str, int]:
    counts = dict(held)
    for job in claimed:
        counts[class_of(job.operation_type).name] += 1
    return counts


def _limit(found: ResourceClass) -> int | None:
    """ADJOURN_LIMIT_<CLASS>: how many jobs of a class run at a time on this host; none by default."""
    text = os.environ.get(f"ADJOURN_LIMIT_{found.name.upper()}")
    if text is None:
        return None
    if not text.isdigit() or int(text) < 1:
        raise errors.InvalidRequest(
            f"ADJOURN_LIMIT_{found.name.upper()} must be a whole number from 1, found '{text[:40]}'."
        )
    return int(text)
