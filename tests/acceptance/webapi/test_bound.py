"""Functions and actions: bound to a record, bound to a collection, and bound to nothing."""

from __future__ import annotations

import httpx
import pytest
from tests.acceptance.webapi import bound_plugins

from adjourn.service import Service

N = "Microsoft.Dynamics.CRM"


@pytest.fixture(autouse=True)
def registered(service: Service) -> None:
    service.register("tests.acceptance.webapi.bound_plugins")


def made(http: httpx.Client, name: str = "Contoso", **values: object) -> str:
    answer = http.post("accounts", json={"name": name, **values})
    assert answer.status_code == 204, answer.text
    return "accounts" + answer.headers["OData-EntityId"].rpartition("accounts")[2]


def test_an_action_on_a_record_gets_it_and_its_parameters(http: httpx.Client) -> None:
    account = made(http)
    bound_plugins.SEEN.clear()
    answer = http.post(f"{account}/{N}.rename", json={"name": "Fabrikam"})
    assert (answer.status_code, answer.content) == (204, b"")
    assert http.get(f"{account}?$select=name").json()["name"] == "Fabrikam"
    # Steps that are registered on the message and the table run, and know the record.
    assert [(table, str(record)) for table, record in bound_plugins.SEEN] == [("account", account[9:-1])]


def test_a_function_on_a_record_answers_get(http: httpx.Client) -> None:
    account = made(http)
    answer = http.get(f"{account}/{N}.name_of(times=2)")
    assert answer.json() == {
        "@odata.context": f"{http.base_url}$metadata#{N}.name_ofResponse",
        "value": "ContosoContoso",
    }
    assert http.get(f"{account}/{N}.name_of(times=@t)?@t=3").json()["value"] == "Contoso" * 3
    assert http.get(f"{account}/{N}.name_of()").json()["value"] == "Contoso"
    assert http.get(f"{account}/{N}.name_of").json()["value"] == "Contoso"
    assert http.get(f"{account}/{N}.name_of(times=@t)").json()["value"] == "Contoso"


def test_what_it_is_called_on_may_be_named_by_an_alternate_key_or_be_missing(http: httpx.Client) -> None:
    missing = "accounts(0190a3c2-7c1e-7b30-9d2a-5f6e7d8c9b0a)"
    for answer in (http.get(f"{missing}/{N}.name_of()"), http.post(f"{missing}/{N}.rename", json={"name": "x"})):
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "0x80040217")


def test_records_come_back_as_records_with_their_context(http: httpx.Client) -> None:
    account = made(http)
    found = http.get(f"{account}/{N}.itself()").json()
    assert found["@odata.context"] == f"{http.base_url}$metadata#accounts/$entity"
    assert found["accountid"] == account[9:-1]
    assert found["name"] == "Contoso"
    assert found["_primarycontactid_value"] is None
    assert found["createdon"].endswith("Z")
    listed = http.get(f"accounts/{N}.named(name='Contoso')").json()
    assert listed["@odata.context"] == f"{http.base_url}$metadata#accounts"
    assert [row["accountid"] for row in listed["value"]] == [account[9:-1]]


def test_an_action_on_the_collection(http: httpx.Client) -> None:
    answer = http.post(f"accounts/{N}.make", json={"names": ["a", "b"]})
    assert answer.status_code == 200
    assert len(answer.json()["value"]) == 2


def test_the_namespace_is_required_where_something_is_bound(http: httpx.Client) -> None:
    account = made(http)
    for address in (f"{account}/rename", "accounts/make"):
        answer = http.post(address, json={})
        assert answer.status_code == 400
        assert answer.json()["error"]["message"].startswith("Request message has unresolved parameters")


@pytest.mark.parametrize(
    ("verb", "address"),
    [
        ("GET", "accounts(ID)/Microsoft.Dynamics.CRM.rename"),
        ("POST", "accounts(ID)/Microsoft.Dynamics.CRM.name_of"),
        ("PUT", "accounts(ID)/Microsoft.Dynamics.CRM.name_of"),
        ("POST", "add"),
        ("GET", "DeleteFile"),
        ("POST", "RetrieveVersion"),
    ],
)
def test_the_wrong_verb_is_the_documented_404(http: httpx.Client, verb: str, address: str) -> None:
    address = address.replace("accounts(ID)", made(http))
    answer = http.request(verb, address, json={} if verb != "GET" else None)
    assert answer.status_code == 404
    assert answer.json()["error"]["message"].startswith("No HTTP resource was found that matches the request URI")


@pytest.mark.parametrize(
    "address",
    [
        "accounts(ID)/Microsoft.Dynamics.CRM.make",
        "accounts/Microsoft.Dynamics.CRM.rename",
        "contacts/Microsoft.Dynamics.CRM.make",
        "accounts(ID)/Microsoft.Dynamics.CRM.renam",
        "rename",
        "accounts(ID)/name/Microsoft.Dynamics.CRM.rename",
    ],
)
def test_the_wrong_place_is_a_404_that_names_the_right_one(http: httpx.Client, address: str) -> None:
    answer = http.post(address.replace("accounts(ID)", made(http)), json={})
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "0x8006088a"


def test_parameters_in_an_address_are_literals_json_enums_and_records(http: httpx.Client) -> None:
    account = made(http)
    assert http.get("add(left=1,right=@r,on=2024-02-29)?@r=41").json()["sum"] == 42
    assert http.get("add(left=1,on=2024-02-29)").json()["year"] == 2024
    reference = f"{{'@odata.id':'{account}'}}"
    answer = http.get(
        f"which(record=@r,others=@o,kind={N}.EntityFilters'Entity')", params={"@r": reference, "@o": f"[{reference}]"}
    )
    assert answer.json()["value"] == "account 1 Entity"
    inline = http.get(f"which(record={reference},others=[],kind='it''s')")
    assert inline.json()["value"] == "account 0 it's"


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("add(left='x')", "Parameter 'left' of message 'add'"),
        ("add()", "needs parameter 'left'"),
        ("add(left=1,lef=2)", "has no parameter 'lef'"),
        ("add(left=1)?$select=sum", "Query option '$select'"),
        ("which(record=1,others=[],kind='x')", "'record' must be a record"),
        ("which(record={'@odata.id:},others=[],kind='x')", ""),
    ],
)
def test_wrong_parameters_are_refused_by_name(http: httpx.Client, address: str, text: str) -> None:
    answer = http.get(address)
    assert answer.status_code in (400, 404)
    assert text in answer.json()["error"]["message"]


def test_a_function_cannot_write(http: httpx.Client) -> None:
    for name in ("sneaky", "sneaky_job"):
        answer = http.get(f"{name}()")
        assert answer.status_code == 400, name
        assert "only reads" in answer.json()["error"]["message"]
    assert http.get("accounts").json()["value"] == []


def test_metadata_and_messages_show_what_is_bound(http: httpx.Client) -> None:
    document = http.get("$metadata").text
    assert '<Action Name="rename" IsBound="true"><Parameter Name="entity" Type="mscrm.account"' in document
    assert (
        '<Function Name="named" IsBound="true"><Parameter Name="entityset" Type="Collection(mscrm.account)"' in document
    )
    assert '<FunctionImport Name="add"' in document
    assert 'Import Name="rename"' not in document
    filters = "sdkmessagefilters?$select=primaryobjecttypecode&$filter=sdkmessageid/name eq 'rename'"
    assert [row["primaryobjecttypecode"] for row in http.get(filters).json()["value"]] == ["account"]
    assert http.get("sdkmessages?$select=isreadonly&$filter=name eq 'add'").json()["value"][0]["isreadonly"] is True
