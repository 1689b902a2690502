from __future__ import annotations

import json
import re
import threading
import uuid

import httpx
import pytest
from tests.acceptance.webapi.conftest import created, error_of


def part(request: str, body: str = "", *, content_id: str | None = None, headers: str = "") -> str:
    mime = "Content-Type: application/http\nContent-Transfer-Encoding: binary\n"
    mime += f"Content-ID: {content_id}\n" if content_id else ""
    return f"{mime}\n{request} HTTP/1.1\n{headers}" + (
        f"Content-Type: application/json\n\n{body}\n" if body else "\n\n"
    )


def batch(*parts: str, boundary: str = "batch_x") -> str:
    return "".join(f"--{boundary}\n{one}" for one in parts) + f"--{boundary}--\n"


def changes(*parts: str) -> str:
    return "Content-Type: multipart/mixed; boundary=changeset_y\n\n" + batch(*parts, boundary="changeset_y") + "\n"


def send(http: httpx.Client, text: str, line_end: str = "\r\n", **headers: str) -> httpx.Response:
    kind = {"Content-Type": 'multipart/mixed; boundary="batch_x"', **headers}
    return http.post("$batch", content=text.replace("\n", line_end).encode(), headers=kind)


def statuses(answer: httpx.Response) -> list[int]:
    return [int(found) for found in re.findall(r"^HTTP/1\.1 (\d+) \w", answer.text, re.MULTILINE)]


def bodies(answer: httpx.Response) -> list[dict[str, object]]:
    return [json.loads(line) for line in answer.text.splitlines() if line.startswith("{")]


@pytest.mark.parametrize("line_end", ["\r\n", "\n"])
def test_reads_and_writes_are_answered_in_their_order(http: httpx.Client, account: str, line_end: str) -> None:
    text = batch(
        part("GET /api/data/v9.2/accounts?$select=name&$filter=name eq 'Contoso'"),
        part("POST accounts", '{"name":"Second"}'),
        part(f"PATCH {http.base_url}{account}", '{"name":"Renamed"}'),
        part("GET accounts?$select=name&$orderby=name", headers="Prefer: odata.maxpagesize=1\n"),
    )
    answer = send(http, text, line_end)
    assert answer.status_code == 200
    kind = answer.headers["content-type"]
    assert re.fullmatch(r"multipart/mixed; boundary=batchresponse_[0-9a-f-]{36}", kind)
    assert statuses(answer) == [200, 204, 204, 200]
    first, last = bodies(answer)
    assert [row["name"] for row in first["value"]] == ["Contoso"]  # type: ignore[attr-defined]
    assert [row["name"] for row in last["value"]] == ["Renamed"]  # type: ignore[attr-defined]
    assert "@odata.nextLink" in last
    assert answer.text.count("\r\n") == answer.text.count("\n")
    assert answer.text.rstrip().endswith(f"--{kind.partition('boundary=')[2]}--")


def test_a_change_set_refers_to_what_it_made(http: httpx.Client) -> None:
    text = batch(
        changes(
            part("POST contacts", '{"lastname":"Lovelace"}', content_id="1"),
            part("POST accounts", '{"name":"Contoso","primarycontactid@odata.bind":"$1"}', content_id="2"),
            part("PATCH $2", '{"telephone1":"1"}', content_id="3"),
        )
    )
    answer = send(http, text)
    assert (answer.status_code, statuses(answer)) == (200, [204, 204, 204])
    assert re.findall(r"Content-ID: (\d)", answer.text) == ["1", "2", "3"]
    assert "boundary=changesetresponse_" in answer.text
    assert answer.text.count("\r\nLocation: ") == 2
    row = http.get("accounts?$select=name,telephone1&$expand=primarycontactid($select=lastname)").json()["value"][0]
    assert (row["telephone1"], row["primarycontactid"]["lastname"]) == ("1", "Lovelace")


def test_a_change_set_that_fails_leaves_nothing(http: httpx.Client) -> None:
    text = batch(
        changes(
            part("POST accounts", '{"name":"one"}', content_id="1"),
            part("POST accounts", '{"nmae":"two"}', content_id="2"),
        ),
        part("POST accounts", '{"name":"three"}'),
    )
    answer = send(http, text)
    assert (answer.status_code, statuses(answer)) == (400, [400])
    assert bodies(answer)[0]["error"]["message"].startswith("Invalid property 'nmae'")  # type: ignore[index]
    assert http.get("accounts/$count").text == "\ufeff0"
    answer = send(http, text, Prefer="odata.continue-on-error")
    assert (answer.status_code, statuses(answer)) == (200, [400, 204])
    assert [row["name"] for row in http.get("accounts").json()["value"]] == ["three"]


