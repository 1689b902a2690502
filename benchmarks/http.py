"""HTTP: creates a second with an asynchronous step, one record asked again, and a way to ask without a socket."""

from __future__ import annotations

import os
import selectors
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, MutableMapping
from typing import Any

import httpx
import uvloop

from adjourn.service import Service
from adjourn.webapi.app import create_app
from benchmarks.measure import Figure, folder, paired

CLIENTS = 32
SECONDS = 5.0
TOKEN = "token-of-the-benchmark"


def asker(service: Service, path: str) -> Callable[[int], float]:
    """Ask the app for a path so many times, in this process and without a socket; returns the median of milliseconds.

    The answers' bytes are made and dropped. One run of the event loop asks them all, as a service's does: its threads stay.
    """
    app = create_app(service, TOKEN)
    address, _, query = f"/api/data/v9.2/{path}".partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": address,
        "raw_path": address.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(b"authorization", f"Bearer {TOKEN}".encode()), (b"host", b"localhost")],
        "server": ("localhost", 80),
        "client": ("localhost", 1),
    }
    loop = uvloop.new_event_loop()

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        assert message.get("status", 200) == 200, message

    async def ask(rounds: int) -> float:
        found = []
        for _ in range(rounds):
            start = time.perf_counter()
            await app(dict(scope), receive, send)
            found.append((time.perf_counter() - start) * 1000)
        return statistics.median(found)

    return lambda rounds: loop.run_until_complete(ask(rounds))


class Keeper:
    """A process that serves, until the block ends. `root` is what it printed as its address."""

    def __init__(self, *command: str, environment: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *command], stdout=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})}
        )

    def address(self, mark: str) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(mark):
                return line.split()[-1]
        raise AssertionError("it did not start")

    def __enter__(self) -> Keeper:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.terminate()
        self.process.wait(60)


BARE = """
import sys, time
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
from adjourn.webapi.server import run
body, headers = eval(sys.argv[1])
async def answer(request):
    return Response(body, headers=headers)
server = run(Starlette(routes=[Route("/{rest:path}", answer)]), "127.0.0.1", 0)
print("Bare", server.port, flush=True)
time.sleep(600)
"""


def request_rate(port: int, request: bytes, seconds: float, connections: int = 8) -> float:
    """GETs a second over connections that stay open, each waiting for its answer."""
    waiting = selectors.DefaultSelector()
    opened = [socket.create_connection(("127.0.0.1", port)) for _ in range(connections)]
    for one in opened:
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        waiting.register(one, selectors.EVENT_READ, [b""])
        one.sendall(request)
    done, start = 0, time.perf_counter()
    while time.perf_counter() < start + seconds:
        for key, _ in waiting.select(1):
            found = key.data[0] + key.fileobj.recv(65_536)  # type: ignore[union-attr]
            if b"\r\n\r\n" not in found or not found.endswith(b"}"):
                key.data[0] = found
                continue
            assert found.startswith(b"HTTP/1.1 200"), found
            key.data[0] = b""
            done += 1
            key.fileobj.sendall(request)  # type: ignore[union-attr]
    rate = done / (time.perf_counter() - start)
    for one in opened:
        one.close()
    return rate


def single() -> Figure:
    """One record, asked again and again, against the bare framework that gives the same bytes."""
    with folder() as scratch:
        command = ("-m", "adjourn.cli", "serve", "--database", f"sqlite:///{scratch}/one.db", "--http", "127.0.0.1:0")
        with Keeper(*command, "--processes", "0", environment={"ADJOURN_ADMIN_TOKEN": TOKEN}) as ours:
            root = ours.address("Web API")
            head = {"Authorization": f"Bearer {TOKEN}"}
            made = httpx.post(f"{root}accounts", json={"name": "Contoso", "revenue": 12.5}, headers=head)
            address = f"{made.headers['OData-EntityId']}?$select=name,telephone1,revenue,createdon"
            answer = httpx.get(address, headers=head)
            same = {name: value for name, value in answer.headers.items() if name not in ("date", "content-length")}
            with Keeper("-c", BARE, repr((answer.content, same))) as bare:
                port, bare_port = httpx.URL(address).port, int(bare.address("Bare"))
                assert port is not None
                target = address[address.index("/api/") :]

                def rate(at: int) -> float:
                    lines = (f"GET {target} HTTP/1.1", f"Host: 127.0.0.1:{at}", f"Authorization: Bearer {TOKEN}")
                    text = "\r\n".join([*lines, "Accept: application/json", "OData-Version: 4.0", "", ""])
                    return request_rate(at, text.encode(), 1.5)

                mine, yardstick, spread = paired(lambda: rate(port), lambda: rate(bare_port), 5)
    return Figure(
        "one record, asked again, SQLite", mine, "/s", "Starlette alone, the same bytes", yardstick, "ratio ≥ 0.6",
        mine >= 0.6 * yardstick, spread,
    )  # fmt: skip


