"""Pick-up: from the return of enqueue to the first line of the handler, idle and while another handler computes."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from adjourn.pipeline.call import Call
from adjourn.service import Service
from adjourn.worker.supervisor import Supervisor
from benchmarks import handlers
from benchmarks.measure import Figure, folder, percentile

JOBS = 300
RATE_PER_SECOND = 20


def picked_up(service: Service, marks: Path, burning: bool) -> list[float]:
    """Milliseconds from the commit to the first line of the handler in an executor process."""
    marks.write_text("")
    org = service.client(Call(caller=service.administrator()))
    sent: dict[str, float] = {}
    if burning:
        org.enqueue(handlers.burn.request(JOBS / RATE_PER_SECOND + 5))
        time.sleep(1.0)
    for index in range(JOBS):
        org.enqueue(handlers.mark.request(str(index), str(marks)))
        # The machine's own clock: both ends are on it.
        sent[str(index)] = time.time()
        time.sleep(1 / RATE_PER_SECOND)
    time.sleep(1.0)
    seen = {line.split()[0]: float(line.split()[1]) for line in marks.read_text().splitlines()}
    assert len(seen) == JOBS, f"{JOBS - len(seen)} jobs were not seen"
    return [(seen[name] - moment) * 1000 for name, moment in sent.items()]


def from_another_process(url: str, marks: Path) -> list[float]:
    """The same with the enqueue in another process that opened the same file."""
    marks.write_text("")
    printed = subprocess.run(
        [sys.executable, "-c", _OTHER, url, str(marks)], capture_output=True, text=True, check=True
    )
    sent = {line.split()[0]: float(line.split()[1]) for line in printed.stdout.splitlines()}
    time.sleep(0.5)
    seen = {line.split()[0]: float(line.split()[1]) for line in marks.read_text().splitlines()}
    return [(seen[name] - moment) * 1000 for name, moment in sent.items()]


_OTHER = """
import sys, time
import adjourn
from benchmarks import handlers
with adjourn.Organization(sys.argv[1]) as org:
    for index in range(50):
        org.enqueue(handlers.mark.request(str(index), sys.argv[2]))
        print(index, time.time())
        time.sleep(0.05)
"""


def figures() -> list[Figure]:
    found = []
    with folder() as scratch:
        url = f"sqlite:///{scratch}/latency.db"
        service = Service.open(url)
        service.register("benchmarks.handlers")
        supervisor = Supervisor(service)
        supervisor.start()
        try:
            # The first job finds an executor that is still starting; that is not what is measured.
            service.client(Call(caller=service.administrator())).enqueue(handlers.nothing.request(""))
            time.sleep(2.0)
            for burning in (False, True):
                times = picked_up(service, scratch / f"marks-{burning}", burning)
                p50, p99 = percentile(times, 0.5), percentile(times, 0.99)
                name = f"pick-up, {'one handler computing' if burning else 'idle'}"
                found.append(Figure(f"{name}, p50", p50, "ms", "", None, "< 3 ms", p50 < 3.0))
                found.append(Figure(f"{name}, p99", p99, "ms", "", None, "< 20 ms", p99 < 20.0))
            times = from_another_process(url, scratch / "marks-other")
            p99 = percentile(times, 0.99)
            found.append(Figure("pick-up from another process, p99", p99, "ms", "", None, "< 50 ms", p99 < 50))
        finally:
            supervisor.stop()
            service.close()
    return found
