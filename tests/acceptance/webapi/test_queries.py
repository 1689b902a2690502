"""Questions over HTTP, their answers compared with plain Python over the same seeded random rows."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote
from xml.sax.saxutils import quoteattr

import httpx
import pytest
from tests.acceptance.webapi import job_rows
from tests.acceptance.webapi.conftest import error_of

from adjourn.client import Client
from adjourn.metadata.catalog import load as load_catalog
from adjourn.service import Service

FORMATTED = "OData.Community.Display.V1.FormattedValue"
WANTED = {"Prefer": f'odata.include-annotations="{FORMATTED}"'}
COOKIE = "@Microsoft.Dynamics.CRM.fetchxmlpagingcookie"
MORE = "@Microsoft.Dynamics.CRM.morerecords"
SEED_QUERIES = Path(__file__).resolve().parents[4] / "shared" / "reference" / "seed-queries"
Rows = list[dict[str, Any]]


@pytest.fixture
def jobs(service: Service) -> Rows:
    return job_rows.load(service, 300)


def seed(name: str) -> tuple[str, dict[str, str]]:
    """A request of the specification, joined to one line: its address relative to the root, and its headers."""
    if not SEED_QUERIES.is_dir():
        pytest.skip(f"the specification's queries are not at {SEED_QUERIES}")
    text = (SEED_QUERIES / name).read_text()
    address, headers = "", {}
    for line in text.splitlines():
        found = line.partition(":") if not address or "?" in address else ("", "", "")
        if line.startswith("GET "):
            address = line[4:].strip()
        elif found[1] and found[0].isascii() and found[0].replace("-", "").isalnum():
            headers[found[0]] = found[2].strip()
        else:
            address += line.strip()
    return address.partition("/api/data/v9.2/")[2], headers


def labels(column: str) -> dict[int, str]:
    choice = load_catalog().table("asyncoperation").columns[column].choice
    assert choice is not None
    return {option.value: option.label for option in choice.options.values()}


@pytest.mark.requirement("M73")
def test_query_01_in_odata(http: httpx.Client, jobs: Rows) -> None:
    address, headers = seed("01-retrieve-system-jobs.http")
    assert headers == {}
    answer = http.get(address)
    assert answer.status_code == 200
    assert "Preference-Applied" not in answer.headers
    rows = answer.json()["value"]
    assert {row["asyncoperationid"] for row in rows} == {job["asyncoperationid"] for job in jobs}
    by_id = {job["asyncoperationid"]: job for job in jobs}
    select = unquote(address).partition("$select=")[2].partition("&")[0].split(",")
    expands = ["createdby", "modifiedby", "owningbusinessunit", "owningextensionid", "owningteam", "owninguser"]
    for row in rows:
        job = by_id[row["asyncoperationid"]]
        assert set(row) == {"@odata.etag", *select, *expands}
        for name in ("name", "data", "statecode", "operationtype", "message", "friendlymessage", "errorcode"):
            assert row[name] == job[name]
        assert row["createdon"] == job["createdon"].replace(".000000Z", "Z")
        assert row["postponeuntil"] is None
        assert row["owningteam"] is None
        assert row["createdby"]["systemuserid"] == job["createdby"]
        assert row["owningbusinessunit"]["name"]


@pytest.mark.requirement("M74")
def test_query_01_in_fetchxml(http: httpx.Client, jobs: Rows) -> None:
    if not SEED_QUERIES.is_dir():
        pytest.skip(f"the specification's queries are not at {SEED_QUERIES}")
    text = (SEED_QUERIES / "01-retrieve-system-jobs.xml").read_text()
    answer = http.get("asyncoperations", params={"fetchXml": text})
    assert answer.status_code == 200, answer.text
    rows = answer.json()["value"]
    assert {row["asyncoperationid"] for row in rows} == {job["asyncoperationid"] for job in jobs}
    assert not [name for row in rows for name, value in row.items() if value is None]


@pytest.mark.requirement("M114")
def test_query_02_in_odata(http: httpx.Client, jobs: Rows) -> None:
    address, headers = seed("02-jobs-by-state-status-and-type.http")
    answer = http.get(address, headers=headers)
    assert answer.headers["Preference-Applied"].startswith("odata.include-annotations=")
    expected = Counter((job["statecode"], job["statuscode"], job["operationtype"]) for job in jobs)
    found = {}
    for row in answer.json()["value"]:
        found[row["statecode"], row["statuscode"], row["operationtype"]] = row["count"]
        for name in ("statecode", "statuscode", "operationtype"):
            assert row[f"{name}@{FORMATTED}"] == labels(name)[row[name]]
        assert row[f"count@{FORMATTED}"] == f"{row['count']:,}"
        assert "@odata.etag" not in row
        assert "asyncoperationid" not in row
    assert found == expected


@pytest.mark.requirement("M119")
def test_query_03_in_odata(http: httpx.Client, jobs: Rows) -> None:
    address, headers = seed("03-suspended-jobs-by-count.http")
    rows = http.get(address, headers=headers).json()["value"]
    suspended = [job for job in jobs if job["statecode"] == 1]
    assert sum(row["count"] for row in rows) == len(suspended)
    assert {row["statecode"] for row in rows} <= {1}


@pytest.mark.requirement("M156")
def test_query_06_in_odata_has_one_row_and_no_annotation(http: httpx.Client, jobs: Rows) -> None:
    address, headers = seed("06-file-storage-count.http")
    answer = http.get(address, headers=headers)
    assert list(answer.json()) == ["@odata.context", "value"]
    assert answer.json()["@odata.context"] == f"{http.base_url}$metadata#asyncoperations"
    assert answer.json()["value"] == [{"FileStorageCount": 0}]


@pytest.mark.parametrize("number", range(1, 10))
def test_every_request_of_the_specification_is_answered(http: httpx.Client, jobs: Rows, number: int) -> None:
    if not SEED_QUERIES.is_dir():
        pytest.skip(f"the specification's queries are not at {SEED_QUERIES}")
    for file in sorted(SEED_QUERIES.glob(f"{number:02}-*.http")):
        address, headers = seed(file.name)
        answer = http.get(address, headers=headers)
        assert answer.status_code == 200, answer.text
    for file in sorted(SEED_QUERIES.glob(f"{number:02}-*.xml")):
        answer = http.get("asyncoperations", params={"fetchXml": file.read_text()})
        assert answer.status_code == 200, answer.text


@pytest.mark.requirement("M81")
def test_jobs_are_counted_by_type_with_labels(http: httpx.Client, jobs: Rows) -> None:
    rows = http.get("asyncoperations?$apply=groupby((operationtype),aggregate($count as n))", headers=WANTED).json()[
        "value"
    ]
    assert {row["operationtype"]: row["n"] for row in rows} == Counter(job["operationtype"] for job in jobs)
    assert {row[f"operationtype@{FORMATTED}"] for row in rows} == {"System Event", "Workflow", "Execute Async Request"}


@pytest.mark.requirement("M72")
@pytest.mark.parametrize("order", ["", "&$orderby=createdon desc", "&$orderby=friendlymessage,name"])
def test_pages_followed_by_their_links_bring_each_row_once(http: httpx.Client, jobs: Rows, order: str) -> None:
    prefer = {"Prefer": "odata.maxpagesize=37"}
    address, found, pages = f"asyncoperations?$select=name&$count=true&$filter=statecode eq 3{order}", [], 0
    while address:
        answer = http.get(address, headers=prefer)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert answer.headers["Preference-Applied"] == "odata.maxpagesize=37"
        found += [row["asyncoperationid"] for row in body["value"]]
        pages += 1
        assert body["@odata.count"] == len([job for job in jobs if job["statecode"] == 3])
        address = body.get("@odata.nextLink", "")
        assert not address or address.startswith(str(http.base_url))
        assert not address or len(body["value"]) == 37
    assert sorted(found) == sorted(job["asyncoperationid"] for job in jobs if job["statecode"] == 3)
    assert pages == -(-len(found) // 37)


@pytest.mark.requirement("M72")
def test_12000_rows_come_in_pages_in_both_languages(http: httpx.Client, service: Service) -> None:
    expected = sorted(job["asyncoperationid"] for job in job_rows.load(service, 12_000))
    address, found = "asyncoperations?$select=name&$orderby=createdon", []
    while address:
        body = http.get(address).json()
        found += [row["asyncoperationid"] for row in body["value"]]
        address = body.get("@odata.nextLink", "")
    assert sorted(found) == expected
    found, cookie = [], ""
    for page in itertools.count(1):
        text = f'<fetch page="{page}"{cookie}><entity name="asyncoperation"><attribute name="name"/></entity></fetch>'
        body = http.get("asyncoperations", params={"fetchXml": text}).json()
        found += [row["asyncoperationid"] for row in body["value"]]
        if COOKIE not in body:
            break
        cookie = f" paging-cookie={quoteattr(inner_cookie(body))}"
    assert sorted(found) == expected


def inner_cookie(body: dict[str, Any]) -> str:
    """As clients do it: take the attribute and decode it twice."""
    return unquote(unquote(body[COOKIE].partition('pagingcookie="')[2].partition('"')[0]))


def test_top_and_page_size_are_both_honoured(http: httpx.Client, jobs: Rows) -> None:
    prefer = {"Prefer": "odata.maxpagesize=20"}
    sizes, address = [], "asyncoperations?$select=name&$top=50&$count=true"
    while address:
        body = http.get(address, headers=prefer).json()
        assert body["@odata.count"] == 300
        sizes.append(len(body["value"]))
        address = body.get("@odata.nextLink", "")
    assert sizes == [20, 20, 10]


def test_a_token_that_was_changed_is_refused(http: httpx.Client, jobs: Rows) -> None:
    link = http.get("asyncoperations?$select=name", headers={"Prefer": "odata.maxpagesize=5"}).json()["@odata.nextLink"]
    head, _, token = link.rpartition("=")
    for forged in (token[:-2], "x" + token, "", "%FF", "é"):
        assert http.get(f"{head}={forged}").status_code == 400


def test_fetchxml_pages_by_its_cookie(http: httpx.Client, jobs: Rows) -> None:
    prefer = {"Prefer": f'odata.include-annotations="{MORE[1:]}"'}
    found: list[str] = []
    cookie = ""
    for page in itertools.count(1):
        text = (
            f'<fetch count="41" page="{page}"{cookie}><entity name="asyncoperation"><attribute name="name"/>'
            '<order attribute="name"/></entity></fetch>'
        )
        body = http.get("asyncoperations", params={"fetchXml": text}, headers=prefer).json()
        found += [row["asyncoperationid"] for row in body["value"]]
        assert "@odata.nextLink" not in body
        assert body[MORE] is (COOKIE in body)
        if not body[MORE]:
            break
        cookie = f" paging-cookie={quoteattr(inner_cookie(body))}"
    assert sorted(found) == sorted(job["asyncoperationid"] for job in jobs)


def test_fetchxml_leaves_nulls_out_and_counts_when_asked(http: httpx.Client, jobs: Rows) -> None:
    text = '<fetch top="10"><entity name="asyncoperation"><attribute name="postponeuntil"/><attribute name="name"/></entity></fetch>'
    body = http.get(f"asyncoperations?fetchXml={quote(text)}&$count=true").json()
    assert body["@odata.count"] == 300
    assert body["@odata.context"].endswith("#asyncoperations(postponeuntil,name,asyncoperationid)")
    assert all(set(row) == {"@odata.etag", "name", "asyncoperationid"} for row in body["value"])


def test_a_fetch_of_another_table_is_refused(http: httpx.Client) -> None:
    text = '<fetch><entity name="account"/></fetch>'
    status, code, message = error_of(http.get("contacts", params={"fetchXml": text}))
    assert (status, code) == (400, "0x80041128")
    assert "'account'" in message


def test_annotations_stand_before_what_they_describe_and_only_when_asked_for(
    http: httpx.Client, org: Client, account: str
) -> None:
    address = f"{account}?$select=name,revenue,creditonhold,createdon,_ownerid_value,statecode"
    http.patch(account, json={"revenue": 1234.5})
    plain = http.get(address).json()
    assert not [name for name in plain if "@" in name and not name.startswith("@odata.")]
    answer = http.get(address, headers={"Prefer": 'odata.include-annotations="*"'})
    assert answer.headers["Preference-Applied"] == 'odata.include-annotations="*"'
    body = answer.json()
    assert body[f"revenue@{FORMATTED}"] == "$1,234.50"
    assert body[f"creditonhold@{FORMATTED}"] == "No"
    assert body[f"statecode@{FORMATTED}"] == "Active"
    assert body[f"_ownerid_value@{FORMATTED}"] == "System Administrator"
    assert body["_ownerid_value@Microsoft.Dynamics.CRM.lookuplogicalname"] == "systemuser"
    assert body["_ownerid_value@Microsoft.Dynamics.CRM.associatednavigationproperty"] == "ownerid"
    assert f"name@{FORMATTED}" not in body
    names = list(body)
    for name in names:
        base, at, _ = name.partition("@")
        if base and at:
            following = [other for other in names[names.index(name) :] if "@" not in other]
            assert following[0] == base


def test_the_count_of_a_filter_is_plain_text_with_a_byte_order_mark(http: httpx.Client, jobs: Rows) -> None:
    answer = http.get("asyncoperations/$count?$filter=statecode eq 3")
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.content == b"\xef\xbb\xbf" + str(len([j for j in jobs if j["statecode"] == 3])).encode()


@pytest.mark.parametrize(
    ("address", "status", "code", "text"),
    [
        ("asyncoperation", 404, "0x8006088a", "Did you mean 'asyncoperations'?"),
        ("Accounts", 404, "0x8006088a", "Resource not found for the segment 'Accounts'. Did you mean 'accounts'?"),
        ("accounts/name", 404, "0x8006088a", "It needs a record"),
        ("accounts?$select=nmae", 400, "0x0", "Could not find a property named 'nmae'"),
        ("accounts?$filter=nmae eq 1", 400, "0x0", "Did you mean 'name'?"),
        ("accounts?$filter=name eq 'x", 400, "0x0", "unterminated literal at position 8"),
        ("accounts?$skip=5", 501, "0x80060888", "'$skip' is not supported"),
        ("accounts?$slect=name", 400, "0x0", "Did you mean '$select'?"),
        ("accounts?select=name", 400, "0x80040203", "Did you mean '$select'?"),
        ("accounts?fetchxml=<fetch/>", 400, "0x80040203", "Did you mean 'fetchXml'?"),
        ("accounts?fetchXml=<fetch>&$top=3", 400, "0x80040203", "'$top' cannot be used together with fetchXml"),
        (
            "accounts?sql=SELECT name FROM account",
            501,
            "0x80040315",
            "'sql' is not supported",
        ),
        ("accounts(0190a3c2-7c1e-7b30-9d2a-5f6e7d8c9b0a)?$filter=name eq 'x'", 400, "0x0", "'$filter' cannot be used"),
        ("accounts(name='x')", 400, "0x80060890", "not a defined key for the account entity"),
        ("accounts(123)", 400, "0x80040363", "must be a guid"),
        ("asyncoperations?$apply=aggregate($count as n)&$orderby=n", 400, "0x80060888", "FetchXML"),
    ],
)
def test_a_question_that_cannot_be_answered_says_why(
    http: httpx.Client, address: str, status: int, code: str, text: str
) -> None:
    found = error_of(http.get(address))
    assert found[:2] == (status, code), found
    assert text in found[2]


def test_answers_are_valid_json_for_any_text(http: httpx.Client, org: Client) -> None:
    names = ['"', "\\", "\n\t\x7f", "漢字 🎉", "</script>", "{}", "'"]
    for name in names:
        org.create("account", {"name": name})
    rows = json.loads(http.get("accounts?$select=name").content)["value"]
    assert sorted(row["name"] for row in rows) == sorted(names)
