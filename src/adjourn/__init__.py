"""adjourn: the asynchronous service of Microsoft Dataverse, open and self-hosted.

    import adjourn

    @adjourn.message
    def greet(name: str) -> str:
        return f"Hello, {name}!"

    with adjourn.Organization("sqlite:///jobs.db") as org:
        job = org.enqueue(greet.request(name="Ada"))
        org.drain()
        print(org.retrieve("asyncoperation", job)["statuscode"])
"""

from adjourn.client import Client
from adjourn.errors import (
    AdjournError,
    Busy,
    ConcurrencyMismatch,
    Duplicate,
    InvalidRequest,
    InvalidStateChange,
    NotFound,
    NotSupported,
    PrivilegeDenied,
    QueryError,
    StepFailed,
)
from adjourn.jobs.model import Canceled, Continue, Postpone, Retry, Succeeded
from adjourn.metadata.model import Reference
from adjourn.organization import Organization
from adjourn.pipeline.call import Request
from adjourn.pipeline.context import Context
from adjourn.pipeline.declare import message, step
from adjourn.pipeline.handlers import Job
from adjourn.pipeline.record import Record

__all__ = [
    "AdjournError",
    "Busy",
    "Canceled",
    "Client",
    "ConcurrencyMismatch",
    "Context",
    "Continue",
    "Duplicate",
    "InvalidRequest",
    "InvalidStateChange",
    "Job",
    "NotFound",
    "NotSupported",
    "Organization",
    "Postpone",
    "PrivilegeDenied",
    "QueryError",
    "Record",
    "Reference",
    "Request",
    "Retry",
    "StepFailed",
    "Succeeded",
    "message",
    "step",
]
