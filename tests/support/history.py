"""Seeded random jobs with ties, null groups and files; kept in Python too, so that answers can be computed from them."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from adjourn import config
from adjourn.jobs import queue
from adjourn.metadata.values import moment_text
from adjourn.service import Service
from adjourn.store.contract import Transaction

PAIRS = ((0, 0), (1, 10), (2, 20), (2, 21), (2, 22), (3, 30), (3, 30), (3, 31), (3, 32))
TYPES = (1, 1, 2, 10, 10, 13, 54, 190690091)
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
ATTACHMENT = (
    "INSERT INTO fileattachment (fileattachmentid, filename, objectid, objectidtypecode, filesizeinbytes, iscommitted) "
    "VALUES (:id, 'data.json', :job, 'asyncoperation', :size, :committed)"
)


def make(count: int, steps: list[str], seed: int = 7) -> list[dict[str, Any]]:
    """Raw rows as `queue.load_history` takes them, with three keys more: `size` of its file, `data`, `step`'s id."""
    chance = random.Random(seed)
    rows = []
    for index in range(count):
        state, status = chance.choice(PAIRS)
        created = EPOCH + timedelta(seconds=chance.randrange(1000))
        has_file = chance.random() < 0.1
        rows.append(
            {
                "asyncoperationid": str(UUID(int=chance.getrandbits(128), version=4)),
                "operationtype": chance.choice(TYPES),
                "name": chance.choice((None, "Recalculate", "recalculate it", "Ünïcode 'quoted'", "a|b,c")),
                "friendlymessage": chance.choice((None, None, "It worked.", "Nothing to do")),
                "messagename": chance.choice(("Create", "Update", None)),
                "ownerid": config.ADMIN_USER_ID,
                "owneridtype": "systemuser",
                "owninguser": config.ADMIN_USER_ID,
                "owningbusinessunit": config.ROOT_BUSINESS_UNIT_ID,
                "createdby": config.ADMIN_USER_ID,
                "modifiedby": config.SYSTEM_USER_ID,
                "createdon": moment_text(created),
                "modifiedon": moment_text(created + timedelta(milliseconds=1)),
                "startedon": moment_text(created) if state > 1 else None,
                "completedon": moment_text(created + timedelta(seconds=1)) if state == 3 else None,
                "executiontimespan": chance.choice((0.25, 1.5, None)),
                "errorcode": -2147220956 if status == 31 else None,
                "statecode": state,
                "statuscode": status,
                "depth": chance.randrange(1, 9),
                "retrycount": chance.randrange(3),
                "owningextensionid": chance.choice((None, *steps)),
                "datablobid": str(UUID(int=chance.getrandbits(128), version=4)) if has_file else None,
                "lease": "imported" if state == 2 else None,
                "size": chance.randrange(4_194_305, 9_000_000) if has_file else None,
                "data": None if has_file else f'{{"n":{index}}}',
            }
        )
    return rows


def load(service: Service, rows: list[dict[str, Any]]) -> None:
    """Put the rows into an organization."""
    for start in range(0, len(rows), 5000):
        part = rows[start : start + 5000]

        def unit(tx: Transaction, part: list[dict[str, Any]] = part) -> None:
            jobs = [{key: value for key, value in row.items() if key not in ("size", "data")} for row in part]
            texts = [
                {"id": row["asyncoperationid"], "data": row["data"], "message": None} for row in part if row["data"]
            ]
            queue.load_history(tx, jobs, texts)
            files = [
                {
                    "id": row["datablobid"],
                    "job": row["asyncoperationid"],
                    "size": row["size"],
                    "committed": True if tx.dialect == "postgres" else 1,
                }
                for row in part
                if row["datablobid"]
            ]
            if files:
                tx.execute_many(ATTACHMENT, files)

        service.store.write(unit)
