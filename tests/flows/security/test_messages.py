"""Every message at every depth: it reaches the records that the depth reaches, and is refused on the others by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from tests.flows.security.conftest import Place
from tests.support import roles
from tests.support.roles import BASIC, DEEP, GLOBAL, LOCAL

from adjourn import config
from adjourn.client import Client
from adjourn.errors import InvalidRequest, NotFound, NotSupported, PrivilegeDenied
from adjourn.metadata.catalog import load
from adjourn.metadata.privileges import Depth
from adjourn.pipeline.call import Request
from adjourn.pipeline.record import Record

REACHED = {
    None: (),
    BASIC: ("mine", "team"),
    LOCAL: ("mine", "team", "unit"),
    DEEP: ("mine", "team", "unit", "below"),
    GLOBAL: ("mine", "team", "unit", "below", "elsewhere"),
}
ADMINISTRATOR = UUID(config.ADMIN_USER_ID)
Act = Callable[[Client, UUID], Any]


def _assign(me: Client, account: UUID) -> None:
    me.execute(Request("Assign", {"Target": ("account", account), "Assignee": ("systemuser", ADMINISTRATOR)}))


def _admin() -> UUID:
    from adjourn import config

    return UUID(config.ADMIN_USER_ID)


def _set_state(me: Client, account: UUID) -> None:
    me.execute(Request("SetState", {"EntityMoniker": ("account", account), "State": 1, "Status": -1}))


ACTS: dict[str, tuple[str, Act]] = {
    "Retrieve": ("prvReadAccount", lambda me, account: me.retrieve("account", account, ["name"])),
    "Update": ("prvWriteAccount", lambda me, account: me.update("account", account, {"name": "changed"})),
    "Upsert": ("prvWriteAccount", lambda me, account: me.upsert("account", account, {"name": "changed"})),
    "SetState": ("prvWriteAccount", _set_state),
    "Assign": ("prvAssignAccount", _assign),
    "Delete": ("prvDeleteAccount", lambda me, account: me.delete("account", account)),
}


def refused(act: Callable[[], Any], privilege: str, *parts: object) -> None:
    with pytest.raises(PrivilegeDenied) as found:
        act()
    assert (found.value.code, found.value.status) == (0x80040220, 403)
    for part in (privilege, *parts):
        assert str(part) in found.value.message


@pytest.mark.parametrize("depth", [None, *Depth])
@pytest.mark.parametrize("message", ACTS)
def test_a_message_reaches_what_its_depth_reaches(org: Client, place: Place, message: str, depth: Depth | None) -> None:
    privilege, act = ACTS[message]
    held = {privilege: depth} if depth is not None else {}
    role = roles.role(org, "under test", {**held, "prvReadContact": GLOBAL})
    org.associate("systemuser", place.user, "systemuserroles_association", [("role", role)])
    me = org.as_user(place.user)
    for name, owner in place.owners.items():
        account = org.create("account", {"name": "before", "ownerid": owner})
        before = dict(org.retrieve("account", account).values)
        if name in REACHED[depth]:
            act(me, account)
            continue
        details = (account,) if depth is not None else ()
        refused(lambda account=account: act(me, account), privilege, place.user, "account", *details)
        assert org.retrieve("account", account).values == before
    if depth is not None:
        with pytest.raises((NotFound, PrivilegeDenied)):  # Upsert of what is not there is a Create
            act(me, UUID(int=7))


@pytest.mark.parametrize("depth", [None, *Depth])
@pytest.mark.parametrize("message", ["Create", "CreateMultiple"])
def test_create_reaches_the_owner_of_the_new_record(
    org: Client, place: Place, message: str, depth: Depth | None
) -> None:
    held = {"prvCreateAccount": depth} if depth is not None else {}
    role = roles.role(org, "under test", held)
    reader = roles.role(org, "can own", {"prvReadAccount": BASIC})
    for table, owner in place.owners.values():
        if table == "team":
            org.associate("team", owner, "teamroles_association", [("role", reader)])
    org.associate("systemuser", place.user, "systemuserroles_association", [("role", role)])
    me = org.as_user(place.user)
    for name, owner in place.owners.items():
        values = {"name": name, "ownerid": owner}

        def act(values: dict[str, Any] = values) -> None:
            if message == "Create":
                me.create("account", values)
            else:
                me.execute(Request("CreateMultiple", {"Targets": [Record("account", None, values)]}))

        if name in REACHED[depth]:
            act()
        else:
            refused(act, "prvCreateAccount", place.user)
    made = {row["name"] for row in org.retrieve_multiple("accounts?$select=name")}
    assert made == set(REACHED[depth])


def test_many_are_refused_as_one(org: Client, place: Place) -> None:
    role = roles.role(org, "own", roles.everything("Account", BASIC))
    org.associate("systemuser", place.user, "systemuserroles_association", [("role", role)])
    mine = org.create("account", {"name": "mine", "ownerid": place.owners["mine"]})
    other = org.create("account", {"name": "other", "ownerid": place.owners["unit"]})
    me = org.as_user(place.user)
    targets = [Record("account", each, {"name": "changed"}) for each in (mine, other)]
    refused(lambda: me.execute(Request("UpdateMultiple", {"Targets": targets})), "prvWriteAccount", other)
    assert org.retrieve("account", mine)["name"] == "mine"


def test_a_new_owner_must_be_able_to_own(org: Client, place: Place) -> None:
    role = roles.role(org, "own", roles.everything("Account", BASIC))
    org.associate("systemuser", place.user, "systemuserroles_association", [("role", role)])
    me = org.as_user(place.user)
    nobody = roles.user(org, "nobody", roles=())
    mine = me.create("account", {"name": "mine"})
    refused(lambda: me.update("account", mine, {"ownerid": ("systemuser", nobody)}), "prvReadAccount", nobody)
    me.update("account", mine, {"ownerid": place.owners["unit"]})
    refused(lambda: me.update("account", mine, {"name": "no longer mine"}), "prvWriteAccount", mine)


def test_a_lookup_takes_append_and_append_to(org: Client, place: Place) -> None:
    without = roles.everything("Contact", BASIC) | roles.everything("Account", BASIC)
    del without["prvAppendToAccount"]
    role = roles.role(org, "no append to", without)
    org.associate("systemuser", place.user, "systemuserroles_association", [("role", role)])
    me = org.as_user(place.user)
    account = me.create("account", {"name": "mine"})
    contact = me.create("contact", {"lastname": "mine"})
    lead = {"parentcustomerid": ("account", account)}
    refused(lambda: me.create("contact", {"lastname": "x", **lead}), "prvAppendToAccount")
    refused(lambda: me.update("contact", contact, lead), "prvAppendToAccount")
    refused(
        lambda: me.associate("account", account, "contact_customer_accounts", [("contact", contact)]),
        "prvAppendToAccount",
    )
    roles.grant(org, role, {"prvAppendToAccount": BASIC})
    me.create("contact", {"lastname": "x", **lead})
    me.update("contact", contact, lead)
    me.disassociate("account", account, "contact_customer_accounts", [("contact", contact)])
    me.associate("account", account, "contact_customer_accounts", [("contact", contact)])
    other = org.create("account", {"name": "other", "ownerid": place.owners["unit"]})
    refused(
        lambda: me.update("contact", contact, {"parentcustomerid": ("account", other)}), "prvAppendToAccount", other
    )
    org.execute(Request("RemovePrivilegeRole", {"RoleId": role, "PrivilegeId": _id("prvAppendContact")}))
    refused(lambda: me.update("contact", contact, lead), "prvAppendContact")
    refused(
        lambda: me.disassociate("account", account, "contact_customer_accounts", [("contact", contact)]),
        "prvAppendContact",
    )
    assert org.retrieve("contact", contact)["parentcustomerid"] == ("account", account)


def test_cascades_are_the_platforms_own(org: Client, place: Place) -> None:
    """Whoever may delete a record takes along what hangs on it, his or not."""
    role = roles.role(org, "delete accounts", {"prvReadAccount": BASIC, "prvDeleteAccount": BASIC})
    org.associate("systemuser", place.user, "systemuserroles_association", [("role", role)])
    account = org.create("account", {"name": "mine", "ownerid": place.owners["mine"]})
    contact = org.create("contact", {"lastname": "c", "parentcustomerid": ("account", account)})
    me = org.as_user(place.user)
    refused(lambda: me.delete("contact", contact), "prvDeleteContact")
    me.delete("account", account)
    with pytest.raises(NotFound):
        org.retrieve("contact", contact)


def test_tables_of_the_organization_take_global_only(org: Client, place: Place) -> None:
    known = _id("prvReadSdkMessage")
    role = roles.role(org, "r", {})
    with pytest.raises(InvalidRequest, match=r"prvReadSdkMessage can be held at depth Global, not 'Basic'"):
        roles.grant(org, role, {"prvReadSdkMessage": BASIC})
    me = org.as_user(place.user)
    refused(lambda: me.retrieve_multiple("sdkmessages"), "prvReadSdkMessage", known)
    roles.grant(org, role, {"prvReadSdkMessage": GLOBAL})
    org.associate("systemuser", place.user, "systemuserroles_association", [("role", role)])
    assert me.retrieve_multiple("sdkmessages?$top=1")
    refused(lambda: me.create("sdkmessage", {"name": "mine", "categoryname": "x"}), "prvCreateSdkMessage")


def test_a_row_of_an_intersect_is_seen_with_both_of_its_ends(org: Client, place: Place) -> None:
    me = org.as_user(place.user)
    refused(lambda: me.retrieve_multiple("teammemberships"), "prvReadTeam")
    half = roles.role(org, "teams", {"prvReadTeam": GLOBAL})
    org.associate("systemuser", place.user, "systemuserroles_association", [("role", half)])
    refused(lambda: me.retrieve_multiple("teammemberships"), "prvReadUser")
    roles.grant(org, half, {"prvReadUser": GLOBAL})
    assert len(me.retrieve_multiple("teammemberships")) == 1
    with pytest.raises(NotSupported, match="Associate"):
        me.create("teammembership", {"teamid": place.owners["team"][1], "systemuserid": place.user})


def test_settings_are_everybodys_own(org: Client, place: Place) -> None:
    for user in (place.user, place.owners["unit"][1]):
        org.create("usersettings", {"systemuserid": user, "timezonecode": 92})
    org.associate("systemuser", place.user, "systemuserroles_association", [("role", roles.BASIC_USER)])
    me = org.as_user(place.user)
    assert [row.id for row in me.retrieve_multiple("usersettingscollection?$select=timezonecode")] == [place.user]
    me.update("usersettings", place.user, {"timezonecode": 110})
    refused(lambda: me.update("usersettings", place.owners["unit"][1], {"timezonecode": 110}), "prvWriteUserSettings")


def _id(name: str) -> UUID:
    return load().privileges[name].id
