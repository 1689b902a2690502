"""The catalog keeps the documented facts and fits together."""

from __future__ import annotations

import re
import time
from typing import Any

import msgspec
import pytest

from adjourn import errors
from adjourn.metadata import catalog as reading
from adjourn.metadata.catalog import MetadataError, load
from adjourn.metadata.model import ColumnType, ManyToMany

# Counted in the published table references: columns of their own (derived names left out), options of all their
# choices, messages. Of asyncoperation 57 columns are published and 12 are ours; of its nine messages, Create and
# RetrievePrincipalAccess are refused to callers. organization has 5 and systemuser
# 1 well-known column more than the references at hand.
FACTS = {
    "asyncoperation": (57 + 12, 4 + 8 + 117, 9 - 2),
    "backgroundoperation": (25, 9, 6),
    "bulkdeletefailure": (14, 0, 2),
    "bulkdeleteoperation": (23, 14, 3),
    "businessunit": (22, 0, 15),
    "duplicaterecord": (14, 0, 2),
    "duplicaterule": (33, 9, 19),
    "duplicaterulecondition": (16, 7, 7),
    "fileattachment": (15, 0, 2),
    "import": (20, 9, 13),
    "importfile": (35, 24, 15),
    "importlog": (24, 6, 2),
    "organization": (15 + 13, 18, 3),
    "pluginassembly": (38, 13, 8),
    "plugintracelog": (25, 5, 5),
    "plugintype": (31, 4, 8),
    "sdkmessage": (30, 4, 4),
    "sdkmessagefilter": (26, 4, 4),
    "sdkmessageprocessingstep": (46, 29, 9),
    "sdkmessageprocessingstepimage": (26, 7, 5),
    "savedquery": (39, 8, 6),
    "serviceendpoint": (40, 36, 6),
    "systemuser": (32 + 1, 20, 19),
    "team": (26, 8, 11),
    "userquery": (27, 5, 10),
    "workflow": (58, 37, 20),
    "workflowlog": (34, 5, 5),
}

TYPE_CODES = {
    "account": 1, "contact": 2, "systemuser": 8, "team": 9, "businessunit": 10, "contract": 1010, "organization": 1019,
    "activitypointer": 4200, "appointment": 4201, "email": 4202, "fax": 4204, "letter": 4207, "phonecall": 4210,
    "task": 4212, "bulkdeleteoperation": 4424, "plugintype": 4602, "pluginassembly": 4605, "sdkmessage": 4606,
    "sdkmessagefilter": 4607, "sdkmessageprocessingstep": 4608, "sdkmessageprocessingstepimage": 4615,
    "asyncoperation": 4700, "workflow": 4703, "workflowlog": 4706, "savedquery": 1039, "userquery": 4230,
}  # fmt: skip

INTERNAL = {
    "serialkey", "blocked", "waitreason", "waitdetail", "worker", "lease", "crashes", "cursor", "progresstext",
    "progresspercent", "scheduleid", "imported",
}  # fmt: skip


@pytest.mark.parametrize("name", FACTS)
def test_a_table_has_all_the_columns_choices_and_messages_of_its_reference(name: str) -> None:
    table = load().table(name)
    columns = [column for column in table.columns.values() if column.storage != "derived"]
    options = sum(len(column.choice.options) for column in columns if column.type.is_choice and column.choice)
    assert (len(columns), options, len(table.messages)) == FACTS[name]


@pytest.mark.parametrize(("name", "code"), TYPE_CODES.items())
def test_a_table_has_its_well_known_type_code(name: str, code: int) -> None:
    assert load().by_type_code[code].logical == name


@pytest.mark.requirement("M97")
def test_all_operation_types_are_known_with_their_labels() -> None:
    choice = load().table("asyncoperation").columns["operationtype"].choice
    assert choice is not None
    assert len(choice.options) == 117
    assert [choice.label(value) for value in (1, 10, 13, 31, 54, 187, 12801, 190690092)] == [
        "System Event",
        "Workflow",
        "Bulk Delete",
        "Storage Limit Notification",
        "Execute Async Request",
        "Async Restore Job",
        "Cascade Grant or Revoke Access Version Tracking Async Operation",
        "AI Builder Prediction Events",
    ]
    assert choice.label(33) is None


