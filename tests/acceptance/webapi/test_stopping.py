"""SIGTERM while requests are under way: they are answered, new ones are refused, the process ends with 0 in bounded time."""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import threading
import time

import httpx
import pytest
from tests.support.serving import TOKEN, Serving

from adjourn.webapi.server import STOP_SECONDS

SECONDS_MAX = 20.0
"""STOP_SECONDS of the server, the graces of jobs, and a slow machine."""


def ended(service: Serving, began: float) -> int:
    code = service._process.wait(timeout=SECONDS_MAX)
    assert time.monotonic() - began < SECONDS_MAX
    return code


def refused(port: int) -> bool:
    """Whether a new connection is refused or closed without an answer."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            return connection.recv(100) == b""
    except OSError:
        return True


def test_requests_under_way_are_answered_and_new_ones_refused(database_url: str) -> None:
    service = Serving(
        database_url, "--plugins", "tests.acceptance.webapi.dozing_plugins", "--plugins", "tests.support.slow_plugins"
    )
    answers: list[httpx.Response] = []
    try:
        senders = [
            threading.Thread(target=lambda: answers.append(service.http.get("doze(seconds=2.0)"))) for _ in range(3)
        ]
        for sender in senders:
            sender.start()
        # A running job holds the end up: requests are refused from the beginning, not after it.
        service.http.post("accounts", json={"name": "m"}).raise_for_status()
        service.until("asyncoperations?$apply=filter(statecode eq 2)/aggregate($count as n)", 1, 10)
        began = time.monotonic()
        os.kill(service.pid, signal.SIGTERM)
        time.sleep(0.4)
        assert refused(service.port)
        for sender in senders:
            sender.join(SECONDS_MAX)
        assert [answer.status_code for answer in answers] == [200, 200, 200]
        assert ended(service, began) == 0
    finally:
        if service._process.poll() is None:
            service.kill()


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /api/data",
        b"POST /api/data/v9.2/accounts HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nAuthorization: Bearer " + TOKEN.encode() + b"\r\n\r\n{",
    ],
    ids=["half a head", "half a body"],
)  # fmt: skip
def test_a_client_that_does_not_go_on_does_not_hold_it(sqlite_url: str, sent: bytes) -> None:
    service = Serving(sqlite_url, "--processes", "0")
    try:
        with socket.create_connection(("127.0.0.1", service.port)) as connection:
            connection.sendall(sent)
            time.sleep(0.2)
            began = time.monotonic()
            os.kill(service.pid, signal.SIGTERM)
            assert ended(service, began) == 0
    finally:
        if service._process.poll() is None:
            service.kill()


def test_an_idle_client_over_tls_that_is_asleep_does_not_hold_it(sqlite_url: str) -> None:
    """Clients keep connections for their next request, and do not look at them before it: nobody answers that TLS ends."""
    service = Serving(sqlite_url, "--processes", "0", "--https", "127.0.0.1:0")
    found = re.search(r"https://127\.0\.0\.1:(\d+)", service.printed)
    assert found
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection(("127.0.0.1", int(found[1]))) as connection,
            trusting.wrap_socket(connection, server_hostname="localhost") as idle,
        ):
            idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"200 OK" in idle.recv(1000)
            began = time.monotonic()
            os.kill(service.pid, signal.SIGTERM)
            assert ended(service, began) == 0
            assert time.monotonic() - began < STOP_SECONDS / 2
    finally:
        if service._process.poll() is None:
            service.kill()
