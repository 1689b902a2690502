"""`dataverse-api` from PyPI, unmodified: rows one by one, in batches and by CreateMultiple; tables, columns, relationships."""

from __future__ import annotations

from uuid import uuid4

import pandas
import pytest
from dataverse_api import DataverseClient
from dataverse_api.errors import DataverseAPIError
from dataverse_api.metadata.attributes import IntegerAttributeMetadata, StringAttributeMetadata
from dataverse_api.metadata.entity import define_entity
from dataverse_api.metadata.enums import OwnershipType
from dataverse_api.utils.labels import define_label
from tests.clients.conftest import Organization


@pytest.fixture
def client(shared: Organization) -> DataverseClient:
    return DataverseClient(session=shared.session(), environment_url=shared.url)


@pytest.fixture
def mark() -> str:
    return uuid4().hex[:12]


def test_it_learns_what_a_table_can(client: DataverseClient) -> None:
    account = client.entity(logical_name="account")
    assert (account.entity_set_name, account.primary_id_attr) == ("accounts", "accountid")
    assert "primarycontactid" in str(account.relationships.single_valued)
    assert account.supports_create_multiple
    assert account.supports_update_multiple
    assert client.get_language_codes() == [1033]


@pytest.mark.parametrize("mode", ["individual", "batch", "multiple"])
def test_rows_are_created_read_and_deleted(client: DataverseClient, mark: str, mode: str) -> None:
    account = client.entity(logical_name="account")
    rows = [{"name": f"{mark} {n}", "revenue": n * 1.5} for n in range(5)]
    answers = account.create(data=rows, mode=mode)
    assert {answer.status_code for answer in answers} <= {200, 204}
    chosen = {"select": ["name", "revenue"], "filter": f"startswith(name,'{mark}')", "order_by": "revenue desc"}
    found = account.read(page_size=2, **chosen)
    assert [row["revenue"] for row in found] == [6.0, 4.5, 3.0, 1.5, 0.0]
    assert len(account.read(top=2, **chosen)) == 2
    formatted = account.read(return_formatted_values=True, expand="primarycontactid($select=fullname)", **chosen)
    assert formatted[0]["revenue@OData.Community.Display.V1.FormattedValue"] == "$6.00"
    assert formatted[0]["primarycontactid"] is None
    account.delete_columns(["revenue"], filter=f"name eq '{mark} 4'")
    assert account.read(select=["revenue"], filter=f"name eq '{mark} 4'")[0]["revenue"] is None
    answers = account.delete(mode="individual" if mode == "multiple" else mode, filter=chosen["filter"])
    assert {answer.status_code for answer in answers} <= {200, 204}
    assert account.read(**chosen) == []


def test_data_frames_and_threads(client: DataverseClient, mark: str) -> None:
    contact = client.entity(logical_name="contact")
    frame = pandas.DataFrame([{"lastname": mark, "firstname": str(n)} for n in range(20)])
    answers = contact.create(data=frame, mode="individual", threading=True, return_created=True)
    assert sorted(answer.json()["firstname"] for answer in answers) == sorted(frame["firstname"])
    ids = [answer.json()["contactid"] for answer in answers]
    assert len(contact.delete(mode="batch", ids=ids, batch_size=7)) == 3
    assert contact.read(filter=f"lastname eq '{mark}'") == []


def test_tables_columns_keys_and_upserts(client: DataverseClient) -> None:
    name = StringAttributeMetadata(
        schema_name="new_Name",
        is_primary_name=True,
        description=define_label("Its name"),
        display_name=define_label("Name"),
        max_length=80,
    )
    made = client.create_entity(
        define_entity("new_Gadget", [name], "A gadget", "Gadget", "Gadgets", OwnershipType.USER_OWNED),
        return_representation=True,
    )
    assert made.json()["LogicalName"] == "new_gadget"
    definition = client.get_entity_definition("new_gadget")
    definition.display_name.localized_labels[0].label = "Widget"
    assert client.update_entity(definition).ok
    assert client.get_entity_definition("new_gadget").display_name.localized_labels[0].label == "Widget"
    gadget = client.entity(logical_name="new_gadget")
    gadget.add_attribute(
        IntegerAttributeMetadata(
            min_value=0,
            max_value=99,
            schema_name="new_Size",
            display_name=define_label("Size"),
            description=define_label(""),
        )
    )
    gadget.create(data=[{"new_name": "a", "new_size": 1}])
    (row,) = gadget.read(select=["new_name", "new_size"])
    answers = gadget.upsert(
        data=[{"new_gadgetid": row["new_gadgetid"], "new_size": 2}, {"new_gadgetid": str(uuid4()), "new_name": "b"}]
    )
    assert [answer.status_code for answer in answers] == [204, 204]
    answers = gadget.upsert(data=[{"new_gadgetid": row["new_gadgetid"], "new_size": 3}], mode="batch")
    assert [row["new_size"] for row in gadget.read(order_by="new_name")] == [3, None]
    gadget.remove_attribute(logical_name="new_size")
    with pytest.raises(DataverseAPIError, match="new_size"):
        gadget.read(select=["new_size"])
    assert client.delete_entity("new_gadget").ok


def test_errors_carry_the_message(client: DataverseClient) -> None:
    with pytest.raises(DataverseAPIError, match="Could not find an entity with name acount"):
        client.entity(logical_name="acount")
    account = client.entity(logical_name="account")
    with pytest.raises(DataverseAPIError, match="nmae"):
        account.read(filter="nmae eq 'x'")
