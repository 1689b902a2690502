"""What a step is told: the context of its stage, and images of the record before and after the operation.

Source: semantics §4 "Images" and §5.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from adjourn import config, runtime
from adjourn.metadata.model import Reference
from adjourn.pipeline import step_rules
from adjourn.pipeline.context import ASYNCHRONOUS, SYNCHRONOUS, Context
from adjourn.pipeline.flow import Flow
from adjourn.pipeline.messages import MESSAGES
from adjourn.pipeline.record import Record
from adjourn.pipeline.registry import POST_IMAGE, PRE_IMAGE, Step
from adjourn.query import write

_ALWAYS_KNOWN = ("versionnumber", "statecode", "statuscode", "firstname", "lastname")
"""Columns that an update needs of the present row even when no step asked for an image."""


def context_of(
    flow: Flow,
    stage: int,
    shared: dict[str, Any],
    *,
    parent: Context | None,
    inputs: dict[str, Any] | None = None,
) -> Context:
    """The context of a stage, without images. inputs: the input parameters, where they are not those of stage 30."""
    caller = flow.call.caller
    return Context(
        message_name=flow.message,
        stage=stage,
        mode=SYNCHRONOUS,
        depth=flow.call.depth,
        primary_entity_name=flow.table or "none",
        primary_entity_id=flow.record_id,
        user_id=caller.user_id,
        initiating_user_id=caller.initiating_user_id or caller.user_id,
        business_unit_id=caller.business_unit_id,
        organization_id=UUID(config.ORGANIZATION_ID),
        organization_name=flow.pipeline.organization_name,
        correlation_id=flow.correlation_id,
        operation_id=flow.operation_id,
        operation_created_on=flow.unit.tx.now if flow.unit else runtime.now(),
        is_in_transaction=flow.unit is not None,
        input_parameters=flow.inputs if inputs is None else inputs,
        shared_variables=shared,
        parent_context=parent,
    )


def with_images(step: Step, context: Context, flow: Flow, after: Mapping[str, Any] | None) -> Context:
    """The context as one step gets it: with its images, its user and its isolation. after: the row that post-images show."""
    pre: dict[str, Record] = {}
    post: dict[str, Record] = {}
    for image in step.images:
        if image.kind != POST_IMAGE and flow.row_before is not None:
            pre[image.alias] = _image(flow, flow.row_before, image.columns)
        if image.kind != PRE_IMAGE and after is not None:
            post[image.alias] = _image(flow, after, image.columns)
    if step.mode == ASYNCHRONOUS and after is not None:
        table = flow.catalog.table(flow.table or "")
        names = tuple(name for name in (table.primary_id, table.primary_name) if name)
        post["AsynchronousStepPrimaryName"] = _image(flow, after, names)
    user = step.impersonating_user_id or flow.call.caller.user_id
    return dataclasses.replace(
        context,
        mode=step.mode,
        owning_extension=Reference("sdkmessageprocessingstep", step.id),
        user_id=user,
        isolation_mode=2 if step.isolated else 1,
        pre_entity_images=pre,
        post_entity_images=post,
    )


def row_before(flow: Flow, fired: Sequence[Step]) -> dict[str, Any] | None:
    """The columns of the record that the fired steps and stage 30 want as they are before the operation; None for no record."""
    message = MESSAGES.get(flow.message)
    if message is None or not message.pre_image or flow.record_id is None or flow.table == "asyncoperation":
        return None
    table = flow.catalog.table(flow.table or "")
    wanted = any(image.kind != POST_IMAGE for step in fired for image in step.images)
    wanted = wanted or step_rules.concerns(table.logical)
    columns = None if wanted else [name for name in _ALWAYS_KNOWN if name in table.columns] or [table.primary_id]
    return write.fetch(flow.reader, table, flow.record_id, columns)


def row_after(flow: Flow, late: Sequence[Step]) -> dict[str, Any] | None:
    """The columns of the record that the late steps want as they are after stage 30."""
    message = MESSAGES.get(flow.message)
    if message is None or not message.post_image or flow.record_id is None:
        return None
    table = flow.catalog.table(flow.table or "")
    if any(image.kind != PRE_IMAGE for step in late for image in step.images):
        return write.fetch(flow.reader, table, flow.record_id)
    if any(step.mode == ASYNCHRONOUS for step in late) and table.primary_name:
        # The unregistered image that asynchronous steps get carries the primary name.
        return write.fetch(flow.reader, table, flow.record_id, [table.primary_id, table.primary_name])
    return None


def _image(flow: Flow, row: Mapping[str, Any], columns: Sequence[str] | None) -> Record:
    names = columns if columns is not None else [name for name, value in row.items() if value is not None]
    table = flow.catalog.table(flow.table or "")
    chosen = {name: row[name] for name in names if name in row and table.columns[name].readable}
    return Record(table.logical, flow.record_id, chosen)
