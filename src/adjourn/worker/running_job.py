"""What a handler sees as its Job while it runs, whether in an executor or by `drain()`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from adjourn import runtime
from adjourn.jobs.model import Canceled, Continue, Outcome, Released
from adjourn.jobs.states import Status
from adjourn.metadata.model import Reference
from adjourn.worker.protocol import LEAVE


class Stop(BaseException):
    """Ends a handler at a checkpoint; not an Exception, so that a handler's own `except Exception` lets it pass."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome


class Line(Protocol):
    """The way from a handler to the queue."""

    def checkpoint(self, cursor: str, text: str | None, percent: int | None) -> int | None:
        """Keep them; the status 21 or 22, or LEAVE, if the run is to end."""
        ...

    def progress(self, text: str | None, percent: int | None) -> None: ...
    def is_stopping(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class RunningJob:
    """See `pipeline.handlers.Job`."""

    id: UUID
    name: str
    depth: int
    retry_count: int
    cursor: str | None
    regarding: Reference | None
    ends_at: float
    """When its time is up, in monotonic seconds."""
    line: Line

    @property
    def remaining_seconds(self) -> float:
        return max(0.0, self.ends_at - runtime.monotonic())

    def checkpoint(self, cursor: str, *, text: str | None = None, percent: int | None = None) -> None:
        status = self.line.checkpoint(cursor, text, percent)
        if status == LEAVE:
            raise Stop(Released())
        if status is not None:
            raise Stop(Canceled() if status == Status.CANCELING else Continue(cursor))

    def progress(self, text: str | None = None, percent: int | None = None) -> None:
        self.line.progress(text, percent)

    def is_stopping(self) -> bool:
        return self.line.is_stopping()
