"""Roles: the stock ones, who may give them, and that what changes holds at once."""

from __future__ import annotations

from uuid import UUID

import pytest
from tests.flows.security.conftest import Place
from tests.flows.security.test_messages import refused
from tests.support import roles
from tests.support.roles import BASIC, GLOBAL, LOCAL

from adjourn import config
from adjourn.client import Client
from adjourn.errors import InvalidRequest, NotFound, NotSupported, PrivilegeDenied
from adjourn.metadata.catalog import load
from adjourn.metadata.privileges import Depth
from adjourn.pipeline.call import Call, Request
from adjourn.query import security
from adjourn.service import Service
from adjourn.store.contract import Store, Transaction

ADMINISTRATOR = UUID(config.ADMIN_USER_ID)


def held(org: Client, message: str, key: str, id: UUID) -> dict[str, str]:
    rows = org.execute(Request(message, {key: id}))["RolePrivileges"]
    return {row["PrivilegeName"]: row["Depth"] for row in rows}


def test_the_stock_roles_are_there(org: Client) -> None:
    names = {row.id: row["name"] for row in org.retrieve_multiple("roles?$select=name")}
    assert names == {roles.SYSTEM_ADMINISTRATOR: "System Administrator", roles.BASIC_USER: "Basic User"}
    everything = held(org, "RetrieveRolePrivilegesRole", "RoleId", roles.SYSTEM_ADMINISTRATOR)
    assert everything == dict.fromkeys(load().privileges, "Global")
    assert held(org, "RetrieveUserPrivileges", "UserId", ADMINISTRATOR) == everything
    basic = held(org, "RetrieveRolePrivilegesRole", "RoleId", roles.BASIC_USER)
    assert (basic["prvReadAsyncOperation"], basic["prvReadUser"]) == ("Basic", "Global")
    assert "prvDeleteAsyncOperation" not in basic
    path = f"roles?$filter=systemuserroles_association/any(u: u/systemuserid eq {ADMINISTRATOR})&$select=name"
    assert [row["name"] for row in org.retrieve_multiple(path)] == ["System Administrator"]


def test_privileges_have_the_published_ids(org: Client) -> None:
    fixed = {row["name"]: row.id for row in org.retrieve_multiple("privileges?$select=name")}
    assert fixed["prvDeleteAsyncOperation"] == UUID("6ad0b110-c4d5-4dba-9a04-37528ef5df7d")
    assert fixed["prvBulkDelete"] == UUID("b75a726f-e7aa-44ae-9282-f8776d913bbb")
    row = org.retrieve("privilege", fixed["prvReadAsyncOperation"])
    assert (row["accessright"], row["canbebasic"], row["canbeglobal"]) == (1, True, True)
    assert not org.retrieve("privilege", fixed["prvReadSdkMessage"])["canbebasic"]
    assert {f"prv{kind}Account" for kind in roles.KINDS} <= set(fixed)
    assert not {"prvAssignAsyncOperation", "prvShareAsyncOperation", "prvAssignUser", "prvReadTask"} & set(fixed)


def test_a_user_without_roles_reads_nothing(org: Client) -> None:
    me = org.as_user(roles.user(org, "new", roles=()))
    for table in ("accounts", "asyncoperations", "systemusers", "organizations", "fileattachments", "tasks"):
        refused(lambda table=table: me.retrieve_multiple(table), "prvRead")
    assert me.execute(Request("WhoAmI"))["UserId"]


def test_a_role_given_and_taken_holds_at_once(org: Client, service: Service) -> None:
    user = roles.user(org, "ada", roles=())
    me = org.as_user(user)
    refused(lambda: me.retrieve_multiple("accounts"), "prvReadAccount")
    role = roles.role(org, "accounts", {"prvReadAccount": BASIC})
    org.associate("systemuser", user, "systemuserroles_association", [("role", role)])
    org.create("account", {"name": "not mine"})
    assert me.retrieve_multiple("accounts") == []
    roles.grant(org, role, {"prvReadAccount": GLOBAL})
    assert len(me.retrieve_multiple("accounts")) == 1
    org.execute(Request("RemovePrivilegeRole", {"RoleId": role, "PrivilegeId": load().privileges["prvReadAccount"].id}))
    refused(lambda: me.retrieve_multiple("accounts"), "prvReadAccount")
    rows = [{"PrivilegeId": str(load().privileges["prvReadAccount"].id), "Depth": 1}]
    org.execute(Request("ReplacePrivilegesRole", {"RoleId": role, "Privileges": rows}))
    assert held(org, "RetrieveUserPrivileges", "UserId", user) == {"prvReadAccount": "Local"}
    assert security.may(service.caller(user), "prvReadAccount")
    org.disassociate("systemuser", user, "systemuserroles_association", [("role", role)])
    refused(lambda: me.retrieve_multiple("accounts"), "prvReadAccount")
    team = roles.team(org, "team", [user], roles=[role])
    assert len(me.retrieve_multiple("accounts")) == 1
    org.disassociate("team", team, "teammembership_association", [("systemuser", user)])
    refused(lambda: me.retrieve_multiple("accounts"), "prvReadAccount")
    org.associate("systemuser", user, "systemuserroles_association", [("role", role)])
    away = roles.unit(org, "Away")
    org.update("systemuser", user, {"businessunitid": ("businessunit", away)})
    assert me.retrieve_multiple("accounts") == []
    org.delete("role", role)
    refused(lambda: me.retrieve_multiple("accounts"), "prvReadAccount")


