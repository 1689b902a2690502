"""The reference model and two real organizations, one on each store, go through the same life and stay alike.

Hypothesis chooses what happens next, and on which surface. After each step every job of both organizations is compared
with the model's, column by column; at the end of each life the history checker looks at both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from tests.proof.checker import violations
from tests.proof.organizations import COMMAND, EPOCH, HTTP, PYTHON, SURFACES, Clock, Twin, refused, standing_still
from tests.proof.reference import EVENT, REQUEST, RUNS_MAX, Ended, Held, Model, Wanted
from tests.proof.violations import Log
from tests.support import postgres

from adjourn.errors import NotFound

EXAMPLES, STEPS = (20, 40) if settings.default is not None and settings.default.derandomize else (1_000, 60)
TOKENS = st.sampled_from((None, "red", "red", "green"))
WAITS = st.sampled_from((None, None, None, -5.0, 0.0, 1.0, 60.0))
WANTED = st.builds(Wanted, TOKENS, WAITS, st.sampled_from(("succeeded", "succeeded", "failed", "retry")))
ENDED = st.one_of(
    st.builds(Ended, st.sampled_from(("succeeded", "failed", "canceled", "released", "crashed"))),
    st.builds(Ended, st.just("retry"), st.sampled_from((None, 0.0, 30.0))),
    st.builds(Ended, st.just("postpone"), st.sampled_from((-1.0, 0.0, 30.0))),
    st.builds(Ended, st.just("continue"), st.none(), st.sampled_from(("", "half"))),
)
PICK = st.integers(0, 1_000_000)
SURFACE = st.sampled_from(SURFACES)
ACTIONS = ("cancel", "pause", "resume", "postpone", "delete")


class Lives(RuleBasedStateMachine):
    """What may happen, to the model and to both organizations alike."""

    clock: ClassVar[Clock]
    twins: ClassVar[tuple[Twin, ...]]

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.clock.seconds = 0.0
        self.held: list[Held] = []
        self.gone: list[int] = []
        self.steps = 0
        for twin in self.twins:
            twin.clear()

    # Producers

    @rule(wanted=st.lists(WANTED, min_size=1, max_size=4))
    def enqueue_many(self, wanted: list[Wanted]) -> None:
        numbers = self.model.enqueue(REQUEST, wanted)
        for twin in self.twins:
            twin.enqueue(PYTHON, numbers, wanted)

    @rule(wanted=WANTED)
    def execute_async(self, wanted: Wanted) -> None:
        numbers = self.model.enqueue(REQUEST, [wanted])
        for twin in self.twins:
            twin.enqueue(HTTP, numbers, [wanted])

    # Workers

    @rule(limit=st.integers(1, 4), kinds=st.sampled_from(((EVENT, REQUEST), (REQUEST,), (REQUEST, EVENT))))
    def claim(self, limit: int, kinds: tuple[int, ...]) -> None:
        taken = self.model.claim(kinds, limit)
        self.held += taken
        for twin in self.twins:
            assert twin.claim(kinds, limit, taken) == [twin.ids[held.number] for held in taken], twin.store.dialect

    @precondition(lambda self: self.held)
    @rule(pick=PICK, cursor=st.sampled_from(("", "1", "2")), text=st.sampled_from((None, "so far")))
    def checkpoint(self, pick: int, cursor: str, text: str | None) -> None:
        held = self.held[pick % len(self.held)]
        answers = [_answer(lambda: self.model.checkpoint(held, cursor, text, None))]
        answers += [_answer(lambda twin=twin: twin.checkpoint(held, cursor, text, None)) for twin in self.twins]
        assert answers == answers[:1] * 3

    @precondition(lambda self: self.held)
    @rule(picks=st.lists(st.tuples(PICK, ENDED), min_size=1, max_size=3))
    def settle(self, picks: list[tuple[int, Ended]]) -> None:
        ended: list[tuple[Held, Ended]] = []
        for pick, how in picks:
            if self.held:
                ended.append((self.held.pop(pick % len(self.held)), how))
        # What a worker settles together it settles in the order of the queue or in any other.
        accepted = self.model.settle(ended)
        for twin in self.twins:
            assert twin.settle(ended) == [twin.ids[number] for number in accepted], twin.store.dialect

    @rule(seconds=st.sampled_from((1.0, 5.0, 40.0, 4_000.0)))
    def time_passes(self, seconds: float) -> None:
        self._tick(seconds)

    # Operators

    @precondition(lambda self: self.model.jobs)
    @rule(surface=SURFACE, action=st.sampled_from(("cancel", "pause", "resume")), pick=PICK)
    def act(self, surface: str, action: str, pick: int) -> None:
        self._act(surface, action, self._number(pick), 0.0)

    @precondition(lambda self: self.model.jobs)
    @rule(surface=SURFACE, pick=PICK, seconds=st.sampled_from((-5.0, 0.0, 1.0, 60.0)))
    def postpone(self, surface: str, pick: int, seconds: float) -> None:
        self._act(surface, "postpone", self._number(pick), seconds)

    def _act(self, surface: str, action: str, number: int, seconds: float) -> None:
        more = (seconds,) if action == "postpone" else ()
        wanted = refused(lambda: getattr(self.model, action)(number, *more))
        self._acted(surface, action, number, wanted, seconds)

    # What happens now and then

    @rule(
        what=st.sampled_from(("promote", "delete", "rescue", "drain", "account", "look", "count", "gone")),
        surface=SURFACE,
        pick=PICK,
    )
    def also(self, what: str, surface: str, pick: int) -> None:
        match what:
            case "promote":
                self._alike(self.model.promote_due(), [twin.promote_due() for twin in self.twins])
            case "delete" if self.model.jobs:
                self._delete(surface, self._number(pick))
            case "rescue":
                # The worker is dead; or was only taken for dead, and will come back with stale leases.
                if pick % 2:
                    self.held.clear()
                self._alike(self.model.rescue(), [twin.rescue() for twin in self.twins])
            case "drain":
                self._alike(self.model.drain(), [twin.drain() for twin in self.twins])
            case "account":
                numbers = self.model.enqueue(EVENT, [Wanted(), Wanted()])
                for twin in self.twins:
                    twin.create_account(surface, numbers)
            case "look" if self.model.jobs:
                self._look(surface, self._number(pick))
            case "count":
                self._count(surface)
            case "gone" if self.gone:
                self._act_on_what_is_gone(surface, pick)

    def _delete(self, surface: str, number: int) -> None:
        self.model.delete(number)
        self.gone.append(number)
        self._acted(surface, "delete", number, None)

    def _look(self, surface: str, number: int) -> None:
        job = self.model.jobs[number]
        version = (EPOCH.timestamp() + job.modified) * 1_000_000
        for twin in self.twins:
            _, _, _, status, until, *_ = twin.modelled(job)
            if surface == COMMAND and until is not None:
                until = until.replace(microsecond=0)  # people are told whole seconds
            wanted = (status // 10, status, until, job.retries, int(version))
            found = twin.seen(surface, twin.ids[number])
            assert found == wanted[: len(found)], f"job {number} by {surface} on {twin.store.dialect}"

    def _count(self, surface: str) -> None:
        wanted = Counter((job.status // 10, job.status) for job in self.model.jobs.values())
        for twin in self.twins:
            assert twin.counts(surface) == dict(wanted), (surface, twin.store.dialect)

    def _act_on_what_is_gone(self, surface: str, pick: int) -> None:
        self._acted(surface, ACTIONS[pick % len(ACTIONS)], self.gone[pick % len(self.gone)], NotFound.code)

    @invariant()
    def alike(self) -> None:
        for twin in self.twins:
            for found, job in zip(twin.standing(), self.model.jobs.values(), strict=True):
                wanted = twin.modelled(job)
                differ = [pair for pair in zip(found, wanted, strict=True) if pair[0] != pair[1]]
                assert not differ, f"job {job.number} on {twin.store.dialect}: found and wanted {differ}"
        self._tick(1 / 64)  # every step has a moment of its own

    def _tick(self, seconds: float) -> None:
        self.model.now += seconds
        self.clock.seconds = self.model.now

    def teardown(self) -> None:
        for twin in self.twins:
            assert violations(twin.store, Log(drained=False)) == [], twin.store.dialect

    # Inside

    def _number(self, pick: int) -> int:
        """Mostly one that is running, or open: of those there is more to be said."""
        jobs = list(self.model.jobs.values())
        running = [job.number for job in jobs if job.held is not None]
        open_ = [job.number for job in jobs if job.open]
        numbers = (running, running, open_, [])[pick % 4] or [job.number for job in jobs]
        return numbers[pick // 4 % len(numbers)]

    def _acted(self, surface: str, action: str, number: int, wanted: int | None, seconds: float = 60.0) -> None:
        for twin in self.twins:
            code = refused(lambda twin=twin: twin.act(surface, action, twin.ids[number], seconds))
            assert code == wanted, f"{action} of job {number} by {surface} on {twin.store.dialect}"

    def _alike(self, wanted: int, found: list[int]) -> None:
        assert found == [wanted] * len(self.twins)


def _answer(action: Any) -> Any:
    code = refused(answered := _Kept(action))
    return code if code is not None else answered.value


class _Kept:
    def __init__(self, action: Any) -> None:
        self.action, self.value = action, None

    def __call__(self) -> None:
        self.value = self.action()


@pytest.fixture(scope="module")
def _organizations(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    cluster = postgres.cluster()
    name = cluster.create()
    Lives.clock = Clock()
    with standing_still(Lives.clock):
        Lives.twins = (
            Twin(f"sqlite:///{tmp_path_factory.mktemp('reference') / 'adjourn.db'}"),
            Twin(cluster.url_of(name)),
        )
        try:
            yield
        finally:
            for twin in Lives.twins:
                twin.close()
    cluster.drop(name)


STANDINGS: dict[str, Sequence[str]] = {
    "ready": (), "held": ("claim",), "asked to pause": ("claim", "pause"), "asked to wait": ("claim", "postpone"),
    "asked to stop": ("claim", "cancel"), "postponed": ("postpone",), "paused": ("claim", "pause", "continue"),
    "backing off": ("claim", "retry"), "succeeded": ("claim", "succeeded"), "failed": ("claim", "failed"),
    "canceled": ("cancel",), "canceled while it ran": ("claim", "cancel", "canceled"),
}  # fmt: skip
"""How the first job of a token gets to stand so."""
ENDS = (
    Ended("succeeded"), Ended("failed"), Ended("canceled"), Ended("released"), Ended("crashed"), Ended("retry"),
    Ended("retry", 0.0), Ended("postpone", -1.0), Ended("postpone", 30.0), Ended("continue", cursor="half"),
)  # fmt: skip


def life(standing: str) -> Lives:
    """Job 1 stands so; behind it are one postponed for a second and one that is not."""
    lives = Lives()
    lives.enqueue_many([Wanted("red"), Wanted("red", 1.0), Wanted("red")])
    for step in STANDINGS[standing]:
        match step:
            case "claim":
                lives.claim(1, (REQUEST,))
            case "cancel" | "pause":
                lives.act(PYTHON, step, 0)
            case "postpone":
                lives.postpone(PYTHON, 0, 60.0)
            case ending:
                lives.settle([(0, Ended(ending))])
        lives.alike()
    return lives


def go_on(lives: Lives) -> None:
    """Moments come, everything runs; the histories of both stores are without a fault."""
    for _ in range(2):
        lives.alike()
        lives.time_passes(5.0)
        lives.also("promote", PYTHON, 0)
        lives.alike()
        lives.also("drain", PYTHON, 0)
    lives.alike()
    lives.teardown()


@pytest.mark.usefixtures("_organizations")
@pytest.mark.parametrize("ended", ENDS, ids=lambda ended: f"{ended.kind} {ended.seconds}")
def test_each_end_of_a_run_in_each_standing(ended: Ended) -> None:
    """Also again and again, until the job is failed for it."""
    for standing in ("held", "asked to pause", "asked to wait", "asked to stop"):
        for times in (1, RUNS_MAX):
            lives = life(standing)
            lives.checkpoint(0, "1", "so far")
            lives.time_passes(5.0)  # the moment of the job behind it passes before its turn comes
            for _ in range(times):
                if not lives.held:
                    lives.act(HTTP, "resume", 0)
                    lives.claim(1, (REQUEST,))
                if lives.held:
                    lives.settle([(0, ended)])
                lives.alike()
            go_on(lives)


@pytest.mark.usefixtures("_organizations")
@pytest.mark.parametrize("standing", STANDINGS)
def test_each_action_in_each_standing_on_each_surface(standing: str) -> None:
    for index, action in enumerate(("cancel", "pause", "resume", "postpone", "postpone to now", "delete")):
        lives = life(standing)
        for number in (1, 2):
            # Job 2 is blocked, or has come forward.
            surface = SURFACES[(index + number) % len(SURFACES)]
            if action == "delete":
                lives._delete(surface, number)
            else:
                verb, _, now = action.partition(" ")
                lives._act(surface, verb, number, 0.0 if now else 60.0)
            lives.alike()
        go_on(lives)


@pytest.mark.usefixtures("_organizations")
@pytest.mark.parametrize("standing", STANDINGS)
def test_each_surface_tells_how_it_stands_and_that_it_is_gone(standing: str) -> None:
    lives = life(standing)
    for surface in SURFACES:
        for number in (1, 2, 3):
            lives._look(surface, number)
        lives._count(surface)
    lives._delete(PYTHON, 1)
    for surface in SURFACES:
        for pick in range(len(ACTIONS)):
            lives._act_on_what_is_gone(surface, pick)
    go_on(lives)


@pytest.mark.usefixtures("_organizations")
def test_what_comes_into_hypothesis_mind() -> None:
    run_state_machine_as_test(
        Lives,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
