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

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
    from adjourn.pipeline.tracing import trace

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
    "trace",
]

_HOMES = {
    "adjourn.client": ("Client",),
    "adjourn.errors": (
        "AdjournError",
        "Busy",
        "ConcurrencyMismatch",
        "Duplicate",
        "InvalidRequest",
        "InvalidStateChange",
        "NotFound",
        "NotSupported",
        "PrivilegeDenied",
        "QueryError",
        "StepFailed",
    ),
    "adjourn.jobs.model": ("Canceled", "Continue", "Postpone", "Retry", "Succeeded"),
    "adjourn.metadata.model": ("Reference",),
    "adjourn.organization": ("Organization",),
    "adjourn.pipeline.call": ("Request",),
    "adjourn.pipeline.context": ("Context",),
    "adjourn.pipeline.declare": ("message", "step"),
    "adjourn.pipeline.handlers": ("Job",),
    "adjourn.pipeline.record": ("Record",),
    "adjourn.pipeline.tracing": ("trace",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    # Loaded when first used: an executor process that runs somebody's function needs no database driver.
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'adjourn' has no attribute '{name}'")
    return getattr(import_module(home), name)
