"""Expanded records in Python: single ones as dicts, collections as lists, in the records that they belong to."""

from __future__ import annotations

from adjourn.client import Client
from adjourn.metadata.model import Reference


def test_expanded_records_stand_in_their_record(org: Client) -> None:
    parent = org.create("account", {"name": "parent", "telephone1": "1"})
    org.create("account", {"name": "child", "parentaccountid": ("account", parent)})
    contact = org.create("contact", {"lastname": "Ada", "parentcustomerid": ("account", parent)})
    for subject in ("b", "a"):
        org.create("task", {"subject": subject, "regardingobjectid": ("contact", contact)})
    asked = (
        "accounts?$select=name&$orderby=name&$expand=parentaccountid($select=name,telephone1),"
        "contact_customer_accounts($select=lastname;$expand=Contact_Tasks($select=subject))"
    )
    child, found = org.retrieve_multiple(asked)
    assert child["name"] == "child"
    assert child["parentaccountid"] == {"name": "parent", "telephone1": "1", "accountid": parent}
    assert child["contact_customer_accounts"] == []
    assert (found.id, found["parentaccountid"]) == (parent, None)
    (ada,) = found["contact_customer_accounts"]
    assert ada["parentcustomerid"] == Reference("account", parent)
    assert [task["subject"] for task in ada["Contact_Tasks"]] == ["b", "a"]
    inside = "accounts?$select=name&$orderby=name&$expand=parentaccountid($expand=account_parent_account($select=name))"
    child, found = org.retrieve_multiple(inside)
    assert [account["name"] for account in child["parentaccountid"]["account_parent_account"]] == ["child"]
    assert found["parentaccountid"] is None