def change_sets() -> Figure:
    """1,000 creates in one change set of `$batch`, against the same creates sent one after the other."""
    rows = [f'{{"name":"Contoso {number}"}}' for number in range(1000)]
    kind = "Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n"
    parts = [
        f"--c\r\n{kind}Content-ID: {number}\r\n\r\nPOST accounts HTTP/1.1\r\nContent-Type: application/json\r\n\r\n{row}\r\n"
        for number, row in enumerate(rows)
    ]
    body = "".join(["--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n", *parts, "--c--\r\n--b--\r\n"]).encode()
    with folder() as scratch:
        command = ("-m", "adjourn.cli", "serve", "--database", f"sqlite:///{scratch}/b.db", "--http", "127.0.0.1:0")
        with Keeper(*command, "--processes", "0", environment={"ADJOURN_ADMIN_TOKEN": TOKEN}) as ours:
            root = ours.address("Web API")
            with httpx.Client(base_url=root, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60) as client:

                def together() -> float:
                    start = time.perf_counter()
                    answer = client.post(
                        "$batch", content=body, headers={"Content-Type": "multipart/mixed; boundary=b"}
                    )
                    rate = len(rows) / (time.perf_counter() - start)
                    assert answer.text.count("HTTP/1.1 204") == len(rows), answer.text[:500]
                    return rate

                def singly() -> float:
                    start = time.perf_counter()
                    for row in rows:
                        client.post(
                            "accounts", content=row, headers={"Content-Type": "application/json"}
                        ).raise_for_status()
                    return len(rows) / (time.perf_counter() - start)

                mine, yardstick, spread = paired(together, singly, 5)
    return Figure(
        "creates in change sets of 1,000, SQLite",
        mine,
        "/s",
        "the same creates one by one",
        yardstick,
        "",
        None,
        spread,
    )


def figures() -> list[Figure]:
    return [creates(), single(), change_sets()]


def creates() -> Figure:
    with folder() as scratch:
        command = ["-m", "adjourn.cli", "serve", "--database", f"sqlite:///{scratch}/http.db", "--http", "127.0.0.1:0"]
        service = subprocess.Popen(
            [sys.executable, *command, "--plugins", "benchmarks.handlers"],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "ADJOURN_ADMIN_TOKEN": TOKEN},
        )
        try:
            assert service.stdout is not None
            root = ""
            while not (line := service.stdout.readline()).startswith("Ready"):
                root = line.split()[2] if line.startswith("Web API") else root
            done = [0] * CLIENTS
            errors: list[str] = []
            stop = time.perf_counter() + SECONDS

            def create(index: int) -> None:
                with httpx.Client(headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60) as client:
                    while time.perf_counter() < stop:
                        answer = client.post(f"{root}accounts", json={"name": "Contoso"})
                        if answer.status_code != 204:
                            errors.append(answer.text)
                            return
                        done[index] += 1

            threads = [threading.Thread(target=create, args=(index,)) for index in range(CLIENTS)]
            start = time.perf_counter()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert not errors, errors[0]
            rate = sum(done) / (time.perf_counter() - start)
        finally:
            service.terminate()
            service.wait(60)
    return Figure(
        f"HTTP creates with one asynchronous step, {CLIENTS} clients on the same cores", rate, "/s", "", None, "", None
    )
