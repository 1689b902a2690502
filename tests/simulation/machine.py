"""The simulated machine: what its kernel gives to processes, and takes back when they die.

Locks of files, child processes and sockets are the machine's, because the real ones would stop the whole world, or
outlive a process that is only simulated. Files and SQLite are real. Nothing is synced: a killed process loses no
written page, and power does not fail here.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import apsw
from tests.simulation.loop import Loop
from tests.simulation.scheduler import Process, Scheduler, Task

_EXECUTOR = "adjourn.worker.executor"
_FIRST_PID = 10_000_000
"""Beyond any real one, so that nothing is ever found under it in /proc."""
_START_SECONDS_MAX = 0.3


class Machine:
    """One host. executor: what the program `adjourn.worker.executor` does, given its socket and its number of slots."""

    def __init__(self, scheduler: Scheduler, executor: Callable[[Socket, int], None]) -> None:
        self.scheduler = scheduler
        self.statements = 0
        self.at_commit: Callable[[], Exception | None] = lambda: None
        """Asked before each COMMIT: an error that it is to meet."""
        self.workers: dict[str, Process] = {}
        """Which process is alive as which worker, as far as it has said so."""
        self.complaints: list[str] = []
        self._executor = executor
        self._connections: dict[Process, list[apsw.Connection]] = {}
        self._descriptors: dict[int, Process] = {}
        self._sockets: dict[int, Socket] = {}
        self._children: dict[int, Process] = {}
        self._locking: list[Task] = []
        self._waiting: dict[Process, list[Task]] = {}
        self._numbers = 0
        self._flock, self._open, self._close = fcntl.flock, os.open, os.close

    @property
    def executors(self) -> list[Process]:
        """Those that run now."""
        return [process for process in self._children.values() if process.alive]

    def take_back(self, process: Process) -> None:
        """What a kernel does for a dead process."""
        for connection in self._connections.pop(process, []):
            try:
                # A dead process does not copy its log into the database: the next one finds and recovers it.
                connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            except apsw.ConnectionClosedError:
                continue
            connection.close(force=True)
        for descriptor, owner in list(self._descriptors.items()):
            if owner is process:
                # `mmap` holds a copy of the descriptor, and with it the lock, for as long as the map lives.
                self._flock(descriptor, fcntl.LOCK_UN)
                self.close(descriptor)
        for end in [end for end in self._sockets.values() if end.owner is process]:
            end.close()
        for task in self._waiting.pop(process, []):
            self.scheduler.wake(task)
        self._wake_locking()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Give the service this machine instead of the real one."""
        with ExitStack() as stack:
            for module, name, replacement in (
                (fcntl, "flock", self.flock),
                (os, "open", self.open),
                (os, "close", self.close),
                (os, "fsync", lambda descriptor: None),
                (os, "killpg", self.killpg),
                (os, "_exit", self.exit),
                # Of a child that is only simulated, nobody else's fork is a concern.
                (os, "register_at_fork", lambda **hooks: None),
                (socket, "socketpair", self.socketpair),
                (asyncio, "new_event_loop", Loop),
                (asyncio.events, "new_event_loop", Loop),
                (subprocess, "Popen", self.popen),
            ):
                stack.enter_context(mock.patch.object(module, name, replacement))
            yield

    def is_theft(self, worker: str) -> bool:
        """Whether who runs now takes something from a worker that lives in another process."""
        holder, running = self.workers.get(worker), self.scheduler.running
        return holder is not None and holder.alive and running is not None and running.process is not holder

    # Files

    def open(self, path: Any, flags: int, mode: int = 0o777) -> int:
        descriptor = self._open(path, flags, mode)
        if self.scheduler.running is not None:
            self._descriptors[descriptor] = self.scheduler.running.process
        return descriptor

    def close(self, descriptor: int) -> None:
        # A number is given again as soon as it is closed, to SQLite for one: what is closed is nobody's any more.
        self._descriptors.pop(descriptor, None)
        self._close(descriptor)
        self._wake_locking()

    def flock(self, descriptor: int, operation: int) -> None:
        if operation & (fcntl.LOCK_NB | fcntl.LOCK_UN):
            self._flock(descriptor, operation)
            if operation & fcntl.LOCK_UN:
                self._wake_locking()
            return
        while True:
            try:
                self._flock(descriptor, operation | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                self.scheduler.park_in(self._locking, None)

    def _wake_locking(self) -> None:
        waiting, self._locking = self._locking, []
        for task in waiting:
            self.scheduler.wake(task)

    def connected(self, connection: apsw.Connection) -> None:
        """A connection to a database belongs to the process that runs now."""
        self._connections.setdefault(self.scheduler.here().process, []).append(connection)

    # Processes

    def popen(self, command: Sequence[str], *, pass_fds: Sequence[int], **ignored: Any) -> Child:
        assert _EXECUTOR in command, f"nobody simulates {command}"
        parent = self.scheduler.here().process
        self._numbers += 1
        pid = _FIRST_PID + self._numbers
        process = self._children[pid] = Process(f"{parent.name}-x{self._numbers}")
        end = self._sockets[pass_fds[0]].inherited(process)

        def body() -> None:
            self.scheduler.sleep(self.scheduler.random().uniform(0, _START_SECONDS_MAX))
            self._executor(end, int(command[-1]))
            self.exit(0)

        self.scheduler.start(process, body, name="main")
        return Child(self, pid, process)

    def killpg(self, pid: int, number: int) -> None:
        process = self._children[pid]
        if not process.alive:
            raise ProcessLookupError
        self.scheduler.kill(process, f"signal {number}")

    def exit(self, status: int) -> None:
        self.scheduler.kill(self.scheduler.here().process, f"exit {status}")

    def wait_for(self, process: Process) -> None:
        if process.alive:
            self.scheduler.park_in(self._waiting.setdefault(process, []), None)

    # Sockets

    def socketpair(self) -> tuple[Socket, Socket]:
        ours, theirs = Endpoint(), Endpoint()
        ours.other, theirs.other = theirs, ours
        owner = self.scheduler.here().process
        return Socket(self, ours, owner), Socket(self, theirs, owner)

    def numbered(self, end: Socket) -> int:
        self._numbers += 1
        self._sockets[self._numbers] = end
        return self._numbers

    def forget(self, number: int) -> None:
        self._sockets.pop(number, None)


class Child:
    """What `subprocess.Popen` gives."""

    def __init__(self, machine: Machine, pid: int, process: Process) -> None:
        self.pid = pid
        self._machine = machine
        self._process = process

    def wait(self, timeout: float | None = None) -> int:
        self._machine.wait_for(self._process)
        return -9

    def poll(self) -> int | None:
        return self.returncode

    @property
    def returncode(self) -> int | None:
        return None if self._process.alive else -9


class Endpoint:
    """One end of a pair, for however many processes hold it. What was sent before the other end went can still be read."""

    def __init__(self) -> None:
        self.other: Endpoint
        self.holders = 0
        self.closed = False
        self.received = bytearray()
        self.reading: list[Task] = []


class Socket:
    """A process's hold of an endpoint."""

    def __init__(self, machine: Machine, endpoint: Endpoint, owner: Process) -> None:
        self.owner = owner
        self._machine = machine
        self._endpoint = endpoint
        self._number = machine.numbered(self)
        self._open = True
        endpoint.holders += 1

    def inherited(self, child: Process) -> Socket:
        return Socket(self._machine, self._endpoint, child)

    def fileno(self) -> int:
        return self._number

    def sendall(self, content: bytes) -> None:
        self._machine.scheduler.maybe_pause()
        if not self._open or self._endpoint.closed or self._endpoint.other.closed:
            raise BrokenPipeError
        self._endpoint.other.received += content
        self._wake(self._endpoint.other)

    def recv(self, bytes_max: int) -> bytes:
        """What has come, or as much of it as has come so far."""
        endpoint, scheduler = self._endpoint, self._machine.scheduler
        scheduler.maybe_pause()
        while not endpoint.received:
            if not self._open:
                raise OSError("the socket is closed")
            if endpoint.closed or endpoint.other.closed:
                return b""
            scheduler.park_in(endpoint.reading, None)
        size = len(endpoint.received)
        if size > 1 and scheduler.random().random() < 0.1:
            size = scheduler.random().randrange(1, size)
        taken = bytes(endpoint.received[: min(size, bytes_max)])
        del endpoint.received[: len(taken)]
        return taken

    def shutdown(self, how: int) -> None:
        if not self._open:
            raise OSError("the socket is closed")
        self._end()

    def close(self) -> None:
        if not self._open:
            return
        self._open = False
        self._machine.forget(self._number)
        self._endpoint.holders -= 1
        if self._endpoint.holders == 0:
            self._end()
        self._wake(self._endpoint)

    def _end(self) -> None:
        self._endpoint.closed = True
        self._wake(self._endpoint)
        self._wake(self._endpoint.other)

    def _wake(self, endpoint: Endpoint) -> None:
        reading, endpoint.reading = endpoint.reading, []
        for task in reading:
            self._machine.scheduler.wake(task)
