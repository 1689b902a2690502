"""SQLite's one writer: what happens to units that share a commit, wait, fail or take too long."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest
from structlog.testing import capture_logs

from adjourn import config, runtime
from adjourn.errors import AdjournError, Busy
from adjourn.store import faults, open_store, sqlite_path
from adjourn.store.contract import Transaction
from adjourn.store.sqlite import SqliteStore


@pytest.fixture
def store(sqlite_store: SqliteStore) -> SqliteStore:
    return sqlite_store


def _in_thread(function: Callable[[], Any]) -> threading.Thread:
    thread = threading.Thread(target=function)
    thread.start()
    return thread


def _wait_for_queue(store: SqliteStore, units: int) -> None:
    """Until so many units wait; one more is in the writer's hands, waiting for the turn."""
    until = runtime.monotonic() + 10
    while len(store._writer._queue) < units - 1 and runtime.monotonic() < until:
        runtime.sleep(0.01)


def test_units_that_wait_share_one_commit(store: SqliteStore, letters: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "GROUP_SECONDS_MAX", 60)
    commits: list[str] = []
    held, go = threading.Event(), threading.Event()

    def hold() -> None:
        with store.transaction("hold"):
            held.set()
            go.wait(10)

    holder = _in_thread(hold)
    held.wait(10)
    with faults.listening(lambda name: commits.append(name) if name == "before commit" else None):
        threads = [_in_thread(lambda: store.write(lambda tx: letters.add(tx, "x"))) for _ in range(50)]
        _wait_for_queue(store, 50)
        go.set()
        for thread in [holder, *threads]:
            thread.join(10)
    with store.read() as reader:
        assert len(letters.names(reader)) == 50
    assert len(commits) == 2  # the holder's, and theirs


def test_a_unit_is_let_go_of_when_it_is_done(store: SqliteStore) -> None:
    """Not when the next one comes: it may hold thousands of rows, and the next one must not pay for them."""

    class Rows:
        def __call__(self, tx: Transaction) -> None:
            tx.rows("SELECT 1")

    rows = Rows()
    kept = weakref.ref(rows)
    store.write(rows)
    del rows
    until = runtime.monotonic() + 5
    while kept() is not None and runtime.monotonic() < until:
        runtime.sleep(0.01)
    assert kept() is None


def test_a_full_queue_is_busy(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "WRITE_QUEUE_UNITS_MAX", 2)
    store: Any = open_store(sqlite_url)
    outcomes: list[int] = []

    def call() -> None:
        try:
            store.write(lambda tx: None)
            outcomes.append(204)
        except Busy as error:
            outcomes.append(error.status)

    with store.transaction("hold"):
        threads = [_in_thread(call)]
        runtime.sleep(0.2)  # the writer has taken it and waits for the turn
        threads += [_in_thread(call) for _ in range(2)]
        _wait_for_queue(store, 3)
        threads += [_in_thread(call) for _ in range(3)]
        until = runtime.monotonic() + 10
        while len(outcomes) < 3 and runtime.monotonic() < until:
            runtime.sleep(0.01)
    for thread in threads:
        thread.join(5)
    assert outcomes == [503] * 3 + [204] * 3
    store.close()


def _fill_up(store: SqliteStore, pages_left: int) -> None:
    def unit(tx: Transaction) -> None:
        (pages,) = tx.rows("PRAGMA page_count")[0]
        tx.rows(f"PRAGMA max_page_count = {pages + pages_left}")

    store.write(unit)


