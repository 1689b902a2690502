"""The same texts over HTTP: every request gets an answer, and never a 500. Nothing leaves the service unable to answer."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable, Iterator
from urllib.parse import quote

import httpx
import pytest
from tests.acceptance.webapi.conftest import TOKEN
from tests.fuzz.texts import KINDS, SEEDS, made, mutated
from tests.support.listening import client, listening

from adjourn.service import Service
from adjourn.store import open_store
from adjourn.webapi.app import create_app

SHORT, LONG = 1_000, 40_000
PLACES = (
    "accounts", "accounts/$count", "asyncoperations", "systemusers", "EntityDefinitions", "contacts(0ad10000-0000-7000-8000-000000000004)",
    "EntityDefinitions(LogicalName='account')/Attributes", "accounts(0ad10000-0000-7000-8000-000000000004)",
    "$metadata", "RelationshipDefinitions",
)  # fmt: skip
WRITES = (
    "accounts", "contacts", "asyncoperations", "ExecuteAsync", "greet", "CreateEntities", "accounts/Microsoft.Dynamics.CRM.CreateMultiple",
    "accounts/Microsoft.Dynamics.CRM.UpsertMultiple", "EntityDefinitions", "EntityDefinitions(LogicalName='account')/Attributes",
    "EntityDefinitions(LogicalName='account')/Keys", "RelationshipDefinitions", "accounts(0ad10000-0000-7000-8000-000000000004)",
    "accounts(0ad10000-0000-7000-8000-000000000004)/name", "tasks",
    "accounts(0ad10000-0000-7000-8000-000000000004)/primarycontactid/$ref",
)  # fmt: skip


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def http(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('fuzz') / 'adjourn.db'}"
    else:
        from tests.support import postgres

        url = postgres.cluster().url_of(
            postgres.cluster().create(template=request.getfixturevalue("_postgres_template"))
        )
    store = open_store(url)
    service = Service(store)
    service.register("tests.acceptance.webapi.plugins")
    with listening(create_app(service, TOKEN)) as port, client(port, TOKEN) as http:
        http.post("accounts", json={"name": "a", "revenue": 1, "accountid": "0ad10000-0000-7000-8000-000000000004"})
        yield http
    store.close()


def text_of(kind: str, chance: random.Random) -> str:
    text = made(kind, chance)
    return (
        mutated(chance.choice((text, chance.choice(SEEDS[kind]))), chance, SEEDS[kind])
        if chance.random() < 0.5
        else text
    )


def odata(http: httpx.Client, text: str, chance: random.Random) -> httpx.Response:
    prefer = chance.choice(("", "odata.maxpagesize=1", 'odata.include-annotations="*"', text[:50]))
    query = quote(text.encode("utf-8", "replace"), safe="&=$%@()',/;:*+")
    headers = {"Prefer": re.sub(r"[^ -~]", "", prefer).strip()}
    return http.get(f"{chance.choice(PLACES)}?{query}", headers=headers)


def fetchxml(http: httpx.Client, text: str, chance: random.Random) -> httpx.Response:
    return http.get(f"{chance.choice(PLACES[:4])}?fetchXml={quote(text.encode('utf-8', 'replace'))}")


def body(http: httpx.Client, text: str, chance: random.Random) -> httpx.Response:
    method = chance.choice(("POST", "POST", "PATCH", "PUT", "DELETE"))
    headers = chance.choice(
        ({}, {"If-Match": "*"}, {"If-None-Match": "*"}, {"Prefer": "return=representation"}, {"If-Match": 'W/"1"'})
    )
    return http.request(method, chance.choice(WRITES), content=text.encode("utf-8", "surrogatepass"), headers=headers)


def batch(http: httpx.Client, text: str, chance: random.Random) -> httpx.Response:
    headers = {"Content-Type": "multipart/mixed; boundary=b", "Prefer": chance.choice(("odata.continue-on-error", "x"))}
    return http.post("$batch", content=text.encode("latin-1", "replace"), headers=headers)


def address(http: httpx.Client, text: str, chance: random.Random) -> httpx.Response:
    path, mark, query = text.partition("?")
    whole = (
        quote(path.encode("utf-8", "replace"), safe="/%()=',$")
        + mark
        + quote(query.encode("utf-8", "replace"), safe="&=%()',$/")
    )
    return http.request(chance.choice(("GET", "GET", "DELETE", "PATCH", "PUT", "POST")), "./" + whole, content=b"{}")


SENDERS: dict[str, Callable[[httpx.Client, str, random.Random], httpx.Response]] = {
    "odata": odata,
    "fetchxml": fetchxml,
    "json": body,
    "batch": batch,
    "address": address,
}


def throw(http: httpx.Client, kind: str, count: int, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(count):
        text = text_of(kind, chance)
        try:
            answer = SENDERS[kind](http, text, chance)
        except httpx.InvalidURL:
            continue  # the client would not send it
        said = f"{answer.request.method} {answer.request.url}\n{text!r}\n{answer.text[:2_000]}"
        assert answer.status_code < 500 or answer.status_code == 501, said
        assert "HTTP/1.1 500" not in answer.text, said
        if answer.status_code >= 400 and not answer.headers.get("content-type", "").startswith(
            ("multipart", "text/plain")
        ):
            members = {name for name in answer.json()["error"] if not name.startswith("@Microsoft.PowerApps.CDS.")}
            assert members == {"code", "message"}, said
    assert http.get("WhoAmI").status_code == 200
    assert http.post("accounts", json={"name": "afterwards"}).status_code == 204


def test_a_date_grouping_outside_an_aggregate_query_is_refused(http: httpx.Client) -> None:
    """What the fuzzing found: it was compiled, and failed in the answer."""
    for attributes in ("distinct='true'", ""):
        attribute = "<attribute name='creditonhold' dategrouping='day'/>"
        answer = http.get(
            "accounts", params={"fetchXml": f"<fetch {attributes}><entity name='account'>{attribute}</entity></fetch>"}
        )
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "0x8004111a")


@pytest.mark.parametrize("kind", KINDS)
def test_any_request_is_answered_or_refused(http: httpx.Client, kind: str) -> None:
    throw(http, kind, SHORT // len(KINDS), seed=40_517)


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_any_of_40000_requests_is_answered_or_refused(http: httpx.Client, kind: str) -> None:
    seed = int(os.environ.get("ADJOURN_FUZZ_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 31)
    print(f"ADJOURN_FUZZ_SEED={seed}")
    throw(http, kind, LONG // len(KINDS), seed)
