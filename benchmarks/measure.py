"""What the benchmarks share: rounds, medians, a scratch organization, and the table that they fill."""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """One line of the table. value and yardstick share `unit`; ratio says which way is better in `wanted`."""

    name: str
    value: float
    unit: str
    yardstick: str
    yardstick_value: float | None
    wanted: str
    met: bool | None
    spread: str = ""

    def row(self) -> str:
        against = "" if self.yardstick_value is None else said(self.yardstick_value)
        ratio = "" if not self.yardstick_value else f"{self.value / self.yardstick_value:.2f}"
        verdict = {True: "yes", False: "**no**", None: ""}[self.met]
        cells = (
            self.name,
            f"{said(self.value)} {self.unit}",
            self.yardstick,
            against,
            ratio,
            self.wanted,
            verdict,
            self.spread,
        )
        return f"| {' | '.join(cells)} |"


HEADER = (
    "| what | adjourn | yardstick | yardstick's | ratio | wanted | met | rounds (min to max) |\n"
    "|---|---|---|---|---|---|---|---|"
)


def said(value: float) -> str:
    """A number with four significant digits, as people write it."""
    return f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.4g}"


def paired(ours: Callable[[], float], theirs: Callable[[], float], rounds: int = 3) -> tuple[float, float, str]:
    """Medians of alternating rounds, so that noise falls on both; and our spread."""
    mine, other = [], []
    for _ in range(rounds):
        mine.append(ours())
        other.append(theirs())
    return statistics.median(mine), statistics.median(other), f"{said(min(mine))} to {said(max(mine))}"


def percentile(found: list[float], part: float) -> float:
    ordered = sorted(found)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


@contextmanager
def folder() -> Iterator[Path]:
    """A scratch folder on a real disk, removed afterwards."""
    path = Path(tempfile.mkdtemp(prefix="adjourn-bench-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start
