"""Two steps on the deletion of an account, for the benchmark of bulk deletes."""

from __future__ import annotations

import adjourn
from adjourn import Context


@adjourn.step(message="Delete", table="account", stage="PreOperation", pre_images={"was": ["name"]})
def before(context: Context) -> None:
    """A check, as plug-ins make."""
    assert context.pre_entity_images["was"]["name"]


@adjourn.step(message="Delete", table="account", mode="Asynchronous", name="After an account")
def after(context: Context) -> None:
    """What comes behind it."""
