"""Type 54, Execute Async Request: a message run later. Its data is the arguments as one JSON object."""

from __future__ import annotations

from typing import Any

from adjourn.errors import NotSupported
from adjourn.jobs.model import ClaimedJob
from adjourn.operations.task import Function, Task, data_of
from adjourn.pipeline.call import Call, Request
from adjourn.pipeline.handlers import arguments_of
from adjourn.pipeline.messages import MESSAGES
from adjourn.pipeline.registration import MAIN_MODULE
from adjourn.service import Service


def prepare(job: ClaimedJob, service: Service, inline: bool) -> Task:
    """The message's function with its arguments; or, for a platform message, the message itself through the pipeline."""
    # A team does nothing itself: who made the job for it does.
    user = job.owner.id if job.owner.table == "systemuser" else job.created_by
    text = data_of(job, service)
    if job.message_name in MESSAGES:
        parameters = arguments_of(text)

        def own(call: Call) -> Any:
            return service.execute(Request(job.message_name, parameters), call)

        return Task(user, own=own)
    found = service.registry.known_message(job.message_name)
    if found.module == MAIN_MODULE and not inline:
        raise NotSupported(
            f"Message '{found.name}' is a function of a script (__main__), which no other process can import: run it by "
            "drain(), or put it into a module."
        )
    atomic = found.atomic
    if atomic and service.registry.cached().steps(found.name, None):
        # An atomic job passes the whole pipeline; where steps stand around its function, a checkpoint has no place.
        raise NotSupported(
            f"Message '{found.name}' is atomic and has steps registered on it: it can be executed, but not run as a job."
        )
    return Task(user, Function("message", found.module, found.function, text, found.isolated, atomic))
