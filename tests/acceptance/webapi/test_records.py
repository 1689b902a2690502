from __future__ import annotations

import uuid

import httpx
import pytest
from tests.acceptance.webapi.conftest import created, error_of


def test_who_am_i_tells_the_callers_three_ids(http: httpx.Client) -> None:
    for address in ("WhoAmI", "WhoAmI()"):
        body = http.get(address).json()
        assert list(body) == ["@odata.context", "BusinessUnitId", "UserId", "OrganizationId"]
        assert body["@odata.context"].endswith("/api/data/v9.2/$metadata#Microsoft.Dynamics.CRM.WhoAmIResponse")
        assert all(uuid.UUID(body[name]) for name in list(body)[1:])


def test_a_record_is_created_read_changed_and_deleted(http: httpx.Client) -> None:
    address = created(
        http, "accounts", {"name": "Contoso", "revenue": 1234.5, "creditonhold": True, "numberofemployees": 7}
    )
    answer = http.get(f"{address}?$select=name,revenue,creditonhold,numberofemployees,telephone1,createdon")
    assert answer.status_code == 200
    assert answer.headers["OData-Version"] == "4.0"
    assert answer.headers["content-type"] == "application/json; odata.metadata=minimal"
    body = answer.json()
    assert body.pop("@odata.context").endswith(
        "$metadata#accounts(name,revenue,creditonhold,numberofemployees,telephone1,createdon)/$entity"
    )
    etag = body.pop("@odata.etag")
    assert etag.startswith('W/"')
    assert answer.headers["etag"] == etag
    assert body.pop("createdon").endswith("Z")
    assert f"accounts({body.pop('accountid')})" == address
    assert body == {
        "name": "Contoso",
        "revenue": 1234.5,
        "creditonhold": True,
        "numberofemployees": 7,
        "telephone1": None,
    }
    changed = http.patch(address, json={"telephone1": "1", "revenue": None})
    assert (changed.status_code, changed.content) == (204, b"")
    assert changed.headers["OData-EntityId"] == f"{http.base_url}{address}"
    body = http.get(f"{address}?$select=telephone1,revenue").json()
    assert (body["telephone1"], body["revenue"]) == ("1", None)
    assert body["@odata.etag"] != etag
    assert http.delete(address).status_code == 204
    assert error_of(http.get(address))[:2] == (404, "0x80040217")


def test_without_select_all_columns_come(http: httpx.Client, account: str) -> None:
    body = http.get(account).json()
    assert body["name"] == "Contoso"
    assert {"accountid", "_ownerid_value", "statecode", "versionnumber", "createdon"} <= set(body)
    assert not [name for name in body if "@" in name and not name.startswith("@odata.")]


def test_return_representation_answers_the_record(http: httpx.Client) -> None:
    prefer = {"Prefer": "return=representation"}
    answer = http.post("accounts?$select=name", json={"name": "Contoso"}, headers=prefer)
    assert answer.status_code == 201
    assert answer.headers["Preference-Applied"] == "return=representation"
    body = answer.json()
    assert set(body) == {"@odata.context", "@odata.etag", "name", "accountid"}
    assert answer.headers["OData-EntityId"].endswith(f"accounts({body['accountid']})")
    changed = http.patch(f"accounts({body['accountid']})?$select=name", json={"name": "Fabrikam"}, headers=prefer)
    assert (changed.status_code, changed.json()["name"]) == (200, "Fabrikam")


def test_the_client_may_choose_the_id(http: httpx.Client) -> None:
    key = str(uuid.uuid4())
    assert created(http, "accounts", {"accountid": key, "name": "x"}) == f"accounts({key})"
    assert error_of(http.post("accounts", json={"accountid": key, "name": "y"}))[:2] == (412, "0x80040237")


def test_patch_creates_what_is_not_there_unless_a_header_forbids_it(http: httpx.Client) -> None:
    address = f"accounts({uuid.uuid4()})"
    status, code, text = error_of(http.patch(address, json={"name": "x"}, headers={"If-Match": "*"}))
    assert (status, code) == (404, "0x80040217")
    assert text.startswith("account With Id = ")
    assert text.endswith(" Does Not Exist")
    assert http.patch(address, json={"name": "x"}).status_code == 204
    assert http.get(address).json()["name"] == "x"
    refused = http.patch(address, json={"name": "y"}, headers={"If-None-Match": "*"})
    assert error_of(refused) == (412, "0x80040237", "A record with matching key values already exists.")
    assert (
        http.patch(f"accounts({uuid.uuid4()})", json={"name": "z"}, headers={"If-None-Match": "*"}).status_code == 204
    )


