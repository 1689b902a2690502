"""Microsoft's Python SDK: every operator and option of its query builder, FetchXML, data frames, metadata helpers."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas
import pytest
from PowerPlatform.Dataverse.client import DataverseClient
from PowerPlatform.Dataverse.models import ExpandOption, col, raw
from tests.clients.conftest import Organization

PEOPLE = (
    # name, city, revenue, employees
    ("Alpha Ltd", "Paris", 100.5, 1),
    ("Beta Corp", "Rome", 200.0, 2),
    ("Gamma's %", "Oslo", None, 3),
    ("Delta Corp", None, 400.25, None),
)
FORMATTED = "OData.Community.Display.V1.FormattedValue"


@pytest.fixture(scope="module")
def mark() -> str:
    """What tells this module's rows from others of the shared organization."""
    return uuid4().hex[:12]


@pytest.fixture
def rows(sdk: DataverseClient, mark: str) -> Iterator[list[str]]:
    """Ids of the accounts above, in their order."""
    made = sdk.records.create(
        "account",
        [
            {
                "name": name,
                "address1_city": city,
                "revenue": revenue,
                "numberofemployees": employees,
                "accountnumber": mark,
            }
            for name, city, revenue, employees in PEOPLE
        ],
    )
    yield made
    sdk.records.delete("account", made, use_bulk_delete=False)


def asked(sdk: DataverseClient, mark: str, condition: Any) -> str:
    """The first letters of the names that a condition keeps."""
    query = sdk.query.builder("account").select("name").where(col("accountnumber") == mark)
    return "".join(row["name"][0] for row in query.where(condition).order_by("createdon").order_by("name").execute())


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (col("name") == "Alpha Ltd", "A"),
        (col("name") != "Alpha Ltd", "BDG"),
        (col("revenue") > 200, "D"),
        (col("revenue") >= 200, "BD"),
        (col("revenue") < 200, "A"),
        (col("revenue") <= 200, "AB"),
        (col("revenue").is_null(), "G"),
        (col("address1_city").is_not_null(), "ABG"),
        (col("address1_city").in_(["Paris", "Oslo"]), "AG"),
        (col("address1_city").not_in(["Paris"]), "BDG"),
        (col("numberofemployees").in_([1, 3]), "AG"),
        (col("revenue").between(100, 200), "AB"),
        (col("revenue").not_between(100, 200), "DG"),
        (col("name").contains("Corp"), "BD"),
        (col("name").startswith("Del"), "D"),
        (col("name").endswith("Ltd"), "A"),
        (col("name").like("%Corp%"), "BD"),
        (col("name").like("Beta%"), "B"),
        (col("name").not_like("%Corp"), "AG"),
        (col("name") == "Gamma's %", "G"),
        ((col("numberofemployees") == 1) | (col("numberofemployees") == 2), "AB"),
        (~(col("numberofemployees") == 1), "BDG"),
        ((col("name").contains("Corp")) & (col("revenue") > 200), "D"),
        (raw("contains(name,'ph') or numberofemployees eq 3"), "AG"),
        (col("createdon") > "2020-01-01T00:00:00Z", "ABDG"),
        (col("statecode") == 0, "ABDG"),
    ],
    ids=str,
)
def test_every_operator(sdk: DataverseClient, rows: list[str], mark: str, condition: Any, expected: str) -> None:
    assert "".join(sorted(asked(sdk, mark, condition))) == expected


def test_count_annotations_and_formatted_values(sdk: DataverseClient, rows: list[str], mark: str) -> None:
    query = sdk.query.builder("account").select("name", "revenue", "statecode").where(col("accountnumber") == mark)
    found = list(query.count().include_formatted_values().order_by("revenue", descending=True).top(1).execute())
    assert (found[0]["name"], found[0][f"revenue@{FORMATTED}"]) == ("Delta Corp", "$400.25")
    assert found[0][f"statecode@{FORMATTED}"] == "Active"
    query = sdk.query.builder("account").select("_ownerid_value").where(col("accountnumber") == mark)
    (owner,) = {
        row["_ownerid_value@Microsoft.Dynamics.CRM.lookuplogicalname"] for row in query.include_annotations().execute()
    }
    assert owner == "systemuser"


