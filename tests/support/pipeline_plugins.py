"""Steps and messages for the pipeline's tests. What they saw is kept in `seen`; `fail` makes named ones raise."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import adjourn
from adjourn import Client, Context
from adjourn.metadata.model import Reference

seen: list[tuple[str, Any]] = []
fail: dict[str, Exception] = {}
watch: Callable[[], object] = bool
"""Called by every step."""


def reset() -> None:
    seen.clear()
    fail.clear()
    globals()["watch"] = bool


def _note(name: str, found: Any) -> None:
    seen.append((name, found))
    watch()
    if name in fail:
        raise fail[name]


@adjourn.step(message="Create", table="account", stage="PreValidation")
def before_all(context: Context) -> None:
    context.shared_variables["ticket"] = 42
    _note("pre-validation", (context.is_in_transaction, context.stage, context.depth))


@adjourn.step(message="Create", table="account", stage="PreOperation", rank=2)
def second(context: Context) -> None:
    assert context.parent_context is not None
    _note("second", context.parent_context.shared_variables.get("ticket"))


@adjourn.step(message="Create", table="account", stage="PreOperation", rank=1)
def first(context: Context) -> None:
    context.target["description"] = "set by a step"
    context.shared_variables["passed"] = "on"
    _note("first", context.is_in_transaction)


@adjourn.step(message="Create", table="account", stage="PostOperation", post_images={"after": ["name", "description"]})
def after(context: Context, org: Client) -> None:
    image = context.post_entity_images["after"]
    _note("after", (dict(image.values), context.output_parameters["id"], context.shared_variables["passed"]))
    if image["name"] == "with task":
        org.create("task", {"subject": "nested", "regardingobjectid": image.reference()})


@adjourn.step(message="Create", table="account", mode="Asynchronous", name="Later")
def later(context: Context) -> None:
    _note("later", context.primary_entity_id)


@adjourn.step(message="Update", table="account", stage="PostOperation", filtering_attributes=["telephone1"],
              pre_images={"image": ["telephone1"]}, post_images={"image": ["telephone1"]})  # fmt: skip
def phone_changed(context: Context) -> None:
    before, now = context.pre_entity_images["image"], context.post_entity_images["image"]
    _note("phone", (before["telephone1"], now["telephone1"]))


@adjourn.step(message="Update", table="contact", stage="PostOperation")
def endless(context: Context, org: Client) -> None:
    _note("endless", context.depth)
    org.update("contact", context.primary_entity_id, {"description": f"depth {context.depth}"})


@adjourn.step(message="Delete", table="account", stage="PreOperation", pre_images={"was": None})
def deleted(context: Context) -> None:
    _note("deleted", context.pre_entity_images["was"]["name"])


@adjourn.message
def add(a: int, b: int) -> int:
    return a + b


@adjourn.message
def told(moment: datetime, guid: UUID, price: Decimal, record: Reference, more: dict[int, list[int]]) -> None:
    _note("told", (moment, guid, price, record, more))


@adjourn.message
def make_account(name: str, org: Client, fails: bool = False) -> str:
    account = org.create("account", {"name": name})
    if fails:
        raise ValueError("it was not to be")
    return str(account)
