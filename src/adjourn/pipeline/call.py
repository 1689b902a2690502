"""Who calls, from where, and inside what: the circumstances of one operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from adjourn.pipeline.context import Context
from adjourn.query.security import Caller
from adjourn.store.contract import Transaction


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Request:
    """A message and its input parameters: what `execute` takes. Record-valued parameters are `Record`s, references are `Reference`s."""

    message: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    request_id: UUID | None = None
    declared: Any = field(default=None, compare=False, repr=False)
    """The `Message` that made it: lets `enqueue` register a function that is not registered yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """The circumstances. A caller from outside has a fresh correlation and depth 1.

    transaction: set when the call comes from a synchronous step: it then joins that unit of work.
    guard: run inside the transaction of every write of a running job; raises when the job's lease is gone.
    if_match: the versions of which an update or delete demands one ("*": it must exist); None demands nothing.
    bypassed: the modes of steps that do not run, as an administrator asked.
    read_only: the function of one's own that this call is made in; it may not write.
    leaving: asked by long work between its parts: whether whoever runs it wants it to let go.
    registering: the registration's own writing of rows, which alone may name a module that hosts import.
    """

    caller: Caller
    depth: int = 1
    correlation_id: UUID | None = None
    correlation_updated: datetime | None = None
    transaction: Transaction | None = None
    parent: Context | None = None
    guard: Callable[[Transaction], None] | None = None
    if_match: frozenset[int] | str | None = None
    bypassed: frozenset[int] = frozenset()
    read_only: str | None = None
    shared_variables: Mapping[str, Any] = field(default_factory=dict)
    leaving: Callable[[], bool] = field(default=_never, compare=False, repr=False)
    registering: bool = False
