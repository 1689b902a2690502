"""Two users, two business units, three depths, over HTTP: each sees his rows and no others, in every form of asking."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from tests.acceptance.webapi.conftest import created, error_of
from tests.support import roles, security_plugins
from tests.support.roles import BASIC, DEEP, GLOBAL, LOCAL

from adjourn import config
from adjourn.client import Client
from adjourn.errors import NotSupported
from adjourn.metadata.privileges import Depth
from adjourn.pipeline.call import Call
from adjourn.query import access_tokens
from adjourn.service import Service

FETCH = "<fetch><entity name='account'><attribute name='name'/><order attribute='name'/></entity></fetch>"
COUNT = (
    "<fetch aggregate='true'><entity name='asyncoperation'><attribute name='asyncoperationid' aggregate='count' alias='n'/>"
    "</entity></fetch>"
)
LINKED = (
    "<fetch><entity name='account'><attribute name='name'/>"
    "<link-entity name='duplicaterule' from='createdby' to='createdby'/></entity></fetch>"
)


class People:
    """Ada in the unit Sales, Ben in the unit North below it; each owns records, and so does the administrator at the top."""

    def __init__(self, org: Client) -> None:
        self.sales = roles.unit(org, "Sales")
        self.north = roles.unit(org, "North", self.sales)
        self.ada = roles.user(org, "ada", self.sales, roles=())
        self.ben = roles.user(org, "ben", self.north, roles=())


@pytest.fixture
def people(org: Client) -> People:
    return People(org)


class Acting:
    """The administrator's client, acting for a user."""

    def __init__(self, http: httpx.Client, user: UUID) -> None:
        self._http = http
        self._headers = {"MSCRMCallerID": str(user)}
        self.base_url = http.base_url

    def get(self, path: str, params: Any = None) -> httpx.Response:
        return self._http.get(path, params=params, headers=self._headers)

    def post(self, path: str, json: Any) -> httpx.Response:
        return self._http.post(path, json=json, headers=self._headers)

    def patch(self, path: str, json: Any) -> httpx.Response:
        return self._http.patch(path, json=json, headers=self._headers)

    def put(self, path: str, json: Any) -> httpx.Response:
        return self._http.put(path, json=json, headers=self._headers)

    def delete(self, path: str) -> httpx.Response:
        return self._http.delete(path, headers=self._headers)


