"""What seeds have found, each as a story of its own: seeds tell other stories as soon as the simulation changes."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest
from tests.simulation import handlers, programs, victims
from tests.simulation.machine import Machine
from tests.simulation.orders import Order, Orders
from tests.simulation.scheduler import Process, Scheduler
from tests.simulation.store import Store
from tests.simulation.world import make_template

from adjourn import runtime
from adjourn.errors import TurnExceeded
from adjourn.jobs.states import Status
from adjourn.pipeline.call import Call
from adjourn.service import Service
from adjourn.worker.supervisor import Supervisor


@pytest.fixture
def played(tmp_path: Path) -> Callable[[Callable[[Service, Scheduler, Machine], None]], None]:
    """Plays a story beside a running supervisor."""
    path = tmp_path / "adjourn.db"
    make_template(path)

    def play(story: Callable[[Service, Scheduler, Machine], None]) -> None:
        scheduler = Scheduler("story")
        machine = Machine(scheduler, programs.executor)
        scheduler.on_death = machine.take_back
        done: list[bool] = []

        def main() -> None:
            store = Store(path, machine)
            service = Service(store)
            supervisor = Supervisor(service, concurrency=2)
            supervisor.start()
            story(service, scheduler, machine)
            supervisor.stop()
            store.close()
            done.append(True)

        with runtime.use(scheduler), machine.running():
            scheduler.start(Process("service"), main, name="main")
            scheduler.run(lambda: bool(done), 120)
            scheduler.abandon()

    return play


def test_a_clock_that_is_set_back_does_not_stop_the_duties(
    played: Callable[[Callable[[Service, Scheduler, Machine], None]], None],
) -> None:
    """Found by seed 14: a job that backed off after it waited until the old moments of the duties came again."""

    def story(service: Service, scheduler: Scheduler, machine: Machine) -> None:
        request = handlers.work.request(mark="", pad="", acts=["sleep 2"], ends="retry")
        (job,) = service.enqueue([(request, {})], Call(caller=service.administrator()))
        runtime.sleep(1)
        scheduler.jump(-900)
        runtime.sleep(8)
        record = service.client(Call(caller=service.administrator())).retrieve("asyncoperation", job)
        assert record["statuscode"] == Status.SUCCEEDED

    played(story)


def test_a_disk_that_is_full_for_a_moment_fails_no_bulk_delete(
    played: Callable[[Callable[[Service, Scheduler, Machine], None]], None],
) -> None:
    """Found by seed 140: everything was deleted, the last unit could not be written, and the job had failed."""

    def story(service: Service, scheduler: Scheduler, machine: Machine) -> None:
        commits: list[str] = []

        def full() -> Exception | None:
            if scheduler.here().name.endswith("adjourn-bulk"):
                commits.append(scheduler.here().name)
                if len(commits) in (1, 3):  # a chunk with one row, and after it the result
                    return apsw.FullError("database or disk is full")
            return None

        machine.at_commit = full
        call = Call(caller=service.administrator())
        orders = Orders(random.Random("story"), deletes=1)
        contact = service.client(call).create("contact", {"lastname": f"{victims.MARK} 1", "firstname": "quick"})
        order = Order(f"{victims.MARK} 1", [contact], [], fast=True, ended_only=False)
        job = orders.send(service, call, order)
        runtime.sleep(8)
        record = service.client(call).retrieve("asyncoperation", job)
        assert (record["statuscode"], record["friendlymessage"]) == (Status.SUCCEEDED, "1 deleted.")
        assert len(commits) == 4

    played(story)


def test_a_store_is_closed_while_another_process_holds_the_turn(
    played: Callable[[Callable[[Service, Scheduler, Machine], None]], None],
) -> None:
    """Found by seed 52: a service that was asked to stop ended with an error, because another one was paused with the turn."""

    def story(service: Service, scheduler: Scheduler, machine: Machine) -> None:
        store = service.store
        assert isinstance(store, Store)
        other = Store(store.path, machine)
        with pytest.raises(TurnExceeded), store.transaction("a long unit"):
            other.close()

    played(story)
