"""`dynamics365crm-python` from PyPI, unmodified: plain records of the sets that it knows, at v9.0."""

from __future__ import annotations

from uuid import uuid4

import pytest
from dynamics365crm.client import Client
from tests.clients.conftest import Organization
from tests.support.serving import TOKEN


@pytest.fixture
def client(shared: Organization, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(shared.certificate))
    return Client(shared.url, access_token=TOKEN)


def test_records_are_created_read_updated_upserted_and_deleted(client: Client) -> None:
    name = f"crm {uuid4()}"
    person = client.create_contact(lastname=name, firstname="Grace")
    account = client.create_account(name=name, **{"primarycontactid@odata.bind": f"/contacts({person})"})
    found = client.get_accounts(
        filter=f"name eq '{name}'",
        select="name,revenue",
        expand="primarycontactid($select=fullname)",
        orderby="name",
        top="5",
    )
    (row,) = found["value"]
    assert (row["accountid"], row["primarycontactid"]["fullname"]) == (account, f"Grace {name}")
    client.update_account(account, revenue=3.5)
    assert client.get_data(f"accounts({account})", select="revenue")["revenue"] == 3.5
    other = str(uuid4())
    assert client.update_data("accounts", other, name=name) == other
    assert len(client.get_accounts(filter=f"name eq '{name}'")["value"]) == 2
    assert client.create_data("contacts", lastname=name)
    for one in (account, other):
        assert client.delete_account(one) is True
    assert client.get_accounts(filter=f"name eq '{name}'")["value"] == []
    client.delete_data("contacts", person)


def test_related_records_functions_actions_and_fetchxml(client: Client) -> None:
    name = f"crm {uuid4()}"
    account = client.create_account(name=name)
    client.create_data(f"accounts({account})/Account_Tasks", subject="Call back")
    assert [row["subject"] for row in client.get_data(f"accounts({account})/Account_Tasks")["value"]] == ["Call back"]
    person = client.create_contact(lastname=name)
    client.make_request(
        "put",
        f"accounts({account})/primarycontactid/$ref",
        json={"@odata.id": f"{client.domain}/api/data/v9.0/contacts({person})"},
    )
    assert client.get_data(f"accounts({account})/primarycontactid")["contactid"] == person
    assert client.get_data("WhoAmI")["UserId"] == "0ad10000-0000-7000-8000-000000000004"
    assert client._post("greet", json={"name": "Ada"})["value"] == "Hello Ada"
    condition = f"<filter><condition attribute='name' operator='eq' value='{name}'/></filter>"
    text = f"<fetch><entity name='account'><attribute name='name'/>{condition}</entity></fetch>"
    assert [row["name"] for row in client.get_data("accounts", fetchXml=text)["value"]] == [name]
    columns = client.get_data("EntityDefinitions(LogicalName='contact')/Attributes", select="LogicalName")["value"]
    assert "lastname" in {column["LogicalName"] for column in columns}


def test_errors_carry_the_body(client: Client) -> None:
    with pytest.raises(Exception, match="0x80040217"):
        client.get_data(f"accounts({uuid4()})")
    with pytest.raises(Exception, match="Did you mean 'accounts'"):
        client.get_data("acounts")
    with pytest.raises(Exception, match="Invalid property 'nmae'"):
        client.create_account(nmae="x")
    nobody = Client(client.domain, access_token="wrong")
    with pytest.raises(Exception, match="401"):
        nobody.get_accounts()
