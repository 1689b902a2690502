"""Messages that are bound to tables, and functions, for the tests of the Web API."""

from __future__ import annotations

from datetime import date
from uuid import UUID

import adjourn
from adjourn import Client
from adjourn.metadata.model import Reference
from adjourn.pipeline.record import Record


@adjourn.message(table="account")
def rename(entity: Reference, name: str, org: Client) -> None:
    org.update("account", entity.id, {"name": name})


@adjourn.message(table="account", function=True)
def name_of(entity: Reference, org: Client, times: int = 1) -> str:
    return str(org.retrieve("account", entity.id, ["name"])["name"]) * times


@adjourn.message(table="account", function=True)
def itself(entity: Reference, org: Client) -> Record:
    return org.retrieve("account", entity.id, ["name", "primarycontactid", "createdon"])


@adjourn.message(table="account", collection=True, function=True)
def named(name: str, org: Client) -> list[Record]:
    return org.retrieve_multiple(f"accounts?$select=name&$filter=name eq '{name}'&$orderby=name")


@adjourn.message(table="account", collection=True)
def make(names: list[str], org: Client) -> list[UUID]:
    return [org.create("account", {"name": name}) for name in names]


@adjourn.message(function=True)
def add(left: int, right: int = 0, on: date | None = None) -> dict[str, int]:
    return {"sum": left + right, "year": on.year if on else 0}


@adjourn.message(function=True)
def sneaky(org: Client) -> None:
    org.create("account", {"name": "a function must not write"})


@adjourn.message(function=True)
def sneaky_job(org: Client) -> None:
    org.enqueue(add.request(1))


@adjourn.message(function=True)
def which(record: Reference, others: list[Reference], kind: str) -> str:
    return f"{record.table} {len(others)} {kind}"


SEEN: list[tuple[str | None, UUID | None]] = []


@adjourn.step(message="rename", table="account", stage="PostOperation")
def after_rename(context: adjourn.Context) -> None:
    SEEN.append((context.primary_entity_name, context.primary_entity_id))