def test_the_first_failure_stops_a_batch_unless_the_client_prefers_to_go_on(http: httpx.Client) -> None:
    text = batch(part(f"GET accounts({uuid.uuid4()})"), part("GET nothing"), part("POST accounts", '{"name":"x"}'))
    answer = send(http, text)
    assert (answer.status_code, statuses(answer)) == (400, [404])
    assert bodies(answer)[0]["error"]["code"] == "0x80040217"  # type: ignore[index]
    answer = send(http, text, Prefer="odata.continue-on-error")
    assert (answer.status_code, statuses(answer)) == (200, [404, 404, 204])


def test_a_job_cannot_be_created_in_a_batch(http: httpx.Client) -> None:
    answer = send(http, batch(part("POST asyncoperations", '{"name":"x"}')))
    assert statuses(answer) == [405]
    assert http.get("asyncoperations/$count").text == "\ufeff0"


def test_a_reference_to_nothing_is_refused(http: httpx.Client) -> None:
    answer = send(http, batch(changes(part("PATCH $7", '{"name":"x"}', content_id="1"))))
    assert statuses(answer) == [400]
    assert "Content-ID Reference: '$7' does not exist in the batch context." in answer.text


def test_a_long_fetch_fits_into_a_batch(http: httpx.Client, account: str) -> None:
    values = "".join(f"<value>{'x' * 100}{i}</value>" for i in range(400))
    condition = f"<condition attribute='name' operator='not-in'>{values}</condition>"
    fetch = f"<fetch><entity name='account'><filter>{condition}</filter></entity></fetch>"
    assert len(fetch) > 40_000
    assert http.get("accounts", params={"fetchXml": fetch}).status_code == 414
    answer = send(http, batch(part(f"GET accounts?fetchXml={fetch.replace('&', '%26')}")))
    assert statuses(answer) == [200], answer.text[:500]


def test_a_batch_in_a_batch_and_a_body_that_is_no_batch_are_refused(http: httpx.Client) -> None:
    assert statuses(send(http, batch(part("POST $batch", "{}")))) == [400]
    assert error_of(http.post("$batch", json={}))[:2] == (400, "0x80048d19")
    assert error_of(http.get("$batch"))[0] == 400
    assert created(http, "accounts", {"name": "still here"})


def test_addresses_may_be_absolute_rooted_or_bare_but_of_this_service(http: httpx.Client, account: str) -> None:
    for address in (f"{http.base_url}{account}", f"/api/data/v9.0/{account}", f"/{account}", account):
        assert statuses(send(http, batch(part(f"GET {address}?$select=name")))) == [200], address
    elsewhere = f"{http.base_url}{account}".replace("127.0.0.1", "adjourn.example")
    for address in (elsewhere, f"https://user@adjourn.example/api/data/v9.2/{account}", f"//adjourn.example/{account}"):
        answer = send(http, batch(part(f"DELETE {address}")))
        assert (answer.status_code, statuses(answer)) == (400, [400]), address
        assert "adjourn.example" in answer.text
        assert bodies(answer)[0]["error"]["code"] == "0x80048d19"  # type: ignore[index]
    assert http.get(account).status_code == 200


def test_blanks_and_blank_lines_stray_in_parts_are_passed_over(http: httpx.Client, account: str) -> None:
    text = (
        "a preamble that nobody reads\n\n--batch_x  \n\n\n"
        "content-type:application/http\ncontent-transfer-encoding: binary\n\n\n\n"
        f"GET   /api/data/v9.2/{account}?$select=name   HTTP/1.1\nAccept: application/json\n\n\n\n"
        "--batch_x\nContent-Type: application/http\n\n"
        "POST accounts HTTP/1.1\nContent-Type: application/json\nPrefer: return=representation\n\n\n"
        '{"name":"second"}\n\n\n--batch_x--\nan epilogue\n'
    )
    for line_end in ("\n", "\r\n"):
        answer = send(http, text, line_end)
        assert statuses(answer) == [200, 201], answer.text
        assert [body["name"] for body in bodies(answer)] == ["Contoso", "second"]


