"""One executor process as its supervisor sees it: what it runs, what it says, and when it dies."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from adjourn import config, runtime
from adjourn.errors import AdjournError, TooLarge
from adjourn.jobs.model import ClaimedJob, Outcome, Released
from adjourn.metadata.catalog import load
from adjourn.operations.task import Task
from adjourn.service import LocalBackend, Service
from adjourn.worker import calls, protocol, tree
from adjourn.worker.atomic import AtomicRun, Session
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

log = structlog.get_logger("adjourn.worker")
CAUTIOUS_RUNS = 60
"""In slots only, after something was taken back: as many as a new process needs to show that its runs are short."""
_END_SECONDS = 0.1
"""Between the end of its socket and that of the process, if it dies."""
_FRAME_CHARACTERS_MAX = 16 * 1024 * 1024
"""Of the texts of jobs that are sent down together; one that is longer goes alone."""


@dataclass(slots=True)
class Running:
    """A job in an executor."""

    job: ClaimedJob
    task: Task
    since: float
    """When it began, or, until then, when somebody last saw that it had not."""
    asked: int | None = None
    """What it was told: 21 to pause, 22 to stop, LEAVE because the worker stops."""
    asked_at: float = 0.0
    overdue: bool = False
    """It was told to stop because its time was up."""
    atomic: AtomicRun | None = None
    """Where an atomic handler's calls and its end are served."""
    traced: str = ""
    """What its handler said by `adjourn.trace`."""

    def sent(self) -> None:
        """The process has it: a text that came from a file need not be here, too, as long as it runs."""
        if self.job.data_file is not None:
            self.task = self.task.without_text()


