"""A few letters to write and read: the store's promises do not depend on the table."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from adjourn import runtime
from adjourn.store.contract import Reader, Transaction

INSERT = "INSERT INTO account (accountid, name) VALUES (:id, :name)"


class Letters:
    """Accounts with a name."""

    def add(self, tx: Transaction, name: str) -> str:
        record_id = str(runtime.new_id())
        assert tx.execute(INSERT, {"id": record_id, "name": name}) == 1
        return record_id

    def names(self, reader: Reader) -> list[str]:
        return [row[0] for row in reader.rows("SELECT name FROM account ORDER BY accountid")]


@pytest.fixture
def letters() -> Letters:
    return Letters()


@pytest.fixture
def other_process() -> Iterator[Callable[..., Any]]:
    """Start Python code in another process; its standard output is a pipe, its arguments are sys.argv[1:]."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with process:
            process.kill()
