"""Messages of one's own (Dataverse: custom API): their function is stage 30, in the caller's thread and transaction.

They pass the stages like the platform's messages. The call takes no privilege, but Read on the record that a message is bound
to; what the function does is asked of the caller's privileges. Source: design §1 and §9.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import structlog

from adjourn import errors
from adjourn.errors import AdjournError, InvalidRequest, StepFailed, UnknownResource, nearest, said
from adjourn.metadata.model import Catalog
from adjourn.pipeline import handlers, validate
from adjourn.pipeline.call import Call, Request
from adjourn.pipeline.code import handler_of, resolve
from adjourn.pipeline.context import Stage
from adjourn.pipeline.declare import Message
from adjourn.pipeline.flow import Flow, Stale
from adjourn.pipeline.messages import MESSAGES
from adjourn.pipeline.prepared import Prepared
from adjourn.pipeline.read import not_found
from adjourn.pipeline.step_context import context_of
from adjourn.pipeline.steps import recorded
from adjourn.query import write

if TYPE_CHECKING:
    from adjourn.pipeline.execute import Pipeline

log = structlog.get_logger("adjourn.pipeline")


def execute(pipeline: Pipeline, request: Request, call: Call) -> dict[str, Any]:
    """A message of one's own: its function is stage 30, in the caller's thread and transaction."""
    found = pipeline.registry.cached().messages.get(request.message)
    if found is None:
        found = pipeline.registry.refresh().messages.get(request.message)
    if found is None:
        known = [*MESSAGES, *pipeline.registry.cached().messages]
        raise UnknownResource(f"Message '{request.message[:200]}' does not exist.{nearest(request.message, known)}")
    marked = resolve(found.module, found.function)
    declared = marked if isinstance(marked, Message) else None
    handler = handlers.Handler.of(handler_of(marked))
    handler.check(request.parameters, found.name)
    prepared = _prepared(pipeline.catalog, request, declared)
    reads = declared is not None and declared.function

    def perform(flow: Flow) -> dict[str, Any]:
        if flow.record_id is not None:
            table = flow.catalog.table(flow.table or "")
            if not write.exists(flow.reader, table, flow.record_id):
                raise not_found(table, flow.record_id)
        inner = dataclasses.replace(
            flow.call,
            depth=flow.call.depth + 1,
            transaction=flow.unit.tx if flow.unit is not None else flow.call.transaction,
            if_match=None,
            shared_variables={},
            read_only=found.name if reads else flow.call.read_only,
        )
        context = context_of(flow, Stage.MAIN_OPERATION, {}, parent=flow.call.parent)
        with recorded(found.function, flow, context, None):
            result = handlers.invoke(
                handler,
                organization=pipeline.client(dataclasses.replace(inner, parent=context)),
                job=handlers.NoJob(context.operation_id, found.name, flow.call.depth),
                context=context,
                arguments=flow.inputs,
            )
            return handlers.response(result)

    try:
        with pipeline.traced():
            return pipeline.run(
                request.message, prepared, perform, call, reads=reads, user_code=True, label=request.message
            )
    except (AdjournError, Stale, KeyboardInterrupt):
        raise
    except BaseException as error:  # as with a step
        log.warning("message raised", message=request.message, error=handlers.told(error))
        raise StepFailed(said(error), code=errors.STEP_UNEXPECTED) from error


def _prepared(catalog: Catalog, request: Request, declared: Message[..., Any] | None) -> Prepared:
    """What a message of one's own works on: the record that it is bound to, if it is."""
    inputs = dict(request.parameters)
    if declared is None or declared.table is None:
        return Prepared(None, None, inputs)
    table = catalog.table(declared.table).logical
    if declared.target is None:
        return Prepared(table, None, inputs)
    target = inputs[declared.target] = validate.reference(catalog, inputs[declared.target], declared.target)
    if target.table != table:
        raise InvalidRequest(f"Message '{declared.name}' is bound to table '{table}', not to '{target.table}'.")
    return Prepared(table, target.id, inputs, bound=True)
