"""Tables, columns, relationships and keys that callers make over HTTP, and all languages on them at once. On both stores."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest

from adjourn.service import Service

from .conftest import Start, created, error_of

TYPE = "Microsoft.Dynamics.CRM."
PROJECT = "EntityDefinitions(LogicalName='new_project')"
JOBS = "EntityDefinitions(LogicalName='asyncoperation')"
SYSTEM = ("0x80040315", "part of the system")


def label(text: str) -> dict[str, Any]:
    return {"LocalizedLabels": [{"Label": text, "LanguageCode": 1033}]}


def attribute(kind: str, schema: str, **more: Any) -> dict[str, Any]:
    return {"@odata.type": f"{TYPE}{kind}AttributeMetadata", "SchemaName": schema, "DisplayName": label(schema), **more}


def table(schema: str = "new_Project", *columns: dict[str, Any], **more: Any) -> dict[str, Any]:
    name = attribute("String", "new_Name", MaxLength=50, IsPrimaryName=True)
    texts = {"DisplayName": label(schema), "DisplayCollectionName": label(f"{schema}s")}
    return {"SchemaName": schema, **texts, "OwnershipType": "UserOwned", "Attributes": [name, *columns], **more}


COLUMNS = (
    attribute("Decimal", "new_Budget", Precision=2),
    attribute("DateTime", "new_Due", DateTimeBehavior={"Value": "DateOnly"}),
    attribute("Boolean", "new_Done"),
    attribute(
        "Picklist",
        "new_Phase",
        OptionSet={
            "IsGlobal": False,
            "Options": [{"Value": 1, "Label": label("Plan")}, {"Value": 2, "Label": label("Build")}],
        },
    ),
)


@pytest.fixture
def project(http: httpx.Client) -> httpx.Client:
    assert http.post("EntityDefinitions", json=table("new_Project", *COLUMNS)).status_code == 204
    return http


def fetched(http: httpx.Client, text: str, entityset: str = "new_projects") -> list[dict[str, Any]]:
    answer = http.get(entityset, params={"fetchXml": text})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["value"]
    return found


def test_a_table_is_usable_in_every_language_at_once(project: httpx.Client) -> None:
    body = {"new_name": "P", "new_budget": 12.5, "new_due": "2031-05-01", "new_done": True, "new_phase": 2}
    address = created(project, "new_projects", body)
    row = project.get(address, headers={"Prefer": 'odata.include-annotations="*"'}).json()
    assert {name: row[name] for name in body} == body
    assert row["new_phase@OData.Community.Display.V1.FormattedValue"] == "Build"
    assert (row["statecode"], row["_ownerid_value"]) == (0, row["_createdby_value"])
    assert (
        project.get("new_projects?$filter=new_budget gt 12 and new_due eq 2031-05-01&$count=true").json()[
            "@odata.count"
        ]
        == 1
    )
    condition = "<filter><condition attribute='new_phase' operator='eq' value='2'/></filter>"
    rows = fetched(
        project, f"<fetch><entity name='new_project'><attribute name='new_name'/>{condition}</entity></fetch>"
    )
    assert [row["new_name"] for row in rows] == ["P"]
    document = project.get("$metadata").text
    assert '<EntityType Name="new_project"' in document
    assert 'Name="new_Project_AsyncOperations"' in document
    assert project.get(f"{address}/new_Project_AsyncOperations").json()["value"] == []
    assert project.delete(address).status_code == 204


def test_its_metadata_is_what_was_sent(project: httpx.Client) -> None:
    found = project.get(PROJECT).json()
    assert (found["SchemaName"], found["EntitySetName"], found["IsCustomEntity"]) == (
        "new_Project",
        "new_projects",
        True,
    )
    assert found["DisplayName"]["UserLocalizedLabel"]["Label"] == "new_Project"
    budget = project.get(f"{PROJECT}/Attributes(LogicalName='new_budget')").json()
    assert (budget["Precision"], budget["MaxValue"], budget["IsCustomAttribute"]) == (2, 100_000_000_000, True)
    phase = project.get(
        f"{PROJECT}/Attributes(LogicalName='new_phase')/{TYPE}PicklistAttributeMetadata?$expand=OptionSet"
    ).json()
    assert [option["Value"] for option in phase["OptionSet"]["Options"]] == [1, 2]


def test_columns_come_and_change_and_go(project: httpx.Client) -> None:
    address = created(project, "new_projects", {"new_name": "P", "new_budget": 12.55})
    answer = project.post(f"{PROJECT}/Attributes", json=attribute("Memo", "new_Note", MaxLength=10))
    assert answer.status_code == 204
    assert "/Attributes(" in answer.headers["OData-EntityId"]
    assert error_of(project.patch(address, json={"new_note": "x" * 11}))[:2] == (400, "0x80044331")
    changed = attribute("Memo", "new_Note", MaxLength=20)
    assert project.put(f"{PROJECT}/Attributes(LogicalName='new_note')", json=changed).status_code == 204
    assert project.patch(address, json={"new_note": "x" * 11}).status_code == 204
    finer = attribute("Decimal", "new_Budget", Precision=4)
    assert project.put(f"{PROJECT}/Attributes(LogicalName='new_budget')", json=finer).status_code == 204
    assert project.get(address).json()["new_budget"] == 12.55
    coarser = attribute("Decimal", "new_Budget", Precision=1)
    assert project.put(f"{PROJECT}/Attributes(LogicalName='new_budget')", json=coarser).status_code == 204
    assert project.get(address).json()["new_budget"] == 12.6
    assert project.delete(f"{PROJECT}/Attributes(LogicalName='new_note')").status_code == 204
    assert "new_note" not in project.get(address).json()
    assert error_of(project.get(f"{address}?$select=new_note"))[:2] == (400, "0x0")


def test_what_an_update_does_not_say_stays(project: httpx.Client) -> None:
    sparse = {"@odata.type": f"{TYPE}StringAttributeMetadata", "DisplayName": label("Title")}
    assert project.put(f"{PROJECT}/Attributes(LogicalName='new_name')", json=sparse).status_code == 204
    found = project.get(f"{PROJECT}/Attributes(LogicalName='new_name')").json()
    assert (found["MaxLength"], found["DisplayName"]["UserLocalizedLabel"]["Label"]) == (50, "Title")


def test_labels_are_never_read_as_sql(project: httpx.Client) -> None:
    text = "100% :now 'q' \\ $$ -- \" %s"
    option = {"Value": 1, "Label": label(text)}
    column = attribute("Picklist", "new_Odd", OptionSet={"Options": [option]})
    assert project.post(f"{PROJECT}/Attributes", json=column).status_code == 204
    created(project, "new_projects", {"new_name": "P", "new_odd": 1})
    names = "<attribute name='new_oddname'/><order attribute='new_oddname'/>"
    assert fetched(project, f"<fetch><entity name='new_project'>{names}</entity></fetch>")[0]["new_oddname"] == text


def test_a_business_table_that_ships_takes_columns_too(http: httpx.Client, account: str) -> None:
    http.post("EntityDefinitions(LogicalName='account')/Attributes", json=attribute("Integer", "new_Score"))
    assert http.patch(account, json={"new_score": 7}).status_code == 204
    assert http.get("accounts?$filter=new_score eq 7&$select=new_score").json()["value"][0]["new_score"] == 7
    assert (
        http.delete("EntityDefinitions(LogicalName='account')/Attributes(LogicalName='new_score')").status_code == 204
    )


def test_a_lookup_comes_with_its_relationship(project: httpx.Client, account: str) -> None:
    relationship = {
        "@odata.type": f"{TYPE}OneToManyRelationshipMetadata",
        "SchemaName": "new_account_projects",
        "ReferencedEntity": "account",
        "ReferencingEntity": "new_project",
        "CascadeConfiguration": {"Delete": "Cascade"},
        "Lookup": attribute("Lookup", "new_AccountId"),
    }
    answer = project.post("RelationshipDefinitions", json=relationship)
    assert answer.status_code == 204
    definition = answer.headers["OData-EntityId"].removeprefix(str(project.base_url))
    address = created(project, "new_projects", {"new_name": "P", "new_AccountId@odata.bind": f"/{account}"})
    assert project.get(f"{address}?$expand=new_AccountId($select=name)").json()["new_AccountId"]["name"] == "Contoso"
    assert len(project.get(f"{account}/new_account_projects").json()["value"]) == 1
    link = "<link-entity name='account' from='accountid' to='new_accountid' alias='a'><attribute name='name'/></link-entity>"
    assert fetched(project, f"<fetch><entity name='new_project'>{link}</entity></fetch>")[0]["a.name"] == "Contoso"
    assert project.delete(account).status_code == 204
    assert project.get(address).status_code == 404
    assert project.delete(definition).status_code == 204
    assert error_of(project.get("new_projects?$select=_new_accountid_value"))[0] == 400


def test_many_to_many(project: httpx.Client, account: str) -> None:
    relationship = {
        "@odata.type": f"{TYPE}ManyToManyRelationshipMetadata",
        "SchemaName": "new_project_account",
        "Entity1LogicalName": "new_project",
        "Entity2LogicalName": "account",
        "IntersectEntityName": "new_project_account",
    }
    assert project.post("RelationshipDefinitions", json=relationship).status_code == 204
    address = created(project, "new_projects", {"new_name": "P"})
    reference = {"@odata.id": f"{project.base_url}{account}"}
    assert project.post(f"{address}/new_project_account/$ref", json=reference).status_code == 204
    assert [row["name"] for row in project.get(f"{address}/new_project_account").json()["value"]] == ["Contoso"]
    assert project.delete("RelationshipDefinitions(SchemaName='new_project_account')").status_code == 204
    assert project.get(f"{address}/new_project_account").status_code == 404


def test_a_key_keeps_its_values_apart(project: httpx.Client) -> None:
    key = {"SchemaName": "new_ByName", "KeyAttributes": ["new_name"], "DisplayName": label("By name")}
    for _ in range(2):
        created(project, "new_projects", {"new_name": "same"})
    status, code, text = error_of(project.post(f"{PROJECT}/Keys", json=key))
    assert (status, code) == (412, "0x80060892")
    assert "2 records" in text
    first = project.get("new_projects?$select=new_projectid").json()["value"][0]["new_projectid"]
    project.delete(f"new_projects({first})")
    answer = project.post(f"{PROJECT}/Keys", json=key)
    assert answer.status_code == 204
    assert project.post("new_projects", json={"new_name": "SAME"}).status_code == 412
    (found,) = project.get(f"{PROJECT}/Keys").json()["value"]
    assert (found["KeyAttributes"], found["EntityKeyIndexStatus"]) == (["new_name"], "Active")
    status, code, _ = error_of(project.delete(f"{PROJECT}/Attributes(LogicalName='new_name')"))
    assert (status, code) == (400, "0x80040203")
    assert project.delete(f"{PROJECT}/Keys({found['MetadataId']})").status_code == 204
    created(project, "new_projects", {"new_name": "same"})


def test_a_table_goes_with_all_its_records(project: httpx.Client) -> None:
    created(project, "new_projects", {"new_name": "P"})
    assert project.delete(PROJECT).status_code == 204
    assert project.get("new_projects").status_code == 404
    assert project.get(PROJECT).status_code == 404
    assert project.post("EntityDefinitions", json=table()).status_code == 204
    assert project.get("new_projects").json()["value"] == []


def test_create_entities_is_all_or_nothing(http: httpx.Client) -> None:
    answer = http.post("CreateEntities", json={"Entities": [table("new_One"), table("new_Two"), table("bad name")]})
    assert error_of(answer)[:2] == (400, "0x8004023a")
    assert http.get("new_ones").status_code == 404
    assert http.post("CreateEntities", json={"Entities": [table("new_One"), table("new_Two")]}).status_code == 204
    assert http.get("new_ones").status_code == http.get("new_twos").status_code == 200


def test_typed_metadata_in_one_request(project: httpx.Client) -> None:
    def named(value: str) -> dict[str, Any]:
        return {
            "Conditions": [{"PropertyName": "LogicalName", "ConditionOperator": "Equals", "Value": {"Value": value}}]
        }

    import json

    query = {
        "Properties": {"PropertyNames": ["LogicalName", "Attributes"]},
        "Criteria": named("new_project"),
        "AttributeQuery": {
            "Properties": {"PropertyNames": ["LogicalName", "MaxLength", "Precision"]},
            "Criteria": named("new_name"),
        },
    }
    answer = project.get("RetrieveMetadataChanges(Query=@p1)", params={"@p1": json.dumps(query)})
    assert answer.status_code == 200, answer.text
    (found,) = answer.json()["EntityMetadata"]
    assert [(one["LogicalName"], one["MaxLength"]) for one in found["Attributes"]] == [("new_name", 50)]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code", "text"),
    [
        ("POST", "EntityDefinitions", table("Project"), 400, "0x8004023a", "prefix"),
        ("POST", "EntityDefinitions", table("new_Project"), 400, "0x8004023a", "already exists"),
        ("POST", "EntityDefinitions", {**table("new_X"), "DisplayNme": 1}, 400, "0x0", "DisplayName"),
        ("POST", "EntityDefinitions", {**table("new_X"), "Attributes": []}, 400, "0x8004023a", "IsPrimaryName"),
        ("POST", "EntityDefinitions", table("new_X", EntitySetName="a/b"), 400, "0x8004023a", "prefix"),
        ("POST", "EntityDefinitions", table("new_X", EntitySetName=["a"]), 400, "0x8004023a", "prefix"),
        ("POST", "EntityDefinitions", table("new_X", Description=label("nul\x00")), 400, "0x8004023a", "control"),
        ("POST", "EntityDefinitions", table("new_X", Description=label("x" * 3000)), 400, "0x8004023a", "2,000"),
        ("POST", "EntityDefinitions", table("new_X", OwnershipType="TeamOwned"), 400, "0x80040203", "UserOwned"),
        ("POST", f"{PROJECT}/Attributes", attribute("Strin", "new_X"), 400, "0x80040315", "String"),
        ("POST", f"{PROJECT}/Attributes", attribute("String", "new_X", MaxLength=5000), 400, "0x80040203", "4,000"),
        ("POST", f"{PROJECT}/Attributes", attribute("String", "new_X", MaxLenght=50), 400, "0x0", "MaxLength"),
        ("POST", f"{PROJECT}/Attributes", attribute("Lookup", "new_X"), 400, "0x8004023a", "RelationshipDefinitions"),
        ("POST", f"{PROJECT}/Attributes", attribute("Picklist", "new_X"), 400, "0x80040203", "options"),
        ("POST", f"{PROJECT}/Attributes", attribute("String", 'new_X" TEXT); --'), 400, "0x8004023a", "prefix"),
        ("POST", f"{JOBS}/Attributes", attribute("String", "new_X"), 400, *SYSTEM),
        ("POST", f"{JOBS}/Keys", {"SchemaName": "new_K", "KeyAttributes": ["name"]}, 400, *SYSTEM),
        ("DELETE", "EntityDefinitions(LogicalName='account')", None, 400, *SYSTEM),
        ("DELETE", "EntityDefinitions(LogicalName='account')/Attributes(LogicalName='name')", None, 400, *SYSTEM),
        ("DELETE", "EntityDefinitions(LogicalName='new_projec')", None, 404, "0x80060888", "new_project"),
        ("DELETE", "RelationshipDefinitions(SchemaName='account_primary_contact')", None, 400, "0x80040315", "account_primary_contact"),
        ("PATCH", PROJECT, {}, 405, "0x0", "PATCH"),
        ("POST", f"{PROJECT}/Keys", {"SchemaName": "new_K", "KeyAttributes": ["new_nam"]}, 400, "0x80040203", "new_name"),
        ("POST", f"{PROJECT}/Keys", {"SchemaName": "new_K", "KeyAttributes": ["new_done"]}, 400, "0x8004023a", "Boolean"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_name_and_changes_nothing(
    project: httpx.Client, method: str, path: str, body: Any, status: int, code: str, text: str
) -> None:
    before = project.get("EntityDefinitions?$expand=Attributes,Keys").text
    found = error_of(project.request(method, path, json=body))
    assert found[:2] == (status, code), found
    assert text in found[2]
    assert project.get("EntityDefinitions?$expand=Attributes,Keys").text == before


def test_another_process_knows_at_once(project: httpx.Client, service: Service, serve: Start) -> None:
    """Whoever opens the database afterwards, and whoever writes into a table that changed meanwhile."""
    other = Service(service.store)
    second = serve(other)
    address = created(second, "new_projects", {"new_name": "P"})
    project.delete(f"{PROJECT}/Attributes(LogicalName='new_budget')")
    assert second.patch(address, json={"new_name": "Q"}).status_code == 204
    assert error_of(second.patch(address, json={"new_budget": 1}))[:2] == (400, "0x0")
    assert second.get(f"new_projects({uuid4()})").status_code == 404


def test_what_was_made_is_answered_when_the_client_prefers_so(http: httpx.Client) -> None:
    prefer = {"Prefer": "return=representation"}
    made = http.post("EntityDefinitions", json=table(), headers=prefer)
    assert (made.status_code, made.headers["Preference-Applied"]) == (201, "return=representation")
    assert made.json()["LogicalName"] == "new_project"
    column = http.post(f"{PROJECT}/Attributes", json=attribute("Integer", "new_Size"), headers=prefer)
    assert (column.status_code, column.json()["SchemaName"]) == (201, "new_Size")
    changed = http.put(PROJECT, json={"DisplayName": label("Venture")}, headers=prefer)
    assert (changed.status_code, changed.json()["DisplayName"]["UserLocalizedLabel"]["Label"]) == (200, "Venture")
    assert changed.json().items() == http.get(PROJECT).json().items()


def test_what_is_read_can_be_put_back(project: httpx.Client) -> None:
    """The way in which clients change a definition: all of it, with one thing altered."""
    assert project.put(PROJECT, json=project.get(PROJECT).json()).status_code == 204
    for column in project.get(f"{PROJECT}/Attributes").json()["value"]:
        if column["IsCustomAttribute"] and column["AttributeOf"] is None:
            address = f"{PROJECT}/Attributes(LogicalName='{column['LogicalName']}')"
            answer = project.put(address, json=column)
            assert answer.status_code == 204, answer.text
