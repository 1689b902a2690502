"""Waking supervisors on other hosts by NOTIFY. A convenience: polling finds the same work a second later.

A wake-up is sent by a thread of its own, so that many in a row become one and no caller waits for it. The listener
keeps one connection and opens another when it breaks.
"""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import structlog

from adjourn import runtime
from adjourn.store import statements
from adjourn.store.postgres_text import translated

log = structlog.get_logger("adjourn.store")
CHANNEL = "adjourn_wake"
_GATHER_SECONDS = 0.005
"""Wake-ups within this time become one."""
_RECONNECT_SECONDS = 1.0
_LISTEN_SECONDS = 0.5
"""How soon a listener notices that it is to end."""
Connect = Callable[[], "psycopg.Connection[tuple[object, ...]]"]


class Wake:
    """Sends and hears wake-ups."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._me = runtime.new_id().hex
        self._listeners: list[Callable[[], None]] = []
        self._bell = runtime.bell()
        self._guard = runtime.lock()
        self._sender: runtime.Thread | None = None
        self._receiver: runtime.Thread | None = None
        self._closed = False

    def ring(self) -> None:
        """Wake this process at once and the others soon."""
        self._ring_here()
        if self._sender is None:
            with self._guard:
                if self._sender is None and not self._closed:
                    self._sender = runtime.spawn(self._send, name="adjourn-notify")
        self._bell.ring()

    def listen(self, wake: Callable[[], None]) -> None:
        self._listeners.append(wake)
        with self._guard:
            if self._receiver is None and not self._closed:
                self._receiver = runtime.spawn(self._receive, name="adjourn-listen")

    def close(self) -> None:
        with self._guard:
            self._closed = True
        self._bell.ring()
        for thread in (self._sender, self._receiver):
            if thread is not None:
                thread.join(5)

    def _ring_here(self) -> None:
        for listener in self._listeners:
            listener()

    def _send(self) -> None:
        connection = None
        while True:
            self._bell.wait(None)
            if self._closed:
                break
            try:
                connection = connection or self._connect()
                connection.execute(translated(statements.NOTIFY), {"channel": CHANNEL, "sender": self._me})
            except psycopg.Error as error:
                log.warning("could not wake other hosts", error=str(error))
                if connection is not None:
                    connection.close()
                connection = None
            runtime.sleep(_GATHER_SECONDS)
        if connection is not None:
            connection.close()

    def _receive(self) -> None:
        while not self._closed:
            try:
                with self._connect() as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    self._ring_here()  # for what was sent while nobody listened
                    while not self._closed:
                        for notification in connection.notifies(timeout=_LISTEN_SECONDS, stop_after=1):
                            if notification.payload != self._me:
                                self._ring_here()
            except psycopg.Error as error:
                if not self._closed:
                    log.warning("cannot listen for wake-ups; polling goes on", error=str(error))
                    runtime.sleep(_RECONNECT_SECONDS)