def test_a_basic_privilege_of_a_team_reaches_its_records(org: Client, place: Place) -> None:
    team, role = place.owners["team"][1], roles.role(org, "accounts", roles.everything("Account", BASIC))
    org.associate("team", team, "teamroles_association", [("role", role)])
    for name, owner in place.owners.items():
        org.create("account", {"name": name, "ownerid": owner})
    me = org.as_user(place.user)
    seen = "accounts?$select=name&$orderby=name"
    assert [row["name"] for row in me.retrieve_multiple(seen)] == ["team"]
    refused(lambda: me.create("account", {"name": "for myself"}), "prvCreateAccount")
    me.create("account", {"name": "for us", "ownerid": ("team", team)})
    org.update("role", role, {"isinherited": 1})
    assert [row["name"] for row in me.retrieve_multiple(seen)] == ["for us", "mine", "team"]
    assert held(org, "RetrieveTeamPrivileges", "TeamId", team)["prvReadAccount"] == "Basic"


def test_nobody_gives_away_what_he_has_not_got(org: Client, place: Place) -> None:
    held_by_manager = dict.fromkeys(("prvAssignRole", "prvWriteRole", "prvReadRole", "prvReadUser"), GLOBAL)
    manager = roles.role(org, "manager", {**held_by_manager, "prvReadAccount": LOCAL})
    small, large = (roles.role(org, name, {"prvReadAccount": depth}) for name, depth in (("s", LOCAL), ("l", GLOBAL)))
    org.associate("systemuser", place.user, "systemuserroles_association", [("role", manager)])
    me = org.as_user(place.user)

    def give(role: UUID) -> None:
        me.associate("systemuser", place.owners["unit"][1], "systemuserroles_association", [("role", role)])

    org.disassociate("systemuser", place.owners["unit"][1], "systemuserroles_association", [("role", roles.BASIC_USER)])
    give(small)
    refused(lambda: give(large), "prvReadAccount", "Global")
    with pytest.raises(PrivilegeDenied, match="Only a system administrator can make another one"):
        give(roles.SYSTEM_ADMINISTRATOR)
    refused(lambda: roles.grant(me, manager, {"prvReadAccount": GLOBAL}), "prvReadAccount")
    refused(lambda: roles.grant(me, small, {"prvDeleteAccount": BASIC}), "prvDeleteAccount")
    boss = roles.team(org, "bosses", roles=[large])
    refused(
        lambda: me.associate("team", boss, "teammembership_association", [("systemuser", place.user)]), "prvWriteTeam"
    )
    roles.grant(org, manager, {"prvWriteTeam": GLOBAL})
    refused(
        lambda: me.associate("team", boss, "teammembership_association", [("systemuser", place.user)]), "prvReadAccount"
    )
    without = org.as_user(place.owners["below"][1])
    refused(
        lambda: without.associate("systemuser", place.user, "systemuserroles_association", [("role", small)]),
        "prvAssignRole",
    )
    refused(lambda: roles.grant(without, small, {}), "prvWriteRole")
    assert held(org, "RetrieveUserPrivileges", "UserId", place.owners["unit"][1]) == {"prvReadAccount": "Local"}


