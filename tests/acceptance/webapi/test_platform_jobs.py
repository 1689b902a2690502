"""The platform's own jobs over HTTP: what nobody may do to them, and the text search that one of them keeps. On both stores."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from tests.acceptance.webapi.conftest import Start, created, error_of

from adjourn import runtime
from adjourn.cli import adjourn as command
from adjourn.client import Client
from adjourn.jobs import queue
from adjourn.operations import platform
from adjourn.service import Service
from adjourn.store.contract import Store
from adjourn.worker.inline import drain


@pytest.fixture
def service(store: Store) -> Service:
    service = Service(store)
    platform.ensure(service)
    return service


def address(operation_type: int) -> str:
    return f"asyncoperations({platform.schedule_id(operation_type)})"


def due(http: httpx.Client, operation_type: int) -> None:
    assert http.patch(address(operation_type), json={"postponeuntil": None}).status_code == 204


def run_of(http: httpx.Client, operation_type: int) -> dict[str, Any]:
    """The one run of a platform job."""
    query = f"asyncoperations?$filter=operationtype eq {operation_type} and recurrencepattern eq null"
    (found,) = http.get(query).json()["value"]
    return dict(found)


@pytest.mark.requirement("M83")
def test_cancel_is_refused_in_every_state(
    http: httpx.Client, service: Service, store: Store, database_url: str
) -> None:
    cancel = {"statecode": 3, "statuscode": 32}

    def refused(job: str) -> None:
        before = http.get(job).json()
        assert error_of(http.patch(job, json=cancel))[:2] == (400, "0x80044f00")
        assert http.get(job).json() == before

    refused(address(24))
    due(http, 24)
    run = f"asyncoperations({run_of(http, 24)['asyncoperationid']})"
    assert http.get(run).json()["statecode"] == 0
    refused(run)
    store.write(partial(queue.claim, operation_types=[24], limit=1, worker="00000000-0000-0000-0000-000000000001"))
    assert http.get(run).json()["statecode"] == 2
    refused(run)
    answer = CliRunner().invoke(command, ["jobs", "cancel", run[16:-1], "--database", database_url])
    assert answer.exit_code != 0
    assert "of the platform" in str(answer.exception)


@pytest.mark.requirement("M84")
@pytest.mark.requirement("M85")
def test_pause_and_resume_are_refused(http: httpx.Client, service: Service, store: Store) -> None:
    waiting = http.get(address(24)).json()
    assert error_of(http.patch(address(24), json={"statecode": 0, "statuscode": 0}))[:2] == (400, "0x80044166")
    assert http.get(address(24)).json() == waiting
    due(http, 18)
    run = f"asyncoperations({run_of(http, 18)['asyncoperationid']})"
    claim = partial(queue.claim, operation_types=[18], limit=1, worker="00000000-0000-0000-0000-000000000001")
    assert len(store.write(claim)) == 1
    assert error_of(http.patch(run, json={"statecode": 1, "statuscode": 10}))[:2] == (400, "0x80044f01")
    row = http.get(run).json()
    assert (row["statecode"], row["statuscode"]) == (2, 20)


@pytest.mark.requirement("M86")
def test_postpone_and_delete_are_possible_and_the_schedule_comes_back(http: httpx.Client, service: Service) -> None:
    due(http, 24)
    run = f"asyncoperations({run_of(http, 24)['asyncoperationid']})"
    assert http.patch(run, json={"postponeuntil": "2099-01-01T00:00:00Z"}).status_code == 204
    row = http.get(run).json()
    assert (row["statecode"], row["postponeuntil"]) == (1, "2099-01-01T00:00:00Z")
    for job in (run, address(24)):
        assert http.delete(job).status_code == 204
        assert http.get(job).status_code == 404
    assert platform.ensure(service) == 1
    assert http.get(address(24)).json()["recurrencepattern"] == "FREQ=DAILY;"


def test_the_result_of_a_run_is_read_by_the_query_of_the_manual(http: httpx.Client, service: Service) -> None:
    due(http, 16)
    drain(service)
    run = run_of(http, 16)
    found = http.get(
        f"measurements?$select=name,subject,amount&$filter=_asyncoperationid_value eq {run['asyncoperationid']}"
        " and subject eq 'systemuser'"
    ).json()["value"]
    assert [(row["name"], row["amount"]) for row in found] == [("rows", 2)]
    assert "records in" in run["friendlymessage"]


def searched(http: httpx.Client, text: str, **more: Any) -> list[tuple[str, str]]:
    """What a search finds: tables and names."""
    answer = http.post("searchquery", json={"search": text, **more})
    assert answer.status_code == 200, answer.text
    response = json.loads(answer.json()["response"])
    assert response["Error"] is None
    return [
        (item["EntityName"], item["Attributes"].get("name") or item["Attributes"].get("fullname") or "")
        for item in response["Value"]
    ]


def indexed(http: httpx.Client, service: Service) -> None:
    due(http, 25)
    assert drain(service) == 1


@pytest.mark.requirement("M94")
def test_an_account_is_found_by_the_search_after_the_next_run(http: httpx.Client, service: Service) -> None:
    indexed(http, service)
    account = created(http, "accounts", {"name": "Zwölfender Čapek Ltd"})
    created(http, "contacts", {"lastname": "Capek", "firstname": "Karel", "description": "wrote of robots"})
    assert searched(http, "zwölfender") == [], "not before the run"
    indexed(http, service)
    for text in ("zwölfender", "ZWOLFENDER", "zwolf*", "ltd + capek"):
        assert searched(http, text) == [("account", "Zwölfender Čapek Ltd")], text
    assert sorted(searched(http, "capek")) == [("account", "Zwölfender Čapek Ltd"), ("contact", "Karel Capek")]
    assert searched(http, "robots") == [("contact", "Karel Capek")]
    assert len(searched(http, "robots | ltd")) == len(searched(http, "robots ltd")) == 2
    assert searched(http, "robots ltd", options='{"searchmode":"all"}') == []
    assert searched(http, "nobody") == []
    assert searched(http, "capek", entities='[{"name":"contact"}]') == [("contact", "Karel Capek")]
    http.patch(account, json={"name": "Renamed"})
    indexed(http, service)
    assert (searched(http, "zwölfender"), searched(http, "renamed")) == ([], [("account", "Renamed")])
    http.delete(account)
    assert searched(http, "renamed") == [], "a record that is gone is not shown, whatever the index says"
    indexed(http, service)
    with service.store.read() as reader:
        assert reader.rows("SELECT count(*) FROM textindexed WHERE tablename = 'account'") == [(0,)]


def test_an_answer_says_as_of_when_it_is(http: httpx.Client, service: Service) -> None:
    """Null before the first run, which comes a minute after the first start; and whoever wants it now makes it due."""

    def answered() -> dict[str, Any]:
        return dict(json.loads(http.post("searchquery", json={"search": "contoso"}).json()["response"]))

    created(http, "accounts", {"name": "Contoso"})
    first = answered()
    assert (first["IndexedOn"], first["Value"]) == (None, [])
    planned = datetime.fromisoformat(http.get(address(25)).json()["postponeuntil"])
    assert timedelta(seconds=30) < planned - runtime.now() <= timedelta(seconds=61)
    before = runtime.now().replace(microsecond=0)
    assert http.patch(address(25), json={"postponeuntil": None}).status_code == 204
    assert drain(service) == 1
    then = answered()
    assert [item["Attributes"]["name"] for item in then["Value"]] == ["Contoso"]
    assert before <= datetime.fromisoformat(then["IndexedOn"]) <= runtime.now()


def test_counts_pages_and_columns_of_a_search(http: httpx.Client, service: Service) -> None:
    for number in range(5):
        created(http, "accounts", {"name": f"Acme {number}", "telephone1": f"555{number}"})
    indexed(http, service)
    entities = '[{"name":"account","selectcolumns":["name","telephone1"]}]'

    def asked(**more: Any) -> dict[str, Any]:
        answer = http.post("searchquery", json={"search": "acme", "entities": entities, **more})
        return dict(json.loads(answer.json()["response"]))

    whole = asked(count=True)
    assert (whole["Count"], len(whole["Value"]), asked()["Count"]) == (5, 5, -1)
    assert {item["Attributes"]["telephone1"] for item in whole["Value"]} == {f"555{number}" for number in range(5)}
    assert whole["Value"][0]["ObjectTypeCode"] == 1
    assert asked(top=2, skip=2)["Value"] == whole["Value"][2:4]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, "needs parameter 'search'"),
        ({"search": " "}, "needs parameter 'search'"),
        ({"search": "x" * 101}, "at most 100 characters"),
        ({"search": '"a b"'}, "'\"' is not supported"),
        ({"search": "a*b"}, "stands at a word's end"),
        ({"search": "***"}, "holds no word"),
        ({"search": "a", "facets": "[]"}, "'facets' of 'searchquery' is not supported"),
        ({"search": "a", "serch": 1}, "Did you mean 'search'?"),
        ({"search": "a", "entities": '[{"name":"acount"}]'}, "Did you mean 'account'?"),
        ({"search": "a", "entities": '[{"name":"asyncoperation"}]'}, "cannot be searched"),
        ({"search": "a", "entities": "["}, "is no valid JSON"),
        ({"search": "a", "entities": '[{"name":"account","selectcolumns":["nam"]}]'}, "Did you mean 'name'?"),
        ({"search": "a", "options": '{"searchmode":"some"}'}, "Accepted: searchmode: any or all"),
        ({"search": "a", "top": 1000}, "from 0 to 100"),
        ({"search": "a", "count": "yes"}, "must be true or false"),
    ],
)
def test_what_a_search_does_not_take_is_refused_by_name(http: httpx.Client, given: dict[str, Any], text: str) -> None:
    status, _, message = error_of(http.post("searchquery", json=given))
    assert status == 400
    assert text in message


def test_a_search_finds_what_the_caller_may_read(
    http: httpx.Client, service: Service, org: Client, serve: Start
) -> None:
    mine, other = created(http, "accounts", {"name": "Acme mine"}), created(http, "accounts", {"name": "Acme other"})
    unit = org.retrieve_multiple("businessunits?$select=name")[0].id
    user = org.create(
        "systemuser",
        {"firstname": "Ada", "lastname": "L", "domainname": "ada", "businessunitid": ("businessunit", unit)},
    )
    role = org.create("role", {"name": "Reader", "businessunitid": ("businessunit", unit)})
    (privilege,) = org.retrieve_multiple("privileges?$select=name&$filter=name eq 'prvReadAccount'")
    http.post(
        f"roles({role})/Microsoft.Dynamics.CRM.AddPrivilegesRole",
        json={"Privileges": [{"PrivilegeId": str(privilege.id), "Depth": "Basic"}]},
    ).raise_for_status()
    org.associate("systemuser", user, "systemuserroles_association", [("role", role)])
    http.patch(mine, json={"ownerid@odata.bind": f"systemusers({user})"}).raise_for_status()
    indexed(http, service)
    assert len(searched(http, "acme")) == 2
    seen = http.post("searchquery", json={"search": "acme"}, headers={"MSCRMCallerID": str(user)})
    assert [item["Attributes"]["name"] for item in json.loads(seen.json()["response"])["Value"]] == ["Acme mine"]
    assert other