def test_every_status_of_a_job_belongs_to_its_state() -> None:
    columns = load().table("asyncoperation").columns
    states, statuses = columns["statecode"].choice, columns["statuscode"].choice
    assert states is not None
    assert statuses is not None
    assert {o.value: (o.label, o.default_status) for o in states.options.values()} == {
        0: ("Ready", 0),
        1: ("Suspended", 10),
        2: ("Locked", 20),
        3: ("Completed", 30),
    }
    assert {o.value: (o.state, o.label) for o in statuses.options.values()} == {
        0: (0, "Waiting For Resources"),
        10: (1, "Waiting"),
        20: (2, "In Progress"),
        21: (2, "Pausing"),
        22: (2, "Canceling"),
        30: (3, "Succeeded"),
        31: (3, "Failed"),
        32: (3, "Canceled"),
    }


def test_no_language_sees_the_internal_columns_of_a_job() -> None:
    table = load().table("asyncoperation")
    assert table.columns.keys() >= INTERNAL
    assert not INTERNAL & {column.logical for column in table.readable()}
    assert not INTERNAL & table.by_property.keys()
    assert {"workflowstate", "workflowisblocked"}.isdisjoint(table.by_property)


def test_the_long_texts_of_a_job_lie_beside_its_row() -> None:
    columns = load().table("asyncoperation").columns.values()
    assert {column.logical for column in columns if column.storage == "text"} == {
        "data",
        "message",
        "rootexecutioncontext",
        "workflowstate",
    }


@pytest.mark.requirement("M73")
def test_the_columns_and_expands_of_the_specifications_first_query_exist() -> None:
    table = load().table("asyncoperation")
    selected = {
        "asyncoperationid",
        "completedon",
        "createdon",
        "data",
        "dependencytoken",
        "depth",
        "errorcode",
        "executiontimespan",
        "friendlymessage",
        "iswaitingforevent",
        "message",
        "messagename",
        "modifiedon",
        "name",
        "operationtype",
        "_ownerid_value",
        "postponeuntil",
        "primaryentitytype",
        "recurrencepattern",
        "recurrencestarttime",
        "_regardingobjectid_value",
        "retrycount",
        "sequence",
        "startedon",
        "statecode",
        "utcconversiontimezonecode",
        "workflowstagename",
    }
    assert table.by_property.keys() >= selected
    expanded = {
        "createdby": "fullname",
        "modifiedby": "fullname",
        "owningbusinessunit": "name",
        "owningextensionid": "name",
        "owningteam": "name",
        "owninguser": "fullname",
    }
    for navigation, column in expanded.items():
        assert column in load().table(table.by_navigation[navigation].referenced).by_property


def test_choices_booleans_and_lookups_bring_their_derived_names() -> None:
    columns = load().table("asyncoperation").columns
    for name, source in {
        "statecodename": "statecode",
        "iswaitingforeventname": "iswaitingforevent",
        "owneridname": "ownerid",
        "regardingobjectidyominame": "regardingobjectid",
    }.items():
        assert (columns[name].storage, columns[name].derives) == ("derived", source)
        assert not columns[name].creatable
        assert not columns[name].updatable
    assert columns["regardingobjectidname"].max_length == 850
    assert columns["createdbyyominame"].schema == "CreatedByYomiName"
    assert "blockedname" not in columns


def test_a_job_may_regard_records_of_many_tables_under_the_documented_names() -> None:
    table = load().table("asyncoperation")
    column = table.columns["regardingobjectid"]
    assert column.polymorphic
    assert column.type_column == "regardingobjecttypecode"
    assert len(column.targets) == 16
    for target in column.targets:
        relationship = table.by_navigation[f"regardingobjectid_{target}"]
        assert relationship.name.lower() == f"{target}_asyncoperations"
        assert load().table(target).by_collection[relationship.name] is relationship
    assert table.by_navigation["regardingobjectid_phonecall"].name == "PhoneCall_AsyncOperations"
    assert table.by_navigation["regardingobjectid_task"].referenced_column == "activityid"


def test_the_relationship_to_a_jobs_file_is_found_from_both_ends() -> None:
    relationship = load().table("asyncoperation").by_navigation["datablobid"]
    assert (relationship.name, relationship.referenced) == (
        "FileAttachment_AsyncOperation_DataBlobId",
        "fileattachment",
    )
    assert load().table("fileattachment").by_collection[relationship.name] is relationship
    assert load().table("asyncoperation").by_collection["asyncoperation_FileAttachments"].name


