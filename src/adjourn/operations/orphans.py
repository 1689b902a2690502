"""The scan for orphans as a duty: found, mended, and written to the log, a few times a day on whatever host is at it.

Files without a row are the store's own business (`Store.sweep_files`) and go first.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog

from adjourn.jobs import orphans
from adjourn.service import Service

log = structlog.get_logger("adjourn.maintenance")
EVERY = timedelta(hours=6)
_NAMED_MAX = 20


def scan(service: Service, now: datetime) -> dict[str, list[str]]:
    """Find and mend everything without an owner; the keys by kind."""
    mended = orphans.scan(service.store)
    for kind, keys in mended.items():
        more = len(keys) - _NAMED_MAX
        log.error("mended orphans", kind=kind, number=len(keys), keys=keys[:_NAMED_MAX], more=max(0, more))
    swept = service.store.sweep_files(now)
    if swept:
        log.info("removed forgotten files", files=swept)
    return mended
