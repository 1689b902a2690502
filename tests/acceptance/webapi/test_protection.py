"""Service protection over HTTP: 429 with the documented codes, Retry-After, and what is left on every answer."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest
from tests.support.listening import client, listening

from adjourn import runtime
from adjourn.service import Service
from adjourn.store.sqlite import SqliteStore
from adjourn.webapi.app import create_app
from adjourn.webapi.protection import Limits, Protection

from .conftest import error_of

REMAINING = "x-ms-ratelimit-burst-remaining-xrm-requests"


@pytest.fixture
def http(sqlite_store: SqliteStore) -> Iterator[httpx.Client]:
    app = create_app(Service(sqlite_store), "token", protection=Protection(Limits(requests=10, concurrent=2)))
    with listening(app) as port, client(port, "token") as http:
        yield http


def until(http: httpx.Client, status: int) -> httpx.Response:
    """The answer once it has this status; asked a few times, since heads that were sent are read a little later."""
    for _ in range(5):
        answer = http.get("WhoAmI")
        if answer.status_code == status:
            break
        runtime.sleep(0.2)
    return answer


def test_the_eleventh_request_of_ten_is_refused(http: httpx.Client) -> None:
    made = http.post("accounts", json={"name": "a"}).headers["OData-EntityId"]
    left = [http.get(made).headers[REMAINING] for _ in range(8)]
    assert left == [str(number) for number in range(8, 0, -1)], "answers that are remembered count too"
    assert http.get("accounts(nonsense)").headers[REMAINING] == "0", "and so do refused ones"
    answer = http.get("WhoAmI")
    text = "Number of requests exceeded the limit of 10 over time window of 300 seconds."
    assert error_of(answer) == (429, "0x80072322", text)
    assert 290 < int(answer.headers["retry-after"]) <= 301
    assert answer.headers[REMAINING] == "0"
    assert float(answer.headers["x-ms-ratelimit-time-remaining-xrm-requests"]) > 1_000


def test_the_parts_of_a_batch_count_each(http: httpx.Client) -> None:
    part = "--b\r\nContent-Type: application/http\r\n\r\nGET /api/data/v9.2/accounts?$top=1 HTTP/1.1\r\n\r\n\r\n"
    body = part * 4 + "--b--\r\n"
    answer = http.post("$batch", content=body, headers={"Content-Type": "multipart/mixed; boundary=b"})
    assert answer.status_code == 200
    assert answer.headers[REMAINING] == "6"


def test_many_at_a_time_are_refused(http: httpx.Client) -> None:
    body = b'{"name":"slow"}'
    head = "POST /api/data/v9.2/accounts HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer token\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with ExitStack() as stack:
        under_way = [
            stack.enter_context(socket.create_connection((http.base_url.host, http.base_url.port or 80)))
            for _ in range(2)
        ]
        for connection in under_way:
            connection.settimeout(20)
            connection.sendall(head.encode())  # admitted, and waiting for its body
        answer = until(http, 429)
        assert error_of(answer)[1] == "0x80072326"
        assert answer.headers["retry-after"] == "2"
        assert int(answer.headers[REMAINING]) <= 8
        for connection in under_way:
            connection.sendall(body)
            assert connection.recv(1000).startswith(b"HTTP/1.1 204")
    assert until(http, 200).status_code == 200


def test_the_time_of_one_user_is_limited(sqlite_store: SqliteStore) -> None:
    """Combined execution time: the request that goes over it is answered, the next one is told when to come back."""
    app = create_app(Service(sqlite_store), "token", protection=Protection(Limits(seconds=0.001)))
    with listening(app) as port, client(port, "token") as http:
        assert http.get("$metadata").status_code == 200
        answer = until(http, 429)
        status, code, text = error_of(answer)
    assert (status, code) == (429, "0x80072321")
    assert "exceeded limit of 1 milliseconds over time window of 300 seconds" in text
    assert 290 < int(answer.headers["retry-after"]) <= 301
    assert answer.headers["x-ms-ratelimit-time-remaining-xrm-requests"] == "0.00"


def test_strangers_use_up_nobodys_limit(http: httpx.Client) -> None:
    for _ in range(15):
        assert http.get("WhoAmI", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert http.get("WhoAmI").headers[REMAINING] == "9"
