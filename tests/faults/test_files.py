"""kill -9 while files go into columns: an acknowledged file is there, whole; nothing is left that nobody mentions."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from tests.support.serving import Serving

from adjourn import config, runtime
from adjourn.pipeline.call import Call
from adjourn.service import Service
from adjourn.store.sqlite import SqliteStore
from adjourn.webapi import file_columns

PIECE = config.FILE_PIECE_BYTES
_FILES = 12


def content(index: int, version: int) -> bytes:
    return bytes([index, version]) * (PIECE // 2) + b"the end"


def upload(http: httpx.Client, place: str, whole: bytes) -> bool:
    """Send a file in two chunks; whether the last one was acknowledged."""
    begun = http.patch(f"{place}?x-ms-file-name=a.bin", headers={"x-ms-transfer-mode": "chunked"})
    for first in range(0, len(whole), PIECE):
        part = whole[first : first + PIECE]
        span = f"bytes {first}-{first + len(part) - 1}/{len(whole)}"
        sent = http.patch(begun.headers["Location"], content=part, headers={"Content-Range": span})
    return sent.status_code == 204


@pytest.mark.parametrize("acknowledged_files", [1, 7, 16])
def test_a_killed_service_keeps_whole_files_or_none(database_url: str, acknowledged_files: int) -> None:
    service = Serving(database_url)
    attribute = {
        "@odata.type": "Microsoft.Dynamics.CRM.FileAttributeMetadata",
        "SchemaName": "new_Contract",
    }
    assert service.http.post("EntityDefinitions(LogicalName='account')/Attributes", json=attribute).status_code == 204
    accounts = [
        service.http.post("accounts", json={"name": str(index)}).headers["OData-EntityId"][-37:-1]
        for index in range(_FILES)
    ]
    acknowledged: dict[int, int] = {}
    count, killed = 0, threading.Event()

    def send(index: int) -> None:
        nonlocal count
        for version in (1, 2):
            if killed.is_set():
                return
            try:
                if not upload(service.http, f"accounts({accounts[index]})/new_contract", content(index, version)):
                    return
            except (httpx.HTTPError, RuntimeError, KeyError):
                return
            acknowledged[index] = version
            count += 1
            if count >= acknowledged_files and not killed.is_set():
                killed.set()
                service.kill()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(send, range(_FILES)))
    assert killed.is_set()
    verify(database_url, accounts, acknowledged)


def verify(url: str, accounts: list[str], acknowledged: dict[int, int]) -> None:
    opened = Service.open(url)
    try:
        call = Call(caller=opened.administrator())
        org = opened.client(call)
        for index, account in enumerate(accounts):
            file_id = org.retrieve("account", account, ["new_contract"])["new_contract"]
            if file_id is None:
                assert index not in acknowledged, "an acknowledged file is gone"
                continue
            found, pieces = file_columns.located(opened, call, file_id)
            whole = b"".join(file_columns.read(opened, call, pieces, 0, found.size - 1))
            # The one after the acknowledged one may have been committed without its answer having arrived.
            assert whole in (content(index, acknowledged.get(index, 1)), content(index, 2))
        opened.store.sweep_files(runtime.now() + timedelta(seconds=config.UPLOAD_SECONDS_MAX + 1))
        with opened.store.read() as reader:
            known = {UUID(row[0]) for row in reader.rows("SELECT pieceid FROM filepiece")}
            assert reader.rows("SELECT count(*) FROM fileupload")[0][0] == 0
            columns = reader.rows("SELECT new_contract FROM account WHERE new_contract IS NOT NULL")
            files = reader.rows("SELECT fileattachmentid FROM fileattachment")
            assert sorted(columns) == sorted(files)
            if isinstance(opened.store, SqliteStore):
                kept = {UUID(path.name) for path in Path(f"{opened.store.path}-files").iterdir()}
            else:
                kept = {UUID(row[0]) for row in reader.rows("SELECT DISTINCT fileattachmentid FROM filechunk")}
        assert kept == known, "contents that nobody mentions, or none for what is mentioned"
    finally:
        opened.close()
