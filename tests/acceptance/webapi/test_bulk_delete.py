"""POST BulkDelete over HTTP: its parameters, its refusals, what the job then does."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from tests.acceptance.webapi.conftest import created, error_of

from adjourn import config
from adjourn.service import Service
from adjourn.worker.inline import drain

REQUIRED = (
    "QuerySet", "JobName", "SendEmailNotification", "ToRecipients", "CCRecipients", "RecurrencePattern", "StartDateTime",
)  # fmt: skip


def body(**changes: Any) -> dict[str, Any]:
    """As Microsoft's page of the action shows it, with the samples' types."""
    found: dict[str, Any] = {
        "QuerySet": [
            {
                "@odata.type": "Microsoft.Dynamics.CRM.QueryExpression",
                "EntityName": "account",
                "ColumnSet": {"@odata.type": "Microsoft.Dynamics.CRM.ColumnSet", "AllColumns": False, "Columns": []},
                "Criteria": {
                    "@odata.type": "Microsoft.Dynamics.CRM.FilterExpression",
                    "FilterOperator": "And",
                    "Conditions": [
                        {
                            "AttributeName": "name",
                            "Operator": "Equal",
                            "Values": [{"Value": "gone", "Type": "System.String"}],
                        }
                    ],
                },
            }
        ],
        "JobName": "Delete the gone",
        "SendEmailNotification": False,
        "ToRecipients": [],
        "CCRecipients": [],
        "RecurrencePattern": "",
        "StartDateTime": "2020-01-01T00:00:00.0000000+02:00",
    }
    return {name: value for name, value in {**found, **changes}.items() if value is not ...}


@pytest.mark.requirement("M36")
@pytest.mark.requirement("M51")
@pytest.mark.requirement("M101")
def test_a_bulk_delete_answers_its_job_and_does_it(service: Service, http: httpx.Client) -> None:
    for name in ("gone", "gone", "stays"):
        created(http, "accounts", {"name": name})
    answer = http.post("BulkDelete", json=body())
    assert answer.status_code == 200, answer.text
    assert answer.json()["@odata.context"].endswith("$metadata#Microsoft.Dynamics.CRM.BulkDeleteResponse")
    job = answer.json()["JobId"]
    found = http.get(f"asyncoperations({job})").json()
    assert (found["operationtype"], found["name"], found["statecode"]) == (13, "Delete the gone", 0)
    assert http.get("asyncoperations?$filter=contains(name,'the gone')").json()["value"][0]["asyncoperationid"] == job
    drain(service)
    found = http.get(f"asyncoperations({job})?$select=statecode,statuscode,friendlymessage").json()
    assert (found["statecode"], found["statuscode"], found["friendlymessage"]) == (3, 30, "2 deleted.")
    assert [row["name"] for row in http.get("accounts").json()["value"]] == ["stays"]
    told = http.get(f"asyncoperations({job})/AsyncOperation_BulkDeleteOperation").json()["value"]
    assert [(row["successcount"], row["failurecount"], row["statuscode"]) for row in told] == [(2, 0, 30)]


@pytest.mark.requirement("M101")
@pytest.mark.parametrize("name", REQUIRED)
def test_each_required_parameter_is_missed_by_name(http: httpx.Client, name: str) -> None:
    for left_out in (..., None):
        status, _, message = error_of(http.post("BulkDelete", json=body(**{name: left_out})))
        assert (status, f"'{name}'" in message) == (400, True), message
    assert http.get("asyncoperations?$count=true").json()["@odata.count"] == 0


@pytest.mark.parametrize(
    ("changes", "status", "code", "said"),
    [
        ({"Nonsense": 1}, 400, "0x80040203", "Nonsense"),
        ({"QuerySet": []}, 400, "0x80040203", "1 to 100"),
        ({"QuerySet": [{"EntityName": "acount"}]}, 400, None, "Did you mean 'account'"),
        ({"QuerySet": [{"EntityName": "account", "Criteira": {}}]}, 400, "0x80048d19", "Criteira"),
        ({"QuerySet": [{"EntityName": "sdkmessage"}]}, 400, None, "cannot be deleted"),
        ({"QuerySet": ["<fetch><entity name='account'><attribute name='nam'/></entity></fetch>"]}, 200, None, ""),
        ({"QuerySet": ["<fetch aggregate='true'><entity name='account'><attribute name='name' alias='n' aggregate='count'/>"
                       "</entity></fetch>"]}, 400, None, "aggregate"),
        ({"QuerySet": ["<fetch count='2'><entity name='account'/></fetch>"]}, 400, None, "page"),
        ({"JobName": ""}, 400, "0x80044331", "JobName"),
        ({"JobName": "a\0b"}, 400, "0x80044331", "NUL"),
        ({"SendEmailNotification": "yes"}, 400, "0x80040203", "SendEmailNotification"),
        ({"SendEmailNotification": True}, 400, "0x80048422", "ToRecipients"),
        ({"ToRecipients": ["nobody"]}, 400, None, "nobody"),
        ({"ToRecipients": ["0ad10000-0000-7000-8000-00000000ffff"]}, 400, "0x80048422", "ffff"),
        ({"ToRecipients": ["0ad10000-0000-7000-8000-000000000004"] * 101}, 400, None, "found 101 of them"),
        ({"StartDateTime": "tomorrow"}, 400, None, "StartDateTime"),
        ({"RecurrencePattern": "FREQ=OFTEN"}, 400, "0x8004e100", "OFTEN"),
        ({"RunNow": True}, 400, None, "system jobs"),
        ({"SourceImportId": "0ad10000-0000-7000-8000-00000000ffff"}, 400, None, "SourceImportId"),
        ({"Options": {"RunJobForSandboxes": True}}, 400, None, "Did you mean 'RunJobForSandbox'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_by_name(
    http: httpx.Client, changes: dict[str, Any], status: int, code: str | None, said: str
) -> None:
    answer = http.post("BulkDelete", json=body(**changes))
    assert answer.status_code == status, answer.text
    if status != 200:
        found = error_of(answer)
        assert said in found[2], found[2]
        assert code is None or found[1] == code, found


def test_the_recipients_get_an_email(service: Service, http: httpx.Client) -> None:
    user = "0ad10000-0000-7000-8000-000000000004"
    contact = created(http, "contacts", {"lastname": "Reader", "emailaddress1": "reader@example.com"})
    parties = [
        {"@odata.type": "Microsoft.Dynamics.CRM.activityparty", "activitypartyid": user},
        {"partyid_contact@odata.bind": f"/{contact}"},
    ]
    created(http, "accounts", {"name": "gone"})
    sent = body(SendEmailNotification=True, ToRecipients=parties, CCRecipients=[user])
    job = http.post("BulkDelete", json=sent).json()["JobId"]
    drain(service)
    mails = http.get("emails?$orderby=torecipients&$select=torecipients,subject,description").json()["value"]
    assert [mail["torecipients"] for mail in mails] == ["administrator@localhost"] * 2 + ["reader@example.com"]
    assert mails[0]["subject"] == "Bulk delete 'Delete the gone' has finished"
    assert mails[0]["description"] == "1 deleted."
    assert http.delete(f"asyncoperations({job})").status_code == 204
    assert http.get("emails").json()["value"] == []


def test_a_count_deletes_nothing(service: Service, http: httpx.Client) -> None:
    for name in ("gone", "gone", "stays"):
        created(http, "accounts", {"name": name})
    queries = [*body()["QuerySet"], "<fetch><entity name='account'/></fetch>"]
    answer = http.post("BulkDeleteCount", json={"QuerySet": queries})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["Count"], answer.json()["Counts"]) == (5, [2, 3])
    assert len(http.get("accounts").json()["value"]) == 3
    assert http.get("asyncoperations").json()["value"] == []


def test_both_actions_are_declared(http: httpx.Client) -> None:
    text = http.get("$metadata").text
    assert '<Action Name="BulkDelete">' in text
    assert 'Name="BulkDeleteResponse"' in text
    assert '<ActionImport Name="BulkDeleteCount"' in text


@pytest.mark.requirement("M155")
@pytest.mark.requirement("M169")
def test_jobs_with_files_are_deleted_and_their_bytes_given_back(service: Service, http: httpx.Client) -> None:
    """The specification's two ways to save space: everything that has a file, and everything of one name."""
    service.register("tests.support.worker_plugins")
    for name in ("x" * 5_000_000, "x" * 5_000_000, "small"):
        sent = {"MessageName": "quick", "InputParameters": {"text": name}}
        assert http.post("ExecuteAsync", json=sent).status_code == 200
    drain(service)
    before = service.store.space()
    count = "asyncoperations?$apply=filter(datablobid ne null)/aggregate($count as FileStorageCount)"
    sizes = (
        "asyncoperations?$apply=filter(datablobid ne null)/groupby((operationtype),"
        "aggregate(datablobid/filesizeinbytes with sum as TotalSize))"
    )
    assert http.get(count).json()["value"][0]["FileStorageCount"] == 2
    assert http.get(sizes).json()["value"][0]["TotalSize"] > 10_000_000
    condition = {"AttributeName": "datablobid", "Operator": "NotNull"}
    jobs = {"EntityName": "asyncoperation", "Criteria": {"Conditions": [condition]}}
    job = http.post("BulkDelete", json=body(QuerySet=[jobs])).json()["JobId"]
    drain(service)
    assert http.get(f"asyncoperations({job})").json()["friendlymessage"] == "2 deleted."
    assert http.get(count).json()["value"][0]["FileStorageCount"] == 0
    assert http.get(sizes).json()["value"] == []
    assert http.get("fileattachments").json()["value"] == []
    if service.store.dialect == "sqlite":
        assert before.files > 10_000_000
        assert service.store.space().files == 0
    with service.store.read() as reader:
        if reader.dialect == "postgres":
            assert reader.rows("SELECT count(*) FROM filechunk") == [(0,)]
    condition_of_name = "<condition attribute='name' operator='eq' value='quick'/>"
    by_name = f"<fetch><entity name='asyncoperation'><filter>{condition_of_name}</filter></entity></fetch>"
    job = http.post("BulkDelete", json=body(QuerySet=[by_name])).json()["JobId"]
    drain(service)
    told = http.get(f"asyncoperations({job})/AsyncOperation_BulkDeleteOperation").json()["value"][0]
    assert told["successcount"] == 1
    assert http.get("asyncoperations?$filter=name eq 'quick'").json()["value"] == []


