from __future__ import annotations

import hashlib
import uuid
from typing import Any
from unittest import mock

import httpx
import pytest
from tests.acceptance.webapi import job_rows
from tests.acceptance.webapi.conftest import created, error_of

from adjourn.client import Client
from adjourn.metadata.catalog import load
from adjourn.service import Service

SET = "asyncoperations"


@pytest.fixture
def service(service: Service) -> Service:
    service.register("tests.acceptance.webapi.plugins")
    return service


@pytest.fixture
def job(http: httpx.Client) -> str:
    """The address of a Ready job."""
    return enqueued(http)


def enqueued(http: httpx.Client, **options: Any) -> str:
    body = {"MessageName": "greet", "InputParameters": {"name": "Ada"}, **options}
    answer = http.post("ExecuteAsync", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["@odata.context"].endswith("#Microsoft.Dynamics.CRM.ExecuteAsyncResponse")
    return f"{SET}({answer.json()['AsyncJobId']})"


def state(http: httpx.Client, job: str) -> tuple[int, int]:
    body = http.get(f"{job}?$select=statecode,statuscode").json()
    return body["statecode"], body["statuscode"]


@pytest.mark.requirement("M05")
def test_an_asynchronous_step_leaves_a_job_of_type_1(http: httpx.Client) -> None:
    account = created(http, "accounts", {"name": "Contoso"})
    rows = http.get(f"{account}/Account_AsyncOperations?$expand=createdby($select=fullname)").json()["value"]
    assert [(row["operationtype"], row["name"], row["messagename"]) for row in rows] == [
        (1, "After create of account", "Create")
    ]
    assert rows[0]["createdby"]["fullname"] == "System Administrator"
    assert account == f"accounts({rows[0]['_regardingobjectid_value']})"
    assert http.get(f"{SET}({rows[0]['asyncoperationid']})/regardingobjectid_account/name").json()["value"] == "Contoso"
    assert http.get(f"{SET}({rows[0]['asyncoperationid']})/regardingobjectid_contact").status_code == 204


@pytest.mark.requirement("M10")
def test_registered_operations_are_listed(http: httpx.Client) -> None:
    rows = http.get("sdkmessageprocessingsteps?$filter=mode eq 1&$select=name").json()["value"]
    assert "After create of account" in [row["name"] for row in rows]
    assert b'Action Name="greet"' in http.get("$metadata").content


@pytest.mark.requirement("M180")
def test_a_new_job_is_ready_and_says_so_in_words(http: httpx.Client, job: str) -> None:
    body = http.get(f"{job}?$select=statecode,statuscode", headers={"Prefer": 'odata.include-annotations="*"'}).json()
    formatted = "OData.Community.Display.V1.FormattedValue"
    assert (body["statecode"], body[f"statecode@{formatted}"]) == (0, "Ready")
    assert (body["statuscode"], body[f"statuscode@{formatted}"]) == (0, "Waiting For Resources")


@pytest.mark.requirement("M30")
def test_a_job_is_retrieved_postponed_resumed_canceled_and_deleted(http: httpx.Client, job: str) -> None:
    assert http.get(job).status_code == 200
    assert http.patch(job, json={"postponeuntil": "2030-01-01T00:00:00Z"}).status_code == 204
    assert state(http, job) == (1, 10)
    assert http.patch(job, json={"statecode": 0, "statuscode": 0}).status_code == 204
    assert state(http, job) == (0, 0)
    assert error_of(http.patch(job, json={"statecode": 1, "statuscode": 10}))[:2] == (400, "0x80044167")
    assert http.patch(job, json={"statecode": 3}).status_code == 204
    assert state(http, job) == (3, 32)
    assert http.delete(job).status_code == 204
    assert http.get(job).status_code == 404


@pytest.mark.requirement("M33")
def test_a_postponed_job_is_suspended_until_its_moment(http: httpx.Client, job: str) -> None:
    assert http.patch(job, json={"postponeuntil": "2030-01-01T00:00:00Z"}).status_code == 204
    body = http.get(f"{job}?$select=postponeuntil,statecode,statuscode").json()
    assert (body["postponeuntil"], body["statecode"], body["statuscode"]) == ("2030-01-01T00:00:00Z", 1, 10)


@pytest.mark.requirement("M190")
@pytest.mark.requirement("M32")
def test_a_ready_job_is_canceled_at_once(http: httpx.Client, job: str) -> None:
    assert http.patch(job, json={"statecode": 3, "statuscode": 32}).status_code == 204
    body = http.get(job).json()
    assert (body["statecode"], body["statuscode"]) == (3, 32)
    assert body["completedon"] is not None


@pytest.mark.requirement("M32")
@pytest.mark.parametrize("pair", [(3, 30), (3, 31), (2, 20), (0, 10), (1, 32), (3, 0)])
def test_a_pair_that_no_caller_may_set_is_refused(http: httpx.Client, job: str, pair: tuple[int, int]) -> None:
    found = error_of(http.patch(job, json={"statecode": pair[0], "statuscode": pair[1]}))
    assert found[:2] == (400, "0x80048408")
    assert found[2].endswith("1/10 pauses; postponeuntil, alone or with 0/0 or 1/10, postpones.")
    assert state(http, job) == (0, 0)


@pytest.mark.parametrize(
    "alone", [{"statecode": 3}, {"statuscode": 32}, {"statuscode": 32, "postponeuntil": "2031-01-01T00:00:00Z"}]
)
def test_one_column_alone_means_its_pair_and_a_moment_beside_a_cancel_nothing(
    http: httpx.Client, job: str, alone: dict[str, Any]
) -> None:
    assert http.patch(job, json=alone).status_code == 204
    body = http.get(job).json()
    assert (body["statecode"], body["statuscode"], body["postponeuntil"]) == (3, 32, None)


@pytest.mark.requirement("M31")
def test_a_job_cannot_be_created(http: httpx.Client, account: str) -> None:
    before = http.get(f"{SET}/$count").text
    key = uuid.uuid4()
    answers = [
        http.post(SET, json={"name": "x"}),
        http.patch(f"{SET}({key})", json={"statecode": 0}, headers={"If-None-Match": "*"}),
        http.post(f"{account}/Account_AsyncOperations", json={"name": "x"}),
        http.post("accounts", json={"name": "x", "Account_AsyncOperations": [{"name": "x"}]}),
    ]
    for answer in answers:
        status, code, text = error_of(answer)
        assert (status, code) == (405, "0x80040315")
        assert "System jobs cannot be created" in text
    only_changes = error_of(http.patch(f"{SET}({key})", json={"statecode": 0}))
    assert only_changes == (404, "0x80040217", f"asyncoperation With Id = {key} Does Not Exist")
    assert http.get(f"{SET}/$count").text == before
    assert http.get("accounts/$count").text == "\ufeff1"


@pytest.mark.requirement("M34")
def test_no_other_column_of_a_job_can_be_updated(http: httpx.Client, job: str) -> None:
    before = http.get(job).json()
    table = load().table("asyncoperation")
    samples = {"Uniqueidentifier": str(uuid.uuid4()), "DateTime": "2030-01-01T00:00:00Z", "Boolean": True}
    for name, column in table.by_property.items():
        if name in ("asyncoperationid", "statecode", "statuscode", "postponeuntil"):
            continue
        body = {name: samples.get(str(column.type), 1 if column.type.value in ("Integer", "BigInt") else "x")}
        if column.type.is_lookup:
            navigation = next(r.navigation for r in table.many_to_one if r.column == column.logical)
            target = load().tables[table.by_navigation[navigation].referenced].entityset
            body = {f"{navigation}@odata.bind": f"/{target}({uuid.uuid4()})"}
        status, _, text = error_of(http.patch(job, json={**body, "statecode": 3}))
        assert status == 400, text
        assert column.logical in text
    assert error_of(http.patch(job, json={"ownerid@odata.bind": f"/teams({uuid.uuid4()})"}))[0] == 400
    assert http.get(job).json() == before


@pytest.mark.requirement("M35")
def test_a_missing_job_is_not_found(http: httpx.Client) -> None:
    key = uuid.uuid4()
    for answer in (
        http.get(f"{SET}({key})"),
        http.patch(f"{SET}({key})", json={"statecode": 3}, headers={"If-Match": "*"}),
        http.delete(f"{SET}({key})"),
    ):
        assert error_of(answer)[:2] == (404, "0x80040217")


def test_a_jobs_etag_guards_it(http: httpx.Client, job: str) -> None:
    etag = http.get(job).json()["@odata.etag"]
    until = {"postponeuntil": "2030-01-01T00:00:00Z"}
    assert http.patch(job, json=until, headers={"If-Match": etag}).status_code == 204
    assert error_of(http.patch(job, json={"statecode": 0}, headers={"If-Match": etag}))[:2] == (412, "0x80060882")
    assert error_of(http.delete(job, headers={"If-Match": etag}))[0] == 412


@pytest.mark.requirement("M40")
def test_the_data_of_a_job_can_be_read_as_text(http: httpx.Client, job: str) -> None:
    assert http.get(f"{job}/data/$value").text == '{"name":"Ada"}'
    assert http.get(f"{job}/data").json()["value"] == '{"name":"Ada"}'


@pytest.mark.requirement("M154")
@pytest.mark.requirement("M152")
def test_data_over_4_mb_is_read_back_from_its_file(http: httpx.Client) -> None:
    name = "ä" * 2_200_000
    job = enqueued(http, InputParameters={"name": name})
    row = http.get(f"{job}?$select=data,datablobid").json()
    assert row["data"] is None
    assert row["datablobid"] is not None
    expected = f'{{"name":"{name}"}}'.encode()
    for address in (f"{job}/data/$value", f"{job}/datablobid/$value"):
        assert hashlib.sha256(http.get(address).content).digest() == hashlib.sha256(expected).digest()
    expanded = http.get(f"{job}?$select=datablobid&$expand=datablobid($select=filesizeinbytes)").json()["datablobid"]
    assert expanded == {"filesizeinbytes": len(expected), "fileattachmentid": row["datablobid"]}
    attachment = http.get(f"fileattachments({row['datablobid']})").json()
    assert attachment["filesizeinbytes"] == len(expected)
    small = http.get(f"{enqueued(http)}?$select=data,datablobid").json()
    assert small["datablobid"] is None


def test_the_data_of_a_job_is_sent_in_pieces_and_in_part(http: httpx.Client) -> None:
    """However large a payload is, only a piece of it is in memory at a time; and whoever wants a part gets that."""
    job = enqueued(http, InputParameters={"name": "ä" * 4_500_000})
    expected = ('{"name":"' + "ä" * 4_500_000 + '"}').encode()
    with mock.patch.object(Service, "read_file", autospec=True, side_effect=Service.read_file) as reads:
        with http.stream("GET", f"{job}/data/$value") as answer:
            assert int(answer.headers["content-length"]) == len(expected)
            digest = hashlib.sha256()
            for part in answer.iter_bytes():
                digest.update(part)
        assert digest.digest() == hashlib.sha256(expected).digest()
        assert [call.args[4] for call in reads.call_args_list] == [4_194_304, 4_194_304, len(expected) - 2 * 4_194_304]
    answer = http.get(f"{job}/data/$value", headers={"Range": "bytes=4194300-4194310"})
    assert (answer.status_code, answer.content) == (206, expected[4_194_300:4_194_311])


def test_execute_async_postpones_and_serializes(http: httpx.Client, account: str) -> None:
    job = enqueued(http, PostponeUntil="2031-02-03T04:05:06Z", DependencyToken="t", Regarding={"@odata.id": account})
    body = http.get(job).json()
    assert (body["postponeuntil"], body["dependencytoken"], body["statecode"]) == ("2031-02-03T04:05:06Z", "t", 1)
    assert account == f"accounts({body['_regardingobjectid_value']})"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (
            {"MesageName": "greet"},
            "has no parameter 'MesageName'; it takes MessageName, InputParameters, DependencyToken",
        ),
        ({"Message": "greet"}, "Did you mean 'MessageName'?"),
        (
            {"MessageName": "greet", "InputParameters": {"name": "x"}, "DependencyToken": "t" * 500},
            "1 to 256 characters, without NUL; found 500 characters",
        ),
        ({}, "needs parameter 'MessageName'; it takes MessageName, InputParameters, "),
        ({"Request": {"name": "x"}}, "has no parameter 'Request'; it takes MessageName, InputParameters, "),
        ({"MessageName": "geret"}, "Did you mean 'greet'?"),
        ({"MessageName": "greet"}, "needs parameter 'name'"),
        ({"MessageName": "greet", "InputParameters": {"name": 5}}, "Parameter 'name'"),
        ({"MessageName": "greet", "InputParameters": []}, "must be a JSON object"),
        (
            {"MessageName": "greet", "InputParameters": {"name": "x"}, "PostponeUntl": 1},
            "Did you mean 'PostponeUntil'?",
        ),
        (
            {"MessageName": "greet", "InputParameters": {"name": "x"}, "PostponeUntil": "soon"},
            "'PostponeUntil' must be",
        ),
        ({"MessageName": "greet", "InputParameters": {"name": "x"}, "Regarding": "x"}, "'Regarding' must be a record"),
    ],
)
def test_execute_async_refuses_what_it_does_not_understand(http: httpx.Client, body: dict[str, Any], text: str) -> None:
    status, _, message = error_of(http.post("ExecuteAsync", json=body))
    assert status == 400
    assert text in message


