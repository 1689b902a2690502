"""A record that a caller may not see answers like a GET by its id, however it is named: 403, and nothing of what is in it.

One that is not there is 404 on the same ways. Source: webapi.md §18; docs/security.md, "Reading".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest
from tests.acceptance.webapi.conftest import created, error_of
from tests.support import roles
from tests.support.roles import BASIC, GLOBAL

from adjourn.client import Client
from adjourn.service import Service

N = "Microsoft.Dynamics.CRM"
SECRET = "TOPSECRET"
ABSENT = UUID("00000000-0000-7000-8000-0000000000ff")
DENIED, MISSING, KEY_MISSING = (403, "0x80040220"), (404, "0x80040217"), (404, "0x80060891")
LABEL = {"LocalizedLabels": [{"Label": "Number", "LanguageCode": 1033}]}
ALL = {
    f"prv{kind}{table}": BASIC for kind in roles.KINDS for table in ("Account", "Contact", "Activity", "UserQuery")
} | {f"prv{kind}AsyncOperation": BASIC for kind in ("Create", "Read", "Write", "Delete")}


@dataclass
class Scene:
    """A clerk with an account of his own, and what others have: an account, a contact below his account, a job."""

    http: httpx.Client
    user: UUID
    mine: str
    account: str
    contact: str
    job: str
    leading: str
    """An account of the clerk's that leads to the hidden contact."""

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        content: dict[str, Any] = {"json": body} if body is not None else {}
        return self.http.request(method, path, headers={"MSCRMCallerID": str(self.user), **headers}, **content)


@pytest.fixture
def scene(http: httpx.Client, org: Client, service: Service) -> Scene:
    service.register("tests.acceptance.webapi.bound_plugins")
    key = {"SchemaName": "new_Number", "DisplayName": LABEL, "KeyAttributes": ["accountnumber"]}
    file = {"@odata.type": f"{N}.FileAttributeMetadata", "SchemaName": "new_Paper", "MaxSizeInKB": 1024}
    for part, definition in (("Keys", key), ("Attributes", file)):
        answer = http.post(f"EntityDefinitions(LogicalName='account')/{part}", json=definition)
        assert answer.status_code == 204, answer.text
    user = roles.user(org, "clerk", roles=(roles.role(org, "clerk", ALL),))
    acting = {"MSCRMCallerID": str(user)}
    root = str(http.base_url)
    mine = http.post("accounts", json={"name": "mine"}, headers=acting).headers["OData-EntityId"].removeprefix(root)
    account = created(http, "accounts", {"name": SECRET, "accountnumber": "A-1"})
    contact = created(http, "contacts", {"lastname": SECRET, "parentcustomerid_account@odata.bind": mine})
    leading = created(http, "accounts", {
        "name": "leading", "accountnumber": "A-2", "primarycontactid@odata.bind": contact,
        "ownerid@odata.bind": f"systemusers({user})",
    })  # fmt: skip
    body = {"MessageName": "WhoAmI", "PostponeUntil": "2099-01-01T00:00:00Z"}
    job = f"asyncoperations({http.post('ExecuteAsync', json=body).json()['AsyncJobId']})"
    return Scene(http, user, mine, account, contact, job, leading)


READING = (
    "{account}", "{account}?$select=name", "{account}?$expand=primarycontactid", "{account}/name", "{account}/name/$value",
    "{account}/$ref", "{account}/contact_customer_accounts", "{account}/contact_customer_accounts/$count",
    "{account}/contact_customer_accounts/$ref", "{account}/primarycontactid", "{account}/primarycontactid/$ref",
    "{account}/new_paper/$value", "{account}/" + N + ".name_of()",
    "{contact}", "{contact}/parentcustomerid_account", "{mine}/contact_customer_accounts{contact_key}",
    "{mine}/contact_customer_accounts{contact_key}/$ref", "{job}", "{job}/data", "{job}/data/$value", "{job}/owninguser",
    "ExplainSystemJob(AsyncJobId={job_id})",
)  # fmt: skip


def filled(text: Any, names: dict[str, str]) -> Any:
    """A path or a body with its places filled in."""
    if isinstance(text, str):
        for name, value in names.items():
            text = text.replace(f"{{{name}}}", value)
        return text
    if isinstance(text, dict):
        return {key: filled(value, names) for key, value in text.items()}
    return [filled(value, names) for value in text] if isinstance(text, list) else text


