"""Writing beyond one plain record: nested new records, bypassed steps, conditions."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from adjourn.service import Service

N = "Microsoft.Dynamics.CRM"


def names(http: httpx.Client, address: str) -> list[str]:
    answer = http.get(address)
    assert answer.status_code == 200, answer.text
    return sorted(row["name"] for row in answer.json()["value"])


@pytest.fixture
def tagged(http: httpx.Client) -> str:
    """A many-to-many relationship between accounts and a table of one's own; its name."""
    label = {"LocalizedLabels": [{"Label": "Tag", "LanguageCode": 1033}]}
    table = {
        "SchemaName": "new_Tag",
        "DisplayName": label,
        "DisplayCollectionName": label,
        "OwnershipType": "UserOwned",
        "Attributes": [
            {
                "@odata.type": f"{N}.StringAttributeMetadata",
                "SchemaName": "new_Name",
                "IsPrimaryName": True,
                "MaxLength": 100,
            }
        ],
    }
    assert http.post("EntityDefinitions", json=table).status_code == 204
    relationship = {
        "@odata.type": f"{N}.ManyToManyRelationshipMetadata",
        "SchemaName": "new_Account_Tag",
        "Entity1LogicalName": "account",
        "Entity2LogicalName": "new_tag",
        "IntersectEntityName": "new_account_tag",
    }
    answer = http.post("RelationshipDefinitions", json=relationship)
    assert answer.status_code == 204, answer.text
    return "new_Account_Tag"


def test_new_records_nest_many_to_many_and_below_each_other(http: httpx.Client, tagged: str) -> None:
    body: dict[str, Any] = {
        "name": "Contoso",
        tagged: [
            {"new_name": "red"},
            {"new_name": "green", tagged: [{"name": "Fabrikam", "contact_customer_accounts": [{"lastname": "Doe"}]}]},
        ],
        "primarycontactid": {"lastname": "Roe", "parentcustomerid_account": {"name": "Parent"}},
    }
    made = http.post("accounts", json=body)
    assert made.status_code == 204, made.text
    rows = http.get(f"{made.headers['OData-EntityId']}/{tagged}").json()["value"]
    assert sorted(row["new_name"] for row in rows) == ["green", "red"]
    assert names(http, "accounts?$select=name") == ["Contoso", "Fabrikam", "Parent"]
    assert sorted(row["lastname"] for row in http.get("contacts?$select=lastname").json()["value"]) == ["Doe", "Roe"]


def test_nested_records_are_all_or_nothing(http: httpx.Client, tagged: str) -> None:
    body = {"name": "Contoso", tagged: [{"new_name": "red"}, {"new_name": "x" * 101}]}
    assert http.post("accounts", json=body).status_code == 400
    assert names(http, "accounts?$select=name") == []
    assert http.get("new_tags").json()["value"] == []


@pytest.mark.parametrize(
    ("headers", "stopped", "jobs"),
    [
        ({}, True, 0),
        ({"MSCRM.BypassCustomPluginExecution": "false"}, True, 0),
        ({"MSCRM.BypassCustomPluginExecution": "true"}, False, 1),
        ({"MSCRM.BypassBusinessLogicExecution": "CustomSync"}, False, 1),
        ({"MSCRM.BypassBusinessLogicExecution": "CustomSync,CustomAsync"}, False, 0),
        ({"MSCRM.BypassBusinessLogicExecution": "CustomAsync"}, True, 0),
    ],
)
def test_an_administrator_can_bypass_steps(
    http: httpx.Client, service: Service, headers: dict[str, str], stopped: bool, jobs: int
) -> None:
    made = http.post("accounts", json={"name": "a"}).headers["OData-EntityId"]
    service.register("tests.acceptance.webapi.plugins")
    assert http.patch(made, json={"fax": "1"}, headers=headers).status_code == (400 if stopped else 204)
    if not stopped:
        assert http.post("accounts", json={"name": "b"}, headers=headers).status_code == 204
    assert len(http.get("asyncoperations?$select=name").json()["value"]) == jobs


@pytest.mark.parametrize(
    "headers",
    [
        {"MSCRM.BypassCustomPluginExecution": "perhaps"},
        {"MSCRM.BypassBusinessLogicExecution": "CustomSink"},
        {"MSCRM.SuppressDuplicateDetection": "false"},
    ],
)
def test_headers_that_mean_nothing_are_refused(http: httpx.Client, headers: dict[str, str]) -> None:
    assert http.post("accounts", json={"name": "a"}, headers=headers).status_code == 400


@pytest.mark.parametrize("header", ["Consistency", "MSCRM.SolutionUniqueName", "MSCRM.MergeLabels"])
def test_headers_without_an_effect_here_are_accepted(http: httpx.Client, header: str) -> None:
    assert http.post("accounts", json={"name": "a"}, headers={header: "Strong"}).status_code == 204


def test_an_if_match_of_several_etags_takes_any_of_them(http: httpx.Client) -> None:
    made = http.post("accounts", json={"name": "a"}).headers["OData-EntityId"]
    etag = http.get(made).json()["@odata.etag"]
    assert http.patch(made, json={"name": "b"}, headers={"If-Match": f'W/"1", {etag}'}).status_code == 204
    assert http.patch(made, json={"name": "c"}, headers={"If-Match": f'W/"1", {etag}'}).status_code == 412
    assert http.delete(made, headers={"If-Match": "null"}).status_code == 204
