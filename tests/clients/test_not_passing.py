"""Which calls of these clients do not pass, and why. Each is tried: one that passes has to leave this list and docs/clients.md."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from dataverse_api import DataverseClient as DataverseApi
from dataverse_api.utils.labels import define_label
from dynamics365crm.client import Client as Dynamics365Crm
from odata import ODataService
from odatapy.client import EdmEnabledODataClient
from PowerPlatform.Dataverse.client import DataverseClient
from tests.clients.conftest import Credential, Organization
from tests.clients.test_dynamics_web_api import node
from tests.clients.test_generic_odata import Wire
from tests.support.serving import TOKEN

DOCUMENT = Path(__file__).parents[2] / "docs" / "clients.md"


@dataclass(frozen=True)
class NotPassing:
    """call: as the document names it. reason: what the failure says. run: makes the call."""

    call: str
    reason: str
    run: Callable[[Organization, str], object]


def sdk(place: Organization) -> DataverseClient:
    return DataverseClient(place.url, Credential())


def batch_sql(place: Organization, account: str) -> None:
    batch = sdk(place).batch.new()
    batch.query.sql("SELECT name FROM account")
    failed = batch.execute().failed
    assert not failed, failed[0].error_message


def generic(place: Organization) -> ODataService:
    return ODataService(place.api, session=place.session(), reflect_entities=True, quiet_progress=True)


def complex_answer(place: Organization, account: str) -> None:
    assert generic(place).functions["WhoAmI"]() is not None, "the answer is lost"


def count_by_class(place: Organization, account: str) -> None:
    service = generic(place)
    service.query(service.entities["accounts"]).count()


def count_by_edm(place: Organization, account: str) -> None:
    client = EdmEnabledODataClient(place.api.rstrip("/"), Wire(place))
    client.get_count(client.entity_set_uri("accounts"))


def api(place: Organization) -> DataverseApi:
    return DataverseApi(session=place.session(), environment_url=place.url)


def alternate_key(place: Organization, account: str) -> None:
    api(place).entity("account").add_alternate_key("new_Key", define_label("Key"), ["name"])


def detect_duplicates(place: Organization, account: str) -> None:
    answers = api(place).entity("account").create(data=[{"name": "x"}], detect_duplicates=True)
    assert answers[0].ok, answers[0].text


def javascript(call: str, reason: str) -> NotPassing:
    def run(place: Organization, account: str) -> None:
        ran = node(place, "not_passing.mjs", call)
        assert ran.returncode == 0, ran.stderr

    return NotPassing(f"dynamics-web-api: {call}", reason, run)


LIST = (
    NotPassing(
        "Microsoft's SDK: query.sql", "sql", lambda place, account: sdk(place).query.sql("SELECT name FROM account")
    ),
    NotPassing(
        "Microsoft's SDK: dataframe.sql",
        "sql",
        lambda place, account: sdk(place).dataframe.sql("SELECT name FROM account"),
    ),
    NotPassing("Microsoft's SDK: batch.query.sql", "sql", batch_sql),
    NotPassing("dataverse-api: add_alternate_key", "no attribute 'items'", alternate_key),
    NotPassing("dataverse-api: create(detect_duplicates=True)", "SuppressDuplicateDetection", detect_duplicates),
    NotPassing(
        "dynamics365crm-python: leads, opportunities, campaigns",
        "leads",
        lambda place, account: Dynamics365Crm(place.url, access_token=TOKEN).get_leads(),
    ),
    NotPassing(
        "dynamics365crm-python: skip",
        r"\$skip",
        lambda place, account: Dynamics365Crm(place.url, access_token=TOKEN).get_accounts(skip="1"),
    ),
    NotPassing("python-odata: count()", "invalid literal", count_by_class),
    NotPassing("python-odata: functions that answer a complex type", "the answer is lost", complex_answer),
    NotPassing("odatapy: get_count", "invalid literal", count_by_edm),
    javascript("createGlobalOptionSet", "does not support http method 'POST'"),
    javascript("create(duplicateDetection: true)", "SuppressDuplicateDetection"),
    javascript("query", "There is nothing at '/api/search/v1.0/query'"),
    javascript("suggest", "There is nothing at '/api/search/v1.0/suggest'"),
    javascript("getBackgroundOperationStatus", "There is nothing at '/api/backgroundoperation"),
)


@pytest.mark.parametrize("case", LIST, ids=lambda case: case.call)
def test_each_fails_as_the_list_says(shared: Organization, case: NotPassing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(shared.certificate))
    account = sdk(shared).records.create("account", {"name": "a call that does not pass"})
    with pytest.raises(Exception, match=case.reason):
        case.run(shared, account)


def test_the_document_lists_the_same_calls() -> None:
    listed = re.findall(
        r"^\| `([^`]+)` \| `([^`]+)` \|", DOCUMENT.read_text().partition("## What does not pass")[2], re.MULTILINE
    )
    assert [f"{client}: {call}" for client, call in listed] == [case.call for case in LIST]
