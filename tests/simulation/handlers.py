"""What the simulated jobs do: a script that travels with the job, so that the seed decides it.

An act is "sleep SECONDS", "write", "checkpoint", "progress", "look" or "enqueue"; then the run ends as its script says.
A cursor is the number of acts that have been done. Every write says by which run of which job it was made.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Generator
from datetime import timedelta
from functools import partial
from typing import Any

import adjourn
from adjourn import Client, Context, Job, runtime
from adjourn.jobs.model import Outcome

PLAIN, EFFECT, CAUSED, SEEN = "a write", "an effect", "caused", "seen"


def begun(job: Job) -> int:
    """The number of a run that begins. A simulated world counts them; real executors have nobody to ask."""
    return 0


@adjourn.message
def work(mark: str, pad: str, acts: list[str], ends: str, org: Client, job: Job) -> Outcome:
    """A script whose writes stand for themselves."""
    return _play(acts, ends, org, job, atomic=False)


@adjourn.message(atomic=True)
def atomic_work(mark: str, pad: str, acts: list[str], ends: str, org: Client, job: Job) -> Outcome:
    """A script whose writes are one with its completion."""
    return _play(acts, ends, org, job, atomic=True)


@adjourn.message
async def awaited_work(mark: str, pad: str, acts: list[str], ends: str, org: Client, job: Job) -> Outcome:
    """The same, awaiting each step."""
    script = _script(acts, ends, org, job, asyncio.sleep, atomic=False)
    try:
        step = next(script)
        while True:
            step = script.send(await step())
    except StopIteration as ended:
        outcome: Outcome = ended.value
    return outcome


@adjourn.step(message="Create", table="account", mode="Asynchronous", name="Kept")
def kept(context: Context, org: Client) -> None:
    """One write for each account, and its job remains."""
    assert context.primary_entity_id is not None
    org.update("account", context.primary_entity_id, {"description": SEEN})


@adjourn.step(message="Create", table="account", mode="Asynchronous", name="Gone", async_auto_delete=True)
def gone(context: Context) -> None:
    """Its succeeded jobs are removed."""


def _play(acts: list[str], ends: str, org: Any, job: Any, *, atomic: bool) -> Outcome:
    script = _script(acts, ends, org, job, runtime.sleep, atomic=atomic)
    try:
        step = next(script)
        while True:
            step = script.send(step())
    except StopIteration as ended:
        outcome: Outcome = ended.value
        return outcome


def _script(
    acts: list[str], ends: str, org: Any, job: Any, sleep: Callable[[float], Any], *, atomic: bool
) -> Generator[Callable[[], Any], Any, Outcome]:
    """What a script does, step by step: whoever plays it calls each, or awaits it, and sends back what came of it."""
    run = begun(job)
    start = int(job.cursor or 0)
    for index, act in enumerate(acts):
        if index < start:
            continue
        name, _, rest = act.partition(" ")
        match name:
            case "sleep":
                yield partial(sleep, float(rest))
            case "write":
                part = sum(before == "write" for before in acts[:index])
                label, text = (EFFECT, f"{job.id}/{part}") if atomic else (PLAIN, f"{job.id}/{run}")
                yield partial(org.create, "contact", {"lastname": label, "description": text})
            case "enqueue":
                yield partial(org.create, "account", {"name": f"{CAUSED} {job.id}/{index}/{run}"})
                more = work.request(mark=f"{CAUSED} {job.id}/{index}/{run}", pad="", acts=[], ends="succeed")
                later = runtime.now() + timedelta(seconds=0.3)
                yield partial(org.enqueue, more, dependency_token="caused", postpone_until=later)
            case "checkpoint":
                text, percent = f"{index + 1} of {len(acts)}", 100 * index // len(acts)
                yield partial(job.checkpoint, str(index + 1), text=text, percent=percent)
            case "progress":
                yield partial(job.progress, text=f"at {index}", percent=100 * index // len(acts))
            case "look":
                if (yield job.is_stopping) or job.remaining_seconds < 0.5 or job.depth > 2:
                    adjourn.trace(f"{job.name} looks up from {job.regarding}")
                yield partial(org.retrieve_multiple, "contacts?$select=lastname&$top=1")
    return (yield from _end(ends, len(acts), start, job))


def _end(ends: str, done: int, start: int, job: Any) -> Generator[Callable[[], Any], Any, Outcome]:
    once = start <= done  # a script that goes on from beyond its end has been there before
    match ends:
        case "retry" if job.retry_count < 1:
            return adjourn.Retry("once more", delay_seconds=0.5)
        case "back off" if job.retry_count < 1:
            return adjourn.Retry("after a while")
        case "retries":
            return adjourn.Retry("again and again", delay_seconds=0.1)
        case "postpone" if once:
            yield partial(job.checkpoint, str(done + 1))
            return adjourn.Postpone(runtime.now() + timedelta(seconds=1.5))
        case "continue" if once:
            return adjourn.Continue(str(done + 1))
        case "cancel":
            return adjourn.Canceled("it changed its mind")
        case "fail":
            raise ValueError("this script fails")
        case "die":
            os._exit(1)
    return adjourn.Succeeded("done")
