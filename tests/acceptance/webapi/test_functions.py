"""Functions that clients call to get to know an organization."""

from __future__ import annotations

import httpx
import pytest

N = "Microsoft.Dynamics.CRM"


@pytest.mark.parametrize("form", ["WhoAmI", "WhoAmI()", "WhoAmI?tag=x"])
def test_who_am_i_in_all_forms(http: httpx.Client, form: str) -> None:
    found = http.get(form).json()
    assert found["@odata.context"] == f"{http.base_url}$metadata#{N}.WhoAmIResponse"
    assert list(found) == ["@odata.context", "BusinessUnitId", "UserId", "OrganizationId"]


def test_total_record_counts_by_table(http: httpx.Client) -> None:
    for name in "ab":
        http.post("accounts", json={"name": name})
    for names in ('["account","contact"]', "['account','contact']"):
        found = http.get("RetrieveTotalRecordCount(EntityNames=@p1)", params={"@p1": names}).json()
        assert found["@odata.context"].endswith(f"#{N}.RetrieveTotalRecordCountResponse")
        assert found["EntityRecordCountCollection"] == {
            "Count": 2,
            "IsReadOnly": False,
            "Keys": ["account", "contact"],
            "Values": [2, 0],
        }


@pytest.mark.parametrize("names", ["[]", '["acount"]', "[1]", '"account"', "account"])
def test_total_record_count_refuses_what_is_no_list_of_tables(http: httpx.Client, names: str) -> None:
    answer = http.get("RetrieveTotalRecordCount(EntityNames=@p1)", params={"@p1": names})
    assert answer.status_code in (400, 404)
    assert "account" in answer.json()["error"]["message"]


def test_the_current_organization(http: httpx.Client) -> None:
    found = http.get(f"RetrieveCurrentOrganization(AccessType={N}.EndpointAccessType'Default')").json()
    assert found["@odata.context"].endswith(f"#{N}.RetrieveCurrentOrganizationResponse")
    detail = found["Detail"]
    assert detail["OrganizationId"] == http.get("WhoAmI").json()["OrganizationId"]
    assert detail["State"] == "Enabled"
    assert f"{http.base_url}" in detail["Endpoints"]["Values"]
    assert http.get("RetrieveCurrentOrganization(AccessType='Elsewhere')").status_code == 400
    assert http.get("RetrieveCurrentOrganization()").status_code == 400


def test_version_and_languages(http: httpx.Client) -> None:
    assert http.get("RetrieveVersion").json()["Version"].startswith("9.2.")
    assert http.get("RetrieveProvisionedLanguages()").json()["RetrieveProvisionedLanguages"] == [1033]
    assert http.get("RetrieveAvailableLanguages()").json()["LocaleIds"] == [1033]


def test_an_unknown_parameter_is_refused_by_name(http: httpx.Client) -> None:
    answer = http.get("RetrieveVersion(Of='x')")
    assert answer.status_code == 400
    assert "no parameter 'Of'" in answer.json()["error"]["message"]
