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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import structlog

from adjourn import config, errors, runtime
from adjourn.errors import AdjournError, DepthExceeded, InvalidRequest, StepFailed, UnknownResource, nearest, said
from adjourn.jobs import model as jobs_model
from adjourn.jobs import queue
from adjourn.metadata.model import Catalog, Reference
from adjourn.pipeline import access, core, handlers, serialize, step_rules, tracing, validate
from adjourn.pipeline.call import Call, Request
from adjourn.pipeline.callers import Principals
from adjourn.pipeline.context import ASYNCHRONOUS, SYNCHRONOUS, Context, Stage
from adjourn.pipeline.declare import Message
from adjourn.pipeline.messages import MESSAGES, require_before
from adjourn.pipeline.prepared import Prepared
from adjourn.pipeline.read import not_found
from adjourn.pipeline.record import Record
from adjourn.pipeline.registry import POST_IMAGE, PRE_IMAGE, Registry, Snapshot, Step, handler_of, resolve
from adjourn.query import write
from adjourn.query.security import Caller
from adjourn.store.contract import Reader, Store, Transaction

log = structlog.get_logger("adjourn.pipeline")

_STALE_ATTEMPTS_MAX = 10
_ALWAYS_KNOWN = ("versionnumber", "statecode", "statuscode", "firstname", "lastname")
"""Columns that an update needs of the present row even when no step asked for an image."""


class _Stale(Exception):
    """The registrations changed between looking them up and the transaction; begin again with the new ones."""


class _OtherMetadata(_Stale):
    """The tables changed as well: what was checked against them must be checked again."""


class _UserCode(Exception):
    """An operation inside a grouped unit has synchronous steps: begin again in a transaction that may run them."""


