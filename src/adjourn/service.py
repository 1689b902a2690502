"""The service: `execute(message)` and `retrieve_multiple(query)`, always as a caller.

Every surface and every handler calls this and nothing below it. It holds one organization's store, its metadata, its
registrations and its event pipeline, and knows who the callers are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog

from adjourn import config, runtime
from adjourn.client import Client
from adjourn.errors import AdjournError, InvalidRequest, UnknownResource, nearest
from adjourn.jobs import queue
from adjourn.metadata.catalog import load
from adjourn.metadata.model import Catalog, Table
from adjourn.metadata.privileges import ACT_FOR_OTHERS
from adjourn.pipeline import access, handlers, registration
from adjourn.pipeline.bootstrap import bootstrap
from adjourn.pipeline.call import Call, Request
from adjourn.pipeline.callers import Principals
from adjourn.pipeline.code import handler_of, resolve
from adjourn.pipeline.declare import Message
from adjourn.pipeline.enqueue import EXECUTE_ASYNC, Jobs, of_execute_async
from adjourn.pipeline.execute import Pipeline
from adjourn.pipeline.flow import Flow
from adjourn.pipeline.messages import MESSAGES
from adjourn.pipeline.prepared import Prepared
from adjourn.pipeline.read import ask, python_rows
from adjourn.pipeline.record import Record
from adjourn.pipeline.registry import Registry
from adjourn.query import fetchxml, odata_options, result, security
from adjourn.query.compile import compile
from adjourn.query.result import Rows
from adjourn.query.security import Caller
from adjourn.query.tree import Attribute, Condition, Filter, Query
from adjourn.store import open_store
from adjourn.store.contract import Reader, Store, Transaction

log = structlog.get_logger("adjourn.service")


@dataclass(frozen=True, slots=True)
class MessageInfo:
    """A message as surfaces offer it: its parameters as (name, JSON type, required).

    table: it is bound to a record of this table, which goes into the parameter `target`; or, with `collection`, to the
    table as a whole. function: it only reads.
    """

    name: str
    parameters: tuple[tuple[str, str, bool], ...]
    table: str | None = None
    target: str | None = None
    collection: bool = False
    function: bool = False


class Service:
    """One organization, open. Thread-safe."""

    def __init__(self, store: Store) -> None:
        self.store = store
        bootstrap(store, load())
        self.registry = Registry(store)
        self.organization_name = "adjourn"
        self._executed: dict[str, int] = {}
        self._counting = runtime.lock()
        self.pipeline = Pipeline(store, self.registry, self.client, self.caller, self.organization_name)

    @classmethod
    def open(cls, url: str, *, migrate: bool = True) -> Service:
        """Open a database by its URL; raises InvalidRequest for one that names none."""
        return cls(open_store(url, migrate=migrate))

    def close(self) -> None:
        self.store.close()

    @property
    def catalog(self) -> Catalog:
        """The tables, as of the last look at the configuration."""
        return self.registry.catalog

    def caller(self, user_id: UUID, reader: Reader | None = None) -> Caller:
        """A user as a caller: unit, teams, privileges, time zone. Raises Unauthenticated for an unknown or disabled one."""
        snapshot = self.registry.current(reader) if reader is not None else self.registry.refresh()
        found: Caller | None = snapshot.cached.get(user_id)
        if found is None:
            principals = Principals(snapshot.catalog, snapshot.cached)
            if reader is not None:
                return principals.caller(reader, user_id)
            with self.store.read() as own:
                found = principals.caller(own, user_id)
        return found

    def find_user(self, **wanted: Any) -> UUID | None:
        """The one systemuser whose columns have these values; None for none, or for several."""
        key = Attribute("systemuserid")
        conditions = [
            Condition(name, "null") if value is None else Condition(name, "eq", (value,))
            for name, value in wanted.items()
        ]
        with self.store.read() as reader:
            rows = ask(
                reader,
                self.catalog,
                Query("systemuser", (key,), filter=Filter("and", tuple(conditions)), language="fetchxml", top=2),
            )
        return rows[0]["systemuserid"] if len(rows) == 1 else None

    def acting_as(self, caller: Caller, user_id: UUID) -> Caller:
        """`caller` acting for another user, at the lower of both their depths. Raises PrivilegeDenied, Unauthenticated."""
        if user_id == caller.user_id:
            return caller
        security.require(caller, ACT_FOR_OTHERS, self.catalog)
        return security.acting_as(caller, self.caller(user_id))

    def administrator(self) -> Caller:
        """The holder of ADJOURN_ADMIN_TOKEN, and of an organization opened in process."""
        return self.caller(UUID(config.ADMIN_USER_ID))

    def client(self, call: Call) -> Client:
        """An Organization whose calls are made under these circumstances."""
        return Client(LocalBackend(self, call))

    def execute(self, request: Request, call: Call) -> dict[str, Any]:
        """Run a message; its output parameters by SDK name. Raises the documented error of whatever refused it."""
        self._count(request.message)
        if request.message == EXECUTE_ASYNC:
            return {"AsyncJobId": self.enqueue([of_execute_async(request)], call)[0]}
        self._register_first(request, call)
        return self.pipeline.execute(request, call)

    def retrieve_multiple(
        self,
        query: Query,
        call: Call,
        *,
        names: bool = False,
        begin: result.Begin | None = None,
    ) -> Rows:
        """Answer a query through the pipeline's RetrieveMultiple.

        names: also the names of lookups' targets, for formatted values. begin: makes what writes the rows as they come
        (`result.run`). Raises QueryError.
        """
        self._count("RetrieveMultiple")

        def answer(reader: Reader, asked: Query, begin: result.Begin | None = None) -> Rows:
            plan = compile(asked, self.catalog, call.caller, reader.dialect, reader.now, names=names)
            return result.run(plan, reader, begin)

        steps = self.registry.cached().steps("RetrieveMultiple", query.table)
        if not steps:
            if call.transaction is not None:
                return answer(call.transaction, query, begin)
            with self.store.read() as reader:
                return answer(reader, query, begin)
        answered: list[Rows] = []

        def perform(flow: Flow) -> dict[str, Any]:
            rows = answer(flow.reader, flow.inputs["Query"])
            answered[:] = [rows]
            records = _records(rows, query.table, self.catalog)
            return {"BusinessEntityCollection": records}

        self.catalog.table(query.table)
        prepared = Prepared(query.table, None, {"Query": query})
        self.pipeline.run("RetrieveMultiple", prepared, perform, self.pipeline.correlated(call), reads=True)
        found = answered[0]
        if begin is None or found.collections:
            return found
        return dataclasses.replace(found, rows=result.written(found.rows, begin(found.plan, found.total)))

    def executed(self) -> dict[str, int]:
        """How often each message was executed in this process since it started."""
        with self._counting:
            return dict(self._executed)

    def _count(self, message: str) -> None:
        with self._counting:
            if message in self._executed or self._is_message(message):
                self._executed[message] = self._executed.get(message, 0) + 1

    def _is_message(self, name: str) -> bool:
        """Names that callers make up are not counted: there is no end of them."""
        return name in (*MESSAGES, "RetrieveMultiple", EXECUTE_ASYNC) or name in self.registry.cached().messages

    def reads_plainly(self, table: str) -> bool:
        """Whether nobody's code runs when records of a table are read."""
        return not self.registry.cached().steps("RetrieveMultiple", table)

    def read_file(self, file_id: UUID, call: Call, first: int = 0, size: int | None = None) -> bytes:
        """The content of a stored file, or at most `size` bytes of it from the byte `first` on. Raises NotFound."""
        with self.pipeline.reading(call) as reader:
            return reader.read_file(file_id, first, size)

    def hidden(self, query: Query, call: Call) -> UUID | None:
        """The id of the one record that a question is about, which the caller may not see; None if there is none.

        For telling him so: nothing else of the record may be told.
        """
        if call.caller.is_administrator:
            return None
        with self.pipeline.reading(call) as reader:
            rows = ask(reader, self.catalog, query)
        return rows[0][self.catalog.table(query.table).primary_id] if rows else None

    def missing(self, table: Table, record_id: UUID, call: Call) -> AdjournError:
        """Why a question about one record has no answer: the caller may not read it, or there is none."""
        with self.pipeline.reading(call) as reader:
            return access.missing(reader, self.catalog, call.caller, table, record_id)

    def messages(self) -> Mapping[str, MessageInfo]:
        """The registered messages of one's own, by name."""
        snapshot = self.registry.refresh()
        infos: dict[str, MessageInfo] | None = snapshot.cached.get("messages")
        if infos is None:
            infos = {}
            for found in snapshot.messages.values():
                try:
                    infos[found.name] = _described(found.name, resolve(found.module, found.function))
                except AdjournError as error:
                    # Who calls it is told why it cannot be had; nobody else is troubled.
                    log.warning("a registered message cannot be had", message=found.name, error=error.message)
                    infos[found.name] = MessageInfo(found.name, ())
            snapshot.cached["messages"] = infos
        return infos

    def register(self, module: str) -> registration.Registered:
        """Register what a module marks, as the administrator. Raises InvalidRequest."""
        registered = registration.register_module(self.pipeline, module, Call(caller=self.administrator()))
        self.registry.refresh()
        return registered

    def enqueue(self, items: Sequence[tuple[Request, Mapping[str, Any]]], call: Call) -> list[UUID]:
        """Make a job of each request, in one transaction: the call's, where it has one. Returns their ids."""
        if call.read_only is not None:
            raise InvalidRequest(f"'{call.read_only}' is a function and only reads: it may not make jobs.")
        for request, _ in items:
            self._register_first(request, call)
        snapshot = self.registry.cached()
        if any(request.message not in snapshot.messages and request.message not in MESSAGES for request, _ in items):
            snapshot = self.registry.refresh()
        for request, _ in items:
            if request.message not in snapshot.messages and request.message not in MESSAGES:
                known = [*snapshot.messages, *MESSAGES]
                raise UnknownResource(
                    f"Message '{request.message[:200]}' does not exist.{nearest(request.message, known)}", status=400
                )
        jobs = Jobs(snapshot, self.store, call)
        prepared = [jobs.make(request, options) for request, options in items]
        ids = [job.id for job in prepared]

        def unit(tx: Transaction) -> None:
            if call.guard is not None:
                call.guard(tx)
            for job in prepared:
                jobs.check(tx, job)
            queue.insert(tx, [dataclasses.replace(job, created_on=tx.now) for job in prepared])
            tx.after_commit(self.store.wake)

        if call.transaction is not None:
            for job in prepared:
                jobs.check(call.transaction, job)
            self.pipeline.collect(call.transaction, prepared)
        else:
            self.store.write(unit)
        return ids

    def _register_first(self, request: Request, call: Call) -> None:
        """Registration by first use (design §9). Functions of `__main__` are registered too, but only drain() runs them, and
        they give way to the same message of a module.
        """
        declared = request.declared
        if declared is None:
            return
        found = self.registry.cached().messages.get(request.message)
        if found is not None and (found.module != registration.MAIN_MODULE or declared.__module__ == found.module):
            return
        registration.register(
            self.pipeline, declared.__module__, [declared], dataclasses.replace(call, caller=self.administrator())
        )
        if call.transaction is None:
            self.registry.refresh()


