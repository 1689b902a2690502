"""The stages of one operation, in order; the transaction that they run in is `execute`'s.

Stage 10 stands before the checks of privileges, as in Dataverse; stages 20 and 40 round the platform's own work get images and
share variables; last come the jobs of asynchronous steps, whose context is written after the synchronous ones ran.
Source: semantics §4 and §5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adjourn.pipeline import access
from adjourn.pipeline.context import ASYNCHRONOUS, SYNCHRONOUS, Stage
from adjourn.pipeline.flow import Flow, Unit, copied
from adjourn.pipeline.registry import Step
from adjourn.pipeline.step_context import context_of, row_after, row_before, with_images
from adjourn.pipeline.steps import fires, job_of, run_step


def pre_validate(flow: Flow, steps: Sequence[Step]) -> None:
    """Stage 10. What its steps share is kept for the context that the later stages see as the parent."""
    early = [step for step in steps if step.stage == Stage.PRE_VALIDATION and fires(step, flow)]
    if not early:
        return
    shared: dict[str, Any] = dict(flow.call.shared_variables)
    context = context_of(flow, Stage.PRE_VALIDATION, shared, parent=flow.call.parent)
    for step in early:
        run_step(step, context, flow)
    flow.pre_validation = shared


def run(flow: Flow, steps: Sequence[Step], unit: Unit) -> dict[str, Any]:
    """Stages 20 to 40, in a unit; the jobs of asynchronous steps join those of the unit. Returns the output parameters."""
    flow.unit = unit
    flow.reader = unit.tx
    if flow.call.guard is not None:
        flow.call.guard(unit.tx)
    access.reach(flow)
    fired = [step for step in steps if step.stage != Stage.PRE_VALIDATION and fires(step, flow)]
    sent = copied(flow.inputs) if fired else {}
    flow.row_before = row_before(flow, fired)
    shared: dict[str, Any] = dict(flow.call.shared_variables)
    # Stages 20 and 40 see what stage 10 shared through the parent context, and the caller's own columns there.
    parent = context_of(
        flow, Stage.MAIN_OPERATION, dict(flow.pre_validation), parent=flow.call.parent, inputs=sent
    ) if fired else None  # fmt: skip
    context = context_of(flow, Stage.PRE_OPERATION, shared, parent=parent)
    for step in fired:
        if step.stage == Stage.PRE_OPERATION:
            context.stage = Stage.PRE_OPERATION
            run_step(step, with_images(step, context, flow, None), flow)
    outputs = flow.perform(flow)
    late = [step for step in fired if step.stage == Stage.POST_OPERATION]
    if not late:
        return outputs
    context.stage = Stage.POST_OPERATION
    context.output_parameters = outputs
    after = row_after(flow, late)
    for step in late:
        if step.mode == SYNCHRONOUS:
            run_step(step, with_images(step, context, flow, after), flow)
    for step in late:
        if step.mode == ASYNCHRONOUS:
            unit.jobs.append(job_of(step, with_images(step, context, flow, after), flow))
    return outputs
