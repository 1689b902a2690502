"""A job deleted in any way takes with it what belongs to it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx
import pytest
from tests.acceptance.webapi.test_jobs import enqueued

from adjourn import config, runtime
from adjourn.client import Client
from adjourn.metadata.model import Reference, Table
from adjourn.query import write
from adjourn.service import Service

BELONGING = ("bulkdeleteoperation", "workflowlog", "duplicaterecord")
ADMINISTRATOR = UUID(config.ADMIN_USER_ID)


def belonging(table: Table, job: UUID) -> dict[str, Any]:
    """A row of the platform's own about a job; nobody else can create one."""
    found: dict[str, Any] = {table.primary_id: runtime.new_id(), "asyncoperationid": Reference("asyncoperation", job)}
    possible: dict[str, Any] = {
        "createdon": datetime(2026, 1, 1, tzinfo=UTC), "ownerid": Reference("systemuser", ADMINISTRATOR), "statecode": 0,
        "isrecurring": False, "status": 1, "objecttypecode": "account",
    }  # fmt: skip
    return found | {
        name: value
        for name, value in possible.items()
        if name in table.columns and table.columns[name].storage != "job"
    }


def rows(service: Service, org: Client, job: UUID) -> list[str]:
    """The tables that hold something of a job."""

    def held(table: Table) -> bool:
        column = "objectid" if table.logical == "fileattachment" else "asyncoperationid"
        with service.store.read() as reader:
            reference = Reference("asyncoperation", job)
            return bool(write.referencing(reader, table, table.columns[column], reference, 1))

    return [name for name in (*BELONGING, "fileattachment") if held(service.catalog.tables[name])]


@pytest.mark.requirement("M201")
@pytest.mark.parametrize("way", ["HTTP", "Python", "batch"])
def test_what_belongs_to_a_job_goes_with_it(http: httpx.Client, service: Service, org: Client, way: str) -> None:
    service.register("tests.acceptance.webapi.plugins")
    jobs = [_job(http), _job(http)]
    for job in jobs:
        for name in BELONGING:
            table = service.catalog.tables[name]
            service.store.write(lambda tx, table=table, job=job: write.insert(tx, table, belonging(table, job)))
        assert rows(service, org, job) == [*BELONGING, "fileattachment"]
    gone, kept = jobs
    if way == "HTTP":
        assert http.delete(f"asyncoperations({gone})").status_code == 204
    elif way == "Python":
        org.delete("asyncoperation", gone)
    else:
        fetch = (
            "<fetch><entity name='asyncoperation'><attribute name='asyncoperationid'/><filter>"
            f"<condition attribute='asyncoperationid' operator='eq' value='{gone}'/></filter></entity></fetch>"
        )
        chosen = http.get(f"asyncoperations?fetchXml={quote(fetch)}").json()["value"]
        parts = "".join(
            "--b\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
            f"DELETE asyncoperations({row['asyncoperationid']}) HTTP/1.1\r\n\r\n\r\n"
            for row in chosen
        )
        answer = http.post(
            "$batch", content=f"{parts}--b--\r\n", headers={"Content-Type": "multipart/mixed; boundary=b"}
        )
        assert answer.text.count("HTTP/1.1 204") == 1, answer.text
    assert http.get(f"asyncoperations({gone})").status_code == 404
    assert rows(service, org, gone) == []
    assert rows(service, org, kept) == [*BELONGING, "fileattachment"]


def _job(http: httpx.Client) -> UUID:
    """A job whose data is long enough to lie in a file."""
    address = enqueued(http, InputParameters={"name": "x" * (config.DATA_INLINE_BYTES_MAX + 1)})
    return UUID(address.partition("(")[2][:-1])
