"""What a job is to run, and as whom."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from adjourn.jobs import job_data
from adjourn.jobs.model import ClaimedJob
from adjourn.pipeline.call import Call
from adjourn.service import Service


@dataclass(frozen=True, slots=True)
class Function:
    """Somebody's function, for an executor. kind: "step" or "message"; text: its context or arguments as JSON."""

    kind: str
    module: str
    function: str
    text: str
    isolated: bool
    atomic: bool = False
    """Its writes and its completion are one transaction."""


@dataclass(frozen=True, slots=True)
class Task:
    """What a job runs: a `function`, or `own` code of ours that gets a call and returns what a handler would."""

    user_id: UUID
    function: Function | None = None
    own: Callable[[Call], Any] | None = None

    def without_text(self) -> Task:
        """For whoever only wants to know what runs: the text may be long."""
        return self if self.function is None else replace(self, function=replace(self.function, text=""))


def data_of(job: ClaimedJob, service: Service) -> str:
    """A job's data, wherever it lies."""
    if job.data is not None:
        return job.data
    if job.data_file is None:
        return ""
    with service.store.read() as reader:
        return job_data.content(reader, job.data_file)
