"""One message on its way through the stages, and the transaction that it is in.

A `Flow` is what stage 30 (`messages`), the checks (`access`) and the steps see of an operation. A `Unit` is one transaction:
all flows inside it share the registrations that held when it began, and the jobs that it will leave behind.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from adjourn.jobs import model as jobs_model
from adjourn.metadata.model import Catalog, Reference
from adjourn.pipeline import core
from adjourn.pipeline.call import Call, Request
from adjourn.pipeline.messages import MESSAGES, require_before
from adjourn.pipeline.prepared import Prepared
from adjourn.pipeline.record import Record
from adjourn.pipeline.registry import Snapshot
from adjourn.store.contract import Reader, Transaction

if TYPE_CHECKING:
    from adjourn.pipeline.execute import Pipeline


class Stale(Exception):
    """The registrations changed between looking them up and the transaction; begin again with the new ones."""


class OtherMetadata(Stale):
    """The tables changed as well: what was checked against them must be checked again."""


class UserCode(Exception):
    """An operation inside a grouped unit has synchronous steps: begin again in a transaction that may run them."""


@dataclass(slots=True)
class Unit:
    """One transaction: the registrations that hold in it, and the jobs that it will leave behind."""

    tx: Transaction
    snapshot: Snapshot
    grouped: bool = False
    """On the store's writer, beside others: no user code may run in it."""
    jobs: list[jobs_model.NewJob] = field(default_factory=list)


class _NoReader:
    """Stands where a flow has not reached its view of the data yet."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError("this flow has no view of the data yet")


_no_reader: Any = _NoReader()


@dataclass(slots=True)
class Flow:
    """One message on its way through the stages."""

    pipeline: Pipeline
    call: Call
    message: str
    prepared: Prepared
    perform: Callable[[Flow], dict[str, Any]]
    inputs: dict[str, Any]
    operation_id: UUID
    reader: Reader = _no_reader
    unit: Unit | None = None
    pre_validation: Mapping[str, Any] = field(default_factory=dict)
    """The shared variables that stage 10 left."""
    privileged: bool = False
    """The platform's own doing, in the caller's name: his privileges are not asked."""
    row_before: dict[str, Any] | None = None
    """The columns of the record's row that were wanted of it, as they were when the operation began."""

    @property
    def tx(self) -> Transaction:
        assert self.unit is not None, f"message {self.message} writes outside a transaction"
        return self.unit.tx

    @property
    def catalog(self) -> Catalog:
        return self.unit.snapshot.catalog if self.unit is not None else self.pipeline.catalog

    @property
    def table(self) -> str | None:
        return self.prepared.table

    @property
    def record_id(self) -> UUID | None:
        return self.prepared.record_id

    @property
    def correlation_id(self) -> UUID:
        """Of the chain of operations; `Pipeline.correlated` gave it to the call."""
        assert self.call.correlation_id is not None
        return self.call.correlation_id

    @property
    def operation(self) -> core.Operation:
        def cascade(target: Reference) -> None:
            self.nested(Request("Delete", {"Target": target}), privileged=True)

        def change(target: Record) -> None:
            self.nested(Request("Update", {"Target": target}))

        return core.Operation(self.catalog, self.call.caller, self.tx.now, cascade, change)

    @property
    def privileges(self) -> tuple[str, ...]:
        """What the message needs, beside the privileges for its records."""
        message = MESSAGES.get(self.message)
        return message.privileges if message is not None else ()

    def before(self) -> dict[str, Any]:
        """The record's row as it was when the operation began. Raises NotFound."""
        return require_before(self, self.row_before)

    def nested(self, request: Request, *, privileged: bool = False) -> dict[str, Any]:
        """Run another message inside this one, at the same depth: it is the same caller's one request."""
        return self.pipeline.execute(
            request, dataclasses.replace(self.call, transaction=self.tx), privileged=privileged or self.privileged
        )

    def afresh(self) -> Flow:
        """The flow from its start, for a unit that may be run again."""
        return dataclasses.replace(self, inputs=copied(self.inputs), row_before=None)


def copied(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Input parameters that stage 30 may complete without changing what the caller, or a second attempt, has."""
    return {
        key: Record(value.table, value.id, dict(value.values)) if isinstance(value, Record) else value
        for key, value in inputs.items()
    }
