"""Messages that the benchmarks run."""

from __future__ import annotations

import os
import time

import adjourn


@adjourn.message
def nothing(text: str) -> None:
    """What a queue costs by itself."""


@adjourn.message
def mark(name: str, path: str) -> None:
    """Write down when it began."""
    moment = time.time()
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    os.write(descriptor, f"{name} {moment}\n".encode())
    os.close(descriptor)


@adjourn.message
def burn(seconds: float) -> None:
    """Compute in pure Python."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        sum(range(1000))


@adjourn.step(message="Create", table="account", mode="Asynchronous", async_auto_delete=True, name="Bench")
def seen(context: adjourn.Context) -> None:
    """Do nothing, asynchronously."""
