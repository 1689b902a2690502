"""The tables that the metadata asks for, and the rules that the database keeps whoever writes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import apsw
import pytest

from adjourn import runtime
from adjourn.errors import AdjournError, InvalidRequest
from adjourn.metadata.catalog import load
from adjourn.metadata.text import SCALAR_FUNCTIONS
from adjourn.store import migrations, open_store, schema, sqlite_path
from adjourn.store.contract import Store

MOMENT = "2030-01-01T00:00:00.000000Z"


def _insert_job(store: Store, **values: Any) -> None:
    row = {"asyncoperationid": str(runtime.new_id()), "operationtype": 54, "statecode": 0, "statuscode": 0, **values}
    names, places = ", ".join(row), ", ".join(f":{name}" for name in row)
    store.write(lambda tx: tx.execute(f"INSERT INTO asyncoperation ({names}) VALUES ({places})", row))


def test_every_column_of_the_metadata_is_there(store: Store) -> None:
    with store.read() as reader:
        for table in load().tables.values():
            stored = [column.logical for column in table.columns.values() if column.storage == "row"]
            stored += [column.type_column for column in table.columns.values() if column.type_column]
            reader.rows(f'SELECT {", ".join(stored)} FROM "{table.logical}"')
        reader.rows("SELECT asyncoperationsequence, data, message FROM asyncoperationtext")


def test_opening_again_changes_nothing(database_url: str) -> None:
    for _ in range(2):
        opened = open_store(database_url)
        with opened.read() as reader:
            found = reader.rows("SELECT number, checksum FROM migration ORDER BY number")
        opened.close()
    expected = [(found.number, found.checksum) for found in migrations.migrations(opened.dialect)]
    assert found == expected


@pytest.mark.parametrize(
    "values",
    [
        {"statecode": 0, "statuscode": 10},
        {"statecode": 3, "statuscode": 20, "completedon": MOMENT},
        {"statecode": None},
        {"statuscode": None},
        {"statecode": 3, "statuscode": 30},
        {"completedon": MOMENT},
        {"statecode": 2, "statuscode": 20},
        {"lease": "x"},
        {"blocked": True},
    ],
)
def test_the_database_refuses_a_job_that_cannot_be(store: Store, values: dict[str, Any]) -> None:
    with pytest.raises(Exception, match=r"(?i)check constraint|violates check"):
        _insert_job(store, **values)


def test_the_database_takes_a_job_in_every_state(store: Store) -> None:
    _insert_job(store)
    _insert_job(store, statecode=1, statuscode=10, blocked=True)
    for status in (20, 21, 22):
        _insert_job(store, statecode=2, statuscode=status, lease="x")
    for status in (30, 31, 32):
        _insert_job(store, statecode=3, statuscode=status, completedon=MOMENT)
    with store.read() as reader:
        assert reader.rows("SELECT count(*) FROM asyncoperation") == [(8,)]


def test_a_sequence_rises_and_is_never_given_again(store: Store) -> None:
    for _ in range(2):
        _insert_job(store)
        with store.transaction("t") as tx:
            tx.execute("DELETE FROM asyncoperation")
    _insert_job(store)
    with store.read() as reader:
        assert reader.rows("SELECT sequence FROM asyncoperation") == [(3,)]


@pytest.mark.parametrize("table", schema.CONFIGURATION)
def test_every_change_of_a_configuration_table_raises_its_version(store: Store, table: str) -> None:
    def version() -> int:
        with store.read() as reader:
            return int(reader.rows("SELECT version FROM configversion")[0][0])

    key = load().tables[table].primary_id
    versions = [version()]
    store.write(lambda tx: tx.execute(f'INSERT INTO "{table}" ("{key}") VALUES (:id)', {"id": str(runtime.new_id())}))
    versions.append(version())
    store.write(lambda tx: tx.execute(f'UPDATE "{table}" SET "{key}" = "{key}"'))
    versions.append(version())
    store.write(lambda tx: tx.execute(f'DELETE FROM "{table}"'))
    versions.append(version())
    assert versions == sorted(set(versions))


def test_a_missing_column_and_table_are_added_without_a_loss(database_url: str) -> None:
    store = open_store(database_url)
    record_id = str(runtime.new_id())
    with store.transaction("t") as tx:
        tx.execute("INSERT INTO account (accountid, name) VALUES (:id, 'kept')", {"id": record_id})
        tx.execute("ALTER TABLE account DROP COLUMN description")
        tx.execute("DROP TABLE contract")
    store.close()
    with pytest.raises(InvalidRequest, match="adjourn migrate"):
        open_store(database_url, migrate=False)
    store = open_store(database_url)
    with store.read() as reader:
        assert reader.rows("SELECT name, description FROM account") == [("kept", None)]
        assert reader.rows("SELECT count(*) FROM contract") == [(0,)]
    store.close()
    open_store(database_url, migrate=False).close()


def test_a_changed_migration_is_refused_by_name(database_url: str) -> None:
    store = open_store(database_url)
    store.write(lambda tx: tx.execute("UPDATE migration SET checksum = 'x' WHERE number = 1"))
    store.close()
    with pytest.raises(AdjournError, match=r"0001_tokens.*\.sql changed"):
        open_store(database_url)


def test_a_database_of_a_newer_version_is_refused(database_url: str) -> None:
    store = open_store(database_url)
    store.write(lambda tx: tx.execute("INSERT INTO migration VALUES (9999, 'later', 'x', 'y')"))
    store.close()
    with pytest.raises(AdjournError, match="9999_later"):
        open_store(database_url)


def test_a_failed_migration_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = migrations.Migration(9998, "broken", "CREATE TABLE half (a integer);;\nCREATE TABLE half (a integer)")
    known = migrations.migrations("sqlite")
    with monkeypatch.context() as patched:
        patched.setattr(migrations, "migrations", lambda dialect: [*known, broken])
        with pytest.raises(apsw.SQLError, match="half"):
            open_store(f"sqlite:///{tmp_path}/x.db")
    with_nothing = apsw.Connection(f"{tmp_path}/x.db")
    assert with_nothing.execute("SELECT count(*) FROM sqlite_schema").fetchall() == [(0,)]
    with_nothing.close()
    open_store(f"sqlite:///{tmp_path}/x.db").close()


def test_hosts_that_start_together_migrate_once(tmp_path: Path, other_process: Any) -> None:
    code = "import sys; from adjourn.store import open_store; open_store(sys.argv[1]).close(); print('done')"
    processes = [other_process(code, f"sqlite:///{tmp_path}/x.db") for _ in range(4)]
    assert [process.stdout.read() for process in processes] == ["done\n"] * 4


def test_statements_of_a_migration_are_split_at_double_semicolons() -> None:
    text = "-- a comment; with one\nCREATE TABLE a (b);;\n\nCREATE TRIGGER t BEGIN\n  DELETE; END;;\n-- nothing\n"
    assert list(migrations.Migration(1, "x", text).statements()) == [
        "CREATE TABLE a (b)",
        "CREATE TRIGGER t BEGIN\n  DELETE; END",
    ]


def test_the_text_functions_are_on_every_sqlite_connection(sqlite_store: Store) -> None:
    """On the writer's as on the readers', and fit for an index: SQLite takes deterministic ones only."""
    assert {"fold_", "like_"} <= SCALAR_FUNCTIONS.keys()
    statement = "SELECT fold_('ÄB'), like_('a%', 'Abc'), like_(NULL, 'x')"
    with sqlite_store.read() as reader, sqlite_store.read() as second, sqlite_store.transaction("t") as tx:
        assert reader.rows(statement) == second.rows(statement) == tx.rows(statement) == [("äb", 1, None)]
    sqlite_store.write(lambda tx: tx.execute("CREATE INDEX folded ON account (fold_(name))"))


def test_a_copied_file_opens_by_itself(sqlite_store: Store, sqlite_url: str, tmp_path: Path, letters: Any) -> None:
    """After a clean close everything is in the one file."""
    sqlite_store.write(lambda tx: letters.add(tx, "a"))
    sqlite_store.close()
    path = sqlite_path(sqlite_url)
    assert path is not None
    shutil.copyfile(path, tmp_path / "copy.db")
    copied = open_store(f"sqlite:///{tmp_path}/copy.db")
    with copied.read() as reader:
        assert letters.names(reader) == ["a"]
    copied.close()
