"""The statements that look for orphans: what belongs to a job, or to a file, that is not there. And those that mend them.

Each `find` gives keys behind `:after` in their order, at most `:limit`; where the key is a job's sequence it looks no further
than `:until`, so that no question reads a table of millions at once. Each `mend` takes keys and tests again, because between
finding and mending somebody may have made, or removed, what was missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from adjourn.store.contract import Dialect

_OF_JOBS = {
    "bulkdeletefailure": "bulkdeletefailureid",
    "bulkdeleteoperation": "bulkdeleteoperationid",
    "duplicaterecord": "duplicateid",
    "workflowlog": "workflowlogid",
}
"""Tables whose rows go with a job, and their keys."""
FIRST_ID = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of orphan. by_sequence: its key is the sequence of a job, a number; else a guid."""

    name: str
    find: str
    mend: str
    by_sequence: bool = False


@cache
def kinds(dialect: Dialect) -> tuple[Kind, ...]:
    """All kinds that statements alone can find."""
    return (
        _of_sequence("long text without its job", "asyncoperationtext", "asyncoperationsequence", dialect),
        _of_sequence("history without its job", "jobhistory", "jobsequence", dialect),
        *(_of_job(table, key, dialect) for table, key in _OF_JOBS.items()),
        _attachments(dialect),
        _data(dialect),
    )


@cache
def files_found(dialect: Dialect) -> str:
    """Files of jobs behind `:after`, whose bytes are to be looked for."""
    return (
        "SELECT fileattachmentid FROM fileattachment WHERE objectidtypecode = 'asyncoperation' AND "
        f"fileattachmentid > {_uuid(':after', dialect)} ORDER BY fileattachmentid LIMIT :limit"
    )


@cache
def pieces_of(dialect: Dialect) -> str:
    """Of files that lie in pieces: file and piece."""
    return f"SELECT fileid, pieceid FROM filepiece WHERE fileid {_among('uuid', dialect)}"


@cache
def forget_files(dialect: Dialect) -> tuple[str, str]:
    """Of files whose bytes are lost: what the jobs say of them, and their rows."""
    among = _among("uuid", dialect)
    return (
        f"UPDATE asyncoperation SET datablobid = NULL, datablobid_name = NULL WHERE datablobid {among}",
        f"DELETE FROM fileattachment WHERE fileattachmentid {among}",
    )


@cache
def oversized(dialect: Dialect) -> str:
    """Jobs whose data is over the limit and lies in its row all the same."""
    return (
        "SELECT t.asyncoperationsequence FROM asyncoperationtext t WHERE t.asyncoperationsequence > :after "
        "AND t.asyncoperationsequence <= :until AND octet_length(t.data) > :size ORDER BY t.asyncoperationsequence LIMIT :limit"
    )


@cache
def data_of(dialect: Dialect) -> str:
    """One of them, locked: its id, when it was made, its data."""
    lock = " FOR UPDATE OF j" if dialect == "postgres" else ""
    return (
        "SELECT j.asyncoperationid, j.createdon, t.data FROM asyncoperation j JOIN asyncoperationtext t "
        "ON t.asyncoperationsequence = j.sequence WHERE j.sequence = :sequence AND j.datablobid IS NULL "
        f"AND octet_length(t.data) > :size{lock}"
    )


@cache
def moved(dialect: Dialect) -> tuple[str, str]:
    """Its data now lies in a file."""
    return (
        f"UPDATE asyncoperation SET datablobid = {_uuid(':file', dialect)}, datablobid_name = 'data.json' "
        "WHERE sequence = :sequence",
        "UPDATE asyncoperationtext SET data = NULL WHERE asyncoperationsequence = :sequence",
    )


@cache
def last_sequence(dialect: Dialect) -> str:
    """How far sequences go in the tables of a job's texts and history."""
    return (
        "SELECT max(n) FROM (SELECT max(asyncoperationsequence) AS n FROM asyncoperationtext "
        "UNION ALL SELECT max(jobsequence) FROM jobhistory) s"
    )


@cache
def forget_tokens(dialect: Dialect) -> str:
    """PostgreSQL: mutex rows of tokens that no job bears any more; whoever holds one keeps it."""
    if dialect == "sqlite":
        return ""
    return (
        "DELETE FROM token WHERE token IN (SELECT t.token FROM token t WHERE NOT EXISTS (SELECT 1 FROM asyncoperation j "
        "WHERE j.serialkey = t.token AND j.statecode < 3) LIMIT :limit FOR UPDATE SKIP LOCKED)"
    )


def _of_sequence(name: str, table: str, key: str, dialect: Dialect) -> Kind:
    without = f"NOT EXISTS (SELECT 1 FROM asyncoperation j WHERE j.sequence = o.{key})"
    return Kind(
        name,
        f"SELECT DISTINCT o.{key} FROM {table} o WHERE o.{key} > :after AND o.{key} <= :until AND {without} "
        f"ORDER BY o.{key} LIMIT :limit",
        f"DELETE FROM {table} AS o WHERE o.{key} {_among('bigint', dialect)} AND {without}",
        by_sequence=True,
    )


def _of_job(table: str, key: str, dialect: Dialect) -> Kind:
    without = (
        "o.asyncoperationid IS NOT NULL AND NOT EXISTS "
        "(SELECT 1 FROM asyncoperation j WHERE j.asyncoperationid = o.asyncoperationid)"
    )
    return Kind(
        f"{table} without its job",
        f"SELECT o.{key} FROM {table} o WHERE o.{key} > {_uuid(':after', dialect)} AND {without} ORDER BY o.{key} LIMIT :limit",
        f"DELETE FROM {table} AS o WHERE o.{key} {_among('uuid', dialect)} AND {without}",
    )


def _attachments(dialect: Dialect) -> Kind:
    without = (
        "o.objectidtypecode = 'asyncoperation' AND NOT EXISTS (SELECT 1 FROM asyncoperation j WHERE "
        "j.asyncoperationid = o.objectid AND j.datablobid = o.fileattachmentid)"
    )
    return Kind(
        "fileattachment that no job names",
        f"SELECT o.fileattachmentid FROM fileattachment o WHERE o.fileattachmentid > {_uuid(':after', dialect)} AND {without} "
        "ORDER BY o.fileattachmentid LIMIT :limit",
        f"DELETE FROM fileattachment AS o WHERE o.fileattachmentid {_among('uuid', dialect)} AND {without}",
    )


def _data(dialect: Dialect) -> Kind:
    without = (
        "o.datablobid IS NOT NULL AND NOT o.imported AND NOT EXISTS (SELECT 1 FROM fileattachment f WHERE "
        "f.fileattachmentid = o.datablobid)"
    )
    return Kind(
        "job that names a file which does not exist",
        f"SELECT o.asyncoperationid FROM asyncoperation o WHERE o.asyncoperationid > {_uuid(':after', dialect)} AND {without} "
        "ORDER BY o.asyncoperationid LIMIT :limit",
        "UPDATE asyncoperation AS o SET datablobid = NULL, datablobid_name = NULL "
        f"WHERE o.asyncoperationid {_among('uuid', dialect)} AND {without}",
    )


def _uuid(parameter: str, dialect: Dialect) -> str:
    return f"{parameter}::uuid" if dialect == "postgres" else parameter


def _among(kind: str, dialect: Dialect) -> str:
    return f"= ANY(:keys::{kind}[])" if dialect == "postgres" else "IN (SELECT value FROM json_each(:keys))"
