"""Plug-in trace logs: what steps and messages say while they run; kept also when their transaction rolls back.

A handler, or anything that it calls, says `adjourn.trace("…")`. The lines go to the run that is under way in this thread
or task; outside of one they go nowhere. The organization's `plugintracelogsetting` decides which runs become rows of
`plugintracelog`: none, those that raised, or all. Rows of a rolled-back operation are written after it has ended, so a
process that dies in between loses them, and nothing else.
Source: semantics §7.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from adjourn import config, runtime
from adjourn.errors import clean
from adjourn.metadata.model import Catalog, Reference
from adjourn.query import write
from adjourn.store.contract import Transaction

OFF, EXCEPTIONS, ALL = 0, 1, 2
"""organization.plugintracelogsetting."""
TEXT_BYTES_MAX = 10 * 1024
_PLUGIN = 1


class Lines:
    """The text of one run, of which the newest 10 KB are kept."""

    def __init__(self) -> None:
        self._text = bytearray()

    def add(self, text: str) -> None:
        self._text += text.encode("utf-8", "replace")[-TEXT_BYTES_MAX:] + b"\n"
        if len(self._text) > 4 * TEXT_BYTES_MAX:
            del self._text[: -TEXT_BYTES_MAX - 1]

    def text(self) -> str:
        kept = bytes(self._text[-TEXT_BYTES_MAX - 1 : -1])
        # A cut may have gone through a character.
        return clean(kept.decode("utf-8", "ignore"))


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceLog:
    """One run of a step or message. type_name: its function; seconds: how long it ran; raised: the traceback, if it did."""

    type_name: str
    message: str
    table: str | None
    mode: int
    depth: int
    correlation_id: UUID
    request_id: UUID | None
    step_id: UUID | None
    user_id: UUID
    started: datetime
    seconds: float
    text: str
    raised: str | None

    def wanted(self, setting: int) -> bool:
        """Whether the organization's setting asks for it."""
        return setting == ALL or (setting == EXCEPTIONS and self.raised is not None)


_lines: ContextVar[Lines | None] = ContextVar("adjourn_trace_lines", default=None)
_collected: ContextVar[list[TraceLog] | None] = ContextVar("adjourn_trace_logs", default=None)


def trace(text: object) -> None:
    """Add a line to the trace log of the step or message that runs; outside of one it does nothing."""
    lines = _lines.get()
    if lines is not None:
        lines.add(str(text))


@contextmanager
def recording() -> Iterator[Lines]:
    """Around one run: what it traces."""
    lines = Lines()
    token = _lines.set(lines)
    try:
        yield lines
    finally:
        _lines.reset(token)


@contextmanager
def collecting() -> Iterator[list[TraceLog] | None]:
    """Around an operation: the logs of all runs inside it, to be written when it has ended.

    None for one inside another, which leaves its logs to the outer one.
    """
    if _collected.get() is not None:
        yield None
        return
    logs: list[TraceLog] = []
    token = _collected.set(logs)
    try:
        yield logs
    finally:
        _collected.reset(token)


def collect(log: TraceLog) -> None:
    """Leave a log to the operation under way."""
    logs = _collected.get()
    assert logs is not None, "a step runs inside an operation"
    logs.append(log)


def insert(tx: Transaction, catalog: Catalog, logs: Sequence[TraceLog]) -> None:
    """Write the rows."""
    table = catalog.table("plugintracelog")
    for log in logs:
        write.insert(
            tx,
            table,
            {
                "plugintracelogid": runtime.new_id(),
                "typename": log.type_name[:1024],
                "messagename": log.message[:1024],
                "primaryentity": log.table,
                "messageblock": log.text,
                "exceptiondetails": log.raised,
                "mode": log.mode,
                "operationtype": _PLUGIN,
                "depth": log.depth,
                "correlationid": log.correlation_id,
                "requestid": log.request_id,
                "pluginstepid": log.step_id,
                "organizationid": UUID(config.ORGANIZATION_ID),
                "issystemcreated": False,
                "performanceexecutionstarttime": log.started,
                "performanceexecutionduration": min(int(log.seconds * 1000), 2**31 - 1),
                "createdby": Reference("systemuser", log.user_id),
                "createdon": tx.now,
            },
        )
