"""What could never run is refused when it is enqueued, by the name of the parameter, and nothing of it is left."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from tests.support import pipeline_plugins as plugins

from adjourn.client import Client
from adjourn.errors import InvalidRequest
from adjourn.metadata.model import Reference
from adjourn.pipeline.call import Request
from adjourn.pipeline.code import resolve
from adjourn.service import Service

nested: list[Any] = []
for _ in range(5000):
    nested = [nested]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"a": 1, "b": "2"}, "Parameter 'b' of message 'add': Expected `int`, got `str`"),
        ({"a": 1, "b": None}, "Parameter 'b' of message 'add': Expected `int`, got `null`"),
        ({"a": 1, "b": float("nan")}, "Parameter 'b' of message 'add': Expected `int`, got `null`"),
        ({"a": 1}, "Message 'add' needs parameter 'b'"),
        ({"a": 1, "b": 2, "c": 3}, "Message 'add' has no parameter 'c'; it takes a, b"),
        ({"a": 1, "b": threading.Lock()}, "Parameter 'b' of message 'add' cannot be written as JSON"),
        ({"a": 1, "b": {"deep": [object()]}}, "Parameter 'b' of message 'add' cannot be written as JSON"),
        ({"a": 1, "b": "\ud800"}, "Parameter 'b' of message 'add' cannot be written as JSON"),
        ({"a": 1, "b": nested}, "Parameter 'b' of message 'add' cannot be written as JSON"),
    ],
)
def test_arguments_that_no_run_could_take_are_refused(
    org: Client, steps: Service, arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        org.enqueue_many([plugins.add.request(1, 2), Request("add", arguments)])
    assert said in caught.value.message
    assert org.retrieve_multiple("asyncoperations?$select=name&$filter=operationtype eq 54") == []


def test_what_json_can_say_arrives_as_the_annotations_want_it(org: Client, steps: Service) -> None:
    moment, guid = datetime(2030, 1, 1, tzinfo=UTC), UUID(int=7)
    job = org.enqueue(plugins.told.request(moment, guid, Decimal("1.10"), Reference("account", guid), {1: (2, 3)}))
    assert org.retrieve("asyncoperation", job)["statecode"] == 0
    assert plugins.seen == [], "it was checked, not called"


def test_a_module_that_is_not_here_is_not_asked(org: Client, steps: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another host may have it; who runs it says what is wrong."""
    monkeypatch.setattr("adjourn.pipeline.enqueue.resolve", partial(_elsewhere, plugins.__name__))
    assert org.retrieve("asyncoperation", org.enqueue(Request("add", {"a": "x"})))["statecode"] == 0


def _elsewhere(known: str, module: str, function: str) -> Any:
    assert module == known
    return resolve(f"nowhere_{module.partition('.')[0]}", function)


def test_a_function_that_is_gone_is_missed_at_once(
    org: Client, steps: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(plugins, "add")
    with pytest.raises(InvalidRequest, match="has no function 'add'"):
        org.enqueue(Request("add", {"a": 1, "b": 2}))
