"""HTTP: creates a second with an asynchronous step, and a way to ask the app without a socket."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import httpx
from starlette.testclient import TestClient

from adjourn.service import Service
from adjourn.webapi.app import create_app
from benchmarks.measure import Figure, folder

CLIENTS = 32
SECONDS = 5.0
TOKEN = "token-of-the-benchmark"


def asker(service: Service, path: str) -> Callable[[], object]:
    """Ask the app for a path, in this process; the answer's bytes are made and dropped."""
    client = TestClient(create_app(service, TOKEN), headers={"Authorization": f"Bearer {TOKEN}"})
    client.__enter__()

    def ask() -> object:
        answer = client.get(f"/api/data/v9.2/{path}")
        assert answer.status_code == 200, answer.text
        return answer.content

    return ask


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
