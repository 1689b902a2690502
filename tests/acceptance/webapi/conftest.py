"""A real server on a free port of this machine, over a real store, and an HTTP client that knows its token."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from tests.support.listening import client, listening

from adjourn.client import Client
from adjourn.pipeline.call import Call
from adjourn.service import Service
from adjourn.store.contract import Store
from adjourn.webapi.app import create_app

TOKEN = "the administrator's token"
Start = Callable[[Service], httpx.Client]


@pytest.fixture
def serve() -> Iterator[Start]:
    """Starts servers; what it returns is a client whose base address is the API's root."""
    with ExitStack() as opened:

        def start(service: Service) -> httpx.Client:
            port = opened.enter_context(listening(create_app(service, TOKEN)))
            return opened.enter_context(client(port, TOKEN))

        yield start


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
