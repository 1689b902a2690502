"""What PostgreSQL alone has to deal with: lost connections, deadlocks, locks of others, texts of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.postgres_proxy import Proxy

from adjourn import runtime
from adjourn.errors import Busy, InvalidRequest
from adjourn.store import faults, open_store
from adjourn.store.contract import Store, Transaction
from adjourn.store.postgres import PostgresStore
from adjourn.store.postgres_text import translated

_TERMINATE = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@pytest.fixture
def store(postgres_store: Store) -> Store:
    return postgres_store


@pytest.fixture
def proxy(postgres_url: str) -> Iterator[Proxy]:
    """A way to a fresh organization that can be broken."""
    found = Proxy(postgres_url)
    yield found
    found.close()


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("SELECT :a, :b_2", "SELECT %(a)s, %(b_2)s"),
        ("SELECT :a::uuid, x::text", "SELECT %(a)s::uuid, x::text"),
        ("to_char(x, 'HH24:MI') LIKE '%:a'", "to_char(x, 'HH24:MI') LIKE '%%:a'"),
        ("SELECT 'it''s :a' AS \"c:d\"", "SELECT 'it''s :a' AS \"c:d\""),
        ("SELECT 5 % 2 -- :gone\n, :a", "SELECT 5 %% 2 -- :gone\n, %(a)s"),
        ("DO $$ x := :a; 'q $$; SELECT :a", "DO $$ x := :a; 'q $$; SELECT %(a)s"),
    ],
)
def test_parameters_are_translated_and_nothing_else(ours: str, theirs: str) -> None:
    assert translated(ours) == theirs.encode()


def test_connections_that_broke_while_idle_are_replaced(store: Store, letters: Any) -> None:
    store.write(lambda tx: letters.add(tx, "a"))
    with store.read() as reader:
        letters.names(reader)
    store.write(lambda tx: tx.rows(_TERMINATE))
    with store.read() as reader:
        reader.rows(_TERMINATE)
    for _ in range(5):
        store.write(lambda tx: letters.add(tx, "b"))
        with store.transaction("t") as tx:
            letters.add(tx, "c")
        with store.read() as reader:
            assert letters.names(reader)[0] == "a"


def test_a_unit_whose_connection_breaks_is_run_again(store: Store, letters: Any) -> None:
    attempts: list[int] = []

    def unit(tx: Transaction) -> None:
        attempts.append(1)
        letters.add(tx, "a")
        if len(attempts) == 1:
            tx.rows("SELECT pg_terminate_backend(pg_backend_pid())")

    store.write(unit)
    assert len(attempts) == 2
    with store.read() as reader:
        assert letters.names(reader) == ["a"]


def test_a_lone_unit_whose_connection_breaks_is_busy_and_not_run_again(store: Store, letters: Any) -> None:
    with pytest.raises(Busy, match="nothing was changed"), store.transaction("t") as tx:
        letters.add(tx, "a")
        tx.rows("SELECT pg_terminate_backend(pg_backend_pid())")
    with store.read() as reader:
        assert letters.names(reader) == []


def test_a_unit_whose_connection_broke_before_its_commit_is_run_again(store: Store, letters: Any) -> None:
    """The COMMIT fails and nobody knows why; the server says that the transaction was given up."""
    attempts: list[int] = []

    def unit(tx: Transaction) -> None:
        attempts.append(1)
        letters.add(tx, "a")
        tx.before_commit(lambda: pids.append(tx.rows("SELECT pg_backend_pid()")[0][0]))

    def cut(name: str) -> None:
        if name == "before commit" and len(attempts) == 1:
            killer = threading.Thread(target=_terminate, args=(store, pids[-1]))
            killer.start()
            killer.join()

    pids: list[int] = []
    with faults.listening(cut):
        store.write(unit)
    assert len(attempts) == 2
    with store.read() as reader:
        assert letters.names(reader) == ["a"]


def test_a_commit_whose_reply_is_lost_is_known_to_have_been_one(proxy: Proxy, letters: Any) -> None:
    store = open_store(proxy.url)
    attempts: list[int] = []
    after: list[int] = []

    def unit(tx: Transaction) -> str:
        attempts.append(1)
        tx.after_commit(lambda: after.append(1))
        return letters.add(tx, "a")

    proxy.lose_commits = 1
    assert store.write(unit)
    assert proxy.lost.is_set()
    proxy.lose_commits = 1
    with store.transaction("t") as tx:
        letters.add(tx, "b")
    assert proxy.lose_commits == 0
    with store.read() as reader:
        assert letters.names(reader) == ["a", "b"]
    assert (attempts, after) == ([1], [1]), "it ran once, and what follows a commit followed"
    store.close()


def test_what_became_of_a_commit_is_not_guessed_after_a_crash(proxy: Proxy, letters: Any) -> None:
    """The number of a transaction that was lost with a crash may be given again: a "yes" then means nothing."""
    store = open_store(proxy.url)
    assert isinstance(store, PostgresStore)
    number = store.write(lambda tx: tx.rows("SELECT pg_current_xact_id()::text")[0][0])
    begun = store._connections.begin("BEGIN", numbered=True)
    since = begun.connection.counting_since
    begun.connection.execute("ROLLBACK")
    store._connections.give_back(begun.connection)
    assert since is not None
    assert store._connections.committed(number, since) is True
    assert store._connections.committed(begun.number or "", since) is False
    assert store._connections.committed(str(int(number) + 1_000_000), since) is False, "never given so far"
    assert store._connections.committed(number, "before the crash") is None
    store.close()


def _terminate(store: Store, pid: int) -> None:
    with store.read() as reader:
        reader.rows("SELECT pg_terminate_backend(:pid)", {"pid": pid})
        until = runtime.monotonic() + 5
        while reader.rows("SELECT 1 FROM pg_stat_get_activity(:pid)", {"pid": pid}) and runtime.monotonic() < until:
            runtime.sleep(0.01)


def test_deadlocked_units_are_run_again(store: Store, letters: Any) -> None:
    first, second = store.write(lambda tx: [letters.add(tx, "a"), letters.add(tx, "b")])
    both = threading.Barrier(2, timeout=10)
    attempts: list[int] = []

    def call(order: tuple[str, str]) -> None:
        met: list[int] = []

        def unit(tx: Transaction) -> None:
            attempts.append(1)
            for record_id in order:
                tx.execute("UPDATE account SET name = name || '!' WHERE accountid = :id", {"id": record_id})
                if not met:
                    met.append(1)
                    both.wait()

        store.write(unit)

    threads = [threading.Thread(target=call, args=(order,)) for order in ((first, second), (second, first))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(attempts) == 3
    with store.read() as reader:
        assert letters.names(reader) == ["a!!", "b!!"]


def test_waiting_for_a_lock_of_another_is_bounded(store: Store, letters: Any) -> None:
    record_id = store.write(lambda tx: letters.add(tx, "a"))
    statement = "UPDATE account SET name = 'b' WHERE accountid = :id"
    refused: list[Busy] = []

    def call() -> None:
        store.turn_seconds_max = 0.2
        try:
            with store.transaction("second") as second:
                second.execute(statement, {"id": record_id})
        except Busy as error:
            refused.append(error)

    with store.transaction("first") as tx:
        tx.execute(statement, {"id": record_id})
        thread = threading.Thread(target=call)
        thread.start()
        thread.join(10)
    assert "Another transaction holds a record" in str(refused[0])


def test_lists_travel_as_arrays(store: Store, letters: Any) -> None:
    ids = store.write(lambda tx: [letters.add(tx, name) for name in "abc"])
    statement = "SELECT name FROM account WHERE accountid = ANY(:ids::uuid[]) ORDER BY 1"
    with store.read() as reader:
        assert reader.rows(statement, {"ids": ids[:2]}) == [("a",), ("b",)]
        assert reader.rows(statement, {"ids": []}) == []
        assert reader.rows("SELECT :names::text[]", {"names": ["x,y", 'q"', None]}) == [(["x,y", 'q"', None],)]


def test_an_absent_server_is_named_and_no_password_is_shown() -> None:
    with pytest.raises(InvalidRequest, match="Cannot open the database") as caught:
        open_store("postgresql://me:secret-word@127.0.0.1:1/nothing")
    assert "secret-word" not in str(caught.value)


def test_a_read_whose_connection_is_ended_says_try_again(store: Store) -> None:
    with pytest.raises(Busy, match="connection to the database was lost"), store.read() as reader:
        reader.rows("SELECT pg_terminate_backend(pg_backend_pid())")
    with store.read() as reader:
        assert reader.rows("SELECT 1") == [(1,)]
