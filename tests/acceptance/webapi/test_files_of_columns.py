"""File columns of one's own: made at run time, filled in one request, in chunks or in blocks, read by ranges."""

from __future__ import annotations

import base64
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from adjourn import config, runtime
from adjourn.service import Service
from adjourn.store.sqlite import SqliteStore

N = "Microsoft.Dynamics.CRM"
PIECE = config.FILE_PIECE_BYTES
COLUMN = "new_contract"


def file_attribute(schema: str = "new_Contract", **more: Any) -> dict[str, Any]:
    return {"@odata.type": f"{N}.FileAttributeMetadata", "SchemaName": schema, **more}


@pytest.fixture
def place(http: httpx.Client) -> str:
    """The file column of an account."""
    answer = http.post("EntityDefinitions(LogicalName='account')/Attributes", json=file_attribute(MaxSizeInKB=10_240))
    assert answer.status_code == 204, answer.text
    made = http.post("accounts", json={"name": "Contoso"})
    return "accounts" + made.headers["OData-EntityId"].rpartition("accounts")[2] + f"/{COLUMN}"


def put(http: httpx.Client, place: str, content: bytes, name: str = "a.txt", **headers: str) -> httpx.Response:
    headers = {"Content-Type": "application/octet-stream", "x-ms-file-name": name, **headers}
    return http.patch(place, content=content, headers=headers)


def contents(service: Service) -> int:
    """How many pieces of content the store keeps."""
    if isinstance(service.store, SqliteStore):
        folder = Path(f"{service.store.path}-files")
        return len(list(folder.iterdir())) if folder.exists() else 0
    with service.store.read() as reader:
        return len(reader.rows("SELECT DISTINCT fileattachmentid FROM filechunk"))


def rows(service: Service, table: str) -> int:
    with service.store.read() as reader:
        return int(reader.rows(f"SELECT count(*) FROM {table}")[0][0])


def chunked(http: httpx.Client, place: str, name: str = "big.bin") -> str:
    answer = http.patch(place, params={"x-ms-file-name": name}, headers={"x-ms-transfer-mode": "chunked"})
    assert (answer.status_code, answer.headers["x-ms-chunk-size"]) == (200, str(PIECE)), answer.text
    assert answer.headers["Accept-Ranges"] == "bytes"
    return answer.headers["Location"]


def chunk(http: httpx.Client, location: str, content: bytes, first: int, total: int) -> httpx.Response:
    span = f"bytes {first}-{first + len(content) - 1}/{total}"
    return http.patch(location, content=content, headers={"Content-Range": span, "x-ms-file-name": "x"})


def test_a_file_goes_up_in_one_request_and_comes_back(http: httpx.Client, place: str, service: Service) -> None:
    record = place.partition("/")[0]
    before = http.get(f"{record}?$select=name").json()["@odata.etag"]
    answer = put(http, place, b"hello", "Übersicht.txt".encode().decode("ascii", "ignore"))
    assert (answer.status_code, answer.content) == (204, b"")
    found = http.get(f"{record}?$select=name,{COLUMN},{COLUMN}_name").json()
    assert found[f"{COLUMN}_name"] == "bersicht.txt"
    assert found["@odata.etag"] != before
    down = http.get(f"{place}/$value")
    assert (down.status_code, down.content) == (200, b"hello")
    assert down.headers["x-ms-file-size"] == "5"
    assert down.headers["x-ms-file-name"] == "bersicht.txt"
    assert down.headers["mimetype"] == "text/plain"
    assert down.headers["content-type"] == "application/octet-stream"
    assert http.get(place).json()["value"] == found[COLUMN]
    select = "filename,mimetype,filesizeinbytes,regardingfieldname"
    (file,) = http.get(f"{record}/account_FileAttachments?$select={select}").json()["value"]
    assert (file["fileattachmentid"], file["filesizeinbytes"]) == (found[COLUMN], 5)
    assert (file["filename"], file["regardingfieldname"]) == ("bersicht.txt", COLUMN)


