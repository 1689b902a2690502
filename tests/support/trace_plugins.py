"""Steps and messages that trace what they do."""

from __future__ import annotations

import asyncio

import adjourn
from adjourn import Client, Context


def deep_inside(text: str) -> None:
    adjourn.trace(text)


@adjourn.step(message="Create", table="account", stage="PreOperation")
def checks(context: Context) -> None:
    deep_inside(f"checking {context.target['name']}")
    if context.target["name"] == "bad":
        raise ValueError("not this one")


@adjourn.step(message="Create", table="account", mode="Asynchronous", name="Follows")
def follows(context: Context, org: Client) -> None:
    adjourn.trace("one")
    adjourn.trace("two")
    org.update("account", context.primary_entity_id, {"description": "seen"})


@adjourn.step(message="Update", table="account", stage="PostOperation")
def inside(context: Context) -> None:
    adjourn.trace(f"at depth {context.depth}")


@adjourn.message
async def waits_and_fails(text: str) -> None:
    adjourn.trace(f"before {text}")
    await asyncio.sleep(0.01)
    adjourn.trace(f"after {text}")
    await asyncio.to_thread(adjourn.trace, f"beside {text}")
    raise RuntimeError(f"failed {text}")


@adjourn.message
def talks(lines: int) -> str:
    for number in range(lines):
        adjourn.trace(f"line {number:06} " + "x" * 80)
    return "said"