@dataclass(slots=True)
class Unit:
    """One transaction: the registrations that hold in it, and the jobs that it will leave behind."""

    tx: Transaction
    snapshot: Snapshot
    grouped: bool = False
    """On the store's writer, beside others: no user code may run in it."""
    jobs: list[jobs_model.NewJob] = field(default_factory=list)


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
    reader: Reader
    unit: Unit | None = None
    pre_validation: Mapping[str, Any] = field(default_factory=dict)
    """The shared variables that stage 10 left."""
    privileged: bool = False
    """The platform's own doing, in the caller's name: his privileges are not asked."""
    _before: dict[str, Any] | None = None

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
        return require_before(self, self._before)

    def nested(self, request: Request, *, privileged: bool = False) -> dict[str, Any]:
        """Run another message inside this one, at the same depth: it is the same caller's one request."""
        return self.pipeline.execute(
            request, dataclasses.replace(self.call, transaction=self.tx), privileged=privileged or self.privileged
        )


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
        self._client = client
        """Makes the Organization that a step gets, bound to a call."""
        self._caller = caller
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
            return self._execute_own(request, call)
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
            except _OtherMetadata:
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

        catalog: what `prepared` was checked against; raises _OtherMetadata if that is no longer true.
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
                _no_reader,
                unit,
                privileged=privileged,
            )
            if not steps and reads:
                access.authorize(flow)
                with self._reading(call) as reader:
                    flow.reader = reader
                    return perform(flow)
            if unit is not None:
                return self._run_nested(flow, steps, unit)
            in_turn = [s for s in steps if s.mode == SYNCHRONOUS and s.stage != Stage.PRE_VALIDATION]
            try:
                with self._traced():
                    self._pre_validate(flow, steps)
                    access.authorize(flow)
                    if user_code or in_turn:
                        with self.transaction(label or in_turn[0].name, snapshot) as unit:
                            return self._run_stages(flow, steps, unit)
                    try:
                        return self.store.write(partial(self._run_grouped, flow, steps, snapshot))
                    except _UserCode as inner:
                        with self.transaction(str(inner), snapshot) as unit:
                            return self._run_stages(flow, steps, unit)
            except _OtherMetadata:
                raise
            except _Stale:
                self.registry.refresh()
                if catalog is not None and self.catalog is not catalog:
                    raise _OtherMetadata from None
        raise errors.Busy("The registered steps change too quickly for the operation to run; try again.")

    @contextmanager
    def transaction(self, label: str, snapshot: Snapshot | None = None) -> Iterator[Unit]:
        """A unit in a transaction of its own, in this thread: all that is executed with its `tx` is all or nothing.

        label: who holds the writer meanwhile, for those who wait.
        """
        with self._traced(), self.store.transaction(label) as tx, self.unit(tx, snapshot) as unit:
            yield unit

    @contextmanager
    def unit(self, tx: Transaction, snapshot: Snapshot | None = None, *, grouped: bool = False) -> Iterator[Unit]:
        """Make a store's transaction a unit of the pipeline: its jobs are inserted when the block ends well.

        snapshot: the registrations that the caller planned with; raises _Stale inside if they are no longer true.
        """
        version = write.config_version(tx)
        if snapshot is not None and snapshot.version != version:
            raise _Stale
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
    def _traced(self) -> Iterator[None]:
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
        fresh = dataclasses.replace(flow, inputs=_copied(flow.inputs), _before=None)
        with self.unit(tx, snapshot, grouped=True) as unit:
            return self._run_stages(fresh, steps, unit)

    def _run_nested(self, flow: Flow, steps: Sequence[Step], unit: Unit) -> dict[str, Any]:
        collected = len(unit.jobs)
        try:
            with unit.tx.savepoint():
                self._pre_validate(flow, steps)
                access.authorize(flow)
                return self._run_stages(flow, steps, unit)
        except BaseException:
            del unit.jobs[collected:]
            raise
        finally:
            self._renew(unit)

    def _renew(self, unit: Unit) -> None:
        """A nested operation may have registered steps: later ones in the same unit must see them."""
        if write.config_version(unit.tx) != unit.snapshot.version:
            unit.snapshot = self.registry.current(unit.tx)

    def _pre_validate(self, flow: Flow, steps: Sequence[Step]) -> None:
        early = [step for step in steps if step.stage == Stage.PRE_VALIDATION and self._fires(step, flow)]
        if not early:
            return
        shared: dict[str, Any] = dict(flow.call.shared_variables)
        context = self._context(flow, Stage.PRE_VALIDATION, shared, parent=flow.call.parent)
        for step in early:
            self._run_step(step, context, flow)
        flow.pre_validation = shared

    def _run_stages(self, flow: Flow, steps: Sequence[Step], unit: Unit) -> dict[str, Any]:
        flow.unit = unit
        flow.reader = unit.tx
        if flow.call.guard is not None:
            flow.call.guard(unit.tx)
        access.reach(flow)
        fired = [step for step in steps if step.stage != Stage.PRE_VALIDATION and self._fires(step, flow)]
        sent = _copied(flow.inputs) if fired else {}
        flow._before = self._row_before(flow, fired)
        shared: dict[str, Any] = dict(flow.call.shared_variables)
        # Stages 20 and 40 see what stage 10 shared through the parent context, and the caller's own columns there.
        parent = self._context(
            flow, Stage.MAIN_OPERATION, dict(flow.pre_validation), parent=flow.call.parent, inputs=sent
        ) if fired else None  # fmt: skip
        context = self._context(flow, Stage.PRE_OPERATION, shared, parent=parent)
        for step in fired:
            if step.stage == Stage.PRE_OPERATION:
                context.stage = Stage.PRE_OPERATION
                self._run_step(step, self._with_images(step, context, flow, None), flow)
        outputs = flow.perform(flow)
        late = [step for step in fired if step.stage == Stage.POST_OPERATION]
        if not late:
            return outputs
        context.stage = Stage.POST_OPERATION
        context.output_parameters = outputs
        after = self._row_after(flow, late)
        for step in late:
            if step.mode == SYNCHRONOUS:
                self._run_step(step, self._with_images(step, context, flow, after), flow)
        for step in late:
            if step.mode == ASYNCHRONOUS:
                unit.jobs.append(self._job(step, self._with_images(step, context, flow, after), flow))
        return outputs

    def _row_before(self, flow: Flow, fired: Sequence[Step]) -> dict[str, Any] | None:
        message = MESSAGES.get(flow.message)
        if message is None or not message.pre_image or flow.record_id is None or flow.table == "asyncoperation":
            return None
        table = self.catalog.table(flow.table or "")
        wanted = any(image.kind != POST_IMAGE for step in fired for image in step.images)
        wanted = wanted or step_rules.concerns(table.logical)
        columns = None if wanted else [name for name in _ALWAYS_KNOWN if name in table.columns] or [table.primary_id]
        return write.fetch(flow.reader, table, flow.record_id, columns)

    def _row_after(self, flow: Flow, late: Sequence[Step]) -> dict[str, Any] | None:
        message = MESSAGES.get(flow.message)
        if message is None or not message.post_image or flow.record_id is None:
            return None
        table = self.catalog.table(flow.table or "")
        if any(image.kind != PRE_IMAGE for step in late for image in step.images):
            return write.fetch(flow.reader, table, flow.record_id)
        if any(step.mode == ASYNCHRONOUS for step in late) and table.primary_name:
            # The unregistered image that asynchronous steps get carries the primary name.
            return write.fetch(flow.reader, table, flow.record_id, [table.primary_id, table.primary_name])
        return None

    def _with_images(self, step: Step, context: Context, flow: Flow, after: Mapping[str, Any] | None) -> Context:
        pre: dict[str, Record] = {}
        post: dict[str, Record] = {}
        for image in step.images:
            if image.kind != POST_IMAGE and flow._before is not None:
                pre[image.alias] = _image(flow, flow._before, image.columns)
            if image.kind != PRE_IMAGE and after is not None:
                post[image.alias] = _image(flow, after, image.columns)
        if step.mode == ASYNCHRONOUS and after is not None:
            table = self.catalog.table(flow.table or "")
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

    def _fires(self, step: Step, flow: Flow) -> bool:
        if not step.filtering or flow.message != "Update":
            return True
        target = flow.inputs.get("Target")
        return isinstance(target, Record) and not step.filtering.isdisjoint(target.values)

    def _context(
        self,
        flow: Flow,
        stage: int,
        shared: dict[str, Any],
        *,
        parent: Context | None,
        inputs: dict[str, Any] | None = None,
    ) -> Context:
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
            organization_name=self.organization_name,
            correlation_id=_present(flow.call.correlation_id),
            operation_id=flow.operation_id,
            operation_created_on=flow.unit.tx.now if flow.unit else runtime.now(),
            is_in_transaction=flow.unit is not None,
            input_parameters=flow.inputs if inputs is None else inputs,
            shared_variables=shared,
            parent_context=parent,
        )

    def _run_step(self, step: Step, context: Context, flow: Flow) -> None:
        """Run one synchronous step. Raises StepFailed with the step's own text for anything that it raises itself."""
        outer = flow.unit  # at stage 10 of a nested operation too: `run` gives it the unit that it joins
        if outer is not None and outer.grouped:
            raise _UserCode(step.name)
        handler = handler_of(resolve(step.module, step.function))
        caller = flow.call.caller
        if step.impersonating_user_id is not None:
            caller = self._caller(step.impersonating_user_id, flow.unit.tx if flow.unit else None)
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
        with self._recorded(step.function, flow, context, step.id):
            try:
                handlers.invoke(
                    handlers.Handler.of(handler),
                    organization=self._client(inner),
                    job=None,
                    context=context,
                    arguments={},
                )
            except (AdjournError, KeyboardInterrupt):
                raise
            except BaseException as error:  # SystemExit and the like are the step's refusal, not the service's end
                log.warning("synchronous step raised", step=step.name, message=flow.message, error=handlers.told(error))
                raise StepFailed(said(error), code=errors.STEP_UNEXPECTED) from error

    @contextmanager
    def _recorded(self, function: str, flow: Flow, context: Context, step_id: UUID | None) -> Iterator[None]:
        """Leave a trace log of the function that runs in the block, if the organization wants one."""
        setting = (flow.unit.snapshot if flow.unit else self.registry.cached()).tracing
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

    def _job(self, step: Step, context: Context, flow: Flow) -> jobs_model.NewJob:
        caller = flow.call.caller
        owner = caller
        if step.impersonating_user_id is not None:
            owner = self._caller(step.impersonating_user_id, flow.tx)
        job_id = runtime.new_id()
        carried = dataclasses.replace(
            context,
            operation_id=job_id,
            operation_created_on=flow.tx.now,
            is_in_transaction=False,
        )
        name_column = self.catalog.tables[flow.table].primary_name if flow.table else None
        regarding = Reference(flow.table, flow.record_id) if flow.table and flow.record_id and name_column else None
        return jobs_model.NewJob(
            id=job_id,
            operation_type=jobs_model.EVENT,
            name=step.name,
            message_name=flow.message,
            owner=Reference("systemuser", owner.user_id),
            owning_business_unit=owner.business_unit_id,
            created_by=caller.user_id,
            created_on=flow.tx.now,
            correlation_id=_present(flow.call.correlation_id),
            correlation_updated=flow.call.correlation_updated or flow.tx.now,
            depth=flow.call.depth,
            data=serialize.to_json(carried, self.catalog),
            time_zone_code=caller.timezone_code,
            regarding=regarding,
            primary_entity_type=flow.table,
            owning_extension=step.id,
            serial_key=f"r:{step.id}:{flow.record_id}" if step.per_record_order and flow.record_id else None,
        )

    def _execute_own(self, request: Request, call: Call) -> dict[str, Any]:
        """A message of one's own: its function is stage 30, in the caller's thread and transaction."""
        found = self.registry.cached().messages.get(request.message)
        if found is None:
            found = self.registry.refresh().messages.get(request.message)
        if found is None:
            known = [*MESSAGES, *self.registry.cached().messages]
            raise UnknownResource(f"Message '{request.message[:200]}' does not exist.{nearest(request.message, known)}")
        marked = resolve(found.module, found.function)
        declared = marked if isinstance(marked, Message) else None
        handler = handlers.Handler.of(handler_of(marked))
        handler.check(request.parameters, found.name)
        prepared = self._prepared_own(request, declared)
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
            context = self._context(flow, Stage.MAIN_OPERATION, {}, parent=flow.call.parent)
            with self._recorded(found.function, flow, context, None):
                result = handlers.invoke(
                    handler,
                    organization=self._client(dataclasses.replace(inner, parent=context)),
                    job=handlers.NoJob(context.operation_id, found.name, flow.call.depth),
                    context=context,
                    arguments=flow.inputs,
                )
                return handlers.response(result)

        try:
            with self._traced():
                return self.run(
                    request.message, prepared, perform, call, reads=reads, user_code=True, label=request.message
                )
        except (AdjournError, _Stale, KeyboardInterrupt):
            raise
        except BaseException as error:  # as with a step
            log.warning("message raised", message=request.message, error=handlers.told(error))
            raise StepFailed(said(error), code=errors.STEP_UNEXPECTED) from error

    def _prepared_own(self, request: Request, declared: Message[..., Any] | None) -> Prepared:
        """What a message of one's own works on: the record that it is bound to, if it is."""
        inputs = dict(request.parameters)
        if declared is None or declared.table is None:
            return Prepared(None, None, inputs)
        table = self.catalog.table(declared.table).logical
        if declared.target is None:
            return Prepared(table, None, inputs)
        target = inputs[declared.target] = validate.reference(self.catalog, inputs[declared.target], declared.target)
        if target.table != table:
            raise InvalidRequest(f"Message '{declared.name}' is bound to table '{table}', not to '{target.table}'.")
        return Prepared(table, target.id, inputs)

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
    def _reading(self, call: Call) -> Iterator[Reader]:
        if call.transaction is not None:
            yield call.transaction
        else:
            with self.store.read() as reader:
                yield reader


def _present(found: UUID | None) -> UUID:
    assert found is not None
    return found


def _image(flow: Flow, row: Mapping[str, Any], columns: Sequence[str] | None) -> Record:
    names = columns if columns is not None else [name for name, value in row.items() if value is not None]
    table = flow.catalog.table(flow.table or "")
    chosen = {name: row[name] for name in names if name in row and table.columns[name].readable}
    return Record(table.logical, flow.record_id, chosen)


def _copied(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Input parameters that stage 30 may complete without changing what the caller, or a second attempt, has."""
    return {
        key: Record(value.table, value.id, dict(value.values)) if isinstance(value, Record) else value
        for key, value in inputs.items()
    }


class _NoReader:
    """Stands where a flow has not reached its view of the data yet."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError("this flow has no view of the data yet")


_no_reader: Any = _NoReader()
