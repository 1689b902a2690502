"""Clients that begin a request and do not go on with it give up their connection; those that only wait for work keep it."""

from __future__ import annotations

import socket
import time
from urllib.parse import urlsplit

import httpx
import pytest

from adjourn.service import Service
from adjourn.store.contract import Store
from adjourn.webapi import server

from .conftest import TOKEN, Start

HEAD = b"POST /api/data/v9.2/accounts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + TOKEN.encode() + b"\r\n"


@pytest.fixture
def http(sqlite_store: Store, serve: Start, monkeypatch: pytest.MonkeyPatch) -> httpx.Client:
    monkeypatch.setattr(server, "SILENCE_SECONDS_MAX", 0.5)
    monkeypatch.setattr(server, "WATCH_SECONDS", 0.1)
    return serve(Service(sqlite_store))


def closed(http: httpx.Client, sent: bytes, trickle: bytes = b"") -> bool:
    """Whether the server closes the connection after these bytes, sent once, and the others, sent again and again."""
    port = urlsplit(str(http.base_url)).port
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(sent)
        connection.settimeout(0.1)
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            try:
                if connection.recv(65_536) == b"":
                    return True
            except TimeoutError:
                pass
            except ConnectionError:
                return True
            try:
                connection.sendall(trickle)
            except ConnectionError:
                return True
    return False


@pytest.mark.parametrize(
    ("sent", "trickle"),
    [
        (b"", b""),
        (b"GET", b""),
        (HEAD, b""),
        (HEAD, b"X-Header: 1\r\n"),
        (HEAD + b"Content-Length: 100\r\n\r\n", b""),
        (HEAD + b"Content-Length: 100\r\n\r\n{", b""),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n", b""),
    ],
)
def test_a_request_that_does_not_go_on_is_cut(http: httpx.Client, sent: bytes, trickle: bytes) -> None:
    assert closed(http, sent, trickle)
    assert http.get("accounts/$count").text == "\ufeff0"


def test_a_body_that_goes_on_is_waited_for(http: httpx.Client) -> None:
    assert not closed(http, HEAD + b"Content-Length: 100000\r\n\r\n{", b" ")


def test_a_body_that_never_ends_is_cut_in_the_end(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "REQUEST_SECONDS_MAX", 1.0)
    assert closed(http, HEAD + b"Content-Length: 100000\r\n\r\n{", b" ")


def test_a_connection_between_two_requests_is_kept(http: httpx.Client) -> None:
    question = b"GET /api/data/v9.2/WhoAmI HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + TOKEN.encode() + b"\r\n\r\n"
    assert not closed(http, question)