def _described(name: str, marked: Any) -> MessageInfo:
    parameters = handlers.Handler.of(handler_of(marked)).describe()
    if not isinstance(marked, Message):
        return MessageInfo(name, parameters)
    return MessageInfo(
        name,
        tuple(found for found in parameters if found[0] != marked.target),
        marked.table,
        marked.target,
        marked.collection,
        marked.function,
    )


class LocalBackend:
    """A client's calls, made in this process under given circumstances.

    acting_as: another user for whom they are made; who he is and what he may is looked up anew for each of them.
    """

    def __init__(self, service: Service, call: Call, acting_as: UUID | None = None) -> None:
        self._service = service
        self._given = call
        self._acting_as = acting_as

    @property
    def _call(self) -> Call:
        if self._acting_as is None:
            return self._given
        caller = self._service.acting_as(self._given.caller, self._acting_as)
        return dataclasses.replace(self._given, caller=caller)

    def execute(self, request: Request) -> dict[str, Any]:
        return self._service.execute(request, self._call)

    def retrieve_multiple(self, query: str) -> list[Record]:
        parsed = parse_query(query, self._service.catalog)
        rows = self._service.retrieve_multiple(parsed, self._call)
        return _records(rows, parsed.table, self._service.catalog)

    def enqueue(self, items: Sequence[tuple[Request, Mapping[str, Any]]]) -> list[UUID]:
        return self._service.enqueue(items, self._call)

    def as_user(self, user_id: UUID) -> LocalBackend:
        other = LocalBackend(self._service, self._call, user_id)
        self._service.acting_as(other._given.caller, user_id)  # refused here, rather than at the first operation
        return other


def parse_query(text: str, catalog: Catalog) -> Query:
    """A query as people write it: FetchXML, or a Web API path with its options. Raises QueryError."""
    if text.lstrip().startswith("<"):
        return fetchxml.parse(text, catalog)
    path, _, options = text.strip().partition("?")
    table = catalog.by_entityset.get(path.strip("/"))
    if table is None:
        raise UnknownResource(
            f"Resource not found for the segment '{path[:200]}'.{nearest(path, catalog.by_entityset)}"
        )
    pairs = [option.partition("=") for option in options.split("&") if option]
    return odata_options.parse(table, catalog, {name.strip(): value for name, _, value in pairs})


def _records(rows: Rows, table: str, catalog: Catalog) -> list[Record]:
    key = catalog.table(table).primary_id
    return [
        Record(table, found if isinstance(found := values.get(key), UUID) else None, values)
        for values in python_rows(rows)
    ]
