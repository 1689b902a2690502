"""kill -9 at every fault point of every verb, on both stores: the next process finds nothing lost, doubled or stuck.

The list of points is read from the source. The short form dies at one visit of each point in each stage, and
behind each commit of an atomic run; the long form at every visit, and again while the next process recovers.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.conftest import DIALECTS
from tests.proof import points
from tests.proof.crash import STAGES, CrashRoom, Play, Report, Visit
from tests.support import postgres

OUTCOME = "adjourn.worker.settling.finished: outcome"
"""The one point that only a service with executors comes to."""
_EXECUTOR = "adjourn.worker.executor."
_ATOMIC_VISITS = 24
"""To the end of an atomic run, jobs that it caused left out."""
_AFTER, _WRITTEN = "after commit", ("file written", "file renamed")
_PLAYS_MAX = 40
"""On one database; then a new one, because the checker looks at its whole history each time."""


@pytest.fixture(scope="module")
def room() -> Iterator[CrashRoom]:
    opened = CrashRoom()
    yield opened
    opened.close()


class Theatre:
    """A database that lives through many kills, and its journal: what the first process was promised, the last one finds."""

    def __init__(self, dialect: str, room: CrashRoom, folder: Path) -> None:
        self.dialect = dialect
        self._room = room
        self._parent = folder
        self._name: str | None = None
        self._visits: list[Visit] = []
        self._played: set[str] = set()
        self._prepare()

    def visits(self, stage: str | None = None) -> list[Visit]:
        """The fault points that a process comes to in a stage, or in all, when nobody kills it."""
        for scenario in {STAGES[stage]: None} if stage is not None else dict.fromkeys(STAGES.values()):
            if scenario not in self._played:
                self._visits += self.perform(scenario).visits
                self._played.add(scenario)
        return [visit for visit in self._visits if stage in (None, visit.stage)]

    def perform(self, scenario: str, die_at: Visit | None = None, dying_recoveries: Sequence[Visit] = ()) -> Report:
        """Play, then let the next process recover; nothing may be wrong in the end."""
        report = self._room.play(Play(scenario, self._url, self._folder, die_at))
        for visit in dying_recoveries:
            self._room.play(Play("recover", self._url, self._folder, visit))
        violations = self._room.play(Play("recover", self._url, self._folder)).violations
        self._plays += 1
        if violations or self._plays >= _PLAYS_MAX:
            self._prepare()  # what is broken stays broken: not for the tests that follow
        assert violations == [], f"{scenario}, {die_at}, {dying_recoveries}"
        return report

    def kill(self, scenario: str, die_at: Visit, dying_recoveries: Sequence[Visit] = ()) -> None:
        """The same, and the process must have come to that point."""
        assert self.perform(scenario, die_at, dying_recoveries).killed, f"it never came to {die_at}"

    def close(self) -> None:
        if self._name is not None:
            postgres.cluster().drop(self._name)

    def _prepare(self) -> None:
        self.close()
        self._plays = 0
        self._folder = tempfile.mkdtemp(dir=self._parent)
        self._url = f"sqlite:///{self._folder}/adjourn.db"
        if self.dialect == "postgres":
            self._name = postgres.cluster().create()
            self._url = postgres.cluster().url_of(self._name)
        self._room.play(Play("prepare", self._url, self._folder))


@pytest.fixture(scope="module", params=DIALECTS)
def theatre(
    request: pytest.FixtureRequest, room: CrashRoom, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Theatre]:
    opened = Theatre(request.param, room, tmp_path_factory.mktemp("crash"))
    yield opened
    opened.close()


def chosen(visits: Sequence[Visit]) -> list[Visit]:
    """Of each point the first visit; of the points of long work the one in the middle, with some of it done."""
    found: dict[str, list[Visit]] = {}
    for visit in visits:
        found.setdefault(visit.site, []).append(visit)
    return [of[len(of) // 2 if STAGES[of[0].stage] == "bulk delete" else 0] for of in found.values()]


def short(stage: str, visits: Sequence[Visit]) -> list[Visit]:
    """The visits of the short form: what another stage dies at, and what leaves the same on the disk, is left out."""
    if stage not in ("offload", "schedule due"):
        visits = [visit for visit in visits if not visit.site.endswith(_WRITTEN)]
    if stage == "chunks of runs":
        return [visit for visit in chosen(visits) if ".chunks." in visit.site]
    if stage == "atomic":
        # Between all its commits: where in between does not matter.
        visits = visits[:_ATOMIC_VISITS]
        return list(dict.fromkeys((*chosen(visits), *(visit for visit in visits if visit.site.endswith(_AFTER)))))
    return chosen(visits)


def test_every_fault_point_of_the_source_is_visited(theatre: Theatre) -> None:
    """A point that is new in the source needs a stage in `crash_scenarios` that comes by."""
    visited = {visit.site for visit in theatre.visits()} | {OUTCOME}
    assert {site for site in points.declared(theatre.dialect) if not site.startswith(_EXECUTOR)} <= visited
    assert {visit.stage for visit in theatre.visits()} == set(STAGES)


@pytest.mark.parametrize(
    "stage",
    [
        pytest.param(stage, marks=pytest.mark.requirement("M153")) if stage in ("offload", "delete") else stage
        for stage in STAGES
    ],
)
def test_killed_at_each_point_of_a_stage(theatre: Theatre, stage: str) -> None:
    visits = short(stage, theatre.visits(stage))
    for visit in visits:
        theatre.kill(STAGES[stage], visit)


def test_a_service_with_executors_killed_at_an_outcome(theatre: Theatre) -> None:
    for count in (1, 5):
        theatre.kill("workers", Visit("workers", OUTCOME, count))


@pytest.mark.parametrize("site", sorted(site for site in points.declared("sqlite") if site.startswith(_EXECUTOR)))
def test_an_executor_killed_at_its_own_points(theatre: Theatre, site: str) -> None:
    theatre.perform(f"executor {site.rpartition(': ')[2]}")


@pytest.mark.long
@pytest.mark.parametrize("stage", STAGES)
def test_killed_at_each_visit_of_a_stage(theatre: Theatre, stage: str) -> None:
    for visit in theatre.visits(stage):
        theatre.kill(STAGES[stage], visit)


@pytest.mark.long
@pytest.mark.parametrize("stage", STAGES)
def test_killed_and_killed_again_while_it_recovers(theatre: Theatre, stage: str) -> None:
    for visit in chosen(theatre.visits(stage)):
        if "commit" in visit.site:
            for count in (1, 2, 5, 11):
                again = visit._replace(stage="recover", count=count)
                theatre.kill(STAGES[stage], visit, [again, again._replace(count=1)])


@pytest.mark.long
def test_a_service_with_executors_killed_anywhere(theatre: Theatre) -> None:
    """Its threads make another order each time: a visit may not come, most do."""
    visits = theatre.perform("workers").visits
    killed = [theatre.perform("workers", visit).killed for visit in visits[: len(visits) * 3 // 4 : 2]]
    assert sum(killed) > len(killed) // 2
