"""A file is durable exactly when the unit that wrote it is, and gone exactly when the unit that deleted it is."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adjourn import config, runtime
from adjourn.errors import NotFound
from adjourn.store import open_store, sqlite_path
from adjourn.store.contract import Store, Transaction

MENTION = "INSERT INTO fileattachment (fileattachmentid, objectidtypecode) VALUES (:id, 'asyncoperation')"
FORGET = "DELETE FROM fileattachment WHERE fileattachmentid = :id"


def _mentioned(tx: Transaction, file_id: Any, content: bytes = b"x") -> None:
    tx.write_file(file_id, content)
    tx.execute(MENTION, {"id": str(file_id)})


def _exists(store: Store, file_id: Any) -> bool:
    try:
        with store.read() as reader:
            reader.read_file(file_id)
    except NotFound:
        return False
    return True


@pytest.mark.parametrize("size", [0, 1, config.FILE_CHUNK_BYTES, 3 * config.FILE_CHUNK_BYTES + 1])
def test_a_file_comes_back_as_it_was(store: Store, size: int) -> None:
    file_id, content = runtime.new_id(), os.urandom(size)
    store.write(lambda tx: tx.write_file(file_id, content))
    with store.read() as reader:
        assert reader.read_file(file_id) == content


CHUNK = config.FILE_CHUNK_BYTES


@pytest.mark.parametrize(
    ("first", "size"),
    [
        (0, 10),
        (CHUNK - 5, 10),
        (CHUNK, CHUNK),
        (CHUNK + 3, None),
        (2 * CHUNK + 1, 7),
        (2 * CHUNK + 7, 100),
        (3 * CHUNK, 5),
    ],
)
def test_a_part_of_a_file_can_be_read(store: Store, first: int, size: int | None) -> None:
    file_id, content = runtime.new_id(), os.urandom(2 * CHUNK + 9)
    store.write(lambda tx: tx.write_file(file_id, content))
    with store.read() as reader:
        assert reader.read_file(file_id, first, size) == content[first : None if size is None else first + size]
        with pytest.raises(NotFound):
            reader.read_file(runtime.new_id(), first, size)


def test_a_unit_reads_the_file_that_it_wrote(store: Store) -> None:
    file_id = runtime.new_id()
    with store.transaction("t") as tx:
        tx.write_file(file_id, b"new")
        assert tx.read_file(file_id) == b"new"


def test_a_rolled_back_unit_leaves_no_file(store: Store) -> None:
    grouped, lone, nested, kept = (runtime.new_id() for _ in range(4))

    def unit(tx: Transaction) -> None:
        tx.write_file(grouped, b"x")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.write(unit)
    with pytest.raises(ZeroDivisionError), store.transaction("t") as tx:
        tx.write_file(lone, b"x")
        raise ZeroDivisionError
    with store.transaction("t") as tx:
        with pytest.raises(ZeroDivisionError), tx.savepoint():
            tx.write_file(nested, b"x")
            raise ZeroDivisionError
        tx.write_file(kept, b"x")
    assert [_exists(store, file_id) for file_id in (grouped, lone, nested, kept)] == [False, False, False, True]


def test_a_deleted_file_is_gone_with_the_commit_and_not_before(store: Store) -> None:
    file_id = runtime.new_id()
    store.write(lambda tx: tx.write_file(file_id, b"x"))
    with pytest.raises(ZeroDivisionError), store.transaction("t") as tx:
        tx.delete_files([file_id])
        raise ZeroDivisionError
    with store.transaction("t") as tx, pytest.raises(ZeroDivisionError), tx.savepoint():
        tx.delete_files([file_id])
        raise ZeroDivisionError
    assert _exists(store, file_id)
    store.write(lambda tx: tx.delete_files([file_id]))
    store.write(lambda tx: tx.delete_files([file_id]))
    assert not _exists(store, file_id)
    with pytest.raises(NotFound, match=str(file_id)), store.read() as reader:
        reader.read_file(file_id)


def test_a_sweep_removes_what_no_row_mentions(store: Store) -> None:
    known, orphans = [runtime.new_id() for _ in range(3)], [runtime.new_id() for _ in range(2)]
    for file_id in known:
        store.write(lambda tx, f=file_id: _mentioned(tx, f, os.urandom(600_000)))
    for file_id in orphans:
        store.write(lambda tx, f=file_id: tx.write_file(f, os.urandom(600_000)))
    assert store.sweep_files(runtime.now()) == 2
    assert store.sweep_files(runtime.now()) == 0
    assert [_exists(store, file_id) for file_id in known + orphans] == [True] * 3 + [False] * 2


def test_a_sweep_leaves_the_file_of_a_running_unit(store: Store) -> None:
    """However long the unit takes: the sweep looks under the turn, and sees committed chunks only on PostgreSQL."""
    file_id = runtime.new_id()
    swept: list[int] = []
    with store.transaction("t") as tx:
        tx.write_file(file_id, b"x")
        sweeper = threading.Thread(target=lambda: swept.append(store.sweep_files(runtime.now())))
        sweeper.start()
        runtime.sleep(0.1)
        tx.execute(MENTION, {"id": str(file_id)})
    sweeper.join(10)
    assert swept == [0]
    assert _exists(store, file_id)


def test_a_sweep_leaves_foreign_files_alone(sqlite_store: Store, sqlite_url: str) -> None:
    folder = Path(f"{sqlite_path(sqlite_url)}-files")
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    (folder / f"{runtime.new_id()}.part").write_text("torn")
    assert sqlite_store.sweep_files(runtime.now()) == 1
    assert [found.name for found in folder.iterdir()] == ["notes.txt"]


_DIE = """
import os, signal, sys
from uuid import UUID
from adjourn.store import faults, open_store
url, point, old, new = sys.argv[1:]
store = open_store(url)
MENTION = "INSERT INTO fileattachment (fileattachmentid, objectidtypecode) VALUES (:id, 'asyncoperation')"
def hook(name):
    if name == point:
        os.kill(os.getpid(), signal.SIGKILL)
