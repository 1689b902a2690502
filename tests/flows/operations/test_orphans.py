"""The scan for orphans: one of each kind is planted, found and mended, and what has an owner is left alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from tests.support import worker_plugins

from adjourn import config, runtime
from adjourn.client import Client
from adjourn.jobs import explain, orphan_statements, orphans
from adjourn.operations.orphans import scan
from adjourn.pipeline.call import Call
from adjourn.service import Service
from adjourn.store.contract import Store
from adjourn.worker.inline import drain

LARGE = "x" * 2_000
NOBODY = "0ad10000-0000-7000-8000-00000000ffff"


@pytest.fixture(autouse=True)
def _small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "DATA_INLINE_BYTES_MAX", 1_000)


@pytest.fixture
def service(store: Store) -> Service:
    service = Service(store)
    service.register("tests.support.worker_plugins")
    return service


@pytest.fixture
def org(service: Service) -> Client:
    return service.client(Call(caller=service.administrator()))


def execute(service: Service, sql: str, **parameters: Any) -> None:
    service.store.write(lambda tx: tx.execute(sql, parameters))


def job_with_file(service: Service, org: Client) -> tuple[UUID, UUID]:
    job = org.enqueue(worker_plugins.quick.request(LARGE))
    found: UUID = org.retrieve("asyncoperation", job)["datablobid"]
    return job, found


def text(service: Service, org: Client) -> None:
    execute(service, "INSERT INTO asyncoperationtext (asyncoperationsequence, data) VALUES (:n, 'left')", n=250_000)


def history(service: Service, org: Client) -> None:
    execute(
        service,
        "INSERT INTO jobhistory (jobsequence, number, happenedon, event, fromstatus, tostatus, actorid) "
        "VALUES (:n, 1, :now, 'pause', 20, 21, :who)",
        n=250_000,
        now="2026-01-01T00:00:00.000000Z",
        who=NOBODY,
    )


def row(table: str, key: str | None = None) -> Callable[[Service, Client], None]:
    def plant(service: Service, org: Client) -> None:
        values = {"id": str(runtime.new_id()), "job": NOBODY}
        execute(service, f"INSERT INTO {table} ({key or table + 'id'}, asyncoperationid) VALUES (:id, :job)", **values)

    return plant


def attachment(service: Service, org: Client) -> None:
    values = {"id": str(runtime.new_id()), "job": NOBODY}
    execute(
        service,
        "INSERT INTO fileattachment (fileattachmentid, objectid, objectidtypecode) VALUES (:id, :job, 'asyncoperation')",
        **values,
    )


def named_file(service: Service, org: Client) -> None:
    _, file_id = job_with_file(service, org)
    execute(service, "DELETE FROM fileattachment WHERE fileattachmentid = :id", id=str(file_id))


def lost_bytes(service: Service, org: Client) -> None:
    _, file_id = job_with_file(service, org)
    service.store.write(lambda tx: tx.delete_files([file_id]))


def grown(service: Service, org: Client) -> None:
    """Data that was under the limit when its job was made."""
    job = org.enqueue(worker_plugins.quick.request("small"))
    execute(
        service,
        "UPDATE asyncoperationtext SET data = :data WHERE asyncoperationsequence = "
        "(SELECT sequence FROM asyncoperation WHERE asyncoperationid = :id)",
        data='{"text":"' + "ä" * 500 + '"}',
        id=str(job),
    )


KINDS: dict[str, Callable[[Service, Client], None]] = {
    "long text without its job": text,
    "history without its job": history,
    **{
        f"{table} without its job": row(table, key)
        for table, key in {
            "bulkdeletefailure": None,
            "bulkdeleteoperation": None,
            "duplicaterecord": "duplicateid",
            "workflowlog": None,
        }.items()
    },
    "fileattachment that no job names": attachment,
    "job that names a file which does not exist": named_file,
    orphans.LOST_BYTES: lost_bytes,
    orphans.OVERSIZED: grown,
}


@pytest.mark.parametrize("kind", KINDS)
def test_one_of_each_kind_is_found_and_mended(service: Service, org: Client, kind: str) -> None:
    kept, file_id = job_with_file(service, org)
    org.enqueue(worker_plugins.raises.request("kept"))
    drain(service)
    KINDS[kind](service, org)
    mended = scan(service, datetime.now(UTC))
    assert {name: len(keys) for name, keys in mended.items()} == {kind: 1}
    assert scan(service, datetime.now(UTC)) == {}
    with service.store.read() as reader:
        assert explain.examine(reader) == []
        assert reader.files_there([file_id]) == {file_id}
    assert org.retrieve("asyncoperation", kept)["datablobid"] == file_id
    assert org.retrieve_multiple("asyncoperations?$select=message&$filter=statuscode eq 31")[0]["message"]


def test_there_is_a_test_for_every_kind(service: Service) -> None:
    known = [kind.name for kind in orphan_statements.kinds(service.store.dialect)]
    assert [*known, orphans.LOST_BYTES, orphans.OVERSIZED] == list(KINDS)


def test_a_file_that_nobody_mentions_is_swept(sqlite_store: Store, sqlite_url: str) -> None:
    service = Service(sqlite_store)
    folder = Path(sqlite_url.removeprefix("sqlite:///") + "-files")
    folder.mkdir(exist_ok=True)
    (folder / NOBODY).write_bytes(b"left")
    scan(service, datetime.now(UTC))
    assert list(folder.iterdir()) == []


@pytest.mark.requirement("M153")
def test_data_that_has_grown_over_the_limit_goes_into_a_file_and_its_job_runs(service: Service, org: Client) -> None:
    grown(service, org)
    scan(service, datetime.now(UTC))
    job = org.retrieve_multiple("asyncoperations?$filter=name eq 'quick'&$select=datablobid,data")[0]
    assert (job["datablobid"] is not None, job["data"]) == (True, None)
    drain(service)
    found = org.retrieve("asyncoperation", job["asyncoperationid"])
    assert (found["statuscode"], found["friendlymessage"]) == (30, "did " + "ä" * 500)
    org.delete("asyncoperation", job["asyncoperationid"])
    assert org.retrieve_multiple("fileattachments") == []
    assert service.store.space().files == 0


def test_many_orphans_are_mended_a_few_at_a_time(
    service: Service, org: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans, "FOUND_TOGETHER", 3)
    monkeypatch.setattr(orphans, "SEQUENCES_TOGETHER", 4)
    for number in range(11, 31, 2):
        execute(service, "INSERT INTO asyncoperationtext (asyncoperationsequence, data) VALUES (:n, 'x')", n=number)
    for _ in range(7):
        row("workflowlog")(service, org)
    mended = scan(service, datetime.now(UTC))
    assert {name: len(keys) for name, keys in mended.items()} == {
        "long text without its job": 10,
        "workflowlog without its job": 7,
    }


def test_tokens_that_nobody_bears_are_forgotten(postgres_store: Store) -> None:
    service = Service(postgres_store)
    service.register("tests.support.worker_plugins")
    org = service.client(Call(caller=service.administrator()))
    org.enqueue(worker_plugins.quick.request(), dependency_token="done")
    drain(service)
    org.enqueue(worker_plugins.quick.request(), dependency_token="open")
    scan(service, datetime.now(UTC))
    with service.store.read() as reader:
        assert reader.rows("SELECT token FROM token") == [("t:open",)]


def test_a_file_that_goes_with_its_job_during_the_scan_is_no_orphan(
    service: Service, org: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On SQLite files lie outside of the view in which their rows are still to be seen."""
    job, _ = job_with_file(service, org)
    with service.store.read() as reader:
        kind = type(reader)
    there = kind.files_there

    def after_a_deletion(self: Any, file_ids: list[UUID]) -> set[UUID]:
        org.delete("asyncoperation", job)
        return there(self, file_ids)

    monkeypatch.setattr(kind, "files_there", after_a_deletion)
    assert orphans.scan(service.store) == {}
