"""OData clients that know nothing of Dataverse: they build themselves from `$metadata`, then query and change.

`python-odata` makes a Python class for each entity set; `odatapy` (modelled on Apache Olingo) makes an Edm and reads answers
by it. Both in their own words, unmodified.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID, uuid4

import httpx
import pytest
from odata import ODataService
from odata.exceptions import NoResultsFound, ODataError
from odatapy.client import EdmEnabledODataClient
from odatapy.client.filters import Field, and_
from odatapy.client.responses import ClientResponse, ODataClientError
from odatapy.edm.names import FullQualifiedName
from tests.clients.conftest import Organization
from tests.support.serving import TOKEN

CRM = "Microsoft.Dynamics.CRM"


@pytest.fixture
def jobs(shared: Organization) -> list[str]:
    """Ids of two jobs that somebody else enqueued, of which the second waits."""
    made = []
    for moment in (None, "2099-01-01T00:00:00Z"):
        body = {"MessageName": "greet", "InputParameters": {"name": "Ada"}, "PostponeUntil": moment}
        answer = shared.service.http.post("ExecuteAsync", json={key: value for key, value in body.items() if value})
        made.append(answer.json()["AsyncJobId"])
    return made


# ------------------------------------------------------------------------------------------------ python-odata
@pytest.fixture
def reflected(shared: Organization) -> ODataService:
    return ODataService(shared.api, session=shared.session(), reflect_entities=True, quiet_progress=True)


def test_classes_are_made_of_every_entity_set_and_jobs_are_queried(reflected: ODataService, jobs: list[str]) -> None:
    sets = {found["name"] for found in reflected.default_context.connection.execute_get(reflected.url)["value"]}
    assert set(reflected.entities) == sets
    job = reflected.entities["asyncoperations"]
    query = reflected.query(job).filter(job.asyncoperationid == UUID(jobs[1]))
    (found,) = query.filter(job.statecode == 1).filter(job.postponeuntil > datetime(2098, 1, 1, tzinfo=UTC)).all()
    assert (found.name, found.operationtype, found.messagename) == ("greet", 54, "greet")
    assert found.postponeuntil == datetime(2099, 1, 1, tzinfo=UTC)
    assert reflected.query(job).get(UUID(jobs[1])).statuscode == 10
    (found,) = reflected.query(job).filter(job.asyncoperationid == UUID(jobs[1])).expand(job.createdby).all()
    assert found.createdby.fullname == "System Administrator"
    assert reflected.query(job).order_by(job.createdon.desc()).limit(1).first() is not None


def test_python_odata_creates_reads_updates_and_deletes(shared: Organization) -> None:
    # It wants the made record in the answer to a POST, and asks for it in the way that Dataverse wants to be asked.
    asking = {"Prefer": "return=representation"}
    service = ODataService(
        shared.api, session=shared.session(), reflect_entities=True, quiet_progress=True, extra_headers=asking
    )
    account = service.entities["accounts"]
    name = f"generic {uuid4()}"
    made = account()
    made.name, made.revenue = name, Decimal("12.5")
    service.save(made)
    made.telephone1 = "1"
    service.save(made)
    (found,) = service.query(account).filter(account.name == name).filter(account.revenue >= 12).all()
    assert (found.accountid, found.telephone1, found.revenue) == (made.accountid, "1", Decimal("12.5"))
    starts = service.query(account).filter(account.name.startswith(name[:20])).select(account.name)
    assert [row["name"] for row in starts.all()] == [name]
    either = account.name.endswith(name[-9:]) | (account.name == "x")
    assert len(service.query(account).filter(either).all()) == 1
    service.delete(found)
    assert service.query(account).filter(account.name == name).all() == []


def test_python_odata_calls_actions_and_tells_errors(reflected: ODataService) -> None:
    assert set(reflected.functions) >= {"WhoAmI"}
    assert reflected.actions["greet"](name="Ada", times=2) == "Hello AdaHello Ada"
    account = reflected.entities["accounts"]
    with pytest.raises(NoResultsFound):
        reflected.query(account).get(uuid4())
    with pytest.raises(ODataError) as refused:
        reflected.query(account).filter("nmae eq 'x'").all()
    assert "Could not find a property named 'nmae'" in str(refused.value.message)


# ------------------------------------------------------------------------------------------------ odatapy
class Wire:
    """The transport that an `odatapy` client is given; it brings no trust store of its own to configure."""

    def __init__(self, place: Organization) -> None:
        trust = ssl.create_default_context(cafile=place.certificate)
        self.http = httpx.Client(verify=trust, headers={"Authorization": f"Bearer {TOKEN}"})

    def send(self, method: str, url: str, headers: dict[str, str], body: bytes) -> ClientResponse:
        answer = self.http.request(method, url, headers=headers, content=body)
        return ClientResponse(answer.status_code, dict(answer.headers), answer.content)


@pytest.fixture
def olingo(shared: Organization) -> EdmEnabledODataClient:
    return EdmEnabledODataClient(shared.api.rstrip("/"), Wire(shared))


def test_an_edm_is_built_and_jobs_are_read_by_it(olingo: EdmEnabledODataClient, jobs: list[str]) -> None:
    edm = olingo.get_edm()
    assert edm.get_entity_type(FullQualifiedName(CRM, "asyncoperation")).key_predicate_names == ["asyncoperationid"]
    uri = (
        olingo.entity_set_uri("asyncoperations")
        .filter(and_(Field("asyncoperationid").eq(UUID(jobs[1])), Field("statecode").eq(1)))
        .select("name", "statecode", "postponeuntil", "operationtype")
        .expand("createdby")
        .top(10)
    )
    (found,) = olingo.get_entity_set(uri).entities
    assert (found.get_value("name"), found.get_value("operationtype")) == ("greet", 54)
    assert found.get_value("postponeuntil") == datetime(2099, 1, 1, tzinfo=UTC)
    counted = olingo.get_entity_set(
        olingo.entity_set_uri("asyncoperations").filter(Field("statecode").eq(1)).count().top(1)
    )
    assert counted.count >= 1
    one = olingo.get_entity(olingo.entity_uri("asyncoperations", UUID(jobs[1])))
    assert one.get_value("statuscode") == 10


def test_odatapy_changes_and_batches(olingo: EdmEnabledODataClient) -> None:
    name = f"olingo {uuid4()}"
    made = olingo.create_entity("accounts", {"name": name, "revenue": Decimal("7.25")})
    key = UUID(str(made.get_value("accountid")))
    assert made.get_value("revenue") == Decimal("7.25")
    address = olingo.entity_uri("accounts", key)
    olingo.update_entity(address, {"telephone1": "1"})
    olingo.update_property(address.copy().append_property_segment("websiteurl"), "2")
    found = olingo.get_entity(olingo.entity_uri("accounts", key).select("telephone1", "websiteurl"))
    assert (found.get_value("telephone1"), found.get_value("websiteurl")) == ("1", "2")
    batch = olingo.batch()
    read = batch.add_retrieve(olingo.entity_uri("accounts", key))
    changes = batch.add_changeset()
    contact = changes.create("contacts", {"lastname": name})
    changes.create("accounts", {"name": name, "primarycontactid@odata.bind": contact.ref})
    changes.delete(olingo.entity_uri("accounts", key))
    answer = olingo.execute_batch(batch)
    assert [response.status_code for response in answer.responses] == [200, 204, 204, 204]
    assert read.entity().get_value("name") == name
    uri = (
        olingo.entity_set_uri("accounts").filter(Field("primarycontactid/lastname").eq(name)).expand("primarycontactid")
    )
    (row,) = olingo.get_entity_set(uri).entities
    assert row.get_value("name") == name
    with pytest.raises(ODataClientError) as refused:
        olingo.get_entity(olingo.entity_uri("accounts", key))
    assert refused.value.status_code == 404
    assert "Does Not Exist" in str(refused.value)


def test_odatapy_follows_pages_and_calls_operations(olingo: EdmEnabledODataClient) -> None:
    name = f"pages {uuid4()}"
    for _ in range(5):
        olingo.create_entity("accounts", {"name": name})
    uri = olingo.entity_set_uri("accounts").filter(Field("name").eq(name)).orderby("name")
    pages = list(olingo.iter_pages(uri, prefer="odata.maxpagesize=2"))
    assert [len(page.entities) for page in pages] == [2, 2, 1]
    who = olingo.invoke_function(olingo.uri().append_function_call_segment("WhoAmI"))
    assert b"0ad10000-0000-7000-8000-000000000004" in who.content
    greeted = olingo.invoke_action(olingo.uri().append_action_call_segment("greet"), {"name": "Ada"})
    assert b"Hello Ada" in greeted.content
