"""The jobs of one token, while executors are killed at random: one at a time, in their order, none left out."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest
from tests.support import record_order_plugins

from adjourn.jobs import explain
from adjourn.pipeline.call import Call
from adjourn.service import Service
from adjourn.store.contract import Store
from adjourn.worker.supervisor import Supervisor

_TWO = "SELECT dependencytoken FROM asyncoperation WHERE statecode = 2 GROUP BY dependencytoken HAVING count(*) > 1"
_OPEN = "SELECT count(*) FROM asyncoperation WHERE statecode < 3"


def in_order_though_executors_die(
    store: Store, log: Path, *, jobs: int, processes: int, kills: int, seconds: float
) -> None:
    """Jobs on one token, executors killed every now and then, and a look at the table all the time."""
    service = Service(store)
    service.register("tests.support.record_order_plugins")
    org = service.client(Call(caller=service.administrator()))
    log.touch()
    requests = [record_order_plugins.numbered.request(number=number, log=str(log)) for number in range(jobs)]
    ids = org.enqueue_many([(request, {"dependency_token": "t"}) for request in requests])
    supervisor = Supervisor(service, processes=processes, concurrency=2)
    supervisor.start()
    chance = random.Random(7)
    done = threading.Event()
    killed = 0

    def kill() -> None:
        nonlocal killed
        while killed < kills and not done.wait(chance.uniform(0.05, 0.3)):
            # Whoever runs the one job that may run; else anybody.
            executors = supervisor.pool.executors()
            busy = [executor for executor in executors if executor.running] or executors
            if busy:
                with contextlib.suppress(ProcessLookupError):  # it is dying of the kill before
                    os.kill(chance.choice(busy).pid, signal.SIGKILL)
                    killed += 1

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        deadline = time.monotonic() + seconds
        while True:
            with store.read() as reader:
                assert reader.rows(_TWO) == []
                left = reader.rows(_OPEN)[0][0]
            if not left:
                break
            assert time.monotonic() < deadline, f"{left} jobs are open"
            time.sleep(0.002)
    finally:
        done.set()
        killer.join()
        supervisor.stop()
    assert killed >= min(3, kills)
    with store.read() as reader:
        found = reader.rows("SELECT asyncoperationid, startedon, statuscode FROM asyncoperation ORDER BY sequence")
        assert explain.examine(reader) == []
        rescued = sum(entry.event == "rescue" for job in ids for entry in explain.story(reader, job))
    assert [row[0] for row in found] == [str(job) for job in ids]
    assert rescued > 0, "no kill hit a job"
    for (_, before, _), (_, after, _) in itertools.pairwise(found):
        assert before <= after
    assert {row[2] for row in found} <= {30, 31}
    began = [int(line) for line in log.read_text().splitlines()]
    assert began == sorted(began), "none began before one in front of it had ended"
    assert set(began) >= {number for number, row in enumerate(found) if row[2] == 30}


@pytest.mark.requirement("M26")
def test_one_at_a_time_in_order_though_executors_die(store: Store, tmp_path: Path) -> None:
    in_order_though_executors_die(store, tmp_path / "log", jobs=40, processes=2, kills=3, seconds=60)


@pytest.mark.long
@pytest.mark.requirement("M26")
def test_a_thousand_one_at_a_time_in_order_though_executors_die(store: Store, tmp_path: Path) -> None:
    in_order_though_executors_die(store, tmp_path / "log", jobs=1000, processes=8, kills=60, seconds=600)
