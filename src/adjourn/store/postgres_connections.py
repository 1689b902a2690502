"""Connections to PostgreSQL: a pool that outlives the server's absence, and what became of a COMMIT whose reply was lost.

A caller waits up to half a minute for a connection, also while the server is away: whoever waits has a new connection
tried for him every second. (The pool's own attempts double their pauses; after an outage that would be too late for the
worker's beats.)

What became of a COMMIT: the transaction's number was learned when it began, and the server still knows the fate of
recent numbers. A number that was lost with a crash may be given again, to a transaction of somebody else's; but a crash
also resets the server's statistics, so a connection remembers since when those count. Measured: the number costs no round
trip, and a unit that writes nothing stays without a flush.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

import psycopg
import structlog
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from adjourn import runtime
from adjourn.errors import Busy
from adjourn.store.contract import Row
from adjourn.store.postgres_text import adapt

log = structlog.get_logger("adjourn.store")
CONNECTIONS_MAX = 24
"""Of one process: four processes fit into a default PostgreSQL's 100."""
WAIT_SECONDS_MAX = 30.0
_ASK_AGAIN_SECONDS = 1.0
_LOOK_PAUSE_SECONDS = 0.05
_BROKEN_PAUSE_SECONDS = 0.1
_CONNECT_SECONDS = 10
_OPTIONS: dict[str, Any] = {
    "autocommit": True,
    "options": "-c timezone=UTC -c datestyle=ISO -c intervalstyle=iso_8601 -c synchronous_commit=on -c bytea_output=hex",
    "connect_timeout": _CONNECT_SECONDS,
    # A host that is unplugged does not say goodbye; without these a statement to it would wait for a quarter of an hour.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
_COUNTING_SINCE = b"SELECT stats_reset FROM pg_stat_wal"


class Connection(psycopg.Connection[Row]):
    """A connection that knows since when its server has not crashed."""

    counting_since: object = None


class Begun(NamedTuple):
    """A transaction that has begun."""

    connection: Connection
    now: datetime
    number: str | None
    """Its number, if it is to write."""


class Connections:
    """All connections of one store but those that listen."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool: ConnectionPool[Connection] = ConnectionPool(
            url,
            connection_class=Connection,
            kwargs=_OPTIONS,
            configure=_configured,
            min_size=1,
            max_size=CONNECTIONS_MAX,
            timeout=WAIT_SECONDS_MAX,
            reconnect_timeout=0,
            open=True,
            name="adjourn",
        )

    def begin(self, begin: str, *, numbered: bool) -> Begun:
        """Begin and learn the moment, in one round trip. A connection that broke while it was idle is replaced.

        numbered: it is to write, and somebody may have to ask what became of it. Raises Busy.
        """
        text = f"{begin}; SELECT transaction_timestamp(){', pg_current_xact_id()::text' if numbered else ''}"
        until = runtime.monotonic() + WAIT_SECONDS_MAX
        broken = 0
        while True:
            connection = self._get(until)
            try:
                cursor = control(connection, text)
                while cursor.nextset():
                    pass
                now, *number = cursor.fetchall()[0]
                return Begun(connection, datetime.fromisoformat(now), number[0] if number else None)
            except BaseException as error:
                self.give_back(connection)
                if not isinstance(error, psycopg.OperationalError):
                    raise
                broken += 1
                if runtime.monotonic() > until:
                    raise Busy("The database does not answer; try again.") from error
                if broken > CONNECTIONS_MAX:  # not merely all those that were idle when it went
                    runtime.sleep(_BROKEN_PAUSE_SECONDS)

    def give_back(self, connection: Connection) -> None:
        """The caller is done with it; a broken one is replaced."""
        self._pool.putconn(connection)

    def committed(self, number: str, before: object) -> bool | None:
        """Whether the transaction of that number is durable; None if nobody can tell.

        before: since when its connection's server had not crashed. Waits for a server that is away. Raises Busy.
        """
        until = runtime.monotonic() + WAIT_SECONDS_MAX
        while True:
            connection = self._get(until)
            try:
                found = connection.execute("SELECT pg_xact_status(%s::xid8)", (number,)).fetchall()[0][0]
                after = connection.counting_since
            except psycopg.OperationalError:
                found = "in progress"  # gone again; so we ask again
            except psycopg.DataError:
                return False  # a number that this server has not given yet: it has lost what it did
            finally:
                self.give_back(connection)
            if found == "aborted":
                return False
            if found == "committed":
                return True if after == before else None
            if found != "in progress" or runtime.monotonic() > until:
                return None
            runtime.sleep(_LOOK_PAUSE_SECONDS)

    def close(self) -> None:
        self._pool.close()

    def _get(self, until: float) -> Connection:
        while True:
            left = until - runtime.monotonic()
            try:
                return self._pool.getconn(max(0.001, min(left, _ASK_AGAIN_SECONDS)))
            except PoolClosed as error:
                raise Busy("The database is closed.") from error
            except PoolTimeout as error:
                if runtime.monotonic() >= until:
                    raise Busy(
                        f"No connection to the database was free within {WAIT_SECONDS_MAX:.0f} s; try again."
                    ) from error


def connect(url: str) -> Connection:
    """One connection, not of the pool. Raises psycopg.Error."""
    connection = Connection.connect(url, **_OPTIONS)
    adapt(connection)
    return connection


def control(connection: psycopg.Connection[Any], text: str) -> psycopg.Cursor[Row]:
    """Run what begins and ends transactions. Never prepared: it may be several statements."""
    return connection.execute(text.encode(), prepare=False)


def _configured(connection: Connection) -> None:
    adapt(connection)
    connection.counting_since = connection.execute(_COUNTING_SINCE).fetchall()[0][0]
