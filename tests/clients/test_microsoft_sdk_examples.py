"""The calls of the example scripts that Microsoft publishes with its Python SDK, in their order, with the credential replaced.

walkthrough, relationships, batch, alternate_keys_upsert, dataframe_operations, and the asynchronous client of examples/aio.
The calls that do not pass yet stand in `not_passing`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from uuid import uuid4

import pandas
import pytest
from PowerPlatform.Dataverse.client import DataverseClient
from PowerPlatform.Dataverse.common.constants import CASCADE_BEHAVIOR_NO_CASCADE, CASCADE_BEHAVIOR_REMOVE_LINK
from PowerPlatform.Dataverse.core.errors import DataverseError, HttpError, MetadataError
from PowerPlatform.Dataverse.models import (
    CascadeConfiguration,
    Label,
    LocalizedLabel,
    LookupAttributeMetadata,
    ManyToManyRelationshipMetadata,
    OneToManyRelationshipMetadata,
    UpsertItem,
    col,
)
from tests.clients.conftest import Credential, Organization, organization
from tests.support.serving import TOKEN, serving

from adjourn.webapi.certificate import own

OPEN, DONE = False, True
FORMATTED = "OData.Community.Display.V1.FormattedValue"


class Priority(IntEnum):
    LOW = 1
    MEDIUM = 2
    HIGH = 3


COLUMNS = {
    "new_Title": "string",
    "new_Quantity": "int",
    "new_Amount": "decimal",
    "new_Completed": "bool",
    "new_Notes": "memo",
    "new_Priority": Priority,
}


@pytest.fixture
def anywhere(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DataverseClient]:
    """The SDK at a service of its own, once on each database."""
    certificate = own(tmp_path / "certificate.pem", "127.0.0.1")
    options = ("--https", "127.0.0.1:0", "--certificate", str(certificate), "--processes", "1")
    with serving(database_url, *options) as running:
        place = organization(running, certificate)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        with DataverseClient(place.url, Credential()) as opened:
            yield opened


def test_walkthrough(anywhere: DataverseClient) -> None:
    client, table = anywhere, "new_WalkthroughDemo"
    assert client.tables.get(table) is None
    made = client.tables.create(table, COLUMNS, display_name="Walkthrough Demo")
    assert (made["table_logical_name"], made["entity_set_name"]) == ("new_walkthroughdemo", "new_walkthroughdemos")
    assert sorted(made["columns_created"]) == sorted(COLUMNS)
    first = client.records.create(
        table,
        {
            "new_Title": "Write it down",
            "new_Quantity": 5,
            "new_Amount": 1250.50,
            "new_Completed": False,
            "new_Notes": "Two\nlines",
            "new_Priority": Priority.MEDIUM,
        },
    )
    several = client.records.create(
        table,
        [
            {
                "new_Title": f"Item {n}",
                "new_Quantity": n,
                "new_Amount": n * 250.25,
                "new_Completed": n == 1,
                "new_Priority": 4 - n,
            }
            for n in (1, 2, 3)
        ],
    )
    row = client.records.retrieve(table, first)
    assert (row["new_title"], row["new_notes"], row["new_priority"], row["new_amount"]) == (
        "Write it down", "Two\nlines", 2, 1250.5,
    )  # fmt: skip
    assert [row["new_title"] for row in client.records.list(table, filter="new_quantity gt 4")] == ["Write it down"]
    client.records.update(table, first, {"new_Quantity": 100, "new_Notes": "Other\nlines"})
    assert client.records.retrieve(table, first)["new_quantity"] == 100
    client.records.update(table, several, {"new_Completed": True})
    twenty = client.records.create(
        table,
        [
            {
                "new_Title": f"Paging {n}",
                "new_Quantity": n,
                "new_Amount": n * 10.0,
                "new_Completed": False,
                "new_Priority": Priority.LOW,
            }
            for n in range(1, 21)
        ],
    )
    pages = list(client.query.builder(table).order_by("new_Quantity").page_size(5).execute_pages())
    assert [len(page) for page in pages] == [5, 5, 5, 5, 4]
    query = client.query.builder(table).select("new_Title", "new_Amount", "new_Priority")
    open_ones = list(
        query.where(col("new_Completed") == OPEN).order_by("new_Amount", descending=True).top(10).execute()
    )
    assert (len(open_ones), open_ones[0]["new_amount"]) == (10, 1250.5)
    chosen = client.query.builder(table).where(col("new_Priority").in_([Priority.HIGH, Priority.LOW])).execute()
    assert len(list(chosen)) == 22
    assert len(list(client.query.builder(table).where(col("new_Amount").between(500, 1500)).execute())) == 3
    both = (col("new_Completed") == OPEN) & (col("new_Amount") > 100)
    assert len(list(client.query.builder(table).where(both).order_by("new_Amount").top(5).execute())) == 5
    paged = client.query.builder(table).where(col("new_Completed") == OPEN).where(col("new_Quantity").between(1, 15))
    assert [len(page) for page in paged.order_by("new_Quantity").page_size(4).execute_pages()] == [4, 4, 4, 3]
    frame = (
        client.query.builder(table).select("new_title", "new_quantity").where(col("new_completed") == DONE).execute()
    )
    assert frame.to_dataframe()["new_quantity"].sum() == 6
    labelled = client.records.create(table, {"new_Title": "By label", "new_Priority": "High"})
    assert client.records.retrieve(table, labelled)["new_priority"] == Priority.HIGH
    client.records.update(table, labelled, {"new_Priority": "Low"})
    row = client.records.retrieve(table, labelled, include_annotations="*")
    assert row[f"new_priority@{FORMATTED}"] == "LOW"
    assert client.tables.add_columns(table, {"new_Tags": "string"}) == ["new_Tags"]
    client.tables.remove_columns(table, ["new_Tags"])
    client.records.delete(table, first)
    client.records.delete(table, twenty, use_bulk_delete=False)
    batch = client.batch.new()
    batch.records.create(table, {"new_Title": "Batch alpha", "new_Quantity": 1, "new_Priority": Priority.LOW})
    batch.records.create(table, {"new_Title": "Batch beta", "new_Quantity": 2, "new_Priority": Priority.MEDIUM})
    ids = list(batch.execute().entity_ids)
    batch = client.batch.new()
    for one in ids:
        batch.records.retrieve(table, one, select=["new_title", "new_quantity"])
    batch.records.list(table, filter="new_quantity eq 2", select=["new_title"])
    read = batch.execute().responses
    assert [response.data["new_title"] for response in read[:2]] == ["Batch alpha", "Batch beta"]
    assert len(read[2].data["value"]) == 2
    batch = client.batch.new()
    with batch.changeset() as changes:
        reference = changes.records.create(table, {"new_Title": "Changeset", "new_Quantity": 5, "new_Completed": False})
        changes.records.update(table, reference, {"new_Completed": True})
    result = batch.execute()
    assert not result.has_errors
    # The update of a change set names its record too, as in Dataverse.
    ids.extend(dict.fromkeys(result.entity_ids))
    assert client.records.retrieve(table, ids[-1])["new_completed"] is True
    batch = client.batch.new()
    for one in ids:
        batch.records.delete(table, one)
    assert len(batch.execute(continue_on_error=True).succeeded) == len(ids)
    client.tables.delete(table)
    with pytest.raises(MetadataError):
        client.tables.delete(table)


def test_relationships(anywhere: DataverseClient) -> None:
    client = anywhere
    for name, columns in (
        ("new_Department", {"new_DepartmentCode": "string", "new_Budget": "decimal"}),
        ("new_Employee", {"new_EmployeeNumber": "string", "new_Salary": "decimal"}),
        ("new_Project", {"new_ProjectCode": "string", "new_StartDate": "datetime"}),
    ):
        assert client.tables.create(name, columns)["table_schema_name"] == name
    lookup = LookupAttributeMetadata(
        schema_name="new_DepartmentId",
        display_name=Label(localized_labels=[LocalizedLabel(label="Department", language_code=1033)]),
        required_level="None",
    )
    relationship = OneToManyRelationshipMetadata(
        schema_name="new_Department_Employee",
        referenced_entity="new_department",
        referencing_entity="new_employee",
        referenced_attribute="new_departmentid",
        cascade_configuration=CascadeConfiguration(
            delete=CASCADE_BEHAVIOR_REMOVE_LINK, assign=CASCADE_BEHAVIOR_NO_CASCADE, merge=CASCADE_BEHAVIOR_NO_CASCADE
        ),
    )
    first = client.tables.create_one_to_many_relationship(lookup=lookup, relationship=relationship)
    assert (first.relationship_schema_name, first.lookup_schema_name) == ("new_Department_Employee", "new_DepartmentId")
    second = client.tables.create_lookup_field(
        referencing_table="new_employee",
        lookup_field_name="new_ManagerId",
        referenced_table="contact",
        display_name="Manager",
        description="The employee's direct manager",
        required=False,
        cascade_delete=CASCADE_BEHAVIOR_REMOVE_LINK,
    )
    third = client.tables.create_many_to_many_relationship(
        relationship=ManyToManyRelationshipMetadata(
            schema_name="new_employee_project", entity1_logical_name="new_employee", entity2_logical_name="new_project"
        )
    )
    found = client.tables.get_relationship("new_Department_Employee")
    assert (found.relationship_id, found.referenced_entity, found.referencing_entity) == (
        first.relationship_id, "new_department", "new_employee",
    )  # fmt: skip
    found = client.tables.get_relationship("new_employee_project")
    assert (found.relationship_type, found.entity1_logical_name, found.entity2_logical_name) == (
        "many_to_many", "new_employee", "new_project",
    )  # fmt: skip
    assert client.tables.get_relationship("new_nothing") is None
    names = {one["SchemaName"] for one in client.tables.list_table_relationships("new_employee")}
    assert {"new_Department_Employee", second.relationship_schema_name, "new_employee_project"} <= names
    listed = client.tables.list_relationships(filter="IsCustomRelationship eq true", select=["SchemaName"])
    assert "new_Department_Employee" in {one["SchemaName"] for one in listed}
    department = client.records.create("new_Department", {"new_Name": "R&D", "new_DepartmentCode": "RD"})
    person = client.records.create(
        "new_Employee", {"new_Name": "Ada", "new_DepartmentId@odata.bind": f"/new_departments({department})"}
    )
    row = client.records.retrieve("new_Employee", person, expand=["new_DepartmentId"])
    assert row["new_DepartmentId"]["new_departmentcode"] == "RD"
    client.records.delete("new_Department", department)
    assert client.records.retrieve("new_Employee", person)["_new_departmentid_value"] is None
    for made in (first, second, third):
        client.tables.delete_relationship(made.relationship_id)
    for name in ("new_Employee", "new_Department", "new_Project"):
        client.tables.delete(name)
        assert client.tables.get(name) is None


def test_batches(sdk: DataverseClient) -> None:
    batch = sdk.batch.new()
    batch.records.create("account", {"name": "Contoso Ltd", "telephone1": "555-0100"})
    batch.records.create(
        "contact", [{"firstname": "Alice", "lastname": "Smith"}, {"firstname": "Bob", "lastname": "Jones"}]
    )
    result = batch.execute()
    assert ([one.status_code for one in result.responses], len(result.entity_ids)) == ([204, 200], 1)
    assert len(result.responses[1].data["Ids"]) == 2
    batch = sdk.batch.new()
    with batch.changeset() as changes:
        contact = changes.records.create("contact", {"firstname": "Ada"})
        changes.records.create("account", {"name": "Babbage & Co.", "primarycontactid@odata.bind": contact})
        changes.records.update("contact", contact, {"lastname": "Lovelace"})
    result = batch.execute()
    assert not result.has_errors
    account = sdk.records.retrieve("account", list(result.entity_ids)[1], expand=["primarycontactid"])
    assert account["primarycontactid"]["fullname"] == "Ada Lovelace"
    batch = sdk.batch.new()
    with batch.changeset() as changes:
        changes.records.create("account", {"name": "never"})
        changes.records.update("account", str(uuid4()), {"nonsense": 1})
    result = batch.execute()
    assert (result.has_errors, [one.status_code for one in result.failed]) == (True, [400])
    assert "nonsense" in result.failed[0].error_message
    assert list(sdk.records.list("account", filter="name eq 'never'")) == []
    batch = sdk.batch.new()
    batch.records.retrieve("account", str(uuid4()))
    batch.records.list("account", top=1)
    result = batch.execute(continue_on_error=True)
    assert [one.status_code for one in result.responses] == [404, 200]
    assert result.failed[0].error_code == "0x80040217"
    frame = pandas.DataFrame([{"name": "Frame A", "telephone1": "1"}, {"name": "Frame B", "telephone1": "2"}])
    batch = sdk.batch.new()
    batch.dataframe.create("account", frame)
    ids = batch.execute().responses[0].data["Ids"]
    batch = sdk.batch.new()
    batch.dataframe.update(
        "account", pandas.DataFrame({"accountid": ids, "telephone1": ["3", "4"]}), id_column="accountid"
    )
    assert len(batch.execute().succeeded) == 1
    assert [sdk.records.retrieve("account", one)["telephone1"] for one in ids] == ["3", "4"]
    batch = sdk.batch.new()
    batch.dataframe.delete("account", pandas.Series(ids), use_bulk_delete=False)
    assert len(batch.execute().succeeded) == 2


def test_tables_and_relationships_in_a_batch(sdk: DataverseClient) -> None:
    batch = sdk.batch.new()
    batch.tables.create("new_Product", {"new_Price": "decimal", "new_InStock": "bool"}, solution="MySolution")
    batch.tables.list()
    batch.tables.list(filter="IsCustomEntity eq true", select=["LogicalName"])
    result = batch.execute()
    assert [one.status_code for one in result.responses] == [204, 200, 200]
    assert "new_product" in {table["LogicalName"] for table in result.responses[2].data["value"]}
    batch = sdk.batch.new()
    batch.tables.add_columns("new_Product", {"new_Weight": "int"})
    batch.tables.get("new_Product")
    batch.tables.create_lookup_field("new_product", "new_MakerId", "account", display_name="Maker")
    batch.tables.get_relationship("account_primary_contact")
    batch.records.create("new_Product", {"new_Name": "Engine", "new_Price": 9.5})
    result = batch.execute(continue_on_error=True)
    assert [one.is_success for one in result.responses] == [True] * 5, [one.error_message for one in result.failed]
    batch = sdk.batch.new()
    batch.tables.remove_columns("new_Product", "new_Weight")
    batch.tables.delete("new_Product")
    assert not batch.execute().has_errors
    assert sdk.tables.get("new_Product") is None


def test_upserts_by_alternate_key(sdk: DataverseClient) -> None:
    sdk.tables.create("new_Part", {"new_Code": "string", "new_Plant": "int", "new_Price": "decimal"})
    made = sdk.tables.create_alternate_key("new_part", "new_ByCode", ["new_code"], display_name="By code")
    sdk.tables.create_alternate_key("new_part", "new_ByPlant", ["new_code", "new_plant"])
    keys = {key.schema_name: key for key in sdk.tables.get_alternate_keys("new_part")}
    assert (keys["new_ByCode"].status, keys["new_ByCode"].key_attributes) == ("Active", ["new_code"])
    sdk.records.upsert("new_part", [UpsertItem({"new_code": "A'1"}, {"new_name": "one", "new_price": 1.5})])
    sdk.records.upsert("new_part", [UpsertItem({"new_code": "A'1"}, {"new_name": "uno"})])
    sdk.records.upsert(
        "new_part",
        [
            UpsertItem({"new_code": "A'1"}, {"new_price": 2.5}),
            UpsertItem({"new_code": "B", "new_plant": 7}, {"new_name": "two"}),
            {"alternate_key": {"new_code": "C"}, "record": {"new_name": "three"}},
        ],
    )
    rows = sdk.records.list("new_part", select=["new_name", "new_price", "new_plant"], orderby=["new_code"])
    assert [(row["new_name"], row["new_price"], row["new_plant"]) for row in rows] == [
        ("uno", 2.5, None), ("two", None, 7), ("three", None, None),
    ]  # fmt: skip
    batch = sdk.batch.new()
    batch.records.upsert("new_part", [UpsertItem({"new_code": "D"}, {"new_name": "four"})])
    assert not batch.execute().has_errors
    sdk.tables.delete_alternate_key("new_part", made.metadata_id)
    with pytest.raises(HttpError) as refused:
        sdk.records.upsert("new_part", [UpsertItem({"new_code": "A'1"}, {"new_name": "x"})])
    assert refused.value.status_code == 400
    sdk.tables.delete("new_Part")


def test_constraints_of_columns(sdk: DataverseClient) -> None:
    """The README's own example of column specifications."""
    sdk.tables.create(
        "new_Feedback",
        {
            "new_Rating": {"type": "int", "min_value": 1, "max_value": 5},
            "new_Comment": {"type": "memo", "max_length": 2000, "display_name": "Comment"},
        },
    )
    with pytest.raises(HttpError) as refused:
        sdk.records.create("new_Feedback", {"new_Rating": 9})
    assert refused.value.status_code == 400
    sdk.tables.update_column("new_Feedback", "new_Comment", {"max_length": 4000})
    sdk.tables.update_columns(
        "new_Feedback", {"new_Rating": {"max_value": 10}, "new_Comment": {"display_name": "Words"}}
    )
    assert sdk.tables.get_column("new_Feedback", "new_Comment", typed=True)["MaxLength"] == 4000
    rating = {column["LogicalName"]: column for column in sdk.tables.list_columns("new_Feedback", typed=True)}[
        "new_rating"
    ]
    assert (rating["MinValue"], rating["MaxValue"]) == (1, 10)
    sdk.records.create("new_Feedback", {"new_Rating": 9})
    sdk.tables.delete("new_Feedback")


def test_errors_tell_what_to_do(sdk: DataverseClient) -> None:
    with pytest.raises(MetadataError):
        sdk.records.create("new_Nothing", {"new_Name": "x"})
    with pytest.raises(DataverseError) as caught:
        sdk.query.fetchxml("<fetch><entity name='account'><attribute name='nmae'/></entity></fetch>").execute()
    assert "Did you mean 'name'?" in str(caught.value)
    with pytest.raises(HttpError) as refused:
        sdk.records.list("account", filter="nmae eq 'x'")
    assert (refused.value.status_code, refused.value.is_transient) == (400, False)
    assert sdk.records.retrieve("account", str(uuid4())) is None


def test_the_asynchronous_client(shared: Organization) -> None:
    """In a process of its own: aiohttp reads which certificates to trust when it is imported."""
    script = Path(__file__).with_name("asynchronous.py")
    environment = {**os.environ, "SSL_CERT_FILE": str(shared.certificate)}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script), shared.url, TOKEN],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