def test_teams_and_users_are_joined_by_their_intersect_table() -> None:
    for side in ("team", "systemuser"):
        found = load().table(side).by_collection["teammembership_association"]
        assert isinstance(found, ManyToMany)
        assert {(found.table1, found.column1), (found.table2, found.column2)} == {
            ("systemuser", "systemuserid"),
            ("team", "teamid"),
        }
    assert load().table("teammembership").is_intersect


def test_every_lookup_has_a_relationship_for_every_target() -> None:
    catalog = load()
    for table in catalog.tables.values():
        led_to = {(found.column, found.referenced) for found in table.many_to_one}
        for column in table.columns.values():
            for target in column.targets:
                assert (column.logical, target) in led_to, (table.logical, column.logical, target)
                assert target in catalog.tables


def test_names_are_lower_case_identifiers_because_sql_text_is_made_of_them() -> None:
    for table in load().tables.values():
        for name in (table.logical, table.entityset, *table.columns):
            assert re.fullmatch(r"[a-z][a-z0-9_]{0,62}", name), (table.logical, name)
        for column in table.columns.values():
            assert column.schema.lower() == column.logical, (table.logical, column.schema)


def test_user_owned_tables_have_all_owner_columns() -> None:
    for table in load().tables.values():
        if table.user_owned:
            assert table.columns["ownerid"].type is ColumnType.OWNER
            assert table.columns["ownerid"].type_column == "owneridtype"
            assert table.columns.keys() >= {"owningbusinessunit", "owninguser", "owningteam"}


def test_a_bind_finds_its_lookup_by_navigation_property_and_an_owner_by_its_own_name() -> None:
    contact = load().table("contact")
    found = {name: contact.bound(name) for name in ("parentcustomerid_account", "ownerid", "owningteam")}
    assert {name: column.logical for name, column in found.items() if column} == {
        "parentcustomerid_account": "parentcustomerid",
        "ownerid": "ownerid",
        "owningteam": "owningteam",
    }
    assert contact.bound("fullname") is None
    assert contact.bound("nothing") is None


def test_an_unknown_table_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(errors.UnknownResource, match="Did you mean 'asyncoperation'") as refused:
        load().table("asyncoperations")
    assert refused.value.code == 0x80041102


def test_loading_is_quick_and_done_once() -> None:
    """Every process start pays for it; ten times the budget of 50 ms, because tests share their machine."""
    load.cache_clear()
    before = time.process_time()
    first = load()
    assert time.process_time() - before < 0.5
    assert load() is first


def _broken(monkeypatch: pytest.MonkeyPatch, table: str, change: Any) -> None:
    documents = msgspec.json.decode(msgspec.json.encode(dict(reading._files())))
    change(documents[table])
    monkeypatch.setattr(reading, "shipped", lambda: documents)


def _without_choice(document: Any) -> None:
    del document["choices"]["statuscode"]


def _astray(document: Any) -> None:
    next(column for column in document["columns"] if column["name"] == "createdby")["targets"] = ["nobody"]


def _stateless(document: Any) -> None:
    document["choices"]["statuscode"][0]["state"] = 9


def _without_default(document: Any) -> None:
    document["choices"]["statecode"][1]["default_status"] = 1


def _twice(document: Any) -> None:
    document["columns"].append(document["columns"][3])


def _same_code(document: Any) -> None:
    document["table"]["object_type_code"] = 1


def _same_name(document: Any) -> None:
    document["relationships"][1]["name"] = document["relationships"][0]["name"]
    document["relationships"][1]["references"] = document["relationships"][0]["references"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without_choice, r"contact\.json: column 'statuscode' has no choice"),
        (_astray, r"contact\.json: lookup 'createdby' leads to 'nobody'"),
        (_stateless, r"contact\.json: status 1 belongs to state 9"),
        (_without_default, r"contact\.json: state 1 has no default status"),
        (_twice, r"contact\.json: column 'fullname' stands there twice"),
        (_same_code, "share an object type code"),
        (_same_name, r"\w+\.json: two relationships of this table share a name"),
    ],
)
def test_files_that_do_not_fit_together_are_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, change: Any, message: str
) -> None:
    _broken(monkeypatch, "contact", change)
    with pytest.raises(MetadataError, match=message):
        load.__wrapped__()
