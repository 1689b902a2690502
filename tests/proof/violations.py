"""What the history checker is told, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from adjourn.jobs.states import Action


class Rule(StrEnum):
    """What must hold."""

    LOST = "nothing acknowledged is lost"
    PARTIAL = "a batch is there as a whole or not at all"
    TWICE = "no attempt is committed twice"
    EFFECT = "an atomic handler's writes are there exactly once"
    ORDER = "token order holds"
    SCHEDULE = "a schedule never runs itself, and its runs one after the other"
    FINAL = "final states are final"
    TRANSITION = "every transition is in the table"
    COUNT = "counts equal a full count"
    FILE = "no orphaned file, none missing"
    LEFTOVER = "nothing hangs on a job that is gone"
    LOCKED = "nothing is Locked without a living owner"
    BLOCKER = "every dependent has its blocker"
    REASON = "what a waiting job gives as its reason is so"
    HINT = "a claim overlooks no Ready job"
    LEFT = "nothing that could run is left"


class Violation(NamedTuple):
    """One rule broken, in a sentence."""

    rule: Rule
    text: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Jobs that a producer enqueued in one transaction.

    texts: the data of each as it must be stored; unique in the whole history, because a job whose acknowledgement never
    came is known by nothing else. began, ended: moments of any clock that never runs backwards, shared by all producers.
    """

    texts: tuple[str, ...]
    tokens: tuple[str | None, ...] = ()
    """The dependency token of each; empty: none has one."""
    ids: tuple[UUID, ...] | None = None
    """None: it was never acknowledged; it may be there or not."""
    began: float = 0.0
    ended: float = 0.0
    parts: int = 0
    """How many writes the atomic handler of each makes in all."""


class Act(NamedTuple):
    """What an operator did to a job, acknowledged."""

    action: Action
    job: UUID


class Success(NamedTuple):
    """A run whose success the queue acknowledged to its worker."""

    job: UUID
    lease: str


class Effect(NamedTuple):
    """One write of an atomic handler, found in the data. part: which of the handler's writes."""

    job: UUID
    part: int


class Hint(NamedTuple):
    """Where the claims of a living worker begin, other than at the very beginning."""

    worker: str
    from_sequence: int


@dataclass(slots=True, kw_only=True)
class Log:
    """What was acknowledged, and what is known from elsewhere."""

    batches: list[Batch] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)
    deletions_tried: set[UUID] = field(default_factory=set)
    """Whose deletion was asked for and never acknowledged: each may be there or not."""
    successes: list[Success] = field(default_factory=list)
    effects: Sequence[Effect] = ()
    hints: Sequence[Hint] = ()
    auto_deleted: bool = False
    """Succeeded jobs are removed by their step: those that are gone count as succeeded."""
    drained: bool = True
    """Everything that could run has been run."""
    quiet: bool = True
    """Nobody writes now and forgotten files have been swept: what is not mentioned is an orphan."""
