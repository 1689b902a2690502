"""Pages of rows are sent while they are read: pieces, slow clients, clients that leave, and what goes wrong on the way."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest
from tests.support.listening import client

from adjourn import config, runtime
from adjourn.errors import InvalidRequest
from adjourn.jobs import queue
from adjourn.metadata.values import moment_text
from adjourn.query import result
from adjourn.service import Service
from adjourn.store.contract import Store
from adjourn.webapi import app as webapi_app
from adjourn.webapi import envelope, outlet, render, server
from adjourn.webapi.app import create_app

from .conftest import TOKEN, Start

KIB = 1024
ROWS = 400
"""Jobs of 10 KiB each: 4 MiB, more than the buffers between a server and its client hold."""
PAGE = "asyncoperations?$select=name,data&$filter=messagename%20eq%20'Streamed'&$orderby=name"
NAMES = [f"{number:05}" for number in range(ROWS)]


def fill(service: Service) -> None:
    moment = moment_text(runtime.now())
    usual = {
        "operationtype": 54,
        "messagename": "Streamed",
        **dict.fromkeys(("ownerid", "owninguser", "createdby", "modifiedby"), config.ADMIN_USER_ID),
        "owneridtype": "systemuser",
        "owningbusinessunit": config.ROOT_BUSINESS_UNIT_ID,
        **dict.fromkeys(("createdon", "modifiedon", "startedon", "completedon"), moment),
        "statecode": 3,
        "statuscode": 30,
    }
    rows = [{**usual, "asyncoperationid": str(runtime.new_id()), "name": name} for name in NAMES]
    texts = [{"id": row["asyncoperationid"], "data": "y" * 10_000, "message": None} for row in rows]
    service.store.write(lambda tx: queue.load_history(tx, rows, texts))


@pytest.fixture
def http(service: Service, serve: Start) -> httpx.Client:
    """An organization with many long jobs."""
    fill(service)
    return serve(service)


class Reader:
    """A connection that asks for something and takes of the answer what it likes."""

    def __init__(self, http: httpx.Client, path: str, *headers: str) -> None:
        self.connection = socket.socket()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * KIB)
        self.connection.settimeout(20)
        self.connection.connect(("127.0.0.1", http.base_url.port or 0))
        lines = (f"GET /api/data/v9.2/{path} HTTP/1.1", "Host: x", f"Authorization: Bearer {TOKEN}", *headers, "", "")
        self.connection.sendall("\r\n".join(lines).encode())

    def close(self) -> None:
        self.connection.close()

    def first(self) -> bytes:
        return self.connection.recv(KIB)

    def rest(self) -> bytes:
        """All that comes until the connection ends, however it does."""
        found = b""
        try:
            while piece := self.connection.recv(1024 * KIB):
                found += piece
        except ConnectionResetError:
            pass
        return found


def eventually(holds: Callable[[], bool], seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def views(store: Store) -> int:
    """How many views of the data are open: on PostgreSQL as its server sees them."""
    if store.dialect == "sqlite":
        return len(store._readers)  # type: ignore[attr-defined]
    with store.read() as reader:
        open_now = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND xact_start IS NOT NULL "
            "AND pid <> pg_backend_pid()"
        )
        return int(reader.rows(open_now)[0][0])


def test_a_long_page_comes_in_pieces_and_says_the_same_as_short_ones(http: httpx.Client) -> None:
    answer = http.get(f"{PAGE}&$count=true")
    assert answer.headers["transfer-encoding"] == "chunked"
    assert "content-length" not in answer.headers
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["odata-version"] == "4.0"
    body = answer.json()
    assert list(body)[:2] == ["@odata.context", "@odata.count"]
    assert body["@odata.count"] == ROWS
    assert [row["name"] for row in body["value"]] == NAMES
    found: list[Any] = []
    address: str | None = PAGE
    while address:
        page = http.get(address, headers={"Prefer": "odata.maxpagesize=5"})
        assert page.headers["content-length"] == str(len(page.content)), "short enough to be sent as one"
        found += page.json()["value"]
        address = page.json().get("@odata.nextLink") if len(found) < 20 else None
    assert found == body["value"][:20]


def test_the_link_of_a_long_page_leads_on(http: httpx.Client) -> None:
    answer = http.get(PAGE, headers={"Prefer": "odata.maxpagesize=300"})
    assert answer.headers["transfer-encoding"] == "chunked"
    assert answer.headers["preference-applied"] == "odata.maxpagesize=300"
    body = answer.json()
    assert list(body)[-1] == "@odata.nextLink"
    assert [row["name"] for row in http.get(body["@odata.nextLink"]).json()["value"]] == NAMES[300:]


def test_a_fetch_tells_behind_its_rows_where_the_next_page_begins(http: httpx.Client) -> None:
    fetch = "<fetch count='300'><entity name='asyncoperation'><attribute name='data'/><order attribute='name'/></entity></fetch>"
    answer = http.get(
        f"asyncoperations?fetchXml={quote(fetch)}",
        headers={"Prefer": 'odata.include-annotations="Microsoft.Dynamics.CRM.*"'},
    )
    assert answer.headers["transfer-encoding"] == "chunked"
    body = answer.json()
    assert len(body["value"]) == 300
    assert list(body)[-2:] == ["@Microsoft.Dynamics.CRM.morerecords", "@Microsoft.Dynamics.CRM.fetchxmlpagingcookie"]
    assert body["@Microsoft.Dynamics.CRM.morerecords"] is True


def test_rows_with_expanded_collections_come_in_pieces_too(http: httpx.Client) -> None:
    kind = "Microsoft.Dynamics.CRM.account"
    targets = [{"@odata.type": kind, "name": name, "description": "y" * 1990} for name in NAMES[:60]]
    http.post("accounts/Microsoft.Dynamics.CRM.CreateMultiple", json={"Targets": targets}).raise_for_status()
    answer = http.get("accounts?$select=name,description&$orderby=name&$expand=Account_Tasks($select=subject)")
    assert answer.headers["transfer-encoding"] == "chunked"
    rows = answer.json()["value"]
    assert [row["name"] for row in rows] == NAMES[:60]
    assert all(row["Account_Tasks"] == [] for row in rows)


def test_the_first_rows_are_sent_before_the_last_are_read(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store goes on only when the client has begun to read."""
    taken: list[bytes] = []
    written = result.written

    def waiting(rows: Any, write: Any, size: Any = None) -> Any:
        def slowly() -> Iterator[Any]:
            for number, row in enumerate(rows):
                if number == 200:
                    assert eventually(lambda: bool(taken)), "the client has nothing yet"
                yield row

        return written(slowly(), write, size)

    monkeypatch.setattr(result, "written", waiting)
    with closing(Reader(http, PAGE, "Connection: close")) as reader:
        taken.append(reader.first())
        assert taken[0].startswith(b"HTTP/1.1 200")
        assert reader.rest().endswith(b"0\r\n\r\n")


