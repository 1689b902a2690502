"""The rows that tell of a bulk delete: its `bulkdeleteoperation`, a `bulkdeletefailure` for each record that stayed, its e-mails.

The job's own row says how it stands; these say what it did. Written by the message that makes the job and by the operation
that does it. Source: messages.md, "BulkDelete"; tables of the reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from adjourn import runtime
from adjourn.metadata.model import Catalog, Reference, Table
from adjourn.pipeline import access, core, system_jobs
from adjourn.pipeline.record import Record
from adjourn.query import write
from adjourn.query.security import Caller
from adjourn.store.contract import Reader, Transaction

if TYPE_CHECKING:
    from adjourn.pipeline.bulk_delete import Order

TABLE, FAILURE = "bulkdeleteoperation", "bulkdeletefailure"
ADDRESSES = {"systemuser": "internalemailaddress", "contact": "emailaddress1", "account": "emailaddress1"}
"""Who can get an e-mail, and the column of his address."""
_ERROR_CHARACTERS_MAX = 512


def operation_id(job_id: UUID) -> UUID:
    """The key of a job's bulkdeleteoperation: any host finds it without asking."""
    return uuid5(job_id, TABLE)


def insert_operation(
    tx: Transaction, catalog: Catalog, caller: Caller, job_id: UUID, name: str, order: Order, *, recurring: bool
) -> None:
    """The bulkdeleteoperation of a job, with nothing done yet."""
    table = catalog.table(TABLE)
    record: dict[str, Any] = {
        "asyncoperationid": Reference(system_jobs.TABLE, job_id),
        "name": name,
        "isrecurring": recurring,
        "orderedquerysetxml": "\n".join(order.QuerySet),
        "processingqeindex": 0,
        "successcount": 0,
        "failurecount": 0,
        **_owned(caller),
        "owningbusinessunit": Reference("businessunit", caller.business_unit_id),
    }
    core.complete(table, record, operation_id(job_id), caller, tx.now)
    _insert(tx, table, record)


def there(reader: Reader, table: Table, key: UUID) -> bool:
    """Whether a row that tells of it is there."""
    return write.exists(reader, table, key)


def update_operation(
    tx: Transaction, catalog: Catalog, job_id: UUID, *, index: int, done: int, failed: int, added: bool = False
) -> bool:
    """Write how far a job is; False if its row is not there. added: the numbers come on top of what stands there."""
    table, key = catalog.table(TABLE), operation_id(job_id)
    if added:
        before = write.fetch(tx, table, key, ("successcount", "failurecount"))
        if before is None:
            return False
        done, failed = done + (before["successcount"] or 0), failed + (before["failurecount"] or 0)
    changes = {"processingqeindex": index, "successcount": done, "failurecount": failed, "modifiedon": tx.now}
    return bool(write.update(tx, table, key, changes))


def insert_failure(
    tx: Transaction, catalog: Catalog, caller: Caller, job_id: UUID, record: Reference, index: int, code: int, text: str
) -> None:
    """A row that could not be deleted. index: of the query that found it; code: signed."""
    table = catalog.table(FAILURE)
    values_: dict[str, Any] = {
        table.primary_id: runtime.new_id(),
        "asyncoperationid": Reference(system_jobs.TABLE, job_id),
        "bulkdeleteoperationid": Reference(TABLE, operation_id(job_id)),
        "errordescription": text if len(text) <= _ERROR_CHARACTERS_MAX else f"{text[: _ERROR_CHARACTERS_MAX - 1]}…",
        "errornumber": code,
        "orderedqueryindex": index,
        "regardingobjectid": record,
        "regardingobjectidname": _name(tx, catalog.table(record.table), record.id),
        "ownerid": Reference("systemuser", caller.user_id),
        "owninguser": caller.user_id,
        "owningbusinessunit": caller.business_unit_id,
    }
    _insert(tx, table, values_)


def address_of(reader: Reader, catalog: Catalog, caller: Caller, recipient: Reference) -> str | None:
    """Where an e-mail to somebody goes; None where he has no address, is gone, or may not be read by who sends it.

    The e-mail is the caller's and shows the address: his rights may have changed since he named the recipient.
    """
    column, table = ADDRESSES[recipient.table], catalog.table(recipient.table)
    if not access.reaches(reader, catalog, caller, "Read", table, recipient.id):
        return None
    row = write.fetch(reader, table, recipient.id, (column,))
    return row[column] if row is not None else None


def email(subject: str, text: str, address: str, job_id: UUID) -> Record:
    """The e-mail activity that tells somebody how a bulk delete went."""
    return Record(
        "email",
        None,
        {
            "subject": subject[:200],
            "description": text[:2000],
            "torecipients": address[:500],
            "directioncode": True,
            "regardingobjectid": Reference(system_jobs.TABLE, job_id),
        },
    )


def _name(reader: Reader, table: Table, record_id: UUID) -> str | None:
    """What people call a row: kept with its failure, so that it can be read when the row has gone after all."""
    if table.primary_name is None:
        return None
    row = write.fetch(reader, table, record_id, (table.primary_name,))
    return None if row is None or row[table.primary_name] is None else str(row[table.primary_name])


def _owned(caller: Caller) -> dict[str, Any]:
    owner = Reference("systemuser", caller.user_id)
    return {"ownerid": owner, "owninguser": owner}


def _insert(tx: Transaction, table: Table, record: Mapping[str, Any]) -> None:
    write.insert(tx, table, {name: value for name, value in record.items() if table.columns[name].storage == "row"})
