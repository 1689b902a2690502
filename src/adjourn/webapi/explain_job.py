"""`GET ExplainSystemJob(AsyncJobId=…)`: why a job waits, how far it is, and what happened to it. adjourn's own function.

No column of `asyncoperation` says these things, and Dataverse has no function for them. Whoever may read the job may ask.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adjourn.jobs import explain, schedules
from adjourn.metadata import values
from adjourn.metadata.model import Reference
from adjourn.metadata.values import moment_text, moment_wire
from adjourn.pipeline.call import Request
from adjourn.service import Service
from adjourn.webapi.exchange import Exchange

NAME = "ExplainSystemJob"
_PARAMETER = "AsyncJobId"
MOMENTS = 5
"""So many of a schedule's next moments are told."""


def answer(exchange: Exchange, service: Service, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Answer the function. Raises NotFound or PrivilegeDenied for a job that the caller cannot see."""
    job = values.guid(arguments.get(_PARAMETER), _PARAMETER)
    target = {"Target": Reference("asyncoperation", job), "ColumnSet": ["asyncoperationid"]}
    service.execute(Request("Retrieve", target), exchange.call)
    with service.store.read() as reader:
        why = explain.why(reader, job, service.store)
        progress = explain.progress(reader, job)
        story = explain.story(reader, job)
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
                "Detail": told.detail,
            }
            for told in story
        ],
    }


FUNCTION = ((_PARAMETER,), answer)
"""Its parameters, and what answers it."""