def names(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [row["name"] for row in answer.json()["value"]]


def give(http: httpx.Client, path: str, role: UUID) -> None:
    answer = http.post(f"{path}/$ref", json={"@odata.id": f"roles({role})"})
    assert answer.status_code == 204, answer.text


@pytest.mark.parametrize(
    ("depth", "adas", "bens"),
    [
        (BASIC, ["ada"], ["ben"]),
        (LOCAL, ["ada", "another in sales"], ["ben"]),
        (DEEP, ["ada", "another in sales", "ben"], ["ben"]),
        (GLOBAL, ["ada", "another in sales", "ben", "top"], ["ada", "another in sales", "ben", "top"]),
    ],
)
def test_each_sees_exactly_his_rows(
    http: httpx.Client, org: Client, service: Service, people: People, depth: Depth, adas: list[str], bens: list[str]
) -> None:
    service.register("tests.support.security_plugins")
    role = roles.role(org, "role", {**roles.everything("Account", depth), **roles.everything("AsyncOperation", depth)})
    for user in (people.ada, people.ben):
        give(http, f"systemusers({user})/systemuserroles_association", role)
    colleague = roles.user(org, "cem", people.sales, roles=(role,))
    owners = {"ada": people.ada, "ben": people.ben, "another in sales": colleague}
    for name, owner in owners.items():
        created(Acting(http, owner), "accounts", {"name": name})
        body = {"MessageName": "count_accounts", "PostponeUntil": "2099-01-01T00:00:00Z"}
        assert Acting(http, owner).post("ExecuteAsync", json=body).status_code == 200
    created(http, "accounts", {"name": "top"})
    org.enqueue(security_plugins.count_accounts.request())
    for user, expected in ((people.ada, adas), (people.ben, bens)):
        me = Acting(http, user)
        assert names(me.get("accounts?$select=name&$orderby=name")) == expected
        assert names(me.get("accounts", params={"fetchXml": FETCH})) == expected
        counted = me.get("accounts?$count=true&$top=1").json()
        assert counted["@odata.count"] == len(expected)
        assert me.get("accounts/$count").text.lstrip("\ufeff") == str(len(expected))
        total = me.get("asyncoperations?$apply=aggregate($count as n)").json()["value"]
        assert total == [{"n": len(expected)}]
        assert me.get("asyncoperations", params={"fetchXml": COUNT}).json()["value"] == [{"n": len(expected)}]
        by_unit = me.get(f"businessunits({people.north})")
        assert error_of(by_unit)[:2] == (403, "0x80040220")


def test_refusals_name_what_is_missing(http: httpx.Client, org: Client, people: People) -> None:
    me = Acting(http, people.ada)
    account = created(http, "accounts", {"name": "top"})
    for answer in (
        me.get("accounts"),
        me.get(account),
        me.get("accounts", params={"fetchXml": FETCH}),
        me.get("accounts/$count"),
    ):
        status, code, text = error_of(answer)
        assert (status, code) == (403, "0x80040220")
        assert "prvReadAccount" in text
        assert str(people.ada) in text
    status, code, text = error_of(me.post("accounts", json={"name": "mine"}))
    assert (status, code) == (403, "0x80040220")
    assert "prvCreateAccount" in text
    give(http, f"systemusers({people.ada})/systemuserroles_association", roles.BASIC_USER)
    mine = created(me, "accounts", {"name": "mine"})
    for act, privilege in (
        (lambda: me.get(account), "prvReadAccount"),
        (lambda: me.patch(account, json={"name": "taken"}), "prvWriteAccount"),
        (lambda: me.delete(account), "prvDeleteAccount"),
        (lambda: me.put(f"{account}/name", json={"value": "taken"}), "prvWriteAccount"),
        (lambda: me.get(f"{account}/name"), "prvReadAccount"),
        (lambda: me.get(f"{account}/contact_customer_accounts"), "prvReadAccount"),
    ):
        status, code, text = error_of(act())
        assert (status, code) == (403, "0x80040220"), text
        assert privilege in text
    assert error_of(me.get(f"accounts({UUID(int=9)})"))[:2] == (404, "0x80040217")
    assert http.get(account).json()["name"] == "top"
    assert me.patch(mine, json={"name": "still mine"}).status_code == 204
    assert "prvReadDuplicateRule" in error_of(me.get("accounts", params={"fetchXml": LINKED}))[2]


def test_roles_of_teams_come_and_go(http: httpx.Client, org: Client, people: People) -> None:
    role = roles.role(org, "readers", {"prvReadAccount": DEEP})
    team = roles.team(org, "Northerners", unit=people.north)
    give(http, f"teams({team})/teamroles_association", role)
    bens = org.create("account", {"name": "ben's", "ownerid": ("systemuser", people.ben)})
    org.create("account", {"name": "ada's", "ownerid": ("systemuser", people.ada)})
    me = Acting(http, people.ada)
    assert me.get("accounts").status_code == 403
    joined = http.post(
        f"teams({team})/teammembership_association/$ref", json={"@odata.id": f"systemusers({people.ada})"}
    )
    assert joined.status_code == 204
    assert names(me.get("accounts?$select=name")) == ["ben's"]
    for _ in range(2):  # the second answer may be a remembered one
        assert me.get(f"accounts({bens})?$select=name").json()["name"] == "ben's"
    assert http.delete(f"teams({team})/teamroles_association({role})/$ref").status_code == 204
    assert me.get("accounts").status_code == 403
    assert error_of(me.get(f"accounts({bens})?$select=name"))[:2] == (403, "0x80040220")


def test_metadata_is_changed_by_privilege(http: httpx.Client, org: Client, people: People) -> None:
    me = Acting(http, people.ada)
    label = {"LocalizedLabels": [{"Label": "Boat", "LanguageCode": 1033}]}
    name = {
        "@odata.type": "Microsoft.Dynamics.CRM.StringAttributeMetadata", "SchemaName": "new_Name", "IsPrimaryName": True,
        "MaxLength": 100, "DisplayName": label,
    }  # fmt: skip
    table: dict[str, Any] = {
        "@odata.type": "Microsoft.Dynamics.CRM.EntityMetadata", "SchemaName": "new_Boat", "DisplayName": label,
        "DisplayCollectionName": label, "OwnershipType": "UserOwned", "HasActivities": False, "HasNotes": False,
        "Attributes": [name],
    }  # fmt: skip
    status, code, _ = error_of(me.post("EntityDefinitions", json=table))
    assert (status, code) == (403, "0x80040220")
    role = roles.role(org, "customizers", {"prvWriteEntity": GLOBAL})
    give(http, f"systemusers({people.ada})/systemuserroles_association", role)
    assert "prvCreateEntity" in error_of(me.post("EntityDefinitions", json=table))[2]
    roles.grant(org, role, {"prvCreateEntity": GLOBAL})
    assert me.post("EntityDefinitions", json=table).status_code == 204
    privileges = "privileges?$select=name&$filter=endswith(name,'new_boat')"
    made = sorted(names(http.get(privileges)))
    assert made == sorted(f"prv{kind}new_boat" for kind in roles.KINDS)
    told = http.get("EntityDefinitions(LogicalName='new_boat')?$select=Privileges").json()["Privileges"]
    assert sorted(each["Name"] for each in told) == made
    assert "prvReadnew_boat" in error_of(me.get("new_boats"))[2]
    assert http.get("new_boats").status_code == 200
    held = f"roles({roles.SYSTEM_ADMINISTRATOR})/roleprivileges_association/$count?$filter=endswith(name,'new_boat')"
    assert http.get(held).text.lstrip("\ufeff") == "8"
    assert "prvDeleteEntity" in error_of(me.delete("EntityDefinitions(LogicalName='new_boat')"))[2]
    assert http.delete("EntityDefinitions(LogicalName='new_boat')").status_code == 204
    assert names(http.get(privileges)) == []


def test_steps_are_registered_by_privilege(http: httpx.Client, org: Client, people: People) -> None:
    give(http, f"systemusers({people.ada})/systemuserroles_association", roles.BASIC_USER)
    me = Acting(http, people.ada)
    for entityset, body, privilege in (
        ("sdkmessageprocessingsteps", {"name": "mine", "stage": 40, "mode": 1}, "prvCreateSdkMessageProcessingStep"),
        ("plugintypes", {"typename": "x", "name": "x"}, "prvCreatePluginType"),
        ("pluginassemblies", {"name": "os"}, "prvCreatePluginAssembly"),
        ("roles", {"name": "mine"}, "prvCreateRole"),
        ("systemusers", {"lastname": "mine"}, "prvCreateUser"),
    ):
        status, code, text = error_of(me.post(entityset, json=body))
        assert (status, code, privilege in text) == (403, "0x80040220", True), text
    assert me.get("sdkmessages?$top=1").status_code == 200


def test_a_token_has_its_users_rights(http: httpx.Client, org: Client, service: Service, people: People) -> None:
    """And acting for another takes the privilege, and lends no more than the lower of both."""
    made, _ = service.store.write(lambda tx: access_tokens.create(tx, people.ada, "test", None))
    bearer = {"Authorization": f"Bearer {made}"}
    acting = {**bearer, "MSCRMCallerID": str(people.ben)}
    assert error_of(http.get("accounts", headers=bearer))[:2] == (403, "0x80040220")
    role = roles.role(org, "role", {"prvReadAccount": BASIC})
    for user in (people.ada, people.ben):
        give(http, f"systemusers({user})/systemuserroles_association", role)
    for name, owner in (("ada", people.ada), ("ben", people.ben)):
        org.create("account", {"name": name, "ownerid": ("systemuser", owner)})
    assert names(http.get("accounts?$select=name", headers=bearer)) == ["ada"]
    status, code, text = error_of(http.get("accounts?$select=name", headers=acting))
    assert (status, code) == (403, "0x80040220")
    assert "prvActOnBehalfOfAnotherUser" in text
    roles.grant(org, role, {"prvActOnBehalfOfAnotherUser": GLOBAL})
    assert names(http.get("accounts?$select=name", headers=acting)) == ["ben"]
    administrator = {**bearer, "MSCRMCallerID": config.ADMIN_USER_ID}
    assert names(http.get("accounts?$select=name", headers=administrator)) == ["ada"]


@pytest.mark.requirement("M202")
def test_a_token_deletes_the_jobs_that_its_users_privilege_reaches(
    http: httpx.Client, org: Client, service: Service, people: People
) -> None:
    """Without prvDeleteAsyncOperation none; at Basic his own, and no other's."""
    made, _ = service.store.write(lambda tx: access_tokens.create(tx, people.ada, "test", None))
    bearer = {"Authorization": f"Bearer {made}"}
    body = {"MessageName": "WhoAmI", "PostponeUntil": "2099-01-01T00:00:00Z"}
    status, code, text = error_of(http.post("ExecuteAsync", json=body, headers=bearer))
    assert (status, code, "prvCreateAsyncOperation" in text) == (403, "0x80040220", True)
    role = roles.role(org, "clerk", {f"prv{kind}AsyncOperation": BASIC for kind in ("Create", "Read")})
    for user in (people.ada, people.ben):
        give(http, f"systemusers({user})/systemuserroles_association", role)
    own = f"asyncoperations({http.post('ExecuteAsync', json=body, headers=bearer).json()['AsyncJobId']})"
    bens = f"asyncoperations({Acting(http, people.ben).post('ExecuteAsync', json=body).json()['AsyncJobId']})"
    for job in (own, bens):
        status, code, text = error_of(http.delete(job, headers=bearer))
        assert (status, code, "prvDeleteAsyncOperation" in text) == (403, "0x80040220", True)
        assert http.get(job).status_code == 200
    roles.grant(org, role, {"prvDeleteAsyncOperation": BASIC})
    assert error_of(http.delete(bens, headers=bearer))[:2] == (403, "0x80040220")
    assert http.get(bens).status_code == 200
    assert http.delete(own, headers=bearer).status_code == 204
    assert http.get(own).status_code == 404


def test_metrics_are_for_who_may_read_every_job(http: httpx.Client, org: Client, people: People) -> None:
    role = roles.role(org, "watcher", {"prvReadAsyncOperation": DEEP})
    give(http, f"systemusers({people.ada})/systemuserroles_association", role)
    address = str(http.base_url).partition("/api/")[0] + "/metrics"
    for user in (people.ada, people.ben):
        status, code, text = error_of(Acting(http, user).get(address))
        assert (status, code, "prvReadAsyncOperation" in text) == (403, "0x80040220", True)
    roles.grant(org, role, {"prvReadAsyncOperation": GLOBAL})
    assert "# TYPE adjourn_jobs gauge" in Acting(http, people.ada).get(address).text


def test_roles_get_and_lose_privileges_by_their_addresses(http: httpx.Client) -> None:
    """The functions and actions of the Web API reference, as Dataverse's tools call them."""
    unit = http.get("businessunits?$select=businessunitid").json()["value"][0]["businessunitid"]
    body = {"name": "Clerk", "businessunitid@odata.bind": f"/businessunits({unit})"}
    role = created(http, "roles", body)
    row = http.get("privileges", params={"$filter": "name eq 'prvReadAccount'"}).json()["value"][0]
    action = f"{role}/Microsoft.Dynamics.CRM.AddPrivilegesRole"
    privilege = {"PrivilegeId": row["privilegeid"], "BusinessUnitId": unit, "Depth": "Local"}
    assert http.post(action, json={"Privileges": [privilege]}).status_code == 204
    key = role.removeprefix("roles(").rstrip(")")
    held = http.get(f"RetrieveRolePrivilegesRole(RoleId={key})").json()["RolePrivileges"]
    assert [(one["PrivilegeName"], one["Depth"]) for one in held] == [("prvReadAccount", "Local")]
    user = created(http, "systemusers", {"lastname": "Clerk", "businessunitid@odata.bind": f"/businessunits({unit})"})
    link = {"@odata.id": f"{http.base_url}{role}"}
    assert http.post(f"{user}/systemuserroles_association/$ref", json=link).status_code == 204
    mine = http.get(f"{user}/Microsoft.Dynamics.CRM.RetrieveUserPrivileges()").json()["RolePrivileges"]
    assert [(one["PrivilegeName"], one["Depth"]) for one in mine] == [("prvReadAccount", "Local")]
    removed = http.post(f"{role}/Microsoft.Dynamics.CRM.RemovePrivilegeRole", json={"PrivilegeId": row["privilegeid"]})
    assert removed.status_code == 204
    assert http.get(f"RetrieveRolePrivilegesRole(RoleId={key})").json()["RolePrivileges"] == []
    assert error_of(http.post(action, json={"Privileges": [{**privilege, "Depth": "Sideways"}]}))[0] == 400


def test_a_reference_is_set_by_the_rules_of_an_update(http: httpx.Client, org: Client, service: Service) -> None:
    """Associating by $ref sets a column: what a PATCH may not write, it may not write either."""
    user = roles.user(org, "clerk")
    me = {"MSCRMCallerID": str(user)}
    mine = http.post("accounts", json={"name": "mine"}, headers=me).headers["OData-EntityId"]
    link = {"@odata.id": mine}
    before = http.get(mine).json()
    for navigation in ("lk_account_createdby", "lk_account_modifiedby"):
        path = f"systemusers({config.ADMIN_USER_ID})/{navigation}/$ref"
        assert error_of(http.post(path, json=link, headers=me))[0] in (400, 403), navigation
        assert error_of(http.post(path, json=link))[0] == 400, "nor may the administrator"
    hidden = created(http, "contacts", {"lastname": "hidden"})
    assert error_of(http.post(f"{hidden}/account_primary_contact/$ref", json=link, headers=me))[0] == 403
    assert http.get(mine).json() == before


def test_a_job_regards_only_what_its_maker_may_read(http: httpx.Client, org: Client) -> None:
    user = roles.user(org, "clerk")
    me = {"MSCRMCallerID": str(user)}
    secret = created(http, "accounts", {"name": "TOPSECRET"})
    body = {"MessageName": "WhoAmI", "Regarding": {"@odata.id": secret}}
    assert error_of(http.post("ExecuteAsync", json=body, headers=me))[:2] == (403, "0x80040220")
    assert http.post("ExecuteAsync", json=body).status_code == 200


def test_an_identity_is_changed_by_administrators_only(http: httpx.Client, org: Client) -> None:
    user = roles.user(org, "clerk")
    change = {"domainname": "administrator2"}
    me = {"MSCRMCallerID": str(user)}
    assert error_of(http.patch(f"systemusers({config.ADMIN_USER_ID})", json=change, headers=me))[0] == 403
    assert http.patch(f"systemusers({user})", json=change).status_code == 204


def test_activities_are_written_by_their_own_tables(http: httpx.Client) -> None:
    task = created(http, "tasks", {"subject": "one"}).removeprefix("tasks")
    assert error_of(http.patch(f"activitypointers{task}", json={"subject": "other"}))[0] == 405
    assert http.get(f"activitypointers{task}?$select=subject").json()["subject"] == "one"
    assert http.delete(f"activitypointers{task}").status_code == 204
    assert http.get(f"tasks{task}").status_code == 404
    assert http.get(f"activitypointers{task}").status_code == 404


def test_a_question_without_end_is_ended(http: httpx.Client, org: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "READ_SECONDS_MAX", 1.0)
    for number in range(150):
        org.create("account", {"name": f"n{number}"})
    links = "".join(
        f"<link-entity name='account' from='statecode' to='statecode' alias='l{number}'>" for number in range(6)
    )
    text = (
        "<fetch aggregate='true'><entity name='account'><attribute name='accountid' alias='n' aggregate='count'/>"
        f"{links}{'</link-entity>' * 6}</entity></fetch>"
    )
    assert error_of(http.get("accounts", params={"fetchXml": text}))[:2] == (503, "0x80044151")
    assert http.get("accounts?$top=1").status_code == 200


def test_no_module_is_named_over_http(
    http: httpx.Client, org: Client, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To import a module is to run it: rows over HTTP reach only modules that somebody registered on a host."""
    service.register("tests.support.security_plugins")
    (tmp_path / "a_module_that_tells.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()")
    monkeypatch.syspath_prepend(tmp_path)
    found = http.get("pluginassemblies?$select=name").json()["value"][0]
    there = f"pluginassemblies({found['pluginassemblyid']})"
    absent = "pluginassemblies(01900000-0000-7000-8000-0000000000aa)"
    body = {"name": "a_module_that_tells"}
    kind = {"name": "Boom", "typename": "main", "pluginassemblyid": body}
    target = {**body, "@odata.type": "Microsoft.Dynamics.CRM.pluginassembly"}
    for answer in (
        http.post("pluginassemblies", json=body),
        http.patch(absent, json=body),
        http.patch(there, json=body),
        http.put(f"{there}/name", json={"value": body["name"]}),
        http.post("plugintypes", json=kind),
        http.post("pluginassemblies/Microsoft.Dynamics.CRM.CreateMultiple", json={"Targets": [target]}),
    ):
        status, code, text = error_of(answer)
        assert (status, code) == (405, "0x80040315"), text
        assert "adjourn register a_module_that_tells" in text
    with pytest.raises(NotSupported):
        org.create("pluginassembly", body)
    assert not (tmp_path / "ran").exists()
    assert http.patch(there, json={"description": "ours", "name": found["name"]}).status_code == 204
    assert http.get("plugintypes/$count?$filter=name eq 'Boom'").text.lstrip("\ufeff") == "0"


def registration(http: httpx.Client, service: Service, module: str, function: str) -> None:
    """A registration as it stands in a database of before, or was written by whoever may write to the database."""
    call = Call(caller=service.administrator(), registering=True)
    assembly = service.client(call).create("pluginassembly", {"name": module})
    body = {"name": "Boom", "typename": function, "pluginassemblyid@odata.bind": f"pluginassemblies({assembly})"}
    created(http, "plugintypes", body)
    created(http, "sdkmessages", {"name": "Boom"})


def test_a_registration_names_marked_functions_only(http: httpx.Client, service: Service, tmp_path: Path) -> None:
    """Who may write registrations over HTTP chooses among what the host's plug-ins offer; he gets no shell on the host."""
    proof = tmp_path / "proof"
    registration(http, service, "os", "system")
    status, _, text = error_of(http.post("Boom", json={"command": f"touch {proof}"}))
    assert (status, proof.exists()) == (400, False), text
    assert "adjourn.message" in text
    assert http.get("$metadata").status_code == 200
    assert http.get("WhoAmI()").status_code == 200
    assert http.post("ExecuteAsync", json={"MessageName": "WhoAmI"}).status_code == 200


@pytest.mark.parametrize("module", ["venv.__main__", "venv.__main__.below", "a_module_that_exits"])
def test_a_registration_runs_no_program(
    http: httpx.Client, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    """To import `venv.__main__` is to run it: it reads the service's own arguments, writes files, and exits."""
    (tmp_path / "a_module_that_exits.py").write_text("raise SystemExit(2)")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("sys.argv", ["venv", "--without-pip", str(tmp_path / "made")])
    registration(http, service, module, "main")
    status, _, text = error_of(http.post("Boom", json={}))
    assert (status, (tmp_path / "made").exists()) == (400, False), text
    assert module in text
    assert http.get("$metadata").status_code == 200
    assert error_of(http.post("ExecuteAsync", json={"MessageName": "Boom"}))[0] == 400
