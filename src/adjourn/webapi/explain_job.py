"""`GET ExplainSystemJob(AsyncJobId=…)`: why a job waits, how far it is, and what happened to it. adjourn's own function.

No column of `asyncoperation` says these things, and Dataverse has no function for them. Whoever may read the job may ask; other
jobs that it mentions are named to those who may read them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from adjourn.jobs import explain, schedules
from adjourn.jobs.history import Event
from adjourn.metadata import values
from adjourn.metadata.model import Reference
from adjourn.metadata.values import moment_text, moment_wire
from adjourn.pipeline import access, system_jobs
from adjourn.pipeline.call import Request
from adjourn.service import Service
from adjourn.webapi.exchange import Exchange

NAME = "ExplainSystemJob"
_PARAMETER = "AsyncJobId"
_JOB = re.compile(r"\bjob ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
"""How a history names another job."""
MOMENTS = 5
"""So many of a schedule's next moments are told."""


def answer(exchange: Exchange, service: Service, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Answer the function. Raises NotFound or PrivilegeDenied for a job that the caller cannot see."""
    job = values.guid(arguments.get(_PARAMETER), _PARAMETER)
    jobs = service.catalog.table("asyncoperation")
    target = {"Target": Reference("asyncoperation", job), "ColumnSet": ["asyncoperationid"]}
    service.execute(Request("Retrieve", target), exchange.call)
    with service.store.read() as reader:

        def may_see(other: UUID) -> bool:
            return access.reaches(reader, service.catalog, exchange.call.caller, "Read", jobs, other)

        def named(found: re.Match[str]) -> str:
            return found[0] if may_see(UUID(found[1])) else "an earlier job"

        sees_all = system_jobs.are_all_read_by(exchange.call.caller)
        why = explain.why(reader, job, service.store, may_see, sees_all=sees_all)
        progress = explain.progress(reader, job)
        story = [
            (told, _JOB.sub(named, told.detail) if told.event is Event.TURN and told.detail else told.detail)
            for told in explain.story(reader, job)
        ]
        recurs = schedules.in_words(reader, job)
        moments = schedules.upcoming(reader, job, MOMENTS) if recurs is not None else []
    return {
        "Why": why,
        "Recurrence": recurs,
        "NextMoments": [moment_wire(moment_text(moment)) for moment in moments],
        "ProgressText": progress.text,
        "ProgressPercent": progress.percent,
        "History": [
            {
                "On": moment_wire(moment_text(told.on)),
                "Event": told.event,
                "FromStatus": int(told.was),
                "ToStatus": int(told.became),
                "By": str(told.by),
                "ByName": told.by_name,
                "Detail": detail,
            }
            for told, detail in story
        ],
    }


FUNCTION = ((_PARAMETER,), answer)
"""Its parameters, and what answers it."""
