"""The facts of the Web API's reference, section by section: one request each, with what its answer must say. On both stores.

A row is (what must hold, request, status, what the answer holds). Requests name records by {contoso}, {fabrikam}, {joe} and
{workflow}, the service by {root} and {origin}. What has a module of its own (expand, batch, paging, files, metadata, lambdas, keys)
is proved there in depth.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from tests.acceptance.webapi import (
    facts_addresses,
    facts_batch,
    facts_clients,
    facts_fetching,
    facts_fetchxml,
    facts_limits,
    facts_operators,
    facts_queries,
    facts_writing,
)
from tests.acceptance.webapi.facts import Fact
from tests.conftest import DIALECTS
from tests.support import postgres, roles

from adjourn import config
from adjourn.pipeline.call import Call
from adjourn.query import access_tokens
from adjourn.service import Service
from adjourn.webapi.app import create_app
from adjourn.webapi.server import run

from .conftest import TOKEN


@dataclass(frozen=True)
class Place:
    """A served organization: a client, and the ids that requests name."""

    http: httpx.Client
    names: dict[str, str]

    def ask(self, fact: Fact) -> httpx.Response:
        method, _, address = fact.request.partition(" ")
        body = fact.body
        headers = {name: self.filled(value) for name, value in fact.headers.items()}
        if isinstance(body, dict):
            body = json.loads(self.filled(json.dumps(body)))
            return self.http.request(method, self.filled(address), headers=headers, json=body)
        content = self.filled(body) if isinstance(body, str) else body
        return self.http.request(method, self.filled(address), headers=headers, content=content)

    def filled(self, text: str) -> str:
        for name, found in self.names.items():
            text = text.replace(f"{{{name}}}", found)
        return text


@pytest.fixture(scope="module", params=DIALECTS)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One organization for all facts of a store: they are many, and each reads more than it writes."""
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("reference") / "adjourn.db"
        shutil.copyfile(request.getfixturevalue("_sqlite_template"), path)
        yield from _served(f"sqlite:///{path}")
        return
    cluster = postgres.cluster()
    name = cluster.create(template=request.getfixturevalue("_postgres_template"))
    yield from _served(cluster.url_of(name))
    cluster.drop(name)


def _served(url: str) -> Iterator[Place]:
    service = Service.open(url)
    org = service.client(Call(caller=service.administrator()))
    joe = org.create("contact", {"firstname": "Joe", "lastname": "O'Brien"})
    contoso = org.create(
        "account",
        {
            "name": "Contoso",
            "revenue": 2023,
            "numberofemployees": 2023,
            "primarycontactid": ("contact", joe),
            "description": "100%",
        },
    )
    fabrikam = org.create("account", {"name": "Fabrikam", "parentaccountid": ("account", contoso)})
    org.create("task", {"subject": "Call", "regardingobjectid": ("account", contoso)})
    workflow = org.create("workflow", {"name": "a draft"})
    clerk = roles.user(org, "clerk")
    token, _ = service.store.write(lambda tx: access_tokens.create(tx, clerk, "test", None))
    server = run(create_app(service, TOKEN), "127.0.0.1", 0)
    with httpx.Client(
        base_url=f"http://127.0.0.1:{server.port}/api/data/v9.2/",
        headers={"Authorization": f"Bearer {TOKEN}"},
        timeout=30,
    ) as http:
        yield Place(
            http,
            {"contoso": str(contoso), "fabrikam": str(fabrikam), "joe": str(joe), "nobody": str(config.ORGANIZATION_ID),
             "root": str(http.base_url), "origin": str(http.base_url).partition("/api/")[0], "workflow": str(workflow),
             "admin": config.ADMIN_USER_ID, "token": token},
        )  # fmt: skip
    server.stop()
    service.close()


SECTIONS = (
    facts_addresses.SECTIONS
    | facts_queries.SECTIONS
    | facts_fetchxml.SECTIONS
    | facts_batch.SECTIONS
    | facts_limits.SECTIONS
    | facts_clients.SECTIONS
    | facts_fetching.SECTIONS
    | facts_operators.SECTIONS
    | facts_writing.SECTIONS
)


@pytest.mark.parametrize(
    "fact", [pytest.param(fact, id=f"§{section} {fact.says}") for section, facts in SECTIONS.items() for fact in facts]
)
def test_the_reference_holds(place: Place, fact: Fact) -> None:
    answer = place.ask(fact)
    assert answer.status_code == fact.status, answer.text[:2000]
    text = answer.text[:1_000_000]
    for pattern in fact.holds:
        header = re.match(r"([A-Z][A-Za-z]+(?:-[A-Za-z]+)*): ", pattern)
        where = answer.headers.get(header[1], "") if header else text
        wanted = pattern[header.end() :] if header else pattern
        wanted = re.sub(r"\{(\w+)\}", lambda m: re.escape(place.names[m[1]]) if m[1] in place.names else m[0], wanted)
        assert re.search(wanted, where, re.DOTALL), f"{wanted!r} is not in {where[:2000]!r}"
    for pattern in fact.lacks:
        assert not re.search(place.filled(pattern), text), f"{pattern!r} is in {text[:2000]!r}"
