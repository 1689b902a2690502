"""EntityDefinitions, RelationshipDefinitions: the metadata over HTTP, as clients read it before they begin."""

from __future__ import annotations

import httpx
import pytest

from adjourn.metadata.catalog import load

ACCOUNT = "EntityDefinitions(LogicalName='account')"
JOB = "EntityDefinitions(LogicalName='asyncoperation')"


def values(http: httpx.Client, path: str) -> list[dict[str, object]]:
    answer = http.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()["value"]


def refused(http: httpx.Client, path: str, status: int, text: str) -> None:
    answer = http.get(path)
    assert (answer.status_code, text in answer.json()["error"]["message"]) == (status, True), answer.text


def test_every_table_and_column_is_there(http: httpx.Client) -> None:
    tables = values(http, "EntityDefinitions")
    assert {table["LogicalName"] for table in tables} == set(load().tables)
    columns = values(http, f"{JOB}/Attributes?$select=LogicalName,AttributeType")
    wanted = {column.logical for column in load().tables["asyncoperation"].columns.values() if column.readable}
    assert {column["LogicalName"] for column in columns} == wanted
    assert all(set(column) == {"@odata.type", "MetadataId", "LogicalName", "AttributeType"} for column in columns)


def test_a_column_is_addressed_by_name_and_by_id(http: httpx.Client) -> None:
    by_name = http.get(f"{ACCOUNT}/Attributes(LogicalName='name')").json()
    assert by_name["@odata.type"] == "#Microsoft.Dynamics.CRM.StringAttributeMetadata"
    assert (by_name["SchemaName"], by_name["MaxLength"], by_name["IsPrimaryName"]) == ("Name", 160, True)
    assert http.get(f"{ACCOUNT}/Attributes({by_name['MetadataId']})").json()["LogicalName"] == "name"
    cast = f"{ACCOUNT}/Attributes(LogicalName='name')/Microsoft.Dynamics.CRM.StringAttributeMetadata"
    assert http.get(cast).json()["MaxLength"] == 160


def test_choices_come_with_their_options(http: httpx.Client) -> None:
    cast = "Microsoft.Dynamics.CRM.StatusAttributeMetadata"
    (status,) = values(http, f"{JOB}/Attributes/{cast}?$select=LogicalName&$expand=OptionSet,GlobalOptionSet")
    options = {option["Value"]: option for option in status["OptionSet"]["Options"]}  # type: ignore[index]
    assert sorted(options) == [0, 10, 20, 21, 22, 30, 31, 32]
    assert (options[22]["State"], options[22]["Label"]["UserLocalizedLabel"]["Label"]) == (2, "Canceling")
    assert status["GlobalOptionSet"] is None
    path = f"{JOB}/Attributes(LogicalName='statecode')/Microsoft.Dynamics.CRM.StateAttributeMetadata/OptionSet"
    assert [option["DefaultStatus"] for option in http.get(path).json()["Options"]] == [0, 10, 20, 30]
    cast = "Microsoft.Dynamics.CRM.BooleanAttributeMetadata"
    found = values(http, f"{JOB}/Attributes/{cast}?$select=LogicalName&$expand=OptionSet($select=TrueOption)")
    assert all(column["OptionSet"]["TrueOption"]["Value"] == 1 for column in found)  # type: ignore[index]


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("LogicalName eq 'account'", {"account"}),
        ("LogicalName eq 'ACCOUNT' or SchemaName eq 'Contact'", {"account", "contact"}),
        ("startswith(LogicalName,'acc') and not (IsActivity eq true)", {"account"}),
        ("contains(EntitySetName,'pluginassembl')", {"pluginassembly"}),
        ("LogicalName in ('task','fax','nothing')", {"task", "fax"}),
        ("ObjectTypeCode ge 1 and ObjectTypeCode le 2", {"account", "contact"}),
        ("OwnershipType eq Microsoft.Dynamics.CRM.OwnershipTypes'UserOwned' and endswith(LogicalName,'nt')", None),
        ("IsCustomizable/Value eq true and IsActivity eq false", {"account", "contact", "contract"}),
        ("PrimaryNameAttribute eq null and LogicalName eq 'teammembership'", {"teammembership"}),
    ],
)
def test_a_filter_chooses_tables(http: httpx.Client, question: str, expected: set[str] | None) -> None:
    found = {
        table["LogicalName"] for table in values(http, f"EntityDefinitions?$select=LogicalName&$filter={question}")
    }
    if expected is None:
        tables = load().tables.values()
        expected = {t.logical for t in tables if t.ownership == "UserOwned" and t.logical.endswith("nt")}
        assert expected
    assert found == expected


