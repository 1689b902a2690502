"""Messages that run until somebody stops them, each in its own way."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import adjourn
from adjourn import Client, Job


@adjourn.message
def steps(job: Job, until: int, pause: float, log: str) -> str:
    """Count with checkpoints; each number goes into a file when it is done."""
    start = int(job.cursor or 0)
    for number in range(start, until):
        with Path(log).open("a") as file:
            file.write(f"{number}\n")
        time.sleep(pause)
        job.checkpoint(str(number + 1), text=f"{number + 1} of {until}", percent=100 * (number + 1) // until)
    return f"from {start}"


@adjourn.message
async def steps_async(job: Job, until: int, pause: float) -> str:
    start = int(job.cursor or 0)
    for number in range(start, until):
        await asyncio.sleep(pause)
        await job.checkpoint(str(number + 1))  # type: ignore[func-returns-value]
    return f"from {start}"


@adjourn.message
async def awaits(job: Job, org: Client, seconds: float) -> str:
    """One checkpoint, then nothing but an await."""
    await job.checkpoint("begun")  # type: ignore[func-returns-value]
    found = await org.retrieve_multiple("accounts?$select=name")  # type: ignore[misc]
    await asyncio.sleep(seconds)
    return f"{len(found)} accounts"


@adjourn.message(isolated=True)
def stuck(seconds: float, job: Job) -> str:
    if job.cursor is None:
        job.checkpoint("begun")
        time.sleep(seconds)
    return f"from {job.cursor}"


@adjourn.message(isolated=True)
def hungry(mebibytes: int) -> str:
    held = [bytearray(b"x" * 1024 * 1024) for _ in range(mebibytes)]
    time.sleep(20)
    return f"{len(held)}"


@adjourn.message
def in_time(job: Job) -> str:
    """How long it has, and whether that becomes less."""
    before = job.remaining_seconds
    time.sleep(0.05)
    return f"{0.5 < before <= 1.5} {before - job.remaining_seconds >= 0.05}"


@adjourn.message
def obedient(job: Job) -> str:
    """Stops by itself when its time is up."""
    while not job.is_stopping():
        time.sleep(0.02)
    job.checkpoint("as far as here")
    return "was not stopped"


@adjourn.message
def fails_after_a_checkpoint(job: Job) -> str | adjourn.Retry:
    if job.cursor is None:
        job.checkpoint("half")
        return adjourn.Retry("once more", delay_seconds=0)
    return f"from {job.cursor}"


_SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
_EAT = [sys.executable, "-c", "import time; held = b'x' * 400 * 1024 * 1024; time.sleep(60)"]
_HIDE = [
    sys.executable,
    "-c",
    "import os, time; os.fork() and os._exit(0); os.setsid(); print(os.getpid(), flush=True); time.sleep(60)",
]


@adjourn.message(isolated=True)
def parent(log: str, job: Job, eats: bool = False, dies: bool = False) -> str:
    """Starts a child, and one in a session of its own whose parent is gone; their pids go into a file."""
    if job.cursor is not None:
        return "again"
    child = subprocess.Popen(_EAT if eats else _SLEEP)
    with subprocess.Popen(_HIDE, stdout=subprocess.PIPE) as middle:
        assert middle.stdout is not None
        hidden = int(middle.stdout.readline())
        middle.stdout.close()
    Path(log).write_text(f"{os.getpid()} {child.pid} {hidden}")
    job.checkpoint("begun")
    if dies:
        os._exit(9)
    time.sleep(60)
    return "not ended"
