"""Messages that do what no handler should, in an executor process."""

from __future__ import annotations

import asyncio
import math
import os
import sys
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import adjourn
from adjourn import Job


@adjourn.message
def returns_a_lock() -> Any:
    return threading.Lock()


@adjourn.message
def returns_a_ring() -> Any:
    ring: list[Any] = []
    ring.append(ring)
    return ring


@adjourn.message
def returns_half_a_pair() -> str:
    return "a\ud800b\0c"


@adjourn.message
def raises_half_a_pair() -> None:
    raise ValueError("a\ud800b\0c")


@adjourn.message
def raises_what_cannot_be_told() -> None:
    class Silent(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    raise Silent


@adjourn.message
def raises_no_exception() -> None:
    class Odd(BaseException):
        pass

    raise Odd("odd")


@adjourn.message
async def raises_cancellation() -> None:
    raise asyncio.CancelledError


@adjourn.message
def leaves() -> None:
    sys.exit(3)


@adjourn.message
def forks() -> str:
    return "parent" if os.fork() else "child"


@adjourn.message
def closes_everything() -> None:
    os.closerange(3, 100)


@adjourn.message
async def stops_the_loop() -> None:
    asyncio.get_running_loop().stop()
    await asyncio.sleep(1)


@adjourn.message
def succeeds_with_a_number() -> adjourn.Succeeded:
    return adjourn.Succeeded(5)  # type: ignore[arg-type]


@adjourn.message
def retries_in_the_past() -> adjourn.Retry:
    return adjourn.Retry("soon", delay_seconds=-1)


@adjourn.message
def retries_never() -> adjourn.Retry:
    return adjourn.Retry("never", delay_seconds=math.nan)


@adjourn.message
def retries_after_a_timedelta() -> adjourn.Retry:
    return adjourn.Retry("later", delay_seconds=timedelta(seconds=5))  # type: ignore[arg-type]


@adjourn.message
def postpones_to_a_text() -> adjourn.Postpone:
    return adjourn.Postpone("tomorrow")  # type: ignore[arg-type]


@adjourn.message
def checkpoints_a_number(job: Job) -> None:
    job.checkpoint(5)  # type: ignore[arg-type]


@adjourn.message
def postpones_without_a_zone() -> adjourn.Postpone:
    return adjourn.Postpone(datetime(2030, 1, 1, tzinfo=UTC).replace(tzinfo=None))


@adjourn.message
def goes_on_from_a_number() -> adjourn.Continue:
    return adjourn.Continue(5)  # type: ignore[arg-type]


@adjourn.message
def overdoes_progress(job: Job) -> None:
    job.progress(percent=1000)