def test_an_etag_guards_update_and_delete(http: httpx.Client, account: str) -> None:
    etag = http.get(f"{account}?$select=name").json()["@odata.etag"]
    assert http.get(f"{account}?$select=name", headers={"If-None-Match": etag}).status_code == 304
    assert http.get(f"{account}?$select=name", headers={"If-None-Match": "null"}).status_code == 200
    assert http.patch(account, json={"name": "new"}, headers={"If-Match": etag}).status_code == 204
    text = "The version of the existing record doesn't match the RowVersion property provided."
    assert error_of(http.patch(account, json={"name": "no"}, headers={"If-Match": etag})) == (412, "0x80060882", text)
    assert error_of(http.delete(account, headers={"If-Match": etag})) == (412, "0x80060882", text)
    assert http.get(account).json()["name"] == "new"


def test_lookups_are_bound_cleared_expanded_and_followed(http: httpx.Client, account: str) -> None:
    contact = created(http, "contacts", {"firstname": "Ada", "lastname": "Lovelace"})
    for bound in (contact, f"/{contact}", f"/api/data/v9.0/{contact}", f"{http.base_url}{contact}"):
        assert http.patch(account, json={"primarycontactid": None}).status_code == 204
        assert http.get(account).json()["_primarycontactid_value"] is None
        assert http.patch(account, json={"primarycontactid@odata.bind": bound}).status_code == 204
        assert contact == f"contacts({http.get(account).json()['_primarycontactid_value']})"
    body = http.get(
        f"{account}?$select=name&$expand=primarycontactid($select=fullname),parentaccountid($select=name)"
    ).json()
    assert body["@odata.context"].endswith("#accounts(name,primarycontactid(fullname),parentaccountid(name))/$entity")
    assert body["primarycontactid"]["fullname"] == "Ada Lovelace"
    assert contact == f"contacts({body['primarycontactid']['contactid']})"
    assert body["parentaccountid"] is None
    assert http.get(f"{account}/primarycontactid?$select=lastname").json()["lastname"] == "Lovelace"
    assert http.get(f"{account}/primarycontactid/fullname").json()["value"] == "Ada Lovelace"
    assert http.get(f"{account}/primarycontactid/createdby/systemuserid").status_code == 200
    assert http.get(f"{account}/parentaccountid").status_code == 204
    assert http.get(f"{account}/primarycontactid/$ref").json()["@odata.id"] == f"{http.base_url}{contact}"
    assert http.delete(f"{account}/primarycontactid/$ref").status_code == 204
    assert http.get(f"{account}/primarycontactid").status_code == 204
    assert http.put(f"{account}/primarycontactid/$ref", json={"@odata.id": contact}).status_code == 204
    assert http.get(f"{account}/primarycontactid").status_code == 200


def test_a_collection_is_followed_counted_added_to_and_taken_from(http: httpx.Client, account: str) -> None:
    first = created(http, "contacts", {"lastname": "One", "parentcustomerid_account@odata.bind": account})
    assert http.get(f"{account}/contact_customer_accounts/$count").text == "\ufeff1"
    answer = http.post(f"{account}/contact_customer_accounts", json={"lastname": "Two"})
    assert answer.status_code == 204
    names = http.get(f"{account}/contact_customer_accounts?$select=lastname&$orderby=lastname").json()["value"]
    assert [row["lastname"] for row in names] == ["One", "Two"]
    third = created(http, "contacts", {"lastname": "Three"})
    assert http.post(f"{account}/contact_customer_accounts/$ref", json={"@odata.id": third}).status_code == 204
    key = first.partition("(")[2]
    assert http.delete(f"{account}/contact_customer_accounts({key}/$ref").status_code == 204
    assert http.get(f"{account}/contact_customer_accounts({key}").status_code == 404
    references = http.get(f"{account}/contact_customer_accounts/$ref").json()["value"]
    assert len(references) == 2
    assert {"@odata.id": f"{http.base_url}{third}"} in references


