"""What many seeds did together: the figures that a proof prints, and what must not be missing among them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.perils import KINDS

from adjourn.jobs.states import CLAIMED, CREATED, ENDED, SETTLED, TRANSITIONS, WOKEN, Status

TRANSITIONS_EXPECTED = frozenset(
    f"{was} -> {became}"
    for was, became in {
        *((None, int(status)) for status in CREATED),
        (int(CLAIMED[0]), int(CLAIMED[1])),
        (int(WOKEN[0]), int(WOKEN[1])),
        *((int(was), int(became)) for table in (SETTLED, ENDED) for was, after in table.items() for became in after),
        *(
            (int(was), None if result.gone else int(result.status))
            for cells in TRANSITIONS.values()
            for was, result in cells.items()
            if result.gone or result.status is not None
        ),
    }
    if was != became
)
"""Every change of status that the tables of `jobs.states` have, and every deletion."""
STATUSES = {str(int(status)): status.name.lower().replace("_", " ") for status in Status}


@dataclass
class Census:
    """Counts over all seeds."""

    seeds: int = 0
    steps: int = 0
    fewest_steps: int = 1 << 62
    seconds: float = 0.0
    """Of virtual time."""
    statements: int = 0
    jobs: int = 0
    perils: Counter[str] = field(default_factory=Counter)
    transitions: Counter[str] = field(default_factory=Counter)
    acts: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    traces: dict[int, str] = field(default_factory=dict)
    violations: list[tuple[int, str]] = field(default_factory=list)
    """With their seeds."""
    lines: set[str] = field(default_factory=set)
    """What was executed, as "module:line", where that was watched."""

    def add(self, report: dict[str, Any]) -> None:
        """One seed's report, as JSON has it."""
        self.seeds += 1
        self.steps += report["steps"]
        self.fewest_steps = min(self.fewest_steps, report["steps"])
        self.seconds += report["seconds"]
        self.statements += report["statements"]
        self.jobs += report["jobs"]
        self.traces[report["seed"]] = report["trace"]
        for name in ("perils", "transitions", "acts", "refused"):
            getattr(self, name).update(report[name])
        self.violations += [(report["seed"], text) for text in report["violations"]]

    def missing(self) -> list[str]:
        """Perils and transitions that never happened."""
        return sorted({*KINDS} - {*self.perils}) + sorted({*TRANSITIONS_EXPECTED} - {*self.transitions})

    def __str__(self) -> str:
        lines = [
            f"{self.seeds:,} seeds, {self.steps:,} steps (at least {self.fewest_steps:,} each), "
            f"{self.statements:,} executed statements, {self.jobs:,} jobs, {self.seconds:,.0f} s of virtual time",
            "perils:",
            *(f"  {self.perils[kind]:>9,}  {kind}" for kind in sorted({*KINDS, *self.perils})),
            "transitions:",
            *(
                f"  {self.transitions[name]:>9,}  {_named(name)}"
                for name in sorted({*TRANSITIONS_EXPECTED, *self.transitions})
            ),
            "acknowledged acts:",
            *(f"  {count:>9,}  {name}" for name, count in sorted(self.acts.items())),
            "refused calls:",
            *(f"  {count:>9,}  {name}" for name, count in sorted(self.refused.items())),
        ]
        lines += [f"VIOLATION, seed {seed}: {text}" for seed, text in self.violations[:50]]
        lines.append(f"{len(self.violations)} violations")
        return "\n".join(lines)


def _named(transition: str) -> str:
    was, _, became = transition.partition(" -> ")
    return f"{STATUSES.get(was, 'new')} -> {STATUSES.get(became, 'deleted')}"
