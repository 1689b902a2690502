"""Bulk deletes: who may order one, and that it deletes what its owner could have deleted himself, and nothing else."""

from __future__ import annotations

from uuid import UUID

import pytest
from tests.flows.operations.test_bulk_delete import bulk_delete, condition, names, query
from tests.flows.security.conftest import Place
from tests.flows.security.test_messages import refused
from tests.support import roles
from tests.support.roles import BASIC, GLOBAL, LOCAL

from adjourn import config
from adjourn.client import Client
from adjourn.errors import PrivilegeDenied
from adjourn.metadata.model import Reference
from adjourn.metadata.privileges import Depth
from adjourn.pipeline.call import Request
from adjourn.service import Service
from adjourn.worker.inline import drain

ALL = {
    "prvBulkDelete": GLOBAL,
    "prvReadAccount": GLOBAL,
    "prvDeleteAccount": GLOBAL,
    "prvReadAsyncOperation": GLOBAL,
    "prvDeleteAsyncOperation": GLOBAL,
}


def give(org: Client, place: Place, **changes: Depth | None) -> Client:
    """The user under test, with all that a bulk delete takes, but for the changes; as a client."""
    held = {name: depth for name, depth in {**ALL, **changes}.items() if depth is not None}
    role = roles.role(org, "under test", held)
    org.associate("systemuser", place.user, "systemuserroles_association", [("role", role)])
    return org.as_user(place.user)


def accounts(org: Client, place: Place) -> None:
    for name, owner in place.owners.items():
        org.create("account", {"name": name, "ownerid": owner})


@pytest.mark.parametrize("lacking", ["prvBulkDelete", "prvReadAccount", "prvDeleteAccount"])
def test_it_takes_the_privilege_and_those_of_the_table(org: Client, place: Place, lacking: str) -> None:
    me = give(org, place, **{lacking: None})
    refused(lambda: bulk_delete(me, query("account")), lacking)
    assert org.retrieve_multiple("asyncoperations") == []


def test_counting_takes_the_privilege_too(org: Client, place: Place) -> None:
    me = give(org, place, prvBulkDelete=None)
    refused(lambda: me.execute(Request("BulkDeleteCount", {"QuerySet": [query("account")]})), "prvBulkDelete")


def test_only_what_its_owner_reads_is_found(service: Service, org: Client, place: Place) -> None:
    for name, owner in place.owners.items():
        if owner[0] == "systemuser" and name != "mine":
            org.associate("systemuser", owner[1], "systemuserroles_association", [("role", roles.BASIC_USER)])
    me = give(org, place, prvReadAccount=LOCAL)
    org.associate("team", place.owners["team"][1], "teamroles_association", [("role", roles.BASIC_USER)])
    accounts(org, place)
    job = bulk_delete(me, query("account"))
    drain(service)
    assert org.retrieve("asyncoperation", job)["friendlymessage"] == "3 deleted."
    assert names(org) == ["below", "elsewhere"]


def test_what_he_reads_and_may_not_delete_becomes_a_failure(service: Service, org: Client, place: Place) -> None:
    me = give(org, place, prvDeleteAccount=BASIC)
    org.associate("team", place.owners["team"][1], "teamroles_association", [("role", roles.BASIC_USER)])
    accounts(org, place)
    job = bulk_delete(me, query("account"))
    drain(service)
    assert org.retrieve("asyncoperation", job)["friendlymessage"] == "2 deleted, 3 could not be."
    assert names(org) == ["below", "elsewhere", "unit"]
    failures = org.retrieve_multiple("bulkdeletefailures")
    assert {row["errornumber"] for row in failures} == {-2147220960}
    assert "prvDeleteAccount" in failures[0]["errordescription"]


@pytest.mark.parametrize("depth", [BASIC, GLOBAL])
def test_jobs_are_deleted_with_the_owner_s_rights_too(
    service: Service, org: Client, place: Place, depth: Depth
) -> None:
    """Whoever may delete all has many deleted at a time; whoever may not is asked for each."""
    me = give(org, place, prvDeleteAsyncOperation=depth)
    mine = bulk_delete(me, query("account"), JobName="old", StartDateTime="2030-01-01T00:00:00Z")
    bulk_delete(org, query("account"), JobName="old", StartDateTime="2030-01-01T00:00:00Z")
    job = bulk_delete(me, query("asyncoperation"), JobName="sweep")
    drain(service)
    told = "1 deleted, 1 could not be." if depth is BASIC else "2 deleted."
    assert org.retrieve("asyncoperation", job)["friendlymessage"] == told
    left = {row["asyncoperationid"] for row in org.retrieve_multiple("asyncoperations?$filter=name eq 'old'")}
    assert mine not in left
    assert len(left) == (1 if depth is BASIC else 0)


def test_only_an_administrator_may_leave_out_steps(org: Client, place: Place) -> None:
    me = give(org, place)
    with pytest.raises(PrivilegeDenied, match="RunJobForSandbox"):
        bulk_delete(me, query("account"), Options={"RunJobForSandbox": True})
    assert org.retrieve_multiple("asyncoperations") == []


@pytest.mark.parametrize("depth", [BASIC, GLOBAL])
def test_immediately_takes_the_right_to_delete_all_jobs(org: Client, place: Place, depth: Depth) -> None:
    me = give(org, place, prvDeleteAsyncOperation=depth)
    if depth is GLOBAL:
        assert bulk_delete(me, query("asyncoperation"), RunNow=True)
    else:
        refused(lambda: bulk_delete(me, query("asyncoperation"), RunNow=True), "prvDeleteAsyncOperation")


def test_an_email_goes_to_nobody_whom_its_sender_may_not_read(service: Service, org: Client, place: Place) -> None:
    """The e-mail is the sender's own and shows the address."""
    me = give(org, place, prvReadAccount=BASIC)
    values = {"name": "hidden", "emailaddress1": "hidden@example.com"}
    hidden = Reference("account", org.create("account", values))
    refused(
        lambda: bulk_delete(me, query("account"), SendEmailNotification=True, ToRecipients=[hidden]), "prvReadAccount"
    )
    assert org.retrieve_multiple("asyncoperations") == []


def test_an_email_goes_to_nobody_whom_its_sender_no_longer_reads(service: Service, org: Client, place: Place) -> None:
    me = give(org, place, prvReadAccount=BASIC)
    values = {"name": "mine", "emailaddress1": "mine@example.com", "ownerid": ("systemuser", place.user)}
    mine = Reference("account", org.create("account", values))
    nobody = query("account", condition("name", "Equal", "nobody"))
    job = bulk_delete(me, nobody, SendEmailNotification=True, ToRecipients=[mine])
    org.update("account", mine.id, {"ownerid": ("systemuser", UUID(config.ADMIN_USER_ID))})
    drain(service)
    assert org.retrieve("asyncoperation", job)["friendlymessage"] == "0 deleted."
    assert org.retrieve_multiple("emails") == []