def test_relationships_are_the_same_from_both_ends(http: httpx.Client) -> None:
    outgoing = values(http, f"{JOB}/ManyToOneRelationships?$filter=ReferencedEntity eq 'account'")
    incoming = values(http, f"{ACCOUNT}/OneToManyRelationships?$filter=ReferencingEntity eq 'asyncoperation'")
    assert outgoing == incoming
    (one,) = incoming
    assert one["SchemaName"] == "Account_AsyncOperations"
    assert one["ReferencingEntityNavigationPropertyName"] == "regardingobjectid_account"
    named = http.get(f"RelationshipDefinitions(SchemaName='{one['SchemaName']}')").json()
    assert named["MetadataId"] == one["MetadataId"]
    joined = values(http, "EntityDefinitions(LogicalName='team')/ManyToManyRelationships")
    assert [found["IntersectEntityName"] for found in joined] == ["teammembership", "teamroles"]
    cast = "RelationshipDefinitions/Microsoft.Dynamics.CRM.ManyToManyRelationshipMetadata?$select=SchemaName"
    assert joined[0]["SchemaName"] in {found["SchemaName"] for found in values(http, cast)}


def test_a_table_comes_with_its_columns_when_they_are_expanded(http: httpx.Client) -> None:
    path = f"{ACCOUNT}?$select=LogicalName&$expand=Attributes($select=LogicalName;$filter=IsPrimaryId eq true),Keys"
    found = http.get(path).json()
    assert [column["LogicalName"] for column in found["Attributes"]] == ["accountid"]
    assert found["Keys"] == []
    assert http.get(f"{ACCOUNT}/DisplayName").json()["UserLocalizedLabel"]["Label"] == "Account"


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("EntityDefinitions(LogicalName='acount')", 404, "Did you mean 'account'?"),
        (f"{ACCOUNT}/Attribute", 404, "Did you mean 'Attributes'?"),
        (f"{ACCOUNT}/Attributes(LogicalName='nam')", 404, "Did you mean 'name'?"),
        (f"{ACCOUNT}/Attributes(LogicalName='name')/Microsoft.Dynamics.CRM.MemoAttributeMetadata", 404, "is no Memo"),
        ("EntityDefinitions?$select=LogicaName", 400, "Did you mean 'LogicalName'?"),
        ("EntityDefinitions?$top=3", 400, "$top"),
        ("EntityDefinitions?$filter=LogicalName equals 'a'", 400, "position 12"),
        ("EntityDefinitions?$filter=Nme eq 'a'", 400, "'Nme'"),
        ("EntityDefinitions?$filter=LogicalName eq", 400, "a literal"),
        ("EntityDefinitions?$filter=" + "(" * 200, 400, "nested"),
        ("EntityDefinitions?$expand=Attribute", 400, "Did you mean 'Attributes'?"),
        ("EntityDefinitions(Nonsense='x')", 400, "LogicalName='<name>'"),
        ("RelationshipDefinitions(SchemaName='nothing')", 404, "nothing"),
        ("GlobalOptionSetDefinitions(Name='nothing')", 404, "nothing"),
        (f"{ACCOUNT}/Attributes/Extra", 404, "Extra"),
    ],
)
def test_what_is_not_there_is_refused_by_name(http: httpx.Client, path: str, status: int, text: str) -> None:
    refused(http, path, status, text)
