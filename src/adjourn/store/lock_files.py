"""Who is alive, on SQLite: whoever holds the lock of a file, which the kernel gives back when its process dies.

    <file>-serve           held by the one `adjourn serve` on this database
    <file>-workers/<id>    held by the incarnation of a supervisor; free means dead

A long writer's turn cannot make a worker look dead, because living needs no writing.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from adjourn.errors import InvalidRequest


@contextmanager
def hold_service(database: Path) -> Iterator[None]:
    """Be the one `serve` on this file. Raises InvalidRequest naming the process that is."""
    descriptor = _open(Path(f"{database}-serve"))
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
            raise InvalidRequest(
                f"{database} is served by process {holder} already. One file has one `adjourn serve`; other programs "
                "may open it beside it."
            ) from None
        os.pwrite(descriptor, str(os.getpid()).ljust(20).encode(), 0)
        yield
    finally:
        os.close(descriptor)


class WorkerLocks:
    """The folder `<file>-workers`."""

    def __init__(self, database: Path) -> None:
        self._folder = Path(f"{database}-workers")
        self._held: dict[str, int] = {}

    def hold(self, worker_id: UUID, host: str, pid: int) -> None:
        """Be alive as this worker until `release` or the end of the process."""
        self._folder.mkdir(exist_ok=True)
        path = self._folder / str(worker_id)
        while True:
            descriptor = _open(path)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Somebody who cleans up may have removed the file between the two lines: then nobody would see our lock.
            if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
                break
            os.close(descriptor)
        os.pwrite(descriptor, f"{host} {pid}".encode(), 0)
        self._held[str(worker_id)] = descriptor

    def release(self, worker_id: str) -> None:
        """End as this worker; or remove what a dead one left."""
        descriptor = self._held.pop(worker_id, None)
        if descriptor is not None or not self._locked(worker_id):
            (self._folder / worker_id).unlink(missing_ok=True)
        if descriptor is not None:
            os.close(descriptor)

    def release_all(self) -> None:
        for worker_id in list(self._held):
            self.release(worker_id)

    def living(self, worker_ids: Iterable[str] | None = None) -> set[str]:
        """Those of these workers that are alive; None: of all."""
        asked = self._known() if worker_ids is None else worker_ids
        return {worker_id for worker_id in asked if worker_id in self._held or self._locked(worker_id)}

    def signs(self, worker_id: str) -> str | None:
        """Where a worker is and whether it lives, for people; None for one that nobody knows."""
        try:
            found = (self._folder / worker_id).read_text(errors="replace").rpartition(" ")
        except OSError:
            return None
        lives = "alive" if self.living([worker_id]) else "dead"
        return f"on {found[0]}, process {found[2]}, which is {lives}"

    def dead(self) -> list[str]:
        """Workers that died without a word, in order of their ids."""
        known = self._known()
        return sorted(set(known) - self.living(known))

    def _known(self) -> list[str]:
        return os.listdir(self._folder) if self._folder.is_dir() else []

    def _locked(self, worker_id: str) -> bool:
        try:
            descriptor = os.open(self._folder / worker_id, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            # Shared, so that two who ask at the same time do not take each other for the worker.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
