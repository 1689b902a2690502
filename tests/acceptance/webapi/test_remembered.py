"""Answers that are given again: never older than the data, never somebody else's, and never in place of somebody's code."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

import adjourn
from adjourn.client import Client
from adjourn.service import Service
from adjourn.store.contract import Store
from adjourn.store.sqlite import SqliteStore

from .conftest import Start, created

reads: list[str] = []


@adjourn.step(message="RetrieveMultiple", table="contact", stage="PreOperation", mode="Synchronous")
def notice(context: adjourn.Context) -> None:
    reads.append(context.message_name)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tables that were really read, in order."""
    found: list[str] = []
    plain = Service.retrieve_multiple

    def noticed(self: Service, query, *args, **options):  # type: ignore[no-untyped-def]
        found.append(query.table)
        return plain(self, query, *args, **options)

    monkeypatch.setattr(Service, "retrieve_multiple", noticed)
    return found


@pytest.fixture
def sqlite_http(sqlite_store: SqliteStore, serve: Start) -> httpx.Client:
    return serve(Service(sqlite_store))


def test_the_same_question_is_read_once(sqlite_http: httpx.Client, asked: list[str]) -> None:
    address = created(sqlite_http, "accounts", {"name": "Contoso"})
    answers = [sqlite_http.get(f"{address}?$select=name") for _ in range(5)]
    assert {(a.content, a.headers["etag"]) for a in answers} == {(answers[0].content, answers[0].headers["etag"])}
    assert asked == ["account"]


def test_a_change_is_seen_at_once(http: httpx.Client, account: str) -> None:
    """On both stores, whoever changes it."""
    for number in range(20):
        assert http.patch(account, json={"telephone1": str(number)}).status_code == 204
        assert http.get(f"{account}?$select=telephone1").json()["telephone1"] == str(number)
        assert http.get(f"{account}?$select=telephone1").json()["telephone1"] == str(number)
    assert http.delete(account).status_code == 204
    assert http.get(f"{account}?$select=telephone1").status_code == 404


def test_a_change_in_python_is_seen_at_once(http: httpx.Client, org: Client, account: str) -> None:
    key = account.removeprefix("accounts(").rstrip(")")
    for number in range(5):
        http.get(account)
        org.update("account", key, {"name": f"n{number}"})
        assert http.get(account).json()["name"] == f"n{number}"


def test_a_change_by_another_program_is_seen(sqlite_http: httpx.Client, sqlite_store: Store) -> None:
    address = created(sqlite_http, "accounts", {"name": "Contoso"})
    assert sqlite_http.get(f"{address}?$select=name").json()["name"] == "Contoso"
    with sqlite3.connect(Path(sqlite_store.url.removeprefix("sqlite:///"))) as other:
        other.execute("UPDATE account SET name = 'Fabrikam'")
    other.close()
    adjourn.runtime.sleep(0.02)
    assert sqlite_http.get(f"{address}?$select=name").json()["name"] == "Fabrikam"


def test_what_differs_in_a_header_or_the_address_is_another_question(
    sqlite_http: httpx.Client, asked: list[str]
) -> None:
    address = created(sqlite_http, "accounts", {"name": "Contoso", "creditonhold": True})
    plain = sqlite_http.get(f"{address}?$select=creditonhold")
    annotations = {"Prefer": 'odata.include-annotations="*"'}
    annotated = sqlite_http.get(f"{address}?$select=creditonhold", headers=annotations)
    assert b"FormattedValue" in annotated.content
    assert b"FormattedValue" not in plain.content
    assert sqlite_http.get(f"{address}?$select=name").json().keys() != plain.json().keys()
    other_host = sqlite_http.get(f"{address}?$select=creditonhold", headers={"Host": "adjourn.example"})
    assert "https://adjourn.example" in other_host.text or "http://adjourn.example" in other_host.text
    tag = plain.headers["etag"]
    assert sqlite_http.get(f"{address}?$select=creditonhold", headers={"If-None-Match": tag}).status_code == 304
    assert sqlite_http.get(f"{address}?$select=creditonhold").status_code == 200
    assert len(asked) == 5


def test_a_known_answer_is_nobodys_without_a_token(sqlite_http: httpx.Client) -> None:
    address = created(sqlite_http, "accounts", {"name": "Contoso"})
    assert sqlite_http.get(address).status_code == 200
    assert httpx.get(f"{sqlite_http.base_url}{address}").status_code == 401
    wrong = {"Authorization": "Bearer wrong"}
    assert sqlite_http.get(address, headers=wrong).status_code == 401


def test_steps_on_reading_run_each_time(sqlite_store: SqliteStore, serve: Start) -> None:
    service = Service(sqlite_store)
    http = serve(service)
    address = created(http, "contacts", {"lastname": "Byron"})
    http.get(address)
    service.register(__name__)
    del reads[:]
    for _ in range(3):
        assert http.get(address).status_code == 200
    assert reads == ["RetrieveMultiple"] * 3


def test_readers_beside_a_writer_never_go_back_in_time(sqlite_http: httpx.Client) -> None:
    address = created(sqlite_http, "accounts", {"name": "Contoso", "numberofemployees": 0})
    last = 60

    def read(_: int) -> list[int]:
        seen = [0]
        while seen[-1] < last:
            seen.append(sqlite_http.get(f"{address}?$select=numberofemployees").json()["numberofemployees"])
        return seen

    with ThreadPoolExecutor(4) as pool:
        found = [pool.submit(read, number) for number in range(4)]
        for number in range(1, last + 1):
            assert sqlite_http.patch(address, json={"numberofemployees": number}).status_code == 204
            assert sqlite_http.get(f"{address}?$select=numberofemployees").json()["numberofemployees"] == number
        assert all(one.result() == sorted(one.result()) for one in found)
