"""Files beside a SQLite database: payloads over 4 MB, crash-safe in both directions.

A file is written under a temporary name, synced, renamed and its folder synced before the transaction that mentions it
commits; it is removed only after the transaction that forgets it has. A crash in between leaves a file that no row
mentions, never a row without its file; `SqliteStore.sweep_files` removes it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import UUID

from adjourn.errors import NotFound
from adjourn.store import faults

_BATCH_FILES = 500


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

    def read(self, file_id: UUID, first: int = 0, size: int | None = None) -> bytes:
        try:
            with open(self._path / str(file_id), "rb") as file:
                file.seek(first)
                return file.read(-1 if size is None else size)
        except FileNotFoundError:
            raise NotFound(f"File {file_id} does not exist.") from None

    def has(self, file_id: UUID) -> bool:
        return (self._path / str(file_id)).is_file()

    def remove(self, file_ids: Sequence[UUID]) -> None:
        for file_id in file_ids:
            faults.point("file deleted")
            (self._path / str(file_id)).unlink(missing_ok=True)
            (self._path / f"{file_id}.part").unlink(missing_ok=True)

    def size(self) -> int:
        """Bytes of all files."""
        if not self._path.is_dir():
            return 0
        total = 0
        for entry in os.scandir(self._path):
            with contextlib.suppress(FileNotFoundError):  # forgotten meanwhile
                total += entry.stat().st_size
        return total

    def batches(self) -> Iterator[list[UUID]]:
        """The ids of all files, finished or not, at most 500 at a time."""
        if not self._path.is_dir():
            return
        batch: set[UUID] = set()
        for name in sorted(os.listdir(self._path)):
            with contextlib.suppress(ValueError):  # not one of ours: left alone
                batch.add(UUID(name.removesuffix(".part")))
            if len(batch) >= _BATCH_FILES:
                yield sorted(batch)
                batch = set()
        if batch:
            yield sorted(batch)
