"""Several processes on one SQLite file, and processes that are killed while they write."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from adjourn import runtime
from adjourn.errors import Busy
from adjourn.store import open_store
from adjourn.store.contract import Store

_GROUPED = """
import sys, threading
from adjourn import runtime
from adjourn.store import open_store
store = open_store(sys.argv[1])
print("ready", flush=True)
lock = threading.Lock()
def loop(thread):
    number = 0
    while True:
        number += 1
        name = f"{thread}-{number}"
        def unit(tx):
            # Two rows: half a unit would show.
            for half in "ab":
                tx.execute("INSERT INTO account (accountid, name) VALUES (:id, :name)",
                           {"id": str(runtime.new_id()), "name": name + half})
        if thread % 4:
            store.write(unit)
        else:
            with store.transaction("lone") as tx:
                unit(tx)
        with lock:
            sys.stdout.write(f"done {name}\\n")
            sys.stdout.flush()
for thread in range(16):
    threading.Thread(target=loop, args=(thread,), daemon=True).start()
threading.Event().wait()
"""

_HOLD = """
import sys
from adjourn.store import open_store
store = open_store(sys.argv[1])
with store.transaction("hold"):
    print("held", flush=True)
    sys.stdin.read()
"""

_COUNT = """
import sys, time
from adjourn import runtime
from adjourn.store import open_store
store = open_store(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
until, number = time.monotonic() + 2, 0
while time.monotonic() < until:
    number += 1
    store.write(lambda tx: tx.execute("INSERT INTO account (accountid, name) VALUES (:id, :name)",
                                      {"id": str(runtime.new_id()), "name": sys.argv[2]}))
store.close()
print(number, flush=True)
"""


def test_every_acknowledged_unit_survives_a_kill(
    database_url: str, other_process: Callable[..., Any], letters: Any
) -> None:
    """Killed in the middle of grouped and lone units: what was acknowledged is there, nothing is there by half."""
    process = other_process(_GROUPED, database_url)
    assert process.stdout.readline() == "ready\n"
    lines = [process.stdout.readline() for _ in range(300)]
    process.send_signal(signal.SIGKILL)
    lines += process.stdout.readlines()
    process.wait()
    # The log goes to the same pipe, and the last line may be torn.
    acknowledged = [line.split()[1] for line in lines if line.startswith("done ") and line.endswith("\n")]
    store = open_store(database_url)
    with store.read() as reader:
        found = Counter(name[:-1] for name in letters.names(reader))
    assert len(acknowledged) > 200
    assert set(acknowledged) <= found.keys()
    assert set(found.values()) == {2}
    store.write(lambda tx: letters.add(tx, "goes on"))
    store.close()


def test_a_killed_process_gives_its_turn_back(
    sqlite_store: Store, sqlite_url: str, other_process: Callable[..., Any], letters: Any
) -> None:
    process = other_process(_HOLD, sqlite_url)
    assert process.stdout.readline() == "held\n"
    process.kill()
    began = runtime.monotonic()
    sqlite_store.write(lambda tx: letters.add(tx, "a"))
    assert runtime.monotonic() - began < 5


def test_a_turn_held_by_another_process_is_busy_and_names_it(
    sqlite_store: Any, sqlite_url: str, other_process: Callable[..., Any], letters: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = other_process(_HOLD, sqlite_url)
    assert process.stdout.readline() == "held\n"
    turn = sqlite_store._turn
    for _ in range(2):
        with pytest.raises(Busy, match=f"Process {process.pid} holds"):
            turn.acquire("t", wait_seconds=0.2)
    # What we gave up waiting for does not stay locked once it is given to us.
    process.stdin.close()
    process.wait(10)
    for _ in range(5):
        sqlite_store.write(lambda tx: letters.add(tx, "a"))


@pytest.mark.alone
def test_two_processes_write_one_file_by_turns(
    sqlite_store: Store, sqlite_url: str, other_process: Callable[..., Any], letters: Any
) -> None:
    processes = [other_process(_COUNT, sqlite_url, name) for name in "ab"]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    counts = [int(process.stdout.readline()) for process in processes]
    with sqlite_store.read() as reader:
        assert Counter(letters.names(reader)) == Counter(dict(zip("ab", counts, strict=True)))
    assert min(counts) > max(counts) / 4, counts
