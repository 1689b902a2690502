"""The beats of workers on PostgreSQL, on a connection of their own: a worker whose other connections are all busy is alive.

Who has been away himself does not judge others: after an outage of the database everybody's last beat is old, and
whoever came back first would take all the others for dead. So a store acts on the silence of others only after its own
beats have gone well for as long as a worker may be silent. Source: mechanisms §4.
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import psycopg

from adjourn import config, runtime
from adjourn.errors import Busy
from adjourn.store import statements
from adjourn.store.postgres_connections import Connection
from adjourn.store.postgres_text import translated

_GAP_SECONDS = 2.5 * config.BEAT_SECONDS
"""Two beats further apart than this are not steady."""
_STATEMENT_SECONDS = 3
"""A server that takes longer for one beat is as good as away: its other clients hang as well."""


class Beats:
    """The beats of the workers in this process."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._guard = runtime.lock()
        self._connection: Connection | None = None
        self._closed = False
        self._last = -1.0
        self._steady_since = -1.0

    def beat(self, worker_id: UUID) -> bool:
        """Say that a worker is alive; False if nobody knows it any more. Raises Busy when the database is away."""
        with self._guard:
            if self._closed:
                raise Busy("The database is closed.")
            try:
                if self._connection is None:
                    self._connection = self._connect()
                    self._connection.execute(f"SET statement_timeout = '{_STATEMENT_SECONDS}s'".encode())
                found = self._connection.execute(translated(statements.WORKER_BEAT), {"id": str(worker_id)}).rowcount
            except psycopg.Error as error:
                self._forget()
                raise Busy(f"The database did not take a beat: {str(error).strip()}") from error
            now = runtime.monotonic()
            if self._last < 0 or now - self._last > _GAP_SECONDS:
                self._steady_since = now
            self._last = now
            return found == 1

    def steady(self) -> bool:
        """Whether the database has been there long enough for everybody to have beaten."""
        now = runtime.monotonic()
        silent = config.WORKER_STALE_SECONDS
        return 0 <= self._steady_since <= now - silent and now - self._last <= _GAP_SECONDS

    def close(self) -> None:
        with self._guard:
            self._closed = True
            self._forget()

    def _forget(self) -> None:
        self._last = -1.0
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
