"""How much slower than on a quiet machine things go at present, for tests that promise milliseconds.

A process of its own wakes every 20 ms, does a piece of work, and notes how long that took from the moment at which it was
to wake: one millisecond on the machine whose figures docs/performance.md shows, more where a processor is slower or must be
shared. A bound in seconds holds times that factor. What is tested runs in other processes or threads; it slows the watcher
down only where it takes the processors away, which on a quiet machine is itself a fault.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

_SAMPLES_MIN = 20
_WORK = 16_000
"""Additions that take a millisecond there."""
_WATCH = """
import json, select, sys, time
WORK = int(sys.argv[1])
samples = []
while True:
    due = time.monotonic() + 0.02
    if select.select([sys.stdin], [], [], 0.02)[0]:
        if not sys.stdin.readline():
            break
        print(json.dumps(samples), flush=True)
        continue
    total = 0
    for number in range(WORK):
        total += number
    samples.append((time.monotonic() - due) / 0.001)
"""


class Machine:
    """What the watcher has seen since it began."""

    def __init__(self, watcher: subprocess.Popen[str]) -> None:
        self._watcher = watcher

    def slowness(self, percentile: int = 50) -> float:
        """The factor, 1 on a quiet machine: the usual one, or one that only so many percent of the moments exceed."""
        assert self._watcher.stdin is not None
        assert self._watcher.stdout is not None
        while True:
            self._watcher.stdin.write("\n")
            self._watcher.stdin.flush()
            samples: list[float] = json.loads(self._watcher.stdout.readline())
            if len(samples) >= _SAMPLES_MIN:
                return max(1.0, statistics.quantiles(samples, n=100, method="inclusive")[percentile - 1])
            time.sleep(0.05)


@contextmanager
def watched() -> Iterator[Machine]:
    """Watch the machine while the block runs."""
    with subprocess.Popen(
        [sys.executable, "-c", _WATCH, str(_WORK)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as watcher:
        yield Machine(watcher)
        assert watcher.stdin is not None
        watcher.stdin.close()  # which ends it
