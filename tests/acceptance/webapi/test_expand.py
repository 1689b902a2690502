"""$expand of collections and references, over HTTP: shapes, options, nesting, links, and one statement per level."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from tests.acceptance.webapi.conftest import created, error_of

from adjourn.metadata.catalog import load
from adjourn.query import result
from adjourn.service import Service

FORMATTED = "OData.Community.Display.V1.FormattedValue"


@dataclass(frozen=True)
class World:
    """Accounts a to d: a has three tasks and two contacts, b one task, c nothing; d's primary contact is a's Ada."""

    accounts: dict[str, str]
    ada: str


@pytest.fixture
def world(http: httpx.Client) -> World:
    accounts = {name: created(http, "accounts", {"name": name}) for name in "abcd"}
    for subject, account in (("one", "a"), ("two", "a"), ("three", "a"), ("four", "b")):
        created(http, "tasks", {"subject": subject, "regardingobjectid_account_task@odata.bind": accounts[account]})
    contacts = {}
    for name in ("Ada", "Bob"):
        body = {"lastname": name, "parentcustomerid_account@odata.bind": accounts["a"]}
        contacts[name] = created(http, "contacts", body)
    answer = http.patch(accounts["d"], json={"primarycontactid@odata.bind": contacts["Ada"]})
    assert answer.status_code == 204
    return World(accounts, contacts["Ada"])


def values(http: httpx.Client, address: str, **headers: str) -> list[dict[str, Any]]:
    answer = http.get(address, headers=headers)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["value"]
    return found


def guid(address: str) -> str:
    return address.partition("(")[2].rstrip(")")


@contextmanager
def statements(service: Service) -> Iterator[list[str]]:
    """The statements that readers run meanwhile."""
    found: list[str] = []
    run = result.run

    def counting(plan: Any, reader: Any, write: Any = None) -> Any:
        return run(plan, _Counted(reader, found), write)

    result.run = counting
    try:
        yield found
    finally:
        result.run = run


class _Counted:
    def __init__(self, reader: Any, found: list[str]) -> None:
        self._reader, self._found = reader, found

    def rows(self, sql: str, parameters: Any = ()) -> Any:
        self._found.append(sql)
        return self._reader.rows(sql, parameters)

    def stream(self, sql: str, parameters: Any = ()) -> Any:
        self._found.append(sql)
        return self._reader.stream(sql, parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)


def test_children_stand_in_their_parent_with_the_address_of_their_own(http: httpx.Client, world: World) -> None:
    address = "accounts?$select=name&$orderby=name&$expand=Account_Tasks($select=subject;$orderby=subject)"
    answer = http.get(address).json()
    assert answer["@odata.context"].endswith("$metadata#accounts(name,Account_Tasks(subject))")
    a, b, c, _ = answer["value"]
    assert list(a) == ["@odata.etag", "name", "accountid", "Account_Tasks", "Account_Tasks@odata.nextLink"]
    assert [task["subject"] for task in a["Account_Tasks"]] == ["one", "three", "two"]
    assert list(a["Account_Tasks"][0]) == ["@odata.etag", "subject", "_regardingobjectid_value", "activityid"]
    assert a["Account_Tasks"][0]["_regardingobjectid_value"] == a["accountid"]
    assert [task["subject"] for task in b["Account_Tasks"]] == ["four"]
    assert c["Account_Tasks"] == []
    link = a["Account_Tasks@odata.nextLink"]
    assert link == f"{http.base_url}{world.accounts['a']}/Account_Tasks?$select=subject&$orderby=subject"
    alone = values(http, link)
    assert [{**task, "_regardingobjectid_value": a["accountid"]} for task in alone] == [
        {name: task[name] for name in task} for task in a["Account_Tasks"]
    ]
    assert values(http, c["Account_Tasks@odata.nextLink"]) == []


def test_options_count_for_each_parent(http: httpx.Client, world: World) -> None:
    expand = "Account_Tasks($select=subject;$filter=contains(subject,'o');$orderby=subject desc;$top=1)"
    rows = values(http, f"accounts?$select=name&$orderby=name&$expand={expand}")
    assert [[task["subject"] for task in row["Account_Tasks"]] for row in rows] == [["two"], ["four"], [], []]
    for row in rows:
        alone = values(http, row["Account_Tasks@odata.nextLink"])
        assert [task["subject"] for task in alone] == [task["subject"] for task in row["Account_Tasks"]]


def test_a_filter_of_the_children_can_follow_paths_lambdas_and_quotes(http: httpx.Client, world: World) -> None:
    created(http, "tasks", {"subject": "it's; &)", "regardingobjectid_account_task@odata.bind": world.accounts["c"]})
    expand = (
        "Account_Tasks($select=subject;$filter=(subject eq 'it''s; %26)' or subject eq 'x') and "
        "createdby/fullname eq 'System Administrator' and regardingobjectid_account_task/name eq 'c')"
    )
    rows = values(http, f"accounts?$select=name&$orderby=name&$expand={expand}")
    assert [[task["subject"] for task in row["Account_Tasks"]] for row in rows] == [[], [], ["it's; &)"], []]
    assert len(values(http, rows[2]["Account_Tasks@odata.nextLink"])) == 1
    expand = "contact_customer_accounts($filter=account_primary_contact/any(a:a/name eq 'd');$select=lastname)"
    rows = values(http, f"accounts?$select=name&$orderby=name&$expand={expand}")
    assert [len(row["contact_customer_accounts"]) for row in rows] == [1, 0, 0, 0]


def test_a_single_record_and_a_representation_expand_too(http: httpx.Client, world: World) -> None:
    query = "?$select=name&$expand=Account_Tasks($select=subject;$orderby=subject;$top=2)"
    row = http.get(world.accounts["a"] + query).json()
    assert row["@odata.context"].endswith("#accounts(name,Account_Tasks(subject))/$entity")
    assert [task["subject"] for task in row["Account_Tasks"]] == ["one", "three"]
    wanted = {"Prefer": "return=representation"}
    changed = http.patch(world.accounts["a"] + query, json={"name": "A"}, headers=wanted).json()
    assert changed["name"] == "A"
    assert len(changed["Account_Tasks"]) == 2
    body = {"name": "new", "Account_Tasks": [{"subject": "deep"}]}
    made = http.post("accounts" + query, json=body, headers=wanted)
    assert made.status_code == 201
    assert [task["subject"] for task in made.json()["Account_Tasks"]] == ["deep"]


def test_many_to_many_collections_expand_from_both_sides(http: httpx.Client, world: World) -> None:
    unit = http.get("businessunits").json()["value"][0]["businessunitid"]
    for name in ("Ours", "Theirs"):
        team = created(http, "teams", {"name": name, "businessunitid@odata.bind": f"businessunits({unit})"})
        for user in values(http, "systemusers?$select=fullname&$filter=isdisabled eq false"):
            body = {"@odata.id": f"systemusers({user['systemuserid']})"}
            assert http.post(f"{team}/teammembership_association/$ref", json=body).status_code == 204
    expand = "teammembership_association($select=name;$orderby=name desc;$filter=name ne 'x')"
    rows = values(http, f"systemusers?$select=fullname&$orderby=fullname&$expand={expand}")
    assert [[team["name"] for team in row["teammembership_association"]] for row in rows] == [[], ["Theirs", "Ours"]]
    assert list(rows[1]["teammembership_association"][0]) == ["@odata.etag", "name", "teamid"]
    assert len(values(http, rows[1]["teammembership_association@odata.nextLink"])) == 2
    teams = values(
        http, "teams?$select=name&$orderby=name desc&$top=2&$expand=teammembership_association($select=fullname)"
    )
    assert [[u["fullname"] for u in team["teammembership_association"]] for team in teams] == [
        ["System Administrator"],
        ["System Administrator"],
    ]


def test_expands_nest_single_below_many_many_below_many_and_many_below_single(http: httpx.Client, world: World) -> None:
    expand = (
        "contact_customer_accounts($select=lastname;$expand=owninguser($select=fullname),"
        "account_primary_contact($select=name;$expand=Account_Tasks($select=subject)))"
    )
    a, *_ = values(http, f"accounts?$select=name&$orderby=name&$expand={expand}")
    ada, bob = a["contact_customer_accounts"]
    assert ada["owninguser"]["fullname"] == "System Administrator"
    assert [account["name"] for account in ada["account_primary_contact"]] == ["d"]
    assert ada["account_primary_contact"][0]["Account_Tasks"] == []
    assert bob["account_primary_contact"] == []
    expand = "primarycontactid($select=lastname;$expand=account_primary_contact($select=name))"
    rows = values(http, f"accounts?$select=name&$orderby=name&$expand={expand}")
    assert [row["primarycontactid"] for row in rows[:3]] == [None] * 3
    inner = rows[3]["primarycontactid"]
    assert [account["name"] for account in inner["account_primary_contact"]] == ["d"]
    link = inner["account_primary_contact@odata.nextLink"]
    assert link == f"{http.base_url}{world.ada}/account_primary_contact?$select=name"


def test_nested_expands_page_their_children(http: httpx.Client, world: World) -> None:
    """With nested expands the page size counts for the children too, and their links lead to the rest of them."""
    expand = "Account_Tasks($select=subject;$expand=owninguser($select=fullname))"
    row = values(http, f"accounts?$select=name&$orderby=name&$expand={expand}", Prefer="odata.maxpagesize=2")[0]
    seen = [task["subject"] for task in row["Account_Tasks"]]
    assert len(seen) == 2
    link = row["Account_Tasks@odata.nextLink"]
    assert "$skiptoken=" in link
    rest = values(http, link, Prefer="odata.maxpagesize=2")
    assert sorted(seen + [task["subject"] for task in rest]) == ["one", "three", "two"]
    assert rest[0]["owninguser"]["fullname"] == "System Administrator"
    plain = values(http, f"accounts?$select=name&$orderby=name&$expand={expand}")[0]
    assert len(plain["Account_Tasks"]) == 3
    single = values(http, "accounts?$expand=Account_Tasks&$orderby=name", Prefer="odata.maxpagesize=2")[0]
    assert len(single["Account_Tasks"]) == 3
    assert "skiptoken" not in single["Account_Tasks@odata.nextLink"]


def test_nested_many_to_many_is_refused_with_the_documented_text(http: httpx.Client) -> None:
    status, code, text = error_of(
        http.get("accounts?$expand=owninguser($expand=teammembership_association($select=name))")
    )
    assert (status, code) == (400, "0x80060888")
    assert "The navigation property 'teammembership_association' cannot be expanded. Only many-to-one" in text


def test_a_reference_is_an_address(http: httpx.Client, world: World) -> None:
    answer = http.get("accounts?$select=name&$orderby=name desc&$top=2&$expand=primarycontactid/$ref").json()
    assert answer["@odata.context"].endswith("$metadata#accounts(name,primarycontactid,primarycontactid/$ref())")
    d, c = answer["value"]
    assert d["primarycontactid"] == {"@odata.id": f"{http.base_url}{world.ada}"}
    assert d["_primarycontactid_value"] == guid(world.ada)
    assert c["primarycontactid"] is None
    status, code, text = error_of(http.get("accounts?$expand=Account_Tasks/$ref"))
    assert (status, code) == (400, "0x80060888")
    assert "Expand with $ref is only supported on lookup type navigation property." in text


def test_annotations_stand_in_expanded_children(http: httpx.Client, world: World) -> None:
    expand = "Account_Tasks($select=statecode,_ownerid_value)"
    row = values(http, f"accounts?$select=name&$orderby=name&$expand={expand}", Prefer='odata.include-annotations="*"')[
        0
    ]
    child = row["Account_Tasks"][0]
    assert child[f"statecode@{FORMATTED}"] == "Open"
    assert child["_ownerid_value@Microsoft.Dynamics.CRM.lookuplogicalname"] == "systemuser"
    assert child[f"_regardingobjectid_value@{FORMATTED}"] == "a"
    assert list(child).index(f"statecode@{FORMATTED}") + 1 == list(child).index("statecode")


@pytest.mark.requirement("M76")
@pytest.mark.requirement("M77")
def test_jobs_expand_from_what_they_regard_and_back(http: httpx.Client, world: World) -> None:
    body = {"MessageName": "WhoAmI", "Regarding": {"@odata.id": world.accounts["a"]}}
    job = http.post("ExecuteAsync", json=body).json()["AsyncJobId"]
    expand = "Account_AsyncOperations($select=name,statecode,data)"
    rows = values(http, f"accounts?$select=name&$orderby=name&$expand={expand}")
    assert [[found["asyncoperationid"] for found in row["Account_AsyncOperations"]] for row in rows] == [
        [job], [], [], [],
    ]  # fmt: skip
    assert rows[0]["Account_AsyncOperations"][0]["data"] == "{}"
    back = values(http, "asyncoperations?$select=name&$expand=regardingobjectid_account($select=name),"
                        "regardingobjectid_contact($select=lastname)")[0]  # fmt: skip
    assert back["regardingobjectid_account"]["name"] == "a"
    assert back["regardingobjectid_contact"] is None
    own = values(http, f"{world.accounts['a']}/Account_AsyncOperations")
    assert [found["asyncoperationid"] for found in own] == [job]
    link = "<link-entity name='account' from='accountid' to='regardingobjectid'><attribute name='name'/></link-entity>"
    fetch = f"<fetch><entity name='asyncoperation'><attribute name='name'/>{link}</entity></fetch>"
    (fetched,) = values(http, f"asyncoperations?fetchXml={quote(fetch)}")
    assert fetched["account1.name"] == "a"


@pytest.mark.requirement("M76")
@pytest.mark.requirement("M77")
def test_every_table_that_jobs_may_regard_is_named_in_the_metadata(http: httpx.Client) -> None:
    csdl = http.get("$metadata").text
    address = "EntityDefinitions(LogicalName='asyncoperation')/ManyToOneRelationships?$select=SchemaName"
    listed = {row["SchemaName"] for row in values(http, address)}
    found = [one for one in load().table("asyncoperation").many_to_one if one.column == "regardingobjectid"]
    assert {"account", "contact", "systemuser", "task"} <= {one.referenced for one in found}
    for one in found:
        assert f'<NavigationProperty Name="{one.navigation}" Type="mscrm.{one.referenced}"' in csdl
        assert one.name in listed


def test_one_statement_for_each_level_however_many_parents(http: httpx.Client, service: Service, world: World) -> None:
    for number in range(20):
        account = created(http, "accounts", {"name": f"z{number}"})
        created(http, "contacts", {"lastname": "Z", "parentcustomerid_account@odata.bind": account})
    expand = "Account_Tasks,contact_customer_accounts($expand=account_primary_contact($expand=Account_Tasks))"
    with statements(service) as found:
        values(http, f"accounts?$expand={expand}")
    assert len(found) == 1 + 2 + 1 + 1
    with statements(service) as found:
        values(http, "accounts?$filter=name eq 'nobody'&$expand=Account_Tasks")
    assert len(found) == 1


def test_questions_of_one_shape_share_a_plan(http: httpx.Client, service: Service, world: World) -> None:
    def sql(subject: str, top: int) -> str:
        with statements(service) as found:
            values(http, f"accounts?$expand=Account_Tasks($filter=subject eq '{subject}';$top={top})")
        return found[1]

    assert sql("one", 1) == sql("two", 7)
    rows = values(http, "accounts?$orderby=name&$expand=Account_Tasks($filter=subject eq 'two';$top=7)")
    assert [len(row["Account_Tasks"]) for row in rows] == [1, 0, 0, 0]


def test_children_in_all_are_bounded(http: httpx.Client, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result, "EXPANDED_ROWS_MAX", 4)
    assert http.get("accounts?$expand=Account_Tasks").status_code == 200
    monkeypatch.setattr(result, "EXPANDED_ROWS_MAX", 3)
    status, code, text = error_of(http.get("accounts?$expand=Account_Tasks"))
    assert (status, code) == (400, "0x80060888")
    assert "more than 3 records in all" in text
    assert http.get("accounts?$expand=Account_Tasks($top=1)").status_code == 200


def test_sixteen_expands_over_all_levels_are_one_too_many(http: httpx.Client) -> None:
    deep = "createdby"
    for _ in range(14):
        deep = f"lk_systemuser_createdby($expand={deep})"
    assert http.get(f"systemusers?$expand={deep}").status_code == 200
    status, code, _ = error_of(http.get(f"systemusers?$expand={deep},modifiedby"))
    assert (status, code) == (400, "0x8004430d")
