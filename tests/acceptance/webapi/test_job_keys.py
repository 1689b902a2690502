"""Dependency tokens, the order of each record, owning teams, and what goes with a job: over HTTP, on both stores."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

import httpx
import pytest
from tests.acceptance.webapi.conftest import created, error_of
from tests.acceptance.webapi.test_batch import batch, part, send, statuses
from tests.support import worker_plugins as plugins

from adjourn import runtime
from adjourn.client import Client
from adjourn.errors import InvalidRequest
from adjourn.jobs import explain, queue
from adjourn.jobs.model import Settlement, Succeeded
from adjourn.pipeline.declare import step
from adjourn.service import Service
from adjourn.store.contract import Store

STEPS = "sdkmessageprocessingsteps"


@pytest.fixture
def org(service: Service, org: Client) -> Client:
    service.register("tests.support.worker_plugins")
    return org


def count(http: httpx.Client, condition: str) -> int:
    answer = http.get(f"asyncoperations?$filter={condition}&$count=true&$select=name")
    assert answer.status_code == 200, answer.text
    found: int = answer.json()["@odata.count"]
    return found


@pytest.mark.requirement("M41")
def test_a_token_has_up_to_256_characters_and_finds_its_jobs(http: httpx.Client, org: Client) -> None:
    longest = "é" * 256
    for token in ("t", "t", "T", "u", longest, None):
        org.enqueue(plugins.quick.request(""), dependency_token=token)
    # Texts are compared without regard to case, in filters; as queues "t" and "T" are two.
    assert count(http, "dependencytoken eq 'u'") == 1
    assert count(http, f"dependencytoken eq '{longest}'") == 1
    assert count(http, "dependencytoken eq null") == 1
    assert count(http, "dependencytoken ne null") == 5
    with pytest.raises(InvalidRequest, match="1 to 256 characters"):
        org.enqueue(plugins.quick.request(""), dependency_token="x" * 257)
    body = {"MessageName": "quick", "InputParameters": {}, "DependencyToken": "x" * 257}
    status, code, text = error_of(http.post("ExecuteAsync", json=body))
    assert (status, code, "256" in text) == (400, "0x80044331", True)
    body["DependencyToken"] = "a\0b"
    assert error_of(http.post("ExecuteAsync", json=body))[:2] == (400, "0x80044331")
    body["DependencyToken"] = "y" * 256
    assert http.post("ExecuteAsync", json=body).status_code == 200
    assert count(http, f"dependencytoken eq '{'y' * 256}'") == 1
    assert count(http, "statecode ge 0") == 7


@pytest.mark.requirement("M29")
def test_steps_have_no_tokens_but_may_keep_the_order_of_each_record(
    http: httpx.Client, service: Service, store: Store
) -> None:
    with pytest.raises(TypeError, match="dependency_token"):
        step(message="Update", table="account", mode="Asynchronous", dependency_token="t")  # type: ignore[call-arg]
    service.register("tests.support.record_order_plugins")
    (known,) = http.get(f"{STEPS}?$filter=name eq 'In order'").json()["value"]
    assert known["runtimeintegrationproperties"] == '{"perRecordOrder":true}'
    refused = error_of(http.patch(f"{STEPS}({known['sdkmessageprocessingstepid']})", json={"dependencytoken": "t"}))
    assert (refused[0], "dependencytoken" in refused[2]) == (400, True)
    first, second = (created(http, "accounts", {"name": name}) for name in ("first", "second"))
    for number in range(3):
        for account in (first, second):
            assert http.patch(account, json={"name": f"name {number}"}).status_code == 204
    assert count(http, "operationtype eq 1") == 12
    assert count(http, "operationtype eq 1 and dependencytoken ne null") == 0
    # Of the step that asked for it only the first job of each record is Ready; of the other one all are.
    for name, ready, waiting in (("In order", 2, 4), ("In any", 6, 0)):
        assert count(http, f"name eq '{name}' and statecode eq 0") == ready
        assert count(http, f"name eq '{name}' and statecode eq 1") == waiting
    (behind, *_) = http.get("asyncoperations?$filter=name eq 'In order' and statecode eq 1").json()["value"]
    told = http.get(f"ExplainSystemJob(AsyncJobId={behind['asyncoperationid']})").json()["Why"]
    assert "'In order' of its step for the same record, which is Ready." in told
    order = run_all(store, "In order")
    assert order == sorted(order, key=lambda found: found[1]), "in the order of the changes"
    assert {record for record, _ in order} == {UUID(account[9:-1]) for account in (first, second)}
    assert len(order) == 6


def run_all(store: Store, name: str) -> list[tuple[UUID, int]]:
    """Run everything, one record's jobs never two at a time; record and sequence of each job of that name as they started."""
    seen: list[tuple[UUID, int]] = []
    while claimed := store.write(partial(queue.claim, operation_types=[1], limit=100, worker=str(runtime.new_id()))):
        mine = [job for job in claimed if job.name == name]
        records = [job.regarding.id for job in mine if job.regarding]
        assert len(set(records)) == len(records), "two jobs of one record at the same time"
        seen += [(record, job.sequence) for record, job in zip(records, mine, strict=True)]
        store.write(partial(queue.settle, settlements=[Settlement(job, Succeeded(), 0.1) for job in claimed]))
    by_record: dict[UUID, list[int]] = {}
    for record, sequence in seen:
        by_record.setdefault(record, []).append(sequence)
    assert all(sequences == sorted(sequences) for sequences in by_record.values())
    return seen


