"""Pick-up: from the return of enqueue to the first line of the handler, idle and while another handler computes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import adjourn
from benchmarks import handlers
from benchmarks.measure import Figure, folder, percentile

JOBS = 300
RATE_PER_SECOND = 20


def picked_up(url: str, marks: Path, burning: bool) -> list[float]:
    """Milliseconds from the commit, in this process, to the handler, in an executor of another process's supervisor."""
    marks.write_text("")
    with adjourn.Organization(url) as org:
        sent: dict[str, float] = {}
        if burning:
            org.enqueue(handlers.burn.request(JOBS / RATE_PER_SECOND + 5))
            time.sleep(1.0)
        for _ in range(JOBS):
            name = str(len(sent))
            # The clock of the machine: both ends are on it.
            job = org.enqueue(handlers.mark.request(name, str(marks)))
            sent[name] = time.time()
            del job
            time.sleep(1 / RATE_PER_SECOND)
        time.sleep(1.0)
    seen = {line.split()[0]: float(line.split()[1]) for line in marks.read_text().splitlines()}
    return [(seen[name] - moment) * 1000 for name, moment in sent.items() if name in seen]


def figures() -> list[Figure]:
    found = []
    with folder() as scratch:
        url = f"sqlite:///{scratch}/latency.db"
        service = subprocess.Popen(
            [sys.executable, "-m", "adjourn.cli", "serve", "--database", url, "--http", "127.0.0.1:0", "--plugins", "benchmarks.handlers"],
            stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        try:
            assert service.stdout is not None
            while not service.stdout.readline().startswith("Ready"):
                pass
            for burning in (False, True):
                times = picked_up(url, Path(tempfile.mktemp(dir=scratch)), burning)
                assert len(times) == JOBS, f"{JOBS - len(times)} jobs were not seen"
                p50, p99 = percentile(times, 0.5), percentile(times, 0.99)
                name = f"pick-up from another process, {'one handler computing' if burning else 'idle'}"
                met = (p50 < 3.0, p99 < 20.0) if burning else (None, None)
                found.append(Figure(f"{name}, p50", p50, "ms", "", None, "< 3 ms" if burning else "", met[0]))
                found.append(Figure(f"{name}, p99", p99, "ms", "", None, "< 20 ms" if burning else "", met[1]))
        finally:
            service.terminate()
            service.wait(30)
    return found
