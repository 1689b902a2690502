"""The messages BulkDelete and BulkDeleteCount: their parameters and the job that they make.

BulkDelete makes a system job of type 13 and, beside it, a `bulkdeleteoperation`. What the job then does stands in
`operations.bulk_delete`; what is written of its results in `bulk_delete_rows`. Its `data` is one JSON object,
`Order`, with the queries as FetchXML. BulkDeleteCount, adjourn's own, says how many records the same queries find now.
Source: messages.md, "BulkDelete"; security.md, "Bulk delete"; semantics §8.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from adjourn import errors, runtime
from adjourn.errors import InvalidRequest, NotSupported, PrivilegeDenied
from adjourn.jobs import queue, recurrence_rule
from adjourn.jobs.model import BULK_DELETE, NewJob
from adjourn.metadata import values
from adjourn.metadata.model import Catalog, Reference, Table
from adjourn.metadata.privileges import BULK_DELETE as PRIVILEGE
from adjourn.metadata.privileges import Depth
from adjourn.pipeline import access, bulk_delete_rows, system_jobs, validate
from adjourn.pipeline.call import Request
from adjourn.pipeline.prepared import Message, Prepared
from adjourn.query import expression, fetchxml, result, security, write
from adjourn.query.compile import compile
from adjourn.query.print_fetchxml import print_fetchxml
from adjourn.query.resolve import resolve
from adjourn.query.security import Caller
from adjourn.query.tree import Attribute, Condition, Filter, Link, Page, Query
from adjourn.store.contract import Reader

if TYPE_CHECKING:
    from adjourn.pipeline.flow import Flow

NAME, COUNT = "BulkDelete", "BulkDeleteCount"
REQUIRED = (
    "QuerySet", "JobName", "SendEmailNotification", "ToRecipients", "CCRecipients", "RecurrencePattern", "StartDateTime",
)  # fmt: skip
OPTIONAL = ("SourceImportId", "RunNow", "Options")
FAST = "RunJobForSandbox"
OPTIONS = ("CanRecoverDeletedRecords", FAST)
QUERIES_MAX = 100
"""In one QuerySet."""
RECIPIENTS_MAX = 100
RUN_NOW_ROWS_MAX = 1_000_000
"""What "Immediately" deletes in one run (semantics §8)."""
INVALID_RECIPIENT = 0x80048422
_SYSTEM_JOBS_ONLY = 0x80040203


class Order(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a bulk delete job is to do: its `data`. Recipients are (table, id) pairs."""

    QuerySet: tuple[str, ...]
    SendEmailNotification: bool = False
    ToRecipients: tuple[tuple[str, str], ...] = ()
    CCRecipients: tuple[tuple[str, str], ...] = ()
    RunNow: bool = False
    Options: Mapping[str, bool] = {}
    Retention: bool = False
    """The queries are those of the organization's settings when it runs (`pipeline.retention`)."""
    ScheduleId: str | None = None
    """The recurring job of which this one is a run; itself, for that one."""

    @property
    def recipients(self) -> Iterator[Reference]:
        yield from (Reference(table, UUID(key)) for table, key in (*self.ToRecipients, *self.CCRecipients))


def order_of(text: str) -> Order:
    """A job's data as its order. Raises InvalidRequest for what is none."""
    try:
        return msgspec.json.decode(text, type=Order)
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"The job's data is no order of a bulk delete: {error}", code=0x80044304) from error


# The queries


def queries_of(found: Any, catalog: Catalog) -> tuple[Query, ...]:
    """A QuerySet, checked against the metadata. Raises QueryError, InvalidRequest, NotSupported."""
    given = found if isinstance(found, list | tuple) else None
    if given is None or not 1 <= len(given) <= QUERIES_MAX:
        raise InvalidRequest(
            f"Parameter 'QuerySet' must be an array of 1 to {QUERIES_MAX} queries, found {values.shown(found)}."
        )
    queries = tuple(expression.parse(item, catalog) for item in given)
    for query in queries:
        table = catalog.table(query.table)
        if "Delete" not in table.messages:
            raise NotSupported(f"Rows of table '{table.logical}' cannot be deleted.", status=400)
        if query.aggregate or any(column.aggregate for column in query.columns):
            raise InvalidRequest("A query of a bulk delete finds records: it cannot aggregate.")
        if query.page != Page():
            raise InvalidRequest("A query of a bulk delete finds all its records: it cannot ask for a page; use top.")
        resolve(bare(query, table), catalog)
    return queries


def bare(query: Query, table: Table) -> Query:
    """The same question, asking for nothing but the records' keys, in its own order where there is no link."""
    links = tuple(_unread(link) for link in query.links)
    return dataclasses.replace(
        query,
        columns=(Attribute(table.primary_id),),
        all_columns=False,
        links=links,
        orders=() if links else query.orders,
        distinct=False,
        page=Page(),
        total=False,
    )


def _unread(link: Link) -> Link:
    links = tuple(_unread(inner) for inner in link.links)
    return dataclasses.replace(link, columns=(), all_columns=False, orders=(), links=links)


