"""A unit of writing is all or nothing, and there when the call returns."""

from __future__ import annotations

import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adjourn import runtime
from adjourn.errors import Busy, Duplicate, InvalidRequest, TurnExceeded
from adjourn.store import open_store
from adjourn.store.contract import Store, Transaction


def test_a_written_unit_is_there_and_returns_its_value(store: Store, letters: Any) -> None:
    assert store.write(lambda tx: letters.add(tx, "a") and 7) == 7
    with store.read() as reader:
        assert letters.names(reader) == ["a"]


def test_a_unit_that_raises_leaves_nothing(store: Store, letters: Any) -> None:
    def unit(tx: Transaction) -> None:
        letters.add(tx, "a")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.write(unit)
    with pytest.raises(ZeroDivisionError), store.transaction("t") as tx:
        unit(tx)
    with store.read() as reader:
        assert letters.names(reader) == []


def test_a_unit_that_raises_takes_no_other_with_it(store: Store, letters: Any) -> None:
    """Many at the same time share one commit on SQLite."""
    failed: list[int] = []

    def call(number: int) -> None:
        def unit(tx: Transaction) -> None:
            letters.add(tx, str(number))
            if number % 3 == 0:
                raise ZeroDivisionError

        try:
            store.write(unit)
        except ZeroDivisionError:
            failed.append(number)

    _in_threads(call, 30)
    assert sorted(failed) == list(range(0, 30, 3))
    with store.read() as reader:
        assert sorted(map(int, letters.names(reader))) == [n for n in range(30) if n % 3]


def test_a_savepoint_is_undone_alone(store: Store, letters: Any) -> None:
    with store.transaction("t") as tx:
        letters.add(tx, "a")
        with pytest.raises(ZeroDivisionError), tx.savepoint():
            letters.add(tx, "b")
            with pytest.raises(KeyError), tx.savepoint():
                letters.add(tx, "c")
                raise KeyError
            assert letters.names(tx) == ["a", "b"]
            raise ZeroDivisionError
        letters.add(tx, "d")
    with store.read() as reader:
        assert letters.names(reader) == ["a", "d"]


def test_a_call_from_inside_a_unit_joins_it(store: Store, letters: Any) -> None:
    def unit(tx: Transaction) -> None:
        letters.add(tx, "a")
        store.write(lambda inner: letters.add(inner, "b"))
        with store.transaction("inner") as inner:
            letters.add(inner, "c")
        with pytest.raises(ZeroDivisionError), store.transaction("inner") as inner:
            letters.add(inner, "d")
            raise ZeroDivisionError
        with store.read() as reader:
            assert letters.names(reader) == ["a", "b", "c"]

    store.write(unit)
    with pytest.raises(KeyError), store.transaction("t") as tx:
        tx.execute("DELETE FROM account")
        unit(tx)
        raise KeyError
    with store.read() as reader:
        assert letters.names(reader) == ["a", "b", "c"]


def test_actions_run_before_the_commit_and_after_it(store: Store, letters: Any) -> None:
    seen: list[str] = []

    def unit(tx: Transaction) -> None:
        def late() -> None:
            letters.add(tx, "late")
            seen.append("before")

        def after() -> None:
            with store.read() as reader:
                seen.extend(letters.names(reader))

        tx.after_commit(after)
        tx.before_commit(late)

    store.write(unit)
    with store.transaction("t") as tx:
        unit(tx)
    assert seen == ["before", "late", "before", "late", "late"]


def test_no_action_runs_after_a_rollback(store: Store) -> None:
    seen: list[str] = []

    def unit(tx: Transaction) -> None:
        tx.before_commit(lambda: seen.append("before"))
        tx.after_commit(lambda: seen.append("after"))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.write(unit)
    with store.transaction("t") as tx, pytest.raises(ZeroDivisionError), tx.savepoint():
        unit(tx)
    assert seen == []


def test_an_action_that_raises_before_the_commit_undoes_the_unit(store: Store, letters: Any) -> None:
    def late() -> None:
        raise ZeroDivisionError

    def unit(tx: Transaction) -> None:
        letters.add(tx, "a")
        tx.before_commit(late)

    with pytest.raises(ZeroDivisionError):
        store.write(unit)
    with pytest.raises(ZeroDivisionError), store.transaction("t") as tx:
        unit(tx)
    with store.read() as reader:
        assert letters.names(reader) == []


