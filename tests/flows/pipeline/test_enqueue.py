"""What could never run is refused when it is enqueued, by the name of the parameter, and nothing of it is left."""

from __future__ import annotations

import sys
import threading
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest
from tests.support import pipeline_plugins as plugins

from adjourn.client import Client
from adjourn.errors import InvalidRequest
from adjourn.metadata.model import Reference
from adjourn.pipeline.call import Request
from adjourn.pipeline.code import resolve
from adjourn.pipeline.declare import message
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


def test_a_misspelt_parameter_and_a_moment_that_is_none_are_told_what_was_found(org: Client, steps: Service) -> None:
    with pytest.raises(InvalidRequest, match=r"it has no parameter 'momnt'\. It takes .*\. Did you mean 'moment'\?"):
        plugins.told.request(momnt=1)
    for found in ("tomorrow", datetime(2030, 1, 1)):
        with pytest.raises(InvalidRequest, match=r"with a time zone, such as .*; found ") as caught:
            org.enqueue(plugins.add.request(1, 2), postpone_until=found)
        assert str(found) in caught.value.message


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


def elsewhere(a: int, b: int) -> int:
    return a + b


@pytest.fixture
def of_script(org: Client, monkeypatch: pytest.MonkeyPatch) -> UUID:
    """A job of the message `add`, made by a script that has ended."""
    with monkeypatch.context() as script:
        script.setattr(elsewhere, "__module__", "__main__")
        add = message(elsewhere, name="add")
        script.setattr(sys.modules["__main__"], "elsewhere", add, raising=False)
        return org.enqueue(add.request(1, 2))


def test_a_function_that_moves_from_a_script_into_a_module_takes_its_message_along(
    org: Client, service: Service, of_script: UUID
) -> None:
    """The README's way: tried in a script first, then put where `serve --plugins` finds it. Jobs that wait go with it."""
    service.registry.cached().cached.clear()  # as in another process
    with pytest.raises(InvalidRequest, match=r"'elsewhere' is a function of a script \(__main__\)"):
        org.enqueue(Request("add", {"a": 1, "b": 2}))
    service.register(plugins.__name__)
    assert service.registry.known_message("add").module == plugins.__name__
    assert org.retrieve("asyncoperation", of_script)["statecode"] == 0


def test_the_first_use_of_a_module_takes_the_message_of_a_script(
    org: Client, service: Service, of_script: UUID
) -> None:
    org.enqueue(plugins.add.request(1, 2))
    assert service.registry.known_message("add").module == plugins.__name__


def test_a_message_of_two_modules_is_refused_with_what_to_do(
    org: Client, steps: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = ModuleType("moved_plugins")
    monkeypatch.setattr(elsewhere, "__module__", moved.__name__)
    monkeypatch.setattr(moved, "add", message(elsewhere, name="add"), raising=False)
    monkeypatch.setitem(sys.modules, moved.__name__, moved)
    with pytest.raises(InvalidRequest) as caught:
        steps.register(moved.__name__)
    kind = org.retrieve_multiple("plugintypes?$filter=name eq 'add'")[0].id
    assert f"registered by {plugins.__name__}.add already" in caught.value.message
    assert f"DELETE plugintypes({kind})" in caught.value.message
    assert kind is not None
    org.delete("plugintype", kind)
    steps.register(moved.__name__)
    assert steps.registry.known_message("add").module == moved.__name__


def test_the_first_use_of_another_function_does_not_end_the_isolation_of_its_module(
    org: Client, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed = ModuleType("mixed_plugins")
    monkeypatch.setattr(elsewhere, "__module__", mixed.__name__)
    alone, shared = message(elsewhere, name="alone", isolated=True), message(elsewhere, name="shared")
    monkeypatch.setattr(mixed, "elsewhere", alone, raising=False)
    monkeypatch.setitem(sys.modules, mixed.__name__, mixed)
    org.enqueue(alone.request(1, 2))
    org.enqueue(shared.request(1, 2))
    (assembly,) = org.retrieve_multiple("pluginassemblies?$select=isolationmode&$filter=name eq 'mixed_plugins'")
    assert assembly["isolationmode"] == 2
    assert service.register(mixed.__name__).advice == ()
    monkeypatch.setattr(mixed, "shared", shared, raising=False)
    (advice,) = service.register(mixed.__name__).advice
    assert "isolated=True holds for the whole module" in advice


def test_a_moment_without_a_time_zone_is_refused_with_what_was_found(org: Client, steps: Service) -> None:
    """datetime.now() is rarely UTC."""
    for found in (datetime(2030, 1, 1, 12), "2030-01-01"):
        with pytest.raises(
            InvalidRequest, match=rf"with a time zone, such as .*; found '2030-01-01.*{type(found).__name__}"
        ):
            org.enqueue(plugins.add.request(1, 2), postpone_until=found)  # type: ignore[arg-type]
