"""Steps on the order of a bulk delete, and on the e-mails that tell of it."""

from __future__ import annotations

import adjourn
from adjourn import Context


@adjourn.step(message="BulkDelete", stage="PreOperation", mode="Synchronous")
def renames(context: Context) -> None:
    """Change a parameter of the order, as a step may."""
    if context.input_parameters["JobName"] == "to be renamed":
        context.input_parameters["JobName"] = "renamed by a step"


@adjourn.step(message="BulkDelete", mode="Asynchronous", name="After an order")
def ordered(context: Context) -> None:
    """One job for each order."""
    assert context.output_parameters["JobId"]


@adjourn.step(message="Create", table="email", stage="PreOperation", mode="Synchronous")
def no_mail(context: Context) -> None:
    """Refuse e-mails about what nobody wants to hear of."""
    if "unspeakable" in str(context.target["subject"]):
        raise ValueError("nobody wants to hear of it")
