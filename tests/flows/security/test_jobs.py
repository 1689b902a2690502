"""System jobs: who sees them, who may act on them, whose rights they run with."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import pytest
from tests.flows.security.conftest import Place
from tests.flows.security.test_messages import REACHED, refused
from tests.support import roles, security_plugins
from tests.support.roles import BASIC, GLOBAL

from adjourn import config
from adjourn.client import Client
from adjourn.errors import InvalidRequest, NotFound, UnknownResource
from adjourn.jobs import queue
from adjourn.metadata.privileges import Depth
from adjourn.pipeline.call import Request
from adjourn.service import Service
from adjourn.worker.inline import drain


@pytest.fixture
def jobs(org: Client, service: Service, place: Place) -> dict[str, UUID]:
    """A postponed job of each owner."""
    service.register("tests.support.security_plugins")
    made = {}
    for name, owner in place.owners.items():
        request = security_plugins.count_accounts.request()
        made[name] = org.enqueue(request, owner=owner, postpone_until=datetime(2098, 1, 1, tzinfo=UTC))
    return made


def give(org: Client, place: Place, held: dict[str, Depth]) -> UUID:
    role = roles.role(org, "under test", held)
    org.associate("systemuser", place.user, "systemuserroles_association", [("role", role)])
    return role


@pytest.mark.parametrize("depth", [None, *Depth])
def test_a_job_is_deleted_by_whoever_may(org: Client, place: Place, jobs: dict[str, UUID], depth: Depth | None) -> None:
    give(org, place, {} if depth is None else {"prvDeleteAsyncOperation": depth})
    me = org.as_user(place.user)
    for name, job in jobs.items():
        if name in REACHED[depth]:
            me.delete("asyncoperation", job)
            with pytest.raises(NotFound):
                org.retrieve("asyncoperation", job)
        else:
            refused(lambda job=job: me.delete("asyncoperation", job), "prvDeleteAsyncOperation", "6ad0b110")
            assert org.retrieve("asyncoperation", job)["statecode"] == 1


@pytest.mark.parametrize("depth", [None, *Depth])
def test_every_action_takes_write_on_the_job(org: Client, service: Service, place: Place, depth: Depth | None) -> None:
    """Cancel, resume and postpone of waiting jobs, pause and cancel of running ones: nobody's but whom Write reaches."""
    service.register("tests.support.security_plugins")
    give(org, place, {} if depth is None else {"prvWriteAsyncOperation": depth})
    me = org.as_user(place.user)
    request = security_plugins.count_accounts.request()
    later = datetime(2098, 1, 1, tzinfo=UTC)
    for running, change, became in (
        (False, {"statecode": 3, "statuscode": 32}, 32), (False, {"statecode": 0, "statuscode": 0}, 0),
        (False, {"postponeuntil": "2099-01-01T00:00:00Z"}, 10), (True, {"statecode": 1, "statuscode": 10}, 21),
        (True, {"statecode": 3, "statuscode": 32}, 22), (True, {"postponeuntil": "2099-01-01T00:00:00Z"}, 21),
    ):  # fmt: skip
        options = {} if running else {"postpone_until": later}
        made = {name: org.enqueue(request, owner=owner, **options) for name, owner in place.owners.items()}
        if running:
            claim = partial(queue.claim, operation_types=[54], limit=100, worker="somebody")
            assert set(made.values()) <= {job.id for job in service.store.write(claim)}
        for name, job in made.items():
            before = dict(org.retrieve("asyncoperation", job).values)
            if name in REACHED[depth]:
                me.update("asyncoperation", job, change)
                after = org.retrieve("asyncoperation", job)
                assert (name, after["statuscode"], after["modifiedby"].id) == (name, became, place.user)
            else:
                refused(partial(me.update, "asyncoperation", job, change), "prvWriteAsyncOperation")
                assert org.retrieve("asyncoperation", job).values == before


def test_a_job_has_no_messages_of_ownership(org: Client, place: Place, jobs: dict[str, UUID]) -> None:
    """It is owned by a user and can be neither assigned nor shared, by the administrator either; its owner is no column to write."""
    target = ("asyncoperation", jobs["mine"])
    for message, parameters in (
        ("Assign", {"Target": target, "Assignee": place.owners["unit"]}),
        ("GrantAccess", {"Target": target}), ("ModifyAccess", {"Target": target}), ("RevokeAccess", {"Target": target}),
        ("SetState", {"EntityMoniker": target, "State": 3, "Status": 32}),
    ):  # fmt: skip
        with pytest.raises((InvalidRequest, UnknownResource)):
            org.execute(Request(message, parameters))
    for column in ("ownerid", "owninguser", "owningteam", "owningbusinessunit"):
        value = place.owners["team"] if column == "owningteam" else place.owners["unit"]
        with pytest.raises(InvalidRequest, match=column):
            org.update("asyncoperation", jobs["mine"], {column: value})
    assert org.retrieve("asyncoperation", jobs["mine"])["ownerid"].id == place.user


def test_a_job_says_who_really_caused_it(org: Client, place: Place, service: Service) -> None:
    service.register("tests.support.security_plugins")
    give(org, place, roles.everything("Contact", BASIC) | {"prvCreateAsyncOperation": BASIC})
    me = org.as_user(place.user)
    asked = me.enqueue(security_plugins.count_accounts.request())
    me.create("contact", {"lastname": "mine"})
    (caused,) = [row.id for row in org.retrieve_multiple("asyncoperations?$select=name&$filter=operationtype eq 1")]
    for job in (asked, caused):
        row = org.retrieve("asyncoperation", job, ["createdby", "createdonbehalfby"])
        assert (row["createdby"].id, row["createdonbehalfby"].id) == (place.user, UUID(config.ADMIN_USER_ID))
    own = org.enqueue(security_plugins.count_accounts.request())
    assert org.retrieve("asyncoperation", own)["createdonbehalfby"] is None


