"""What seeds have found, each as a story of its own: seeds tell other stories as soon as the simulation changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.simulation import handlers, programs
from tests.simulation.machine import Machine
from tests.simulation.scheduler import Process, Scheduler
from tests.simulation.store import Store
from tests.simulation.world import make_template

from adjourn import runtime
from adjourn.jobs.states import Status
from adjourn.pipeline.call import Call
from adjourn.service import Service
from adjourn.worker.supervisor import Supervisor


@pytest.fixture
def played(tmp_path: Path) -> Callable[[Callable[[Service, Scheduler], None]], None]:
    """Plays a story beside a running supervisor."""
    path = tmp_path / "adjourn.db"
    make_template(path)

    def play(story: Callable[[Service, Scheduler], None]) -> None:
        scheduler = Scheduler("story")
        machine = Machine(scheduler, programs.executor)
        scheduler.on_death = machine.take_back
        done: list[bool] = []

        def main() -> None:
            store = Store(path, machine)
            service = Service(store)
            supervisor = Supervisor(service, concurrency=2)
            supervisor.start()
            story(service, scheduler)
            supervisor.stop()
            store.close()
            done.append(True)

        with runtime.use(scheduler), machine.running():
            scheduler.start(Process("service"), main, name="main")
            scheduler.run(lambda: bool(done), 120)
            scheduler.abandon()

    return play


def test_a_clock_that_is_set_back_does_not_stop_the_duties(
    played: Callable[[Callable[[Service, Scheduler], None]], None],
) -> None:
    """Found by seed 14: a job that backed off after it waited until the old moments of the duties came again."""

    def story(service: Service, scheduler: Scheduler) -> None:
        request = handlers.work.request(mark="", pad="", acts=["sleep 2"], ends="retry")
        (job,) = service.enqueue([(request, {})], Call(caller=service.administrator()))
        runtime.sleep(1)
        scheduler.jump(-900)
        runtime.sleep(8)
        record = service.client(Call(caller=service.administrator())).retrieve("asyncoperation", job)
        assert record["statuscode"] == Status.SUCCEEDED

    played(story)