def names_of(scene: Scene, *, absent: bool = False) -> dict[str, str]:
    found = {"mine": scene.mine, "leading": scene.leading}
    for name in ("account", "contact", "job"):
        address = getattr(scene, name)
        if absent:
            address = f"{address.partition('(')[0]}({ABSENT})"
        key = address[address.index("(") :]
        found |= {name: address, f"{name}_key": key, f"{name}_id": key.strip("()")}
    return found


def test_every_way_of_reading_it(scene: Scene) -> None:
    for path in READING:
        hidden = scene.ask("GET", filled(path, names_of(scene)))
        status, code, text = error_of(hidden)
        assert (path, status, code) == (path, *DENIED)
        assert "prvRead" in text
        assert SECRET not in text
        assert (path, *error_of(scene.ask("GET", filled(path, names_of(scene, absent=True))))[:2]) == (path, *MISSING)
    for path in (
        "{leading}/primarycontactid",
        "{leading}/primarycontactid/$ref",
        "{leading}/primarycontactid/lastname",
    ):
        assert (path, *error_of(scene.ask("GET", filled(path, names_of(scene))))[:2]) == (path, *DENIED)


WRITING: tuple[tuple[str, str, Any, dict[str, str]], ...] = (
    ("PATCH", "{account}", {"name": "x"}, {"If-Match": "*"}),
    ("PATCH", "{account}", {"name": "x"}, {"If-Match": 'W/"1"'}),
    ("PATCH", "{account}", {"name": "x"}, {"If-Match": "*", "Prefer": "return=representation"}),
    ("PUT", "{account}/name", {"value": "x"}, {}),
    ("DELETE", "{account}/name", None, {}),
    ("PUT", "{account}/primarycontactid/$ref", {"@odata.id": "{contact}"}, {}),
    ("DELETE", "{account}/primarycontactid/$ref", None, {}),
    ("DELETE", "{account}", None, {}),
    ("DELETE", "{account}", None, {"If-Match": 'W/"1"'}),
    ("POST", f"{{account}}/{N}.rename", {"name": "x"}, {}),
    ("POST", f"accounts/{N}.UpdateMultiple", {"Targets": [{"accountid": "{account_id}", "name": "x"}]}, {}),
    ("POST", f"accounts/{N}.UpdateMultiple", {"Targets": [{"@odata.id": "{account}", "name": "x"}]}, {}),
    ("POST", "{account}/contact_customer_accounts", {"lastname": "x"}, {}),
    ("POST", "{mine}/contact_customer_accounts/$ref", {"@odata.id": "{contact}"}, {}),
    ("PUT", "{mine}/primarycontactid/$ref", {"@odata.id": "{contact}"}, {}),
    ("PATCH", "{mine}", {"primarycontactid@odata.bind": "{contact}"}, {}),
    ("POST", "accounts", {"name": "x", "primarycontactid@odata.bind": "{contact}"}, {}),
    ("POST", "accounts", {"name": "x", "account_parent_account": [
        {"name": "y", "primarycontactid@odata.bind": "{contact}"}]}, {}),
    ("POST", "accounts", {"name": "x", "primarycontactid": {
        "lastname": "y", "parentcustomerid_account@odata.bind": "{account}"}}, {}),
    ("POST", f"accounts/{N}.CreateMultiple", {"Targets": [{"name": "x", "primarycontactid@odata.bind": "{contact}"}]}, {}),
    ("POST", f"accounts/{N}.UpsertMultiple", {"Targets": [
        {"accountid": str(ABSENT), "name": "x", "primarycontactid@odata.bind": "{contact}"}]}, {}),
    ("POST", "ExecuteAsync", {"MessageName": "WhoAmI", "Regarding": {"@odata.id": "{account}"}}, {}),
    ("POST", "InitializeFileBlocksUpload", {
        "Target": {"@odata.id": "{account}"}, "FileName": "a.txt", "FileAttributeName": "new_paper"}, {}),
    ("POST", "InitializeFileBlocksDownload", {"Target": {"@odata.id": "{account}"}, "FileAttributeName": "new_paper"}, {}),
    ("PATCH", "{account}/new_paper", None, {"x-ms-file-name": "a.txt", "x-ms-transfer-mode": "chunked"}),
    ("DELETE", "{account}/new_paper", None, {}),
    ("PATCH", "{job}", {"statecode": 3, "statuscode": 32}, {"If-Match": "*"}),
    ("PATCH", "{job}", {"postponeuntil": "2098-01-01T00:00:00Z"}, {"If-Match": 'W/"1"'}),
    ("DELETE", "{job}", None, {}),
)  # fmt: skip


