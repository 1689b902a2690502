"""`$metadata` is correct CSDL, by the standard's schema and rules, and true: what it names is answered, and as it says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from lxml import etree
from tests.acceptance.webapi.conftest import created, error_of
from tests.acceptance.webapi.test_customizing import COLUMNS, PROJECT, TYPE, attribute, label, table
from tests.support.csdl_rules import EDM, Model, mistakes

from adjourn import config
from adjourn.service import Service
from adjourn.webapi import bound, operations, signatures

EXPANDS_AT_ONCE = 15


@pytest.fixture
def service(service: Service) -> Service:
    service.register("tests.acceptance.webapi.plugins")
    return service


@pytest.fixture
def customized(http: httpx.Client) -> httpx.Client:
    """An organization with a table of its own that uses everything: columns of each kind, relationships, a key."""
    columns = (
        *COLUMNS,
        attribute("Memo", "new_Text", MaxLength=2000, Description=label("Any text")),
        attribute("Integer", "new_Count", MinValue=0, MaxValue=9),
        attribute("Double", "new_Ratio", Precision=3),
        attribute("Money", "new_Price", Precision=4),
    )
    lookup = {
        "@odata.type": f"{TYPE}OneToManyRelationshipMetadata",
        "SchemaName": "new_account_projects",
        "ReferencedEntity": "account",
        "ReferencingEntity": "new_project",
        "Lookup": attribute("Lookup", "new_AccountId"),
    }
    joined = {
        "@odata.type": f"{TYPE}ManyToManyRelationshipMetadata",
        "SchemaName": "new_project_contact",
        "Entity1LogicalName": "new_project",
        "Entity2LogicalName": "contact",
        "IntersectEntityName": "new_project_contact",
    }
    key = {"SchemaName": "new_ByName", "KeyAttributes": ["new_name", "new_accountid"], "DisplayName": label("By name")}
    for path, body in (
        ("EntityDefinitions", table("new_Project", *columns, HasActivities=True)),
        ("EntityDefinitions(LogicalName='account')/Attributes", attribute("Integer", "new_Score")),
        ("RelationshipDefinitions", lookup),
        ("RelationshipDefinitions", joined),
        (f"{PROJECT}/Keys", key),
    ):
        answer = http.post(path, json=body)
        assert answer.status_code == 204, answer.text
    return http


def model(http: httpx.Client, options: str = "") -> Model:
    answer = http.get(f"$metadata{options}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/xml"
    return Model(etree.fromstring(answer.content))


@pytest.mark.parametrize("options", ["", "?annotations=true"])
def test_the_document_is_valid_and_its_names_resolve(customized: httpx.Client, options: str) -> None:
    assert mistakes(customized.get(f"$metadata{options}").content) == []


def test_the_document_stays_valid_when_things_are_deleted(customized: httpx.Client) -> None:
    for path in (
        "RelationshipDefinitions(SchemaName='new_account_projects')",
        f"{PROJECT}/Attributes(LogicalName='new_due')",
        PROJECT,
    ):
        if "new_account_projects" in path:
            assert customized.delete(f"{PROJECT}/Keys(LogicalName='new_byname')").status_code == 204
        assert customized.delete(path).status_code == 204
        document = customized.get("$metadata").content
        assert mistakes(document) == []
    assert b"new_project" not in document
    assert b"new_score" in document


def test_the_validator_finds_what_is_wrong(http: httpx.Client) -> None:
    """Each rule on a document that breaks it."""
    text = http.get("$metadata").text
    for wrong, right, reason in (
        ('Type="mscrm.contact"', 'Type="mscrm.conact"', "is no entity type"),
        ('Partner="account_primary_contact"', 'Partner="Contact_Tasks"', "leads to"),
        ('Name="accountid" Type="Edm.Guid" Nullable="false"', 'Name="accountid" Type="Edm.Guid"', "not nullable"),
        ('Target="contacts"', 'Target="accounts"', "leads to accounts"),
        ('Name="telephone1"', 'Name="fax"', "stands for 2 things"),
        ('Include Namespace="Org.OData.Core.V1"', 'Include Namespace="Org.OData.Capabilities.V1"', "vocabulary"),
        ('Action="mscrm.greet"', 'Action="mscrm.great"', "there is no Action"),
        ('ReferencedProperty="contactid"', 'ReferencedProperty="contactno"', "referential constraint"),
        ("<ReturnType", "<Returns", "not expected"),
    ):
        assert wrong in text
        assert any(reason in found for found in mistakes(text.replace(wrong, right, 1).encode())), reason


def test_annotations_come_when_asked_for(customized: httpx.Client) -> None:
    plain, annotated = customized.get("$metadata").text, customized.get("$metadata?annotations=true").text
    assert "Org.OData.Core.V1.Description" not in plain
    assert 'Term="Org.OData.Core.V1.Computed" Bool="true"' in plain
    assert "Org.OData.Core.V1.PermissionType/Read" in annotated
    assert 'Term="Org.OData.Core.V1.Description" String="Any text"' in annotated
    asked = customized.get("$metadata", headers={"Prefer": 'odata.include-annotations="*"'}).text
    assert asked == annotated
    assert error_of(customized.get("$metadata?$select=x"))[:2] == (400, "0x80040203")


def test_alternate_keys_are_annotated_with_the_names_that_addresses_use(customized: httpx.Client) -> None:
    project = model(customized).types[f"{TYPE}new_project"]
    found = project.findall(f"{EDM}Annotation[@Term='OData.Community.Keys.V1.AlternateKeys']//{EDM}PropertyValue")
    assert [value.get("String") for value in found if value.get("Property") == "Alias"] == [
        "new_name",
        "_new_accountid_value",
    ]


def test_everything_that_can_be_called_is_declared(http: httpx.Client, service: Service) -> None:
    declared = {found.name: found for found in signatures.declared(service)}
    assert {*operations.names(service), *bound.messages(service)} == set(declared)
    document = model(http)
    assert {f"{TYPE}{name}" for name in declared} == set(document.operations)
    imports = {
        found.get("Name") for kind in ("Action", "Function") for found in document.root.iter(f"{EDM}{kind}Import")
    }
    assert imports == {name for name, found in declared.items() if not found.bound}
    job = http.post("ExecuteAsync", json={"MessageName": "WhoAmI"}).json()["AsyncJobId"]
    team = http.get("teams?$select=teamid").json()["value"][0]["teamid"]
    called = {
        "RetrieveCurrentOrganization": f"(AccessType={TYPE}EndpointAccessType'Default')",
        "RetrieveTotalRecordCount": '(EntityNames=@p)?@p=["account"]',
        "RetrieveRolePrivilegesRole": f"(RoleId={config.ADMIN_ROLE_ID})",
        "ExplainSystemJob": f"(AsyncJobId={job})",
    }
    on = {
        "RetrieveUserPrivileges": f"systemusers({config.ADMIN_USER_ID})/{TYPE}",
        "RetrieveTeamPrivileges": f"teams({team})/{TYPE}",
    }
    for name, found in declared.items():
        if found.function:
            answer = http.get(f"{on.get(name, '')}{name}{called.get(name, '()')}").json()
            assert "error" not in answer, answer
            promised = document.members(f"{TYPE}{name}Response", "Property") | document.members(
                f"{TYPE}{name}Response", "NavigationProperty"
            )
            assert set(promised) == {key for key in answer if not key.startswith("@")}


def test_the_service_document_and_the_container_list_the_same_sets(customized: httpx.Client) -> None:
    listed = {found["name"] for found in customized.get("").json()["value"]}
    document = model(customized)
    assert listed == set(document.sets)
    tables = {found["EntitySetName"]: found for found in customized.get("EntityDefinitions").json()["value"]}
    assert listed == {*tables, "EntityDefinitions", "RelationshipDefinitions", "GlobalOptionSetDefinitions"}
    for name, found in tables.items():
        kind = document.full(document.sets[name].get("EntityType"))
        assert kind == f"{TYPE}{found['LogicalName']}"
        assert document.key(kind) == [found["PrimaryIdAttribute"]]


def test_definitions_agree_with_the_types_that_are_declared_for_them(customized: httpx.Client) -> None:
    """Over every table: each property of each document is declared, and holds a value of its type."""
    document = model(customized)
    cast = f"Attributes/{TYPE}"
    choices = [
        f"{cast}{kind}AttributeMetadata?$expand=OptionSet,GlobalOptionSet"
        for kind in ("Picklist", "State", "Status", "Boolean")
    ]
    for found in customized.get("EntityDefinitions").json()["value"]:
        address = f"EntityDefinitions(LogicalName='{found['LogicalName']}')"
        whole = customized.get(
            f"{address}?$expand=Attributes,Keys,OneToManyRelationships,ManyToOneRelationships,ManyToManyRelationships"
        )
        assert list(wrong(document, whole.json(), f"{TYPE}EntityMetadata")) == []
        for choice in choices:
            kind = choice.partition("?")[0].removeprefix("Attributes/")
            for column in customized.get(f"{address}/{choice}").json()["value"]:
                assert list(wrong(document, column, kind)) == []
    for relationship in customized.get("RelationshipDefinitions").json()["value"]:
        assert list(wrong(document, relationship, f"{TYPE}RelationshipMetadataBase")) == []


def test_columns_and_relationships_are_the_same_in_both_descriptions(customized: httpx.Client) -> None:
    """EntityDefinitions and CSDL, over every table."""
    document = model(customized)
    for found in customized.get("EntityDefinitions?$select=LogicalName").json()["value"]:
        logical = found["LogicalName"]
        address = f"EntityDefinitions(LogicalName='{logical}')"
        whole = customized.get(
            f"{address}?$expand=Attributes,OneToManyRelationships,ManyToOneRelationships,ManyToManyRelationships"
        ).json()
        columns = {
            f"_{column['LogicalName']}_value"
            if column["AttributeType"] in ("Lookup", "Owner", "Customer")
            else column["LogicalName"]
            for column in whole["Attributes"]
            if column["IsValidODataAttribute"]
        }
        properties = set(document.members(f"{TYPE}{logical}", "Property"))
        assert columns == properties, logical
        navigation = {
            *(one["ReferencedEntityNavigationPropertyName"] for one in whole["OneToManyRelationships"]),
            *(one["ReferencingEntityNavigationPropertyName"] for one in whole["ManyToOneRelationships"]),
            *(one["Entity1NavigationPropertyName"] for one in whole["ManyToManyRelationships"]),
        }
        assert navigation - properties == set(document.members(f"{TYPE}{logical}", "NavigationProperty")), logical


def test_every_property_can_be_selected_and_every_navigation_expanded(customized: httpx.Client) -> None:
    document = model(customized)
    for name, entity_set in document.sets.items():
        if name.endswith("Definitions"):
            continue
        kind = document.full(entity_set.get("EntityType"))
        columns = ",".join(document.members(kind, "Property"))
        answer = customized.get(f"{name}?$top=2&$select={columns}")
        assert answer.status_code == 200, answer.text
        for row in answer.json()["value"]:
            assert list(wrong(document, row, kind)) == []
        navigations = list(document.members(kind, "NavigationProperty"))
        for start in range(0, len(navigations), EXPANDS_AT_ONCE):
            names = ",".join(navigations[start : start + EXPANDS_AT_ONCE])
            answer = customized.get(f"{name}?$top=1&$expand={names}")
            assert answer.status_code == 200, answer.text
            for row in answer.json()["value"]:
                assert list(wrong(document, row, kind)) == []


@pytest.mark.requirement("M76")
def test_a_job_leads_to_what_it_regards_by_a_navigation_for_each_table(customized: httpx.Client) -> None:
    account = created(customized, "accounts", {"name": "Contoso"})
    contact = created(customized, "contacts", {"lastname": "Lovelace"})
    for regarded in (account, contact):
        body = {"MessageName": "greet", "InputParameters": {"name": "x"}, "Regarding": {"@odata.id": regarded}}
        assert customized.post("ExecuteAsync", json=body).status_code == 200
    question = "asyncoperations?$select=name&$filter=operationtype eq 54&$orderby=sequence&$expand=regardingobjectid_account($select=name)"
    found = [row["regardingobjectid_account"] for row in customized.get(question).json()["value"]]
    assert (found[0]["name"], found[1]) == ("Contoso", None)
    navigations = model(customized).members(f"{TYPE}asyncoperation", "NavigationProperty")
    jobs = customized.get("EntityDefinitions(LogicalName='asyncoperation')/ManyToOneRelationships").json()["value"]
    regarded_tables = {one["ReferencedEntity"] for one in jobs if one["ReferencingAttribute"] == "regardingobjectid"}
    assert {"account", "contact", "new_project"} <= regarded_tables
    for table_name in regarded_tables:
        assert navigations[f"regardingobjectid_{table_name}"].get("Type") == f"mscrm.{table_name}"


PRIMITIVES = {
    "Edm.Guid": (str, r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    "Edm.String": (str, r"(?s).*"),
    "Edm.DateTimeOffset": (str, r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"),
    "Edm.Date": (str, r"\d{4}-\d\d-\d\d"),
    "Edm.Boolean": (bool, "True|False"),
    "Edm.Int32": (int, r"-?\d+"),
    "Edm.Int64": (int, r"-?\d+"),
    "Edm.Double": ((int, float), r".+"),
    "Edm.Decimal": ((int, float), r".+"),
}


def wrong(document: Model, value: Any, kind: str) -> Iterator[str]:
    """Where a JSON value is not what CSDL says of a type."""
    name, many = document.inner(kind)
    if many:
        if not isinstance(value, list):
            yield f"{kind}: {value!r}"
        else:
            for one in value:
                yield from wrong(document, one, name)
    elif name in PRIMITIVES:
        python, pattern = PRIMITIVES[name]
        fits = isinstance(value, python) and re.fullmatch(pattern, str(value))
        if not fits or (isinstance(value, bool) and python is not bool):
            yield f"{kind}: {value!r}"
    elif document.types[name].tag == f"{EDM}EnumType":
        if value not in [member.get("Name") for member in document.types[name].findall(f"{EDM}Member")]:
            yield f"{kind}: {value!r}"
    else:
        yield from _wrong_members(document, value, name)


def _wrong_members(document: Model, value: Any, name: str) -> Iterator[str]:
    concrete = value.get("@odata.type", f"#{name}").removeprefix("#") if isinstance(value, dict) else name
    if not isinstance(value, dict) or not document.is_a(concrete, name):
        yield f"{name}: {str(value)[:100]}"
        return
    members = document.members(concrete, "Property") | document.members(concrete, "NavigationProperty")
    for key, inner in value.items():
        if "@" in key:
            continue
        if key not in members:
            yield f"{concrete} has no {key}"
        elif inner is not None:
            yield from wrong(document, inner, members[key].get("Type"))
