"""Tokens of users, acting for others, and the challenge; over HTTP, on both stores."""

from __future__ import annotations

import re
from datetime import timedelta
from uuid import UUID

import httpx
import pytest
from tests.support import roles

from adjourn import config, runtime
from adjourn.client import Client
from adjourn.query import access_tokens
from adjourn.service import Service
from adjourn.store import open_store

from .conftest import Start, created, error_of
from .test_batch import batch, bodies, changes, part, send, statuses

UNIT = ("businessunit", UUID(config.ROOT_BUSINESS_UNIT_ID))


@pytest.fixture
def ada(org: Client) -> UUID:
    return org.create("systemuser", {"lastname": "Lovelace", "domainname": "ada", "businessunitid": UNIT})


def token_of(service: Service, user: UUID, days: int | None = None) -> tuple[str, UUID]:
    until = runtime.now() + timedelta(days=days) if days is not None else None
    token, row = service.store.write(lambda tx: access_tokens.create(tx, user, "test", until))
    return token, row.id


def asking(http: httpx.Client, token: str, path: str = "WhoAmI", **headers: str) -> httpx.Response:
    return http.get(path, headers={"Authorization": f"Bearer {token}", **headers})


def test_a_token_is_its_user(http: httpx.Client, service: Service, ada: UUID) -> None:
    token, _ = token_of(service, ada)
    for _ in range(3):
        assert asking(http, token).json()["UserId"] == str(ada)
    assert http.get("WhoAmI").json()["UserId"] == config.ADMIN_USER_ID


def test_a_revoked_token_is_refused_on_every_host(service: Service, serve: Start, ada: UUID, database_url: str) -> None:
    """At once on SQLite, within two seconds on PostgreSQL; revoked through another open store."""
    http = serve(service)
    token, token_id = token_of(service, ada)
    assert asking(http, token).status_code == 200
    other = open_store(database_url)
    assert other.write(lambda tx: access_tokens.revoke(tx, token_id))
    other.close()
    if service.store.dialect == "postgres":
        runtime.sleep(2.05)
    answer = asking(http, token)
    assert error_of(answer)[:2] == (401, "0x80044302")


def test_an_expired_token_is_refused(http: httpx.Client, service: Service, ada: UUID) -> None:
    token, _ = token_of(service, ada, days=-1)
    status, code, text = error_of(asking(http, token))
    assert (status, code) == (401, "0x8004a101")
    assert "expired" in text


def test_a_token_ends_while_it_is_known(http: httpx.Client, service: Service, ada: UUID) -> None:
    until = runtime.now() + timedelta(seconds=1)
    token, _ = service.store.write(lambda tx: access_tokens.create(tx, ada, None, until))
    assert asking(http, token).status_code == 200
    runtime.sleep(1.05)
    assert error_of(asking(http, token))[:2] == (401, "0x8004a101")


def test_a_disabled_user_and_a_deleted_one(http: httpx.Client, service: Service, org: Client, ada: UUID) -> None:
    token, _ = token_of(service, ada)
    assert asking(http, token).status_code == 200
    org.update("systemuser", ada, {"isdisabled": True})
    if service.store.dialect == "postgres":
        runtime.sleep(2.05)
    assert error_of(asking(http, token))[:2] == (403, "0x80040204")
    org.update("systemuser", ada, {"isdisabled": False})
    assert asking(http, token).status_code == 200
    org.delete("systemuser", ada)
    if service.store.dialect == "postgres":
        runtime.sleep(2.05)
    assert error_of(asking(http, token))[:2] == (401, "0x80072560")


def test_only_the_digest_lies_in_the_database(service: Service, ada: UUID) -> None:
    token, _ = token_of(service, ada)
    with service.store.read() as reader:
        rows = reader.rows("SELECT * FROM accesstoken")
    assert access_tokens.digest(token).hex() in repr(rows)
    assert token not in repr(rows)


@pytest.mark.parametrize(
    "header",
    ["Bearer", "Basic YTpi", "bearer wrong", "Bearer " + "x" * 60_000, "token", "Bearer a.b.c", "Bearer é"],
)
def test_what_is_no_token_gets_a_challenge(http: httpx.Client, header: str) -> None:
    answer = http.get("WhoAmI", headers={"Authorization": header.encode("latin-1")})
    assert error_of(answer)[0] == 401
    found = answer.headers["www-authenticate"]
    assert re.fullmatch(r"Bearer authorization_uri=\S+/oauth2/authorize, resource_id=http://\S+/", found)
    assert '"' not in found


def test_a_token_in_the_address_counts_for_nothing(http: httpx.Client, service: Service, ada: UUID) -> None:
    token, _ = token_of(service, ada)
    bare = httpx.get(f"{http.base_url}WhoAmI?access_token={token}")
    assert bare.status_code == 401


def test_discovery_asks_without_a_token(http: httpx.Client) -> None:
    root = str(http.base_url).split("/api/")[0]
    assert httpx.get(f"{root}/api/data/v9.2/").status_code == 401
    assert httpx.get(f"{root}/api/data").status_code == 401
    assert httpx.get(f"{root}/XRMServices/2011/Organization.svc/web").status_code == 404


