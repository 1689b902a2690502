"""Finding and mending orphans, a few at a time: rows and files whose job is gone, jobs whose file is.

A crash leaves none of them (each is written and removed with its job, in one transaction); a restored file system, a hand
in the database, or a defect may. What has no owner is removed; a job whose data is lost says so no longer, and is named in
the log. Nobody is hindered: questions go over a reader's view, and each mending is one short unit.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from adjourn import config
from adjourn.jobs import orphan_statements as sql
from adjourn.jobs import queue
from adjourn.jobs.orphan_statements import FIRST_ID, Kind
from adjourn.store.contract import Reader, Store, Transaction

FOUND_TOGETHER = 500
SEQUENCES_TOGETHER = 100_000
"""How many jobs' texts are looked at in one question: some tens of milliseconds."""
OVERSIZED = "data over the limit that lay in its row"
"""Grown, or brought in from elsewhere: it goes into a file, as that of a new job does."""
LOST_BYTES = "file of a job whose bytes are lost"
TOKENS_TOGETHER = 1_000


def scan(store: Store) -> dict[str, list[str]]:
    """Find and mend all; the keys of what was mended, by kind, at most the first hundred of each named."""
    mended: dict[str, list[str]] = {}
    for kind in sql.kinds(store.dialect):
        for keys in _found(store, kind):
            if store.write(partial(_mend, statement=kind.mend, keys=keys)):
                mended.setdefault(kind.name, []).extend(str(key) for key in keys)
    for lost in _lost_files(store):
        if store.write(partial(_forget, lost=lost)):  # else the jobs were deleted meanwhile, with their files
            mended.setdefault(LOST_BYTES, []).extend(str(key) for key in lost)
    for sequence in _oversized(store):
        if store.write(partial(_move, sequence=sequence)):
            mended.setdefault(OVERSIZED, []).append(str(sequence))
    statement = sql.forget_tokens(store.dialect)
    while statement and store.write(lambda tx: tx.execute(statement, {"limit": TOKENS_TOGETHER})) == TOKENS_TOGETHER:
        pass
    return mended


def _found(store: Store, kind: Kind) -> Iterator[list[Any]]:
    if kind.by_sequence:
        yield from _found_by_sequence(store, kind.find, {})
        return
    after: Any = FIRST_ID
    while True:
        with store.read() as reader:
            keys = [row[0] for row in reader.rows(kind.find, {"after": after, "limit": FOUND_TOGETHER})]
        if keys:
            yield keys
        if len(keys) < FOUND_TOGETHER:
            return
        after = keys[-1]


def _found_by_sequence(store: Store, find: str, parameters: Mapping[str, Any]) -> Iterator[list[int]]:
    after = 0
    with store.read() as reader:
        last = reader.rows(sql.last_sequence(reader.dialect))[0][0] or 0
    while after < last:
        until = after + SEQUENCES_TOGETHER
        with store.read() as reader:
            asked = {**parameters, "after": after, "until": until, "limit": FOUND_TOGETHER}
            keys = [row[0] for row in reader.rows(find, asked)]
        if keys:
            yield keys
        after = keys[-1] if len(keys) == FOUND_TOGETHER else until


def _oversized(store: Store) -> Iterator[int]:
    size = {"size": config.DATA_INLINE_BYTES_MAX}
    for keys in _found_by_sequence(store, sql.oversized(store.dialect), size):
        yield from keys


def _move(tx: Transaction, sequence: int) -> bool:
    """Put a job's data into a file; False if there is no need any more."""
    size = {"size": config.DATA_INLINE_BYTES_MAX}
    rows = tx.rows(sql.data_of(tx.dialect), {"sequence": sequence, **size})
    if not rows:
        return False
    job_id, created, data = rows[0]
    file_id = queue.write_data(tx, UUID(job_id), created, data.encode())
    for statement in sql.moved(tx.dialect):
        tx.execute(statement, {"sequence": sequence, **({"file": str(file_id)} if ":file" in statement else {})})
    return True


def _lost_files(store: Store) -> Iterator[list[UUID]]:
    after = FIRST_ID
    while True:
        with store.read() as reader:
            rows = reader.rows(sql.files_found(reader.dialect), {"after": after, "limit": FOUND_TOGETHER})
            found = [UUID(row[0]) for row in rows]
            lost = _lost_among(reader, found)
        if lost:
            yield lost
        if len(found) < FOUND_TOGETHER:
            return
        after = str(found[-1])


def _lost_among(reader: Reader, found: Sequence[UUID]) -> list[UUID]:
    """Those of some files that are not all there: as a whole, or one of their pieces."""
    contents: dict[UUID, list[UUID]] = {file_id: [] for file_id in found}
    pieces = reader.rows(sql.pieces_of(reader.dialect), {"keys": _listed(reader, [str(file_id) for file_id in found])})
    for file_id, piece in pieces:
        contents[UUID(file_id)].append(UUID(piece))
    there = reader.files_there([one for file_id, parts in contents.items() for one in parts or [file_id]])
    return [file_id for file_id, parts in contents.items() if not there.issuperset(parts or [file_id])]


def _mend(tx: Transaction, statement: str, keys: Sequence[Any]) -> int:
    return tx.execute(statement, {"keys": _listed(tx, keys)})


def _forget(tx: Transaction, lost: Sequence[UUID]) -> int:
    keys = _listed(tx, [str(file_id) for file_id in lost])
    return sum(tx.execute(statement, {"keys": keys}) for statement in sql.forget_files(tx.dialect))


def _listed(reader: Reader, keys: Sequence[Any]) -> Any:
    return list(keys) if reader.dialect == "postgres" else json.dumps(list(keys))