def test_a_full_disk_fails_the_unit_that_filled_it_and_no_other(
    store: SqliteStore, letters: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite gives up the whole group; the others of it are run again, once each."""
    monkeypatch.setattr(config, "GROUP_SECONDS_MAX", 60)
    _fill_up(store, 40)
    outcomes: dict[int, str] = {}

    def call(number: int) -> None:
        def unit(tx: Transaction) -> None:
            letters.add(tx, f"{number}")
            if number == 5:
                letters.add(tx, "x" * 1_000_000)

        try:
            store.write(unit)
            outcomes[number] = "done"
        except (AdjournError, apsw.Error):
            outcomes[number] = "failed"

    with store.transaction("hold"):
        threads = [_in_thread(lambda n=number: call(n)) for number in range(10)]
        _wait_for_queue(store, 10)
    for thread in threads:
        thread.join(10)
    assert outcomes == {number: "failed" if number == 5 else "done" for number in range(10)}
    with store.read() as reader:
        assert sorted(letters.names(reader)) == sorted(str(number) for number in range(10) if number != 5)


def _interrupt(store: SqliteStore) -> None:
    """Let SQLite give up the open transaction in the middle of a statement."""
    connection = store._writer._connection
    connection.create_scalar_function("cut", lambda: connection.interrupt(), 0)


def test_a_lost_transaction_is_noticed_even_by_code_that_swallows_the_error(store: SqliteStore, letters: Any) -> None:
    """After it, SQLite would commit every further statement by itself."""
    _interrupt(store)

    def lose(tx: Transaction) -> None:
        with pytest.raises(apsw.InterruptError):
            tx.execute("INSERT INTO account (accountid, name) SELECT 'x', cut() FROM sqlite_schema")

    with pytest.raises(Exception, match=r"(?i)interrupt"), store.transaction("t") as tx:
        letters.add(tx, "before")
        lose(tx)
        letters.add(tx, "after")
    attempts: list[int] = []

    def unit(tx: Transaction) -> None:
        letters.add(tx, "before")
        if not attempts:
            attempts.append(1)
            lose(tx)
        letters.add(tx, "after")

    store.write(unit)
    with store.read() as reader:
        assert letters.names(reader) == ["before", "after"]
    store.write(lambda tx: letters.add(tx, "goes on"))


class _Failing:
    """A connection whose COMMIT fails, after it has taken effect or before."""

    def __init__(self, connection: apsw.Connection, error: apsw.Error, *, durable: bool) -> None:
        self._connection, self._error, self._durable = connection, error, durable

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, sql: str, *parameters: Any) -> Any:
        if sql == "COMMIT":
            if self._durable:
                self._connection.execute("COMMIT")
            raise self._error
        return self._connection.execute(sql, *parameters)


def test_a_commit_of_unknown_outcome_stops_all_writing(store: SqliteStore, letters: Any) -> None:
    reasons: list[str] = []
    store.on_failure(reasons.append)
    real = store._writer._connection
    store._writer._connection = _Failing(real, apsw.IOError("fsync failed"), durable=True)  # type: ignore[assignment]
    with pytest.raises(AdjournError, match="whether the change is there"):
        store.write(lambda tx: letters.add(tx, "perhaps"))
    store._writer._connection = real
    assert reasons == ["fsync failed"]
    with pytest.raises(AdjournError, match="after a restart"):
        store.write(lambda tx: letters.add(tx, "b"))
    with pytest.raises(AdjournError, match="after a restart"), store.transaction("t"):
        pass
    with store.read() as reader:
        assert letters.names(reader) == ["perhaps"]


def test_units_that_wait_behind_a_failed_commit_are_all_answered(store: SqliteStore, letters: Any) -> None:
    real = store._writer._connection
    failed: list[AdjournError] = []

    def call() -> None:
        try:
            store.write(lambda tx: letters.add(tx, "x"))
        except AdjournError as error:
            failed.append(error)

    with store.transaction("hold"):
        threads = [_in_thread(call) for _ in range(config.GROUP_UNITS_MAX + 20)]
        _wait_for_queue(store, len(threads))
        broken: Any = _Failing(real, apsw.IOError("bad"), durable=True)
        store._writer._connection, mended = broken, real
        # The holder's own commit goes through the real connection.
        broken.execute = lambda sql, *rest: (
            mended.execute(sql, *rest) if sql != "COMMIT" or store.holder() == "hold" else _Failing.execute(broken, sql)
        )
    for thread in threads:
        thread.join(10)
    store._writer._connection = real
    assert not any(thread.is_alive() for thread in threads)
    assert len(failed) == len(threads)


@pytest.mark.parametrize("durable", [True, False])
def test_a_lone_commit_that_fails_is_told_apart(store: SqliteStore, letters: Any, durable: bool) -> None:
    real = store._writer._connection
    store._writer._connection = _Failing(real, apsw.IOError("bad"), durable=durable)  # type: ignore[assignment]
    expected = "whether the change is there" if durable else "Nothing was changed"
    file_id = runtime.new_id()
    with pytest.raises(AdjournError, match=expected) as caught, store.transaction("t") as tx:
        letters.add(tx, "a")
        tx.write_file(file_id, b"x")
    assert caught.value.status == 503
    store._writer._connection = real
    with store.read() as reader:
        assert letters.names(reader) == (["a"] if durable else [])
        if durable:
            # In doubt, the file stays: the row may mention it.
            assert reader.read_file(file_id) == b"x"
    if not durable:
        store.write(lambda tx: letters.add(tx, "goes on"))


def test_a_foreign_lock_is_waited_for(store: SqliteStore, sqlite_url: str, letters: Any) -> None:
    """A program that does not know of the turn, such as the sqlite3 shell, longer than SQLite itself waits."""
    foreign = apsw.Connection(str(sqlite_path(sqlite_url)))
    store._writer._connection.set_busy_timeout(1)
    foreign.execute("BEGIN IMMEDIATE")
    threading.Timer(0.3, foreign.execute, ["ROLLBACK"]).start()
    store.write(lambda tx: letters.add(tx, "a"))
    with store.read() as reader:
        assert letters.names(reader) == ["a"]
    foreign.close()


def test_a_foreign_lock_is_busy_and_not_for_ever(
    store: SqliteStore, sqlite_url: str, letters: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that does not know of the turn, such as the sqlite3 shell."""
    monkeypatch.setattr(config, "TURN_WAIT_SECONDS_MAX", 0.1)
    foreign = apsw.Connection(str(sqlite_path(sqlite_url)))
    store._writer._connection.set_busy_timeout(50)
    foreign.execute("BEGIN IMMEDIATE")
    with pytest.raises(Busy, match="does not queue"):
        store.write(lambda tx: letters.add(tx, "a"))
    with pytest.raises(Busy, match="does not queue"), store.transaction("t"):
        pass
    foreign.execute("ROLLBACK")
    foreign.close()
    store.write(lambda tx: letters.add(tx, "b"))
    with store.read() as reader:
        assert letters.names(reader) == ["b"]


def test_a_slow_unit_is_counted_and_logged_with_its_label(store: SqliteStore) -> None:
    with capture_logs() as logs:
        with store.transaction("my slow step"):
            runtime.sleep(config.STEP_SLOW_SECONDS + 0.01)
        with store.transaction("quick"):
            pass
    assert [(entry["label"], entry["seconds"] >= config.STEP_SLOW_SECONDS) for entry in logs] == [
        ("my slow step", True)
    ]
    assert store.slow_units == 1


def test_the_holder_is_known_by_its_label(store: SqliteStore) -> None:
    assert store.holder() is None
    with store.transaction("step Greet"):
        assert store.holder() == "step Greet"
    assert store.holder() is None


def test_a_thread_that_its_own_step_waits_for_gets_an_error(
    store: SqliteStore, letters: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Grouped or lone: not a deadlock, and no half a minute either."""
    store.turn_seconds_max = 0.2
    began = runtime.monotonic()
    errors: list[BaseException] = []

    def grouped() -> None:
        store.write(lambda tx: letters.add(tx, "never"))

    def lone() -> None:
        with store.transaction("child") as tx:
            letters.add(tx, "never")

    def catching(call: Callable[[], None]) -> None:
        try:
            call()
        except Busy as error:
            errors.append(error)

    with pytest.raises(AdjournError, match="longer than"), store.transaction("parent"):
        for call in (grouped, lone):
            _in_thread(lambda c=call: catching(c)).join(10)
    assert runtime.monotonic() - began < 15  # twice a second and a bit, not twice half a minute
    assert ["parent" in str(error) and "thread started inside" in str(error) for error in errors] == [True, True]
    store.write(lambda tx: letters.add(tx, "goes on"))


def test_a_lone_unit_waits_for_one_group_and_a_group_for_one_lone_unit(store: SqliteStore, letters: Any) -> None:
    """64 threads of grouped units, and one of lone ones: the lone one is served as often as the groups are."""
    stop = threading.Event()
    grouped = [0]

    def group() -> None:
        while not stop.is_set():
            store.write(lambda tx: letters.add(tx, "g"))
            grouped[0] += 1

    threads = [_in_thread(group) for _ in range(64)]
    waits = []
    for _ in range(20):
        began = runtime.monotonic()
        with store.transaction("lone") as tx:
            waits.append(runtime.monotonic() - began)
            letters.add(tx, "l")
    stop.set()
    for thread in threads:
        thread.join(10)
    assert sorted(waits)[10] < 0.5
    assert grouped[0] > 20


def test_a_view_that_pins_the_log_too_long_is_ended(
    store: SqliteStore, letters: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adjourn.store.wal.LIMIT_PAGES", 20)
    monkeypatch.setattr("adjourn.store.wal.STEP_PAGES", 10)
    monkeypatch.setattr("adjourn.store.wal.READER_SECONDS_MIN", 0.1)
    store.write(lambda tx: letters.add(tx, "a"))
    with pytest.raises(Busy, match="ask for less"), store.read() as reader:
        letters.names(reader)
        runtime.sleep(0.2)
        until = runtime.monotonic() + 10
        while runtime.monotonic() < until:
            store.write(lambda tx: letters.add(tx, "x" * 100_000))
            runtime.sleep(0.01)
            letters.names(reader)
    with store.read() as reader:
        assert letters.names(reader)[0] == "a"


def test_the_log_begins_anew_under_steady_load(
    store: SqliteStore, letters: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adjourn.store.wal.STEP_PAGES", 100)
    log = Path(f"{store.path}-wal")
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            store.write(lambda tx: letters.add(tx, "x" * 50_000))

    threads = [_in_thread(write) for _ in range(4)]
    runtime.sleep(1.5)
    stop.set()
    for thread in threads:
        thread.join(10)
    with store.read() as reader:
        written = sum(len(name) for name in letters.names(reader))
    size = log.stat().st_size
    assert written > 3 * size, (written, size)
