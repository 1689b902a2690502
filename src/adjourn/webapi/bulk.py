"""Actions bound to a table's records as a whole: CreateMultiple, UpdateMultiple, UpsertMultiple.

    POST accounts/Microsoft.Dynamics.CRM.CreateMultiple      {"Targets": [{"name": "a"}, {"name": "b"}]}

All or nothing. A record says which one it is by its primary key, or by `@odata.id`. New records may be nested in those of
CreateMultiple, as in a POST of one. Source: webapi.md §12; messages.md.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from adjourn import config, errors, runtime
from adjourn.errors import InvalidRequest
from adjourn.metadata.model import Table
from adjourn.pipeline.call import Request
from adjourn.service import Service
from adjourn.webapi import keys, payload, write
from adjourn.webapi.addresses import Addresses
from adjourn.webapi.exchange import Answer, Exchange, json_answer, json_object, no_content
from adjourn.webapi.payload import Payload
from adjourn.webapi.resource import NAMESPACE

ACTIONS = ("CreateMultiple", "UpdateMultiple", "UpsertMultiple")


def call(exchange: Exchange, service: Service, table: Table, action: str) -> Answer:
    """Answer the POST: 200 with the new ids of CreateMultiple, 204 of the others. Raises InvalidRequest."""
    if action == "UpsertMultiple":
        return keys.upserted(lambda: _changed(exchange, service, table, action))
    return _changed(exchange, service, table, action)


def _changed(exchange: Exchange, service: Service, table: Table, action: str) -> Answer:
    targets = _targets(exchange, service, table, action)
    if action == "CreateMultiple":
        return json_answer(
            200,
            {
                "@odata.context": f"{exchange.root}$metadata#{NAMESPACE}CreateMultipleResponse",
                "Ids": _created(exchange, service, targets),
            },
        )
    for place, target in enumerate(targets):
        if target.record.id is None:
            raise InvalidRequest(f"Targets[{place}] says by no '{table.primary_id}' which record it is.")
    service.execute(Request(action, {"Targets": [target.record for target in targets]}), exchange.call)
    return no_content()


def _created(exchange: Exchange, service: Service, targets: list[Payload]) -> list[UUID]:
    if all(target.is_plain for target in targets):
        records = [target.record for target in targets]
        ids: list[UUID] = service.execute(Request("CreateMultiple", {"Targets": records}), exchange.call)["Ids"]
        return ids
    with write.one_unit(service, exchange.call, "CreateMultiple with nested records") as inside:
        return [write.create_nested(target, service, inside) for target in targets]


def _targets(exchange: Exchange, service: Service, table: Table, action: str) -> list[Payload]:
    body = json_object(exchange.body, payload.DECODER)
    found = body.get("Targets")
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise InvalidRequest(
            'The body must be {"Targets": [{…}, …]}: an array of records.', code=errors.ODATA_BAD_PAYLOAD
        )
    unknown = next((name for name in body if name != "Targets" and "@" not in name), None)
    if unknown is not None:
        raise InvalidRequest(f"The action takes 'Targets', not '{unknown[:100]}'.", code=errors.ODATA_BAD_PAYLOAD)
    if not 0 < len(found) <= config.BATCH_REQUESTS_MAX:
        raise InvalidRequest(f"An action takes 1 to {config.BATCH_REQUESTS_MAX:,} Targets, found {len(found):,}.")
    made: dict[Any, UUID] = {}
    return [_target(item, place, exchange, service, table, action, made) for place, item in enumerate(found)]


def _target(
    item: dict[str, Any],
    place: int,
    exchange: Exchange,
    service: Service,
    table: Table,
    action: str,
    made: dict[Any, UUID],
) -> Payload:
    """made: the ids of records that targets before this one will make, by their alternate keys."""
    nested = action == "CreateMultiple"
    kind = item.get("@odata.type")
    if kind is not None and str(kind).lstrip("#") not in (f"{NAMESPACE}{table.logical}", f"mscrm.{table.logical}"):
        raise InvalidRequest(
            f"Targets[{place}] has @odata.type '{str(kind)[:200]}', expected '{NAMESPACE}{table.logical}'.",
            code=errors.ODATA_BAD_PAYLOAD,
        )
    addresses = Addresses(exchange, service)
    target = payload.read(item, table, addresses, nested=nested)
    alternate = addresses.alternate(item.get("@odata.id"), table)
    if alternate is not None:
        found = addresses.locate(table, alternate)
        if found is None and action == "UpdateMultiple":
            raise keys.not_found(table, alternate)
        if found is None:
            found = made.setdefault(tuple(sorted(alternate.items())), runtime.new_id())
            target.record.values |= dict(alternate)
        target.record.id = found
    elif "@odata.id" in item:
        meant = addresses.reference(str(item["@odata.id"]), f"Targets[{place}]/@odata.id")
        if meant.table != table.logical or target.record.id not in (None, meant.id):
            raise InvalidRequest(f"Targets[{place}] names two different records.", code=errors.ODATA_BAD_PAYLOAD)
        target.record.id = meant.id
    if not nested and not target.is_plain:
        raise InvalidRequest(f"Targets[{place}] holds related records, which only CreateMultiple takes.")
    return target
