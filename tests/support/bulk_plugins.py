"""Steps that bulk deletes meet."""

from __future__ import annotations

import time

import adjourn
from adjourn import Client, Context


@adjourn.step(message="Delete", table="account", stage="PreOperation", mode="Synchronous", pre_images={"was": ["name"]})
def guards(context: Context, org: Client) -> None:
    """Refuse, dawdle, or delete another account, as the account's name says."""
    name = str(context.pre_entity_images["was"]["name"])
    if name.startswith("refused"):
        raise ValueError(f"{name} must stay")
    if name.startswith("slow"):
        time.sleep(0.3)
        org.retrieve("account", context.primary_entity_id or "")
    if name.startswith("takes "):
        for found in org.retrieve_multiple(f"accounts?$select=name&$filter=name eq '{name.removeprefix('takes ')}'"):
            org.delete("account", found.id or "")
    if name.startswith("makes "):
        org.create("account", {"name": name.removeprefix("makes ")})


@adjourn.step(message="Delete", table="account", stage="PostOperation", mode="Asynchronous", name="After a delete")
def after(context: Context) -> None:
    """One job for each account that is gone."""
