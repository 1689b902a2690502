"""Steps and messages that call the organization: with whose rights, the tests ask."""

from __future__ import annotations

import adjourn
from adjourn import Organization


@adjourn.message
def count_accounts(org: Organization) -> int:
    return len(org.retrieve_multiple("accounts?$select=name"))


@adjourn.message
def act_for(user: str, org: Organization) -> int:
    return len(org.as_user(user).retrieve_multiple("accounts?$select=name"))


@adjourn.message
def rename(account: str, org: Organization) -> None:
    org.update("account", account, {"name": "renamed by a job"})


@adjourn.step(message="Create", table="contact", stage="PostOperation", mode="Asynchronous")
def later(context: adjourn.Context, org: Organization) -> str:
    return str(len(org.retrieve_multiple("accounts?$select=name")))