def test_every_way_of_writing_to_it(scene: Scene) -> None:
    """Where a record would be made by the way (an upsert), the hidden one is refused before its version is looked at."""
    before = everything(scene)
    for method, path, body, headers in WRITING:
        case = (method, path, str(body), str(headers))
        names = names_of(scene)
        status, code, text = error_of(scene.ask(method, filled(path, names), filled(body, names), **headers))
        assert (case, status, code) == (case, *DENIED), text
        assert SECRET not in text
        names = names_of(scene, absent=True)
        status, code, text = error_of(scene.ask(method, filled(path, names), filled(body, names), **headers))
        assert (case, status, code) == (case, *MISSING), text
    for headers in ({}, {"If-None-Match": "*"}):
        assert error_of(scene.ask("PATCH", scene.account, {"name": "x"}, **headers))[:2] == DENIED
    target = {"accountid": names_of(scene)["account_id"], "name": "x"}
    upsert = scene.ask("POST", f"accounts/{N}.UpsertMultiple", {"Targets": [target]})
    assert error_of(upsert)[:2] == DENIED
    assert everything(scene) == before


def everything(scene: Scene) -> list[Any]:
    return [scene.http.get(path).json()["value"] for path in ("accounts", "contacts", "asyncoperations")]


BY_KEY: tuple[tuple[str, str, Any, dict[str, str]], ...] = (
    ("GET", "{key}", None, {}),
    ("GET", "{key}/name", None, {}),
    ("GET", "{key}/contact_customer_accounts/$count", None, {}),
    ("PATCH", "{key}", {"name": "x"}, {"If-Match": "*"}),
    ("PUT", "{key}/name", {"value": "x"}, {}),
    ("DELETE", "{key}", None, {}),
    ("POST", f"{{key}}/{N}.rename", {"name": "x"}, {}),
    ("POST", f"accounts/{N}.UpdateMultiple", {"Targets": [{"@odata.id": "{key}", "name": "x"}]}, {}),
    ("PATCH", "{mine}", {"parentaccountid@odata.bind": "{key}"}, {}),
    ("POST", "accounts", {"name": "x", "parentaccountid@odata.bind": "{key}"}, {}),
    ("PUT", "{mine}/parentaccountid/$ref", {"@odata.id": "{key}"}, {}),
    ("POST", "ExecuteAsync", {"MessageName": "WhoAmI", "Regarding": {"@odata.id": "{key}"}}, {}),
)


def test_an_alternate_key_of_it(scene: Scene) -> None:
    before = everything(scene)
    for method, path, body, headers in BY_KEY:
        for number, expected in (("A-1", DENIED), ("A-9", KEY_MISSING)):
            names = {"key": f"accounts(accountnumber='{number}')", "mine": scene.mine}
            status, code, text = error_of(scene.ask(method, filled(path, names), filled(body, names), **headers))
            assert (method, path, number, status, code) == (method, path, number, *expected)
            assert SECRET not in text
    for headers in ({}, {"If-None-Match": "*"}):
        assert error_of(scene.ask("PATCH", "accounts(accountnumber='A-1')", {"name": "x"}, **headers))[:2] == DENIED
    upsert = {"Targets": [{"@odata.id": "accounts(accountnumber='A-1')", "name": "x"}]}
    assert error_of(scene.ask("POST", f"accounts/{N}.UpsertMultiple", upsert))[:2] == DENIED
    assert everything(scene) == before
    assert scene.ask("GET", "accounts(accountnumber='A-2')?$select=name").json()["name"] == "leading"


