"""What a step sees: the execution context of one message at one stage.

Names follow IPluginExecutionContext in snake case (semantics §5). `serialize` turns it into the documented JSON shape,
which is what an asynchronous step's job carries in `data`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Any
from uuid import UUID

from adjourn.metadata.model import Reference
from adjourn.pipeline.record import Record


class Stage(IntEnum):
    """Where in the pipeline a step runs. 30 is the platform's own, and that of messages of one's own."""

    PRE_VALIDATION = 10
    PRE_OPERATION = 20
    MAIN_OPERATION = 30
    POST_OPERATION = 40


SYNCHRONOUS = 0
ASYNCHRONOUS = 1


@dataclass(slots=True, kw_only=True)
class Context:
    """The execution context. Steps may change `input_parameters` before stage 30, `output_parameters` at 40, and
    `shared_variables` at any stage; the rest is read-only by convention."""

    message_name: str
    stage: int
    mode: int
    depth: int
    primary_entity_name: str
    primary_entity_id: UUID | None
    user_id: UUID
    """Whose rights are in force: the caller, or the step's impersonated user."""
    initiating_user_id: UUID
    """Who started it."""
    business_unit_id: UUID
    organization_id: UUID
    organization_name: str
    correlation_id: UUID
    operation_id: UUID
    operation_created_on: datetime
    owning_extension: Reference | None = None
    request_id: UUID | None = None
    secondary_entity_name: str = "none"
    is_in_transaction: bool = False
    is_executing_offline: bool = False
    is_offline_playback: bool = False
    isolation_mode: int = 1
    input_parameters: dict[str, Any] = field(default_factory=dict)
    output_parameters: dict[str, Any] = field(default_factory=dict)
    shared_variables: dict[str, Any] = field(default_factory=dict)
    pre_entity_images: dict[str, Record] = field(default_factory=dict)
    post_entity_images: dict[str, Record] = field(default_factory=dict)
    parent_context: Context | None = None

    @property
    def target(self) -> Record:
        """The record that a Create or Update carries. Raises KeyError where the message has no such target."""
        target = self.input_parameters["Target"]
        if not isinstance(target, Record):
            raise KeyError("Target is a reference here; see input_parameters['Target']")
        return target
