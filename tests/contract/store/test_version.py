"""The store's version: another number after any commit, by whomever; so what was read before it changed is still true."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from adjourn import runtime
from adjourn.store import open_store
from adjourn.store.contract import Store, Transaction
from adjourn.store.sqlite import SqliteStore

_OTHER = """
import sys
from adjourn import runtime
from adjourn.store import open_store
store = open_store(sys.argv[1])
sql = "INSERT INTO account (accountid, name) VALUES (:id, 'x')"
for line in sys.stdin:
    store.write(lambda tx: tx.execute(sql, {"id": str(runtime.new_id())}))
    print("written", flush=True)
"""
_INSERT = "INSERT INTO account (accountid, name) VALUES (:id, 'x')"


def write(tx: Transaction) -> None:
    tx.execute(_INSERT, {"id": str(runtime.new_id())})


def test_reading_leaves_it_and_every_commit_changes_it(sqlite_store: SqliteStore) -> None:
    seen = [sqlite_store.version()]
    with sqlite_store.read() as reader:
        reader.rows("SELECT count(*) FROM account")
    assert sqlite_store.version() == seen[0]
    sqlite_store.write(write)
    seen.append(sqlite_store.version())
    with sqlite_store.transaction("test") as tx:
        write(tx)
    seen.append(sqlite_store.version())
    assert None not in seen
    assert len(set(seen)) == 3


def test_it_is_new_as_soon_as_the_writer_answers(sqlite_store: SqliteStore) -> None:
    for _ in range(50):
        before = sqlite_store.version()
        sqlite_store.write(write)
        assert sqlite_store.version() != before


def test_a_commit_of_another_program_changes_it(sqlite_store: SqliteStore) -> None:
    """One that knows nothing of the turn, as the sqlite3 shell."""
    before = sqlite_store.version()
    other = sqlite3.connect(sqlite_store.path)
    with other:
        other.execute(_INSERT, {"id": str(runtime.new_id())})
    other.close()
    runtime.sleep(0.011)
    assert sqlite_store.version() != before


def test_a_commit_of_another_process_changes_it_at_once(
    sqlite_store: SqliteStore, sqlite_url: str, other_process: Callable[..., Any]
) -> None:
    process = other_process(_OTHER, sqlite_url)
    for _ in range(20):
        before = sqlite_store.version()
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "written\n"
        assert sqlite_store.version() != before


def test_what_is_rolled_back_need_not_change_it_but_never_hides_a_commit(sqlite_store: SqliteStore) -> None:
    class Refused(Exception):
        pass

    def refuse(tx: Transaction) -> None:
        write(tx)
        raise Refused

    before = sqlite_store.version()
    try:
        sqlite_store.write(refuse)
    except Refused:
        sqlite_store.write(write)
    assert sqlite_store.version() != before


def test_there_is_none_inside_a_unit(store: Store) -> None:
    """A unit sees what it has not committed yet."""
    assert store.write(lambda tx: store.version()) is None
    with store.transaction("test"):
        assert store.version() is None


def test_there_is_none_once_the_store_is_closed(sqlite_url: str) -> None:
    opened = open_store(sqlite_url)
    assert opened.version() is not None
    opened.close()
    assert opened.version() is None
