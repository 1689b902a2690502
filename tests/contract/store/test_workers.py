"""Who is alive: a worker's word ends with its process."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from adjourn import config, runtime
from adjourn.errors import InvalidRequest
from adjourn.store import open_store
from adjourn.store.contract import Store

_HOLD = """
import sys, os
from uuid import UUID
from adjourn.store import open_store
store = open_store(sys.argv[1])
store.hold_worker(UUID(sys.argv[2]), "host", os.getpid())
print("held", flush=True)
sys.stdin.read()
"""
_SERVE = """
import sys
from adjourn.store import open_store
store = open_store(sys.argv[1])
with store.hold_service():
    print("serving", flush=True)
    sys.stdin.read()
"""


def test_a_worker_lives_until_it_is_released(store: Store, database_url: str) -> None:
    worker, other = runtime.new_id(), runtime.new_id()
    store.hold_worker(worker, "host", 1)
    beside = open_store(database_url)
    for found in (store, beside):
        assert found.living([str(worker), str(other)]) == {str(worker)}
        assert found.dead_workers(runtime.now()) == []
    assert store.beat(worker)
    assert not store.beat(other)
    store.release_worker(worker)
    for found in (store, beside):
        assert found.living([str(worker)]) == set()
        assert found.dead_workers(runtime.now()) == []
    beside.close()


def test_a_killed_worker_is_dead_and_can_be_forgotten(
    store: Store, database_url: str, other_process: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "WORKER_STALE_SECONDS", 0.5)
    worker = runtime.new_id()
    process = other_process(_HOLD, database_url, str(worker))
    assert process.stdout.readline() == "held\n"
    assert store.living([str(worker)]) == {str(worker)}
    process.kill()
    process.wait()
    until = runtime.monotonic() + 5
    while store.living([str(worker)]) and runtime.monotonic() < until:
        runtime.sleep(0.02)
    assert store.living([str(worker)]) == set()
    assert store.dead_workers(runtime.now()) == [str(worker)]
    with contextlib.suppress(Undone):
        store.write(lambda tx: undo(store.forget_dead(tx, str(worker))))
    assert store.dead_workers(runtime.now()) == [str(worker)], "exactly if the unit is committed"
    assert store.write(lambda tx: store.forget_dead(tx, str(worker)))
    assert store.dead_workers(runtime.now()) == []
    assert store.write(lambda tx: store.forget_dead(tx, str(worker))), "nobody knows it any more"


class Undone(Exception):
    """Ends a unit that is to leave nothing."""


def undo(forgotten: bool) -> None:
    assert forgotten
    raise Undone


def test_a_living_worker_is_not_forgotten(store: Store, database_url: str) -> None:
    worker = runtime.new_id()
    store.hold_worker(worker, "host", 1)
    beside = open_store(database_url)
    for found in (store, beside):
        assert not found.write(lambda tx, found=found: found.forget_dead(tx, str(worker)))  # type: ignore[misc]
        assert found.living([str(worker)]) == {str(worker)}
    beside.close()


def test_a_release_of_a_living_worker_of_another_process_changes_nothing(
    sqlite_store: Store, sqlite_url: str, other_process: Callable[..., Any]
) -> None:
    worker = runtime.new_id()
    process = other_process(_HOLD, sqlite_url, str(worker))
    assert process.stdout.readline() == "held\n"
    sqlite_store.release_worker(worker)
    assert sqlite_store.living([str(worker)]) == {str(worker)}


def test_a_long_turn_does_not_make_a_worker_look_dead(
    sqlite_store: Store, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "WORKER_STALE_SECONDS", 0.01)
    worker = runtime.new_id()
    sqlite_store.hold_worker(worker, "host", 1)
    beside = open_store(sqlite_url)
    with beside.transaction("long"):
        runtime.sleep(0.05)
        assert beside.living([str(worker)]) == {str(worker)}
    beside.close()


def test_a_second_serve_on_one_file_is_refused_by_name(
    sqlite_store: Store, sqlite_url: str, other_process: Callable[..., Any], letters: Any
) -> None:
    process = other_process(_SERVE, sqlite_url)
    assert process.stdout.readline() == "serving\n"
    with pytest.raises(InvalidRequest, match=str(process.pid)), sqlite_store.hold_service():
        pass
    sqlite_store.write(lambda tx: letters.add(tx, "others may write"))
    process.kill()
    process.wait()
    with sqlite_store.hold_service():
        pass
    with sqlite_store.hold_service():
        pass


def test_many_may_serve_one_postgresql_database(postgres_store: Store) -> None:
    with postgres_store.hold_service(), postgres_store.hold_service():
        pass
