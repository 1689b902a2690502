"""Retention: the recurring job "Delete completed system jobs", which is there without anybody having asked.

It is a recurring bulk delete of SYSTEM like anybody's, with a fixed id: visible, to be postponed, given another pattern,
canceled; one that was deleted comes back at the next start. What its runs delete follows from the organization's settings at
that moment (`pipeline.retention`), and nothing while EnableSystemJobCleanup is false. Source: semantics §9.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid5

import msgspec

from adjourn import config, runtime
from adjourn.errors import Duplicate
from adjourn.jobs import queue
from adjourn.jobs.model import BULK_DELETE, NewJob
from adjourn.metadata.model import Reference
from adjourn.pipeline import bulk_delete, bulk_delete_rows
from adjourn.pipeline.bootstrap import ROOT_UNIT
from adjourn.pipeline.registration import NAMESPACE
from adjourn.query import write
from adjourn.query.security import PLATFORM
from adjourn.service import Service
from adjourn.store.contract import Transaction

NAME = "Delete completed system jobs"
SCHEDULE_ID = uuid5(NAMESPACE, "retention")
PATTERN = "FREQ=DAILY;"
_FIRST = timedelta(hours=2)
"""After the first start, when the platform's own jobs have had their turns."""


def ensure(service: Service) -> bool:
    """Make the schedule if it is not there, at the start of the service. Any number of hosts may."""

    def unit(tx: Transaction) -> bool:
        if write.exists(tx, service.catalog.table("asyncoperation"), SCHEDULE_ID):
            return False
        order = bulk_delete.Order((), Retention=True, ScheduleId=str(SCHEDULE_ID))
        system = UUID(config.SYSTEM_USER_ID)
        job = NewJob(
            id=SCHEDULE_ID,
            operation_type=BULK_DELETE,
            name=NAME,
            message_name=bulk_delete.NAME,
            owner=Reference("systemuser", system),
            owning_business_unit=ROOT_UNIT,
            created_by=system,
            created_on=tx.now,
            correlation_id=runtime.new_id(),
            correlation_updated=tx.now,
            data=msgspec.json.encode(order).decode(),
            recurrence_pattern=PATTERN,
            recurrence_start=(tx.now + _FIRST).replace(second=0, microsecond=0),
        )
        queue.insert(tx, [job])
        bulk_delete_rows.insert_operation(tx, service.catalog, PLATFORM, SCHEDULE_ID, NAME, order, recurring=True)
        return True

    try:
        return service.store.write(unit)
    except Duplicate:
        return False  # another host started at the same moment and made it
