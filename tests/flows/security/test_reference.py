"""The facts about privileges that Microsoft's documents state, one test each. Source: security.md of the references."""

from __future__ import annotations

from uuid import UUID

import pytest
from tests.flows.security.conftest import Place
from tests.flows.security.test_messages import refused
from tests.support import lifecycle, roles
from tests.support.lifecycle import CHANGES
from tests.support.roles import BASIC, GLOBAL

from adjourn import config
from adjourn.client import Client
from adjourn.errors import AdjournError, PrivilegeDenied
from adjourn.jobs.states import Action, Status
from adjourn.metadata.catalog import load
from adjourn.metadata.model import Reference
from adjourn.metadata.privileges import Depth
from adjourn.service import Service
from adjourn.worker.inline import drain

PUBLISHED = {
    "prvCreateAsyncOperation": "eba97ff0-c3e4-47e2-a064-84acd680092f",
    "prvReadAsyncOperation": "e84acc8f-0c61-43e3-a716-20964a483bdf",
    "prvWriteAsyncOperation": "4440769e-8d79-41fc-ae45-cd65480ffdba",
    "prvDeleteAsyncOperation": "6ad0b110-c4d5-4dba-9a04-37528ef5df7d",
}


def test_jobs_have_four_privileges_with_their_ids_at_every_depth(org: Client) -> None:
    rows = {row["name"]: row for row in org.retrieve_multiple("privileges?$filter=contains(name,'AsyncOperation')")}
    assert {name: str(row.id) for name, row in rows.items()} == PUBLISHED
    for row in rows.values():
        assert [row[f"canbe{depth}"] for depth in ("basic", "local", "deep", "global")] == [True] * 4


def test_what_hangs_on_a_job_has_no_privileges_of_its_own() -> None:
    names = {name.lower() for name in load().privileges}
    for table in ("WorkflowLog", "BulkDeleteFailure", "BulkDeleteOperation", "DuplicateRecord", "FileAttachment"):
        assert not [name for name in names if name.startswith("prv") and name.endswith(table.lower())]
    assert load().tables["asyncoperation"].object_type_code == 4700
    assert load().tables["workflowlog"].object_type_code == 4706


def test_a_missing_privilege_is_one_code_everywhere() -> None:
    refusal = PrivilegeDenied("no")
    assert (refusal.code - 0x1_0000_0000, refusal.status) == (-2147220960, 403)


def test_bulk_delete_is_bound_to_no_table_and_the_administrators_alone(org: Client) -> None:
    found = load().privileges["prvBulkDelete"]
    assert (str(found.id), found.right, found.depths) == ("b75a726f-e7aa-44ae-9282-f8776d913bbb", 0, (Depth.GLOBAL,))
    holding = "roles?$select=name&$filter=roleprivileges_association/any(p: p/name eq 'prvBulkDelete')"
    assert [row["name"] for row in org.retrieve_multiple(holding)] == ["System Administrator"]


def test_tables_of_custom_style_keep_the_logical_name() -> None:
    assert {"prvReadbackgroundoperation", "prvWritebackgroundoperation"} <= set(load().privileges)


def test_default_depths_of_reading_and_writing_jobs(org: Client) -> None:
    """System Administrator like the document's; Basic User like its lowest roles. Delete is the administrator's."""
    for name in PUBLISHED:
        path = f"roles?$select=name&$filter=roleprivileges_association/any(p: p/name eq '{name}')&$orderby=name"
        holders = [row["name"] for row in org.retrieve_multiple(path)]
        expected = (
            ["System Administrator"] if name == "prvDeleteAsyncOperation" else ["Basic User", "System Administrator"]
        )
        assert (name, holders) == (name, expected)


@pytest.mark.parametrize("action", [Action.CANCEL, Action.PAUSE, Action.RESUME])
def test_jobs_of_the_platform_are_read_by_depth_and_controlled_by_nobody(
    org: Client, service: Service, place: Place, action: Action
) -> None:
    job = lifecycle.standing_in(service.store, Status.WAITING, lifecycle.PLATFORM_TYPE)
    me = org.as_user(place.user)
    role = roles.role(org, "reader", {"prvReadAsyncOperation": BASIC, "prvWriteAsyncOperation": GLOBAL})
    org.associate("systemuser", place.user, "systemuserroles_association", [("role", role)])
    refused(lambda: me.retrieve("asyncoperation", job), "prvReadAsyncOperation", job)
    roles.grant(org, role, {"prvReadAsyncOperation": GLOBAL})
    assert me.retrieve("asyncoperation", job)["operationtype"] == lifecycle.PLATFORM_TYPE
    for client in (me, org):
        with pytest.raises(AdjournError) as found:
            client.update("asyncoperation", job, CHANGES[action])
        assert found.value.code != 0x80040220
    assert org.retrieve("asyncoperation", job)["statuscode"] == Status.WAITING


def test_the_identity_of_a_step_is_the_caller_or_its_own_user(org: Client, service: Service, place: Place) -> None:
    """impersonatinguserid empty: the calling user; else that one, with his rights, and the job is his."""
    service.register("tests.support.security_plugins")
    org.create("account", {"name": "seen by whoever may"})
    give = roles.role(org, "works", roles.everything("Contact", BASIC) | {"prvReadAccount": BASIC})
    org.associate("systemuser", place.user, "systemuserroles_association", [("role", give)])
    me = org.as_user(place.user)
    (step,) = org.retrieve_multiple("sdkmessageprocessingsteps?$select=name")
    assert step.id is not None
    for impersonated, owner, found in (
        (None, place.user, "0"),
        (UUID(config.ADMIN_USER_ID), UUID(config.ADMIN_USER_ID), "1"),
    ):
        value = Reference("systemuser", impersonated) if impersonated else None
        org.update("sdkmessageprocessingstep", step.id, {"impersonatinguserid": value})
        before = {row.id for row in org.retrieve_multiple("asyncoperations?$select=name")}
        me.create("contact", {"lastname": "mine"})
        drain(service)
        (job,) = [row for row in org.retrieve_multiple("asyncoperations") if row.id not in before]
        assert (job["ownerid"].id, job["createdby"].id, job["friendlymessage"]) == (owner, place.user, found)