def test_a_message_of_ones_own_is_an_action(http: httpx.Client, account: str) -> None:
    body = http.post("greet", json={"name": "Ada", "times": 2}).json()
    assert body == {
        "@odata.context": f"{http.base_url}$metadata#Microsoft.Dynamics.CRM.greetResponse",
        "value": "Hello AdaHello Ada",
    }
    key = account.partition("(")[2].rstrip(")")
    assert http.post("touch", json={"account": key}).status_code == 204
    assert http.get(f"{account}/telephone1").json()["value"] == "touched"
    assert error_of(http.post("greet", json={"nmae": "x"}))[2].endswith("Did you mean 'name'?")
    assert error_of(http.post("greet", json={"name": 1}))[0] == 400
    assert error_of(http.post("greet"))[2] == "Message 'greet' needs parameter 'name'."


def test_the_wrong_verb_on_an_operation_finds_nothing(http: httpx.Client) -> None:
    for answer in (
        http.get("greet"),
        http.post("WhoAmI", json={}),
        http.patch("greet", json={}),
        http.get("ExecuteAsync"),
    ):
        status, code, text = error_of(answer)
        assert (status, code) == (404, "")
        assert text.startswith("No HTTP resource was found that matches the request URI 'http://")


def test_a_step_that_refuses_says_so_and_nothing_changes(http: httpx.Client, account: str) -> None:
    status, _, text = error_of(http.patch(account, json={"fax": "1", "name": "new"}))
    assert (status, text) == (400, "nobody has a fax")
    assert http.get(account).json()["name"] == "Contoso"


def test_every_state_has_its_labels(http: httpx.Client, service: Service) -> None:
    job_rows.load(service, 60)
    formatted = "OData.Community.Display.V1.FormattedValue"
    rows = http.get(
        f"{SET}?$apply=groupby((statecode,statuscode))", headers={"Prefer": 'odata.include-annotations="*"'}
    ).json()["value"]
    found = {
        (row["statecode"], row["statuscode"]): (row[f"statecode@{formatted}"], row[f"statuscode@{formatted}"])
        for row in rows
    }
    expected = {
        (0, 0): ("Ready", "Waiting For Resources"),
        (1, 10): ("Suspended", "Waiting"),
        (3, 30): ("Completed", "Succeeded"),
        (3, 31): ("Completed", "Failed"),
        (3, 32): ("Completed", "Canceled"),
    }
    assert found == expected


def test_the_tag_reaches_the_steps(http: httpx.Client, org: Client) -> None:
    assert http.post("accounts?tag=import", json={"name": "x"}).status_code == 204
    job = http.get(f"{SET}?$filter=operationtype eq 1").json()["value"][0]
    assert "import" in job["data"]