def test_a_client_that_takes_nothing_holds_no_view_of_the_data(http: httpx.Client, store: Store) -> None:
    with closing(Reader(http, PAGE, "Connection: close")) as reader:
        assert reader.first().startswith(b"HTTP/1.1 200")
        assert eventually(lambda: views(store) == 0)
        assert http.get("WhoAmI").status_code == 200
        assert reader.rest().endswith(b"0\r\n\r\n"), "it gets all of it all the same"


def test_an_answer_whose_client_leaves_is_not_written_on(
    http: httpx.Client, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlet, "UNSENT_BYTES_MAX", 100 * KIB)
    monkeypatch.setattr(outlet, "ROOM_SECONDS_MAX", 60.0)
    with closing(Reader(http, PAGE)) as reader:
        assert reader.first().startswith(b"HTTP/1.1 200")
        assert eventually(lambda: views(store) == 1)
        time.sleep(0.1)
        assert views(store) == 1, "it waits for room"
    assert eventually(lambda: views(store) == 0, 3)
    assert http.get("WhoAmI").status_code == 200


def test_an_answer_that_is_not_taken_is_cut_when_there_is_no_more_room(
    http: httpx.Client, store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(outlet, "UNSENT_BYTES_MAX", 100 * KIB)
    monkeypatch.setattr(outlet, "ROOM_SECONDS_MAX", 0.2)
    with closing(Reader(http, PAGE)) as reader:
        first = reader.first()
        assert first.startswith(b"HTTP/1.1 200")
        assert eventually(lambda: views(store) == 0)
        assert not reader.rest().endswith(b"0\r\n\r\n"), "what was cut looks like it"
    assert "an answer was cut" in capsys.readouterr().out


def test_a_client_that_takes_its_answer_gets_more_than_may_be_unsent(
    http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlet, "UNSENT_BYTES_MAX", 100 * KIB)
    monkeypatch.setattr(outlet, "UNSENT_TOGETHER_BYTES_MAX", 150 * KIB)
    assert len(http.get(PAGE).json()["value"]) == ROWS


def test_without_room_for_its_beginning_an_answer_is_refused(
    http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlet, "UNSENT_TOGETHER_BYTES_MAX", 300 * KIB)
    monkeypatch.setattr(outlet, "ROOM_SECONDS_MAX", 20.0)
    with closing(Reader(http, PAGE)) as reader:
        assert reader.first().startswith(b"HTTP/1.1 200")
        time.sleep(0.3)
        monkeypatch.setattr(outlet, "ROOM_SECONDS_MAX", 0.1)
        refused = http.get(PAGE)
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "5"
        assert refused.json()["error"]["code"] == "0x80044150"
        assert http.get(f"{PAGE}&$top=5").status_code == 200, "short answers need no room"
    assert eventually(lambda: http.get(PAGE).status_code == 200), "the room is there again"


def test_long_answers_that_are_sent_as_a_whole_need_room_too(
    http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlet, "UNSENT_TOGETHER_BYTES_MAX", 300 * KIB)
    read = f"--b\r\nContent-Type: application/http\r\n\r\nGET {PAGE}&$top=20 HTTP/1.1\r\n\r\n\r\n"
    write = f"--b\r\nContent-Type: application/http\r\n\r\nDELETE accounts({uuid4()}) HTTP/1.1\r\n\r\n\r\n"
    form = {"Content-Type": "multipart/mixed; boundary=b"}
    with closing(Reader(http, PAGE)) as reader:
        assert reader.first().startswith(b"HTTP/1.1 200")
        time.sleep(0.3)
        assert http.get("$metadata").status_code == 503
        assert http.post("$batch", content=f"{read}--b--\r\n", headers=form).status_code == 503
        answer = http.post("$batch", content=f"{read}{write}--b--\r\n", headers=form)
        assert "HTTP/1.1 200" in answer.text, "whatever has been done is told"
    assert eventually(lambda: http.get("$metadata").status_code == 200)


def test_what_goes_wrong_behind_the_first_piece_cuts_the_connection(
    http: httpx.Client, store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arrays = render.arrays

    def breaking(page: Any) -> Any:
        write, count = arrays(page), 0

        def some(rows: Any) -> bytearray:
            nonlocal count
            count += 1
            if count == 20:
                raise InvalidRequest("the twentieth piece cannot be written")
            return write(rows)

        return some

    monkeypatch.setattr(render, "arrays", breaking)
    with pytest.raises(httpx.RemoteProtocolError):
        http.get(PAGE)
    told = capsys.readouterr().out
    assert "an answer was cut" in told
    assert "the twentieth piece cannot be written" in told
    assert views(store) == 0
    monkeypatch.undo()
    assert len(http.get(PAGE).json()["value"]) == ROWS


def test_what_goes_wrong_before_it_is_answered_as_ever(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaking(page: Any) -> Any:
        raise InvalidRequest("no piece can be written")

    monkeypatch.setattr(render, "arrays", breaking)
    answer = http.get(PAGE)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "no piece can be written"


def test_a_stop_does_not_wait_for_who_takes_nothing(
    service: Service, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "STOP_SECONDS", 1)
    running = server.run(create_app(service, TOKEN), "127.0.0.1", 0)
    with ExitStack() as opened:
        own = opened.enter_context(client(running.port, TOKEN))
        reader = opened.enter_context(closing(Reader(own, PAGE)))
        assert reader.first().startswith(b"HTTP/1.1 200")
        began = time.monotonic()
        running.stop()
        assert time.monotonic() - began < 4
        assert not running._thread.is_alive()
        assert not reader.rest().endswith(b"0\r\n\r\n")


def test_a_stop_waits_for_who_takes_his_answer(service: Service, http: httpx.Client) -> None:
    running = server.run(create_app(service, TOKEN), "127.0.0.1", 0)
    with ExitStack() as opened:
        own = opened.enter_context(client(running.port, TOKEN))
        reader = opened.enter_context(closing(Reader(own, PAGE)))
        assert reader.first().startswith(b"HTTP/1.1 200")
        running.refuse()
        time.sleep(0.3)
        assert reader.rest().endswith(b"0\r\n\r\n")
        running.stop()


def test_the_answers_of_a_batch_are_bounded_together(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envelope, "KEPT_BYTES_MAX", 100 * KIB)
    part = "Content-Type: application/http\r\n\r\nGET {} HTTP/1.1\r\n\r\n\r\n"
    few, many = f"{PAGE}&$top=3", f"{PAGE}&$top=8"
    parts = [part.format(path) for path in (few, many, few, "WhoAmI")]
    body = "".join(f"--b\r\n{found}" for found in parts) + "--b--\r\n"
    headers = {"Content-Type": "multipart/mixed; boundary=b", "Prefer": "odata.continue-on-error"}
    answer = http.post("$batch", content=body, headers=headers)
    assert answer.headers["content-length"] == str(len(answer.content))
    statuses = [line.split()[1] for line in answer.text.splitlines() if line.startswith("HTTP/1.1")]
    assert statuses == ["200", "400", "200", "200"]
    assert "maxpagesize" in answer.text
    monkeypatch.setattr(envelope, "KEPT_BYTES_MAX", 20 * KIB)
    answer = http.post("$batch", content=body, headers=headers)
    statuses = [line.split()[1] for line in answer.text.splitlines() if line.startswith("HTTP/1.1")]
    assert statuses == ["400", "400", "400", "200"]


@pytest.mark.parametrize("encoding", ["gzip", "deflate, gzip", "br"])
def test_a_packed_body_is_refused(account: str, serve: Start, service: Service, encoding: str) -> None:
    http = serve(service)
    body = json.dumps({"name": "x"}).encode()
    answer = http.post("accounts", content=body, headers={"Content-Encoding": encoding})
    assert answer.status_code == 415
    assert encoding in answer.json()["error"]["message"]
    assert http.post("accounts", content=body, headers={"Content-Encoding": "identity"}).status_code == 204
    part = (
        f"--b\r\nContent-Type: application/http\r\n\r\nPOST accounts HTTP/1.1\r\nContent-Encoding: {encoding}\r\n\r\n"
    )
    batch = http.post(
        "$batch",
        content=part.encode() + body + b"\r\n--b--\r\n",
        headers={"Content-Type": "multipart/mixed; boundary=b"},
    )
    assert "HTTP/1.1 415" in batch.text


def test_a_file_whose_client_leaves_is_not_read_on(
    service: Service, serve: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[float] = []

    def pieces() -> Iterator[bytes]:
        for _ in range(200):
            read.append(time.monotonic())
            yield bytes(256 * KIB)

    endless = webapi_app.Answer(200, stream=webapi_app.sending.Stream(200 * 256 * KIB, pieces()))
    monkeypatch.setattr(webapi_app.dispatch, "answer", lambda exchange, service: endless)
    with closing(Reader(serve(service), "accounts")) as reader:
        assert reader.first().startswith(b"HTTP/1.1 200")
    time.sleep(0.3)
    count = len(read)
    time.sleep(0.3)
    assert len(read) == count < 50
