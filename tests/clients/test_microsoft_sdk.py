"""Microsoft's Python SDK for Dataverse, unmodified and over HTTPS: what its README shows, in its own words."""

from __future__ import annotations

import time
from enum import IntEnum
from typing import Any
from uuid import uuid4

import pandas
import pytest
from PowerPlatform.Dataverse.client import DataverseClient
from PowerPlatform.Dataverse.core.errors import HttpError
from PowerPlatform.Dataverse.models import col
from tests.support.serving import Serving


@pytest.fixture
def companies(client: DataverseClient) -> list[str]:
    found: list[str] = client.records.create("account", [{"name": f"Company {letter}"} for letter in "ABCDE"])
    return found


def test_a_record_is_created_read_updated_and_deleted(client: DataverseClient) -> None:
    record_id = client.records.create("account", {"name": "Contoso Ltd"})
    assert client.records.retrieve("account", record_id, select=["name"])["name"] == "Contoso Ltd"
    client.records.update("account", record_id, {"telephone1": "555-0199"})
    found = client.records.retrieve("account", record_id, select=["name", "telephone1"])
    assert (found["name"], found["telephone1"]) == ("Contoso Ltd", "555-0199")
    client.records.delete("account", record_id)
    assert client.records.retrieve("account", record_id, select=["name"]) is None


def test_an_error_reaches_the_caller_with_its_code(client: DataverseClient) -> None:
    with pytest.raises(HttpError) as caught:
        client.records.update("account", str(uuid4()), {"nonsense": 1})
    assert caught.value.status_code == 400
    assert "nonsense" in str(caught.value)


def test_many_records_in_one_request(client: DataverseClient, companies: list[str]) -> None:
    assert len(set(companies)) == 5
    client.records.update("account", companies, {"industrycode": 1})
    client.records.update("account", companies[:2], [{"description": "first"}, {"description": "second"}])
    rows = client.query.builder("account").select("name", "industrycode", "description").order_by("name").execute()
    found = [(row["name"], row["industrycode"], row["description"]) for row in rows]
    assert found[:3] == [("Company A", 1, "first"), ("Company B", 1, "second"), ("Company C", 1, None)]
    client.records.delete("account", companies, use_bulk_delete=False)
    assert list(client.query.builder("account").select("name").execute()) == []


