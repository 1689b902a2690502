"""Deterministic simulation: the real service on the real SQLite store, hundreds of seeds, and nothing is ever violated."""

from __future__ import annotations

import pytest
from tests.simulation import coverage
from tests.simulation.census import Census
from tests.simulation.run import simulate

SEEDS, STEPS = 300, 200
LONG_SEEDS, LONG_SECONDS = 10_000, 3_600.0
_SECONDS_MAX = 900.0
"""Of a machine that does a lot besides; alone it is a minute and a half."""
WATCHED, COVERED = 120, 0.85
"""Of the lines of jobs, worker and store so many are executed, by simulation alone: by so many of the seeds, because to watch
them costs time."""


def test_many_seeds_violate_nothing_and_meet_every_peril(capsys: pytest.CaptureFixture[str]) -> None:
    census = simulate(range(SEEDS), seconds_max=_SECONDS_MAX, coverage=WATCHED, processes=2)
    _shown(census, capsys)
    share = coverage.share(census.lines)
    with capsys.disabled():
        print(
            f"{100 * share:.1f} % of the lines of jobs, worker and store executed by {WATCHED} seeds; {coverage.COUNTED}"
        )
    assert share >= COVERED, coverage.table(census.lines)
    assert census.violations == []
    assert census.seeds == SEEDS
    assert census.fewest_steps >= STEPS
    assert census.missing() == []


def test_a_seed_always_gives_the_same_run() -> None:
    """Whatever order Python's own hashes have."""
    seeds = range(1_000_000, 1_000_004)
    runs = [simulate(seeds, seconds_max=60, environment={"PYTHONHASHSEED": number}) for number in ("1", "2")]
    assert runs[0].traces == runs[1].traces
    assert len({*runs[0].traces.values()}) == len(seeds)


@pytest.mark.long
def test_ten_thousand_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    """As many as there are in an hour."""
    census = simulate(range(1_000, 1_000 + LONG_SEEDS), seconds_max=LONG_SECONDS, processes=2)
    _shown(census, capsys)
    assert census.violations == []
    assert census.missing() == []


def _shown(census: Census, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\n{census}")
