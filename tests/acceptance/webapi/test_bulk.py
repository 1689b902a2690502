"""CreateMultiple, UpdateMultiple and UpsertMultiple over HTTP: all or nothing. On both stores."""

from __future__ import annotations

from uuid import uuid4

import httpx
import pytest

ACTION = "accounts/Microsoft.Dynamics.CRM."


def names(http: httpx.Client) -> list[str]:
    return [row["name"] for row in http.get("accounts?$select=name&$orderby=name").json()["value"]]


def test_many_are_created_updated_and_upserted(http: httpx.Client) -> None:
    kind = {"@odata.type": "Microsoft.Dynamics.CRM.account"}
    made = http.post(f"{ACTION}CreateMultiple", json={"Targets": [{"name": "a", **kind}, {"name": "b"}]})
    assert made.status_code == 200
    first, second = made.json()["Ids"]
    targets = [{"accountid": first, "name": "c"}, {"@odata.id": f"accounts({second})", "name": "d"}]
    assert http.post(f"{ACTION}UpdateMultiple", json={"Targets": targets}).status_code == 204
    assert names(http) == ["c", "d"]
    targets = [{"accountid": first, "name": "e"}, {"accountid": str(uuid4()), "name": "f"}]
    assert http.post(f"{ACTION}UpsertMultiple", json={"Targets": targets}).status_code == 204
    assert names(http) == ["d", "e", "f"]


def test_one_that_fails_leaves_nothing(http: httpx.Client) -> None:
    answer = http.post(f"{ACTION}CreateMultiple", json={"Targets": [{"name": "a"}, {"name": "x" * 1000}]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "0x80044331")
    answer = http.post(f"{ACTION}UpdateMultiple", json={"Targets": [{"accountid": str(uuid4()), "name": "a"}]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "0x80040217")
    assert names(http) == []


def test_records_may_be_nested_in_those_to_create(http: httpx.Client) -> None:
    target = {"name": "a", "primarycontactid": {"lastname": "Lovelace"}}
    answer = http.post(f"{ACTION}CreateMultiple", json={"Targets": [target, {"name": "b"}]})
    assert answer.status_code == 200
    found = http.get(f"accounts({answer.json()['Ids'][0]})?$expand=primarycontactid($select=lastname)").json()
    assert found["primarycontactid"]["lastname"] == "Lovelace"


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        (f"{ACTION}CreateMultiple", {}, "Targets"),
        (f"{ACTION}CreateMultiple", {"Targets": []}, "1 to 1,000 Targets"),
        (f"{ACTION}CreateMultiple", {"Targets": [{"name": "a"}] * 1001}, "found 1,001"),
        (f"{ACTION}CreateMultiple", {"Targets": {"name": "a"}}, "an array of records"),
        (f"{ACTION}CreateMultiple", {"Targets": [{"nam": "a"}]}, "nam"),
        (f"{ACTION}CreateMultiple", {"Targets": [{"@odata.type": "Microsoft.Dynamics.CRM.contact"}]}, "Targets[0]"),
        (f"{ACTION}CreateMultiple", {"Targets": [{}], "Target": {}}, "'Target'"),
        (f"{ACTION}UpdateMultiple", {"Targets": [{"name": "a"}]}, "accountid"),
        ("accounts/CreateMultiple", {"Targets": [{"name": "a"}]}, "unresolved parameters"),
    ],
)
def test_what_cannot_be_is_refused_by_name(http: httpx.Client, path: str, body: object, text: str) -> None:
    answer = http.post(path, json=body)
    assert answer.status_code == 400, answer.text
    assert text in answer.json()["error"]["message"]
    assert names(http) == []


def test_jobs_cannot_be_created_together_either(http: httpx.Client) -> None:
    answer = http.post("asyncoperations/Microsoft.Dynamics.CRM.CreateMultiple", json={"Targets": [{"name": "x"}]})
    assert answer.json()["error"]["code"] == "0x80040315"
    assert http.get("accounts/Microsoft.Dynamics.CRM.CreateMultiple").status_code == 404