def test_who_may_not_read_the_table_learns_nothing(scene: Scene, org: Client) -> None:
    """Hidden, absent, by key or by id: the privilege is missing, and that is all."""
    nobody = roles.user(org, "nobody", roles=())
    headers = {"MSCRMCallerID": str(nobody)}
    texts = set()
    for path in (
        scene.account,
        f"accounts({ABSENT})",
        "accounts(accountnumber='A-1')",
        "accounts(accountnumber='A-9')",
    ):
        for method, body in (("GET", None), ("PATCH", {"name": "x"}), ("DELETE", None)):
            answer = scene.http.request(method, path, json=body, headers=headers)
            status, code, text = error_of(answer)
            assert (method, path, status, code) == (method, path, *DENIED)
            texts.add((method, text))
        for call in ("name_of()", "rename"):
            verb, body = ("GET", None) if call.endswith(")") else ("POST", {"name": "x"})
            answer = scene.http.request(verb, f"{path}/{N}.{call}", json=body, headers=headers)
            assert (call, path, *error_of(answer)[:2]) == (call, path, *DENIED)
    for path in (f"{scene.account}/new_paper", f"accounts({ABSENT})/new_paper"):
        chunked = {"x-ms-file-name": "a.txt", "x-ms-transfer-mode": "chunked", **headers}
        status, code, text = error_of(scene.http.patch(path, headers=chunked))
        assert (path, status, code) == (path, *DENIED)
        texts.add(("upload", text))
    by_method: dict[str, set[str]] = {}
    for method, text in texts:
        by_method.setdefault(method, set()).add(text.partition("missing ")[2])
    assert {method: len(found) for method, found in by_method.items() if method in ("GET", "upload")} == {
        "GET": 1, "upload": 1,
    }  # fmt: skip


def test_views_of_others(scene: Scene) -> None:
    fetch = f"<fetch><entity name='account'><filter><condition attribute='name' operator='eq' value='{SECRET}'/></filter></entity></fetch>"
    body = {"name": "theirs", "returnedtypecode": "account", "fetchxml": fetch, "querytype": 0}
    view = created(scene.http, "userqueries", body).removeprefix("userqueries(").rstrip(")")
    for option, expected in ((view, DENIED), (ABSENT, MISSING)):
        assert error_of(scene.ask("GET", f"userqueries({option})"))[:2] == expected
        assert error_of(scene.ask("GET", f"accounts?userQuery={option}"))[:2] == expected


def test_in_expands_links_lambdas_and_counts_it_is_not_there(scene: Scene) -> None:
    def rows(path: str, **params: str) -> list[dict[str, Any]]:
        answer = scene.http.get(path, params=params or None, headers={"MSCRMCallerID": str(scene.user)})
        assert answer.status_code == 200, answer.text
        return answer.json()["value"]

    expanded = rows("accounts?$select=name&$orderby=name&$expand=primarycontactid,contact_customer_accounts")
    assert [(row["primarycontactid"], row["contact_customer_accounts"]) for row in expanded] == [(None, []), (None, [])]
    assert rows("accounts?$filter=contact_customer_accounts/any(c:c/lastname ne null)") == []
    assert len(rows("accounts?$filter=contact_customer_accounts/all(c:c/lastname eq null)")) == 2
    assert rows(f"accounts?$filter=primarycontactid/lastname eq '{SECRET}'") == []
    assert rows("contacts") == []
    for number in ("$count", "contact_customer_accounts/$count"):
        path = f"contacts/{number}" if number == "$count" else f"{scene.mine}/{number}"
        assert scene.ask("GET", path).text.lstrip("\ufeff") == "0"
    total = scene.ask("GET", 'RetrieveTotalRecordCount(EntityNames=@p)?@p=["account","contact","asyncoperation"]')
    assert total.json()["EntityRecordCountCollection"]["Values"] == [2, 0, 0]
    linked = (
        "<fetch><entity name='account'><attribute name='name'/><link-entity name='contact' alias='c' link-type='{kind}' "
        "from='contactid' to='primarycontactid'><attribute name='lastname'/></link-entity></entity></fetch>"
    )
    for kind, number in (("inner", 0), ("outer", 2), ("exists", 0), ("in", 0)):
        text = linked.replace("{kind}", kind)
        if kind in ("exists", "in"):
            text = text.replace("<attribute name='lastname'/>", "")
        found = rows("accounts", fetchXml=text)
        assert (kind, len(found), any(SECRET in str(row) for row in found)) == (kind, number, False)
    summed = "<fetch aggregate='true'><entity name='contact'><attribute name='contactid' aggregate='count' alias='n'/></entity></fetch>"
    assert rows("contacts", fetchXml=summed) == [{"n": 0}]
    assert rows("contacts?$apply=aggregate($count as n)") == [{"n": 0}]


