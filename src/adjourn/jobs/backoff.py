"""When a job that asked for a retry runs again: 10 s, 20 s, 40 s, … at most an hour, each ±10 %."""

from __future__ import annotations

from datetime import timedelta

from adjourn import config


def delay(attempt: int, jitter: float) -> timedelta:
    """The wait before retry number `attempt` (from 1). jitter: between -1 and 1, spreads jobs that failed together."""
    seconds = min(config.RETRY_FIRST_SECONDS * 2 ** (attempt - 1), config.RETRY_LONGEST_SECONDS)
    return timedelta(seconds=seconds * (1 + config.RETRY_JITTER * jitter))
