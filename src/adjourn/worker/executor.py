"""An executor: a child process that runs user code, and nothing else.

One thread receives, `concurrency` threads run `def` handlers, one event loop runs `async def` ones. It holds no store and
no credentials; a handler's organization is a `RemoteBackend` whose calls travel up the socket. When the supervisor is
gone the socket ends, and so does the process, at once.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import msgspec
import structlog

from adjourn import config, runtime
from adjourn.client import Client
from adjourn.errors import AdjournError
from adjourn.jobs.model import Canceled, Outcome, Released
from adjourn.jobs.states import Status
from adjourn.metadata.additions import catalog_of
from adjourn.metadata.catalog import load
from adjourn.metadata.model import Catalog, Reference
from adjourn.pipeline import handlers, serialize, tracing
from adjourn.pipeline.awaited import Awaited
from adjourn.pipeline.call import Request
from adjourn.pipeline.code import handler_of, resolve
from adjourn.pipeline.context import Context
from adjourn.pipeline.record import Record
from adjourn.query.metadata_documents import additions
from adjourn.runtime.logs import configure_logs
from adjourn.store import faults
from adjourn.worker import protocol, tree
from adjourn.worker.protocol import (
    Answer,
    Ask,
    Channel,
    Done,
    Heard,
    Interrupt,
    Metadata,
    Ready,
    Recall,
    Run,
    Traced,
    Work,
)
from adjourn.worker.running_job import RunningJob, Stop

log = structlog.get_logger("adjourn.executor")
_SWITCH_SECONDS = 0.0001
"""How soon a computing handler lets other threads in; Python's own 5 ms would make pick-up wait."""
_OUTCOMES_MAX = 64
_GATHER_SECONDS = 0.001
"""Outcomes of short jobs travel together: a frame for each would keep the supervisor busy with frames."""
_CANNOT_GO_ON = 70


class _Line:
    """A job's way to the supervisor."""

    def __init__(self, executor: Executor, job_id: str) -> None:
        self._executor = executor
        self._job = job_id

    def checkpoint(self, cursor: str, text: str | None, percent: int | None) -> int | None:
        value = {"cursor": cursor, "text": text, "percent": percent}
        status: int | None = self._executor.ask(self._job, "checkpoint", None, value)
        return status

    def progress(self, text: str | None, percent: int | None) -> None:
        self._executor.ask(self._job, "progress", None, {"text": text, "percent": percent})

    def is_stopping(self) -> bool:
        return self._job in self._executor.interrupted


class RemoteBackend:
    """A client's calls, made by the supervisor on behalf of one job."""

    def __init__(self, executor: Executor, job_id: str, user: str | None = None) -> None:
        self._executor = executor
        self._job = job_id
        self._user = user

    def execute(self, request: Request) -> dict[str, Any]:
        value = {"message": request.message, "parameters": dict(request.parameters), "request_id": request.request_id}
        found: dict[str, Any] = self._executor.ask(self._job, "execute", self._user, value)
        return found

    def retrieve_multiple(self, query: str) -> list[Record]:
        found: list[Record] = self._executor.ask(self._job, "retrieve_multiple", self._user, query)
        return found

    def enqueue(self, items: Sequence[tuple[Request, Mapping[str, Any]]]) -> list[UUID]:
        value = [
            {"message": request.message, "parameters": dict(request.parameters), "options": dict(options)}
            for request, options in items
        ]
        found: list[UUID] = self._executor.ask(self._job, "enqueue", self._user, value)
        return found

    def as_user(self, user_id: UUID) -> RemoteBackend:
        return RemoteBackend(self._executor, self._job, str(user_id))