def test_acting_for_others(http: httpx.Client, service: Service, org: Client, ada: UUID) -> None:
    object_id = UUID("0190aaaa-0000-7000-8000-00000000ada0")
    org.update("systemuser", ada, {"azureactivedirectoryobjectid": object_id})
    for header in ({"MSCRMCallerID": str(ada)}, {"CallerObjectId": str(object_id)}):
        assert http.get("WhoAmI", headers=header).json()["UserId"] == str(ada)
    both = {"MSCRMCallerID": config.ADMIN_USER_ID, "CallerObjectId": str(object_id)}
    assert error_of(http.get("WhoAmI", headers=both))[0] == 400
    unknown = {"CallerObjectId": str(runtime.new_id())}
    assert error_of(http.get("WhoAmI", headers=unknown))[:2] == (403, "0x80072560")
    assert error_of(http.get("WhoAmI", headers={"CallerObjectId": "x"}))[0] == 400
    nobody = http.get("WhoAmI", headers={"MSCRMCallerID": str(runtime.new_id())})
    assert error_of(nobody)[:2] == (403, "0x80072560"), "his token is good: a 401 would send him for another"
    token, _ = token_of(service, ada)
    refused = asking(http, token, MSCRMCallerID=config.ADMIN_USER_ID)
    assert error_of(refused)[:2] == (403, "0x80040220")


def test_who_acted_for_whom_is_written_down(http: httpx.Client, org: Client, ada: UUID) -> None:
    writer = roles.role(org, "writer", {"prvCreateActivity": roles.BASIC, "prvWriteAccount": roles.GLOBAL})
    org.associate("systemuser", ada, "systemuserroles_association", [("role", writer)])
    answer = http.post("emails", json={"subject": "s"}, headers={"MSCRMCallerID": str(ada)})
    assert answer.status_code == 204, answer.text
    made = answer.headers["OData-EntityId"]
    row = http.get(made).json()
    assert (row["_createdby_value"], row["_modifiedby_value"]) == (str(ada), str(ada))
    account = created(http, "accounts", {"name": "own"})
    http.patch(account, json={"name": "changed"}, headers={"MSCRMCallerID": str(ada)})
    row = http.get(f"{account}?$select=_modifiedby_value,_modifiedonbehalfby_value").json()
    assert (row["_modifiedby_value"], row["_modifiedonbehalfby_value"]) == (str(ada), config.ADMIN_USER_ID)
    http.patch(account, json={"name": "again"})
    row = http.get(f"{account}?$select=_modifiedby_value,_modifiedonbehalfby_value").json()
    assert (row["_modifiedby_value"], row["_modifiedonbehalfby_value"]) == (config.ADMIN_USER_ID, None)


def test_a_request_of_a_batch_may_be_made_for_somebody(http: httpx.Client, ada: UUID) -> None:
    for_ada = f"MSCRMCallerID: {ada}\n"
    answer = send(http, batch(part("GET WhoAmI"), part("GET WhoAmI", headers=for_ada), part("GET WhoAmI")))
    found = [body["UserId"] for body in bodies(answer)]
    assert found == [config.ADMIN_USER_ID, str(ada), config.ADMIN_USER_ID]
    for_system = f"MSCRMCallerID: {config.SYSTEM_USER_ID}\n"
    text = batch(part("GET WhoAmI"), part("GET WhoAmI", headers=for_system))
    answer = send(http, text, MSCRMCallerID=str(ada))
    assert [body["UserId"] for body in bodies(answer)] == [str(ada), config.SYSTEM_USER_ID]


def test_the_requests_of_a_change_set_may_be_made_for_several(http: httpx.Client, account: str, ada: UUID) -> None:
    for_system = f"MSCRMCallerID: {config.SYSTEM_USER_ID}\n"
    mine = part(f"PATCH {account}", '{"name":"mine"}', content_id="1")
    theirs = part("POST accounts", '{"name":"theirs"}', content_id="2", headers=for_system)
    answer = send(http, batch(changes(mine, theirs)))
    assert answer.status_code == 200, answer.text
    rows = http.get("accounts?$select=name,_modifiedby_value,_modifiedonbehalfby_value&$orderby=name").json()["value"]
    found = {row["name"]: (row["_modifiedby_value"], row["_modifiedonbehalfby_value"]) for row in rows}
    assert found == {
        "mine": (config.ADMIN_USER_ID, None),
        "theirs": (config.SYSTEM_USER_ID, config.ADMIN_USER_ID),
    }


def test_a_request_of_a_batch_for_somebody_needs_the_privilege(http: httpx.Client, service: Service, ada: UUID) -> None:
    token, _ = token_of(service, ada)
    mine = {"Authorization": f"Bearer {token}"}
    for_admin = f"MSCRMCallerID: {config.ADMIN_USER_ID}\n"
    answer = send(http, batch(part("GET WhoAmI"), part("GET WhoAmI", headers=for_admin), part("GET WhoAmI")), **mine)
    assert statuses(answer) == [200, 403]
    assert "0x80040220" in answer.text
    written = changes(part("POST accounts", '{"name":"x"}', content_id="1", headers=for_admin))
    assert statuses(send(http, batch(written), **mine)) == [403]
    assert http.get("accounts/$count").text.endswith("0")