def test_a_tree_does_not_count_hidden_children(scene: Scene) -> None:
    created(scene.http, "accounts", {"name": SECRET, "parentaccountid@odata.bind": scene.mine})
    assert scene.ask("PATCH", scene.leading, {"parentaccountid@odata.bind": scene.mine}).status_code == 204
    fetch = (
        "<fetch><entity name='account'><attribute name='name'/><attribute name='accountid' rowaggregate='CountChildren' "
        "alias='n'/><order attribute='name'/></entity></fetch>"
    )
    for headers, expected in (({}, 2), ({"MSCRMCallerID": str(scene.user)}, 1)):
        answer = scene.http.get("accounts", params={"fetchXml": fetch}, headers=headers)
        assert {row["name"]: row["n"] for row in answer.json()["value"]}["mine"] == expected


def test_a_refused_delete_does_not_name_it(scene: Scene, org: Client) -> None:
    """Users are not deleted while contracts refer to them; to whom they belong is nobody's business."""
    contract = created(scene.http, "contracts", {"title": SECRET, "customerid_account@odata.bind": scene.mine})
    key = contract.removeprefix("contracts(").rstrip(")")
    status, _, text = error_of(scene.ask("DELETE", scene.mine))
    assert status >= 400
    assert key not in text
    assert key in error_of(scene.http.delete(scene.mine))[2]


def test_the_reason_of_a_wait_does_not_name_a_hidden_job(scene: Scene) -> None:
    body = {"MessageName": "WhoAmI", "DependencyToken": "t", "PostponeUntil": "2099-01-01T00:00:00Z"}
    first = scene.http.post("ExecuteAsync", json=body).json()["AsyncJobId"]
    second = scene.ask("POST", "ExecuteAsync", body).json()["AsyncJobId"]
    why = f"ExplainSystemJob(AsyncJobId={second})"
    assert first in scene.http.get(why).json()["Why"]
    told = scene.ask("GET", why).json()["Why"]
    assert first not in told
    assert "behind" in told
    assert "'t'" in told


def test_a_version_is_not_told_by_conditions(scene: Scene) -> None:
    tag = scene.http.get(scene.account).headers["ETag"]
    for headers in ({"If-None-Match": tag}, {"If-None-Match": 'W/"1"'}):
        assert error_of(scene.ask("GET", scene.account, **headers))[:2] == DENIED
    for etag in (tag, 'W/"1"'):
        assert error_of(scene.ask("PATCH", scene.account, {"name": "x"}, **{"If-Match": etag}))[:2] == DENIED
        assert error_of(scene.ask("DELETE", scene.account, **{"If-Match": etag}))[:2] == DENIED


def test_what_was_written_for_another_is_not_shown(scene: Scene, org: Client) -> None:
    """Prefer: return=representation is a preference: who may write but not read what came of it gets 204."""
    role = roles.role(org, "giver", {"prvCreateAccount": GLOBAL, "prvWriteAccount": GLOBAL, "prvAssignAccount": GLOBAL,
                                     "prvAppendAccount": GLOBAL, "prvAppendToUser": GLOBAL, "prvReadUser": GLOBAL})  # fmt: skip
    org.associate("systemuser", scene.user, "systemuserroles_association", [("role", role)])
    other = roles.user(org, "other", roles=(roles.role(org, "reader", {"prvReadAccount": BASIC}),))
    owner = {"ownerid@odata.bind": f"systemusers({other})"}
    prefer = {"Prefer": "return=representation"}
    made = scene.ask("POST", "accounts", {"name": "given", **owner}, **prefer)
    assert (made.status_code, made.content, "Preference-Applied" in made.headers) == (204, b"", False), made.text
    assert scene.http.get(made.headers["OData-EntityId"]).json()["_ownerid_value"] == str(other)
    given = scene.ask("PATCH", scene.mine, {"name": "away", **owner}, **prefer)
    assert (given.status_code, given.content) == (204, b""), given.text
    assert error_of(scene.ask("GET", scene.mine))[:2] == DENIED
