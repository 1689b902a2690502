"""Generated requests: every one gets an answer, and never a 500."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adjourn.service import Service
from adjourn.store.contract import Store

ID = "0ad10000-0000-7000-8000-000000000004"
NAMES = [
    "accounts", "asyncoperations", "systemusers", f"systemusers({ID})", f"accounts({ID})", "name", "data", "createdby", "fullname",
    "Account_Tasks", "teammembership_association", "$count", "$ref", "$value", "$metadata", "$batch", "WhoAmI()", "ExecuteAsync",
    "EntityDefinitions", "EntityDefinitions(LogicalName='account')", "()", "('", "(a=1)", "..", "\x01", "_ownerid_value", "é漢",
]  # fmt: skip
WORDS = [
    "name", "eq", "ne", "and", "not", "(", ")", "'x'", "'", "1", "null", "createdby/fullname", "contains(", ",", "in", "statecode",
    "createdon", "2030-01-01T00:00:00Z", "groupby((", "))", "aggregate(", "$count as n", "/", "filter(", "desc", "@p", ID, "any(", ":",
    "_ownerid_value", "Microsoft.Dynamics.CRM.Today(PropertyName='createdon')", "99999999999999999999", "\x00", "é", "%", "*", ";",
    "Account_Tasks", "contact_customer_accounts($expand=", "owninguser/$ref", "$select=", "$filter=", "$orderby=", "$top=2", "$expand=",
    "Account_Tasks/any(t:t/", "contact_customer_accounts/all(c:c/parentcustomerid_account/", "teammembership_association",
]  # fmt: skip
OPTIONS = [
    "$select",
    "$filter",
    "$orderby",
    "$top",
    "$expand",
    "$apply",
    "$count",
    "$skiptoken",
    "fetchXml",
    "savedQuery",
    "userQuery",
    "@p",
    "tag",
    "$id",
    "x",
]
XML = [
    "<fetch>", "<fetch aggregate='true' top='3'>", "<entity name='account'>", "<attribute name='name'/>", "<all-attributes/>",
    "<attribute name='name' alias='n' aggregate='count'/>", "<filter>", "<condition attribute='name' operator='eq' value='x'/>",
    "<link-entity name='contact' from='contactid' to='primarycontactid'>", "<order attribute='name'/>", "</filter>", "</link-entity>",
    "</entity>", "</fetch>", "<!DOCTYPE x>", "&lt;", "<fetch page='9' paging-cookie='x'>",
]  # fmt: skip
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=10)
    | st.just(f"/contacts({ID})"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "value", "@odata.id", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)
PROPERTIES = st.sampled_from(
    [
        "name", "revenue", "createdon", "statecode", "accountid", "primarycontactid", "primarycontactid@odata.bind", "Account_Tasks",
        "ownerid@odata.bind", "ownerid", "value", "@odata.id", "MessageName", "InputParameters", "Regarding", "PostponeUntil", "x",
    ]
)  # fmt: skip


@pytest.fixture
def http(sqlite_store: Store, serve: Callable[[Service], httpx.Client]) -> httpx.Client:
    return serve(Service(sqlite_store))


RELAXED = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def check(answer: httpx.Response) -> None:
    assert answer.status_code != 500, f"{answer.request.method} {answer.request.url}\n{answer.text}"
    if answer.status_code >= 400:
        assert set(answer.json()["error"]) == {"code", "message"}


@RELAXED
@given(
    st.lists(st.sampled_from(NAMES), max_size=4),
    st.dictionaries(st.sampled_from(OPTIONS), st.lists(st.sampled_from(WORDS), max_size=8), max_size=3),
)
def test_any_question_is_answered_or_refused(
    http: httpx.Client, path: list[str], options: dict[str, list[str]]
) -> None:
    query = "&".join(f"{name}={quote(' '.join(words))}" for name, words in options.items())
    check(http.get(f"{'/'.join(quote(part) for part in path)}?{query}"))


@RELAXED
@given(st.lists(st.sampled_from(XML), max_size=8))
def test_any_fetch_is_answered_or_refused(http: httpx.Client, pieces: list[str]) -> None:
    check(http.get("accounts", params={"fetchXml": "".join(pieces)}))


@RELAXED
@given(
    st.sampled_from(["POST", "PATCH", "PUT", "DELETE"]),
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=3),
    st.dictionaries(PROPERTIES, JSON, max_size=4),
)
def test_any_change_is_made_or_refused(
    http: httpx.Client, method: str, path: list[str], body: dict[str, object]
) -> None:
    address = "/".join(quote(part) for part in path)
    check(http.request(method, address, content=json.dumps(body).encode()))
