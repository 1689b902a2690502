"""How often a `$batch` commits: a change set once, whatever its size. Counted at the store, on both databases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import httpx
import pytest
from tests.acceptance.webapi.test_batch import batch, changes, part, send, statuses

from adjourn import config
from adjourn.store import faults

N = config.BATCH_REQUESTS_MAX
CREATES = [part("POST accounts", f'{{"name":"batch {n}"}}', content_id=str(n)) for n in range(N)]


@pytest.fixture
def commits(http: httpx.Client) -> Iterator[Counter[str]]:
    seen: Counter[str] = Counter()
    with faults.listening(lambda name: seen.update([name])):
        yield seen


def test_a_change_set_of_1000_creates_is_one_commit(http: httpx.Client, commits: Counter[str]) -> None:
    answer = send(http, batch(changes(*CREATES)))
    assert (answer.status_code, Counter(statuses(answer))) == (200, {204: N})
    assert commits["after commit"] == 1
    assert http.get("accounts/$count").text == f"\ufeff{N}"


def test_a_change_set_whose_last_request_fails_commits_nothing(http: httpx.Client, commits: Counter[str]) -> None:
    answer = send(http, batch(changes(*CREATES[:-1], part("POST accounts", '{"nmae":"x"}', content_id="last"))))
    assert (answer.status_code, statuses(answer)) == (400, [400])
    assert commits["after commit"] == 0
    assert http.get("accounts/$count").text == "\ufeff0"


def test_outside_a_change_set_each_request_is_a_unit_of_its_own(http: httpx.Client, commits: Counter[str]) -> None:
    """What was answered before the first failure stays."""
    answer = send(http, batch(*CREATES[:20], part("POST accounts", '{"nmae":"x"}'), *CREATES[20:40]))
    assert (answer.status_code, Counter(statuses(answer))) == (400, {204: 20, 400: 1})
    assert commits["after commit"] == 20
    assert http.get("accounts/$count").text == "\ufeff20"
