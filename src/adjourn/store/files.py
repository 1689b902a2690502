"""Files beside a SQLite database: payloads over 4 MB, crash-safe in both directions.

A file is written under a temporary name, synced, renamed and its folder synced before the transaction that mentions it
commits; it is removed only after the transaction that forgets it has. A crash in between leaves a file that no row
mentions, never a row without its file; `sweep` removes such files when they are old enough to belong to no running unit.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from adjourn.errors import NotFound
from adjourn.store import faults

_SWEEP_BATCH = 500


class FileFolder:
    """The folder `<database>-files`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, file_id: UUID, content: bytes) -> None:
        self._path.mkdir(exist_ok=True)
        target = self._path / str(file_id)
        temporary = target.with_suffix(".part")
        with open(temporary, "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        faults.point("file written")
        os.rename(temporary, target)
        folder = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        faults.point("file renamed")

    def read(self, file_id: UUID) -> bytes:
        try:
            return (self._path / str(file_id)).read_bytes()
        except FileNotFoundError:
            raise NotFound(f"File {file_id} does not exist.") from None

    def remove(self, file_ids: Sequence[UUID]) -> None:
        for file_id in file_ids:
            faults.point("file deleted")
            (self._path / str(file_id)).unlink(missing_ok=True)
            (self._path / f"{file_id}.part").unlink(missing_ok=True)

    def sweep(self, known: Callable[[Sequence[UUID]], set[UUID]], older_than: datetime) -> int:
        """Remove files older than a moment that `known` does not know; returns how many."""
        if not self._path.exists():
            return 0
        removed = 0
        batch: list[UUID] = []
        for entry in sorted(os.scandir(self._path), key=lambda entry: entry.name):
            if datetime.fromtimestamp(entry.stat().st_mtime, UTC) >= older_than:
                continue
            name, _, suffix = entry.name.partition(".")
            try:
                file_id = UUID(name)
            except ValueError:
                continue
            if suffix:
                os.unlink(entry.path)
                removed += 1
                continue
            batch.append(file_id)
            if len(batch) >= _SWEEP_BATCH:
                removed += self._remove_unknown(batch, known)
                batch = []
        return removed + self._remove_unknown(batch, known)

    def _remove_unknown(self, batch: Sequence[UUID], known: Callable[[Sequence[UUID]], set[UUID]]) -> int:
        unknown = [file_id for file_id in batch if file_id not in known(batch)] if batch else []
        self.remove(unknown)
        return len(unknown)
