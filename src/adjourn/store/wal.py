"""Keeping the write-ahead log short, away from the writer.

Commits append to `<file>-wal`; a checkpoint copies what is there into the database. It runs on its own connection and
thread, PASSIVE, so that it waits for nobody. A log can only begin anew when all of it is copied and no one writes,
which never happens by itself under steady load: so a second, short checkpoint runs inside the writer's turn. A reader
whose old view keeps the log from beginning anew is ended once the log is over its limit.
"""

from __future__ import annotations

from collections.abc import Callable

import apsw
import structlog

from adjourn import runtime
from adjourn.errors import Busy
from adjourn.store.sqlite_units import SqliteReader
from adjourn.store.turn import Turn

log = structlog.get_logger("adjourn.store")
STEP_PAGES = 2000
"""Copy every 8 MB of log (pages of 4 KB): large enough for few syncs, small enough to stay in memory."""
LIMIT_PAGES = 131_072
"""512 MB: from here on, a reader that pins the log is ended."""
READER_SECONDS_MIN = 5.0
"""No reader younger than this is ended."""


class Checkpointer:
    """The thread that checkpoints."""

    def __init__(
        self, connect: Callable[[], apsw.Connection], turn: Turn, readers: Callable[[], list[SqliteReader]]
    ) -> None:
        self._connect = connect
        self._turn = turn
        self._readers = readers
        self._bell = runtime.bell()
        self._copied_pages = 0
        self._closed = False
        self._thread = runtime.spawn(self._run, name="adjourn-checkpoint")

    def committed(self, pages: int) -> None:
        """By the writer, after each commit: the log has this many pages now."""
        if pages < self._copied_pages:  # the log has begun anew
            self._copied_pages = 0
        if pages - self._copied_pages >= STEP_PAGES:
            self._copied_pages = pages
            self._bell.ring()

    def close(self) -> None:
        self._closed = True
        self._bell.ring()
        self._thread.join(10)

    def checkpoint(self, connection: apsw.Connection) -> None:
        """Copy the log, let it begin anew, and end a reader that prevents it for too long."""
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        try:
            self._turn.acquire("checkpoint")
        except Busy:
            return  # the writer has been held for half a minute; the next commit rings again
        try:
            pages, copied = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        finally:
            self._turn.release()
        if pages > LIMIT_PAGES or pages - copied > LIMIT_PAGES:
            self._end_oldest_reader()

    def _run(self) -> None:
        connection = self._connect()
        while True:
            self._bell.wait(None)
            if self._closed:
                break
            try:
                self.checkpoint(connection)
            except apsw.BusyError:
                continue  # another process copies it just now
            except apsw.Error as error:
                # The log keeps everything; it is only longer than it should be.
                log.warning("a checkpoint failed", error=str(error))
        connection.close()

    def _end_oldest_reader(self) -> None:
        oldest = min(self._readers(), key=lambda reader: reader.since, default=None)
        seconds = runtime.monotonic() - oldest.since if oldest else 0.0
        if oldest is not None and seconds > READER_SECONDS_MIN:
            log.warning("ended a reader that kept the log from shrinking", seconds=round(seconds, 1))
            oldest.end()
