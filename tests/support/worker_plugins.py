"""Messages and steps that the worker's tests run in real executor processes."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from pathlib import Path

import adjourn
from adjourn import Client, Context, Job


@adjourn.message
def quick(text: str = "") -> str:
    return f"did {text}"


@adjourn.message
def length(text: str) -> str:
    return f"{len(text)}"


@adjourn.message
def sleepy(seconds: float) -> None:
    time.sleep(seconds)


@adjourn.message
async def sleepy_async(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "slept"


@adjourn.message
def burn(seconds: float) -> None:
    """Compute in pure Python."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        sum(range(1000))


@adjourn.message
def burn_until(path: str) -> None:
    """Compute in pure Python until a file is there."""
    while not Path(path).exists():
        for _ in range(100):
            sum(range(1000))


@adjourn.message
def raises(text: str) -> None:
    raise ValueError(text)


@adjourn.message
def retries(times: int, job: Job) -> adjourn.Retry | str:
    if job.retry_count < times:
        return adjourn.Retry("not yet", delay_seconds=0.05)
    return f"after {job.retry_count}"


@adjourn.message
def suicidal(path: str) -> str:
    """Kill its own executor until the marker file is there."""
    marker = Path(path)
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "survived"


@adjourn.message
def poison() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@adjourn.message
def creates(name: str, org: Client) -> str:
    account = org.create("account", {"name": name})
    return str(org.retrieve("account", account, ["name"])["name"])


@adjourn.message
async def creates_async(name: str, org: Client) -> str:
    account = await org.create("account", {"name": name})  # type: ignore[misc]
    found = await org.retrieve("account", account, ["name"])  # type: ignore[misc]
    return str(found["name"])


@adjourn.message
def counts(job: Job, until: int, pause: float) -> str:
    """Count with checkpoints, going on from the cursor."""
    start = int(job.cursor or 0)
    for index in range(start, until):
        time.sleep(pause)
        job.checkpoint(str(index + 1))
    return f"from {start} to {until}"


@adjourn.step(message="Create", table="account", mode="Asynchronous", name="First job")
def first(context: Context, org: Client) -> None:
    assert context.primary_entity_id is not None
    org.update("account", context.primary_entity_id, {"description": "seen"})


@adjourn.step(message="Create", table="account", mode="Asynchronous", name="Second job", async_auto_delete=True)
def second(context: Context) -> None:
    if context.target["name"] == "fail":
        raise ValueError("it failed on purpose")


@adjourn.message
def reads_contacts(org: adjourn.Organization) -> str:
    return str(len(org.retrieve_multiple("contacts?$select=description")))


@adjourn.message
def looks(seconds: float, org: adjourn.Organization) -> int:
    """Reads and writes for so long; how often it did."""
    until, times = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        account = org.create("account", {"name": f"number {times}"})
        assert org.retrieve("account", account, ["name"])["name"] == f"number {times}"
        assert org.retrieve_multiple("accounts?$select=name&$top=50")
        times += 1
    return times


@adjourn.message
def hog() -> bool:
    """A regular expression that takes for ever, and holds Python's lock meanwhile."""
    return re.match(r"(a+)+$", "a" * 60 + "b") is None