def test_an_empty_file_is_a_file(http: httpx.Client, place: str) -> None:
    assert put(http, place, b"").status_code == 204
    down = http.get(f"{place}/$value")
    assert (down.status_code, down.content, down.headers["x-ms-file-size"]) == (200, b"", "0")
    assert http.get(f"{place}/$value", headers={"Range": "bytes=0-"}).status_code == 416


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-9", 0, 9),
        (f"bytes={PIECE - 5}-{PIECE + 5}", PIECE - 5, PIECE + 5),
        ("bytes=-7", PIECE + 93, PIECE + 99),
        (f"bytes={PIECE}-", PIECE, PIECE + 99),
        ("bytes=5-99999999", 5, PIECE + 99),
    ],
)
def test_ranges(http: httpx.Client, place: str, asked: str, first: int, last: int) -> None:
    content = bytes(index * 7 % 251 for index in range(PIECE + 100))
    put(http, place, content)
    answer = http.get(f"{place}/$value", headers={"Range": asked})
    assert answer.status_code == 206
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{len(content)}"
    assert answer.content == content[first : last + 1]
    assert answer.headers["x-ms-chunk-size"] == str(PIECE)


def test_chunks_in_any_order_and_again(http: httpx.Client, place: str, service: Service) -> None:
    content = bytes(index * 7 % 251 for index in range(2 * PIECE + 10))
    location = chunked(http, place, "Vertrag Übersicht.bin")
    total = len(content)
    assert chunk(http, location, content[2 * PIECE :], 2 * PIECE, total).status_code == 206
    assert chunk(http, location, b"x" * PIECE, 0, total).status_code == 206
    assert chunk(http, location, content[:PIECE], 0, total).status_code == 206
    assert http.get(f"{place}/$value").status_code == 204
    last = chunk(http, location, content[PIECE : 2 * PIECE], PIECE, total)
    assert (last.status_code, last.content) == (204, b"")
    assert http.get(f"{place}/$value").content == content
    assert http.get(f"{place}_name").json()["value"] == "Vertrag Übersicht.bin"
    assert (contents(service), rows(service, "fileupload")) == (3, 0)
    assert chunk(http, location, content[:PIECE], 0, total).status_code == 404


@pytest.mark.parametrize(
    "span", ["", "bytes 0-3/10", "bytes 0-4/4", "bytes 5-1/10", "items 0-4/10", "bytes 0-4/*", "bytes 0-4/99999999"]
)
def test_a_chunk_with_a_wrong_range_is_refused(http: httpx.Client, place: str, span: str) -> None:
    answer = http.patch(chunked(http, place), content=b"12345", headers={"Content-Range": span})
    assert answer.status_code == 400, answer.text


def test_chunks_that_overlap_are_refused(http: httpx.Client, place: str) -> None:
    location = chunked(http, place)
    assert chunk(http, location, b"12345", 0, 10).status_code == 206
    assert chunk(http, location, b"12345", 3, 10).status_code == 400
    assert http.get(f"{place}/$value").status_code == 204


def test_a_session_belongs_to_its_record(http: httpx.Client, place: str) -> None:
    token = chunked(http, place).rpartition("?")[2]
    other = http.post("accounts", json={"name": "other"}).headers["OData-EntityId"]
    assert chunk(http, f"{other}/{COLUMN}?{token}", b"12345", 0, 5).status_code == 404
    assert chunk(http, f"{place}?sessiontoken=x", b"12345", 0, 5).status_code == 400


