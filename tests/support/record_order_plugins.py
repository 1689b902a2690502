"""A step whose jobs keep the order of each record."""

from __future__ import annotations

import time
from pathlib import Path

import adjourn
from adjourn import Context


@adjourn.message
def numbered(number: int, log: str) -> None:
    """Write down that it began."""
    with Path(log).open("a") as file:
        file.write(f"{number}\n")
    time.sleep(0.01)


@adjourn.step(
    message="Update", table="account", mode="Asynchronous", name="In order", per_record_order=True,
    filtering_attributes=["name"],
)  # fmt: skip
def in_order(context: Context) -> None:
    """Nothing: what is looked at is when it runs."""


@adjourn.step(message="Update", table="account", mode="Asynchronous", name="In any", filtering_attributes=["name"])
def in_any(context: Context) -> None:
    """Nothing, in whatever order."""
