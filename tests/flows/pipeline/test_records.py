"""The data messages: what Create, Update, Delete, Associate, Assign and SetState do and refuse. On both stores."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

import adjourn
from adjourn import config
from adjourn.client import Client
from adjourn.errors import InvalidRequest
from adjourn.metadata.model import Reference
from adjourn.pipeline.call import Request


def test_a_record_comes_back_as_it_was_sent(org: Client) -> None:
    contact = org.create("contact", {"firstname": "Ada", "lastname": "Lovelace"})
    sent = {
        "name": "Ünïcødé 🎉 O'Brien; DROP TABLE account",
        "revenue": Decimal("922337203685476.5807"),
        "creditonhold": True,
        "industrycode": 7,
        "numberofemployees": 12,
        "primarycontactid": ("contact", contact),
        "overriddencreatedon": datetime(2001, 2, 3, 4, 5, 6, 789000, UTC),
    }
    account = org.create("account", sent)
    found = org.retrieve("account", account)
    assert {name: found[name] for name in sent} == {**sent, "primarycontactid": Reference("contact", contact)}
    assert (found["statecode"], found["statuscode"]) == (0, 1)
    assert found["ownerid"].table == "systemuser"
    assert found["createdon"] == found["modifiedon"]
    assert org.retrieve("contact", contact, ["fullname"])["fullname"] == "Ada Lovelace"


@adjourn.message
def greet_by_mistake(name: str) -> str:
    return f"Hello, {name}!"


@pytest.mark.parametrize(
    "given", ["greet", greet_by_mistake, greet_by_mistake(name="Ada"), None], ids=["name", "message", "result", "None"]
)
def test_what_is_no_request_is_refused_and_told_how_to_make_one(org: Client, given: Any) -> None:
    for call in (org.execute, org.enqueue, lambda found: org.enqueue_many([found])):
        with pytest.raises(InvalidRequest, match=r"message\.request\(parameter=…\)"):
            call(given)


def test_an_update_changes_what_it_names_and_the_version(org: Client) -> None:
    account = org.create("account", {"name": "Contoso", "telephone1": "1"})
    before = org.retrieve("account", account)
    org.update("account", account, {"telephone1": None})
    after = org.retrieve("account", account)
    assert (after["name"], after["telephone1"]) == ("Contoso", None)
    assert after["versionnumber"] > before["versionnumber"]
    assert after["createdon"] == before["createdon"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"nmae": "x"}, "Did you mean 'name'"),
        ({"name": 5}, "must be a text"),
        ({"name": "x" * 161}, "maximum allowed length of '160'"),
        ({"name": "a\x00b"}, "NUL"),
        ({"createdon": datetime.now(UTC)}, "cannot be set"),
        ({"statecodename": "Active"}, "cannot be set"),
        ({"industrycode": 99999}, "is no option"),
        ({"statecode": 0, "statuscode": 2}, "State code 0 with status code 2"),
        ({"creditonhold": 1}, "true or false"),
        ({"revenue": float("nan")}, "number"),
        ({"primarycontactid": ("account", uuid4())}, "leads to contact"),
        ({"primarycontactid": ("contact", uuid4())}, "Does Not Exist"),
        ({"numberofemployees": -1}, "range"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(org: Client, values: dict[str, object], expected: str) -> None:
    with pytest.raises(adjourn.AdjournError, match=expected) as caught:
        org.create("account", {"name": "Contoso", **values})
    assert caught.value.status in (400, 404)
    assert org.retrieve_multiple("accounts?$select=name") == []


def test_a_missing_record_is_not_found(org: Client) -> None:
    nobody = uuid4()
    for act in (
        lambda: org.retrieve("account", nobody),
        lambda: org.update("account", nobody, {"name": "x"}),
        lambda: org.delete("account", nobody),
    ):
        with pytest.raises(adjourn.NotFound, match=f"account With Id = {nobody} Does Not Exist"):
            act()


def test_an_id_is_used_once(org: Client) -> None:
    known = uuid4()
    assert org.upsert("account", known, {"name": "Contoso"}) is True
    assert org.upsert("account", known, {"name": "Fabrikam"}) is False
    assert org.retrieve("account", known, ["name"])["name"] == "Fabrikam"
    with pytest.raises(adjourn.Duplicate):
        org.create("account", {"accountid": known, "name": "again"})


def test_delete_rules_of_relationships(org: Client) -> None:
    account = org.create("account", {"name": "Contoso"})
    child = org.create("account", {"name": "Child", "parentaccountid": ("account", account)})
    contact = org.create("contact", {"lastname": "Goes", "parentcustomerid": ("account", account)})
    contract = org.create("contract", {"title": "Holds", "customerid": ("account", account)})
    with pytest.raises(adjourn.NotSupported, match="contract") as caught:
        org.delete("account", account)
    assert caught.value.code == 0x80040227
    assert org.retrieve("contact", contact, ["lastname"])["lastname"] == "Goes"
    org.delete("contract", contract)
    org.delete("account", account)
    assert org.retrieve("account", child, ["parentaccountid"])["parentaccountid"] is None
    with pytest.raises(adjourn.NotFound):
        org.retrieve("contact", contact)


def test_assign_set_state_associate(org: Client) -> None:
    account = org.create("account", {"name": "Contoso"})
    team = org.retrieve_multiple("teams?$select=name")[0].id
    org.execute(Request("Assign", {"Target": Reference("account", account), "Assignee": ("team", team)}))
    found = org.retrieve("account", account)
    assert (found["ownerid"], found["owninguser"]) == (Reference("team", team), None)
    org.execute(Request("SetState", {"EntityMoniker": ("account", account), "State": 1, "Status": -1}))
    assert org.retrieve("account", account, ["statuscode"])["statuscode"] == 2
    contact = org.create("contact", {"lastname": "A"})
    org.associate("account", account, "contact_customer_accounts", [("contact", contact)])
    assert org.retrieve("contact", contact)["parentcustomerid"] == Reference("account", account)
    org.disassociate("account", account, "contact_customer_accounts", [("contact", contact)])
    assert org.retrieve("contact", contact)["parentcustomerid"] is None
    org.associate("team", team, "teammembership_association", [("systemuser", config.ADMIN_USER_ID)])
    with pytest.raises(adjourn.InvalidRequest, match="no relationship 'nonsense'"):
        org.associate("account", account, "nonsense", [("contact", contact)])


@pytest.mark.requirement("M31")
def test_a_system_job_cannot_be_created(org: Client) -> None:
    with pytest.raises(adjourn.NotSupported) as caught:
        org.create("asyncoperation", {"name": "x"})
    assert (caught.value.code, caught.value.status) == (0x80040315, 405)
    with pytest.raises(adjourn.NotSupported):
        org.upsert("asyncoperation", uuid4(), {"statecode": 3})
    assert org.retrieve_multiple("asyncoperations?$select=name") == []


@pytest.mark.requirement("M34")
@pytest.mark.parametrize("column", ["data", "ownerid", "friendlymessage", "name", "message", "errorcode", "sequence"])
def test_other_columns_of_a_job_cannot_be_updated(org: Client, column: str) -> None:
    from tests.support.pipeline_plugins import add

    job = org.enqueue(add.request(1, 2))
    before = org.retrieve("asyncoperation", job)
    with pytest.raises(adjourn.InvalidRequest, match=column) as caught:
        org.update("asyncoperation", job, {column: "x", "statecode": 3})
    assert caught.value.code == 0x80040203
    assert org.retrieve("asyncoperation", job).values == before.values
