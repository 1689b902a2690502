"""Steps on the contacts that simulated bulk deletes are about: some refuse, some take their time, each leaves a job behind."""

from __future__ import annotations

import asyncio

import adjourn
from adjourn import Context, runtime

MARK = "victim"
"""So begins the last name of a contact that is to be deleted, and the name of the bulk delete that is to do it."""
STAYS, SLOW = "stays", "slow"
"""First names. The slow ones' deletion lasts longer than a chunk may."""
BEHIND = "Behind a victim"
_SLOW_SECONDS = 0.06


@adjourn.step(message="Delete", table="contact", stage="PreOperation", pre_images={"was": ["firstname"]})
def refuses(context: Context) -> None:
    """One in its way."""
    name = context.pre_entity_images["was"].get("firstname")
    if name == SLOW:
        runtime.sleep(_SLOW_SECONDS)
    if name == STAYS:
        raise ValueError("it stays")


@adjourn.step(message="Delete", table="contact", mode="Asynchronous", name=BEHIND, async_auto_delete=True)
async def behind(context: Context) -> None:
    """One job for each contact that is gone."""
    await asyncio.sleep(0.01)
