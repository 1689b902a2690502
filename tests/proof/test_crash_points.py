"""kill -9 at every fault point of every verb, on both stores: the next process finds nothing lost, doubled or stuck.

The list of points is read from the source. The short form dies at the first visit of each point in each stage, and at a
few more where whole runs happen; the long form at every visit, and again while the next process recovers.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.conftest import DIALECTS
from tests.proof import points
from tests.proof.crash import CrashRoom, Play, Report, Visit
from tests.proof.crash_scenarios import STAGES
from tests.support import postgres

_EXECUTOR = "adjourn.worker.executor."
_RUN_VISITS = 1
"""Of each point of the stage in which whole runs happen, beyond the first, in the short form."""


@pytest.fixture(scope="module")
def room() -> Iterator[CrashRoom]:
    opened = CrashRoom()
    yield opened
    opened.close()


class Theatre:
    """Fresh databases on one store, each with a folder; and what a process visits that nobody kills."""

    def __init__(self, dialect: str, room: CrashRoom, folder: Path) -> None:
        self.dialect = dialect
        self.room = room
        self._folder = folder
        self._made = 0
        self._names: list[str] = []
        self._template = self._empty("template")
        folder.joinpath("template").mkdir()
        self.room.play(Play("prepare", self._template, str(folder / "template")))
        self._visits: dict[str, list[Visit]] = {}

    def visits(self, scenario: str) -> list[Visit]:
        """All fault points that a process comes to in a scenario, in order; nothing is wrong in the end."""
        if scenario not in self._visits:
            report, violations = self.perform(Play(scenario, *self.fresh()))
            assert not report.killed
            assert violations == []
            self._visits[scenario] = report.visits
        return self._visits[scenario]

    def fresh(self) -> tuple[str, str]:
        """A prepared organization's URL, and a folder."""
        self._made += 1
        folder = self._folder / str(self._made)
        folder.mkdir()
        if self.dialect == "postgres":
            cluster = postgres.cluster()
            self._names.append(cluster.create(template=self._names[0]))
            return cluster.url_of(self._names[-1]), str(folder)
        shutil.copyfile(self._folder / "template" / "adjourn.db", folder / "adjourn.db")
        return f"sqlite:///{folder / 'adjourn.db'}", str(folder)

    def perform(self, play: Play, dying_recoveries: Sequence[Visit] = ()) -> tuple[Report, list[str]]:
        """Play, then let the next process recover: what became of the first, and what is wrong in the end."""
        report = self.room.play(play)
        for visit in dying_recoveries:
            self.room.play(Play("recover", play.url, play.folder, visit))
        violations = self.room.play(Play("recover", play.url, play.folder)).violations
        if self.dialect == "postgres":
            postgres.cluster().drop(self._names.pop())
        shutil.rmtree(play.folder)
        return report, violations

    def close(self) -> None:
        for name in self._names:
            postgres.cluster().drop(name)

    def _empty(self, name: str) -> str:
        if self.dialect == "postgres":
            self._names.append(postgres.cluster().create())
            return postgres.cluster().url_of(self._names[-1])
        return f"sqlite:///{self._folder / name / 'adjourn.db'}"


@pytest.fixture(scope="module", params=DIALECTS)
def theatre(
    request: pytest.FixtureRequest, room: CrashRoom, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Theatre]:
    opened = Theatre(request.param, room, tmp_path_factory.mktemp("crash"))
    yield opened
    opened.close()


def chosen(visits: Sequence[Visit], more: int) -> list[Visit]:
    """Of each point the first visit, and some later ones at even distances."""
    by_site: dict[str, list[Visit]] = defaultdict(list)
    for visit in visits:
        by_site[visit.site].append(visit)
    found = []
    for places in by_site.values():
        indexes = {0, *((len(places) - 1) * (index + 1) // (more + 1) for index in range(more))}
        found += [places[index] for index in sorted(indexes)]
    return found


def test_every_fault_point_of_the_source_is_visited(theatre: Theatre) -> None:
    """A point that is new in the source needs a stage in `crash_scenarios` that comes by."""
    visited = {visit.site for scenario in ("verbs", "workers") for visit in theatre.visits(scenario)}
    assert {site for site in points.declared(theatre.dialect) if not site.startswith(_EXECUTOR)} <= visited
    assert {visit.stage for visit in theatre.visits("verbs")} == set(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_killed_at_each_point_of_a_stage(theatre: Theatre, stage: str) -> None:
    visits = [visit for visit in theatre.visits("verbs") if visit.stage == stage]
    for visit in chosen(visits, _RUN_VISITS if stage == "run" else 0):
        report, violations = theatre.perform(Play("verbs", *theatre.fresh(), visit))
        assert report.killed, f"it never came to {visit}"
        assert violations == [], visit


def test_a_service_with_executors_killed_at_an_outcome(theatre: Theatre) -> None:
    visits = [visit for visit in theatre.visits("workers") if "outcome" in visit.site]
    for visit in visits[2:3]:
        report, violations = theatre.perform(Play("workers", *theatre.fresh(), visit))
        assert report.killed, f"it never came to {visit}"
        assert violations == [], visit


@pytest.mark.parametrize("site", sorted(site for site in points.declared("sqlite") if site.startswith(_EXECUTOR)))
def test_an_executor_killed_at_its_own_points(theatre: Theatre, site: str) -> None:
    url, folder = theatre.fresh()
    play = Play(f"executor {site.rpartition(': ')[2]}", url, folder)
    theatre.room.play(play)
    assert (Path(folder) / "died").exists(), f"no executor came to {site}"
    assert theatre.room.play(Play("recover", url, folder)).violations == []


@pytest.mark.long
@pytest.mark.parametrize("stage", STAGES)
def test_killed_at_each_visit_of_a_stage(theatre: Theatre, stage: str) -> None:
    for visit in (visit for visit in theatre.visits("verbs") if visit.stage == stage):
        report, violations = theatre.perform(Play("verbs", *theatre.fresh(), visit))
        assert report.killed, f"it never came to {visit}"
        assert violations == [], visit


@pytest.mark.long
@pytest.mark.parametrize("stage", STAGES)
def test_killed_and_killed_again_while_it_recovers(theatre: Theatre, stage: str) -> None:
    visits = [visit for visit in theatre.visits("verbs") if visit.stage == stage]
    for visit in chosen(visits, 0):
        if "commit" not in visit.site:
            continue
        for count in (1, 2, 5, 11):
            again = visit._replace(stage="recover", count=count)
            _, violations = theatre.perform(Play("verbs", *theatre.fresh(), visit), [again, again._replace(count=1)])
            assert violations == [], (visit, again)


@pytest.mark.long
def test_a_service_with_executors_killed_anywhere(theatre: Theatre) -> None:
    """Its threads make another order each time: a visit may not come, most do."""
    visits = theatre.visits("workers")
    killed = 0
    for visit in visits[: len(visits) * 3 // 4 : 2]:
        report, violations = theatre.perform(Play("workers", *theatre.fresh(), visit))
        killed += report.killed
        assert violations == [], visit
    assert killed > len(visits) // 4
