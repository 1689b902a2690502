"""The reference model and two real organizations, one on each store, go through the same life and stay alike.

Hypothesis chooses what happens next, and on which surface. After each step every job of both organizations is compared
with the model's, column by column; at the end of each life the history checker looks at both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from tests.proof.checker import violations
from tests.proof.organizations import HTTP, PYTHON, SURFACES, Clock, Twin, refused, standing_still
from tests.proof.reference import EVENT, REQUEST, Ended, Held, Model, Wanted
from tests.proof.violations import Log
from tests.support import postgres

from adjourn.errors import NotFound, NotSupported

EXAMPLES, STEPS = (25, 30) if settings.default is not None and settings.default.derandomize else (1_000, 60)
TOKENS = st.sampled_from((None, None, "red", "green"))
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

    @rule(surface=st.sampled_from((PYTHON, HTTP)))
    def create_account(self, surface: str) -> None:
        numbers = self.model.enqueue(EVENT, [Wanted(), Wanted()])
        for twin in self.twins:
            twin.create_account(surface, numbers)

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

    @precondition(lambda self: self.held)
    @rule(forget=st.booleans())
    def rescue(self, forget: bool) -> None:
        """forget: the worker is dead; otherwise it was only taken for dead, and will come back with stale leases."""
        if forget:
            self.held.clear()
        self._alike(self.model.rescue(), [twin.rescue() for twin in self.twins])

    @rule()
    def promote_due(self) -> None:
        self._alike(self.model.promote_due(), [twin.promote_due() for twin in self.twins])

    @rule()
    def drain(self) -> None:
        self._alike(self.model.drain(), [twin.drain() for twin in self.twins])

    @rule(seconds=st.sampled_from((1.0, 5.0, 40.0, 4_000.0)))
    def time_passes(self, seconds: float) -> None:
        self.model.now += seconds
        self.clock.seconds = self.model.now

    # Operators

    @precondition(lambda self: self.model.jobs)
    @rule(surface=SURFACE, action=st.sampled_from(("cancel", "pause", "resume")), pick=PICK)
    def act(self, surface: str, action: str, pick: int) -> None:
        number = self._number(pick)
        wanted = refused(lambda: getattr(self.model, action)(number))
        self._acted(surface, action, number, wanted)

    @precondition(lambda self: self.model.jobs)
    @rule(surface=SURFACE, pick=PICK, seconds=st.sampled_from((-5.0, 0.0, 1.0, 60.0)))
    def postpone(self, surface: str, pick: int, seconds: float) -> None:
        number = self._number(pick)
        wanted = refused(lambda: self.model.postpone(number, seconds))
        self._acted(surface, "postpone", number, wanted, seconds)

    @precondition(lambda self: self.model.jobs)
    @rule(surface=SURFACE, pick=PICK)
    def delete(self, surface: str, pick: int) -> None:
        number = self._number(pick)
        self.model.delete(number)
        self.gone.append(number)
        self._acted(surface, "delete", number, None)

    @precondition(lambda self: self.gone)
    @rule(surface=SURFACE, pick=PICK, action=st.sampled_from(("cancel", "pause", "resume", "postpone", "delete")))
    def act_on_what_is_gone(self, surface: str, pick: int, action: str) -> None:
        # Over HTTP an update of what is not there is an upsert: it would create a system job, which nobody may.
        upsert = surface == HTTP and action != "delete"
        code = NotSupported.code if upsert else NotFound.code
        self._acted(surface, action, self.gone[pick % len(self.gone)], code)

    # What surfaces tell

    @precondition(lambda self: self.model.jobs)
    @rule(surface=SURFACE, pick=PICK)
    def look(self, surface: str, pick: int) -> None:
        job = self.model.jobs[self._number(pick)]
        for twin in self.twins:
            _, _, _, status, until, *_ = twin.modelled(job)
            assert twin.seen(surface, twin.ids[job.number]) == (status // 10, status, until, job.retries), surface

    @rule(surface=st.sampled_from((PYTHON, HTTP)))
    def count(self, surface: str) -> None:
        wanted = Counter((job.status // 10, job.status) for job in self.model.jobs.values())
        for twin in self.twins:
            assert twin.counts(surface) == dict(wanted), (surface, twin.store.dialect)

    @invariant()
    def alike(self) -> None:
        for twin in self.twins:
            for found, job in zip(twin.standing(), self.model.jobs.values(), strict=True):
                wanted = twin.modelled(job)
                differ = [pair for pair in zip(found, wanted, strict=True) if pair[0] != pair[1]]
                assert not differ, f"job {job.number} on {twin.store.dialect}: found and wanted {differ}"

    def teardown(self) -> None:
        for twin in self.twins:
            assert violations(twin.store, Log(drained=False)) == [], twin.store.dialect

    # Inside

    def _number(self, pick: int) -> int:
        numbers = list(self.model.jobs)
        return numbers[pick % len(numbers)]

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


@contextmanager
def _organizations(folder: Path) -> Iterator[None]:
    cluster = postgres.cluster()
    name = cluster.create()
    Lives.clock = Clock()
    with standing_still(Lives.clock):
        Lives.twins = (Twin(f"sqlite:///{folder / 'adjourn.db'}"), Twin(cluster.url_of(name)))
        try:
            yield
        finally:
            for twin in Lives.twins:
                twin.close()
    cluster.drop(name)


def test_the_model_and_both_stores_stay_alike(tmp_path: Path) -> None:
    with _organizations(tmp_path):
        run_state_machine_as_test(
            Lives,
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