@pytest.mark.parametrize(
    ("table", "kind", "column"),
    [("systemuser", "User", "businessunitid"), ("team", "Team", "businessunitid"),
     ("businessunit", "BusinessUnit", "parentbusinessunitid")],
)  # fmt: skip
def test_nobody_moves_himself_to_where_he_reaches_more(
    org: Client, place: Place, table: str, kind: str, column: str
) -> None:
    unit = org.retrieve("systemuser", place.user)["businessunitid"].id
    record = {"systemuser": place.user, "team": place.owners["team"][1], "businessunit": unit}[table]
    elsewhere = roles.unit(org, "Further")
    held = {"prvReadAccount": LOCAL} | dict.fromkeys(
        (f"prvWrite{kind}", f"prvAppend{kind}", "prvAppendToBusinessUnit"), GLOBAL
    )
    role = roles.role(org, "clerk", held)
    org.associate("systemuser", place.user, "systemuserroles_association", [("role", role)])
    me = org.as_user(place.user)
    move = {column: ("businessunit", elsewhere)}
    refused(lambda: me.update(table, record, move), f"prvReparent{kind}")
    refused(lambda: me.upsert(table, record, move), f"prvReparent{kind}")
    me.update(table, record, {"lastname" if table == "systemuser" else "name": "still"})
    roles.grant(org, role, {f"prvReparent{kind}": GLOBAL})
    me.update(table, record, move)
    assert org.retrieve(table, record)[column].id == elsewhere


def test_nobody_can_be_locked_out(org: Client) -> None:
    bulk_delete = load().privileges["prvBulkDelete"].id
    for act in (
        lambda: org.disassociate("systemuser", ADMINISTRATOR, "systemuserroles_association", [("role", roles.SYSTEM_ADMINISTRATOR)]),
        lambda: org.disassociate("role", roles.SYSTEM_ADMINISTRATOR, "systemuserroles_association", [("systemuser", ADMINISTRATOR)]),
        lambda: org.delete("role", roles.SYSTEM_ADMINISTRATOR),
        lambda: org.delete("role", roles.BASIC_USER),
        lambda: org.update("role", roles.SYSTEM_ADMINISTRATOR, {"name": "x"}),
        lambda: org.update("systemuser", ADMINISTRATOR, {"isdisabled": True}),
        lambda: org.upsert("systemuser", ADMINISTRATOR, {"isdisabled": True}),
        lambda: org.delete("systemuser", ADMINISTRATOR),
        lambda: org.execute(Request("ReplacePrivilegesRole", {"RoleId": roles.SYSTEM_ADMINISTRATOR, "Privileges": []})),
        lambda: org.create("systemuserroles", {}),
        lambda: org.create("privilege", {"name": "prvMine"}),
        lambda: org.associate("role", roles.BASIC_USER, "roleprivileges_association", [("privilege", bulk_delete)]),
    ):  # fmt: skip
        with pytest.raises(NotSupported):
            act()
    org.create("account", {"name": "still working"})


def test_another_system_administrator_is_one_altogether(org: Client) -> None:
    user = roles.user(org, "second", roles=[roles.SYSTEM_ADMINISTRATOR])
    me = org.as_user(user)
    org.create("account", {"name": "a"})
    assert len(me.retrieve_multiple("accounts")) == 1
    me.create("systemuser", {"lastname": "made by the second", "domainname": "third"})


def test_what_is_no_privilege_or_depth_is_refused_by_name(org: Client) -> None:
    role = roles.role(org, "r", {})
    known = load().privileges["prvReadAccount"].id
    for rows, error, text in (
        ([{"PrivilegeId": UUID(int=1), "Depth": "Basic"}], NotFound, "privilege With Id"),
        ([{"PrivilegeId": known, "Depth": "basic"}], InvalidRequest, "Basic, Local, Deep, Global"),
        ([{"PrivilegeId": known, "Depth": 4}], InvalidRequest, "not '4'"),
        ([{"PrivilegeId": known, "Depth": True}], InvalidRequest, "not 'True'"),
        ([{"PrivilegeId": known, "Deepth": 1}], InvalidRequest, "Did you mean 'Depth'"),
        ("all", InvalidRequest, "list"),
    ):
        with pytest.raises(error, match=text):
            org.execute(Request("AddPrivilegesRole", {"RoleId": role, "Privileges": rows}))
    with pytest.raises(NotFound):
        org.execute(Request("AddPrivilegesRole", {"RoleId": UUID(int=3), "Privileges": []}))
    assert held(org, "RetrieveRolePrivilegesRole", "RoleId", role) == {}


def test_acting_for_another_is_the_lower_of_both(org: Client, place: Place, service: Service) -> None:
    other = place.owners["unit"][1]
    wide = roles.role(org, "wide", {"prvReadAccount": GLOBAL, "prvReadContact": LOCAL})
    org.associate("systemuser", other, "systemuserroles_association", [("role", wide)])
    narrow = roles.role(org, "narrow", {"prvReadAccount": BASIC})
    org.associate("systemuser", place.user, "systemuserroles_association", [("role", narrow)])
    me = org.as_user(place.user)
    refused(lambda: me.as_user(other), "prvActOnBehalfOfAnotherUser", place.user)
    roles.grant(org, narrow, {"prvActOnBehalfOfAnotherUser": GLOBAL})
    for name, owner in place.owners.items():
        org.create("account", {"name": name, "ownerid": owner})
    acting = me.as_user(other)
    assert [row["name"] for row in acting.retrieve_multiple("accounts?$select=name")] == ["unit"]
    refused(lambda: acting.retrieve_multiple("contacts"), "prvReadContact")
    as_administrator = me.as_user(ADMINISTRATOR)
    assert sorted(row["name"] for row in as_administrator.retrieve_multiple("accounts?$select=name")) == [
        "mine",
        "team",
    ]
    refused(lambda: as_administrator.delete("account", UUID(int=1)), "prvDeleteAccount")
    found = service.acting_as(service.caller(place.user), other)
    assert (found.user_id, found.initiating_user_id) == (other, place.user)
    assert security.depth_of(found, "prvReadAccount") is Depth.BASIC


