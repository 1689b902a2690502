"""What the simulated processes run: the service with its supervisor, an executor, a script beside them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from tests.simulation.machine import Socket
from tests.simulation.scheduler import Process
from tests.simulation.store import Store

from adjourn import runtime
from adjourn.errors import AdjournError
from adjourn.service import Service
from adjourn.worker.executor import Executor
from adjourn.worker.inline import drain
from adjourn.worker.supervisor import Supervisor

if TYPE_CHECKING:
    from tests.simulation.world import World

JOB_SECONDS_MAX = 4.0
_LOOK_SECONDS = 0.3
_FAILED, _STORE_FAILED = 1, 70


def executor(connection: Socket, slots: int) -> None:
    """As `adjourn.worker.executor.main`."""
    with contextlib.suppress(OSError):  # the supervisor is gone
        Executor(connection, slots).run()  # type: ignore[arg-type]


def serve(world: World, process: Process, *, people: bool) -> None:
    """As `adjourn serve`; people: who call this service, on threads of it, until it is asked to stop."""
    store, service = _opened(world)
    with store.hold_service() if people else contextlib.nullcontext():
        _serve(world, process, service, people=people)
    store.close()
    world.machine.exit(0)


def _serve(world: World, process: Process, service: Service, *, people: bool) -> None:
    dice = world.dice
    supervisor = Supervisor(
        service, processes=dice.randint(1, 2), concurrency=dice.randint(1, 3), job_seconds_max=JOB_SECONDS_MAX
    )
    supervisor.start()
    if people:
        for number in range(2):
            for work in (world.people.produce, world.people.operate):
                world.at_work.append(runtime.spawn(work, service, name=f"{work.__name__}{number}"))
        runtime.spawn(world.people.read_slowly, service, name="reader")
    while not world.asked_to_stop(process):
        runtime.sleep(_LOOK_SECONDS)
    supervisor.stop()


def script(world: World) -> None:
    """As a program that opens the database beside the service: acts a little, runs what is ready, and is gone."""
    store, service = _opened(world)
    try:
        for _ in range(world.dice.randint(0, 3)):
            if world.people.memory.known:
                world.people.act(service)
        if world.dice.random() < 0.7:
            drain(service)
        store.close()
    except AdjournError as error:
        # Somebody holds the turn for too long: a script may end with an error.
        if error.status != 503:
            raise
    world.machine.exit(0)


def _opened(world: World) -> tuple[Store, Service]:
    try:
        store = Store(world.path, world.machine)
        store.on_failure(lambda reason: world.machine.exit(_STORE_FAILED))
        return store, Service(store)
    except AdjournError as error:
        if error.status != 503:
            raise
        world.machine.exit(_FAILED)
        raise
