"""What a message is, and what a checked request for one is; the messages themselves stand in `messages`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from adjourn.metadata.model import Catalog
from adjourn.pipeline.call import Request

if TYPE_CHECKING:
    from adjourn.pipeline.flow import Flow


@dataclass(frozen=True, slots=True)
class Prepared:
    """A checked request: what it works on, and its input parameters as steps will see them."""

    table: str | None
    record_id: UUID | None
    inputs: Mapping[str, Any]
    bound: bool = False
    """A message of one's own that is called on the record: whoever calls it must be able to read the record."""
    derived: Any = None
    """What a message's `prepare` worked out of the inputs, so that `perform` need not do it again."""


@dataclass(frozen=True, slots=True)
class Message:
    """One platform message."""

    name: str
    prepare: Callable[[Catalog, Request], Prepared]
    perform: Callable[[Flow], dict[str, Any]]
    reads: bool = False
    """Changes nothing: without steps it needs no transaction."""
    pre_image: bool = False
    post_image: bool = False
    outputs: tuple[str, ...] = field(default=())
    privileges: tuple[str, ...] = field(default=())
    """What a caller must have, beside what follows from the records that the message works on (`access`)."""