def test_an_action_that_raises_after_the_commit_stops_nobody(store: Store, letters: Any) -> None:
    """The unit is durable: its caller must not take it for failed, and the writer must go on."""

    def unit(tx: Transaction) -> None:
        letters.add(tx, "a")
        tx.after_commit(lambda: [][0])

    store.write(unit)
    store.write(unit)
    with store.read() as reader:
        assert letters.names(reader) == ["a", "a"]


def test_a_reader_sees_one_moment(store: Store, letters: Any) -> None:
    store.write(lambda tx: letters.add(tx, "a"))
    with store.read() as reader:
        assert letters.names(reader) == ["a"]
        _in_threads(lambda _: store.write(lambda tx: letters.add(tx, "b")), 1)
        assert letters.names(reader) == ["a"]
    with store.read() as reader:
        assert letters.names(reader) == ["a", "b"]


def test_a_reader_cannot_write(store: Store) -> None:
    with pytest.raises(Exception, match=r"(?i)read.?only"), store.read() as reader:
        reader.rows("DELETE FROM account RETURNING accountid")


def test_now_is_the_moment_of_the_unit(store: Store) -> None:
    before = runtime.now() - timedelta(seconds=1)
    moments = [store.write(lambda tx: tx.now)]
    with store.transaction("t") as tx:
        moments.append(tx.now)
    with store.read() as reader:
        moments.append(reader.now)
    assert all(moment.tzinfo is UTC or moment.utcoffset() == timedelta(0) for moment in moments)
    assert all(before <= moment <= runtime.now() + timedelta(seconds=1) for moment in moments)


def test_a_long_answer_can_be_streamed(store: Store, letters: Any) -> None:
    store.write(lambda tx: [letters.add(tx, str(number)) for number in range(3000)])
    with store.read() as reader:
        found = [row[0] for row in reader.stream("SELECT name FROM account ORDER BY accountid")]
    assert found == [str(number) for number in range(3000)]


def test_a_stream_is_read_as_far_as_one_likes(store: Store) -> None:
    """Neither all of its rows nor all of their time is needed; the next view is as good as any."""
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000) SELECT i FROM n"
    with store.read() as reader, closing(reader.stream(numbers)) as source:
        assert [next(source)[0] for _ in range(100)] == list(range(1, 101))
    with store.read() as reader:
        assert reader.rows("SELECT 1")[0][0] == 1


def test_the_number_of_changed_rows_leaves_triggers_out(store: Store) -> None:
    rows = [{"id": str(runtime.new_id()), "name": "n"} for _ in range(3)]

    def unit(tx: Transaction) -> list[int]:
        made = tx.execute_many("INSERT INTO sdkmessage (sdkmessageid, name) VALUES (:id, :name)", rows)
        changed = tx.execute("UPDATE sdkmessage SET name = 'm' WHERE name = 'n'")
        return [made, changed, tx.execute("DELETE FROM sdkmessage WHERE name = 'other'")]

    assert store.write(unit) == [3, 3, 0]
    assert store.write(lambda tx: tx.execute_many("DELETE FROM sdkmessage WHERE sdkmessageid = :id", [])) == 0


def test_a_key_that_exists_is_a_duplicate(store: Store, letters: Any) -> None:
    statement = "INSERT INTO account (accountid, name) VALUES (:id, 'x')"
    parameters = {"id": str(runtime.new_id())}
    store.write(lambda tx: tx.execute(statement, parameters))
    with pytest.raises(Duplicate, match="account"):
        store.write(lambda tx: tx.execute(statement, parameters))
    with store.transaction("t") as tx:
        with pytest.raises(Duplicate), tx.savepoint():
            tx.execute(statement, parameters)
        letters.add(tx, "goes on")


def test_a_unit_over_its_time_is_rolled_back(store: Store, letters: Any) -> None:
    store.turn_seconds_max = 0.05
    with pytest.raises(TurnExceeded, match=r"0\.05 s"), store.transaction("slow step") as tx:
        letters.add(tx, "a")
        runtime.sleep(0.1)
        letters.add(tx, "b")
    with pytest.raises(TurnExceeded), store.transaction("slow end") as tx:
        letters.add(tx, "c")
        runtime.sleep(0.1)
    store.turn_seconds_max = 5.0
    store.write(lambda tx: letters.add(tx, "d"))
    with store.read() as reader:
        assert letters.names(reader) == ["d"]


