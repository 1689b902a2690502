"""A step on a table that only exists once a test has made it."""

from __future__ import annotations

import adjourn
from adjourn import Context


@adjourn.step(message="Create", table="new_project", mode="Asynchronous")
def planned(context: Context) -> str:
    due, budget = context.target["new_due"], context.target["new_budget"]
    return f"{type(due).__name__} {due:%Y}, {type(budget).__name__} {budget:.2f}"
