"""Pages over HTTP: every row once while others come and go, links that cannot be altered, $top, counts, references."""

from __future__ import annotations

import httpx
import pytest
from tests.acceptance.webapi.conftest import created, error_of

TWO = {"Prefer": "odata.maxpagesize=2"}


def pages(http: httpx.Client, address: str, size: int = 2) -> list[list[str]]:
    """The names on each page, following the links as they are."""
    found: list[list[str]] = []
    link: str | None = address
    while link is not None:
        answer = http.get(link, headers={"Prefer": f"odata.maxpagesize={size}"})
        assert answer.status_code == 200, answer.text
        found.append([row["name"] for row in answer.json()["value"]])
        link = answer.json().get("@odata.nextLink")
        assert link is None or link.startswith(str(http.base_url))
    return found


@pytest.fixture
def accounts(http: httpx.Client) -> dict[str, str]:
    return {name: created(http, "accounts", {"name": name}) for name in ("b", "d", "f", "h", "j")}


def test_each_row_is_on_one_page_while_rows_come_and_go(http: httpx.Client, accounts: dict[str, str]) -> None:
    first = http.get("accounts?$select=name&$orderby=name", headers=TWO).json()
    created(http, "accounts", {"name": "a"})
    created(http, "accounts", {"name": "e"})
    assert http.delete(accounts["d"]).status_code == 204
    assert http.delete(accounts["h"]).status_code == 204
    rest = pages(http, first["@odata.nextLink"])
    assert [row["name"] for row in first["value"]] == ["b", "d"]
    assert rest == [["e", "f"], ["j"]]


def test_equal_and_missing_sort_keys_lose_nothing(http: httpx.Client) -> None:
    for number in range(7):
        body = {"name": f"n{number}", **({"telephone1": "same"} if number % 2 else {})}
        created(http, "accounts", body)
    for order in ("telephone1", "telephone1 desc", "telephone1 desc,name", "primarycontactid/lastname,name desc",
                  "_ownerid_value desc"):  # fmt: skip
        found = pages(http, f"accounts?$select=name&$orderby={order}")
        assert [len(page) for page in found] == [2, 2, 2, 1]
        assert sorted(name for page in found for name in page) == [f"n{number}" for number in range(7)]


def test_top_counts_over_all_pages(http: httpx.Client, accounts: dict[str, str]) -> None:
    assert pages(http, "accounts?$select=name&$orderby=name&$top=3") == [["b", "d"], ["f"]]
    assert pages(http, "accounts?$select=name&$orderby=name&$top=2") == [["b", "d"]]
    assert pages(http, "accounts?$select=name&$top=0") == [[]]
    answer = http.get("accounts?$select=name&$top=1&$count=true").json()
    assert answer["@odata.count"] == 5
    assert "@odata.nextLink" not in answer


def test_the_count_is_of_all_pages_on_each(http: httpx.Client, accounts: dict[str, str]) -> None:
    answer = http.get("accounts?$count=true&$filter=name gt 'b'", headers=TWO).json()
    assert answer["@odata.count"] == 4
    assert http.get(answer["@odata.nextLink"], headers=TWO).json()["@odata.count"] == 4
    counted = http.get("accounts/$count", params={"$filter": "name gt @p", "@p": "'b'"})
    assert (counted.text, counted.headers["content-type"].partition(";")[0]) == ("\ufeff4", "text/plain")


def test_references_and_navigations_are_paged(http: httpx.Client, accounts: dict[str, str]) -> None:
    seen: list[str] = []
    link: str | None = "accounts/$ref?$orderby=name"
    while link is not None:
        answer = http.get(link, headers=TWO).json()
        assert answer["@odata.context"].endswith("$metadata#Collection($ref)")
        seen += [row["@odata.id"].removeprefix(str(http.base_url)) for row in answer["value"]]
        link = answer.get("@odata.nextLink")
    assert seen == list(accounts.values())
    for name in "xyz":
        created(http, "accounts", {"name": name, "parentaccountid@odata.bind": accounts["b"]})
    assert pages(http, f"{accounts['b']}/account_parent_account?$select=name&$orderby=name") == [["x", "y"], ["z"]]
    assert http.get(f"{accounts['b']}/account_parent_account/$count?$filter=name ne 'x'").text == "\ufeff2"


def test_groups_are_paged(http: httpx.Client, accounts: dict[str, str]) -> None:
    found = pages(http, "accounts?$apply=groupby((name),aggregate($count as n))")
    assert found == [["b", "d"], ["f", "h"], ["j"]]


@pytest.mark.parametrize("token", ["x", "", "AAAA", "%F0%9F%98%80", "%00", "e30", "A" * 20_000])
def test_a_made_up_token_is_refused(http: httpx.Client, token: str) -> None:
    status, code, _ = error_of(http.get(f"accounts?$skiptoken={token}"))
    assert (status, code) in ((400, "0x8004112a"), (400, "0x80040203"))


def test_an_altered_or_foreign_token_is_refused(http: httpx.Client, accounts: dict[str, str]) -> None:
    link = http.get("accounts?$select=name&$orderby=name", headers=TWO).json()["@odata.nextLink"]
    token = link.partition("$skiptoken=")[2]
    for place in (0, 20, 30, len(token) - 2):
        other = "A" if token[place] != "A" else "B"
        status, code, text = error_of(
            http.get(f"accounts?$orderby=name&$skiptoken={token[:place]}{other}{token[place + 1 :]}")
        )
        assert (status, code) == (400, "0x8004112a"), text
    for address in (
        "accounts?",
        "accounts?$orderby=name desc&",
        "contacts?$orderby=fullname&",
        "accounts?$orderby=telephone1&",
    ):
        status, code, text = error_of(http.get(f"{address}$skiptoken={token}"))
        assert (status, code) == (400, "0x8004112a"), text
        assert "belongs to another query" in text
    assert len(http.get(f"accounts?$orderby=name&$select=name,telephone1&$skiptoken={token}").json()["value"]) == 3


@pytest.mark.parametrize("size", ["0", "-1", "x", "1.5"])
def test_a_page_size_that_is_none_is_refused(http: httpx.Client, size: str) -> None:
    status, code, text = error_of(http.get("accounts", headers={"Prefer": f"odata.maxpagesize={size}"}))
    assert (status, code) == (400, "0x80040203")
    assert "from 1" in text
