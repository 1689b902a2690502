"""Where the data lies: one contract, two databases.

sqlite:///var/adjourn.db      relative to the working directory
sqlite:////srv/adjourn.db     absolute
postgresql://user@host/name   several worker and web hosts on one database
"""

from __future__ import annotations

from pathlib import Path

from adjourn.errors import InvalidRequest
from adjourn.store.contract import Store

_SQLITE = "sqlite:///"


def open_store(url: str, *, migrate: bool = True) -> Store:
    """Open an organization's data, creating and migrating it if need be.

    Raises InvalidRequest for a URL that names no database that we know.
    """
    path = sqlite_path(url)
    if path is not None:
        from adjourn.store.sqlite import SqliteStore

        return SqliteStore(path, url, migrate=migrate)
    if url.startswith(("postgresql://", "postgres://")):
        from adjourn.store.postgres import PostgresStore

        return PostgresStore(url, migrate=migrate)
    raise InvalidRequest(
        f"'{url[:200]}' names no database: use sqlite:///relative/path.db, sqlite:////absolute/path.db or "
        "postgresql://user@host/name."
    )


def sqlite_path(url: str) -> Path | None:
    """The file that a sqlite URL means; None for other URLs."""
    if not url.startswith(_SQLITE) or len(url) == len(_SQLITE):
        return None
    return Path(url.removeprefix(_SQLITE))
