"""A script in an executor process of its own: see `handlers`."""

from __future__ import annotations

from tests.simulation import handlers

import adjourn
from adjourn import Client, Job
from adjourn.jobs.model import Outcome


@adjourn.message(isolated=True)
def isolated_work(mark: str, pad: str, acts: list[str], ends: str, org: Client, job: Job) -> Outcome:
    """A script whose process can be ended without harm to others."""
    return handlers._play(acts, ends, org, job, atomic=False)