class Executor:
    """The process's one object."""

    def __init__(self, connection: socket.socket, concurrency: int) -> None:
        self._channel = Channel(connection, runtime.lock())
        self._work = runtime.queue(0)
        self._calls: dict[int, Any] = {}
        self._call_lock = runtime.lock()
        self._last_call = 0
        self._catalog = load()
        self._finished: list[list[Any]] = []
        self._finished_lock = runtime.lock()
        self._gathering = runtime.bell()
        self.interrupted: dict[str, int] = {}
        self._here: set[str] = set()
        """Jobs that were sent down and have not ended."""
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._concurrency = concurrency
        self._pid = os.getpid()
        # What a handler forks is none of ours: it must not speak on our socket.
        os.register_at_fork(after_in_child=self._channel.forget)

    def run(self) -> None:
        """Serve until the supervisor is gone."""
        for index in range(self._concurrency):
            runtime.spawn(self._slot, name=f"adjourn-slot-{index}")
        runtime.spawn(self._send_gathered, name="adjourn-outcomes")
        self._channel.send(Ready(os.getpid()))
        while (message := self._channel.receive_down()) is not None:
            match message:
                case Run(work):
                    for item in work:
                        # What was asked of an earlier run of the job does not hold for this one.
                        self.interrupted.pop(item.id, None)
                        self._here.add(item.id)
                        self._work.put(item)
                case Metadata(documents, version):
                    self._catalog = catalog_of(additions(documents), version) if documents else load()
                case Interrupt(jobs):
                    self._interrupt(jobs)
                case Recall():
                    while (item := self._work.get(0)) is not None:
                        self._finish(
                            item, runtime.monotonic(), _unbegun(self.interrupted.get(item.id)), tracing.Lines()
                        )
                case Answer(call):
                    future = self._calls.pop(call, None)
                    if future is not None:
                        future.set_result(message)

    def ask(self, job_id: str, method: str, user: str | None, value: Any) -> Any:
        """Have the supervisor do something for a job; raises the error that it met."""
        future = runtime.future()
        with self._call_lock:
            self._last_call += 1
            call = self._last_call
            self._calls[call] = future
        self._channel.send(Ask(call, job_id, method, user, protocol.pack(value)))
        answer: Answer = future.result()
        if answer.error is not None:
            raise protocol.read_error(answer.error)
        return protocol.unpack(answer.value) if answer.value is not None else None

    def _slot(self) -> None:
        with self._or_end("a slot"):
            self._run_slot()

    @contextmanager
    def _or_end(self, what: str) -> Iterator[None]:
        """A process that has lost a slot, its loop or its socket must not look alive: it ends, and its jobs go back."""
        try:
            yield
        finally:
            if os.getpid() == self._pid:
                log.error("the executor cannot go on", lost=what, exc_info=True)
            os._exit(_CANNOT_GO_ON)

    def _run_slot(self) -> None:
        while True:
            work: Work = self._work.get()
            began = runtime.monotonic()
            with tracing.recording() as lines:
                try:
                    result = self._start(work)
                    if asyncio.iscoroutine(result):
                        asyncio.run_coroutine_threadsafe(self._await(work, began, result), self._event_loop())
                        continue
                    outcome = handlers.outcome(result)
                except BaseException as error:  # whatever a handler raises is the job's failure, never the slot's
                    outcome = _ended(error)
            self._finish(work, began, outcome, lines)

    def _start(self, work: Work) -> Any:
        """Call the handler: what it returns, or its coroutine. A job that was asked to stop meanwhile does not begin."""
        asked = self.interrupted.get(work.id)
        if asked is not None:
            return _unbegun(asked)
        handler, arguments, context = prepare(work, self._catalog)
        client = Client(RemoteBackend(self, work.id))
        organization: Any = client
        job: Any = RunningJob(
            id=UUID(work.id),
            name=work.title,
            depth=work.depth,
            retry_count=work.retry_count,
            cursor=work.cursor,
            regarding=Reference(work.regarding[0], UUID(work.regarding[1])) if work.regarding else None,
            ends_at=runtime.monotonic() + work.seconds_max,
            line=_Line(self, work.id),
        )
        if handler.is_async:
            organization, job = Awaited(client, threads=True), Awaited(job, threads=True)
        return handlers.call(handler, organization=organization, job=job, context=context, arguments=arguments)

    async def _await(self, work: Work, began: float, coroutine: Any) -> None:
        with tracing.recording() as lines:
            task = asyncio.ensure_future(coroutine)
            self._tasks[work.id] = task
            if work.id in self.interrupted:
                self._cancel_task(task, self.interrupted[work.id])
            try:
                outcome = handlers.outcome(await task)
            except asyncio.CancelledError:
                stands = self.interrupted.get(work.id, Status.CANCELING) == Status.CANCELING
                outcome = Canceled() if stands else Released(reason="its handler was stopped where it awaited")
            except BaseException as error:
                outcome = _ended(error)
            finally:
                self._tasks.pop(work.id, None)
        self._finish(work, began, outcome, lines)

    def _event_loop(self) -> asyncio.AbstractEventLoop:
        with self._call_lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                runtime.spawn(self._run_loop, self._loop, name="adjourn-loop")
            return self._loop

    def _run_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._or_end("its event loop"):
            loop.run_forever()

    def _interrupt(self, jobs: Mapping[str, int]) -> None:
        self._channel.send(Heard())
        for job_id, status in jobs.items():
            if job_id not in self._here:
                continue  # it has just ended
            self.interrupted[job_id] = status
            task = self._tasks.get(job_id)
            if task is not None and self._loop is not None:
                self._loop.call_soon_threadsafe(self._cancel_task, task, status)

    def _cancel_task(self, task: asyncio.Task[Any], status: int) -> None:
        """Stop an `async def` handler where it awaits: at once to cancel the job, else when it has had time for a checkpoint."""
        if status == Status.CANCELING:
            task.cancel()
        else:
            task.get_loop().call_later(config.AWAIT_GRACE_SECONDS, task.cancel)

    def _finish(self, work: Work, began: float, outcome: Outcome, lines: tracing.Lines) -> None:
        """Note an outcome. It is sent at once when nothing else waits here, else with those that follow within a millisecond."""
        self._here.discard(work.id)
        self.interrupted.pop(work.id, None)
        if text := lines.text():
            self._channel.send(Traced(work.id, text))
        try:
            fields = protocol.outcome_fields(work.id, runtime.monotonic() - began, outcome)
        except (TypeError, AttributeError) as error:
            fields = protocol.outcome_fields(work.id, runtime.monotonic() - began, handlers.failure(error))
        with self._finished_lock:
            self._finished.append(fields)
            gathered = len(self._finished)
        if gathered >= _OUTCOMES_MAX or not len(self._work):
            self._send_finished()
        else:
            self._gathering.ring()

    def _send_finished(self) -> None:
        with self._finished_lock:
            batch, self._finished = self._finished, []
        if batch:
            faults.point("outcome made")
            self._channel.send(Done(batch))
            faults.point("outcome sent")

    def _send_gathered(self) -> None:
        """A job that takes its time must not hold back the outcomes of those before it."""
        with self._or_end("its sender"):
            while True:
                self._gathering.wait()
                runtime.sleep(_GATHER_SECONDS)
                self._send_finished()