def test_an_order_of_many_ids_goes_to_a_file_and_is_carried_out(
    service: Service, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients name what they want deleted one by one."""
    monkeypatch.setattr(config, "DATA_INLINE_BYTES_MAX", 100_000)
    account = created(http, "accounts", {"name": "gone"})
    nobody = [f"0ad10000-0000-7000-8000-{number:012x}" for number in range(4_000)]
    queries = []
    for ids in (nobody[:2_000], [*nobody[2_000:], account.partition("(")[2].rstrip(")")]):
        condition = {"AttributeName": "accountid", "Operator": "In", "Values": [{"Value": found} for found in ids]}
        queries.append({"EntityName": "account", "Criteria": {"Conditions": [condition]}})
    answer = http.post("BulkDelete", json=body(QuerySet=queries))
    assert answer.status_code == 200, answer.text[:500]
    job = http.get(f"asyncoperations({answer.json()['JobId']})?$select=datablobid,data").json()
    assert (job["datablobid"] is not None, job["data"]) == (True, None)
    drain(service)
    assert http.get(f"asyncoperations({answer.json()['JobId']})").json()["friendlymessage"] == "1 deleted."


@pytest.mark.requirement("M98")
@pytest.mark.requirement("M99")
@pytest.mark.requirement("M205")
def test_a_recurring_clean_up_over_http(service: Service, http: httpx.Client) -> None:
    """The specification's own practice. The values are set by the message; a row with them cannot be created."""
    service.register("tests.support.worker_plugins")
    succeeded = {
        "AttributeName": "statuscode",
        "Operator": "Equal",
        "Values": [{"Value": "30", "Type": "System.Int32"}],
    }
    jobs = {"EntityName": "asyncoperation", "Criteria": {"Conditions": [succeeded]}}
    start = datetime(2030, 1, 1, 5, 30, tzinfo=UTC)
    sent = body(QuerySet=[jobs], RecurrencePattern="FREQ=DAILY;", StartDateTime="2030-01-01T05:30:00Z")
    schedule = http.post("BulkDelete", json=sent).json()["JobId"]
    found = http.get(f"asyncoperations({schedule})?$select=recurrencepattern,recurrencestarttime,statecode").json()
    assert (found["recurrencepattern"], found["recurrencestarttime"], found["statecode"]) == (
        "FREQ=DAILY;",
        "2030-01-01T05:30:00Z",
        1,
    )
    assert error_of(http.post("asyncoperations", json={"recurrencepattern": "FREQ=DAILY;"}))[:2] == (405, "0x80040315")
    for message in ("quick", "raises"):
        assert (
            http.post("ExecuteAsync", json={"MessageName": message, "InputParameters": {"text": "x"}}).status_code
            == 200
        )
    drain(service)
    drain(service, start)
    left = http.get("asyncoperations?$select=name,statuscode,operationtype&$orderby=operationtype").json()["value"]
    assert [(row["operationtype"], row["statuscode"]) for row in left] == [(13, 10), (23, 30), (54, 31)]
    rows = http.get(f"asyncoperations({schedule})/AsyncOperation_BulkDeleteOperation").json()["value"]
    assert [(row["isrecurring"], row["nextrun"], row["successcount"]) for row in rows] == [
        (True, "2030-01-02T05:30:00Z", 1)
    ]
    assert http.patch(f"asyncoperations({schedule})", json={"recurrencepattern": "FREQ=WEEKLY;"}).status_code == 204
    assert http.patch(f"asyncoperations({schedule})", json={"statecode": 3}).status_code == 204
    assert http.get(f"bulkdeleteoperations({rows[0]['bulkdeleteoperationid']})").json()["statuscode"] == 32