def narrowed(query: Query, *conditions: Condition) -> Query:
    """The same question with more conditions."""
    parts = (*((query.filter,) if query.filter is not None else ()), *conditions)
    return dataclasses.replace(query, filter=Filter("and", parts)) if parts else query


def counted(query: Query, catalog: Catalog, caller: Caller, reader: Reader, now: datetime) -> int:
    """How many records a question finds for a caller."""
    table = catalog.table(query.table)
    bared = bare(query, table)
    several = bool(bared.links)
    count = Attribute(table.primary_id, "n", aggregate="countcolumn" if several else "count", distinct=several)
    asked = dataclasses.replace(bared, columns=(count,), orders=(), aggregate=True, top=None)
    rows = result.run(compile(asked, catalog, caller, reader.dialect, now), reader).rows
    found = int(rows[0][0] or 0) if rows else 0
    return min(found, query.top) if query.top is not None else found


# The messages


@dataclass(frozen=True, slots=True)
class _Asked:
    """A BulkDelete's parameters, understood."""

    tables: tuple[str, ...]
    order: Order
    name: str
    start: datetime
    pattern: str | None


def _prepare(catalog: Catalog, request: Request) -> Prepared:
    return Prepared(None, None, dict(request.parameters), derived=_asked(catalog, request.parameters))


def _asked(catalog: Catalog, given: Mapping[str, Any]) -> _Asked:
    validate.parameters(NAME, given, REQUIRED, OPTIONAL)
    for name in REQUIRED:
        if given[name] is None:
            raise InvalidRequest(f"Message '{NAME}' needs parameter '{name}'; it must not be null.")
    queries = queries_of(given["QuerySet"], catalog)
    name = given["JobName"]
    if not isinstance(name, str) or not 0 < len(name) <= 256 or "\0" in name:
        raise InvalidRequest(
            "Parameter 'JobName' must be a text of 1 to 256 characters, without NUL.", code=errors.STRING_TOO_LONG
        )
    if given.get("SourceImportId") is not None:
        raise NotSupported(
            "Parameter 'SourceImportId' is not supported: there are no imports whose rows could be told apart.",
            status=400,
        )
    notify, now = _boolean(given, "SendEmailNotification"), _boolean(given, "RunNow")
    recipients = {key: _recipients(given[key], key) for key in ("ToRecipients", "CCRecipients")}
    if notify and not recipients["ToRecipients"]:
        raise InvalidRequest(
            "Parameter 'ToRecipients' must name somebody, because 'SendEmailNotification' is true.",
            code=INVALID_RECIPIENT,
        )
    if now:
        _immediately(queries, given)
    pattern, start = given["RecurrencePattern"], values.moment(given["StartDateTime"], "StartDateTime")
    if not isinstance(pattern, str):
        raise InvalidRequest("Parameter 'RecurrencePattern' must be a text; \"\" for a job that runs once.")
    if pattern:
        recurrence_rule.parse(pattern)
    order = Order(
        tuple(print_fetchxml(query, catalog) for query in queries),
        notify,
        recipients["ToRecipients"],
        recipients["CCRecipients"],
        now,
        _options(given.get("Options")),
    )
    return _Asked(tuple({query.table: None for query in queries}), order, name, start, pattern or None)


def _perform(flow: Flow) -> dict[str, Any]:
    asked: _Asked = flow.prepared.derived
    if any(flow.prepared.inputs.get(name) is not value for name, value in flow.inputs.items()):
        asked = _asked(flow.catalog, flow.inputs)  # a step has changed something
    if not flow.privileged:
        for name in asked.tables:
            for kind in ("Delete", "Read"):
                access.able(flow.call.caller, flow.catalog, kind, flow.catalog.table(name))
    if asked.order.Options.get(FAST) and not flow.call.caller.is_administrator:
        raise PrivilegeDenied(
            f"Only a system administrator may leave out the steps of what is deleted ('{FAST}' of 'Options'): they may be "
            "the checks that protect it."
        )
    if asked.order.RunNow:
        jobs = flow.catalog.table(system_jobs.TABLE)
        if security.depth_of(flow.call.caller, jobs.guard.needed("Delete").name) is not Depth.GLOBAL:
            raise security.denied(flow.call.caller, jobs.guard.needed("Delete"), jobs)
    for recipient in asked.order.recipients:
        table = flow.catalog.table(recipient.table)
        if not write.exists(flow.tx, table, recipient.id):
            raise InvalidRequest(
                f"There is no {recipient.table} {recipient.id} to send an e-mail to.", code=INVALID_RECIPIENT
            )
        if not flow.privileged:
            access.require(flow.tx, flow.catalog, flow.call.caller, "Read", table, recipient.id)
    start = None if asked.order.RunNow else asked.start
    return {"JobId": make(flow, asked.order, asked.name, start, asked.pattern)}