def test_blocks_up_and_down_by_the_actions(http: httpx.Client, place: str) -> None:
    record, name = place.split("/")
    target = {"@odata.type": f"{N}.account", "accountid": record[9:-1]}
    begun = http.post(
        "InitializeFileBlocksUpload", json={"Target": target, "FileName": "a.pdf", "FileAttributeName": name}
    )
    token = begun.json()["FileContinuationToken"]
    blocks = [base64.b64encode(text.encode()).decode() for text in ("one", "two", "not in the list")]
    for block, data in zip(blocks, (b"hello ", b"world", b"!"), strict=True):
        body = {"BlockId": block, "BlockData": base64.b64encode(data).decode(), "FileContinuationToken": token}
        assert http.post("UploadBlock", json=body).status_code == 204
    done = http.post(
        "CommitFileBlocksUpload",
        json={
            "FileName": "b.pdf",
            "MimeType": "application/pdf",
            "BlockList": blocks[:2],
            "FileContinuationToken": token,
        },
    ).json()
    assert done["FileSizeInBytes"] == 11
    assert done["@odata.context"].endswith(f"#{N}.CommitFileBlocksUploadResponse")
    opened = http.post("InitializeFileBlocksDownload", json={"Target": target, "FileAttributeName": name}).json()
    assert (opened["FileSizeInBytes"], opened["FileName"], opened["IsChunkingSupported"]) == (11, "b.pdf", True)
    asked = {"Offset": 6, "BlockLength": 100, "FileContinuationToken": opened["FileContinuationToken"]}
    assert base64.b64decode(http.post("DownloadBlock", json=asked).json()["Data"]) == b"world"
    assert http.post("DeleteFile", json={"FileId": done["FileId"]}).status_code == 204
    assert http.get(f"{place}/$value").status_code == 204
    assert http.post("DeleteFile", json={"FileId": done["FileId"]}).status_code == 404
    assert http.post("DownloadBlock", json=asked).status_code == 404


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("UploadBlock", {"BlockId": "x", "BlockData": "eA==", "FileContinuationToken": "T"}),
        ("UploadBlock", {"BlockId": "eA==", "BlockData": "", "FileContinuationToken": "T"}),
        ("CommitFileBlocksUpload", {"FileName": "a", "BlockList": ["eA=="], "FileContinuationToken": "T"}),
        ("CommitFileBlocksUpload", {"FileName": "a", "BlockList": "eA==", "FileContinuationToken": "T"}),
        ("DownloadBlock", {"Offset": 0, "BlockLength": 1, "FileContinuationToken": "eA=="}),
        ("DownloadBlock", {"Offset": True, "BlockLength": 1, "FileContinuationToken": "eA=="}),
        ("DeleteFile", {"FileID": "x"}),
        ("DeleteFile", {}),
    ],
)
def test_wrong_parameters_of_the_actions_are_refused(
    http: httpx.Client, place: str, action: str, body: dict[str, Any]
) -> None:
    token = chunked(http, place).rpartition("=")[2]
    body = {name: token if value == "T" else value for name, value in body.items()}
    answer = http.post(action, json=body)
    assert answer.status_code == 400, answer.text


def test_a_new_file_takes_the_place_of_the_old_one(http: httpx.Client, place: str, service: Service) -> None:
    put(http, place, b"old")
    put(http, place, b"new", "b.txt")
    assert http.get(f"{place}/$value").content == b"new"
    assert (contents(service), rows(service, "fileattachment"), rows(service, "filepiece")) == (1, 1, 1)


@pytest.mark.parametrize("gone", ["the file", "the record", "the column"])
def test_nothing_of_a_file_stays_when_it_goes(http: httpx.Client, place: str, service: Service, gone: str) -> None:
    put(http, place, b"x" * (PIECE + 1))
    assert contents(service) == 2
    if gone == "the file":
        assert http.delete(place).status_code == 204
        assert http.get(f"{place.partition('/')[0]}?$select={COLUMN}_name").json()[f"{COLUMN}_name"] is None
    elif gone == "the record":
        assert http.delete(place.partition("/")[0]).status_code == 204
    else:
        address = f"EntityDefinitions(LogicalName='account')/Attributes(LogicalName='{COLUMN}')"
        assert http.delete(address).status_code == 204
        assert f"{COLUMN}_name" not in http.get("$metadata").text
        service.store.sweep_files(runtime.now())
    assert (contents(service), rows(service, "fileattachment"), rows(service, "filepiece")) == (0, 0, 0)


def test_uploads_that_nobody_goes_on_with_are_forgotten(http: httpx.Client, place: str, service: Service) -> None:
    location = chunked(http, place)
    assert chunk(http, location, b"12345", 0, 10).status_code == 206
    put(http, place, b"stays")
    service.store.sweep_files(runtime.now())
    assert (rows(service, "fileupload"), contents(service)) == (1, 2)
    service.store.sweep_files(runtime.now() + timedelta(seconds=config.UPLOAD_SECONDS_MAX + 1))
    assert (rows(service, "fileupload"), contents(service), rows(service, "filepiece")) == (0, 1, 1)
    assert http.get(f"{place}/$value").content == b"stays"


