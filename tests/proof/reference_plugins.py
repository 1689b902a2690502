"""A message whose handler ends as it is told, and two steps that make jobs of an account."""

from __future__ import annotations

import adjourn
from adjourn import Context


@adjourn.message
def ends(how: str) -> str | adjourn.Retry:
    if how == "failed":
        raise ValueError("as it was told")
    return adjourn.Retry("as it was told") if how == "retry" else how


@adjourn.step(message="Create", table="account", mode="Asynchronous", name="One")
def one(context: Context) -> None:
    pass


@adjourn.step(message="Create", table="account", mode="Asynchronous", name="Two")
def two(context: Context) -> None:
    pass
