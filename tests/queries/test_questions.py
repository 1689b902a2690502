"""The table of questions: each in its two languages, and printed in the other one, on both stores, against plain Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from tests.queries import (
    asking,
    questions_dates,
    questions_own,
    questions_shapes,
    questions_values,
    world,
)
from tests.queries.asking import Answer, Question
from tests.queries.world import ASKERS, NOWS, Asker

from adjourn.query.operators import ODATA_FUNCTIONS, OPERATORS
from adjourn.query.tree import Query
from adjourn.store import open_store
from adjourn.store.contract import Store

TABLES = {
    "values": questions_values.QUESTIONS,
    "own": questions_own.QUESTIONS,
    "dates": questions_dates.QUESTIONS,
    "shapes": questions_shapes.QUESTIONS,
}
EVERYTHING = [question for table in TABLES.values() for question in table]
ROWS = world.rows()
SHOWN_MAX = 5
"""Differences that a failure shows."""


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with the world, which no test changes."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('questions')}/questions.db"
    else:
        from tests.support import postgres

        cluster = postgres.cluster()
        name = cluster.create()
        url = cluster.url_of(name)
    store = open_store(url)
    world.fill(store, ROWS)
    yield store
    store.close()
    if request.param == "postgres":
        cluster.drop(name)


_expected: dict[Any, Answer] = {}
"""What plain Python finds is the same for both stores."""


def expected(place: int, form: str, query: Query, asker: Asker, now: int) -> Answer:
    key = (place, form, asker.name, now)
    if key not in _expected:
        _expected[key] = asking.expected(query, ROWS, asker, NOWS[now])
    return _expected[key]


def circumstances(question: Question, place: int) -> Iterator[tuple[Asker, int]]:
    """Who asks a question, and when: everybody at one moment each where that matters, so that each meets all of them."""
    if not question.dated:
        yield ASKERS[place % len(ASKERS)], place % len(NOWS)
        return
    for number, asker in enumerate(ASKERS):
        yield asker, (place + number) % len(NOWS)


def differences(store: Store, questions: tuple[Question, ...]) -> Iterator[str]:
    with store.read() as reader:
        for place, question in enumerate(questions, EVERYTHING.index(questions[0])):
            forms = list(asking.parsed(question))
            for asker, now in circumstances(question, place):
                first: Answer | None = None
                for form, query in forms:
                    found = asking.answered(query, reader, asker, NOWS[now])
                    where = f"{question.name}\n  in {form}, {asker.name}, {NOWS[now]:%Y-%m-%d %H:%M}"
                    if form in ("OData", "FetchXML") or not question.same:
                        right = expected(place, form, query, asker, now)
                        if found != right:
                            yield f"{where}: {_difference(found, right)}"
                    comparable = sorted(map(_cells, found)) if query.aggregate or query.distinct else found
                    if first is None:
                        first = comparable
                    elif question.same and comparable != first:
                        yield f"{where} differs from {forms[0][0]}: {_difference(comparable, first)}"


def _cells(row: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple(sorted(map(repr, row)))


def _difference(found: Any, right: Any) -> str:
    missing, more = [row for row in right if row not in found], [row for row in found if row not in right]
    return f"{len(found)} rows, expected {len(right)}; missing {missing[:3]}, too many {more[:3]}"


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.requirement("M74")
def test_each_question_is_answered_as_plain_python_does(filled: Store, name: str) -> None:
    found = list(differences(filled, TABLES[name]))
    assert not found, "\n".join([f"{len(found)} differences:", *found[:SHOWN_MAX]])


def test_the_table_is_large_enough_and_most_of_it_is_asked_in_both_languages() -> None:
    assert len(EVERYTHING) >= 300
    assert sum(q.odata is not None and q.fetch is not None for q in EVERYTHING) >= 300


def test_every_operator_is_asked_at_least_three_times() -> None:
    asked = Counter(
        operator
        for question in EVERYTHING
        for operator in {operator for _, query in asking.parsed(question) for operator in asking.operators_of(query)}
    )
    assert [name for name in OPERATORS if asked[name] < 3] == []


def test_every_query_function_is_asked_at_least_three_times() -> None:
    asked = Counter(
        function
        for question in EVERYTHING
        for _, text in question.odata or ()
        for function in ODATA_FUNCTIONS
        if f"{asking.FUNCTION}{function}(" in text
    )
    assert [name for name in ODATA_FUNCTIONS if asked[name] < 3] == []


@pytest.mark.parametrize("name", TABLES)
def test_most_answers_are_neither_nothing_nor_everything(name: str) -> None:
    """A question to which all rows, or none, are the answer proves little."""
    telling = 0
    for place, question in enumerate(TABLES[name], EVERYTHING.index(TABLES[name][0])):
        asker, now = next(circumstances(question, place))
        form, query = next(asking.parsed(question))
        telling += 0 < len(expected(place, form, query, asker, now)) < len(ROWS[question.table])
    assert telling >= len(TABLES[name]) * 0.6
