"""Records addressed by alternate keys, over HTTP, on both stores. Source: webapi.md §13."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx
import pytest

from .conftest import created, error_of

ACCOUNTS = "EntityDefinitions(LogicalName='account')"
NUMBER = "accounts(accountnumber='A-1')"


def label(text: str) -> dict[str, object]:
    return {"LocalizedLabels": [{"Label": text, "LanguageCode": 1033}]}


@pytest.fixture
def keyed(http: httpx.Client) -> httpx.Client:
    """Accounts have the keys `accountnumber` and `name, primarycontactid`."""
    for name, columns in (("new_Number", ["accountnumber"]), ("new_Person", ["name", "primarycontactid"])):
        body = {"SchemaName": name, "DisplayName": label(name), "KeyAttributes": columns}
        assert http.post(f"{ACCOUNTS}/Keys", json=body).status_code == 204
    return http


def test_a_record_is_read_changed_and_deleted_by_its_key(keyed: httpx.Client) -> None:
    address = created(keyed, "accounts", {"name": "Contoso", "accountnumber": "A-1"})
    assert keyed.get(f"{NUMBER}?$select=name").json()["name"] == "Contoso"
    assert keyed.get(f"{NUMBER}/name").json()["value"] == "Contoso"
    assert keyed.patch(NUMBER, json={"name": "Fabrikam"}).headers["OData-EntityId"].endswith(address)
    assert keyed.get("accounts(accountnumber='a-1')").json()["name"] == "Fabrikam", "text is compared without case"
    assert keyed.put(f"{NUMBER}/telephone1", json={"value": "1"}).status_code == 204
    assert keyed.get(address).json()["telephone1"] == "1"
    assert keyed.delete(NUMBER).status_code == 204
    assert error_of(keyed.get(NUMBER))[:2] == (404, "0x80060891")


def test_a_patch_of_an_absent_key_creates_with_its_values(keyed: httpx.Client) -> None:
    answer = keyed.patch(NUMBER, json={"name": "New"}, headers={"Prefer": "return=representation"})
    assert (answer.status_code, answer.json()["accountnumber"]) == (201, "A-1")
    answer = keyed.patch(NUMBER, json={"name": "Again"}, headers={"Prefer": "return=representation"})
    assert (answer.status_code, answer.json()["name"]) == (200, "Again")
    assert error_of(keyed.patch(NUMBER, json={"name": "x"}, headers={"If-None-Match": "*"}))[0] == 412
    other = keyed.patch("accounts(accountnumber='A-2')", json={"name": "x"}, headers={"If-Match": "*"})
    assert error_of(other)[:2] == (404, "0x80060891")
    assert error_of(keyed.post("accounts", json={"name": "y", "accountnumber": "A-1"}))[0] == 412
    assert len(keyed.get("accounts").json()["value"]) == 1


def test_a_key_of_several_columns_with_a_lookup(keyed: httpx.Client) -> None:
    contact = created(keyed, "contacts", {"lastname": "Byron"})
    key = contact.removeprefix("contacts(").rstrip(")")
    address = created(keyed, "accounts", {"name": "O'Hara / Söhne", "primarycontactid@odata.bind": f"/{contact}"})
    encoded = f"accounts(name='O''Hara%20%2F%20S%C3%B6hne',_primarycontactid_value={key})"
    assert keyed.get(f"{encoded}?$select=name").json()["accountid"] in address
    answer = keyed.patch(f"accounts(_primarycontactid_value={key},name='Second')", json={})
    made = answer.headers["OData-EntityId"]
    assert keyed.get(f"{made}?$select=_primarycontactid_value").json()["_primarycontactid_value"] == key


def test_bind_and_references_by_key(keyed: httpx.Client) -> None:
    created(keyed, "accounts", {"name": "Parent", "accountnumber": "A-1"})
    child = created(keyed, "accounts", {"name": "Child", "parentaccountid@odata.bind": f"/{NUMBER}"})
    assert keyed.get(f"{child}/parentaccountid?$select=name").json()["name"] == "Parent"
    created(keyed, "accounts", {"name": "Other", "accountnumber": "A-2"})
    link = {"@odata.id": f"{keyed.base_url}accounts(accountnumber='A-2')"}
    assert keyed.put(f"{child}/parentaccountid/$ref", json=link).status_code == 204
    assert keyed.get(f"{child}/parentaccountid?$select=name").json()["name"] == "Other"
    missing = {"name": "Lost", "parentaccountid@odata.bind": "/accounts(accountnumber='A-3')"}
    assert error_of(keyed.post("accounts", json=missing))[:2] == (404, "0x80060891")
    assert keyed.get("accounts?$filter=name eq 'Lost'").json()["value"] == []


def test_upsert_multiple_by_key(keyed: httpx.Client) -> None:
    created(keyed, "accounts", {"name": "One", "accountnumber": "A-1"})
    targets = [{"@odata.id": f"accounts(accountnumber='A-{number}')", "name": f"N{number}"} for number in (1, 2, 2)]
    answer = keyed.post("accounts/Microsoft.Dynamics.CRM.UpdateMultiple", json={"Targets": targets})
    assert error_of(answer)[:2] == (404, "0x80060891")
    answer = keyed.post("accounts/Microsoft.Dynamics.CRM.UpsertMultiple", json={"Targets": targets})
    assert answer.status_code == 204, answer.text
    rows = keyed.get("accounts?$select=name,accountnumber&$orderby=name").json()["value"]
    assert [(row["name"], row["accountnumber"]) for row in rows] == [("N1", "A-1"), ("N2", "A-2")]


@pytest.mark.parametrize(
    ("address", "status", "code", "text"),
    [
        ("accounts(telephone1='1')", 400, "0x80060890", "accountnumber"),
        ("accounts(acountnumber='1')", 400, "0x80060890", "Did you mean 'accountnumber'"),
        ("accounts(accountnumber=1)", 400, "0x80040203", "in quotes"),
        ("accounts(accountnumber='1',name='x')", 400, "0x80060890", "not a defined key"),
        ("accounts(name='x',_primarycontactid_value=17)", 400, "0x80040363", "17"),
        ("accounts(accountnumber='none')", 404, "0x80060891", "none"),
        ("accounts(accountnumber='a%00b')", 400, "0x80040203", ""),
    ],
)
def test_what_is_no_key_is_refused_by_name(
    keyed: httpx.Client, address: str, status: int, code: str, text: str
) -> None:
    found = error_of(keyed.get(address))
    assert found[:2] == (status, code), found
    assert text in found[2]
    assert keyed.patch(address, json={"name": "n"}).status_code in (status, 204)


def test_many_who_upsert_one_key_make_one_record(keyed: httpx.Client) -> None:
    def upsert(number: int) -> int:
        return keyed.patch(NUMBER, json={"name": f"by {number}"}).status_code

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(upsert, range(24)))
    assert set(answers) == {204}
    assert len(keyed.get("accounts").json()["value"]) == 1


def test_a_key_does_not_hide_an_unknown_record(keyed: httpx.Client) -> None:
    assert error_of(keyed.get(f"accounts({uuid4()})"))[:2] == (404, "0x80040217")