def test_a_transaction_belongs_to_its_thread(store: Store, letters: Any) -> None:
    refused: list[BaseException] = []

    def use(tx: Transaction) -> None:
        try:
            letters.add(tx, "from another thread")
        except InvalidRequest as error:
            refused.append(error)

    with store.transaction("t") as tx:
        letters.add(tx, "a")
        _in_threads(lambda _: use(tx), 1)
    assert "thread" in str(refused[0])
    with store.read() as reader:
        assert letters.names(reader) == ["a"]


def test_values_are_the_same_from_both_databases(store: Store) -> None:
    columns = {
        "asyncoperationid": "0190aaaa-0000-7000-8000-00000000000a",
        "name": "Grüße, :x %s 'q'",
        "createdon": "2030-01-02T03:04:05.600000Z",
        "statecode": 0,
        "statuscode": 0,
        "operationtype": 54,
        "executiontimespan": 1.5,
        "regardingobjectid": None,
    }
    names = ", ".join(columns)
    places = ", ".join(f":{name}" for name in columns)
    store.write(lambda tx: tx.execute(f"INSERT INTO asyncoperation ({names}) VALUES ({places})", columns))
    with store.read() as reader:
        (row,) = reader.rows(f"SELECT {names}, blocked, sequence FROM asyncoperation")
        assert row[:-2] == tuple(columns.values())
        assert not row[-2]
        assert row[-1] == 1
        (sums,) = reader.rows(
            "SELECT sum(operationtype), sum(sequence * 1000000), count(*), avg(statecode) FROM asyncoperation"
        )
        assert sums == (54, 1_000_000, 1, 0)
        assert [type(value) for value in sums] == [int, int, int, float]


def test_texts_that_look_like_parameters_are_left_alone(store: Store) -> None:
    with store.read() as reader:
        (row,) = reader.rows("SELECT ':name', '100%', 'it''s :x' AS \"a:b\", :name || '%' -- :gone", {"name": "n"})
    assert row == (":name", "100%", "it's :x", "n%")


def test_a_closed_store_refuses_to_write(database_url: str, letters: Any) -> None:
    closed = open_store(database_url)
    closed.close()
    closed.close()
    with pytest.raises(Busy, match="closed"):
        closed.write(lambda tx: letters.add(tx, "a"))
    with pytest.raises(Busy, match="closed"), closed.transaction("t"):
        pass


@pytest.mark.parametrize("url", ["mysql://x", "sqlite:///", "sqlite://x.db", "x.db", ""])
def test_a_url_that_names_no_database_is_refused_by_name(url: str) -> None:
    with pytest.raises(InvalidRequest, match="sqlite:///relative"):
        open_store(url)


def test_parents_are_made_and_impossible_places_refused(tmp_path: Any) -> None:
    open_store(f"sqlite:///{tmp_path}/a/b/c.db").close()
    assert (tmp_path / "a/b/c.db").exists()
    (tmp_path / "file").write_text("x" * 5000)
    with pytest.raises(InvalidRequest, match="Cannot open"):
        open_store(f"sqlite:///{tmp_path}/file")
    with pytest.raises(InvalidRequest, match="Cannot open"):
        open_store(f"sqlite:///{tmp_path}/file/x.db")
    with pytest.raises(InvalidRequest, match="Cannot open"):
        open_store("postgresql://nobody@/nothing?host=/nowhere")


def _in_threads(function: Any, count: int) -> None:
    threads = [threading.Thread(target=function, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)


def test_the_moment_of_a_far_year_keeps_its_width(store: Store) -> None:
    moments = ["1753-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.999999Z"]
    for moment in moments:
        parameters = {"id": str(runtime.new_id()), "moment": moment}
        store.write(
            lambda tx, p=parameters: tx.execute("INSERT INTO account (accountid, createdon) VALUES (:id, :moment)", p)
        )
    with store.read() as reader:
        assert [row[0] for row in reader.rows("SELECT createdon FROM account ORDER BY createdon")] == moments
        assert datetime.fromisoformat(moments[0]).year == 1753
