"""Types 18, 20, 22 and 31: how much storage the organization takes, how much it may, and a warning when that is reached.

The limit is `ADJOURN_STORAGE_LIMIT_MIB`, if it is set, or the space that is left on the disk, whichever is less. The disk
of a PostgreSQL server cannot be seen from its clients: there the limit alone counts. The warning is a task of the
system administrator, made once and completed when there is room again.
"""

from __future__ import annotations

import os
from uuid import UUID

import structlog

from adjourn import config
from adjourn.errors import InvalidRequest
from adjourn.metadata.model import Reference
from adjourn.operations.measuring import Figure, Work
from adjourn.pipeline.call import Request
from adjourn.pipeline.read import ask
from adjourn.pipeline.record import Record
from adjourn.query import measures
from adjourn.query.tree import Attribute, Condition, Filter, Query
from adjourn.store.contract import Space

log = structlog.get_logger("adjourn.storage")
LIMIT_VARIABLE = "ADJOURN_STORAGE_LIMIT_MIB"
WARNING_SUBJECT = "The organization's storage is over its limit"
_HIGH = 2
_OPEN, _COMPLETED = 0, 1
_MIB = 1024 * 1024
_LIMIT_MIB_MAX = 2**40
"""More than there is; in bytes it still fits into the column."""


def size(work: Work) -> str:
    """Type 18: bytes of the database and of the files beside it."""
    space = work.service.store.space()
    work.keep(
        (
            Figure("bytes", space.total),
            Figure("bytes", space.database, "database"),
            Figure("bytes", space.log, "log"),
            Figure("bytes", space.files, "files"),
        )
    )
    return f"The organization takes {shown(space.total)}."


def size_of_tables(work: Work) -> str:
    """Type 20: bytes of each table with its indexes. What belongs to none is one more row; together they are the whole."""
    with work.service.store.read() as reader:
        tables = measures.table_bytes(reader)
        space = work.service.store.space()
    rest = space.total - space.files - sum(tables.values())
    work.keep(
        [
            *(Figure("bytes", count, table) for table, count in tables.items()),
            Figure("bytes", space.files, "(files)"),
            Figure("bytes", rest, "(free pages, log and what is the database's own)"),
        ]
    )
    largest = max(tables, key=lambda name: tables[name])
    return f"{len(tables)} tables take {shown(sum(tables.values()))}, '{largest}' the most: {shown(tables[largest])}."


def maximum(work: Work) -> str:
    """Type 22: how much storage there may be."""
    space = work.service.store.space()
    configured = limit_bytes()
    figures = [Figure("free bytes", space.free)] if space.free is not None else []
    if configured is not None:
        figures.append(Figure("configured bytes", configured))
    least = least_of(configured, space)
    if least is None:
        work.keep(figures)
        return (
            f"There is no limit: {LIMIT_VARIABLE} is not set, and the database server's disk cannot be seen from here."
        )
    work.keep([Figure("maximum bytes", least), *figures])
    return f"There may be {shown(least)}, by the {'limit that is set' if least == configured else 'free disk'}."


def notify(work: Work) -> str:
    """Type 31: warn when the storage is over its limit, or the disk is full."""
    space, configured = work.service.store.space(), limit_bytes()
    over = configured is not None and space.total > configured
    full = space.free == 0
    work.keep((Figure("bytes", space.total), Figure("over the limit", int(over or full))))
    warning = _warning(work)
    if not over and not full:
        if warning is not None:
            done = Record("task", warning, {"statecode": _COMPLETED})
            work.service.execute(Request("Update", {"Target": done}), work.call)
        return f"The organization takes {shown(space.total)}, which is within its limit."
    reason = f"{LIMIT_VARIABLE} allows {shown(configured)}" if configured is not None and over else "its disk is full"
    text = f"The organization takes {shown(space.total)}; {reason}. Delete what is not needed, or raise the limit."
    log.warning("the storage is over its limit", bytes=space.total, limit=configured)
    if warning is not None:
        change = Record("task", warning, {"description": text})
        work.service.execute(Request("Update", {"Target": change}), work.call)
    else:
        values = {
            "subject": WARNING_SUBJECT,
            "description": text,
            "prioritycode": _HIGH,
            "ownerid": Reference("systemuser", UUID(config.ADMIN_USER_ID)),
        }
        work.service.execute(Request("Create", {"Target": Record("task", None, values)}), work.call)
    return text


def limit_bytes() -> int | None:
    """The configured limit. Raises InvalidRequest for what is no whole number."""
    text = os.environ.get(LIMIT_VARIABLE)
    if text is None:
        return None
    if not text.isdigit() or not 1 <= int(text) <= _LIMIT_MIB_MAX:
        raise InvalidRequest(
            f"{LIMIT_VARIABLE} must be a whole number from 1 to {_LIMIT_MIB_MAX:,}, found '{text[:40]}'."
        )
    return int(text) * _MIB


def least_of(configured: int | None, space: Space) -> int | None:
    """The limit or the free disk, whichever is less; None if neither is known."""
    return min((found for found in (configured, space.free) if found is not None), default=None)


def shown(count: int) -> str:
    """Bytes for people."""
    return f"{count / _MIB:,.1f} MiB"


def _warning(work: Work) -> UUID | None:
    conditions = (
        Condition("subject", "eq", (WARNING_SUBJECT,)),
        Condition("statecode", "eq", (_OPEN,)),
        Condition("createdby", "eq", (UUID(config.SYSTEM_USER_ID),)),
    )
    with work.service.store.read() as reader:
        asked = Query("task", (Attribute("activityid"),), filter=Filter("and", conditions), top=1)
        found = ask(reader, work.service.catalog, asked)
    return found[0]["activityid"] if found else None
