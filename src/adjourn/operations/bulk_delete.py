"""Types 13 and 23: a bulk delete, and one run of a recurring one. What is to be deleted stands in the job's data.

Only records that were there when the first run began, and that the job's owner may read and delete; each is deleted as
by anybody, with its cascades and steps, and only if it still is what the query asks for at that moment. System jobs are
deleted many at a time, because no step of anybody can stand in their way; a job never deletes itself, nor the recurring
one of which it is a run. Counts go with every chunk into the `bulkdeleteoperation`, refusals into `bulkdeletefailure`, and
in the end an e-mail activity to each recipient is recorded. Source: semantics §8; messages.md, "BulkDelete".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from uuid import UUID

import msgspec
import structlog

from adjourn import config
from adjourn.errors import AdjournError, Busy, InvalidRequest, TurnExceeded
from adjourn.jobs.model import BULK_DELETE, BULK_DELETE_RUN, ClaimedJob
from adjourn.metadata.model import Catalog, Reference, Table
from adjourn.metadata.privileges import Depth
from adjourn.operations import chunks
from adjourn.operations.chunks import Chunk, Item, Progress, failure_of
from adjourn.operations.task import Task, data_of
from adjourn.pipeline import bulk_delete, bulk_delete_rows, retention, system_jobs
from adjourn.pipeline.bulk_delete import Order
from adjourn.pipeline.call import Call, Request
from adjourn.pipeline.context import ASYNCHRONOUS, SYNCHRONOUS
from adjourn.query import result, security, write
from adjourn.query.compile import compile
from adjourn.query.security import Caller
from adjourn.query.tree import Condition, Page, Query
from adjourn.service import Service
from adjourn.store.contract import Reader

log = structlog.get_logger("adjourn.operations")
TYPES = (BULK_DELETE, BULK_DELETE_RUN)
JOBS_TOGETHER = 50
"""System jobs in one savepoint: enough to pay its statements once for all, few enough for a chunk's 50 ms."""


def prepare(job: ClaimedJob, service: Service, inline: bool) -> Task:
    """The order in the job's data, done as the job's owner. Raises InvalidRequest for data that is none."""
    order = bulk_delete.order_of(data_of(job, service))

    def own(call: Call) -> object:
        nonlocal order
        if order.Retention:
            kept = _settings(service)
            if not kept.EnableSystemJobCleanup:
                return "Nothing is deleted: EnableSystemJobCleanup is false."
            order = msgspec.structs.replace(order, QuerySet=retention.queries(kept))
        if order.Options.get(bulk_delete.FAST):
            call = dataclasses.replace(call, bypassed=frozenset((SYNCHRONOUS, ASYNCHRONOUS)))
        queries = bulk_delete.parsed(order, service.catalog)
        return chunks.run(service, job, call, BulkDelete(job, call.caller, service.catalog, order, queries))

    return Task(job.owner.id if job.owner.table == "systemuser" else job.created_by, own=own)


def _settings(service: Service) -> retention.Settings:
    organization = service.catalog.table("organization")
    with service.store.read() as reader:
        row = write.fetch(reader, organization, UUID(config.ORGANIZATION_ID), (retention.COLUMN,))
    return retention.settings(row[retention.COLUMN] if row else None)