with faults.listening(hook):
    with store.transaction("t") as tx:
        tx.write_file(UUID(new), b"new")
        tx.execute(MENTION, {"id": new})
        tx.execute("DELETE FROM fileattachment WHERE fileattachmentid = :id", {"id": old})
        tx.delete_files([UUID(old)])
sys.exit(9)
"""


@pytest.mark.parametrize("point", ["file written", "file renamed", "before commit", "after commit", "file deleted"])
def test_a_kill_between_file_and_row_leaves_neither_without_the_other(
    database_url: str, point: str, other_process: Callable[..., Any]
) -> None:
    if point == "file renamed" and database_url.startswith("postgres"):
        point = "before commit"  # there is nothing to rename: chunks are rows
    old, new = runtime.new_id(), runtime.new_id()
    store = open_store(database_url)
    store.write(lambda tx: _mentioned(tx, old, b"old"))
    store.close()
    assert other_process(_DIE, database_url, point, str(old), str(new)).wait(30) == -signal.SIGKILL

    store = open_store(database_url)
    # The server needs a moment to see that its client is gone.
    until = runtime.monotonic() + 5
    while True:
        store.sweep_files(runtime.now())
        with store.read() as reader:
            rows = {row[0] for row in reader.rows("SELECT fileattachmentid FROM fileattachment")}
        files = {str(file_id) for file_id in (old, new) if _exists(store, file_id)}
        if rows == files or runtime.monotonic() > until:
            break
        runtime.sleep(0.05)
    committed = point == "after commit" or (point == "file deleted" and database_url.startswith("sqlite"))
    assert rows == files == ({str(new)} if committed else {str(old)})
    store.close()
