"""`python -m benchmarks [name…]`: run all benchmarks, or those named, and write docs/performance.md and its picture (when all were run)."""

from __future__ import annotations

import platform
import sys
import time
from pathlib import Path

from benchmarks import bulk, drain, enqueue, http, latency, queries, waiting
from benchmarks.measure import HEADER, Figure
from benchmarks.picture import picture

ALL = {
    "enqueue": enqueue.figures,
    "drain": drain.figures,
    "drain-postgres": drain.postgres_figures,
    "latency": latency.figures,
    "http": http.figures,
    "queries": queries.figures,
    "waiting": waiting.figures,
    "bulk": bulk.figures,
}
DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "performance.md"
PICTURE = DOCUMENT.with_suffix(".svg")
PREFACE = """# Performance

Written by `make bench`. Each figure stands beside a yardstick that was measured in the same run, because absolute times say little on
machines that are shared: compare the ratio. Every write is durable: SQLite with synchronous=FULL, PostgreSQL with its defaults.

![How much of its limit each figure uses](performance.svg)

"""


def main(names: list[str]) -> None:
    figures: list[Figure] = []
    for name, run in ALL.items():
        if names and name not in names:
            continue
        start = time.perf_counter()
        part = run()
        figures += part
        for figure in part:
            print(figure.row(), flush=True)
        print(f"({name}: {time.perf_counter() - start:.0f} s)", file=sys.stderr, flush=True)
    if not names:
        table = "\n".join([HEADER, *(figure.row() for figure in figures)])
        where = f"Measured with Python {platform.python_version()} on {platform.system()} {platform.machine()}, two cores.\n"
        PICTURE.write_text(picture(figures))
        DOCUMENT.write_text(f"{PREFACE}{table}\n\n{where}")


if __name__ == "__main__":
    main(sys.argv[1:])
