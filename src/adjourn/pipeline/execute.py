"""The event pipeline: one message through its stages, with the transaction where it belongs.

    10  PreValidation    before the transaction (of the outermost operation)
    --- the transaction begins: the writer's turn on SQLite ---
        pre-images
    20  PreOperation     synchronous steps
    30  MainOperation    `messages`, or the function of a message of one's own
        post-images
    40  PostOperation    synchronous steps, then one job row for each asynchronous step
    --- COMMIT: the change and its jobs are durable together ---

An operation without synchronous steps runs as a grouped unit on the store's writer; one with them, or one whose stage
30 is somebody's function, holds a transaction of its own in the caller's thread. A step that calls back joins the
transaction of its operation in a savepoint. An exception anywhere rolls everything back and reaches the caller.
Jobs are collected while the transaction runs and inserted last (mechanisms, "Dependency token").
Source: semantics §4 and §5; design §5.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import structlog

from adjourn import config, errors, runtime
from adjourn.errors import AdjournError, DepthExceeded, InvalidRequest
from adjourn.jobs import model as jobs_model
from adjourn.jobs import queue
from adjourn.metadata.model import Catalog
from adjourn.pipeline import access, own_messages, stages, tracing
from adjourn.pipeline.call import Call, Request
from adjourn.pipeline.callers import Principals
from adjourn.pipeline.context import SYNCHRONOUS, Stage
from adjourn.pipeline.flow import Flow, OtherMetadata, Stale, Unit, UserCode
from adjourn.pipeline.messages import MESSAGES
from adjourn.pipeline.prepared import Prepared
from adjourn.pipeline.registry import Registry, Snapshot, Step
from adjourn.query import write
from adjourn.query.security import Caller
from adjourn.store.contract import Reader, Store, Transaction

log = structlog.get_logger("adjourn.pipeline")

_STALE_ATTEMPTS_MAX = 10


class Pipeline:
    """Executes messages. One per open organization."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        client: Callable[[Call], Any],
        caller: Callable[[UUID, Reader | None], Caller],
        organization_name: str,
    ) -> None:
        self.store = store
        self.registry = registry
        self.organization_name = organization_name
        self.client = client
        """Makes the Organization that a step gets, bound to a call."""
        self.caller = caller
        """Looks a user up, with what he may."""
        self._units: dict[int, Unit] = {}

    @property
    def catalog(self) -> Catalog:
        """The tables as of the last look at the configuration."""
        return self.registry.catalog

    def unit_of(self, call: Call) -> Unit | None:
        """The unit that a call is made in, if it is made in one."""
        return self._units.get(id(call.transaction)) if call.transaction is not None else None

    def principals(self, reader: Reader) -> Principals:
        """Users and teams with what they may, as `reader` sees them."""
        snapshot = self.registry.current(reader)
        return Principals(snapshot.catalog, snapshot.cached)

    def execute(self, request: Request, call: Call, *, privileged: bool = False) -> dict[str, Any]:
        """Run a message for a caller; returns its output parameters.

        privileged: whether he may is not asked; what the message's own steps do is asked all the same.

        Raises the documented error of whatever refused it; then nothing of it remains.
        """
        call = self.correlated(call)
        message = MESSAGES.get(request.message)
        if message is None:
            return own_messages.execute(self, request, call)
        unit = self.unit_of(call)
        for _ in range(_STALE_ATTEMPTS_MAX):
            catalog = unit.snapshot.catalog if unit is not None else self.catalog
            prepared = message.prepare(catalog, request)
            try:
                return self.run(
                    request.message,
                    prepared,
                    message.perform,
                    call,
                    reads=message.reads,
                    catalog=catalog,
                    privileged=privileged,
                )
            except OtherMetadata:
                continue
        # Somebody makes one change after the other: in a transaction of its own the next one has to wait.
        with self.transaction(f"{request.message}, as the metadata changes") as unit:
            return self.execute(request, dataclasses.replace(call, transaction=unit.tx), privileged=privileged)

    def run(
        self,
        message: str,
        prepared: Prepared,
        perform: Callable[[Flow], dict[str, Any]],
        call: Call,
        *,
        reads: bool = False,
        user_code: bool = False,
        label: str = "",
        catalog: Catalog | None = None,
        privileged: bool = False,
    ) -> dict[str, Any]:
        """Take a prepared message through its stages, in the kind of transaction that its steps demand.

        catalog: what `prepared` was checked against; raises OtherMetadata if that is no longer true.
        """
        if call.read_only is not None and not reads:
            raise InvalidRequest(
                f"'{call.read_only}' is a function and only reads: it may not execute '{message}'. Declare it without "
                "function=True to make an action of it."
            )
        for _ in range(_STALE_ATTEMPTS_MAX):
            unit = self.unit_of(call)
            snapshot = unit.snapshot if unit else self.registry.cached()
            steps = snapshot.steps(message, prepared.table)
            if call.bypassed:
                steps = tuple(step for step in steps if step.mode not in call.bypassed)
            flow = Flow(
                self,
                call,
                message,
                prepared,
                perform,
                dict(prepared.inputs),
                runtime.new_id(),
                unit=unit,
                privileged=privileged,
            )
            if not steps and reads:
                access.authorize(flow)
                with self.reading(call) as reader:
                    flow.reader = reader
                    access.reach(flow)
                    return perform(flow)
            if unit is not None:
                return self._run_nested(flow, steps, unit)
            in_turn = [s for s in steps if s.mode == SYNCHRONOUS and s.stage != Stage.PRE_VALIDATION]
            try:
                with self.traced():
                    stages.pre_validate(flow, steps)
                    access.authorize(flow)
                    if user_code or in_turn:
                        with self.transaction(label or in_turn[0].name, snapshot) as unit:
                            return stages.run(flow, steps, unit)
                    try:
                        return self.store.write(partial(self._run_grouped, flow, steps, snapshot))
                    except UserCode as inner:
                        with self.transaction(str(inner), snapshot) as unit:
                            return stages.run(flow, steps, unit)
            except OtherMetadata:
                raise
            except Stale:
                self.registry.refresh()
                if catalog is not None and self.catalog is not catalog:
                    raise OtherMetadata from None
        raise errors.Busy("The registered steps change too quickly for the operation to run; try again.")

    @contextmanager
    def transaction(self, label: str, snapshot: Snapshot | None = None) -> Iterator[Unit]:
        """A unit in a transaction of its own, in this thread: all that is executed with its `tx` is all or nothing.

        label: who holds the writer meanwhile, for those who wait.
        """
        with self.traced(), self.store.transaction(label) as tx, self.unit(tx, snapshot) as unit:
            yield unit

    @contextmanager
    def unit(self, tx: Transaction, snapshot: Snapshot | None = None, *, grouped: bool = False) -> Iterator[Unit]:
        """Make a store's transaction a unit of the pipeline: its jobs are inserted when the block ends well.

        snapshot: the registrations that the caller planned with; raises Stale inside if they are no longer true.
        """
        version = write.config_version(tx)
        if snapshot is not None and snapshot.version != version:
            raise Stale
        unit = Unit(tx, snapshot or self.registry.current(tx), grouped)
        self._units[id(tx)] = unit
        try:
            yield unit
            if unit.jobs:
                queue.insert(tx, unit.jobs)
                tx.after_commit(self.store.wake)
        finally:
            del self._units[id(tx)]

    @contextmanager
    def traced(self) -> Iterator[None]:
        with tracing.collecting() as logs:
            try:
                yield
            finally:
                if logs:
                    self._keep(logs)

    def _keep(self, logs: Sequence[tracing.TraceLog]) -> None:
        try:
            self.store.write(lambda tx: tracing.insert(tx, self.catalog, logs))
        except AdjournError as error:
            # The operation has ended, well or not: that its trace is lost must not change what it answers.
            log.warning("trace logs could not be kept", logs=len(logs), error=error.message)

    def collect(self, tx: Transaction, jobs: Sequence[jobs_model.NewJob]) -> None:
        """Add jobs to what a unit leaves behind; they are inserted when it commits."""
        self._units[id(tx)].jobs.extend(jobs)

    def _run_grouped(self, flow: Flow, steps: Sequence[Step], snapshot: Snapshot, tx: Transaction) -> dict[str, Any]:
        # The writer may run a unit again: it gets a fresh flow each time.
        fresh = flow.afresh()
        with self.unit(tx, snapshot, grouped=True) as unit:
            return stages.run(fresh, steps, unit)

    def _run_nested(self, flow: Flow, steps: Sequence[Step], unit: Unit) -> dict[str, Any]:
        collected = len(unit.jobs)
        try:
            with unit.tx.savepoint():
                stages.pre_validate(flow, steps)
                access.authorize(flow)
                return stages.run(flow, steps, unit)
        except BaseException:
            del unit.jobs[collected:]
            raise
        finally:
            self._renew(unit)

    def _renew(self, unit: Unit) -> None:
        """A nested operation may have registered steps: later ones in the same unit must see them."""
        if write.config_version(unit.tx) != unit.snapshot.version:
            unit.snapshot = self.registry.current(unit.tx)

    def correlated(self, call: Call) -> Call:
        """Give a call its correlation, and end a chain that is too deep (semantics §5, "Depth and loops")."""
        now = runtime.now()
        if call.correlation_id is None:
            return dataclasses.replace(call, correlation_id=runtime.new_id(), correlation_updated=now)
        began = call.correlation_updated or now
        if now - began > timedelta(seconds=config.DEPTH_WINDOW_SECONDS):
            return dataclasses.replace(call, depth=1, correlation_updated=now)
        if call.depth > config.DEPTH_MAX:
            raise DepthExceeded(
                f"This operation was called through {call.depth - 1} others within an hour; the limit is "
                f"{config.DEPTH_MAX}. A step or job changes what calls it again: an infinite loop was cut."
            )
        return call

    @contextmanager
    def reading(self, call: Call) -> Iterator[Reader]:
        """A view of the data for a call: its transaction's, or one of its own."""
        if call.transaction is not None:
            yield call.transaction
        else:
            with self.store.read() as reader:
                yield reader
