"""A loop that does duties, each when its moment has come or when somebody has changed something."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import structlog

from adjourn import config, runtime
from adjourn.errors import AdjournError
from adjourn.store.contract import Store
from adjourn.worker.due import Duty

log = structlog.get_logger("adjourn.duties")
_RING_SECONDS = 0.01
"""Pause after a wake-up: a hundred commits a second need not mean a hundred looks."""


class DutyLoop:
    """Does some duties on a thread of its own. on_change: those that are done anew when somebody has changed something."""

    def __init__(self, store: Store, table: Mapping[str, Duty], on_change: Collection[str], *, name: str) -> None:
        self._table = table
        self._on_change = on_change
        self._bell = runtime.bell()
        self._stopping = False
        if on_change:
            store.on_change(self._bell.ring)
        self._thread = runtime.spawn(self._run, name=name)

    def stop(self) -> None:
        """Begin nothing any more."""
        self._stopping = True
        self._bell.ring()

    def join(self, seconds: float) -> None:
        """Wait for what is being done."""
        self._thread.join(seconds)

    def _run(self) -> None:
        # By the clock that nobody sets: with the other one set back, a duty would wait until its old moment comes again.
        moments = dict.fromkeys(self._table, runtime.monotonic())
        while not self._stopping:
            for name, duty in self._table.items():
                if moments[name] > runtime.monotonic():
                    continue
                now = runtime.now()
                seconds = config.POLL_SECONDS
                try:
                    seconds = (duty(now) - now).total_seconds()
                except AdjournError as error:
                    log.warning("a duty failed and will be tried again", duty=name, error=error.message)
                except Exception:  # a bug, ours or a driver's: the other duties, and this one later, must go on
                    log.exception("a duty failed unexpectedly", duty=name)
                moments[name] = runtime.monotonic() + seconds
            pause = min(moments.values()) - runtime.monotonic()
            if pause <= 0:
                continue  # more of the same work: who changed something meanwhile is heard after it
            if self._bell.wait(min(max(pause, 0.001), config.POLL_SECONDS)):
                # Somebody changed something: an earlier moment, or a job that is to stop.
                for name in self._on_change:
                    moments[name] = runtime.monotonic()
                runtime.sleep(_RING_SECONDS)
