"""Many large bodies at once: what would pass the memory for them is refused in time, and nobody else notices."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
from tests.support.listening import client
from tests.support.serving import TOKEN as SERVING_TOKEN
from tests.support.serving import Serving

from adjourn.query import result
from adjourn.service import Service
from adjourn.store.contract import Store
from adjourn.webapi import bodies, envelope, outlet, server
from adjourn.webapi.app import create_app

from .conftest import TOKEN, Start

MIB = 1024 * 1024


def head(token: str, length: int | None) -> bytes:
    announced = f"Content-Length: {length}" if length is not None else "Transfer-Encoding: chunked"
    return (
        f"POST /api/data/v9.2/accounts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\n{announced}\r\n\r\n"
    ).encode()


class Sender:
    """A connection that sends a request's beginning and keeps it open."""

    def __init__(self, http: httpx.Client, sent: bytes) -> None:
        self.connection = socket.create_connection(("127.0.0.1", urlsplit(str(http.base_url)).port or 0))
        self.connection.settimeout(10)
        self.connection.sendall(sent)

    def answer(self) -> bytes:
        try:
            return self.connection.recv(65_536)
        except ConnectionError:
            return b""


@pytest.fixture
def serve() -> Iterator[Start]:
    """Starts servers of their own: one that has served other tests has its limits already."""
    with ExitStack() as opened:

        def start(service: Service) -> httpx.Client:
            running = server.run(create_app(service, TOKEN), "127.0.0.1", 0)
            opened.callback(running.stop)
            return opened.enter_context(client(running.port, TOKEN))

        yield start


@pytest.fixture
def http(sqlite_store: Store, serve: Start, monkeypatch: pytest.MonkeyPatch) -> httpx.Client:
    monkeypatch.setattr(bodies, "IN_MEMORY_BYTES_MAX", 4 * MIB)
    return serve(Service(sqlite_store))


def held(http: httpx.Client, announced: bool) -> list[Sender]:
    """Three clients that have sent 1 MiB each of their 1.5."""
    length = 3 * MIB // 2
    piece = b" " * MIB
    if announced:
        return [Sender(http, head(TOKEN, length) + piece) for _ in range(3)]
    return [Sender(http, head(TOKEN, None) + b"%x\r\n" % MIB + piece + b"\r\n") for _ in range(3)]


@pytest.mark.parametrize("announced", [True, False])
def test_beyond_the_memory_for_bodies_the_answer_is_503_and_goes_away(http: httpx.Client, announced: bool) -> None:
    holding = held(http, announced)
    time.sleep(0.3)
    refused = http.post("accounts", content=b" " * (2 * MIB))
    assert refused.status_code == 503, refused.text
    assert refused.json()["error"]["code"] == "0x80044150"
    assert refused.headers["retry-after"] == "5"
    assert http.post("accounts", json={"name": "small"}).status_code == 204, "small bodies have room of their own"
    for sender in holding:
        sender.connection.close()
    time.sleep(0.3)
    assert http.post("accounts", json={"name": "x", "description": "y" * 2000}).status_code == 204
    assert http.post("accounts", content=b" " * (2 * MIB)).status_code == 400, "the room is there again"


def test_a_body_that_grows_beyond_it_is_refused_while_it_comes(http: httpx.Client) -> None:
    chunk = b"%x\r\n" % MIB + b" " * MIB + b"\r\n"
    sender = Sender(http, head(TOKEN, None))
    try:
        for _ in range(8):
            sender.connection.sendall(chunk)
    except ConnectionError:
        pass
    answer = sender.answer()
    sender.connection.close()
    assert answer.startswith(b"HTTP/1.1 503") or answer == b""  # a reset may overtake the answer
    assert http.get("accounts/$count").text == "\ufeff0"


def stored(service: Service) -> int:
    """Pieces of files that have arrived."""
    with service.store.read() as reader:
        return int(reader.rows("SELECT count(*) FROM filepiece")[0][0])


