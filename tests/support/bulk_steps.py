"""Two steps on the deletion of an account, one in the transaction and one behind it, as people register them."""

from __future__ import annotations

import adjourn
from adjourn import Context


@adjourn.step(message="Delete", table="account", stage="PreOperation", pre_images={"was": ["name"]})
def before(context: Context) -> None:
    assert str(context.pre_entity_images["was"]["name"]).startswith("a")


@adjourn.step(message="Delete", table="account", mode="Asynchronous", name="After an account")
def after(context: Context) -> None:
    assert context.primary_entity_id is not None
