"""What stands in front of the data: tokens, addresses, verbs, limits, hostile bytes, health and metrics."""

from __future__ import annotations

import contextlib
import json
import socket

import httpx
import pytest
from lxml import etree
from tests.acceptance.webapi.conftest import TOKEN, error_of

from adjourn import config
from adjourn.service import Service

EDM = "{http://docs.oasis-open.org/odata/ns/edm}"


@pytest.fixture
def sqlite_http(sqlite_store, serve) -> httpx.Client:  # type: ignore[no-untyped-def]
    """These tests do not depend on the store."""
    return serve(Service(sqlite_store))


@pytest.fixture
def http(sqlite_http: httpx.Client) -> httpx.Client:
    return sqlite_http


def origin(http: httpx.Client) -> str:
    return str(http.base_url).partition("/api/")[0]


@pytest.mark.parametrize("token", [None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x"])
def test_without_the_right_token_nothing_is_answered(http: httpx.Client, token: str | None) -> None:
    headers = {} if token is None else {"Authorization": token}
    for address in ("", "WhoAmI", "$metadata", "nothing", "accounts?$filter=("):
        answer = httpx.get(f"{http.base_url}{address}", headers=headers)
        assert error_of(answer)[:2] == (401, "0x80044302")
        host = origin(http)
        assert (
            answer.headers["www-authenticate"]
            == f"Bearer authorization_uri={host}/oauth2/authorize, resource_id={host}/"
        )
    assert httpx.post(f"{http.base_url}accounts", headers=headers, json={"name": "x"}).status_code == 401


@pytest.mark.parametrize("version", ["v9.0", "v9.1", "v9.2", "v9.99"])
def test_every_v9_is_served_and_answers_with_its_own_address(http: httpx.Client, version: str) -> None:
    answer = http.get(f"{origin(http)}/api/data/{version}/WhoAmI")
    assert answer.json()["@odata.context"].startswith(f"{origin(http)}/api/data/{version}/$metadata#")


@pytest.mark.parametrize("path", ["/api/data/", "/api/data/v8.2/accounts", "/api/data/v9/accounts", "/nothing", "/api"])
def test_an_address_where_nothing_is_says_where_the_api_is(http: httpx.Client, path: str) -> None:
    status, code, text = error_of(http.get(f"{origin(http)}{path}"))
    assert (status, code) == (404, "0x8006088a")
    assert "/api/data/v9.2/" in text


@pytest.mark.parametrize(
    ("method", "address", "allowed"),
    [
        ("PUT", "accounts", "GET, POST"),
        ("DELETE", "accounts", "GET, POST"),
        ("POST", "accounts(0190a3c2-7c1e-7b30-9d2a-5f6e7d8c9b0a)", "GET, PATCH, DELETE"),
        ("PATCH", "accounts(0190a3c2-7c1e-7b30-9d2a-5f6e7d8c9b0a)/name", "GET, PUT, DELETE"),
        ("POST", "$metadata", "GET"),
        ("POST", "", "GET"),
        ("MOVE", "accounts", "GET, POST"),
    ],
)
def test_the_wrong_verb_is_refused_by_name(http: httpx.Client, method: str, address: str, allowed: str) -> None:
    answer = http.request(method, address)
    text = f"The requested resource does not support http method '{method}'."
    assert error_of(answer) == (405, "0x0", text)
    assert answer.headers["allow"] == allowed


def test_verbs_outside_the_api_too(http: httpx.Client) -> None:
    assert error_of(http.post(f"{origin(http)}/healthz"))[0] == 405


def test_health_needs_no_token_and_tells_nothing(http: httpx.Client) -> None:
    assert httpx.get(f"{origin(http)}/healthz").json() == {"status": "ok"}
    assert httpx.get(f"{origin(http)}/readyz").json() == {"status": "ready"}
    details = http.get(f"{origin(http)}/readyz").json()
    assert set(details) == {"status", "database", "now", "turn"}
    assert (details["database"], details["turn"]) == ("sqlite", None)
    page = httpx.get(f"{origin(http)}/")
    assert page.status_code == 200
    assert "adjourn" in page.text


def test_metrics_need_a_token_and_count_requests_and_jobs(http: httpx.Client) -> None:
    assert error_of(httpx.get(f"{origin(http)}/metrics"))[0] == 401
    http.get("nothing")
    text = http.get(f"{origin(http)}/metrics").text
    assert 'adjourn_http_requests_total{method="GET",status="404"} 1.0' in text
    assert "# TYPE adjourn_jobs gauge" in text


def test_a_body_over_the_limit_is_refused_before_it_is_read(
    http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "BODY_BYTES_MAX", 1000)
    assert error_of(http.post("accounts", content=b"x" * 1001))[:2] == (413, "0x8004418a")
    chunks = (b"x" * 500 for _ in range(10))
    assert error_of(http.post("accounts", content=chunks))[:2] == (413, "0x8004418a")
    assert http.get("WhoAmI").status_code == 200


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff\xfe", b'{"name": "\xff"}', b'{"name":' + b"[" * 5000, b"null"])
def test_bytes_that_are_no_json_object_are_refused(http: httpx.Client, body: bytes) -> None:
    assert error_of(http.post("accounts", content=body))[:2] == (400, "0x80048d19")


def test_an_error_inside_shows_an_id_and_no_more(
    http: httpx.Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise KeyError("a secret of the inside")

    monkeypatch.setattr(Service, "retrieve_multiple", broken)
    status, code, text = error_of(http.get("accounts"))
    assert (status, code) == (500, "0x80040216")
    assert "secret" not in text
    error_id = text.rpartition("id ")[2].rstrip(".")
    assert error_id in capsys.readouterr().out


def test_an_acting_user_is_the_caller(http: httpx.Client) -> None:
    system = {"MSCRMCallerID": config.SYSTEM_USER_ID}
    assert http.get("WhoAmI", headers=system).json()["UserId"] == config.SYSTEM_USER_ID
    assert http.get("WhoAmI", headers={"MSCRMCallerID": "nobody"}).status_code == 400
    unknown = {"MSCRMCallerID": "0190a3c2-7c1e-7b30-9d2a-5f6e7d8c9b0a"}
    assert error_of(http.get("WhoAmI", headers=unknown))[1] == "0x80072560"


@pytest.mark.parametrize("header", [{"MSCRM.SuppressDuplicateDetection": "false"}])
def test_a_header_that_asks_for_what_we_do_not_do_is_refused(http: httpx.Client, header: dict[str, str]) -> None:
    status, _, text = error_of(http.post("accounts", json={"name": "x"}, headers=header))
    assert status == 400
    assert next(iter(header)).lower() in text.lower()


def raw(http: httpx.Client, request: bytes) -> bytes:
    """What the server says before it closes; b"" when it closed while bytes were still coming."""
    found = b""
    with (
        contextlib.suppress(ConnectionError),
        socket.create_connection(("127.0.0.1", http.base_url.port or 80), timeout=10) as connection,
    ):
        connection.sendall(request)
        while piece := connection.recv(65_536):
            found += piece
    return found


def test_addresses_follow_the_host_that_the_client_used(http: httpx.Client) -> None:
    request = f"GET /api/data/v9.2/WhoAmI HTTP/1.1\r\nHost: org.example:99\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n"
    assert b'"http://org.example:99/api/data/v9.2/$metadata#' in raw(http, request.encode())
    hostile = request.replace("org.example:99", 'x"><script>')
    assert raw(http, hostile.encode()).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x00" * 1000,
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /api/data/v9.2/accounts?$filter=name eq 'x' HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: " + b"x" * 300_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 40_000 + b"\r\n",
        b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /api/data/v9.2/accounts HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /api/data/v9.2/accounts HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_request_gets_400_and_the_server_lives_on(http: httpx.Client, request_bytes: bytes) -> None:
    found = raw(http, request_bytes)
    assert found == b"" or found.startswith((b"HTTP/1.1 400", b"HTTP/1.1 401"))
    if found:
        head, _, body = found.partition(b"\r\n\r\n")
        assert b"application/json; odata.metadata=minimal" in head
        assert json.loads(body)["error"]["message"]
    assert http.get("WhoAmI").status_code == 200


def test_the_service_document_lists_every_set(http: httpx.Client) -> None:
    body = http.get("").json()
    assert {"name": "asyncoperations", "kind": "EntitySet", "url": "asyncoperations"} in body["value"]
    assert body["@odata.context"] == f"{http.base_url}$metadata"


def test_metadata_describes_every_table_and_every_name_in_it_exists(http: httpx.Client) -> None:
    answer = http.get("$metadata")
    assert answer.headers["content-type"].startswith("application/xml")
    root = etree.fromstring(answer.content)
    types = {found.get("Name"): found for found in root.iter(f"{EDM}EntityType")}
    jobs = types["asyncoperation"]
    assert [found.get("Name") for found in jobs.iter(f"{EDM}PropertyRef")] == ["asyncoperationid"]
    properties = {found.get("Name"): found.get("Type") for found in jobs.iter(f"{EDM}Property")}
    assert properties["createdon"] == "Edm.DateTimeOffset"
    assert properties["_ownerid_value"] == "Edm.Guid"
    for entity in types.values():
        names = {found.get("Name") for found in entity.findall(f"{EDM}Property")}
        for navigation in entity.findall(f"{EDM}NavigationProperty"):
            target = navigation.get("Type").removeprefix("Collection(").rstrip(")").removeprefix("mscrm.")
            assert target in types
            for constraint in navigation.findall(f"{EDM}ReferentialConstraint"):
                assert constraint.get("Property") in names
    sets = {found.get("Name"): found.get("EntityType") for found in root.iter(f"{EDM}EntitySet")}
    assert sets["accounts"] == "mscrm.account"


def test_a_table_is_found_by_its_logical_name(http: httpx.Client) -> None:
    # What the official Python client asks first.
    wanted = "$select=LogicalName,EntitySetName,PrimaryIdAttribute&$filter=LogicalName eq 'asyncoperation'"
    found = {
        "LogicalName": "asyncoperation",
        "EntitySetName": "asyncoperations",
        "PrimaryIdAttribute": "asyncoperationid",
    }
    rows = http.get(f"EntityDefinitions?{wanted}").json()["value"]
    assert len(rows) == 1
    assert found.items() <= rows[0].items()
    one = http.get(
        "EntityDefinitions(LogicalName='asyncoperation')?$select=LogicalName,EntitySetName,PrimaryIdAttribute"
    )
    assert found.items() <= one.json().items()
    by_id = http.get(f"EntityDefinitions({one.json()['MetadataId']})").json()
    assert by_id["ObjectTypeCode"] == 4700
    assert http.get("EntityDefinitions?$select=LogicalName&$filter=LogicalName eq 'nothing'").json()["value"] == []
    assert error_of(http.get("EntityDefinitions(LogicalName='acount')"))[2].endswith("Did you mean 'account'?")
    assert error_of(http.get("EntityDefinitions?$top=1"))[0] == 400