def test_lists_and_pages_of_records(sdk: DataverseClient, rows: list[str], mark: str) -> None:
    chosen = {"filter": f"accountnumber eq '{mark}'", "select": ["name"], "orderby": ["name asc"]}
    assert [row["name"][0] for row in sdk.records.list("account", **chosen)] == ["A", "B", "D", "G"]
    assert [len(list(page)) for page in sdk.records.list_pages("account", page_size=3, **chosen)] == [3, 1]
    assert len(sdk.records.list("account", top=2, page_size=1, **chosen)) == 2
    frame = sdk.records.list("account", **chosen).to_dataframe()
    assert list(frame["name"]) == ["Alpha Ltd", "Beta Corp", "Delta Corp", "Gamma's %"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pages = sdk.records.get("account", filter=chosen["filter"], page_size=2)
        assert [len(page) for page in pages] == [2, 2]
        assert sdk.records.get("account", rows[0], select=["name"])["name"] == "Alpha Ltd"


def test_related_rows_come_with_a_record(sdk: DataverseClient, rows: list[str], mark: str) -> None:
    person = sdk.records.create("contact", {"lastname": "Hopper", "firstname": "Grace"})
    sdk.records.update("account", rows[0], {"primarycontactid@odata.bind": f"/contacts({person})"})
    option = ExpandOption("primarycontactid").select("fullname")
    query = (
        sdk.query.builder("account").select("name").where(col("accountnumber") == mark).expand(option).order_by("name")
    )
    found = list(query.execute())
    assert found[0]["primarycontactid"]["fullname"] == "Grace Hopper"
    assert found[1]["primarycontactid"] is None
    found = sdk.records.retrieve("account", rows[0], select=["name"], expand=["primarycontactid"])
    assert found["primarycontactid"]["lastname"] == "Hopper"


def test_related_collections_come_with_a_record(sdk: DataverseClient, rows: list[str], mark: str) -> None:
    for subject in ("a task", "b task", "c"):
        sdk.records.create(
            "task", {"subject": subject, "regardingobjectid_account_task@odata.bind": f"/accounts({rows[0]})"}
        )
    option = (
        ExpandOption("Account_Tasks")
        .select("subject")
        .filter("contains(subject,'task')")
        .order_by("subject", descending=True)
        .top(1)
    )
    query = (
        sdk.query.builder("account").select("name").where(col("accountnumber") == mark).expand(option).order_by("name")
    )
    found = [[task["subject"] for task in row["Account_Tasks"]] for row in query.execute()]
    assert found == [["b task"], [], [], []]


def test_files_are_uploaded(sdk: DataverseClient, shared: Organization, rows: list[str], tmp_path: Path) -> None:
    """Whole and in chunks; the column is made on the way."""
    for mode, content in (("small", b"one"), ("chunk", bytes(range(256)) * 40_000)):
        path = tmp_path / f"{mode}.bin"
        path.write_bytes(content)
        sdk.files.upload("account", rows[0], "new_Attachment", str(path), mode=mode, if_none_match=False)
        answer = shared.service.http.get(f"accounts({rows[0]})/new_attachment/$value")
        assert answer.content == content
        row = sdk.records.retrieve("account", rows[0], select=["new_attachment_name"])
        assert row["new_attachment_name"] == path.name


def test_fetchxml(sdk: DataverseClient, rows: list[str], mark: str) -> None:
    condition = f"<filter><condition attribute='accountnumber' operator='eq' value='{mark}'/></filter>"
    order = "<attribute name='name'/><order attribute='name'/>"
    text = f"<fetch count='3'><entity name='account'>{order}{condition}</entity></fetch>"
    assert [row["name"][0] for row in sdk.query.fetchxml(text).execute()] == ["A", "B", "D", "G"]
    assert [len(page) for page in sdk.query.fetchxml(text).execute_pages()] == [3, 1]
    total = "<attribute name='revenue' alias='total' aggregate='sum'/>"
    text = f"<fetch aggregate='true'><entity name='account'>{total}{condition}</entity></fetch>"
    assert [float(row["total"]) for row in sdk.query.fetchxml(text).execute()] == [700.75]


def test_data_frames_are_created_read_updated_and_deleted(sdk: DataverseClient, mark: str) -> None:
    frame = pandas.DataFrame([{"name": f"frame {n}", "accountnumber": f"f{mark}", "revenue": n} for n in range(3)])
    frame["accountid"] = sdk.dataframe.create("account", frame)
    frame["telephone1"] = ["1", None, "3"]
    sdk.dataframe.update("account", frame[["accountid", "telephone1"]], id_column="accountid")
    found = sdk.query.builder("account").select("name", "telephone1").where(col("accountnumber") == f"f{mark}")
    table = found.order_by("name").execute().to_dataframe()
    assert [value if pandas.notna(value) else None for value in table["telephone1"]] == ["1", None, "3"]
    sdk.dataframe.update(
        "account", frame[["accountid", "telephone1"]].assign(telephone1=None), id_column="accountid", clear_nulls=True
    )
    assert {row["telephone1"] for row in found.execute()} == {None}
    sdk.dataframe.delete("account", frame["accountid"], use_bulk_delete=False)
    assert list(found.execute()) == []


def test_helpers_that_read_the_metadata(sdk: DataverseClient, rows: list[str]) -> None:
    columns = {column["name"]: column for column in sdk.query.sql_columns("account")}
    assert columns["accountid"]["is_pk"]
    assert columns["name"]["type"] == "String"
    expands = {one["nav_property"]: one for one in sdk.query.odata_expands("account")}
    assert expands["primarycontactid"]["target_entity_set"] == "contacts"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        names = sdk.query.odata_select("contact")
        assert "lastname" in names
        assert sdk.query.odata_expand("account", "contact") == "primarycontactid"
        bound = sdk.query.odata_bind("contact", "account", rows[0])
        person = sdk.records.create("contact", {"lastname": "Bound", **bound})
    (lookup,) = [key.partition("@")[0] for key in bound]
    assert sdk.records.retrieve("contact", person, expand=[lookup])[lookup]["name"] == "Alpha Ltd"


def test_a_record_of_a_list_has_its_key_among_its_columns(sdk: DataverseClient, rows: list[str], mark: str) -> None:
    """The SDK fills `Record.id` where it knew the id before it asked, whoever answers; docs/clients.md says so."""
    listed = sdk.records.list("account", filter=f"accountnumber eq '{mark}'", select=["name"])
    assert {record.id for record in listed} == {""}
    assert {record["accountid"] for record in listed} == set(rows)
    assert sdk.records.retrieve("account", rows[0], select=["name"]).id == rows[0]
