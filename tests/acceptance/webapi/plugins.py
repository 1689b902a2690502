"""A step and messages for the tests of the Web API."""

from __future__ import annotations

from uuid import UUID

import adjourn
from adjourn import Client, Context


@adjourn.step(message="Create", table="account", mode="Asynchronous", name="After create of account")
def after_create(context: Context) -> None:
    return None


@adjourn.step(message="Update", table="account", stage="PreOperation", filtering_attributes=["fax"])
def no_fax(context: Context) -> None:
    raise ValueError("nobody has a fax")


@adjourn.message
def greet(name: str, times: int = 1) -> str:
    return f"Hello {name}" * times


@adjourn.message
def touch(account: UUID, org: Client) -> None:
    org.update("account", account, {"telephone1": "touched"})
