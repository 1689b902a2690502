"""The real SQLite store, whose connections belong to the simulated machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import apsw
from tests.simulation.machine import Machine

from adjourn.store import sqlite
from adjourn.store.contract import Transaction
from adjourn.store.sqlite import SqliteStore


class Connection(apsw.Connection):
    """Counts its statements; a COMMIT may meet an error, before it or after it."""

    machine: Machine

    def execute(self, statements: str, bindings: Any = None, **options: Any) -> Any:
        machine = self.machine
        machine.statements += 1
        if statements == "COMMIT" and (error := machine.at_commit()) is not None:
            if isinstance(error, apsw.FullError):
                raise error
            super().execute(statements)
            raise error
        return super().execute(statements, bindings, **options)

    def set_busy_timeout(self, milliseconds: int) -> None:
        """Nobody waits inside of SQLite: that would stop the whole world. Who knows of the turn never has to."""


class Store(SqliteStore):
    """A simulated process's own."""

    def __init__(self, path: Path, machine: Machine) -> None:
        self._machine = machine
        super().__init__(path, f"sqlite:///{path}")

    def _connect(self, pragmas: Any) -> apsw.Connection:
        # The class is looked up by name when a connection is made, so that the rest of the method stays the real one.
        made = Connection
        made.machine = self._machine
        real, sqlite.apsw.Connection = sqlite.apsw.Connection, made
        try:
            connection = super()._connect(pragmas)
        finally:
            sqlite.apsw.Connection = real
        connection.execute("PRAGMA synchronous=OFF")
        connection.create_scalar_function("proof_theft", self._machine.is_theft, 1)
        self._machine.connected(connection)
        return connection

    def hold_worker(self, worker_id: UUID, host: str, pid: int) -> None:
        self._machine.workers[str(worker_id)] = self._machine.scheduler.here().process
        super().hold_worker(worker_id, host, pid)

    def release_worker(self, worker_id: UUID) -> None:
        self._gone(str(worker_id))
        super().release_worker(worker_id)

    def forget_dead(self, tx: Transaction, worker_id: str) -> bool:
        if not super().forget_dead(tx, worker_id):
            return False
        tx.after_commit(lambda: self._gone(worker_id))
        return True

    def _gone(self, worker_id: str) -> None:
        if self._machine.is_theft(worker_id):
            self._machine.complaints.append(f"the lock of worker {worker_id}, which lives, was removed")
        self._machine.workers.pop(worker_id, None)