class BulkDelete:
    """The operation: delete all that some queries find."""

    def __init__(
        self, job: ClaimedJob, caller: Caller, catalog: Catalog, order: Order, queries: Sequence[Query]
    ) -> None:
        self._job = job
        self._caller = caller
        self._catalog = catalog
        self._order = order
        self._queries = queries
        self._schedule = UUID(order.ScheduleId) if order.ScheduleId else None

    def total(self, reader: Reader, progress: Progress) -> int:
        return sum(
            bulk_delete.counted(self._meant(query, progress), self._catalog, self._caller, reader, progress.moment)
            for query in self._queries
        )

    def next(self, reader: Reader, progress: Progress, position: object, limit: int) -> Sequence[Item]:
        index, after, seen = position if isinstance(position, list) else (0, None, 0)
        while index < len(self._queries):
            query = self._meant(self._queries[index], progress)
            found = self._page(reader, query, index, after, seen, limit, progress)
            if found:
                return found
            index, after, seen = index + 1, None, 0
        return ()

    def _page(
        self, reader: Reader, query: Query, index: int, after: object, seen: int, limit: int, progress: Progress
    ) -> list[Item]:
        if query.top is not None:
            limit = min(limit, query.top - seen)
        if self._order.RunNow:
            limit = min(limit, bulk_delete.RUN_NOW_ROWS_MAX - progress.done - progress.failed)
        if limit <= 0:
            return []
        page = Page(size=limit, after=tuple(after) if isinstance(after, list) else None)
        asked = dataclasses.replace(query, page=page, top=None)
        plan = compile(asked, self._catalog, self._caller, reader.dialect, progress.moment)
        key = plan.outputs[0].index
        items: dict[UUID, Item] = {}
        for row in result.run(plan, reader).rows:
            behind = result.after(plan, row)
            if behind is None:
                raise InvalidRequest("A query of a bulk delete cannot be ordered by such long texts.")
            record = UUID(row[key])
            # A link may find a record more than once; it counts once.
            count = seen + len(items) + (record not in items)
            items[record] = Item(Reference(query.table, record), [index, list(behind), count], index)
        return list(items.values())

    def standing(self, chunk: Chunk, progress: Progress, items: Sequence[Item]) -> set[Reference]:
        found: set[Reference] = set()
        for index in {item.query for item in items}:
            query = self._meant(self._queries[index], progress)
            table = self._catalog.table(query.table)
            ids = tuple(item.record.id for item in items if item.query == index)
            asked = bulk_delete.narrowed(query, Condition(table.primary_id, "in", ids))
            asked = dataclasses.replace(
                asked, orders=(), top=None, distinct=bool(query.links), page=Page(size=len(ids))
            )
            reader = chunk.unit.tx
            plan = compile(asked, self._catalog, self._caller, reader.dialect, progress.moment)
            key = plan.outputs[0].index
            found |= {Reference(query.table, UUID(row[key])) for row in result.run(plan, reader).rows}
        return found

    def together(self, chunk: Chunk, items: Sequence[Item]) -> int:
        if items[0].record.table != system_jobs.TABLE or not self._reaches_all_jobs():
            return 1
        if chunk.unit.snapshot.steps("Delete", system_jobs.TABLE) and not chunk.call.bypassed:
            return 1
        same = next((place for place, item in enumerate(items) if item.record.table != system_jobs.TABLE), len(items))
        return min(same, JOBS_TOGETHER)

    def apply(self, chunk: Chunk, items: Sequence[Item]) -> None:
        if len(items) > 1:
            system_jobs.delete_many(chunk.unit.tx, [item.record.id for item in items])
            chunk.unit.tx.after_commit(chunk.service.store.wake)
            return
        request = Request("Delete", {"Target": items[0].record})
        chunk.service.pipeline.execute(request, chunk.call)

    def failed(self, chunk: Chunk, item: Item, error: Exception) -> None:
        self._told_of(chunk)
        code, text = failure_of(error)
        bulk_delete_rows.insert_failure(
            chunk.unit.tx, self._catalog, self._caller, self._job.id, item.record, item.query, code, text
        )

    def keep(self, chunk: Chunk, progress: Progress) -> None:
        self._told_of(chunk)
        index = progress.position[0] if isinstance(progress.position, list) else 0
        bulk_delete_rows.update_operation(
            chunk.unit.tx, self._catalog, self._job.id, index=index, done=progress.done, failed=progress.failed
        )

    def finish(self, chunk: Chunk, progress: Progress) -> None:
        self.keep(chunk, progress)
        if self._schedule is not None:
            bulk_delete_rows.update_operation(
                chunk.unit.tx,
                self._catalog,
                self._schedule,
                index=0,
                done=progress.done,
                failed=progress.failed,
                added=True,
            )
        if self._order.SendEmailNotification:
            self._notify(chunk, progress)

    def told(self, progress: Progress) -> str:
        failed = f", {progress.failed:,} could not be" if progress.failed else ""
        if progress.finished:
            return f"{progress.done:,} deleted{failed}."
        return f"{progress.done:,} of {progress.total:,} deleted{failed}."

    def _told_of(self, chunk: Chunk) -> None:
        """A run of a recurring job has a bulkdeleteoperation of its own, made when it has something to tell."""
        if self._job.operation_type != BULK_DELETE_RUN:
            return
        table, key = self._catalog.table(bulk_delete_rows.TABLE), bulk_delete_rows.operation_id(self._job.id)
        if not bulk_delete_rows.there(chunk.unit.tx, table, key):
            bulk_delete_rows.insert_operation(
                chunk.unit.tx, self._catalog, self._caller, self._job.id, self._job.name, self._order, recurring=False
            )

    def _notify(self, chunk: Chunk, progress: Progress) -> None:
        for recipient in self._order.recipients:
            address = bulk_delete_rows.address_of(chunk.unit.tx, self._catalog, chunk.call.caller, recipient)
            if address is None:
                continue
            record = bulk_delete_rows.email(
                f"Bulk delete '{self._job.name}' has finished", self.told(progress), address, self._job.id
            )
            try:
                chunk.service.pipeline.execute(Request("Create", {"Target": record}), chunk.call, privileged=True)
            except (Busy, TurnExceeded):
                raise
            except (
                AdjournError
            ) as error:  # somebody's step refused the e-mail: what was deleted is deleted all the same
                log.warning("an e-mail could not be recorded", job=str(self._job.id), error=error.message)

    def _meant(self, query: Query, progress: Progress) -> Query:
        table = self._catalog.table(query.table)
        return bulk_delete.narrowed(query, *bulk_delete.moment_condition(table, progress.moment), *self._spared(table))

    def _spared(self, table: Table) -> tuple[Condition, ...]:
        """Of system jobs: not itself, not its schedule; with "Immediately" no open one."""
        if table.logical != system_jobs.TABLE:
            return ()
        itself = tuple(found for found in (self._job.id, self._schedule) if found is not None)
        spared = (Condition(table.primary_id, "not-in", itself),)
        return (*spared, Condition("statecode", "eq", (3,))) if self._order.RunNow else spared

    def _reaches_all_jobs(self) -> bool:
        privilege = self._catalog.table(system_jobs.TABLE).guard.needed("Delete")
        return security.depth_of(self._caller, privilege.name) is Depth.GLOBAL
