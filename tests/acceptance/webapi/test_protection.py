"""Service protection over HTTP: 429 with the documented codes, Retry-After, and what is left on every answer."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from adjourn.service import Service
from adjourn.store.sqlite import SqliteStore
from adjourn.webapi.app import create_app
from adjourn.webapi.protection import Limits, Protection
from adjourn.webapi.server import run

from .conftest import error_of

REMAINING = "x-ms-ratelimit-burst-remaining-xrm-requests"


@pytest.fixture
def http(sqlite_store: SqliteStore) -> Iterator[httpx.Client]:
    app = create_app(Service(sqlite_store), "token", protection=Protection(Limits(requests=10, concurrent=2)))
    server = run(app, "127.0.0.1", 0)
    head = {"Authorization": "Bearer token"}
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}/api/data/v9.2/", headers=head, timeout=30) as client:
        yield client
    server.stop()


def test_the_eleventh_request_of_ten_is_refused(http: httpx.Client) -> None:
    made = http.post("accounts", json={"name": "a"}).headers["OData-EntityId"]
    left = [http.get(made).headers[REMAINING] for _ in range(8)]
    assert left == [str(number) for number in range(8, 0, -1)], "answers that are remembered count too"
    assert http.get("accounts(nonsense)").headers[REMAINING] == "0", "and so do refused ones"
    answer = http.get("WhoAmI")
    assert error_of(answer)[:2] == (429, "0x80072322")
    assert 290 < int(answer.headers["retry-after"]) <= 301


def test_the_parts_of_a_batch_count_each(http: httpx.Client) -> None:
    part = "--b\r\nContent-Type: application/http\r\n\r\nGET /api/data/v9.2/accounts?$top=1 HTTP/1.1\r\n\r\n\r\n"
    body = part * 4 + "--b--\r\n"
    answer = http.post("$batch", content=body, headers={"Content-Type": "multipart/mixed; boundary=b"})
    assert answer.status_code == 200
    assert answer.headers[REMAINING] == "6"


def test_many_at_a_time_are_refused(http: httpx.Client) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: http.get("EntityDefinitions"), range(8)))
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert {error_of(answer)[1] for answer in refused} == {"0x80072326"}
    assert {answer.status_code for answer in answers} == {200, 429}


def test_strangers_use_up_nobodys_limit(http: httpx.Client) -> None:
    for _ in range(15):
        assert http.get("WhoAmI", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert http.get("WhoAmI").headers[REMAINING] == "9"