def test_an_order_where_there_are_no_jobs_is_refused(http: httpx.Client, service: Service) -> None:
    with pytest.raises(InvalidRequest, match="synchronous"):
        step(message="Update", table="account", per_record_order=True)
    service.register("tests.support.record_order_plugins")
    (known,) = http.get(f"{STEPS}?$filter=name eq 'In any'").json()["value"]
    address = f"{STEPS}({known['sdkmessageprocessingstepid']})"
    wish = {"runtimeintegrationproperties": '{"perRecordOrder":true}'}
    assert http.patch(address, json=wish).status_code == 204
    status, _, text = error_of(http.patch(address, json={"mode": 0}))
    assert (status, "asynchronous" in text) == (400, True)
    assert http.patch(address, json={"runtimeintegrationproperties": "whatever it was elsewhere"}).status_code == 204
    assert http.patch(address, json={"mode": 0}).status_code == 204


@pytest.mark.requirement("M56")
def test_a_job_may_belong_to_a_team(http: httpx.Client, org: Client) -> None:
    team = created(http, "teams", {"name": "Operators", "teamtype": 0})
    team_id = UUID(team[6:-1])
    theirs = org.enqueue(plugins.quick.request(""), owner=("team", team_id))
    mine = org.enqueue(plugins.quick.request(""))
    columns = "$select=_owningteam_value,_owninguser_value,_ownerid_value&$expand=owningteam($select=name)"
    found = http.get(f"asyncoperations({theirs})?{columns}").json()
    assert found["owningteam"]["name"] == "Operators"
    assert (found["_owningteam_value"], found["_owninguser_value"]) == (str(team_id), None)
    assert found["_ownerid_value"] == str(team_id)
    other = http.get(f"asyncoperations({mine})?{columns}").json()
    assert (other["owningteam"], other["_owningteam_value"]) == (None, None)
    assert other["_owninguser_value"] is not None
    assert count(http, f"_owningteam_value eq {team_id}") == 1


HANGING = {
    "bulkdeleteoperation": "bulkdeleteoperationid",
    "bulkdeletefailure": "bulkdeletefailureid",
    "workflowlog": "workflowlogid",
    "duplicaterecord": "duplicateid",
}


def hang(store: Store, job: UUID) -> None:
    """Rows of other tables that belong to a job; and a file, which `enqueue` has made."""
    cast = "::uuid" if store.dialect == "postgres" else ""
    for table, key in HANGING.items():
        sql = f"INSERT INTO {table} ({key}, asyncoperationid) VALUES (:id{cast}, :job{cast})"
        parameters = {"id": str(runtime.new_id()), "job": str(job)}
        store.write(lambda tx, sql=sql, parameters=parameters: tx.execute(sql, parameters))  # type: ignore[misc]


def left(store: Store) -> dict[str, int]:
    with store.read() as reader:
        found = {table: reader.rows(f"SELECT count(*) FROM {table}")[0][0] for table in (*HANGING, "fileattachment")}
        assert explain.examine(reader) == []
    return found


@pytest.mark.requirement("M201")
def test_what_belongs_to_a_job_goes_with_it_however_it_is_deleted(
    http: httpx.Client, org: Client, store: Store
) -> None:
    large: Any = "x" * 4_300_000
    jobs = [
        org.enqueue(plugins.quick.request(large if number < 3 else ""), dependency_token="t") for number in range(6)
    ]
    for job in jobs:
        hang(store, job)
    assert left(store) == {**dict.fromkeys(HANGING, 6), "fileattachment": 3}
    assert http.delete(f"asyncoperations({jobs[0]})").status_code == 204
    assert left(store) == {**dict.fromkeys(HANGING, 5), "fileattachment": 2}
    org.delete("asyncoperation", jobs[1])
    assert left(store) == {**dict.fromkeys(HANGING, 4), "fileattachment": 1}
    fetch = (
        "<fetch><entity name='asyncoperation'><attribute name='asyncoperationid'/><filter>"
        "<condition attribute='dependencytoken' operator='eq' value='t'/></filter></entity></fetch>"
    )
    chosen = [
        row["asyncoperationid"] for row in http.get("asyncoperations", params={"fetchXml": fetch}).json()["value"]
    ]
    assert sorted(chosen) == sorted(str(job) for job in jobs[2:])
    answer = send(http, batch(*(part(f"DELETE asyncoperations({job})") for job in chosen)))
    assert statuses(answer) == [204] * 4
    assert left(store) == {**dict.fromkeys(HANGING, 0), "fileattachment": 0}
    for job in jobs:
        assert http.get(f"asyncoperations({job})").status_code == 404
