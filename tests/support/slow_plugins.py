"""A step that takes its time."""

from __future__ import annotations

import time

import adjourn
from adjourn import Context


@adjourn.step(message="Create", table="account", mode="Asynchronous", name="Slow")
def slow(context: Context) -> None:
    time.sleep(1.5 if context.target["name"] == "m" else 0)
