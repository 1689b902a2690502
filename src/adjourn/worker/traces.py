"""The trace log of a job's run, made from what its executor said and how it ended."""

from __future__ import annotations

from datetime import timedelta

from adjourn import runtime
from adjourn.jobs.model import ClaimedJob, Failed, Outcome
from adjourn.operations.task import Task
from adjourn.pipeline.context import ASYNCHRONOUS
from adjourn.pipeline.tracing import OFF, TraceLog


def of_run(
    job: ClaimedJob, task: Task, outcome: Outcome, *, seconds: float, text: str, setting: int
) -> TraceLog | None:
    """What goes into plugintracelog, if the organization's setting wants it. text: the handler's lines."""
    if setting == OFF or task.function is None:
        return None
    made = TraceLog(
        type_name=task.function.function,
        message=job.message_name,
        table=job.primary_entity_type,
        mode=ASYNCHRONOUS,
        depth=job.depth,
        correlation_id=job.correlation_id,
        request_id=None,
        step_id=job.owning_extension,
        user_id=task.user_id,
        started=runtime.now() - timedelta(seconds=seconds),
        seconds=seconds,
        text=text,
        raised=outcome.details if isinstance(outcome, Failed) else None,
    )
    return made if made.wanted(setting) else None
