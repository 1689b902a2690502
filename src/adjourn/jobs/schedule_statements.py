"""The statements of schedules, beside those of the queue (`jobs.statements`): states as literals, for the partial indexes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from adjourn.jobs.statements import OPEN_RUN, length_of
from adjourn.store.contract import Dialect

_COLUMNS = (
    "s.sequence, s.asyncoperationid, s.operationtype, s.name, s.messagename, s.ownerid, s.owneridtype, s.owningbusinessunit, "
    "s.createdby, s.createdonbehalfby, s.correlationid, s.correlationupdatedtime, s.depth, s.utcconversiontimezonecode, "
    "s.regardingobjectid, s.regardingobjecttypecode, s.primaryentitytype, s.dependencytoken, s.recurrencepattern, "
    "s.recurrencestarttime, s.createdon, s.datablobid, t.data, EXISTS (SELECT 1 FROM systemuser u WHERE u.systemuserid = "
    "CASE WHEN s.owneridtype = 'team' THEN s.createdby ELSE s.ownerid END)"
)


@dataclass(frozen=True, slots=True)
class ScheduleStatements:
    """All of them, for one dialect."""

    due: str
    due_one: str
    take: str
    move: str
    end: str
    require_locked: str
    change: str
    standing: str
    open_run: str
    of_run: str


@cache
def statements(dialect: Dialect) -> ScheduleStatements:
    """The statements of a dialect."""
    postgres = dialect == "postgres"

    def uuid(parameter: str) -> str:
        return f"{parameter}::uuid" if postgres else parameter

    moment = "::timestamptz" if postgres else ""
    ids = "= ANY(:ids::uuid[])" if postgres else "IN (SELECT value FROM json_each(:ids))"
    lock = " FOR UPDATE" if postgres else ""
    take = " FOR UPDATE OF s SKIP LOCKED" if postgres else ""
    # Runs of a schedule never overlap: one that is open holds up the next (and `job_one_run` says so, too).
    is_due = (
        "s.statecode = 1 AND s.recurrencepattern IS NOT NULL AND s.postponeuntil IS NOT NULL "
        f"AND s.postponeuntil <= :moment{moment} AND NOT {OPEN_RUN}"
    )
    moved = (
        "unnest(:sequences::bigint[], :moments::timestamptz[]) v(sequence, due)"
        if postgres
        else "(SELECT value ->> 0 AS sequence, value ->> 1 AS due FROM json_each(:rows)) v"
    )
    changed = f"modifiedon = :now, modifiedby = {uuid(':by')}"
    return ScheduleStatements(
        # schedules whose moment has come and whose last run has ended; with their tokens, to lock before the rows are, and how
        # much data each has
        due=(
            f"SELECT s.asyncoperationid, s.dependencytoken, {length_of('s')} FROM asyncoperation s WHERE {is_due} "
            "ORDER BY s.postponeuntil, s.sequence LIMIT :limit"
        ),
        # the same of one job
        due_one=(
            f"SELECT s.asyncoperationid, s.dependencytoken, {length_of('s')} FROM asyncoperation s "
            f"WHERE s.asyncoperationid = {uuid(':id')} AND {is_due}"
        ),
        # those of them that nobody else is at, to make their runs
        take=(
            f"SELECT {_COLUMNS} FROM asyncoperation s LEFT JOIN asyncoperationtext t ON t.asyncoperationsequence = s.sequence "
            f"WHERE s.asyncoperationid {ids} AND {is_due} ORDER BY s.postponeuntil, s.sequence{take}"
        ),
        # on to the next moment
        move=(
            f"UPDATE asyncoperation SET postponeuntil = v.due, waitreason = 'schedule', {changed} FROM {moved} "
            "WHERE asyncoperation.sequence = v.sequence AND asyncoperation.statecode = 1"
        ),
        # a recurrence has ended, or can go on no more
        end=(
            "UPDATE asyncoperation SET statecode = 3, statuscode = :status, completedon = :now, postponeuntil = NULL, "
            f"waitreason = NULL, errorcode = :code, friendlymessage = :message, {changed} WHERE sequence = :sequence AND statecode = 1"
        ),
        # a job whose pattern is to be changed, and nobody changes it before this unit has
        require_locked=(
            "SELECT sequence, statuscode, recurrencepattern, recurrencestarttime, createdon FROM asyncoperation "
            f"WHERE asyncoperationid = {uuid(':id')}{lock}"
        ),
        # a new pattern, and when the next run is due by it
        change=(
            f"UPDATE asyncoperation SET recurrencepattern = :pattern, postponeuntil = :due, waitreason = 'schedule', {changed} "
            "WHERE sequence = :sequence AND statecode = 1"
        ),
        # how a schedule stands
        standing=(
            "SELECT recurrencepattern, recurrencestarttime, createdon, postponeuntil, statuscode, scheduleid, dependencytoken "
            "FROM asyncoperation "
            f"WHERE asyncoperationid = {uuid(':id')}"
        ),
        # a schedule's open run
        open_run=(
            "SELECT asyncoperationid, statuscode FROM asyncoperation "
            f"WHERE scheduleid = {uuid(':id')} AND statecode < 3"
        ),
        # the schedule that made a run, where it is still there
        of_run=(
            "SELECT s.asyncoperationid, s.name FROM asyncoperation r JOIN asyncoperation s ON s.asyncoperationid = r.scheduleid "
            f"WHERE r.asyncoperationid = {uuid(':id')}"
        ),
    )
