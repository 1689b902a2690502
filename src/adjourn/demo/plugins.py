"""Plug-ins and messages of the demo organization; a tour of what a step and a message can be.

A synchronous step that refuses, a synchronous one that completes the record, asynchronous ones that succeed, fail, ask
for a retry, take their time, and one whose context is large enough to go to file storage.
"""

from __future__ import annotations

import asyncio

import adjourn
from adjourn import Client, Context, Job


@adjourn.step(message="Create", table="account", stage="PreOperation", name="Demo: account numbers")
def number_account(context: Context) -> None:
    """Give an account a number if it has none."""
    target = context.target
    if not target.get("accountnumber"):
        target["accountnumber"] = f"A-{str(target.id)[-6:].upper()}"


@adjourn.step(message="Update", table="account", stage="PreValidation", filtering_attributes=["creditlimit"],
              name="Demo: credit limits")  # fmt: skip
def refuse_negative_credit(context: Context) -> None:
    """Refuse a negative credit limit: the caller gets this text with status 400, and nothing changes."""
    limit = context.target.get("creditlimit")
    if limit is not None and limit < 0:
        raise adjourn.StepFailed("A credit limit cannot be negative.")


@adjourn.step(message="Create", table="account", mode="Asynchronous", name="Demo: welcome task")
def welcome(context: Context, org: Client) -> str:
    """Leave a task for the new account's owner."""
    assert context.primary_entity_id is not None
    org.create(
        "task",
        {
            "subject": f"Call {context.target['name']}",
            "regardingobjectid": ("account", context.primary_entity_id),
        },
    )
    return "A task was created."


@adjourn.step(message="Update", table="account", mode="Asynchronous", filtering_attributes=["telephone1"],
              post_images={"after": ["name", "telephone1"]}, async_auto_delete=True, name="Demo: number check")  # fmt: skip
async def check_number(context: Context) -> None:
    """Pretend to ask a slow service; its succeeded jobs delete themselves."""
    await asyncio.sleep(0.05)


@adjourn.step(message="Update", table="contact", mode="Asynchronous", filtering_attributes=["emailaddress1"],
              name="Demo: address book")  # fmt: skip
def fails(context: Context) -> None:
    """Fail, with code, text and traceback in the job."""
    raise ValueError(f"the address book does not know {context.target.get('emailaddress1')!r}")


@adjourn.step(message="Update", table="contact", mode="Asynchronous", filtering_attributes=["jobtitle"],
              name="Demo: directory")  # fmt: skip
def asks_for_retry(job: Job) -> adjourn.Retry | str:
    """Ask for a second attempt once."""
    if job.retry_count == 0:
        return adjourn.Retry("the directory is busy", delay_seconds=1800)
    return "Done at the second attempt."


@adjourn.message
def greet(name: str) -> str:
    """Say hello: `POST /greet`, `org.execute(greet.request(name=…))`, `org.enqueue(…)`."""
    return f"Hello, {name}!"


@adjourn.message
def count_words(text: str, org: Client) -> int:
    """A job with large arguments: over 4 MB they lie in file storage."""
    return len(text.split())