def test_counts_and_lists_show_the_same_jobs(org: Client, place: Place, jobs: dict[str, UUID]) -> None:
    give(org, place, {"prvReadAsyncOperation": BASIC})
    me = org.as_user(place.user)
    assert {row.id for row in me.retrieve_multiple("asyncoperations?$select=name")} == {jobs["mine"], jobs["team"]}
    grouped = me.retrieve_multiple("asyncoperations?$apply=groupby((statecode),aggregate($count as n))")
    assert [(row["statecode"], row["n"]) for row in grouped] == [(1, 2)]
    refused(lambda: me.retrieve("asyncoperation", jobs["unit"]), "prvReadAsyncOperation", jobs["unit"])


def test_a_job_runs_with_the_rights_of_its_owner(org: Client, place: Place, service: Service) -> None:
    service.register("tests.support.security_plugins")
    give(org, place, roles.everything("Account", BASIC) | roles.everything("AsyncOperation", BASIC))
    mine = org.create("account", {"name": "mine", "ownerid": place.owners["mine"]})
    other = org.create("account", {"name": "other"})
    me = org.as_user(place.user)
    done = me.enqueue(security_plugins.rename.request(account=str(mine)))
    failed = me.enqueue(security_plugins.rename.request(account=str(other)))
    nested = me.enqueue(security_plugins.act_for.request(user=str(place.owners["unit"][1])))
    team = me.enqueue(security_plugins.rename.request(account=str(other)), owner=place.owners["team"])
    drain(service)
    assert org.retrieve("account", mine)["name"] == "renamed by a job"
    assert org.retrieve("account", other)["name"] == "other"
    for job, privilege in ((failed, "prvWriteAccount"), (nested, "prvActOnBehalf"), (team, "prvWriteAccount")):
        row = org.retrieve("asyncoperation", job)
        assert (row["statuscode"], row["errorcode"]) == (31, 0x80040220 - 0x1_0000_0000)
        assert privilege in row["message"]
    assert org.retrieve("asyncoperation", done)["statuscode"] == 30


def test_enqueueing_takes_create_and_in_anothers_name_the_right_to_act_for_him(
    org: Client, place: Place, service: Service
) -> None:
    service.register("tests.support.security_plugins")
    request = security_plugins.count_accounts.request()
    me = org.as_user(place.user)
    refused(lambda: me.enqueue(request), "prvCreateAsyncOperation")
    role = give(org, place, {"prvCreateAsyncOperation": BASIC, "prvReadAccount": BASIC})
    me.enqueue(request)
    refused(lambda: me.enqueue(request, owner=place.owners["unit"]), "prvCreateAsyncOperation")
    roles.grant(org, role, {"prvCreateAsyncOperation": GLOBAL})
    refused(lambda: me.enqueue(request, owner=place.owners["unit"]), "prvActOnBehalfOfAnotherUser")
    roles.grant(org, role, {"prvActOnBehalfOfAnotherUser": GLOBAL})
    me.enqueue(request, owner=place.owners["unit"])
    assert len(org.retrieve_multiple("asyncoperations?$select=name")) == 2


def test_steps_make_jobs_of_whoever_caused_them(org: Client, place: Place, service: Service) -> None:
    """No privilege for jobs is needed to change a record that has an asynchronous step."""
    service.register("tests.support.security_plugins")
    give(org, place, roles.everything("Contact", BASIC) | {"prvReadAccount": BASIC})
    org.create("account", {"name": "not mine"})
    me = org.as_user(place.user)
    me.create("contact", {"lastname": "mine"})
    drain(service)
    (job,) = org.retrieve_multiple("asyncoperations")
    assert (job["ownerid"].id, job["statuscode"]) == (place.user, 30)
    refused(lambda: me.retrieve_multiple("asyncoperations"), "prvReadAsyncOperation")


def test_logs_and_files_of_a_job_are_as_open_as_the_job(
    org: Client, place: Place, jobs: dict[str, UUID], service: Service
) -> None:
    big = org.as_user(place.user)
    for job in jobs.values():
        org.create("workflowlog", {"asyncoperationid": ("asyncoperation", job), "status": 1})
    refused(lambda: big.retrieve_multiple("workflowlogs"), "prvReadAsyncOperation")
    role = give(org, place, {"prvReadAsyncOperation": BASIC})
    seen = big.retrieve_multiple("workflowlogs?$select=_asyncoperationid_value")
    assert {row["asyncoperationid"].id for row in seen} == {jobs["mine"], jobs["team"]}
    everyone = org.retrieve_multiple("workflowlogs?$select=_asyncoperationid_value")
    foreign = next(row.id for row in everyone if row["asyncoperationid"].id == jobs["unit"])
    own = next(row.id for row in everyone if row["asyncoperationid"].id == jobs["mine"])
    refused(lambda: big.retrieve("workflowlog", foreign), "prvReadAsyncOperation")
    roles.grant(org, role, {"prvDeleteAsyncOperation": BASIC})
    refused(lambda: big.delete("workflowlog", foreign), "prvDeleteAsyncOperation")
    big.delete("workflowlog", own)
