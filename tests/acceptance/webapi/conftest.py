"""A real server on a free port of this machine, over a real store, and an HTTP client that knows its token."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from adjourn.client import Client
from adjourn.pipeline.call import Call
from adjourn.service import Service
from adjourn.store.contract import Store
from adjourn.webapi.app import create_app
from adjourn.webapi.server import run

TOKEN = "the administrator's token"
Start = Callable[[Service], httpx.Client]


@pytest.fixture
def serve() -> Iterator[Start]:
    """Starts servers; what it returns is a client whose base address is the API's root."""
    opened: list[Callable[[], None]] = []

    def start(service: Service) -> httpx.Client:
        server = run(create_app(service, TOKEN), "127.0.0.1", 0)
        client = httpx.Client(
            base_url=f"http://127.0.0.1:{server.port}/api/data/v9.2/",
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=30,
        )
        opened.extend((server.stop, client.close))
        return client

    yield start
    for close in reversed(opened):
        close()


@pytest.fixture
def service(store: Store) -> Service:
    return Service(store)


@pytest.fixture
def org(service: Service) -> Client:
    """The same organization in Python, to prepare data and to look at it from the other side."""
    return service.client(Call(caller=service.administrator()))


@pytest.fixture
def http(service: Service, serve: Start) -> httpx.Client:
    return serve(service)


@pytest.fixture
def account(http: httpx.Client) -> str:
    """The address of an account, relative to the root."""
    return created(http, "accounts", {"name": "Contoso"})


def created(http: httpx.Client, entityset: str, body: dict[str, Any]) -> str:
    answer = http.post(entityset, json=body)
    assert answer.status_code == 204, answer.text
    address = answer.headers["OData-EntityId"]
    assert address.startswith(str(http.base_url))
    return address.removeprefix(str(http.base_url))


def error_of(answer: httpx.Response) -> tuple[int, str, str]:
    """Status, code and message of a refusal, in the one form that all of them have."""
    body = answer.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message"}
    assert answer.headers["content-type"].startswith("application/json")
    return answer.status_code, body["error"]["code"], body["error"]["message"]