class ExecutorProcess:
    """Started at once; `on_done` hears outcomes, `on_death` that the process is gone."""

    def __init__(
        self,
        service: Service,
        concurrency: int,
        on_done: Callable[[ExecutorProcess, list[tuple[Running, float, Outcome]]], None],
        on_death: Callable[[ExecutorProcess], None],
        job_seconds_max: float = config.JOB_SECONDS_MAX,
    ) -> None:
        self._service = service
        self._job_seconds_max = job_seconds_max
        self.concurrency = concurrency
        self.running: dict[str, Running] = {}
        self.ready = False
        """It has started."""
        self.born = runtime.monotonic()
        self.deaf_since: float | None = None
        """When it was told to interrupt jobs, as long as it has not said that it heard so."""
        self.retiring = False
        """It gets no new jobs and is ended when the last one is done."""
        self.seconds = 1.0
        """How long its recent runs took on average: short ones are sent ahead in larger batches."""
        self.cautious = 0
        """So many runs are to end before any is sent ahead again."""
        self.heard = 0.0
        """When an outcome came last, or the first job after a pause went down."""
        self.recalled = False
        """It was told to give back what it has not begun, and has got nothing since."""
        self._on_done = on_done
        self._on_death = on_death
        ours, theirs = socket.socketpair()
        self._channel = Channel(ours, runtime.lock())
        self._asks = runtime.queue(0)
        self._mark = runtime.secret(12)
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", tree.MARK: self._mark}
        self._catalog = load()
        """As the process knows it."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "adjourn.worker.executor", str(theirs.fileno()), str(concurrency)],
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            env=environment,
        )
        theirs.close()
        self.dead = False
        runtime.spawn(self._receive, name="adjourn-executor-reader")
        for index in range(concurrency):
            runtime.spawn(self._answer, name=f"adjourn-executor-call-{index}")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def end(self) -> str:
        """How the process ended, for people."""
        code = self._process.returncode
        if code is None or code >= 0:
            return f"exit status {code}"
        try:
            return f"killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"killed by signal {-code}"

    def run(self, batch: Mapping[str, Running]) -> None:
        """Send jobs down. If the process is gone, `on_death` deals with them."""
        if not self.running:
            self.heard = runtime.monotonic()
        self.recalled = False
        self.running.update(batch)
        self._tell_metadata()
        work = []
        for found in batch.values():
            function, job = found.task.function, found.job
            assert function is not None
            work.append(
                Work(
                    str(job.id),
                    function.kind,
                    function.module,
                    function.function,
                    job.message_name,
                    job.name,
                    function.text,
                    job.depth,
                    job.retry_count,
                    job.cursor,
                    (job.regarding.table, str(job.regarding.id)) if job.regarding else None,
                    self._job_seconds_max,
                )
            )
        for some in _frames(work):
            self._send(Run(some))
        for found in batch.values():
            found.sent()

    def _tell_metadata(self) -> None:
        snapshot = self._service.registry.cached()
        if snapshot.catalog is not self._catalog:
            self._catalog = snapshot.catalog
            self._send(Metadata([(name, text) for name, text in snapshot.documents], snapshot.catalog.version))

    def interrupt(self, jobs: Mapping[str, int]) -> None:
        """Tell handlers to stop: each once, or again when something else is asked of it."""
        told: dict[str, int] = {}
        for job_id, asked in jobs.items():
            running = self.running.get(job_id)
            if running is not None and _more(running.asked, asked):
                running.asked, running.asked_at = asked, runtime.monotonic()
                told[job_id] = asked
        if told:
            if self.deaf_since is None:
                self.deaf_since = runtime.monotonic()
            self._send(Interrupt(told))

    def recall(self) -> None:
        """Have it give back what it has not begun, once, and have nothing ahead for a while."""
        self.cautious = CAUTIOUS_RUNS
        if not self.recalled:
            self.recalled = True
            self._send(Recall())

    def deaf(self, moment: float) -> bool:
        """Whether it has not heard of an interruption for longer than handlers have to let go."""
        return self.deaf_since is not None and moment - self.deaf_since > config.JOB_GRACE_SECONDS

    def memory_bytes(self) -> int:
        """How much memory the process and its children have in use; 0 when it is gone or the system does not say."""
        return tree.memory_bytes(self.pid)

    def kill(self) -> None:
        """End the process and everything that it started."""
        tree.kill(self._process.pid, self._mark)

    def close(self) -> None:
        """End it once its jobs have been dealt with."""
        self._channel.close()
        self.kill()
        self._process.wait()

    def _send(self, message: protocol.Down) -> None:
        try:
            self._channel.send(message)
        except OSError:
            log.debug("an executor is gone", pid=self.pid)  # its reader sees the end, and calls on_death

    def _receive(self) -> None:
        while (message := self._channel.receive_up()) is not None:
            match message:
                case Done(outcomes):
                    try:
                        found = self._outcomes(outcomes)
                    except ValueError as error:
                        log.error("an executor speaks nonsense: it is ended", pid=self.pid, error=str(error))
                        break
                    self._on_done(self, found)
                case Ask(_, job_id):
                    atomic = self.running[job_id].atomic if job_id in self.running else None
                    if atomic is not None:
                        atomic.ask(partial(self._reply_atomic, message))
                    else:
                        self._asks.put(message)
                case Traced(job_id, text):
                    if job_id in self.running:
                        self.running[job_id].traced = text
                case Ready():
                    self.ready = True
                case Heard():
                    self.deaf_since = None
        self.dead = True
        self._channel.close()
        for _ in range(self.concurrency):
            self._asks.put(None)
        # How it ended by itself, if it did; a process that has only closed its socket is ended here.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS)
        self.kill()
        self._process.wait()
        self._on_death(self)

    def _outcomes(self, found: list[list[object]]) -> list[tuple[Running, float, Outcome]]:
        done = []
        self.heard = runtime.monotonic()
        for fields in found:
            job_id, seconds, outcome = protocol.read_outcome(fields)
            running = self.running.pop(job_id, None)
            if running is not None:
                if not isinstance(outcome, Released):
                    self.seconds += (seconds - self.seconds) * 0.1
                    self.cautious = max(0, self.cautious - 1)
                done.append((running, seconds, outcome))
        return done

    def _answer(self) -> None:
        """Serve calls on a thread of their own: one that waits for the writer must not stop the socket's reader."""
        while (ask := self._asks.get()) is not None:
            self._reply(ask, self._serve)

    def _serve(self, ask: Ask, running: Running) -> Any:
        value = protocol.unpack(ask.value)
        match ask.method:
            case "checkpoint":
                return calls.checkpoint(self._service, running.job, value["cursor"], value["text"], value["percent"])
            case "progress":
                return calls.progress(self._service, running.job, value["text"], value["percent"])

        def asked() -> Any:
            backend = LocalBackend(self._service, calls.call_of(running.job, running.task, self._service))
            return calls.serve(backend, ask.method, ask.user, value)

        return calls.patient(asked)

    def _reply_atomic(self, ask: Ask, session: Session) -> None:
        def serve(ask: Ask, running: Running) -> Any:
            value = protocol.unpack(ask.value)
            match ask.method:
                case "checkpoint":
                    return session.checkpoint(value["cursor"], value["text"], value["percent"])
                case "progress":
                    return session.progress(value["text"], value["percent"])
            return calls.serve(session.backend(), ask.method, ask.user, value)

        self._reply(ask, serve)

    def _reply(self, ask: Ask, serve: Callable[[Ask, Running], Any]) -> None:
        running = self.running.get(ask.job)
        try:
            if running is None:
                raise calls.LeaseLost(f"System job {ask.job} is not running in this executor.")
            value = serve(ask, running)
            if ask.method == "checkpoint" and value is None:
                # Its time is up, or the worker stops: that is in no row.
                value = running.asked
            answer = Answer(ask.call, protocol.pack(value), None)
        except (Exception, KeyboardInterrupt) as error:  # every error of a call is the handler's to see, who waits
            if not isinstance(error, AdjournError):
                log.exception("a handler's call met an internal error", job=ask.job, method=ask.method)
            answer = Answer(ask.call, None, protocol.error_fields(error))
        try:
            self._send(answer)
        except ValueError as error:  # longer than a frame may be: the handler would wait for it until its time is up
            refused = TooLarge(
                f"What the handler asked for is too long to be handed to it ({error}). Ask for less at a time."
            )
            self._send(Answer(ask.call, None, protocol.error_fields(refused)))


def _frames(work: Sequence[Work]) -> Iterator[list[Work]]:
    """Jobs as they are sent together: a batch of long ones would be longer than a frame may be."""
    some: list[Work] = []
    size = 0
    for one in work:
        length = len(one.text or "") + len(one.cursor or "")
        if some and size + length > _FRAME_CHARACTERS_MAX:
            yield some
            some, size = [], 0
        some.append(one)
        size += length
    if some:
        yield some


def _more(before: int | None, asked: int) -> bool:
    """Whether something is asked of a job beyond what it was told already: to cancel outranks to pause, which outranks to leave."""
    return before is None or (asked > before)
