"""Messages and steps of the proof of crashes. What they write tells which run of which job wrote it."""

from __future__ import annotations

import os
import signal
from contextlib import AbstractContextManager

import adjourn
from adjourn import Client, Context, Job
from adjourn.store import faults

EFFECT = "an effect"
PARTS = 4
STAYS = "stays, "
"""So begins the first name of a contact that cannot be deleted."""
BEHIND = "Behind a contact"
DIE_AT = "ADJOURN_PROOF_DIE_AT"
"""A variable of the environment: a fault point of executors, and the file that says it has been done."""
_listening: list[AbstractContextManager[None]] = []


@adjourn.message
def plain(mark: str) -> str:
    return mark


@adjourn.message
def again(mark: str, job: Job) -> str | adjourn.Retry:
    """Needs two runs."""
    return mark if job.retry_count else adjourn.Retry("once more", delay_seconds=0)


@adjourn.message(atomic=True)
def writes(mark: str, org: Client, job: Job) -> str:
    """Four writes, with a checkpoint after the second one; then one that causes jobs."""
    for part in range(int(job.cursor or 0), PARTS):
        faults.point("in a handler")
        org.create("contact", {"lastname": EFFECT, "description": f"{job.id}/{part}"})
        if part == 1:
            job.checkpoint(str(part + 1), text=f"{part + 1} of {PARTS}")
    org.create("account", {"name": f"caused by {job.id}"})
    faults.point("in a handler")
    return mark


@adjourn.message
def dies_later(mark: str) -> str:
    """Let the executor die at one of its fault points, the first time; for a service whose executors are real ones."""
    point, marker = os.environ[DIE_AT].split("|")

    def listener(name: str) -> None:
        if name == point and not os.path.exists(marker):
            open(marker, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)

    _listening.append(faults.listening(listener))  # kept: it would end with its context
    _listening[-1].__enter__()
    return mark


@adjourn.step(message="Create", table="account", mode="Asynchronous", name="Kept")
def kept(context: Context, org: Client) -> None:
    assert context.primary_entity_id is not None


@adjourn.step(message="Create", table="account", mode="Asynchronous", name="Gone", async_auto_delete=True)
def gone(context: Context) -> None:
    """Its succeeded jobs are removed."""


@adjourn.step(message="Delete", table="contact", stage="PreOperation", pre_images={"was": ["firstname"]})
def refuses(context: Context) -> None:
    if str(context.pre_entity_images["was"].get("firstname")).startswith(STAYS):
        raise ValueError("it stays")


@adjourn.step(message="Delete", table="contact", mode="Asynchronous", name=BEHIND)
def behind(context: Context) -> None:
    """One job for each contact that is gone."""