def test_a_boundary_that_begins_another_is_not_taken_for_it(http: httpx.Client, account: str) -> None:
    """Boundaries of a batch and its change set that begin alike, quoted or not, with characters that mean something in patterns."""
    inner = "b+1.x"
    change = f'Content-Type: multipart/mixed; boundary="{inner}"\n\n'
    change += batch(part(f"PATCH {account}", '{"name":"--b+1"}', content_id="1"), boundary=inner)
    text = batch(change, part(f"GET {account}?$select=name"), boundary="b+1")
    for kind in (
        'multipart/mixed; boundary="b+1"',
        "multipart/mixed;boundary=b+1",
        "Multipart/Mixed; charset=utf-8; BOUNDARY=b+1",
    ):
        answer = http.post("$batch", content=text.replace("\n", "\r\n").encode(), headers={"Content-Type": kind})
        assert statuses(answer) == [204, 200], answer.text
        assert bodies(answer)[0]["name"] == "--b+1"


def test_content_ids_are_unique_and_known_only_in_their_change_set(http: httpx.Client) -> None:
    twice = changes(*(part("POST accounts", '{"name":"x"}', content_id="1") for _ in range(2)))
    assert "stands twice" in send(http, batch(twice)).text
    first = changes(part("POST accounts", '{"name":"x"}', content_id="1"))
    other = changes(part("PATCH $1", '{"name":"y"}', content_id="2"))
    answer = send(http, batch(first, other))
    assert statuses(answer) == [204, 400]
    assert "Content-ID Reference: '$1' does not exist" in answer.text
    backwards = changes(
        part("PATCH $2", '{"name":"y"}', content_id="1"), part("POST accounts", '{"name":"x"}', content_id="2")
    )
    assert statuses(send(http, batch(backwards))) == [400]
    assert http.get("accounts/$count").text == "\ufeff1"


def test_references_reach_into_what_was_made(http: httpx.Client) -> None:
    text = batch(
        changes(
            part("POST accounts", '{"name":"x"}', content_id="1"),
            part("POST contacts", '{"lastname":"y"}', content_id="2"),
            part("PUT $1/primarycontactid/$ref", '{"@odata.id":"$2"}', content_id="3"),
            part("PUT $1/telephone1", '{"value":"5"}', content_id="4"),
            part("POST $1/Account_Tasks", '{"subject":"z"}', content_id="5"),
        )
    )
    answer = send(http, text)
    assert statuses(answer) == [204] * 5, answer.text
    (row,) = http.get("accounts?$expand=primarycontactid($select=lastname)").json()["value"]
    assert (row["telephone1"], row["primarycontactid"]["lastname"]) == ("5", "y")
    assert len(http.get(f"accounts({row['accountid']})/Account_Tasks").json()["value"]) == 1


def test_1000_creates_of_a_change_set_are_seen_at_once_or_not_at_all(http: httpx.Client) -> None:
    text = batch(changes(*[part("POST accounts", f'{{"name":"{n}"}}', content_id=str(n)) for n in range(1000)]))
    seen, done = set(), threading.Event()

    def look() -> None:
        while not done.is_set():
            seen.add(int(http.get("accounts/$count").text.removeprefix("\ufeff")))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        answer = send(http, text)
    finally:
        done.set()
        watcher.join()
    assert statuses(answer) == [204] * 1000
    assert seen <= {0, 1000}
    assert 0 in seen
    assert http.get("accounts/$count").text == "\ufeff1000"


def test_more_than_1000_requests_are_refused_and_nothing_of_them_is_done(http: httpx.Client) -> None:
    one = part("POST accounts", '{"name":"x"}')
    for text in (batch(*[one] * 1001), batch(changes(*[one] * 600), changes(*[one] * 401))):
        status, code, message = error_of(send(http, text))
        assert (status, code) == (400, "0x80048d19")
        assert "1000" in message
    assert http.get("accounts/$count").text == "\ufeff0"


@pytest.mark.parametrize("preference", ["odata.continue-on-error", "odata.continue-on-error=true", "Continue-On-Error"])
def test_going_on_after_an_error_is_preferred_in_each_of_its_spellings(http: httpx.Client, preference: str) -> None:
    text = batch(part("GET nothing"), part("POST accounts", '{"name":"x"}'))
    assert send(http, text, Prefer=preference).status_code == 200
    assert statuses(send(http, text, Prefer="odata.continue-on-error=false")) == [404]


def test_change_sets_cannot_be_nested_and_hold_no_batch(http: httpx.Client) -> None:
    inner = changes(part("POST accounts", '{"name":"x"}')).replace("changeset_y", "changeset_z")
    assert error_of(send(http, batch(changes(inner))))[:2] == (400, "0x80048d19")
    answer = send(http, batch(changes(part("POST $batch", "{}", content_id="1"))))
    assert (answer.status_code, statuses(answer)) == (400, [400])
    assert http.get("accounts/$count").text == "\ufeff0"