def test_uploads_of_data_share_the_memory_by_what_has_arrived(
    sqlite_store: Store, serve: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two that have sent as much as one may hold fill it; who has only announced as much takes nothing from anybody."""
    monkeypatch.setattr(bodies, "IN_MEMORY_BYTES_MAX", 16 * MIB)
    service = Service(sqlite_store)
    service.register("tests.acceptance.webapi.plugins")
    http = serve(service)
    order = {"MessageName": "greet", "InputParameters": {"name": "Ada"}, "PostponeUntil": "2031-01-01T00:00:00Z"}
    job = f"asyncoperations({http.post('ExecuteAsync', json=order).json()['AsyncJobId']})/data/$value"

    def begun(sent: int) -> Sender:
        start = head(TOKEN, 100 * MIB).replace(b"POST /api/data/v9.2/accounts", f"PUT /api/data/v9.2/{job}".encode())
        return Sender(http, start + b" " * sent)

    waiting = [begun(0) for _ in range(3)]
    holding = [begun(9 * MIB) for _ in range(2)]
    deadline = time.monotonic() + 20
    while stored(service) < 4:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    refused = http.put(job, content=b" " * MIB)
    assert refused.status_code == 503, refused.text
    assert refused.json()["error"]["code"] == "0x80044150"
    assert http.put(job, content=b"{}").status_code == 204, "small ones have room of their own"
    for sender in holding:
        sender.connection.close()
    while http.put(job, content=b" " * MIB).status_code != 204:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    for sender in waiting:
        sender.connection.close()


def test_large_bodies_are_worked_on_one_after_the_other(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "LARGE_BYTES", 1000)
    monkeypatch.setattr(bodies, "IN_MEMORY_BYTES_MAX", 64 * MIB)
    monkeypatch.setattr(bodies, "AT_WORK_BYTES_MAX", 5_000)
    body = {"name": "x", "description": "y" * 1900}
    with httpx.Client(base_url=http.base_url, headers=http.headers, timeout=30) as other:
        answers: list[int] = []
        threads = [
            threading.Thread(target=lambda: answers.append(other.post("accounts", json=body).status_code))
            for _ in range(12)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert answers == [204] * 12


def test_an_answer_that_nobody_takes_gives_up_its_connection(
    sqlite_store: Store, serve: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "SILENCE_SECONDS_MAX", 0.5)
    monkeypatch.setattr(server, "WATCH_SECONDS", 0.1)
    service = Service(sqlite_store)
    http = serve(service)
    for _ in range(2):
        parts = [{"@odata.type": "Microsoft.Dynamics.CRM.account", "name": "x", "description": "y" * 2000}] * 1000
        answer = http.post("accounts/Microsoft.Dynamics.CRM.CreateMultiple", json={"Targets": parts})
        assert answer.status_code == 200, answer.text
    question = b"GET /api/data/v9.2/accounts?$select=description HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", urlsplit(str(http.base_url)).port))
        connection.sendall(question + TOKEN.encode() + b"\r\n\r\n")
        time.sleep(1.5)
        connection.settimeout(10)
        received = 0
        try:
            while piece := connection.recv(MIB):
                received += len(piece)
        except ConnectionResetError:
            pass
    assert received < 4 * MIB, "the rest was not sent once it was too late"


def test_an_answer_that_nobody_takes_is_not_kept_by_a_request_behind_it(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that does not go on closes the connection, which waits for what is not taken: both limits are to hold."""
    monkeypatch.setattr(server, "SILENCE_SECONDS_MAX", 0.5)
    monkeypatch.setattr(server, "WATCH_SECONDS", 0.1)
    running = server.run(create_app(Service(sqlite_store), TOKEN), "127.0.0.1", 0)
    connections = running._server.server_state.connections
    try:
        with client(running.port, TOKEN) as http:
            parts = [{"@odata.type": "Microsoft.Dynamics.CRM.account", "name": "x", "description": "y" * 2000}] * 1000
            for _ in range(3):
                http.post("accounts/Microsoft.Dynamics.CRM.CreateMultiple", json={"Targets": parts}).raise_for_status()
        question = "GET /api/data/v9.2/accounts?$select=description HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", running.port))
            connection.sendall(f"{question}{TOKEN}\r\n\r\nG".encode())
            time.sleep(0.3)
            assert len(connections) == 1
            deadline = time.monotonic() + 10
            while connections:
                assert time.monotonic() < deadline, "the connection goes on"
                time.sleep(0.05)
    finally:
        running.stop()


def batch_of(*parts: str) -> bytes:
    """A whole request."""
    made = (
        "".join(f"--b\r\nContent-Type: application/http\r\n\r\n{part} HTTP/1.1\r\n\r\n\r\n" for part in parts)
        + "--b--\r\n"
    )
    return (
        f"POST /api/data/v9.2/$batch HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Type: multipart/mixed; boundary=b\r\nContent-Length: {len(made)}\r\n\r\n{made}"
    ).encode()


@pytest.fixture
def six_megabytes(sqlite_store: Store, serve: Start) -> httpx.Client:
    http = serve(Service(sqlite_store))
    parts = [{"@odata.type": "Microsoft.Dynamics.CRM.account", "name": "x", "description": "y" * 2000}] * 1000
    for _ in range(3):
        http.post("accounts/Microsoft.Dynamics.CRM.CreateMultiple", json={"Targets": parts}).raise_for_status()
    return http


ALL = "accounts?$select=description"