def test_the_root_business_unit_stays(org: Client) -> None:
    below = roles.unit(org, "below")
    with pytest.raises(NotSupported, match="root business unit"):
        org.delete("businessunit", roles.ROOT)
    org.update("businessunit", roles.ROOT, {"name": "renamed"})
    org.delete("businessunit", below)
    assert [row["name"] for row in org.retrieve_multiple("businessunits?$select=name")] == ["renamed"]


def test_an_older_database_gets_what_is_missing(store: Store) -> None:
    """And what administrators changed in Basic User stays changed."""
    service = Service(store)

    def unit(tx: Transaction) -> None:
        for table, key in (("roleprivileges", "roleid"), ("systemuserroles", "roleid"), ("role", "roleid")):
            tx.execute(f"DELETE FROM {table} WHERE {key} = :id", {"id": str(roles.SYSTEM_ADMINISTRATOR)})
        gone = load().privileges["prvReadAccount"].id
        for table in ("roleprivileges", "privilege"):
            tx.execute(f"DELETE FROM {table} WHERE privilegeid = :id", {"id": str(gone)})
        kept = {"role": str(roles.BASIC_USER), "id": str(load().privileges["prvReadContact"].id)}
        tx.execute("DELETE FROM roleprivileges WHERE roleid = :role AND privilegeid = :id", kept)

    store.write(unit)
    again = Service(store)
    org = again.client(Call(caller=service.administrator()))
    basic = held(org, "RetrieveRolePrivilegesRole", "RoleId", roles.BASIC_USER)
    assert basic["prvReadAccount"] == "Basic"
    assert "prvReadContact" not in basic
    assert held(org, "RetrieveRolePrivilegesRole", "RoleId", roles.SYSTEM_ADMINISTRATOR) == dict.fromkeys(
        load().privileges, "Global"
    )


def test_a_role_given_on_one_host_holds_on_another(database_url: str) -> None:
    here, there = Service.open(database_url), Service.open(database_url)
    org = here.client(Call(caller=here.administrator()))
    user = roles.user(org, "ada", roles=())
    me = there.client(Call(caller=there.administrator())).as_user(user)
    refused(lambda: me.retrieve_multiple("accounts"), "prvReadAccount")
    org.associate("systemuser", user, "systemuserroles_association", [("role", roles.BASIC_USER)])
    assert me.retrieve_multiple("accounts") == []
    org.disassociate("systemuser", user, "systemuserroles_association", [("role", roles.BASIC_USER)])
    refused(lambda: me.retrieve_multiple("accounts"), "prvReadAccount")
    for service in (here, there):
        service.close()


def test_a_step_that_runs_as_somebody_else_takes_the_right_to_act_for_him(
    org: Client, place: Place, service: Service
) -> None:
    service.register("tests.support.security_plugins")
    held = dict.fromkeys(
        ("prvCreateSdkMessageProcessingStep", "prvAppendSdkMessageProcessingStep", "prvAppendToPluginType"), GLOBAL
    )
    held |= dict.fromkeys(("prvAppendToSdkMessage", "prvAppendToSdkMessageFilter", "prvAppendToUser"), GLOBAL)
    role = roles.role(org, "registers", held)
    org.associate("systemuser", place.user, "systemuserroles_association", [("role", role)])
    (step,) = org.retrieve_multiple("sdkmessageprocessingsteps")
    names = ("sdkmessageid", "sdkmessagefilterid", "plugintypeid", "stage", "mode")
    values = {name: step[name] for name in names}
    me = org.as_user(place.user)
    as_administrator = {**values, "impersonatinguserid": ("systemuser", ADMINISTRATOR)}
    refused(lambda: me.create("sdkmessageprocessingstep", as_administrator), "prvActOnBehalfOfAnotherUser")
    me.create("sdkmessageprocessingstep", values)
    assert len(org.retrieve_multiple("sdkmessageprocessingsteps")) == 2
