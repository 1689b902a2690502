"""Atomic messages: what they write and their completion are one transaction."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import adjourn
from adjourn import Client, Job


@adjourn.message
def after(name: str) -> str:
    return name


@adjourn.message(atomic=True)
def makes(org: Client, job: Job, count: int, then: str = "") -> str | adjourn.Retry:
    """Accounts one after the other, with a job for each and a checkpoint after every second; then something happens."""
    start = int(job.cursor or 0)
    for number in range(start, count):
        org.create("account", {"name": f"account {number}"})
        org.enqueue(after.request(f"account {number}"))
        if number % 2:
            job.checkpoint(str(number + 1), text=f"{number + 1} made")
    if then == "raise":
        raise ValueError("enough")
    if then == "retry" and job.retry_count == 0:
        return adjourn.Retry("once more", delay_seconds=0)
    return f"from {start}, {len(org.retrieve_multiple('accounts?$select=name'))} there"


@adjourn.message(atomic=True)
def dies(org: Client, job: Job, marker: str) -> str:
    """Writes, takes a checkpoint, writes again and dies once; then goes on."""
    if job.cursor is None:
        org.create("account", {"name": "before"})
        job.checkpoint("half")
    org.create("account", {"name": "behind"})
    if not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "whole"


@adjourn.message(atomic=True)
def writes_and_waits(org: Client, job: Job, seconds: float, idle: float = 0) -> str:
    """idle: how long it waits without an open transaction, seconds: with one."""
    org.create("account", {"name": "kept"})
    job.checkpoint("one")
    time.sleep(idle)
    org.create("account", {"name": "undone"})
    time.sleep(seconds)
    return "done"


@adjourn.message(atomic=True)
def waits_and_writes(org: Client, name: str, seconds: float) -> str:
    """Its one write is just before its commit."""
    time.sleep(seconds)
    org.create("account", {"name": name})
    return "done"
