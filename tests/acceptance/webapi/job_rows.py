"""Seeded random jobs, as raw rows for the store and as plain dicts to compute expected answers from."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from adjourn import config
from adjourn.jobs import queue
from adjourn.metadata.values import moment_text
from adjourn.service import Service

START = datetime(2030, 1, 1, tzinfo=UTC)
PAIRS = ((0, 0), (1, 10), (3, 30), (3, 31), (3, 32))
TYPES = (1, 10, 54)
ENDINGS = ("Ä", "b", 'quote " and \\', "ünïcödé 漢字")


def load(service: Service, number: int, seed: int = 1) -> list[dict[str, Any]]:
    """Put jobs into the store; returns their rows as they were written, texts included."""
    found = random.Random(seed)
    rows = [_row(found, index) for index in range(number)]
    texts = [{"id": row["asyncoperationid"], "data": row.pop("data"), "message": row.pop("message")} for row in rows]
    service.store.write(lambda tx: queue.load_history(tx, rows, texts))
    for row, text in zip(rows, texts, strict=True):
        row["data"] = text["data"]
        row["message"] = text["message"]
    return rows


def _row(found: random.Random, index: int) -> dict[str, Any]:
    state, status = found.choice(PAIRS)
    created = START + timedelta(seconds=found.randrange(86_400 * 30), microseconds=found.choice((0, 120_000)))
    ended = created + timedelta(seconds=found.randrange(100)) if state == 3 else None
    key = str(UUID(int=found.getrandbits(128), version=4))
    moment = moment_text(created)
    return {
        "asyncoperationid": key,
        "operationtype": found.choice(TYPES),
        "name": f"job {index} {found.choice(ENDINGS)}",
        "messagename": found.choice(("Create", "Update")),
        "ownerid": config.ADMIN_USER_ID,
        "owneridtype": "systemuser",
        "owninguser": config.ADMIN_USER_ID,
        "owningbusinessunit": config.ROOT_BUSINESS_UNIT_ID,
        "createdby": found.choice((config.ADMIN_USER_ID, config.SYSTEM_USER_ID)),
        "modifiedby": config.SYSTEM_USER_ID,
        "createdon": moment,
        "modifiedon": moment,
        "correlationid": key,
        "correlationupdatedtime": moment,
        "statecode": state,
        "statuscode": status,
        "startedon": moment if ended else None,
        "completedon": moment_text(ended) if ended else None,
        "executiontimespan": (ended - created).total_seconds() if ended else None,
        "errorcode": -2147220956 if status == 31 else None,
        "friendlymessage": found.choice(("Out of order", "Timed out", None)) if status == 31 else None,
        "data": f'{{"n":{index}}}' if index % 3 else None,
        "message": "Traceback" if status == 31 else None,
    }
