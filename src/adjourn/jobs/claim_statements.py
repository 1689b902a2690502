"""The claim's statements, beside those of the queue (`jobs.statements`): which jobs are taken, and with what of them.

A worker may take jobs ahead of its slots, but has their data in memory: so many jobs, and so much data.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from adjourn.jobs.statements import later, length_of
from adjourn.store.contract import Dialect

_CLAIMED = (
    "j.asyncoperationid, j.sequence, j.operationtype, j.name, j.messagename, j.ownerid, j.owneridtype, j.createdby, "
    "j.createdon, j.correlationid, j.correlationupdatedtime, j.depth, t.data, j.datablobid, j.regardingobjectid, "
    "j.regardingobjecttypecode, j.primaryentitytype, j.owningextensionid, j.retrycount, j.crashes, j.cursor, "
    "(SELECT s.asyncautodelete FROM sdkmessageprocessingstep s WHERE s.sdkmessageprocessingstepid = j.owningextensionid), "
    "j.serialkey, CASE WHEN j.datablobid IS NOT NULL THEN (SELECT f.filesizeinbytes FROM fileattachment f "
    "WHERE f.fileattachmentid = j.datablobid) END"
)


@dataclass(frozen=True, slots=True)
class ClaimStatements:
    """All of them, for one dialect."""

    candidates: str
    lock_candidates: str
    ready_types: str
    claim: str


@cache
def statements(dialect: Dialect) -> ClaimStatements:
    """The statements of a dialect."""
    postgres = dialect == "postgres"
    version = later(dialect)
    skip = " FOR UPDATE SKIP LOCKED" if postgres else ""
    types = "unnest(:types::integer[]) t(type)" if postgres else "(SELECT value AS type FROM json_each(:types)) t"
    # The next Ready jobs of a type, as many as `slots`, and more of them as long as the data of those before is below `bytes`.
    fitting = (
        "SELECT sequence FROM (SELECT c.sequence, row_number() OVER (ORDER BY c.sequence) AS number, "
        "sum(c.length) OVER (ORDER BY c.sequence ROWS UNBOUNDED PRECEDING) - c.length AS before FROM ("
        f"SELECT j.sequence, {length_of('j')} + coalesce(octet_length(j.cursor), 0) AS length FROM asyncoperation j "
        "WHERE j.statecode = 0 AND j.operationtype = :type AND j.sequence > :after "
        f"ORDER BY j.sequence LIMIT :limit{skip}) c) n WHERE n.number <= :slots OR n.before < :bytes"
    )
    return ClaimStatements(
        # the next Ready jobs of a type
        candidates=(
            f"SELECT {_CLAIMED} FROM asyncoperation j LEFT JOIN asyncoperationtext t ON t.asyncoperationsequence = j.sequence "
            f"WHERE j.sequence IN ({fitting}) ORDER BY j.sequence"
        ),
        # PostgreSQL: the same, and claimed, in one statement; an array, because of a join it might make a scan of the table.
        # A job that was committed after this unit took its moment is here, too: it did not start before it became Ready
        lock_candidates=(
            "WITH u AS (UPDATE asyncoperation j SET statecode = 2, statuscode = 20, worker = :worker, lease = :lease, "
            f"startedon = greatest(:now, j.createdon, j.modifiedon), modifiedon = {version}, modifiedby = :by::uuid, "
            f"waitreason = NULL WHERE j.sequence = ANY(ARRAY({fitting})) RETURNING j.*) "
            f"SELECT {_CLAIMED} FROM u j LEFT JOIN asyncoperationtext t ON t.asyncoperationsequence = j.sequence ORDER BY j.sequence"
            if postgres
            else ""
        ),
        # of some types, those of which there are Ready jobs
        ready_types=(
            f"SELECT t.type FROM {types} WHERE EXISTS (SELECT 1 FROM asyncoperation j WHERE j.statecode = 0 AND j.operationtype = t.type)"
        ),
        # SQLite: claim the candidates, which nobody else can have touched meanwhile
        claim=(
            "UPDATE asyncoperation SET statecode = 2, statuscode = 20, worker = :worker, lease = :lease, startedon = :now, "
            "modifiedon = :now, modifiedby = :by, waitreason = NULL "
            "WHERE sequence IN (SELECT value FROM json_each(:sequences)) AND statecode = 0"
        ),
    )
