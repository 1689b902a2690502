"""A function that takes its time."""

from __future__ import annotations

import time

import adjourn


@adjourn.message(function=True)
def doze(seconds: float) -> str:
    time.sleep(seconds)
    return "awake"
