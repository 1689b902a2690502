"""HTTP: creates a second with an asynchronous step, and a way to ask the app without a socket."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, MutableMapping
from typing import Any

import httpx

from adjourn.service import Service
from adjourn.webapi.app import create_app
from benchmarks.measure import Figure, folder

CLIENTS = 32
SECONDS = 5.0
TOKEN = "token-of-the-benchmark"


def asker(service: Service, path: str) -> Callable[[], object]:
    """Ask the app for a path, in this process and without a socket; the answer's bytes are made and dropped."""
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
    loop = asyncio.new_event_loop()

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        assert message.get("status", 200) == 200, message

    return lambda: loop.run_until_complete(app(dict(scope), receive, send))


def figures() -> list[Figure]:
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
    return [
        Figure(
            f"HTTP creates with one asynchronous step, {CLIENTS} clients on the same cores",
            rate,
            "/s",
            "",
            None,
            "",
            None,
        )
    ]
