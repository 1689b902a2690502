"""A context as the JSON that an asynchronous step's job carries in `data`, and back.

The shape is that of a RemoteExecutionContext as webhooks receive it (semantics §5): collections are arrays of
{key, value}; typed values carry `__type`; moments are `/Date(milliseconds)/`. Columns come back as the type that the
metadata gives them, so a round trip loses nothing but the microseconds of moments.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from adjourn.errors import InvalidRequest
from adjourn.metadata.model import Catalog, ColumnType, Reference, Table
from adjourn.metadata.values import selection
from adjourn.pipeline.context import Context
from adjourn.pipeline.record import Record

_NAMESPACE = "http://schemas.microsoft.com/xrm/2011/Contracts"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DATE = re.compile(r"/Date\((-?\d{1,15})(?:[+-]\d{4})?\)/")
_GUID_FIELDS = {
    "business_unit_id": "BusinessUnitId",
    "correlation_id": "CorrelationId",
    "initiating_user_id": "InitiatingUserId",
    "operation_id": "OperationId",
    "organization_id": "OrganizationId",
    "primary_entity_id": "PrimaryEntityId",
    "request_id": "RequestId",
    "user_id": "UserId",
}
_PLAIN_FIELDS = {
    "depth": "Depth",
    "is_executing_offline": "IsExecutingOffline",
    "is_in_transaction": "IsInTransaction",
    "is_offline_playback": "IsOfflinePlayback",
    "isolation_mode": "IsolationMode",
    "message_name": "MessageName",
    "mode": "Mode",
    "organization_name": "OrganizationName",
    "primary_entity_name": "PrimaryEntityName",
    "secondary_entity_name": "SecondaryEntityName",
    "stage": "Stage",
}
_EMPTY_GUID = "00000000-0000-0000-0000-000000000000"
_ENCODER = msgspec.json.Encoder(decimal_format="number")


def to_json(context: Context, catalog: Catalog) -> str:
    """The context as one JSON text."""
    return _ENCODER.encode(_context(context, catalog)).decode()


def from_json(text: str | bytes, catalog: Catalog) -> Context:
    """The context that `to_json` wrote. Raises InvalidRequest (0x80044304) for a text that is none."""
    try:
        return _read_context(msgspec.json.decode(text), catalog)
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidRequest(f"The job's data is not a serialized context: {error}", code=0x80044304) from error


def _context(context: Context, catalog: Catalog) -> dict[str, Any]:
    shape: dict[str, Any] = {}
    for name, key in _GUID_FIELDS.items():
        value = getattr(context, name)
        shape[key] = str(value) if value is not None else (None if name == "request_id" else _EMPTY_GUID)
    for name, key in _PLAIN_FIELDS.items():
        shape[key] = getattr(context, name)
    shape["OperationCreatedOn"] = _moment(context.operation_created_on)
    owner = context.owning_extension
    shape["OwningExtension"] = _reference(owner, typed=False) if owner else None
    shape["InputParameters"] = _pairs(context.input_parameters, catalog)
    shape["OutputParameters"] = _pairs(context.output_parameters, catalog)
    shape["SharedVariables"] = _pairs(context.shared_variables, catalog)
    shape["PreEntityImages"] = _pairs(context.pre_entity_images, catalog, typed=False)
    shape["PostEntityImages"] = _pairs(context.post_entity_images, catalog, typed=False)
    shape["ParentContext"] = _context(context.parent_context, catalog) if context.parent_context else None
    return dict(sorted(shape.items()))


def _pairs(found: Mapping[str, Any], catalog: Catalog, *, typed: bool = True) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value, catalog, typed=typed)} for key, value in found.items()]


def _value(value: Any, catalog: Catalog, *, typed: bool = True) -> Any:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Record():
            return _entity(value, catalog, typed=typed)
        case Reference():
            return _reference(value)
        case UUID():
            return str(value)
        case datetime():
            return _moment(value)
        case date():
            return _moment(datetime(value.year, value.month, value.day, tzinfo=UTC))
        case Decimal():
            return value
        case Mapping():
            return [{"key": str(key), "value": _value(item, catalog)} for key, item in value.items()]
        case Sequence():
            return [_value(item, catalog) for item in value]
    raise InvalidRequest(f"A value of type {type(value).__name__} cannot be carried by a job's context.")


def _entity(record: Record, catalog: Catalog, *, typed: bool) -> dict[str, Any]:
    table = catalog.table(record.table)
    return {
        **({"__type": f"Entity:{_NAMESPACE}"} if typed else {}),
        "Attributes": [
            {"key": name, "value": _attribute(table, name, v, catalog)} for name, v in record.values.items()
        ],
        "EntityState": None,
        "FormattedValues": [{"key": name, "value": label} for name, label in record.formatted.items()],
        "Id": str(record.id) if record.id else _EMPTY_GUID,
        "KeyAttributes": [],
        "LogicalName": record.table,
        "RelatedEntities": [],
        "RowVersion": None,
    }


def _attribute(table: Table, name: str, value: Any, catalog: Catalog) -> Any:
    column = table.columns.get(name)
    if value is not None and column is not None:
        if column.type.is_choice:
            return {"__type": f"OptionSetValue:{_NAMESPACE}", "Value": value}
        if column.type is ColumnType.MULTISELECT:
            return [{"__type": f"OptionSetValue:{_NAMESPACE}", "Value": option} for option in selection(value) or ()]
        if column.type is ColumnType.MONEY:
            return {"__type": f"Money:{_NAMESPACE}", "Value": value}
    return _value(value, catalog)


def _reference(reference: Reference, *, typed: bool = True) -> dict[str, Any]:
    return {
        **({"__type": f"EntityReference:{_NAMESPACE}"} if typed else {}),
        "Id": str(reference.id),
        "KeyAttributes": [],
        "LogicalName": reference.table,
        "Name": None,
        "RowVersion": None,
    }


def _moment(moment: datetime) -> str:
    return f"/Date({(moment - _EPOCH) // timedelta(milliseconds=1)})/"


def _read_context(shape: Mapping[str, Any], catalog: Catalog) -> Context:
    fields: dict[str, Any] = {name: shape[key] for name, key in _PLAIN_FIELDS.items()}
    for name, key in _GUID_FIELDS.items():
        text = shape[key]
        fields[name] = UUID(text) if text and not (name == "primary_entity_id" and text == _EMPTY_GUID) else None
    owner = shape["OwningExtension"]
    parent = shape["ParentContext"]
    return Context(
        **fields,
        operation_created_on=_read_moment(shape["OperationCreatedOn"]),
        owning_extension=Reference(owner["LogicalName"], UUID(owner["Id"])) if owner else None,
        input_parameters=_read_pairs(shape["InputParameters"], catalog),
        output_parameters=_read_pairs(shape["OutputParameters"], catalog),
        shared_variables=_read_pairs(shape["SharedVariables"], catalog),
        pre_entity_images=_read_images(shape["PreEntityImages"], catalog),
        post_entity_images=_read_images(shape["PostEntityImages"], catalog),
        parent_context=_read_context(parent, catalog) if parent else None,
    )


def _read_pairs(found: Sequence[Mapping[str, Any]], catalog: Catalog) -> dict[str, Any]:
    return {pair["key"]: _read_value(pair["value"], catalog) for pair in found}


def _read_images(found: Sequence[Mapping[str, Any]], catalog: Catalog) -> dict[str, Record]:
    return {pair["key"]: _read_entity(pair["value"], catalog) for pair in found}


def _read_value(value: Any, catalog: Catalog) -> Any:
    match value:
        case {"__type": str(kind)} if kind.endswith(_NAMESPACE):
            match kind.partition(":")[0]:
                case "Entity":
                    return _read_entity(value, catalog)
                case "EntityReference":
                    return Reference(value["LogicalName"], UUID(value["Id"]))
                case _:
                    return value["Value"]
        case [{"key": _, "value": _}, *_]:
            return _read_pairs(value, catalog)
        case list():
            return [_read_value(item, catalog) for item in value]
        case str():
            return _read_moment(value) if _DATE.fullmatch(value) else value
    return value


def _read_entity(shape: Mapping[str, Any], catalog: Catalog) -> Record:
    table = catalog.table(shape["LogicalName"])
    record_id = UUID(shape["Id"])
    return Record(
        table.logical,
        record_id if str(record_id) != _EMPTY_GUID else None,
        {pair["key"]: _read_attribute(table, pair["key"], pair["value"], catalog) for pair in shape["Attributes"]},
        {pair["key"]: pair["value"] for pair in shape["FormattedValues"]},
    )


def _read_attribute(table: Table, name: str, value: Any, catalog: Catalog) -> Any:
    column = table.columns.get(name)
    if value is None or column is None:
        return _read_value(value, catalog)
    match column.type:
        case ColumnType.MONEY:
            return Decimal(str(value["Value"]))
        case ColumnType.DECIMAL:
            return Decimal(str(value))
        case ColumnType.MULTISELECT:
            return ",".join(str(option["Value"]) for option in value)
        case ColumnType.UNIQUEIDENTIFIER | ColumnType.FILE:
            return UUID(value)
        case ColumnType.DATETIME:
            return _read_moment(value)
        case ColumnType.DATE:
            return _read_moment(value).date()
        case ColumnType.STRING | ColumnType.MEMO | ColumnType.ENTITYNAME:
            return value
    return _read_value(value, catalog)


def _read_moment(text: str) -> datetime:
    found = _DATE.fullmatch(text)
    if found is None:
        raise ValueError(f"'{text[:60]}' is no moment")
    return _EPOCH + timedelta(milliseconds=int(found[1]))
