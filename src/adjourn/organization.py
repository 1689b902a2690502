"""An organization opened in this process: what `from adjourn import Organization` gives.

It opens the store itself, as system administrator, also beside a running `serve`. It runs no jobs and no duties, except
when told to `drain`.
"""

from __future__ import annotations

from datetime import datetime

from adjourn import config
from adjourn.client import Client
from adjourn.pipeline.call import Call
from adjourn.pipeline.registration import Registered
from adjourn.runtime.logs import configure_library_logs
from adjourn.service import LocalBackend, Service
from adjourn.worker.inline import drain


class Organization(Client):
    """One organization's tables, messages and jobs. A context manager; safe to use from several threads.

    url: `sqlite:///relative/path.db`, `sqlite:////absolute/path.db` or `postgresql://…`; the database is created and
    migrated if need be. Raises InvalidRequest for a URL that names no database.
    """

    def __init__(self, url: str = config.DEFAULT_DATABASE) -> None:
        configure_library_logs()
        self.service = Service.open(url)
        super().__init__(LocalBackend(self.service, Call(caller=self.service.administrator())))

    def register(self, module: str) -> Registered:
        """Write the rows for everything that a module marks with `@adjourn.step` and `@adjourn.message`."""
        return self.service.register(module)

    def drain(self, now: datetime | None = None) -> int:
        """Run what is ready in the calling thread, until nothing is; returns the number of runs.

        now: pretend it is this moment (UTC) when deciding what is due. For tests and scripts.
        """
        return drain(self.service, now)

    def close(self) -> None:
        """Close the store. Jobs stay as they are."""
        self.service.close()

    def __enter__(self) -> Organization:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()
