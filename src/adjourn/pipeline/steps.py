"""One step of an operation: run in the caller's thread, or made a job of.

A synchronous step gets an Organization whose calls join the transaction of its operation, one deeper. An asynchronous
one becomes a row of `asyncoperation` with its context in `data`. Source: semantics §4 to §7.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import structlog

from adjourn import errors, runtime
from adjourn.errors import AdjournError, StepFailed, said
from adjourn.jobs import model as jobs_model
from adjourn.metadata.model import Reference
from adjourn.pipeline import handlers, serialize, tracing
from adjourn.pipeline.code import handler_of, resolve
from adjourn.pipeline.context import SYNCHRONOUS, Context
from adjourn.pipeline.flow import Flow, UserCode
from adjourn.pipeline.record import Record
from adjourn.pipeline.registry import Step

log = structlog.get_logger("adjourn.pipeline")


def fires(step: Step, flow: Flow) -> bool:
    """Whether a registered step is meant: an update of none of its filtering columns passes it by."""
    if not step.filtering or flow.message != "Update":
        return True
    target = flow.inputs.get("Target")
    return isinstance(target, Record) and not step.filtering.isdisjoint(target.values)


def run_step(step: Step, context: Context, flow: Flow) -> None:
    """Run one synchronous step. Raises StepFailed with the step's own text for anything that it raises itself."""
    outer = flow.unit  # at stage 10 of a nested operation too: `run` gives it the unit that it joins
    if outer is not None and outer.grouped:
        raise UserCode(step.name)
    handler = handler_of(resolve(step.module, step.function))
    caller = flow.call.caller
    if step.impersonating_user_id is not None:
        caller = flow.pipeline.caller(step.impersonating_user_id, flow.unit.tx if flow.unit else None)
        caller = dataclasses.replace(caller, initiating_user_id=flow.call.caller.user_id)
    inner = dataclasses.replace(
        flow.call,
        caller=caller,
        depth=flow.call.depth + 1,
        transaction=flow.unit.tx if flow.unit else None,
        parent=context,
        if_match=None,
        shared_variables={},
    )
    context = dataclasses.replace(context, owning_extension=Reference("sdkmessageprocessingstep", step.id))
    with recorded(step.function, flow, context, step.id):
        try:
            handlers.invoke(
                handlers.Handler.of(handler),
                organization=flow.pipeline.client(inner),
                job=None,
                context=context,
                arguments={},
            )
        except (AdjournError, KeyboardInterrupt):
            raise
        except BaseException as error:  # SystemExit and the like are the step's refusal, not the service's end
            log.warning("synchronous step raised", step=step.name, message=flow.message, error=handlers.told(error))
            raise StepFailed(said(error), code=errors.STEP_UNEXPECTED) from error


def job_of(step: Step, context: Context, flow: Flow) -> jobs_model.NewJob:
    """The job of an asynchronous step: owned by the caller, or by the step's impersonated user."""
    caller = flow.call.caller
    owner = caller
    if step.impersonating_user_id is not None:
        owner = flow.pipeline.caller(step.impersonating_user_id, flow.tx)
    job_id = runtime.new_id()
    carried = dataclasses.replace(
        context,
        operation_id=job_id,
        operation_created_on=flow.tx.now,
        is_in_transaction=False,
    )
    name_column = flow.catalog.tables[flow.table].primary_name if flow.table else None
    regarding = Reference(flow.table, flow.record_id) if flow.table and flow.record_id and name_column else None
    return jobs_model.NewJob(
        id=job_id,
        operation_type=jobs_model.EVENT,
        name=step.name,
        message_name=flow.message,
        owner=Reference("systemuser", owner.user_id),
        owning_business_unit=owner.business_unit_id,
        created_by=caller.user_id,
        created_on_behalf_by=caller.delegate_id,
        created_on=flow.tx.now,
        correlation_id=flow.correlation_id,
        correlation_updated=flow.call.correlation_updated or flow.tx.now,
        depth=flow.call.depth,
        data=serialize.to_json(carried, flow.catalog),
        time_zone_code=caller.timezone_code,
        regarding=regarding,
        primary_entity_type=flow.table,
        owning_extension=step.id,
        serial_key=f"r:{step.id}:{flow.record_id}" if step.per_record_order and flow.record_id else None,
    )


@contextmanager
def recorded(function: str, flow: Flow, context: Context, step_id: UUID | None) -> Iterator[None]:
    """Leave a trace log of the function that runs in the block, if the organization wants one."""
    setting = (flow.unit.snapshot if flow.unit else flow.pipeline.registry.cached()).tracing
    if setting == tracing.OFF:
        yield
        return
    started, began = runtime.now(), runtime.monotonic()
    raised: str | None = None
    with tracing.recording() as lines:
        try:
            yield
        except BaseException as error:
            raised = handlers.told(error)
            raise
        finally:
            made = tracing.TraceLog(
                type_name=function,
                message=flow.message,
                table=flow.table,
                mode=SYNCHRONOUS,
                depth=flow.call.depth,
                correlation_id=context.correlation_id,
                request_id=context.request_id,
                step_id=step_id,
                user_id=context.user_id,
                started=started,
                seconds=runtime.monotonic() - began,
                text=lines.text(),
                raised=raised,
            )
            if made.wanted(setting):
                tracing.collect(made)