def test_a_file_beyond_the_columns_size_is_refused_in_every_way(http: httpx.Client, service: Service) -> None:
    http.post("EntityDefinitions(LogicalName='account')/Attributes", json=file_attribute("new_Small", MaxSizeInKB=1))
    record = http.post("accounts", json={"name": "a"}).headers["OData-EntityId"]
    place = f"{record}/new_small"
    assert put(http, place, b"x" * 1024).status_code == 204
    for answer in (put(http, place, b"x" * 1025), chunk(http, chunked(http, place), b"x" * 5, 0, 1025)):
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "0x80044a02")
        assert answer.json()["error"]["message"].startswith("Attachment file size is too big.")
    assert len(http.get(f"{place}/$value").content) == 1024


def test_conditions(http: httpx.Client, place: str) -> None:
    record = place.partition("/")[0]
    assert put(http, place, b"1", **{"If-None-Match": "null"}).status_code == 204
    assert put(http, place, b"2", **{"If-None-Match": "*"}).status_code == 412
    etag = http.get(f"{record}?$select=name").json()["@odata.etag"]
    assert put(http, place, b"3", **{"If-Match": 'W/"1"'}).status_code == 412
    assert http.get(f"{place}/$value").content == b"1"
    assert put(http, place, b"4", **{"If-Match": etag}).status_code == 204
    assert put(http, place, b"5", **{"If-Match": "*"}).status_code == 204
    missing = f"accounts(0190a3c2-7c1e-7b30-9d2a-5f6e7d8c9b0a)/{COLUMN}"
    assert put(http, missing, b"6").status_code == 404
    assert http.delete(missing).status_code == 404


def test_what_is_no_upload_is_refused_by_name(http: httpx.Client, place: str) -> None:
    record = place.partition("/")[0]
    assert "takes the file itself" in http.put(place, json={"value": "x"}).json()["error"]["message"]
    for name in ("", "a/b", "x" * 256):
        assert "x-ms-file-name" in put(http, place, b"x", name).json()["error"]["message"]
    assert http.patch(f"{place}?size=full", content=b"x").status_code == 400
    assert http.get(f"{place}/$value?size=full").status_code == 400
    assert http.patch(record, json={COLUMN: "0190a3c2-7c1e-7b30-9d2a-5f6e7d8c9b0a"}).status_code == 400
    assert http.patch(record, json={f"{COLUMN}_name": "x"}).status_code == 400
    assert http.patch(f"{record}/name", content=b"x").status_code == 405


def test_the_column_in_the_metadata(http: httpx.Client, place: str) -> None:
    attribute = f"EntityDefinitions(LogicalName='account')/Attributes(LogicalName='{COLUMN}')"
    cast = f"{attribute}/{N}.FileAttributeMetadata?$select=MaxSizeInKB"
    assert http.get(cast).json()["MaxSizeInKB"] == 10_240
    answer = http.post(
        "EntityDefinitions(LogicalName='account')/Attributes", json=file_attribute("new_B", MaxSizeInKB=0)
    )
    assert answer.status_code == 400
    beside = attribute.replace(COLUMN, f"{COLUMN}_name")
    assert http.delete(beside).status_code == 400


def test_a_large_file_is_read_as_it_is_sent(http: httpx.Client, place: str) -> None:
    content = bytes(range(256)) * (9 * 4096)
    assert put(http, place, content).status_code == 204
    with http.stream("GET", f"{place}/$value") as answer:
        assert answer.headers["content-length"] == str(len(content))
        assert b"".join(answer.iter_bytes()) == content


def test_steps_of_update_see_the_file_and_can_refuse_it(
    http: httpx.Client, place: str, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.register("tests.acceptance.webapi.file_plugins")
    answer = put(http, place, b"x", "virus.exe")
    assert answer.status_code == 400
    assert "no programs" in answer.json()["error"]["message"]
    assert http.get(f"{place}/$value").status_code == 204
    assert put(http, place, b"x", "fine.txt").status_code == 204
    assert contents(service) == 2  # the refused one waits to be forgotten
