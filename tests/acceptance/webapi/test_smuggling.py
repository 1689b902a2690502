"""Requests that try to be two, or somebody else's: refused as they are, byte for byte, and the service goes on."""

from __future__ import annotations

import re
import socket
from contextlib import suppress

import httpx
import pytest

from .conftest import TOKEN

AUTHORIZED = f"Authorization: Bearer {TOKEN}\r\n"


def sent(http: httpx.Client, text: bytes) -> bytes:
    """What comes back until the service closes the connection, or waits for more."""
    with socket.create_connection((http.base_url.host, http.base_url.port or 80), timeout=1.5) as connection:
        found = b""
        with suppress(TimeoutError, ConnectionResetError):
            connection.sendall(text)
            while piece := connection.recv(65_536):
                found += piece
    return found


def statuses(answer: bytes) -> list[bytes]:
    return re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)


PATH = "/api/data/v9.2/WhoAmI"
HOST = "Host: 127.0.0.1\r\n"


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        (f"GET {PATH} HTTP/1.1\r\n{HOST}Authorization: Bearer x\r\n{AUTHORIZED}\r\n", {b"401"}),
        (f"GET {PATH} HTTP/1.1\r\n{HOST}{AUTHORIZED}Authorization: Bearer x\r\n\r\n", {b"401"}),
        (f"GET {PATH} HTTP/1.1\r\n{HOST}Host: evil\r\n{AUTHORIZED}\r\n", {b"400"}),
        (f"GET {PATH} HTTP/1.1\r\nHost: evil/..\r\n{AUTHORIZED}\r\n", {b"400"}),
        (f"GET {PATH} HTTP/1.1\r\nHost: a b\r\n{AUTHORIZED}\r\n", {b"400"}),
        (f"POST {PATH} HTTP/1.1\r\n{HOST}{AUTHORIZED}Content-Length: 3\r\nContent-Length: 30\r\n\r\n{{}}", {b"400"}),
        (
            f"POST {PATH} HTTP/1.1\r\n{HOST}{AUTHORIZED}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            f"GET {PATH} HTTP/1.1\r\n{HOST}\r\n",
            {b"400"},
        ),
        (f"GET {PATH} HTTP/1.1\r\n{HOST}{AUTHORIZED}X: a\0b\r\n\r\n", {b"400"}),
        (f"GET {PATH} HTTP/1.1\r\n{HOST}{AUTHORIZED}X : a\r\n\r\n", {b"400"}),
        (f"GET {PATH}\rX HTTP/1.1\r\n{HOST}{AUTHORIZED}\r\n", {b"400"}),
        (f"GET {PATH} HTTP/1.1\r\n{HOST}X: {'a' * 1_000_000}\r\n{AUTHORIZED}\r\n", {b"400"}),
        (f"GET {'/a' * 60_000} HTTP/1.1\r\n{HOST}{AUTHORIZED}\r\n", {b"400"}),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc", {b"400"}),
        (f"POST {PATH} HTTP/1.1\r\n{HOST}{AUTHORIZED}Content-Length: -1\r\n\r\n", {b"400"}),
        (
            f"POST {PATH} HTTP/1.1\r\n{HOST}{AUTHORIZED}Content-Length: 99999999999999999999999\r\n\r\n",
            {b"400", b"413"},
        ),
        (f"POST {PATH} HTTP/1.1\r\n{HOST}{AUTHORIZED}Transfer-Encoding: chunked\r\n\r\nzz\r\n", {b"400"}),
        (
            f"POST {PATH} HTTP/1.1\r\n{HOST}{AUTHORIZED}Transfer-Encoding: gzip, chunked\r\nConnection: close\r\n\r\n"
            "2\r\n{}\r\n0\r\n\r\n",
            {b"501"},
        ),
    ],
)
def test_it_is_refused_and_nothing_after_it_is_answered(http: httpx.Client, text: str, accepted: set[bytes]) -> None:
    answer = sent(http, text.encode("latin-1"))
    assert len(statuses(answer)) == 1, answer[:500]
    assert set(statuses(answer)) <= accepted, answer[:500]
    assert http.get("WhoAmI").status_code == 200


def test_an_absolute_request_line_is_the_same_resource(http: httpx.Client) -> None:
    """RFC 9112 §3.2.2; its host counts for nothing, so nobody can make us write foreign addresses."""
    answer = sent(
        http, f"GET http://evil.example{PATH} HTTP/1.1\r\n{HOST}{AUTHORIZED}Connection: close\r\n\r\n".encode()
    )
    assert b"evil.example" not in answer
    assert statuses(answer) in ([b"200"], [b"404"])


def test_nobody_is_believed_who_says_where_a_request_came_from(http: httpx.Client) -> None:
    said = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example", "X-Forwarded-For": "10.0.0.1"}
    answer = http.get("accounts?$top=1", headers={**said, "Forwarded": "host=evil.example;proto=https"})
    assert answer.json()["@odata.context"].startswith(f"{http.base_url}$metadata")


def test_two_requests_on_one_connection_are_two(http: httpx.Client) -> None:
    one = f"GET {PATH} HTTP/1.1\r\n{HOST}{AUTHORIZED}\r\n"
    stranger = f"GET {PATH} HTTP/1.1\r\n{HOST}\r\n"
    assert statuses(sent(http, (one + stranger + one).encode())) == [b"200", b"401", b"200"]
