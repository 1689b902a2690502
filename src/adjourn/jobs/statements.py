"""The queue's statements: one for each verb, hand-written, states as literals so that the partial indexes match.

Both databases run the same text; `Statements` holds the few differences. Parameters are the store's raw values.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from adjourn.store.contract import Dialect

_COLUMNS = (
    "asyncoperationid", "operationtype", "name", "messagename", "ownerid", "owneridtype", "owninguser", "owningteam",
    "owningbusinessunit", "createdby", "createdonbehalfby", "createdon", "modifiedby", "modifiedon", "correlationid",
    "correlationupdatedtime", "depth", "utcconversiontimezonecode", "regardingobjectid", "regardingobjecttypecode",
    "primaryentitytype", "owningextensionid", "owningextensiontypecode", "dependencytoken", "serialkey", "requestid",
    "parentpluginexecutionid", "recurrencepattern", "recurrencestarttime", "scheduleid", "datablobid",
    "datablobid_name", "postponeuntil", "retrycount",
)  # fmt: skip
_UUIDS = frozenset(
    ("asyncoperationid", "ownerid", "owninguser", "owningteam", "owningbusinessunit", "createdby", "createdonbehalfby",
     "modifiedby", "correlationid", "regardingobjectid", "owningextensionid", "requestid", "parentpluginexecutionid",
     "scheduleid", "datablobid")
)  # fmt: skip
HISTORY_COLUMNS = (
    *_COLUMNS, "statecode", "statuscode", "startedon", "completedon", "executiontimespan", "errorcode",
    "friendlymessage", "workflowstagename", "iswaitingforevent", "retainjobhistory", "waitreason",
    "imported", "hostid", "lease",
)  # fmt: skip

OPEN_RUN = "EXISTS (SELECT 1 FROM asyncoperation r WHERE r.scheduleid = s.asyncoperationid AND r.statecode < 3 LIMIT 1 OFFSET 0)"
"""Whether a run of the schedule `s` has not ended. OFFSET keeps PostgreSQL from reading all open jobs instead of one."""


def length_of(job: str) -> str:
    """How many bytes of data a job has, wherever they lie. job: what its row is called."""
    return (
        f"coalesce((SELECT octet_length(t.data) FROM asyncoperationtext t WHERE t.asyncoperationsequence = {job}.sequence), "
        f"(SELECT f.filesizeinbytes FROM fileattachment f WHERE f.fileattachmentid = {job}.datablobid), 0)"
    )


@dataclass(frozen=True, slots=True)
class Statements:
    """All of them, for one dialect."""

    insert: str
    insert_serial: str
    insert_text: str
    insert_file: str
    insert_history: str
    lock_tokens: str
    standing: str
    settle: str
    settle_succeeded: str
    settle_text: str
    promote: str
    promote_due: str
    promote_at: str
    crowd: str
    reached: str
    wait_until: str
    idle_at_most: str
    next_due: str
    interrupts: str
    held: str
    workers: str
    act: str
    ended: str
    keys: str
    files_of: str
    delete_pieces: str
    delete: tuple[str, ...]
    checkpoint: str
    holds: str
    fence: str
    require: str
    require_locked: str
    why: str
    name_of: str
    sequence_of: str
    ahead: str
    blocker: str
    per_class: str
    fold: str
    wrong_counts: str
    headless: str
    lost_files: str


def later(dialect: Dialect) -> str:
    """The next modifiedon of a job's row: now, but never before the present one.

    Who waited for a row's lock took his moment before the other: a version must not come back, nor time run backwards.
    """
    if dialect == "postgres":
        return "CASE WHEN modifiedon > :now::timestamptz THEN modifiedon + interval '1 microsecond' ELSE :now::timestamptz END"
    return ":now"


@cache
def statements(dialect: Dialect) -> Statements:
    """The statements of a dialect."""
    postgres = dialect == "postgres"

    def uuid(parameter: str) -> str:
        return f"{parameter}::uuid" if postgres else parameter

    def among(parameter: str, kind: str) -> str:
        return f"= ANY({parameter}::{kind}[])" if postgres else f"IN (SELECT value FROM json_each({parameter}))"

    def typed(name: str) -> str:
        return uuid(f":{name}") if name in _UUIDS else f":{name}"

    names = ", ".join(_COLUMNS)
    values = ", ".join(typed(name) for name in _COLUMNS)
    moment = "::timestamptz" if postgres else ""
    text = "::text" if postgres else ""
    greatest = "statecode, statuscode, waitreason, blocked"
    # A job with a serial key is blocked while an earlier one of the key is open; rows of one batch see each other.
    blocked = f"EXISTS (SELECT 1 FROM asyncoperation o WHERE o.serialkey = :serialkey{text} AND o.statecode < 3)"
    serial_values = (
        f"CASE WHEN b.blocked OR :waits THEN 1 ELSE 0 END, CASE WHEN b.blocked OR :waits THEN 10 ELSE 0 END, "
        f"CASE WHEN b.blocked THEN 'token' ELSE :waitreason{text} END, b.blocked"
    )
    history = ", ".join(HISTORY_COLUMNS)
    history_values = ", ".join(f":{name}" for name in HISTORY_COLUMNS)
    # PostgreSQL takes a whole batch as one statement: a statement each would also mean a trigger and an addend each.
    plain = f"{names}, statecode, statuscode, waitreason"
    from_rows = "FROM json_populate_recordset(NULL::asyncoperation, :rows::json)"
    require = (
        "SELECT statuscode, modifiedon, sequence, serialkey, blocked, postponeuntil, waitreason, operationtype, "
        "recurrencepattern FROM asyncoperation "
        f"WHERE asyncoperationid = {uuid(':id')}"
    )
    holds = f"SELECT statuscode FROM asyncoperation WHERE asyncoperationid = {uuid(':id')} AND lease = :lease AND +statecode = 2"
    # Rows are locked in the order of their sequence, whoever locks them, so that batches do not deadlock.
    lock = " FOR UPDATE" if postgres else ""
    version = later(dialect)
    skip = " FOR UPDATE SKIP LOCKED" if postgres else ""
    due = "statecode = 1 AND postponeuntil IS NOT NULL AND NOT blocked AND recurrencepattern IS NULL"

    def promoted(whose: str) -> str:
        return (
            "UPDATE asyncoperation SET statecode = 0, statuscode = 0, waitreason = NULL, waitdetail = NULL, postponeuntil = NULL, "
            f"modifiedon = {version}, modifiedby = {uuid(':by')} WHERE asyncoperationid IN (SELECT asyncoperationid FROM asyncoperation "
            f"WHERE {due} AND {whose} ORDER BY postponeuntil, sequence LIMIT :limit{skip}) RETURNING sequence"
        )

    succeeded = (
        "unnest(:sequences::bigint[], :leases::text[], :seconds::float8[], :messages::text[]) v(sequence, lease, seconds, message)"
        if postgres
        else "(SELECT value ->> 0 AS sequence, value ->> 1 AS lease, value ->> 2 AS seconds, value ->> 3 AS message "
        "FROM json_each(:rows)) v"
    )
    files_of = (
        "SELECT fileattachmentid FROM fileattachment WHERE objectidtypecode = 'asyncoperation' "
        f"AND objectid {among(':ids', 'uuid')}"
    )
    return Statements(
        # create a job without a serial key
        insert=(
            f"INSERT INTO asyncoperation ({plain}) SELECT {plain} {from_rows}"
            if postgres
            else f"INSERT INTO asyncoperation ({plain}) VALUES ({values}, :statecode, :statuscode, :waitreason)"
        ),
        # create a job of a serial key: behind the key's open jobs, if there are any
        insert_serial=(
            f"INSERT INTO asyncoperation ({names}, {greatest}) "
            f"SELECT {_cast_all(values) if postgres else values}, {serial_values} FROM (SELECT {blocked} AS blocked) b"
        ),
        # its long text
        insert_text=(
            "INSERT INTO asyncoperationtext (asyncoperationsequence, data, message) VALUES "
            f"((SELECT sequence FROM asyncoperation WHERE asyncoperationid = {uuid(':id')}), :data, :message)"
        ),
        # its file
        insert_file=(
            "INSERT INTO fileattachment (fileattachmentid, filename, mimetype, objectid, objectidtypecode, regardingfieldname, "
            "createdon, filesizeinbytes, iscommitted, versionnumber) VALUES "
            f"({uuid(':file')}, 'data.json', 'application/json', {uuid(':id')}, 'asyncoperation', 'data', :createdon, :size, "
            "true, :version)"
        ),
        # a row of history: in any state, marked as imported
        insert_history=(
            f"INSERT INTO asyncoperation ({history}) SELECT {history} {from_rows}"
            if postgres
            else f"INSERT INTO asyncoperation ({history}) VALUES ({history_values})"
        ),
        # PostgreSQL: the mutex of serial keys, sorted so that nobody deadlocks; WHERE false locks without a new version
        lock_tokens=(
            "INSERT INTO token SELECT DISTINCT t FROM unnest(:tokens::text[]) t ORDER BY t "
            "ON CONFLICT (token) DO UPDATE SET token = excluded.token WHERE false"
            if postgres
            else ""
        ),
        # how claimed jobs stand when their worker comes back; a lease that is gone finds nothing. Here and below the plus keeps
        # both databases from reading all Locked jobs instead of these few: the smallest index, but on PostgreSQL full of
        # what was Locked once, until a vacuum that comes late on a large table
        standing=(
            "SELECT sequence, lease, statuscode, postponeuntil, cursor FROM asyncoperation "
            f"WHERE +statecode = 2 AND sequence {among(':sequences', 'bigint')} ORDER BY sequence{lock}"
        ),
        # settle one run, fenced by its lease
        settle=(
            "UPDATE asyncoperation SET statecode = :statecode, statuscode = :statuscode, completedon = :completedon, "
            "postponeuntil = :postponeuntil, waitreason = :waitreason, waitdetail = :waitdetail, retrycount = :retrycount, "
            "crashes = :crashes, cursor = :cursor, errorcode = :errorcode, friendlymessage = :friendlymessage, "
            f"executiontimespan = :seconds, modifiedon = {version}, modifiedby = {uuid(':by')}, worker = NULL, lease = NULL "
            "WHERE sequence = :sequence AND lease = :lease AND +statecode = 2"
        ),
        # settle many runs that succeeded, in one statement: most of all settles
        settle_succeeded=(
            "UPDATE asyncoperation SET statecode = 3, statuscode = 30, completedon = :now, postponeuntil = NULL, waitreason = NULL, "
            "waitdetail = NULL, cursor = NULL, errorcode = NULL, friendlymessage = v.message, executiontimespan = v.seconds, "
            f"modifiedon = {version}, modifiedby = {uuid(':by')}, worker = NULL, lease = NULL FROM {succeeded} "
            "WHERE asyncoperation.sequence = v.sequence AND asyncoperation.lease = v.lease AND +asyncoperation.statecode = 2"
        ),
        # the long message of a failure
        settle_text=(
            "INSERT INTO asyncoperationtext (asyncoperationsequence, message) VALUES (:sequence, :message) "
            "ON CONFLICT (asyncoperationsequence) DO UPDATE SET message = excluded.message"
        ),
        # the next job of a serial key whose head has just left
        promote=(
            "UPDATE asyncoperation SET blocked = false, "
            f"statecode = CASE WHEN postponeuntil > :now{moment} OR waitreason IN ('paused', 'event') THEN 1 ELSE 0 END, "
            f"statuscode = CASE WHEN postponeuntil > :now{moment} OR waitreason IN ('paused', 'event') THEN 10 ELSE 0 END, "
            f"waitreason = CASE WHEN waitreason IN ('paused', 'event') THEN waitreason WHEN postponeuntil > :now{moment} "
            "THEN 'postponed' END, "
            f"postponeuntil = CASE WHEN postponeuntil > :now{moment} OR waitreason IN ('paused', 'event') THEN postponeuntil END, "
            f"modifiedon = {version}, modifiedby = {uuid(':by')} "
            "WHERE blocked AND asyncoperationid = (SELECT n.asyncoperationid FROM asyncoperation n WHERE n.serialkey = :key "
            "AND n.sequence > :sequence AND n.statecode < 3 ORDER BY n.sequence LIMIT 1) RETURNING sequence, statuscode"
        ),
        # postponed jobs whose moment has come
        promote_due=promoted(f"postponeuntil <= :moment{moment}"),
        # PostgreSQL: those of one moment, which has not come yet
        promote_at=promoted("postponeuntil = :now::timestamptz") if postgres else "",
        # PostgreSQL: the first moment before long at which many jobs become due at once, and how many
        crowd=(
            f"SELECT postponeuntil, count(*) FROM (SELECT postponeuntil FROM asyncoperation WHERE {due} "
            "AND postponeuntil > :now::timestamptz AND postponeuntil <= :until::timestamptz ORDER BY postponeuntil LIMIT :limit) d "
            "GROUP BY postponeuntil HAVING count(*) >= :many ORDER BY postponeuntil LIMIT 1"
            if postgres
            else ""
        ),
        # PostgreSQL: whether its own clock has reached a moment
        reached="SELECT clock_timestamp() >= :moment::timestamptz" if postgres else "",
        # PostgreSQL: let it reach the moment; whether it has
        wait_until=(
            "SELECT clock_timestamp() >= :moment::timestamptz FROM "
            "pg_sleep(greatest(0, extract(epoch FROM :moment::timestamptz - clock_timestamp())))"
            if postgres
            else ""
        ),
        # PostgreSQL: it ends this unit when nothing comes from its process for so long
        idle_at_most=(
            "SELECT set_config('idle_in_transaction_session_timeout', :milliseconds, true)" if postgres else ""
        ),
        # when the next one is due, or the next schedule whose last run has ended
        next_due=(
            f"SELECT min(due) FROM (SELECT min(postponeuntil) AS due FROM asyncoperation WHERE {due} UNION ALL "
            "SELECT min(s.postponeuntil) FROM asyncoperation s WHERE s.statecode = 1 AND s.recurrencepattern IS NOT NULL "
            f"AND s.postponeuntil IS NOT NULL AND NOT {OPEN_RUN}) d"
        ),
        # a worker's jobs that somebody asked to pause or to stop
        interrupts=(
            "SELECT asyncoperationid, lease, statuscode FROM asyncoperation WHERE statecode = 2 AND worker = :worker "
            "AND statuscode IN (21, 22)"
        ),
        # everything that workers hold, to give it back; not locked, for their serial keys must be before they are
        held=(
            "SELECT asyncoperationid, sequence, lease, statuscode, postponeuntil, retrycount, crashes, cursor, serialkey "
            f"FROM asyncoperation WHERE statecode = 2 AND worker {among(':workers', 'text')} ORDER BY sequence"
        ),
        # who holds jobs at all
        workers="SELECT DISTINCT worker FROM asyncoperation WHERE statecode = 2",
        # a person's action: compare and set on the status that was decided upon
        act=(
            "UPDATE asyncoperation SET statecode = :statecode, statuscode = :statuscode, postponeuntil = :postponeuntil, "
            "waitreason = :waitreason, waitdetail = NULL, completedon = :completedon, errorcode = :errorcode, "
            # what its last run said of how it stood is true no more
            f"friendlymessage = NULL, modifiedon = {version}, modifiedby = {uuid(':by')} "
            f"WHERE asyncoperationid = {uuid(':id')} AND statuscode = :was"
        ),
        # of jobs about to end or go: their serial keys and whether they are heads
        ended=(
            "SELECT asyncoperationid, sequence, serialkey, blocked, statecode FROM asyncoperation "
            f"WHERE asyncoperationid {among(':ids', 'uuid')} ORDER BY sequence{lock}"
        ),
        # their serial keys alone, to lock before the rows are
        keys=(
            f"SELECT DISTINCT serialkey FROM asyncoperation WHERE asyncoperationid {among(':ids', 'uuid')} "
            "AND serialkey IS NOT NULL"
        ),
        # of jobs about to go: their files
        files_of=f"{files_of} UNION ALL SELECT pieceid FROM filepiece WHERE fileid IN ({files_of})",
        # of files in pieces: which pieces they have
        delete_pieces=f"DELETE FROM filepiece WHERE fileid IN ({files_of})",
        # deletion: what hangs on a job, then the job
        delete=(
            f"DELETE FROM jobhistory WHERE jobsequence IN (SELECT sequence FROM asyncoperation "
            f"WHERE asyncoperationid {among(':ids', 'uuid')})",
            f"DELETE FROM asyncoperationtext WHERE asyncoperationsequence IN (SELECT sequence FROM asyncoperation "
            f"WHERE asyncoperationid {among(':ids', 'uuid')})",
            f"DELETE FROM fileattachment WHERE objectidtypecode = 'asyncoperation' AND objectid {among(':ids', 'uuid')}",
            f"DELETE FROM bulkdeletefailure WHERE asyncoperationid {among(':ids', 'uuid')}",
            f"DELETE FROM bulkdeleteoperation WHERE asyncoperationid {among(':ids', 'uuid')}",
            f"DELETE FROM activitypointer WHERE regardingobjecttypecode = 'asyncoperation' AND regardingobjectid {among(':ids', 'uuid')}",
            f"DELETE FROM email WHERE regardingobjecttypecode = 'asyncoperation' AND regardingobjectid {among(':ids', 'uuid')}",
            f"DELETE FROM duplicaterecord WHERE asyncoperationid {among(':ids', 'uuid')}",
            f"DELETE FROM workflowlog WHERE asyncoperationid {among(':ids', 'uuid')}",
            f"DELETE FROM asyncoperation WHERE asyncoperationid {among(':ids', 'uuid')}",
        ),
        # a handler's progress
        checkpoint=(
            "UPDATE asyncoperation SET cursor = coalesce(:cursor, cursor), progresstext = coalesce(:text, progresstext), "
            "progresspercent = coalesce(:percent, progresspercent) "
            f"WHERE asyncoperationid = {uuid(':id')} AND lease = :lease AND +statecode = 2"
        ),
        # whether a lease still holds
        holds=holds,
        # the same, and it holds until this unit ends
        fence=holds + lock,
        # how a job stands
        require=require,
        # the same, and nobody changes it before this unit has
        require_locked=require + lock,
        # everything that `why` speaks of; the person is who postponed or paused it last, else who made it
        why=(
            "SELECT j.statuscode, j.waitreason, j.waitdetail, j.postponeuntil, j.operationtype, j.sequence, j.serialkey, "
            "j.dependencytoken, j.worker, j.startedon, j.friendlymessage, j.completedon, j.progresstext, j.progresspercent, "
            "j.blocked, j.retrycount, coalesce((SELECT h.actorid FROM jobhistory h WHERE h.jobsequence = j.sequence AND h.event IN "
            "('postpone', 'pause', 'cancel') ORDER BY h.number DESC LIMIT 1), j.createdby) AS person "
            f"FROM asyncoperation j WHERE j.asyncoperationid = {uuid(':id')}"
        ),
        # a person's name
        name_of=f"SELECT fullname FROM systemuser WHERE systemuserid = {uuid(':id')}",
        # a job's sequence, which its history hangs on
        sequence_of=f"SELECT sequence FROM asyncoperation WHERE asyncoperationid = {uuid(':id')}",
        # Ready jobs of a class before a sequence, counted up to a limit
        ahead=(
            f"SELECT count(*) FROM (SELECT 1 FROM asyncoperation WHERE statecode = 0 AND operationtype {among(':types', 'integer')} "
            "AND sequence < :sequence LIMIT :limit) a"
        ),
        # the head that a blocked job waits for
        blocker=(
            "SELECT asyncoperationid, name, statuscode, postponeuntil FROM asyncoperation WHERE serialkey = :key AND statecode < 3 "
            "AND NOT blocked"
        ),
        # running jobs by type
        per_class=(
            "SELECT operationtype, sum(n) FROM jobcount WHERE statecode = :state GROUP BY operationtype HAVING sum(n) <> 0"
        ),
        # PostgreSQL: add up the addends of the counts
        fold=(
            "WITH d AS (DELETE FROM jobcount WHERE ctid = ANY (ARRAY(SELECT ctid FROM jobcount LIMIT 10000 FOR UPDATE SKIP LOCKED)) "
            "RETURNING *) INSERT INTO jobcount SELECT ownerid, owningbusinessunit, statecode, statuscode, operationtype, datablobid, "
            "sum(n) FROM d GROUP BY 1, 2, 3, 4, 5, 6 HAVING sum(n) <> 0"
            if postgres
            else ""
        ),
        # doctor: counts that are not true
        wrong_counts=(
            "SELECT statecode, statuscode, operationtype, sum(n) FROM (SELECT statecode, statuscode, operationtype, n FROM jobcount "
            "UNION ALL SELECT statecode, statuscode, operationtype, -1 FROM asyncoperation) d "
            "GROUP BY statecode, statuscode, operationtype HAVING sum(n) <> 0"
        ),
        # doctor: serial keys with open jobs and no head
        headless=(
            "SELECT serialkey, count(*) FROM asyncoperation WHERE serialkey IS NOT NULL AND statecode < 3 GROUP BY serialkey "
            "HAVING sum(CASE WHEN NOT blocked THEN 1 ELSE 0 END) <> 1"
        ),
        # doctor: jobs whose file has no attachment row, or the reverse
        lost_files=(
            "SELECT asyncoperationid, datablobid FROM asyncoperation WHERE datablobid IS NOT NULL AND NOT imported AND NOT EXISTS "
            "(SELECT 1 FROM fileattachment f WHERE f.fileattachmentid = asyncoperation.datablobid)"
        ),
    )


def _cast_all(values: str) -> str:
    """PostgreSQL: in a SELECT list it cannot infer a parameter's type from the column that it goes to."""
    kinds = {
        "operationtype": "integer", "depth": "integer", "retrycount": "integer", "utcconversiontimezonecode": "integer",
        "createdon": "timestamptz",
        "modifiedon": "timestamptz", "correlationupdatedtime": "timestamptz", "recurrencestarttime": "timestamptz",
        "postponeuntil": "timestamptz",
    }  # fmt: skip
    parts = []
    for value in values.split(", "):
        name = value.removeprefix(":").partition("::")[0]
        parts.append(value if "::" in value else f"{value}::{kinds.get(name, 'text')}")
    return ", ".join(parts)
