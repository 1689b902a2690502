"""A hundred people act on one running job at the same time, over HTTP: one story remains. On both stores."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from tests.acceptance.webapi.conftest import error_of
from tests.support import control_plugins as plugins
from tests.support.lifecycle import CHANGES

from adjourn import runtime
from adjourn.client import Client
from adjourn.jobs import explain
from adjourn.jobs.states import CLAIMED, TRANSITIONS, WOKEN, Action, Status
from adjourn.service import Service
from adjourn.store.contract import Store
from adjourn.worker.supervisor import Supervisor

PEOPLE = 20
PLAIN = (WOKEN, CLAIMED)
"""What happens to a job without anybody's doing leaves no entry: its moment comes, a worker takes it."""


@pytest.fixture
def job(service: Service, org: Client, tmp_path: Path) -> Iterator[UUID]:
    """A job that runs, with a checkpoint every 20 ms."""
    service.register("tests.support.control_plugins")
    supervisor = Supervisor(service, processes=1, concurrency=4)
    supervisor.start()
    found = org.enqueue(plugins.steps.request(until=5000, pause=0.02, log=str(tmp_path / "log")))
    deadline = time.monotonic() + 20
    while not (tmp_path / "log").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    yield found
    supervisor.stop()


def act(http: httpx.Client, job: UUID, action: Action) -> httpx.Response:
    address = f"asyncoperations({job})"
    if action is Action.DELETE:
        return http.delete(address)
    body: dict[str, Any] = CHANGES[action]
    if action is Action.POSTPONE:
        body = {"postponeuntil": (runtime.now() + timedelta(seconds=0.05)).isoformat()}
    return http.patch(address, json=body)


def all_at_once(http: httpx.Client, job: UUID, wishes: list[Action]) -> list[tuple[Action, httpx.Response]]:
    with ThreadPoolExecutor(PEOPLE) as people:
        answers = list(people.map(lambda action: act(http, job, action), wishes))
    return list(zip(wishes, answers, strict=True))


def leads(before: Status, after: Status) -> bool:
    """Whether a job gets from one status to the other by itself."""
    while before is not after:
        ways = [became for was, became in PLAIN if was is before]
        if not ways:
            return False
        (before,) = ways
    return True


@pytest.mark.requirement("M199")
def test_a_hundred_conflicting_actions_leave_a_path_of_the_table(http: httpx.Client, store: Store, job: UUID) -> None:
    chance = random.Random(5)
    wishes = [Action.PAUSE] * 30 + [Action.RESUME] * 25 + [Action.POSTPONE] * 20
    chance.shuffle(wishes)
    late = [Action.CANCEL] * 15 + [Action.PAUSE] * 5 + [Action.RESUME] * 5
    chance.shuffle(late)
    answers = all_at_once(http, job, wishes + late)
    assert len(answers) == 100
    accepted: Counter[Action] = Counter()
    for action, answer in answers:
        if answer.status_code == 204:
            accepted[action] += 1
            continue
        status, code, text = error_of(answer)
        refusals = {result.code for result in TRANSITIONS[action].values() if result.code is not None}
        assert (status, int(code, 16) in refusals) == (400, True), (action, text)
    deadline = time.monotonic() + 20
    address = f"asyncoperations({job})?$select=statecode,statuscode,completedon"
    while http.get(address).json()["statecode"] != 3:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert http.get(address).json()["statuscode"] == Status.CANCELED
    with store.read() as reader:
        told = explain.story(reader, job)
        assert explain.examine(reader) == []
    # Who was told yes is in the story, in one place; but for those who wished what was so already.
    entries = Counter(Action(entry.event) for entry in told if entry.event in set(Action))
    assert entries[Action.CANCEL] == 1 <= accepted[Action.CANCEL]
    assert entries[Action.PAUSE] <= accepted[Action.PAUSE]
    for action in (Action.RESUME, Action.POSTPONE):
        assert entries[action] == accepted[action], action
    stands = Status.IN_PROGRESS
    for entry in told:
        assert leads(stands, entry.was), (stands, entry, told)
        if entry.event in set(Action):
            result = TRANSITIONS[Action(entry.event)][entry.was].status
            # A moment that has passed already when it is the job's turn to hear of it means now.
            due = entry.event == Action.POSTPONE and entry.became is Status.WAITING_FOR_RESOURCES
            assert due or entry.became is result, (entry, told)
        stands = entry.became
    assert stands is Status.CANCELED
    assert [entry.on for entry in told] == sorted(entry.on for entry in told)


@pytest.mark.requirement("M189")
def test_one_of_many_deletes_it_and_nothing_comes_back(
    http: httpx.Client, store: Store, job: UUID, tmp_path: Path
) -> None:
    wishes = [Action.DELETE] * 20 + [Action.PAUSE, Action.RESUME, Action.POSTPONE, Action.CANCEL] * 20
    random.Random(6).shuffle(wishes)
    answers = all_at_once(http, job, wishes)
    deleted = [answer for action, answer in answers if action is Action.DELETE and answer.status_code == 204]
    assert len(deleted) == 1
    for action, answer in answers:
        if action is Action.DELETE and answer not in deleted:
            assert error_of(answer)[0] == 404
        assert answer.status_code in (204, 400, 404), answer.text
    time.sleep(0.3)  # the handler's next checkpoint finds that it is nobody's any more
    counted = (tmp_path / "log").read_text()
    time.sleep(0.2)
    assert (tmp_path / "log").read_text() == counted
    assert http.get(f"asyncoperations({job})").status_code == 404
    with store.read() as reader:
        assert explain.examine(reader) == []
        for table in ("jobhistory", "asyncoperationtext"):
            assert reader.rows(f"SELECT count(*) FROM {table}") == [(0,)], table
