"""Input that means harm, against a real server process: each gets its documented code, changes nothing, costs little.

The memory is the process's high-water mark, reset before each request; the limits are generous for a machine that does
other work, and far below what the input would cost if it were taken at its word.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus, unquote

import httpx
import pytest
from tests.acceptance.webapi.test_batch import batch, changes, part, send, statuses
from tests.support.serving import TOKEN, Serving, serving

SECONDS_MAX = 5.0
MEGABYTES_MAX = 60
DEEP = 100_000


@pytest.fixture(scope="module")
def service(_sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    path = tmp_path_factory.mktemp("hostile") / "adjourn.db"
    shutil.copyfile(_sqlite_template, path)
    with serving(f"sqlite:///{path}", "--processes", "0", "--plugins", "tests.acceptance.webapi.plugins") as running:
        running.http.post("accounts", json={"name": "Contoso"})
        running.http.get("accounts?$filter=name eq 'warm'")
        yield running


class Watch:
    """Sends, and checks what sending cost and that it changed nothing."""

    def __init__(self, service: Serving) -> None:
        self.http = service.http
        self._status = Path(f"/proc/{service.pid}/status")
        self._reset = Path(f"/proc/{service.pid}/clear_refs")

    def _megabytes(self, name: str) -> float:
        found = re.search(rf"{name}:\s+(\d+) kB", self._status.read_text())
        assert found
        return int(found[1]) / 1024

    def refused(
        self, method: str, path: str, status: int | tuple[int, ...], code: str | None, text: str = "", **more: object
    ) -> str:
        before_rows = self._rows()
        self._reset.write_text("5")
        before, began = self._megabytes("VmRSS"), time.monotonic()
        answer = self.http.request(method, path, **more)  # type: ignore[arg-type]
        seconds, growth = time.monotonic() - began, self._megabytes("VmHWM") - before
        found = answer.json()["error"]
        expected = status if isinstance(status, tuple) else (status,)
        assert answer.status_code in expected, (answer.status_code, found)
        assert code is None or found["code"] == code, found
        assert text in found["message"], found["message"][:500]
        assert len(answer.content) < 20_000
        assert seconds < SECONDS_MAX
        assert growth < MEGABYTES_MAX, f"{growth:.0f} MB"
        assert self._rows() == before_rows
        return str(found["message"])

    def _rows(self) -> list[str]:
        return [
            self.http.get(f"{name}/$count").text for name in ("accounts", "contacts", "asyncoperations", "sdkmessages")
        ]


@pytest.fixture
def watch(service: Serving) -> Watch:
    return Watch(service)


# ------------------------------------------------------------------------------------------------ XML
FETCH = "<fetch><entity name='account'><attribute name='name'/></entity></fetch>"
BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    "declared",
    [
        BOMB,
        '<!DOCTYPE fetch SYSTEM "file:///etc/passwd">',
        '<!DOCTYPE fetch [<!ENTITY % x SYSTEM "http://127.0.0.1:1/">%x;]>',
        '<?xml version="1.0"?><!DOCTYPE fetch>',
    ],
)
def test_a_doctype_is_refused_whatever_it_declares(watch: Watch, declared: str) -> None:
    watch.refused("GET", "accounts", 400, "0x80040201", "document type", params={"fetchXml": declared + FETCH})


@pytest.mark.parametrize(
    "element", ["filter", "a", "link-entity name='contact' from='contactid' to='primarycontactid'"]
)
def test_100000_nested_elements_cost_nothing(watch: Watch, service: Serving, element: str) -> None:
    name = element.partition(" ")[0]
    for depth in (DEEP, 60_000 // (len(element) + len(name) + 5)):
        nested = f"<{element}>" * depth + f"</{name}>" * depth
        text = FETCH.replace("</entity>", f"{nested}</entity>")
        if depth == DEEP:
            assert raw(service, b"/api/data/v9.2/accounts?fetchXml=" + quote(text).encode())[0] in (0, 400, 414)
        began = time.monotonic()
        answer = send(service.http, batch(part(f"GET accounts?fetchXml={quote(text, safe='<> =/')}")))
        assert time.monotonic() - began < SECONDS_MAX
        assert statuses(answer) in ([400], [414]), answer.text[:300]


def test_what_is_no_xml_is_refused_with_its_position(watch: Watch) -> None:
    for text in (
        "",
        "x",
        "<fetch",
        FETCH + FETCH,
        "<fetch>&x;</fetch>",
        FETCH.replace("name='name'", "name='name' name='x'"),
        "\ufffe",
    ):
        watch.refused("GET", "accounts", 400, None, params={"fetchXml": text})


# ------------------------------------------------------------------------------------------------ filters
def asked(path: str, option: str, text: str) -> str:
    """An address with as little encoding as there can be: the limit counts it."""
    return f"{path}?{option}={quote_plus(text, safe=SAFE)}"


SAFE = "()$,/:;[]'@"


@pytest.mark.parametrize(
    "text",
    [
        "(" * 10_000 + "name eq 'x'" + ")" * 10_000,
        "(" * 10_000,
        ")" * 10_000,
        "not " * 7_500 + "(name eq 'x')",
        "not(" * 6_000 + "name eq 'x'" + ")" * 6_000,
        " and ".join(["name eq 'x'"] * 2_000),
        " or ".join(["statecode eq 1"] * 1_500),
        "contains(" * 3_000,
        "Account_Tasks/any(x:" * 1_000 + ")" * 1_000,
        "primarycontactid/" * 1_500 + "name eq 'x'",
        "statecode eq " + "-" * 20_000 + "1",
        "'" * 19_999,
        "name eq " + "9" * 20_000,
        "revenue eq 1e" + "9" * 10_000,
        "Microsoft.Dynamics.CRM.In(PropertyName='name',PropertyValues=[" + "[" * 10_000,
    ],
    ids=lambda text: text[:24],
)
def test_filters_beyond_all_measure_are_refused(watch: Watch, text: str) -> None:
    for path in ("accounts", "asyncoperations/$count"):
        watch.refused("GET", asked(path, "$filter", text), 400, None)
    watch.refused("GET", asked("accounts", "$apply", f"filter({text})/aggregate($count as n)"), 400, None)
    watch.refused("GET", asked("EntityDefinitions", "$filter", text), 400, None)


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("$select", ",".join(["nmae"] * 6_000)),
        ("$expand", "primarycontactid($expand=" * 1_000 + ")" * 1_000),
        ("$expand", ",".join(["primarycontactid"] * 1_800)),
        ("$apply", "groupby((" * 3_000),
        ("$apply", "/".join(["filter(statecode eq 1)"] * 1_200)),
        ("$top", "9" * 5_000),
        ("$top", "-1"),
        ("$skip", "1"),
        ("$search", "x"),
        ("$format", "xml"),
        ("$levels", "max"),
        ("$skiptoken", "x" * 20_000),
        ("fetchXml", "<" * 9_000),
    ],
    ids=lambda text: text[:12],
)
def test_options_beyond_all_measure_are_refused(watch: Watch, option: str, text: str) -> None:
    unsupported = option in ("$skip", "$search", "$format", "$levels")
    watch.refused(
        "GET", asked("accounts", option, text), 501 if unsupported else 400, "0x80060888" if unsupported else None
    )


@pytest.mark.parametrize(
    ("option", "text"),
    [("$filter", "name in (" + ",".join(["'x'"] * 7_000) + ")"), ("$orderby", ",".join(["name desc"] * 3_000))],
    ids=["in", "orderby"],
)
def test_long_lists_are_answered(service: Serving, option: str, text: str) -> None:
    began = time.monotonic()
    assert service.http.get(asked("accounts", option, text)).status_code == 200
    assert time.monotonic() - began < SECONDS_MAX


# ------------------------------------------------------------------------------------------------ bodies
def test_100_megabytes_are_refused_before_they_are_read(watch: Watch) -> None:
    body = b'{"name":"' + b"x" * 100_000_000 + b'"}'
    for path in ("accounts", "greet", "$batch", "EntityDefinitions", "accounts/Microsoft.Dynamics.CRM.CreateMultiple"):
        watch.refused("POST", path, 413, "0x8004418a", "67,108,864", content=body)


def test_100_megabytes_without_a_length_are_refused_when_the_limit_is_passed(service: Serving) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(1_600):
            yield b"x" * 65_536

    try:
        answer = service.http.post("accounts", content=pieces())
    except httpx.WriteError:
        pass  # it had answered and closed while we were still writing
    else:
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "0x8004418a")
    assert service.http.get("WhoAmI").status_code == 200


NUMBER = {"numberofemployees": 0}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ('{"name":' + "[" * DEEP + "]" * DEEP + "}", "nested deeper"),
        ('{"name":' + '{"a":' * DEEP + "1" + "}" * DEEP + "}", "nested deeper"),
        ("[" * 10_000_000, "nested deeper"),
        ('{"name":"' + "x" * 10_000_000 + '"}', "length"),
        ('{"numberofemployees":1e999999}', ""),
        ('{"numberofemployees":' + "9" * 1_000_000 + "}", ""),
        ('{"revenue":1e400}', ""),
        ('{"revenue":1e999999999999}', ""),
        ('{"revenue":NaN}', "JSON"),
        ('{"revenue":Infinity}', "JSON"),
        ('{"name":"\\ud800"}', ""),
        ('{"name":"\\udc00\\ud800"}', ""),
        ('{"name":"a\\u0000b"}', ""),
        ('{"\\ud800":1}', ""),
        ('{"name":"x"', "JSON"),
        ('{"name":"x"}}', "JSON"),
        ('{"name":"x",}', "JSON"),
        ("nul", "JSON"),
        ("[]", "object"),
        ("", "body"),
        (" " * 1_000_000, "body"),
        ("{" + ",".join(f'"x{n}":1' for n in range(200_000)) + "}", ""),
        ('{"Account_Tasks":[' + ",".join(["{}"] * 100_000) + "]}", ""),
        ('{"primarycontactid@odata.bind":"' + "/contacts(" * 100_000 + '"}', ""),
        ('{"accountid":"' + "0" * 100_000 + '"}', ""),
    ],
    ids=lambda text: text[:24],
)
def test_json_that_means_harm_is_refused(watch: Watch, body: str, text: str) -> None:
    watch.refused("POST", "accounts", 400, None, text, content=body.encode())


def test_bytes_that_are_no_utf8_are_refused(watch: Watch) -> None:
    for body in (
        b'{"name":"\xff"}',
        b'{"name":"\xed\xa0\x80"}',
        b'{"name":"\xc0\xaf"}',
        b"\xff\xfe{\x00}\x00",
        b"\x00" * 100,
    ):
        watch.refused("POST", "accounts", 400, "0x80048d19", content=body)


def test_a_name_that_stands_twice_counts_with_its_last_value(service: Serving) -> None:
    """As everywhere in JSON; there is no way to read the first and write the second."""
    answer = service.http.post(
        "accounts?$select=name", content=b'{"name":"a","name":"b"}', headers={"Prefer": "return=representation"}
    )
    assert answer.json()["name"] == "b"
    service.http.delete(f"accounts({answer.json()['accountid']})")


def test_batches_beyond_all_measure_are_refused(watch: Watch) -> None:
    kind = {"Content-Type": "multipart/mixed; boundary=batch_x"}
    one = part("POST accounts", '{"name":"x"}')
    for text in (
        batch(*[one] * 1_001),
        batch(*[changes(one)] * 1_001),
        batch(changes(*[one] * 1_001)),
        "--batch_x\n" * 500_000,
        "--batch_x" + " " * 1_000_000,
        "\n" * 1_000_000 + "--batch_x\n",
        "--batch_x\n" + "Content-Type: application/http\n" * 100_000,
        batch(one).replace("POST", "POST" * 100_000),
        batch("Content-Type: multipart/mixed; boundary=" + "y" * 100_000 + "\n\n"),
    ):
        watch.refused("POST", "$batch", 400, "0x80048d19", content=text.encode(), headers=kind)
    assert statuses(send(watch.http, batch(one).replace("accounts", "accounts?" + "x" * 1_000_000))) == [414]
    watch.refused(
        "POST",
        "$batch",
        400,
        "0x80048d19",
        content=b"x",
        headers={"Content-Type": "multipart/mixed; boundary=" + "y" * 9_000},
    )


def test_a_body_that_comes_byte_by_byte_holds_up_nobody(service: Serving) -> None:
    """Fifty of them at once, while others are answered."""
    head = f"POST /api/data/v9.2/accounts HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 1000\r\n\r\n"
    slow = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(100)]
    try:
        for connection in slow:
            connection.sendall(head.encode() + b"{")
        for _ in range(5):
            began = time.monotonic()
            assert service.http.get("accounts?$top=1").status_code == 200
            assert time.monotonic() - began < SECONDS_MAX
            for connection in slow:
                connection.sendall(b" ")
    finally:
        for connection in slow:
            connection.close()
    assert service.http.get("accounts/$count").text == "\ufeff1"


# ------------------------------------------------------------------------------------------------ addresses
def raw(service: Serving, target: bytes) -> tuple[int, bytes]:
    """Send exactly these bytes as the target of a GET; the status and the body of the answer.

    Status 0: the server closed before it had read them all.
    """
    headers = b"Host: 127.0.0.1\r\nConnection: close\r\nAuthorization: Bearer " + TOKEN.encode()
    answer = b""
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
        try:
            connection.sendall(b"GET " + target + b" HTTP/1.1\r\n" + headers + b"\r\n\r\n")
            while piece := connection.recv(65_536):
                answer += piece
        except ConnectionError:
            return 0, b""
    first, _, body = answer.partition(b"\r\n\r\n")
    return int(first.split(b" ")[1]), body


@pytest.mark.parametrize(
    "target",
    [
        b"/api/data/v9.2/../../../etc/passwd",
        b"/api/data/v9.2/%2e%2e/%2e%2e/etc/passwd",
        b"/api/data/v9.2/..%2f..%2fetc%2fpasswd",
        b"/api/data/v9.2/accounts/../contacts",
        b"/api/data/v9.2/accounts%00",
        b"/api/data/v9.2/accounts(%00)",
        b"/api/data/v9.2/accounts;x=1",
        b"/api/data/v9.2/accounts;/name",
        b"/api/data/v9.2/accounts%2f$count%00",
        b"/api/data/v9.2/accounts\\$count",
        b"/api/data/v9.2/%c0%ae%c0%ae/accounts",
        b"/api/data/v9.2/accounts%c0%af",
        b"/api/data/v9.2/%ed%a0%80",
        b"/api/data/v9.2/%ff",
        b"/api/data/v9.2/%",
        b"/api/data/v9.2/%zz",
        b"/api/data/v9.2/accounts(" + b"a" * 20_000 + b")",
        b"/api/data/v9.2/" + b"a" * 20_000,
        b"/api/data/v9.2/" + b"a/" * 10_000,
        b"/api/data/v9.2/" + b"primarycontactid/" * 1_500,
        b"/api/data/v9.2/accounts" + b"(" * 10_000,
        b"/api/data/v9.2/accounts('" + b"'" * 9_999 + b")",
        b"/api/data/v9.2/accounts?" + b"a=1&" * 5_000,
        b"/api/data/v9.2/accounts?$filter=%00",
        b"/api/data/v9.2/accounts?$filter=%ff",
        b"/api/data/v9.2/accounts?%00=1",
        b"/api/data/v10.2/accounts",
        b"/api/data/v9.2.1/accounts",
        b"/api/data/../v9.2/accounts",
        b"/API/data/v9.2/accounts",
        b"/api/data/v9.2/Accounts",
        b"//api/data/v9.2/accounts",
        b"/api//data/v9.2/accounts",
        b"http://127.0.0.1/api/data/v9.2/../accounts",
        b"*",
    ],
    ids=lambda target: target[:40].decode(),
)
def test_tricks_with_paths_lead_nowhere(service: Serving, target: bytes) -> None:
    began = time.monotonic()
    status, body = raw(service, target)
    assert time.monotonic() - began < SECONDS_MAX
    assert status in (400, 404, 414), body[:200]
    assert b"root:" not in body
    assert b"Contoso" not in body
    if status != 400 or body.startswith(b"{"):
        assert set(json.loads(body)["error"]) == {"code", "message"}


def test_empty_segments_are_passed_over(service: Serving) -> None:
    assert raw(service, b"/api/data/v9.2//accounts//$count")[0] == 200
    assert raw(service, b"/api/data/v9.2/accounts/")[0] == 200


# ------------------------------------------------------------------------------------------------ skip tokens
@pytest.fixture
def token(service: Serving) -> Iterator[str]:
    made = [service.http.post("contacts", json={"lastname": f"c{n}"}).headers["OData-EntityId"] for n in range(4)]
    answer = service.http.get("contacts?$select=lastname&$orderby=lastname", headers={"Prefer": "odata.maxpagesize=2"})
    yield unquote(answer.json()["@odata.nextLink"].partition("$skiptoken=")[2])
    for address in made:
        service.http.delete(address)


def test_skip_tokens_that_are_altered_or_of_another_question_are_refused(watch: Watch, token: str) -> None:
    question = {"$select": "lastname", "$orderby": "lastname"}
    assert len(watch.http.get("contacts", params={**question, "$skiptoken": token}).json()["value"]) == 2
    step = max(1, len(token) // 40)
    for place in range(0, len(token), step):
        altered = token[:place] + ("0" if token[place] != "0" else "1") + token[place + 1 :]
        watch.refused("GET", "contacts", 400, None, params={**question, "$skiptoken": altered})
    for other in ("accounts", "asyncoperations"):
        watch.refused("GET", other, 400, None, params={"$skiptoken": token})
    watch.refused(
        "GET", "contacts", 400, None, params={"$select": "lastname", "$orderby": "lastname desc", "$skiptoken": token}
    )
    watch.refused("GET", "contacts", 400, None, params={**question, "$skiptoken": token[: len(token) // 2]})
    watch.refused("GET", "contacts", 400, None, params={**question, "$skiptoken": token + token})


# ------------------------------------------------------------------------------------------------ names
@pytest.mark.parametrize(
    ("path", "status", "code", "text"),
    [
        ("acounts", 404, "0x8006088a", "Did you mean 'accounts'?"),
        ("WhoAmI/UserId", 404, "0x8006088a", "segment 'UserId': nothing can follow 'WhoAmI'."),
        ("account", 404, "0x8006088a", "Did you mean 'accounts'?"),
        ("accounts?$select=nmae", 400, "0x0", "Did you mean 'name'?"),
        ("accounts?$filter=nmae eq 'x'", 400, "0x0", "position 0"),
        ("accounts?$filter=name eq 'x' and nmae eq 'x'", 400, "0x0", "position 16"),
        ("accounts?$filter=name equals 'x'", 400, "0x0", "position 5"),
        ("accounts?$filter=name eq 'x", 400, "0x0", "unterminated literal at position 8"),
        ("accounts?$orderby=nmae", 400, "0x0", "Did you mean 'name'?"),
        ("accounts?$expand=primarycontact", 400, "0x0", "Did you mean 'primarycontactid'?"),
        ("accounts?$filtr=name eq 'x'", 400, None, "Did you mean '$filter'?"),
        ("accounts?fetchxml=x", 400, None, "Did you mean 'fetchXml'?"),
        (
            "accounts?$filter=Microsoft.Dynamics.CRM.LastXDay(PropertyName='createdon',PropertyValue=1)",
            400,
            None,
            "LastXDays",
        ),
        ("WhoAmi()", 404, None, "Did you mean 'WhoAmI'?"),
        ("EntityDefinitions(LogicalName='acount')", 404, None, "Did you mean 'account'?"),
    ],
)
def test_unknown_names_get_the_nearest_one_and_their_place(
    watch: Watch, path: str, status: int, code: str | None, text: str
) -> None:
    watch.refused("GET", path, status, code, text)


@pytest.mark.parametrize(
    ("text", "code", "expected"),
    [
        ("<fetch><entity name='acount'/></fetch>", None, "account"),
        ("<fetch><entity name='account'><attribute name='nmae'/></entity></fetch>", None, "Did you mean 'name'?"),
        ("<fetch><entity name='account'><atribute name='name'/></entity></fetch>", None, "attribute"),
        ("<fetch tpo='1'><entity name='account'/></fetch>", None, "top"),
        (
            "<fetch><entity name='account'><filter><condition attribute='name' operator='equal' value='x'/></filter></entity></fetch>",
            None, "eq",
        ),
    ],
)  # fmt: skip
def test_unknown_names_in_fetchxml(watch: Watch, text: str, code: str | None, expected: str) -> None:
    watch.refused("GET", "accounts", 400, code, expected, params={"fetchXml": text})


def test_unknown_names_in_bodies(watch: Watch) -> None:
    watch.refused("POST", "accounts", 400, "0x0", "Did you mean 'name'?", json={"nmae": "x"})
    watch.refused("POST", "greet", 400, None, "name", json={"nmae": "x"})
    watch.refused("POST", "accounts", 400, None, "contacts", json={"primarycontactid@odata.bind": "/contact(1)"})
