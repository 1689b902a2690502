"""A seeded scheduler of green threads with a virtual clock: `adjourn.runtime` for a world in which processes die.

Several simulated processes live in one real one. Each of their threads is a greenlet; exactly one runs at a time, and a
random generator made from the seed says who is next, so that a seed always gives the same run. Threads hand over where
they wait, and now and then at a lock, a queue, a future or a fault point. Time stands still while somebody runs and
jumps when all of them wait. People's clock may be set (`jump`); the one that never runs backwards does not notice.

A process is killed as by SIGKILL: none of its greenlets is ever resumed, so no `finally` of theirs runs. To keep Python
from unwinding them after all when it collects them, they are made immortal. A process is frozen as by SIGSTOP: it keeps
what it holds, and goes on later as if nothing had happened.
"""

from __future__ import annotations

import ctypes
import hashlib
import heapq
import random
import sys
from collections.abc import Callable
from typing import Any
from uuid import UUID

import greenlet
from tests.simulation.loop import Aside
from tests.simulation.primitives import Bell, Future, Lock, Queue

_EPOCH = 1_900_000_000.0
_PAUSE_CHANCE = 0.15
_STEPS_MAX = 60_000


class Stuck(Exception):
    """Everybody waits for somebody, or nothing comes to an end."""


class Process:
    """Threads that die together."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.frozen = False
        self.tasks: list[Task] = []
        self.held_back: list[Task] = []
        """Those that would run if it were not frozen."""


class Task:
    """One green thread."""

    def __init__(self, scheduler: Scheduler, process: Process, number: int, name: str) -> None:
        self.scheduler = scheduler
        self.process = process
        self.number = number
        self.name = f"{process.name}/{name}"
        self.greenlet: Any = None
        self.ended = False
        self.parked = False
        self.woken = False
        self.ticket = 0
        self.joining: list[Task] = []
        self.aside = Aside()

    def join(self, timeout: float | None = None) -> None:
        if not self.ended:
            self.scheduler.park_in(self.joining, timeout)

    def is_alive(self) -> bool:
        return not self.ended and self.process.alive


class Scheduler:
    """See `adjourn.runtime.Runtime`.

    on_step: called with the process that is about to run; it may kill whom it likes. on_moment: the same at a fault point.
    on_death: gives back what the kernel would: called once for each killed process, when none of it runs any more.
    """

    def __init__(self, seed: int | str, *, keep_trace: bool = False) -> None:
        self.time = 0.0
        self.clock_offset = 0.0
        self.steps = 0
        self.on_step: Callable[[Process], None] = lambda process: None
        self.on_moment: Callable[[Process, str], None] = lambda process, moment: None
        self.on_death: Callable[[Process], None] = lambda process: None
        self.trace: list[str] | None = [] if keep_trace else None
        self.bells: list[Bell] = []
        self._hash = hashlib.sha256()
        self._order = random.Random(f"{seed} order")
        self._ids = random.Random(f"{seed} ids")
        self._random = random.Random(f"{seed} service")
        self._id_last = 0
        self._tasks = 0
        self._alarms_set = 0
        self._processes: list[Process] = []
        self._ready: list[Task] = []
        self._timers: list[tuple[float, int, int, Task]] = []
        self._alarms: list[tuple[float, int, Callable[[], None]]] = []
        self._hub = greenlet.getcurrent()
        self._running: Task | None = None
        self._error: BaseException | None = None

    # What the service asks for

    def timestamp(self) -> float:
        return _EPOCH + self.time + self.clock_offset

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.park(max(0.0, seconds))

    def spawn(self, function: Callable[..., None], args: tuple[Any, ...], name: str) -> Task:
        return self.start(self.here().process, function, *args, name=name)

    def bell(self) -> Bell:
        bell = Bell(self)
        self.bells.append(bell)
        return bell

    def lock(self) -> Lock:
        return Lock(self)

    def queue(self, size: int) -> Queue:
        return Queue(self, size)

    def future(self) -> Future:
        return Future(self)

    def new_id(self) -> UUID:
        moment = int(self.timestamp() * 1000) << 12
        self._id_last = moment = max(moment, self._id_last + 1)
        return UUID(int=(moment >> 12) << 80 | 7 << 76 | (moment & 0xFFF) << 64 | 2 << 62 | self._ids.getrandbits(62))

    def random(self) -> random.Random:
        return self._random

    def secret(self, bytes_: int) -> str:
        return self._ids.randbytes(bytes_).hex()

    def current(self) -> int:
        return self._running.number if self._running is not None else 0

    # What the simulation asks for

    def start(self, process: Process, function: Callable[..., None], *args: Any, name: str) -> Task:
        """A new green thread of a process."""
        if process not in self._processes:
            self._processes.append(process)
        self._tasks += 1
        task = Task(self, process, self._tasks, name)
        process.tasks.append(task)
        tracer = sys.gettrace()

        def body() -> None:
            sys.settrace(tracer)
            try:
                function(*args)
            except BaseException as error:
                # Nothing of ours may fail unseen; the first to do so ends the run.
                self._error = self._error or error
            task.ended = True
            for waiting in task.joining:
                self.wake(waiting)

        # An ended greenlet goes on with its parent: the hub, not the thread that happened to start it.
        task.greenlet = greenlet.greenlet(body, self._hub)
        self._ready.append(task)
        return task

    def run(self, until: Callable[[], bool], seconds_max: float = 3600.0) -> None:
        """Let everybody run until a condition holds; looked at between two steps. Raises what a thread raised."""
        self._hub = greenlet.getcurrent()
        while not until():
            if self._error is not None:
                raise self._error
            self._wake_due()
            if not self._ready:
                moments = [queue[0][0] for queue in (self._timers, self._alarms) if queue]
                if not moments:
                    raise Stuck(f"everybody waits: {self._waiting()}")
                self.time = max(self.time, min(moments))
                continue
            if self.time > seconds_max or self.steps > _STEPS_MAX:
                raise Stuck(f"no end after {self.time:.0f} s and {self.steps} steps: {self._waiting()}")
            task = self._ready.pop(self._order.randrange(len(self._ready)))
            if task.process.frozen:
                task.process.held_back.append(task)
            elif task.process.alive:
                self._step(task)
        if self._error is not None:
            raise self._error

    def at(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something in so many seconds, between two steps."""
        self._alarms_set += 1
        heapq.heappush(self._alarms, (self.time + seconds, self._alarms_set, action))

    def kill(self, process: Process, moment: str) -> None:
        """Now, by whoever: does not return when it is called by a thread of that process."""
        self.note(f"killed {process.name}: {moment}")
        process.alive = False
        if self._running is not None and self._running.process is process:
            self._hub.switch()
        else:
            self._bury(process)

    def freeze(self, process: Process, seconds: float) -> None:
        """None of it runs for a while."""
        self.note(f"frozen {process.name}: {seconds:.3f}")
        process.frozen = True
        self.at(seconds, lambda: self._thaw(process))

    def jump(self, seconds: float) -> None:
        """Somebody sets the clock."""
        self.note(f"the clock jumps by {seconds:.3f}")
        self.clock_offset += seconds

    def at_fault(self, moment: str) -> None:
        """The listener for `store.faults`."""
        if self._running is None:
            return
        self.note(moment)
        self.on_moment(self._running.process, moment)
        if self._running.process.frozen:
            self._running.process.held_back.append(self._running)
            self._hub.switch()
        self.maybe_pause()

    def note(self, text: str) -> None:
        """Put something into the trace."""
        line = f"{self.time:.6f} {self._running.name if self._running else 'hub'} {text}"
        self._hash.update(line.encode() + b"\n")
        if self.trace is not None:
            self.trace.append(line)

    def trace_hash(self) -> str:
        return self._hash.hexdigest()

    def here(self) -> Task:
        assert self._running is not None, "only threads of a simulated process may wait"
        return self._running

    @property
    def running(self) -> Task | None:
        """Who runs now; None: the simulation itself."""
        return self._running

    def abandon(self) -> None:
        """At the end: nobody is resumed any more."""
        for process in self._processes:
            if process.alive:
                process.alive = False
                self._bury(process)

    # Waiting

    def park(self, timeout: float | None) -> bool:
        """Wait to be woken; False when the timeout passed first."""
        task = self.here()
        task.parked, task.woken = True, False
        task.ticket += 1
        if timeout is not None:
            heapq.heappush(self._timers, (self.time + timeout, task.number, task.ticket, task))
        self._hub.switch()
        return task.woken

    def park_in(self, waiting: list[Task], timeout: float | None) -> bool:
        """The same in a list out of which others wake."""
        task = self.here()
        waiting.append(task)
        woken = self.park(timeout)
        if not woken and task in waiting:
            waiting.remove(task)
        return woken

    def wake(self, task: Task) -> bool:
        """False: it does not wait any more, its time-out has passed."""
        if not task.parked:
            return False
        task.parked, task.woken = False, True
        self._ready.append(task)
        return True

    def maybe_pause(self) -> None:
        """Let somebody else come first, sometimes."""
        if self._running is not None and self._order.random() < _PAUSE_CHANCE:
            self._ready.append(self._running)
            self._hub.switch()

    def _step(self, task: Task) -> None:
        self.steps += 1
        self.time += self._order.random() * 0.0001
        self.on_step(task.process)
        if not task.process.alive or task.process.frozen:
            if task.process.alive:
                task.process.held_back.append(task)
            return
        self._running = task
        self.note("runs")
        task.aside.take()
        task.greenlet.switch()
        task.aside.put()
        self._running = None
        if not task.process.alive:
            self._bury(task.process)

    def _wake_due(self) -> None:
        while self._alarms and self._alarms[0][0] <= self.time:
            heapq.heappop(self._alarms)[2]()
        while self._timers and self._timers[0][0] <= self.time:
            _, _, ticket, task = heapq.heappop(self._timers)
            if task.parked and task.ticket == ticket:
                task.parked = False
                self._ready.append(task)

    def _thaw(self, process: Process) -> None:
        if process.alive and process.frozen:
            self.note(f"goes on {process.name}")
            process.frozen = False
            self._ready.extend(process.held_back)
        process.held_back = []

    def _bury(self, process: Process) -> None:
        for task in process.tasks:
            task.parked = False
            if not task.ended and task.greenlet:  # begun: its frames must never be unwound
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(task.greenlet))
        self._ready = [task for task in self._ready if task.process is not process]
        self._timers = [timer for timer in self._timers if timer[3].process is not process]
        heapq.heapify(self._timers)
        process.tasks = []
        process.held_back = []
        self.on_death(process)

    def _waiting(self) -> str:
        tasks = [task for process in self._processes for task in process.tasks if not task.ended]
        return ", ".join(task.name for task in tasks) or "nobody is left"