def polled(client: DataverseClient, job: str, seconds: float = 30) -> dict[str, Any]:
    """Microsoft's samples poll the job by the JobId until its state is 3."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found: dict[str, Any] = client.records.retrieve(
            "asyncoperation", job, select=["statecode", "statuscode", "name"]
        )
        if found["statecode"] == 3:
            return found
        time.sleep(0.1)
    raise AssertionError(f"the job stands at {found}")


@pytest.mark.requirement("M36")
def test_a_bulk_delete_is_started_and_polled_as_in_the_samples(client: DataverseClient, companies: list[str]) -> None:
    """Without a word about the way, the SDK deletes several records by BulkDelete."""
    job = client.records.delete("account", companies[:4])
    assert job is not None
    done = polled(client, job)
    assert (done["statuscode"], done["name"].startswith("Bulk delete account records")) == (30, True)
    assert [row["name"] for row in client.query.builder("account").select("name").execute()] == ["Company E"]
    second = client.records.create("account", {"name": "Company F"})
    job = client.dataframe.delete("account", pandas.Series([companies[4], second]))
    assert job is not None
    assert polled(client, job)["statuscode"] == 30
    assert list(client.query.builder("account").select("name").execute()) == []


def test_the_query_builder(client: DataverseClient, companies: list[str]) -> None:
    client.records.update("account", companies[2], {"revenue": 1_000_000})
    rich = (
        client.query.builder("account")
        .select("name", "revenue")
        .where(col("statecode") == 0)
        .where(col("revenue") > 1)
        .order_by("revenue", descending=True)
        .top(100)
        .execute()
    )
    assert [(row["name"], row["revenue"]) for row in rich] == [("Company C", 1_000_000)]
    between = col("createdon").between("2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z")
    some = client.query.builder("account").select("name").where(col("name").in_(["Company A", "x"]) & between).execute()
    assert [row["name"] for row in some] == ["Company A"]
    expanded = client.query.builder("account").select("name").expand("primarycontactid").top(2).execute()
    assert [row["primarycontactid"] for row in expanded] == [None, None]


def test_pages(client: DataverseClient, companies: list[str]) -> None:
    pages = client.query.builder("account").select("name").page_size(2).execute_pages()
    assert [len(list(page)) for page in pages] == [2, 2, 1]
    text = "<fetch count='2'><entity name='account'><attribute name='name'/><order attribute='name'/></entity></fetch>"
    pages = [[row["name"] for row in page] for page in client.query.fetchxml(text).execute_pages()]
    assert pages == [["Company A", "Company B"], ["Company C", "Company D"], ["Company E"]]


def test_a_batch_and_a_change_set(client: DataverseClient, companies: list[str]) -> None:
    batch = client.batch.new()
    batch.records.create("account", {"name": "Company F"})
    batch.records.update("account", companies[0], {"telephone1": "555-0100"})
    with batch.changeset() as changes:
        contact = changes.records.create("contact", {"lastname": "Lovelace"})
        changes.records.create("account", {"name": "Company G", "primarycontactid@odata.bind": contact})
    result = batch.execute()
    assert [response.status_code for response in result.responses] == [204] * 4
    found = client.query.builder("account").select("name").expand("primarycontactid").order_by("name").execute()
    assert list(found)[-1]["primarycontactid"]["lastname"] == "Lovelace"


def test_data_frames(client: DataverseClient, companies: list[str]) -> None:
    frame = client.query.builder("account").select("name").execute().to_dataframe()
    assert sorted(frame["name"]) == [f"Company {letter}" for letter in "ABCDE"]
    made = client.dataframe.create("account", pandas.DataFrame([{"name": "df1"}, {"name": "df2"}]))
    assert len(set(made)) == 2


def test_metadata(client: DataverseClient) -> None:
    found = client.tables.get("account")
    assert (found["entity_set_name"], found["primary_id_attribute"]) == ("accounts", "accountid")
    assert client.tables.get("new_nothing") is None
    assert "account" in {table["LogicalName"] for table in client.tables.list()}
    names = {column["LogicalName"] for column in client.tables.list_columns("account")}
    assert {"name", "primarycontactid", "statuscode"} <= names
    schema = {one["SchemaName"] for one in client.tables.list_table_relationships("account")}
    assert "account_primary_contact" in schema


def test_system_jobs(client: DataverseClient, service: Serving) -> None:
    """What the service is for: its jobs, read as any other table."""
    jobs = client.query.builder("asyncoperation").select("name", "statecode", "recurrencepattern").top(5).execute()
    assert {(row["statecode"], bool(row["recurrencepattern"])) for row in jobs} == {(1, True)}, (
        "the service's own schedules"
    )
    attribute = "<attribute name='asyncoperationid' alias='n' aggregate='count'/>"
    others = "<filter><condition attribute='recurrencepattern' operator='null'/></filter>"
    count = f"<fetch aggregate='true'><entity name='asyncoperation'>{attribute}{others}</entity></fetch>"
    assert [row["n"] for row in client.query.fetchxml(count).execute()] == [0]


class Phase(IntEnum):
    PLAN = 1
    BUILD = 2


def test_tables_columns_lookups_and_keys_at_run_time(client: DataverseClient, companies: list[str]) -> None:
    columns = {"new_Budget": "decimal", "new_Start": "datetime", "new_Active": "bool", "new_Phase": Phase}
    made = client.tables.create("new_Project", columns, display_name="Project")
    assert made["entity_set_name"] == "new_projects"
    client.tables.add_columns("new_Project", {"new_Status": {"type": "string", "max_length": 20}})
    client.tables.update_column("new_Project", "new_Status", {"max_length": 40})
    assert client.tables.get_column("new_Project", "new_Status", typed=True)["MaxLength"] == 40
    client.tables.create_lookup_field(
        referencing_table="new_project", lookup_field_name="new_AccountId", referenced_table="account"
    )
    key = client.tables.create_alternate_key("new_project", "new_ByStatus", ["new_status"])
    assert [found.metadata_id for found in client.tables.get_alternate_keys("new_project")] == [key.metadata_id]
    values = {"new_Name": "P", "new_Budget": 5.5, "new_Phase": "BUILD", "new_Status": "s1"}
    record = client.records.create("new_Project", {**values, "new_AccountId@odata.bind": f"/accounts({companies[0]})"})
    found = client.records.retrieve("new_Project", record)
    assert (found["new_name"], found["new_budget"], found["new_phase"]) == ("P", 5.5, 2)
    assert found["_new_accountid_value"] == companies[0]
    client.tables.remove_columns("new_Project", ["new_Start"])
    assert "new_start" not in {column["LogicalName"] for column in client.tables.list_columns("new_Project")}
    client.tables.delete("new_Project")
    assert client.tables.get("new_Project") is None