def test_answers_of_batches_that_nobody_takes_count_among_all(
    six_megabytes: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlet, "UNSENT_TOGETHER_BYTES_MAX", 16 * MIB)
    read = batch_of(*[f"GET {ALL}"] * 2)
    with socket.socket() as silent:
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        silent.connect(("127.0.0.1", six_megabytes.base_url.port or 0))
        silent.sendall(read)
        time.sleep(1)
        other = Sender(six_megabytes, read)
        assert other.answer().startswith(b"HTTP/1.1 503")
        other.connection.close()
        changed = Sender(six_megabytes, batch_of(*[f"GET {ALL}"] * 2, f"DELETE accounts({uuid4()})"))
        assert not changed.answer().startswith(b"HTTP/1.1 503"), "what may have changed something is told"
        changed.connection.close()
    time.sleep(0.5)
    free = Sender(six_megabytes, read)
    assert free.answer().startswith(b"HTTP/1.1 200")
    free.connection.close()


@pytest.mark.parametrize("asked", ["page", "batch"])
def test_an_answer_that_is_taken_without_end_is_cut(
    six_megabytes: httpx.Client, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    monkeypatch.setattr(outlet, "TAKING_SECONDS_MAX", 1.0)
    page = f"GET /api/data/v9.2/{ALL} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    received = 0
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", six_megabytes.base_url.port or 0))
        slow.sendall(page.encode() if asked == "page" else batch_of(*[f"GET {ALL}"] * 2))
        slow.settimeout(10)
        until = time.monotonic() + 2.5
        try:
            while piece := slow.recv(4096 if time.monotonic() < until else MIB):
                received += len(piece)
                time.sleep(0.01 if time.monotonic() < until else 0)
        except ConnectionResetError:
            pass
    whole = len(six_megabytes.get(ALL).content) * (1 if asked == "page" else 2)
    assert received < whole


@pytest.fixture
def long_descriptions(http: httpx.Client) -> httpx.Client:
    for _ in range(20):
        http.post("accounts", json={"name": "x", "description": "y" * 1999}).raise_for_status()
    return http


def test_an_answer_that_has_to_be_kept_is_refused_by_name_beyond_its_limit(
    long_descriptions: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client of HTTP/1.0 cannot take an answer whose length is not known."""
    monkeypatch.setattr(envelope, "KEPT_BYTES_MAX", 20_000)

    def asked(prefer: str) -> bytes:
        path = "/api/data/v9.2/accounts?$select=description"
        lines = (f"GET {path} HTTP/1.0", "Host: x", f"Authorization: Bearer {TOKEN}", f"Prefer: {prefer}", "", "")
        with socket.create_connection(("127.0.0.1", long_descriptions.base_url.port or 0)) as connection:
            connection.sendall("\r\n".join(lines).encode())
            return b"".join(iter(lambda: connection.recv(MIB), b""))

    refused = asked("odata.maxpagesize=20")
    assert refused.startswith(b"HTTP/1.1 400")
    assert b"maxpagesize" in refused
    answered, _, body = asked("odata.maxpagesize=5").partition(b"\r\n\r\n")
    assert f"content-length: {len(body)}".encode() in answered.lower()
    assert len(json.loads(body)["value"]) == 5


def test_rows_that_collections_are_expanded_in_are_refused_beyond_a_limit(
    long_descriptions: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result, "KEPT_BYTES_MAX", 20_000)
    monkeypatch.setattr(result, "LONG_CHARACTERS", 1000)
    address = "accounts?$select=description&$expand=Account_Tasks($select=subject)"
    answer = long_descriptions.get(address)
    assert answer.status_code == 400
    assert "maxpagesize" in answer.json()["error"]["message"]
    few = long_descriptions.get(address, headers={"Prefer": "odata.maxpagesize=5"})
    assert len(few.json()["value"]) == 5


@pytest.mark.long
def test_200_clients_with_30_megabytes_each_do_not_take_the_memory(sqlite_url: str) -> None:
    service = Serving(sqlite_url, "--processes", "0")
    body = b'{"name":"' + b"x" * (30 * MIB) + b'"}'
    peak = Path(f"/proc/{service.pid}/status")
    statuses: Counter[int] = Counter()

    def send() -> None:
        try:
            answer = httpx.post(
                f"{service.http.base_url}accounts",
                content=body,
                headers={"Authorization": f"Bearer {SERVING_TOKEN}"},
                timeout=120,
            )
            statuses[answer.status_code] += 1
        except httpx.TransportError:
            statuses[0] += 1  # refused while it was still sending

    try:
        senders = [threading.Thread(target=send) for _ in range(200)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join(150)
        line = next(line for line in peak.read_text().splitlines() if line.startswith("VmHWM"))
        megabytes = int(line.split()[1]) // 1024
        print(f"{dict(statuses)}, {megabytes} MiB at most")
        assert megabytes < 1024
        assert set(statuses) <= {0, 400, 503}
        assert statuses[400] > 0, "some get their answer"
        assert service.http.get("accounts/$count").text == "\ufeff0"
    finally:
        service.stop()
