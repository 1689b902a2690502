"""A job's data on its way over a socket: the process killed in the middle, and as much of it as there may be in bounded memory."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from tests.support import worker_plugins
from tests.support.serving import TOKEN, Serving, serving

from adjourn import config, runtime
from adjourn.jobs import explain, orphans
from adjourn.pipeline.call import Call
from adjourn.service import Service

MIB = 1024 * 1024
FAR = datetime(2040, 1, 1, tzinfo=UTC)


def waiting(url: str, length: int) -> str:
    """The address of a job that waits, with data of about this length."""
    service = Service.open(url)
    service.register("tests.support.worker_plugins")
    org = service.client(Call(caller=service.administrator()))
    job = org.enqueue(worker_plugins.quick.request("x" * length), postpone_until=FAR)
    service.close()
    return f"asyncoperations({job})"


def flowing(length: int) -> Iterator[bytes]:
    """So many bytes of text, made as they are sent."""
    piece = b"0123456789abcdef" * (MIB // 16)
    for start in range(0, length, MIB):
        yield piece[: min(MIB, length - start)]


def digest(parts: Iterator[bytes]) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(part)
    return found.hexdigest()


def read(http: httpx.Client, job: str) -> str:
    with http.stream("GET", f"{job}/data/$value") as answer:
        return digest(answer.iter_bytes())


@pytest.mark.requirement("M153")
@pytest.mark.parametrize("before", [30, 5 * MIB])
def test_a_process_that_dies_in_the_middle_leaves_the_old_data(database_url: str, before: int) -> None:
    """And pieces that nobody goes on with: swept a day later, they leave nothing."""
    job = waiting(database_url, before)
    service = Serving(database_url, "--processes", "0")
    old = read(service.http, job)

    def broken() -> Iterator[bytes]:
        yield from flowing(14 * MIB)
        until = runtime.monotonic() + 20
        while runtime.monotonic() < until and uploaded(database_url) < 3:
            runtime.sleep(0.01)
        service.kill()
        yield b"never taken"

    with (
        httpx.Client(base_url=service.http.base_url, headers=service.http.headers) as http,
        pytest.raises(httpx.HTTPError),
    ):
        http.put(f"{job}/data/$value", content=broken())
    opened = Service.open(database_url)
    try:
        assert uploaded_in(opened) == 3
        assert opened.store.sweep_files(runtime.now()) == 0, "an upload may still go on"
        opened.store.sweep_files(runtime.now() + timedelta(seconds=config.UPLOAD_SECONDS_MAX + 1))
        assert uploaded_in(opened) == 0
        assert opened.store.sweep_files(runtime.now()) == 0
        assert orphans.scan(opened.store) == {}
        with opened.store.read() as reader:
            assert explain.examine(reader) == []
    finally:
        opened.close()
    with serving(database_url, "--processes", "0") as again:
        assert read(again.http, job) == old
        assert again.http.put(f"{job}/data/$value", content=flowing(9 * MIB)).status_code == 204
        assert read(again.http, job) == digest(flowing(9 * MIB))
        assert again.http.delete(job).status_code == 204


def uploaded(url: str) -> int:
    opened = Service.open(url)
    try:
        return uploaded_in(opened)
    finally:
        opened.close()


def uploaded_in(service: Service) -> int:
    """Pieces of files that are being uploaded."""
    with service.store.read() as reader:
        return int(reader.rows("SELECT count(*) FROM filepiece")[0][0])


@pytest.mark.parametrize("length", [40 * MIB, pytest.param(config.DATA_BYTES_MAX, marks=pytest.mark.long)])
def test_as_much_as_there_may_be_goes_in_and_out_in_bounded_memory(database_url: str, length: int) -> None:
    job = waiting(database_url, 30)
    with serving(database_url, "--processes", "0") as service:
        assert service.http.put(f"{job}/data/$value", content=flowing(6 * MIB)).status_code == 204
        read(service.http, job)
        before = peak_bytes(service.pid)
        assert service.http.put(f"{job}/data/$value", content=flowing(length)).status_code == 204
        assert read(service.http, job) == digest(flowing(length))
        assert peak_bytes(service.pid) - before < 24 * MIB
        row = service.http.get(f"{job}?$expand=datablobid($select=filesizeinbytes)").json()
        assert row["datablobid"]["filesizeinbytes"] == length


@pytest.mark.parametrize(("length", "number"), [(4_000_000, 120), (50 * MIB, 12)], ids=["rows", "files"])
def test_many_large_jobs_that_are_ready_at_once_are_worked_in_bounded_memory(
    database_url: str, length: int, number: int
) -> None:
    """Short runs before them, so that the worker takes hundreds ahead of its slots: not of these."""
    opened = Service.open(database_url)
    opened.register("tests.support.worker_plugins")
    org = opened.client(Call(caller=opened.administrator()))
    for _ in range(100):
        org.enqueue(worker_plugins.quick.request())
    jobs = [org.enqueue(worker_plugins.length.request("x" * length)) for _ in range(number)]
    opened.close()
    with serving(database_url) as service:
        done = "asyncoperations?$apply=filter(statuscode eq 30)/aggregate($count as n)"
        service.until(done, 100 + number)
        assert peak_bytes(service.pid) < 400 * MIB
        row = service.http.get(f"asyncoperations({jobs[-1]})?$select=friendlymessage").json()
        assert row["friendlymessage"] == str(length)


def test_more_than_there_may_be_is_refused_before_it_is_all_sent(database_url: str) -> None:
    """200 MB, unannounced: 413 with the documented code, in bounded memory, and nothing stays behind."""
    job = waiting(database_url, 30)
    sent = 0

    def counted() -> Iterator[bytes]:
        nonlocal sent
        for piece in flowing(200 * MIB):
            sent += len(piece)
            yield piece

    with serving(database_url, "--processes", "0") as service:
        old = read(service.http, job)
        before = peak_bytes(service.pid)
        try:
            answer = service.http.put(f"{job}/data/$value", content=counted())
            assert (answer.status_code, answer.json()["error"]["code"]) == (413, "0x80044a02")
        except httpx.NetworkError:
            pass  # the connection is closed on who sends on; the answer may be lost on its way
        assert config.DATA_BYTES_MAX < sent < config.DATA_BYTES_MAX + 32 * MIB
        assert peak_bytes(service.pid) - before < 48 * MIB
        assert announced(service, job, 200 * MIB).startswith(b"HTTP/1.1 413 ")
        assert read(service.http, job) == old
    opened = Service.open(database_url)
    assert uploaded_in(opened) == 0
    assert opened.store.sweep_files(runtime.now() + timedelta(days=2)) == 0
    opened.close()


def announced(service: Serving, job: str, length: int) -> bytes:
    """What is answered to a request that says how much it would send, before it has sent any of it."""
    head = (
        f"PUT /api/data/v9.2/{job}/data/$value HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Length: {length}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
        connection.sendall(head.encode())
        return connection.recv(65_536)


def peak_bytes(pid: int) -> int:
    """The most memory that a process has had so far."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024