def test_a_deep_insert_is_all_or_nothing(http: httpx.Client) -> None:
    body = {
        "name": "Contoso",
        "primarycontactid": {"firstname": "Ada", "lastname": "Lovelace"},
        "Account_Tasks": [{"subject": "call"}, {"subject": "write"}],
    }
    account = created(http, "accounts", body)
    assert http.get(f"{account}/primarycontactid/lastname").json()["value"] == "Lovelace"
    tasks = http.get(f"{account}/Account_Tasks?$select=subject&$orderby=subject").json()["value"]
    assert [row["subject"] for row in tasks] == ["call", "write"]
    before = http.get("contacts/$count").text
    body["Account_Tasks"] = [{"subject": "fine"}, {"subject": "x" * 1000}]
    assert error_of(http.post("accounts", json=body))[1] == "0x80044331"
    assert http.get("contacts/$count").text == before


def test_one_property_is_read_set_and_cleared(http: httpx.Client, account: str) -> None:
    answer = http.get(f"{account}/name")
    assert answer.json() == {"@odata.context": f"{http.base_url}$metadata#{account}/name", "value": "Contoso"}
    assert http.get(f"{account}/name/$value").text == "Contoso"
    assert http.put(f"{account}/telephone1", json={"value": "42"}).status_code == 204
    assert http.get(f"{account}/telephone1").json()["value"] == "42"
    assert http.delete(f"{account}/telephone1").status_code == 204
    assert http.get(f"{account}/telephone1").status_code == 204


@pytest.mark.parametrize(
    ("body", "status", "code", "text"),
    [
        ({"nmae": "x"}, 400, "0x0", "Invalid property 'nmae' was found in entity 'Microsoft.Dynamics.CRM.account'"),
        ({"nmae": "x"}, 400, "0x0", "Did you mean 'name'?"),
        ({"name": 5}, 400, "0x80044354", "'name' of 'account' must be a text"),
        ({"name": "x" * 161}, 400, "0x80044331", "exceeded the maximum allowed length of '160'."),
        ({"name": "a\u0000b"}, 400, "0x80044354", "without NUL"),
        ({"numberofemployees": -1}, 400, "0x80044354", "outside the range"),
        ({"_primarycontactid_value": str(uuid.uuid4())}, 400, "0x80060888", "primarycontactid@odata.bind"),
        ({"primarycontactid@odata.bind": "/accounts(1)"}, 400, "0x80040363", "must be a guid"),
        ({"primarycontactid@odata.bind": f"/accounts({uuid.uuid4()})"}, 400, "0x80048d19", "leads to contacts, not to accounts"),
        ({"primarycontactid@odata.bind": f"/contacts({uuid.uuid4()})"}, 404, "0x80040217", "Does Not Exist"),
        ({"primarycontact@odata.bind": "/contacts(1)"}, 400, "0x80048d19", "undeclared property 'primarycontact'"),
        ({"Account_Tasks": {}}, 400, "0x80048d19", "needs a JSON array"),
        ({"createdon": "2020-01-01T00:00:00Z"}, 400, "0x80040203", "cannot be set when a record is created"),
    ],
)  # fmt: skip
def test_a_body_that_does_not_fit_is_refused_by_name(
    http: httpx.Client, body: dict[str, object], status: int, code: str, text: str
) -> None:
    found = error_of(http.post("accounts", json=body))
    assert found[:2] == (status, code)
    assert text in found[2]
    assert http.get("accounts/$count").text == "\ufeff0"


def test_a_many_to_many_collection_is_joined_followed_and_parted(http: httpx.Client) -> None:
    user = http.get("systemusers?$select=fullname").json()["value"][0]["systemuserid"]
    unit = http.get("businessunits").json()["value"][0]["businessunitid"]
    team = created(http, "teams", {"name": "Ours", "businessunitid@odata.bind": f"businessunits({unit})"})
    members = f"{team}/teammembership_association"
    assert http.post(f"{members}/$ref", json={"@odata.id": f"systemusers({user})"}).status_code == 204
    assert [row["systemuserid"] for row in http.get(f"{members}?$select=fullname").json()["value"]] == [user]
    assert http.get(f"{members}({user})/fullname").status_code == 200
    assert http.delete(f"{members}({user})/$ref").status_code == 204
    assert http.get(f"{members}/$count").text == "\ufeff0"