def prepare(work: Work, catalog: Catalog) -> tuple[handlers.Handler, dict[str, Any], Context | None]:
    """The function of a job, its arguments and its context. Raises AdjournError naming what cannot be had."""
    handler = handlers.Handler.of(handler_of(resolve(work.module, work.function)))
    if work.kind == "step":
        return handler, {}, serialize.from_json(work.text, catalog)
    return handler, handler.convert(handlers.arguments_of(work.text), work.name), None


def _unbegun(asked: int | None) -> Outcome:
    return Canceled() if asked == Status.CANCELING else Released(reason="its handler had not begun")


def _ended(error: BaseException) -> Outcome:
    if isinstance(error, Stop):
        return error.outcome
    if not isinstance(error, Exception | SystemExit | KeyboardInterrupt):
        log.warning("a handler raised what is no exception", error=repr(error))
    return handlers.failure(error)


def main() -> None:
    """`python -m adjourn.worker.executor FD CONCURRENCY`: started by a supervisor, with its end of the socketpair."""
    configure_logs()
    sys.setswitchinterval(_SWITCH_SECONDS)
    sys.path.insert(0, os.getcwd())
    connection = socket.socket(fileno=int(sys.argv[1]))
    # What a handler starts must not hold it open: by its end the supervisor knows that we are gone.
    connection.set_inheritable(False)
    try:
        Executor(connection, int(sys.argv[2])).run()
    except (OSError, AdjournError, msgspec.MsgspecError):
        log.exception("the executor ended")
    # Handlers may still compute; with the supervisor gone nobody wants their outcome, nor what they have started.
    # The group that is our own alone: whoever started us without one must not be ended.
    tree.kill(os.getpid(), os.environ.get(tree.MARK, ""))
    os._exit(0)


if __name__ == "__main__":
    main()