def make(flow: Flow, order: Order, name: str, start: datetime | None, pattern: str | None) -> UUID:
    """The job of a bulk delete and its bulkdeleteoperation. start: UTC; None, or a moment that has passed: now."""
    caller, now = flow.call.caller, flow.tx.now
    job_id = runtime.new_id()
    if pattern is not None:
        order = msgspec.structs.replace(order, ScheduleId=str(job_id))
    job = NewJob(
        id=job_id,
        operation_type=BULK_DELETE,
        name=name,
        message_name=NAME,
        owner=Reference("systemuser", caller.user_id),
        owning_business_unit=caller.business_unit_id,
        created_by=caller.user_id,
        created_on=now,
        correlation_id=flow.call.correlation_id or runtime.new_id(),
        correlation_updated=flow.call.correlation_updated or now,
        depth=flow.call.depth,
        data=msgspec.json.encode(order).decode(),
        created_on_behalf_by=caller.initiating_user_id,
        time_zone_code=caller.timezone_code,
        recurrence_pattern=pattern,
        recurrence_start=(start or now) if pattern else None,
        postpone_until=start if start is not None and start > now else None,
    )
    queue.insert(flow.tx, [job])
    bulk_delete_rows.insert_operation(flow.tx, flow.catalog, caller, job_id, name, order, recurring=pattern is not None)
    flow.tx.after_commit(flow.pipeline.store.wake)
    return job_id


def _prepare_count(catalog: Catalog, request: Request) -> Prepared:
    validate.parameters(COUNT, request.parameters, ("QuerySet",), ())
    return Prepared(None, None, dict(request.parameters), derived=queries_of(request.parameters["QuerySet"], catalog))


def _perform_count(flow: Flow) -> dict[str, Any]:
    counts = [
        counted(query, flow.catalog, flow.call.caller, flow.reader, flow.reader.now) for query in flow.prepared.derived
    ]
    return {"Count": sum(counts), "Counts": counts}


def _immediately(queries: Sequence[Query], given: Mapping[str, Any]) -> None:
    for query in queries:
        if query.table != system_jobs.TABLE:
            raise InvalidRequest(
                f"With 'RunNow' only system jobs can be deleted, not rows of '{query.table}': leave it out, and give a "
                "StartDateTime that has passed.",
                code=_SYSTEM_JOBS_ONLY,
            )
    if given["RecurrencePattern"]:
        raise InvalidRequest("'RunNow' and a 'RecurrencePattern' exclude each other.")


def _boolean(given: Mapping[str, Any], name: str) -> bool:
    found = given.get(name)
    if not isinstance(found, bool | None):
        raise InvalidRequest(f"Parameter '{name}' must be true or false, found {values.shown(found)}.")
    return bool(found)


def _options(found: Any) -> dict[str, bool]:
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise InvalidRequest(f"Parameter 'Options' must be an object, found {values.shown(found)}.")
    chosen: dict[str, bool] = {}
    for name, value in found.items():
        if "@" in name:
            continue
        if name not in OPTIONS:
            raise InvalidRequest(f"BulkDeleteOptions has no '{str(name)[:100]}'.{errors.nearest(str(name), OPTIONS)}")
        if not isinstance(value, bool | None):
            raise InvalidRequest(f"'{name}' of 'Options' must be true or false, found {values.shown(value)}.")
        if value is not None:
            chosen[name] = value
    return chosen


def _recipients(found: Any, name: str) -> tuple[tuple[str, str], ...]:
    if not isinstance(found, list | tuple) or len(found) > RECIPIENTS_MAX:
        what = f"{len(found)} of them" if isinstance(found, list | tuple) else values.shown(found)
        raise InvalidRequest(
            f"Parameter '{name}' must be an array of at most {RECIPIENTS_MAX} recipients, found {what}."
        )
    chosen = []
    for item in found:
        reference = item if isinstance(item, Reference) else Reference("systemuser", values.guid(item, name))
        if reference.table not in bulk_delete_rows.ADDRESSES:
            raise InvalidRequest(
                f"'{name}' can hold records of {', '.join(bulk_delete_rows.ADDRESSES)}, not of '{reference.table}'.",
                code=INVALID_RECIPIENT,
            )
        chosen.append((reference.table, str(reference.id)))
    return tuple(chosen)


def moment_condition(table: Table, began: datetime) -> tuple[Condition, ...]:
    """Only records that were there when the job began, where the table knows when they came."""
    return (Condition("createdon", "le", (began.astimezone(UTC),)),) if "createdon" in table.columns else ()


def parsed(order: Order, catalog: Catalog) -> tuple[Query, ...]:
    """The queries of a job's order. Raises QueryError when the metadata has changed under it."""
    return tuple(bare(found := fetchxml.parse(text, catalog), catalog.table(found.table)) for text in order.QuerySet)


ALL = (
    Message(NAME, _prepare, _perform, outputs=("JobId",), privileges=(PRIVILEGE,)),
    Message(COUNT, _prepare_count, _perform_count, reads=True, outputs=("Count", "Counts"), privileges=(PRIVILEGE,)),
)
