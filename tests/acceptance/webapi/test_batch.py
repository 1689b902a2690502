from __future__ import annotations

import json
import re
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
