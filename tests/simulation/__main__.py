"""`python -m tests.simulation`: play seeds and print what they did; status 1 when something was violated, or was missing in many."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from tests.simulation import coverage, run
from tests.simulation.census import Census

import adjourn

ENOUGH = 300
"""Seeds in which everything must have happened."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", default="0:300", help="FIRST:LAST+1, or one seed")
    parser.add_argument("--seconds", type=float, default=1e9, help="stop after so long")
    parser.add_argument("--processes", type=int, default=1, help="how many play at a time")
    parser.add_argument("--first-only", action="store_true", help="stop at the first violation")
    parser.add_argument(
        "--coverage", type=int, default=0, help="which lines of jobs, worker and store so many seeds execute"
    )
    parser.add_argument("--json", action="store_true", help="a line for each seed instead of the figures")
    parser.add_argument("--trace", type=Path, help="write what happened in the one seed to this file")
    parser.add_argument("--source", type=Path, help="be sure that the service is the one in this folder")
    options = parser.parse_args()
    if options.source is not None and not Path(adjourn.__file__).is_relative_to(options.source):
        parser.error(f"the service was loaded from {adjourn.__file__}")
    first, _, last = options.seeds.partition(":")
    seeds = range(int(first), int(last) if last else int(first) + 1)
    if options.trace is not None:
        return _trace(seeds.start, options.trace)
    census = Census()
    lines: set[str] = set()
    for report in run.play_all(
        seeds,
        options.seconds,
        first_only=options.first_only,
        coverage=options.coverage,
        processes=options.processes,
    ):
        if options.json:
            print(json.dumps(report), flush=True)
        elif "lines" in report:
            lines |= set(report["lines"])
        else:
            census.add(report)
    if options.json:
        return 0
    print(census)
    missing = census.missing()
    if missing:
        print("never happened:", ", ".join(missing))
    if options.coverage:
        print(coverage.table(lines))
    return int(bool(census.violations) or (bool(missing) and census.seeds >= ENOUGH))


def _trace(seed: int, path: Path) -> int:
    from tests.simulation.world import make_template

    with tempfile.TemporaryDirectory() as folder:
        make_template(Path(folder) / "template.db")
        report = run.play(seed, Path(folder), trace=path)
    print("\n".join(report["violations"]) or "nothing was violated")
    return int(bool(report["violations"]))


if __name__ == "__main__":
    sys.exit(main())
