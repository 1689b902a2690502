"""savedQuery= and userQuery=: the shipped views, one's own, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from tests.acceptance.webapi import job_rows
from tests.acceptance.webapi.conftest import created, error_of

from adjourn.metadata.catalog import load
from adjourn.metadata.views import VIEWS
from adjourn.pipeline.bootstrap import PLATFORM_MESSAGES
from adjourn.pipeline.registration import filter_id
from adjourn.query import write
from adjourn.service import Service
from adjourn.store.contract import Store, Transaction

ACTIVE_ACCOUNTS = "00000000-0000-0000-00aa-000010001002"
FETCH = (
    "<fetch mapping='logical'><entity name='account'><attribute name='name'/><attribute name='telephone1'/>"
    "<order attribute='name'/><filter><condition attribute='name' operator='like' value='{}%'/></filter></entity></fetch>"
)


def view_id(http: httpx.Client, name: str) -> str:
    (found,) = http.get("savedqueries", params={"$select": "name", "$filter": f"name eq '{name}'"}).json()["value"]
    return str(found["savedqueryid"])


def own(http: httpx.Client, fetchxml: str, table: str = "account") -> str:
    body = {"name": "mine", "returnedtypecode": table, "querytype": 0, "fetchxml": fetchxml}
    return created(http, "userqueries", body).partition("(")[2].rstrip(")")


@pytest.mark.requirement("M209")
@pytest.mark.parametrize(
    ("name", "condition"),
    [
        ("All System Jobs", lambda job: True),
        ("Suspended System Jobs", lambda job: job["statecode"] == 1),
        ("Failed System Jobs", lambda job: (job["statecode"], job["statuscode"]) == (3, 31)),
        ("Recurring System Jobs", lambda job: job["recurrencepattern"] is not None),
        ("Completed Bulk Deletion System Jobs", lambda job: job["operationtype"] == 13 and job["statecode"] == 3),
    ],
)
def test_the_job_views_show_their_jobs(
    http: httpx.Client, service: Service, name: str, condition: Callable[[Any], bool]
) -> None:
    jobs = job_rows.load(service, 300)
    expected = {job["asyncoperationid"] for job in jobs if condition({"recurrencepattern": None, **job})}
    rows = http.get(f"asyncoperations?savedQuery={view_id(http, name)}").json()["value"]
    assert {row["asyncoperationid"] for row in rows} == expected
    assert [row["createdon"] for row in rows] == sorted((row["createdon"] for row in rows), reverse=True)


@pytest.mark.requirement("M209")
def test_a_personal_view_shows_its_rows_and_leaves_nulls_out(http: httpx.Client) -> None:
    for name in ("aa", "ab", "b"):
        created(http, "accounts", {"name": name, **({"telephone1": "1"} if name == "ab" else {})})
    mine = own(http, FETCH.format("a"))
    answer = http.get(f"accounts?userQuery={mine}&$count=true").json()
    assert answer["@odata.context"].endswith("$metadata#accounts(name,telephone1,accountid)")
    assert answer["@odata.count"] == 2
    first, second = answer["value"]
    assert list(first) == ["@odata.etag", "name", "accountid"]
    assert list(second) == ["@odata.etag", "name", "telephone1", "accountid"]
    row = http.get(f"userqueries({mine})").json()
    assert row["_ownerid_value"]
    assert (row["statecode"], row["querytype"]) == (0, 0)


def test_a_view_is_paged_by_links(http: httpx.Client) -> None:
    for number in range(5):
        created(http, "accounts", {"name": f"a{number}"})
    seen: list[str] = []
    link: str | None = f"accounts?userQuery={own(http, FETCH.format('a'))}"
    while link is not None:
        answer = http.get(link, headers={"Prefer": "odata.maxpagesize=2"})
        assert answer.status_code == 200
        assert answer.headers["Preference-Applied"] == "odata.maxpagesize=2"
        seen += [row["name"] for row in answer.json()["value"]]
        if not seen[2:]:
            created(http, "accounts", {"name": "a00"})
        link = answer.json().get("@odata.nextLink")
    assert seen == ["a0", "a1", "a2", "a3", "a4"]


def test_a_view_narrows_a_navigation(http: httpx.Client) -> None:
    account = created(http, "accounts", {"name": "a"})
    created(http, "contacts", {"lastname": "In", "parentcustomerid_account@odata.bind": account})
    created(http, "contacts", {"lastname": "Out"})
    view = view_id(http, "Active Contacts")
    rows = http.get(f"{account}/contact_customer_accounts?savedQuery={view}").json()["value"]
    assert [row["fullname"] for row in rows] == ["In"]


def test_every_shipped_view_can_be_asked(http: httpx.Client) -> None:
    catalog = load()
    rows = http.get("savedqueries?$select=name,returnedtypecode,isdefault,fetchxml,layoutxml").json()["value"]
    assert {row["savedqueryid"] for row in rows} == {str(view.id) for view in VIEWS}
    assert len({(row["returnedtypecode"], row["name"]) for row in rows}) == len(VIEWS)
    defaults = [row["returnedtypecode"] for row in rows if row["isdefault"]]
    assert sorted(defaults) == sorted(set(defaults))
    assert "asyncoperation" in defaults
    for row in rows:
        table = catalog.table(row["returnedtypecode"])
        answer = http.get(f"{table.entityset}?savedQuery={row['savedqueryid']}")
        assert answer.status_code == 200, answer.text
        (view,) = (view for view in VIEWS if str(view.id) == row["savedqueryid"])
        for column in view.columns:
            assert column in table.columns
            assert f'name="{column}"' in row["layoutxml"]


@pytest.mark.parametrize(
    ("address", "status", "code", "message"),
    [
        (f"contacts?savedQuery={ACTIVE_ACCOUNTS}", 400, "0x80041128", "The view asks entity 'account'"),
        (f"accounts?savedQuery={ACTIVE_ACCOUNTS}&$select=name", 400, "0x0", "'$select' cannot be used together"),
        (f"accounts?savedQuery={ACTIVE_ACCOUNTS}&$filter=name eq 'x'", 400, "0x0", "'$filter' cannot be used together"),
        (
            f"accounts?savedQuery={ACTIVE_ACCOUNTS}&userQuery={ACTIVE_ACCOUNTS}",
            400,
            "0x0",
            "'userQuery' cannot be used",
        ),
        (f"accounts?savedQuery={ACTIVE_ACCOUNTS}&fetchXml=x", 400, "0x80040203", "'savedQuery' cannot be used"),
        (f"accounts?savedquery={ACTIVE_ACCOUNTS}", 400, "0x80040203", "Did you mean 'savedQuery'?"),
        (f"accounts/$count?savedQuery={ACTIVE_ACCOUNTS}", 400, "0x80060888", "cannot be used together with savedQuery"),
        (f"accounts/$ref?savedQuery={ACTIVE_ACCOUNTS}", 400, "0x0", "cannot be used together with $ref"),
        (f"accounts({ACTIVE_ACCOUNTS})?savedQuery={ACTIVE_ACCOUNTS}", 400, "0x0", "with a collection only"),
        ("accounts?savedQuery=x", 400, "0x80040363", "must be a guid"),
        (f"accounts?userQuery={ACTIVE_ACCOUNTS}", 404, "0x80040217", "userquery With Id"),
        ("accounts?savedQuery=00000000-0000-0000-00aa-000010001009", 404, "0x80040217", "Does Not Exist"),
        (f"accounts?savedQuery={ACTIVE_ACCOUNTS}&$skiptoken=x", 400, "0x8004112a", "paging cookie"),
        (f"accounts?savedQuery={ACTIVE_ACCOUNTS}&$count=1", 400, "0x80040203", "true or false"),
    ],
)
def test_what_a_view_does_not_go_with_is_refused(
    http: httpx.Client, address: str, status: int, code: str, message: str
) -> None:
    found = error_of(http.get(address))
    assert found[:2] == (status, code), found
    assert message in found[2]


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"fetchxml": "<fetch>"}, "0x80040201", ""),
        ({"fetchxml": "<!DOCTYPE x><fetch/>"}, "0x80040201", ""),
        (
            {"fetchxml": FETCH.format("a").replace("telephone1", "telefone1")},
            "0x80041103",
            "Did you mean 'telephone1'?",
        ),
        ({"fetchxml": FETCH.format("a").replace("like", "lke")}, "0x80041120", "'lke'"),
        ({"fetchxml": "<fetch><entity name='acount'/></fetch>"}, "0x80041102", "Did you mean 'account'?"),
        ({"returnedtypecode": "contact"}, "0x80041128", "its returnedtypecode is 'contact'"),
        ({"returnedtypecode": "acount"}, "0x80041102", "Did you mean 'account'?"),
        ({"returnedtypecode": None}, "0x80040203", "needs 'returnedtypecode'"),
        ({"fetchxml": None}, "0x80040203", "needs 'fetchxml'"),
        ({"name": None}, "0x80040203", "needs 'name'"),
        ({"layoutxml": "<grid>"}, "0x80040201", "not well-formed"),
        ({"layoutxml": "<!DOCTYPE grid [<!ENTITY a 'b'>]><grid>&a;</grid>"}, "0x80040201", "document type"),
    ],
)
def test_a_view_that_could_not_be_asked_is_not_saved(
    http: httpx.Client, change: dict[str, str | None], code: str, message: str
) -> None:
    body = {"name": "v", "returnedtypecode": "account", "fetchxml": FETCH.format("a")}
    status, found, text = error_of(http.post("userqueries", json={**body, **change}))
    assert (status, found) == (400, code), text
    assert message in text
    good = created(http, "userqueries", body)
    status, found, text = error_of(http.patch(good, json=change))
    assert (status, found) == (400, code), text
    assert http.get("userqueries/$count").text == "\ufeff1"
    assert http.get(f"{good}?$select=fetchxml").json()["fetchxml"] == body["fetchxml"]


def test_administrators_save_views_of_the_system(http: httpx.Client) -> None:
    created(http, "accounts", {"name": "x1"})
    body = {"name": "X", "returnedtypecode": "account", "fetchxml": FETCH.format("x"), "isdefault": False}
    view = created(http, "savedqueries", body).partition("(")[2].rstrip(")")
    assert len(http.get(f"accounts?savedQuery={view}").json()["value"]) == 1
    http.patch(f"savedqueries({view})", json={"fetchxml": FETCH.format("y")}).raise_for_status()
    assert http.get(f"accounts?savedQuery={view}").json()["value"] == []
    body = {"name": "no fetch", "returnedtypecode": "account"}
    empty = created(http, "savedqueries", body).partition("(")[2].rstrip(")")
    status, code, text = error_of(http.get(f"accounts?savedQuery={empty}"))
    assert (status, code) == (400, "0x80040203")
    assert "has no FetchXML" in text
    assert http.delete(f"savedqueries({view})").status_code == 204


def test_what_ships_comes_into_databases_that_are_there_already(store: Store) -> None:
    Service(store)
    views, filters = load().table("savedquery"), load().table("sdkmessagefilter")
    some = filter_id("Create", "savedquery")

    def become_older(tx: Transaction) -> None:
        for view in VIEWS[:3]:
            write.delete(tx, views, view.id)
        for message in PLATFORM_MESSAGES:
            write.delete(tx, filters, filter_id(message, "savedquery"))

    store.write(become_older)
    for _ in range(2):
        Service(store)
        with store.read() as reader:
            assert all(write.exists(reader, views, view.id) for view in VIEWS)
            assert write.exists(reader, filters, some)
