"""Type 1, System Event: an asynchronous step of the event pipeline. Its data is the context as it was (semantics §5)."""

from __future__ import annotations

from adjourn.errors import NotFound
from adjourn.jobs.model import ClaimedJob
from adjourn.operations.task import Function, Task, data_of
from adjourn.service import Service


def prepare(job: ClaimedJob, service: Service, inline: bool) -> Task:
    """The step's function with its context, as the user whose rights the step uses. Raises NotFound if the step is gone."""
    step = service.registry.known_step(job.owning_extension) if job.owning_extension else None
    if step is None:
        raise NotFound(f"The step {job.owning_extension} of this job is no longer registered.")
    user = step.impersonating_user_id or job.owner.id
    return Task(user, Function("step", step.module, step.function, data_of(job, service), step.isolated))
