"""`PUT asyncoperations(<id>)/data/$value`: the data of a job that has not begun is replaced as a whole, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import pytest
from tests.acceptance.webapi.conftest import error_of
from tests.acceptance.webapi.plugins import greet
from tests.acceptance.webapi.test_batch import batch, changes, part, send
from tests.acceptance.webapi.test_jobs import SET, enqueued
from tests.support import roles

from adjourn import config, runtime
from adjourn.client import Client
from adjourn.errors import signed
from adjourn.jobs import explain, orphans, queue
from adjourn.operations.task import data_of
from adjourn.query import access_tokens
from adjourn.service import Service
from adjourn.worker.inline import drain

LATER = "2031-01-01T00:00:00Z"
FAR = datetime(2031, 1, 1, tzinfo=UTC)
LIMIT = config.DATA_INLINE_BYTES_MAX
_BODY = b"x" * 100_000


@pytest.fixture
def service(service: Service) -> Service:
    service.register("tests.acceptance.webapi.plugins")
    return service


@pytest.fixture
def job(http: httpx.Client) -> str:
    return enqueued(http, PostponeUntil=LATER)


def named(length: int) -> bytes:
    """Arguments of `greet`, of so many bytes."""
    return b'{"name":"' + b"a" * (length - 11) + b'"}'


def put(http: httpx.Client, job: str, content: bytes | Iterator[bytes], **headers: str) -> httpx.Response:
    return http.put(
        f"{job}/data/$value", content=content, headers={key.replace("_", "-"): headers[key] for key in headers}
    )


def data(http: httpx.Client, job: str) -> bytes:
    return http.get(f"{job}/data/$value").content


def nothing_is_left(service: Service, files: int = 0) -> None:
    """No upload, no piece and no content but those of so many files."""
    with service.store.read() as reader:
        assert reader.rows("SELECT count(*) FROM fileupload")[0][0] == 0
        assert reader.rows("SELECT count(*) FROM fileattachment")[0][0] == files
        assert (
            reader.rows(
                "SELECT pieceid FROM filepiece WHERE fileid NOT IN (SELECT fileattachmentid FROM fileattachment)"
            )
            == []
        )
        assert explain.examine(reader) == []
    assert orphans.scan(service.store) == {}
    assert service.store.sweep_files(runtime.now() + timedelta(days=2)) == 0


@pytest.mark.requirement("M152")
@pytest.mark.requirement("M154")
@pytest.mark.parametrize("length", [0, 20, LIMIT, LIMIT + 1, 2 * LIMIT, 2 * LIMIT + 5])
def test_what_is_put_is_what_is_got(http: httpx.Client, service: Service, job: str, length: int) -> None:
    """Up to 4 MB lie in the row, more in a file of that size; whatever lay there before is gone."""
    content = named(length) if length else b""
    for before in (named(3 * LIMIT), b"{}"):
        assert put(http, job, before).status_code == 204
        assert put(http, job, content).status_code == 204
        assert data(http, job) == content
        row = http.get(f"{job}?$select=data,datablobid&$expand=datablobid($select=filesizeinbytes)").json()
        file = row["datablobid"]
        assert (file["filesizeinbytes"] if file else None) == (length if length > LIMIT else None)
        assert row["data"] == (content.decode() if length <= LIMIT else None)
    if length > LIMIT:
        part_of = http.get(f"{job}/data/$value", headers={"Range": f"bytes={LIMIT - 3}-{LIMIT}"})
        assert (part_of.status_code, part_of.content) == (206, content[LIMIT - 3 : LIMIT + 1])
    nothing_is_left(service, files=int(length > LIMIT))
    assert http.delete(job).status_code == 204
    nothing_is_left(service)
    assert service.store.space().files == 0


@pytest.mark.parametrize("length", [20, LIMIT + 1])
def test_the_file_that_a_job_was_made_with_goes_when_other_data_comes(
    http: httpx.Client, service: Service, length: int
) -> None:
    job = enqueued(http, PostponeUntil=LATER, InputParameters={"name": "a" * LIMIT})
    assert put(http, job, named(length)).status_code == 204
    assert data(http, job) == named(length)
    nothing_is_left(service, files=int(length > LIMIT))


def test_a_length_need_not_be_announced(http: httpx.Client, service: Service, job: str) -> None:
    content = named(LIMIT + 1_000_000)
    pieces = (content[start : start + 300_000] for start in range(0, len(content), 300_000))
    assert put(http, job, pieces).status_code == 204
    assert data(http, job) == content


def test_the_job_runs_with_what_was_put(http: httpx.Client, service: Service, org: Client) -> None:
    """Read from its row, from the pieces of a file, and by the runs of a schedule."""
    small, large = enqueued(http, PostponeUntil=LATER), enqueued(http, PostponeUntil=LATER)
    recurring = enqueued(http, RecurrencePattern="FREQ=DAILY;", RecurrenceStartTime=LATER)
    assert put(http, small, b'{"name":"Bob"}').status_code == 204
    assert put(http, large, b'{"name":"Bob","times":1' + b" " * LIMIT + b"}").status_code == 204
    assert put(http, recurring, b'{"name":"Bob"' + b" " * LIMIT + b"}").status_code == 204
    drain(service, datetime(2031, 1, 1, 0, 0, 1, tzinfo=UTC))
    for job in (small, large):
        assert org.retrieve("asyncoperation", job[-37:-1])["friendlymessage"] == "Hello Bob"
    ran = org.retrieve_multiple("asyncoperations?$filter=statecode eq 3 and friendlymessage eq 'Hello Bob'")
    assert len(ran) == 3


def test_who_changed_it_and_when_is_told(http: httpx.Client, service: Service, job: str) -> None:
    before = http.get(job).json()
    assert put(http, job, b"{}").status_code == 204
    after = http.get(job).json()
    assert before["@odata.etag"] != after["@odata.etag"]
    assert after["_modifiedby_value"] == config.ADMIN_USER_ID
    with service.store.read() as reader:
        told = explain.story(reader, UUID(job[-37:-1]))
    assert [(one.event, one.detail) for one in told] == [("data", "2 bytes")]
    assert (after["statecode"], after["statuscode"], after["postponeuntil"]) == (1, 10, LATER)


@pytest.mark.parametrize("length", [2, LIMIT + 1])
def test_an_etag_guards_it(http: httpx.Client, service: Service, job: str, length: int) -> None:
    etag = http.get(job).json()["@odata.etag"]
    assert put(http, job, named(50), If_Match=etag).status_code == 204
    refused = put(http, job, named(length + 20), If_Match=etag)
    assert error_of(refused)[:2] == (412, "0x80060882")
    assert data(http, job) == named(50)
    assert put(http, job, b"{}", If_Match="*").status_code == 204
    nothing_is_left(service)


def test_who_changes_the_job_meanwhile_wins(http: httpx.Client, service: Service, job: str) -> None:
    """The version is looked at again at the end, when the job is switched to its new data."""
    etag = http.get(job).json()["@odata.etag"]

    def slowly() -> Iterator[bytes]:
        yield named(2 * LIMIT)
        assert http_beside.patch(job, json={"postponeuntil": "2032-01-01T00:00:00Z"}).status_code == 204
        yield b" "

    with httpx.Client(base_url=http.base_url, headers=http.headers) as http_beside:
        assert error_of(put(http, job, slowly(), If_Match=etag))[:2] == (412, "0x80060882")
    assert data(http, job) == b'{"name":"Ada"}'
    nothing_is_left(service)


def test_a_job_that_is_claimed_meanwhile_keeps_what_it_began_with(http: httpx.Client, service: Service) -> None:
    job = enqueued(http)

    def slowly() -> Iterator[bytes]:
        yield named(2 * LIMIT)
        claimed = service.store.write(lambda tx: queue.claim(tx, operation_types=(54,), limit=1, worker="w"))
        assert [data_of(one, service) for one in claimed] == ['{"name":"Ada"}']
        yield b" "

    assert error_of(put(http, job, slowly()))[:2] == (400, "0x80044162")
    assert data(http, job) == b'{"name":"Ada"}'
    nothing_is_left(service)


def test_a_client_that_breaks_off_leaves_nothing(http: httpx.Client, service: Service, job: str) -> None:
    def broken() -> Iterator[bytes]:
        yield named(3 * LIMIT)
        raise KeyboardInterrupt

    with httpx.Client(base_url=http.base_url, headers=http.headers) as client, pytest.raises(KeyboardInterrupt):
        put(client, job, broken())
    deadline = runtime.monotonic() + 10
    while runtime.monotonic() < deadline:
        with service.store.read() as reader:
            if not reader.rows("SELECT 1 FROM fileupload"):
                break
        runtime.sleep(0.01)
    nothing_is_left(service)
    assert data(http, job) == b'{"name":"Ada"}'


def test_only_a_job_that_has_not_begun_takes_data(http: httpx.Client, service: Service) -> None:
    """Ready and Suspended do; Locked, Completed, and waiting in the middle of their work do not."""
    ready = enqueued(http)
    assert put(http, ready, b'{"name":"Bob"}').status_code == 204
    (claimed,) = service.store.write(lambda tx: queue.claim(tx, operation_types=(54,), limit=1, worker="w"))
    code, told = error_of(put(http, ready, _BODY))[1:]
    assert (code, "has begun" in told) == ("0x80044162", True)
    http.patch(ready, json={"statecode": 1})
    assert error_of(put(http, ready, _BODY))[1] == "0x80044162"
    canceled = enqueued(http, PostponeUntil=LATER)
    assert http.patch(canceled, json={"statecode": 3}).status_code == 204
    code, told = error_of(put(http, canceled, _BODY))[1:]
    assert (code, "never changes" in told) == ("0x80044162", True)
    assert claimed.data == '{"name":"Bob"}'
    assert error_of(put(http, f"{SET}({runtime.new_id()})", _BODY))[:2] == (404, "0x80040217")


def test_the_platforms_own_data_is_nobodys(http: httpx.Client, service: Service, account: str) -> None:
    """What a step, a bulk delete or a platform job is to do is no text of its owner's."""
    order = {
        "QuerySet": [{"EntityName": "account"}], "JobName": "x", "SendEmailNotification": False, "ToRecipients": [],
        "CCRecipients": [], "RecurrencePattern": "", "StartDateTime": LATER,
    }  # fmt: skip
    made = http.post("BulkDelete", json=order).json()["JobId"]
    event = http.get(f"{SET}?$filter=operationtype eq 1").json()["value"][0]["asyncoperationid"]
    for key in (made, event):
        before = data(http, f"{SET}({key})")
        status, code, told = error_of(put(http, f"{SET}({key})", _BODY))
        assert (status, code, "the platform's own" in told) == (400, "0x80040203", True)
        assert data(http, f"{SET}({key})") == before


def test_only_whom_it_runs_as_may_say_what_it_does(http: httpx.Client, service: Service, org: Client) -> None:
    """Who may cancel everybody's jobs may not do something in their owners' names for that; nor may who cannot write them."""
    operator_role = roles.role(
        org, "operator", {"prvWriteAsyncOperation": roles.GLOBAL, "prvReadAsyncOperation": roles.GLOBAL}
    )
    ada, operator = roles.user(org, "ada"), roles.user(org, "olga", roles=[operator_role])
    tokens = {
        user: service.store.write(lambda tx, user=user: access_tokens.create(tx, user, "test", None))[0]  # type: ignore[misc]
        for user in (ada, operator)
    }
    job = enqueued(http, PostponeUntil=LATER)
    mine = f"{SET}({org.enqueue(greet.request('Ada'), owner=('systemuser', ada), postpone_until=FAR)})"
    for user, place, expected in ((operator, job, 403), (ada, job, 403), (operator, mine, 403), (ada, mine, 204)):
        answer = put(http, place, b'{"name":"Bob"}', Authorization=f"Bearer {tokens[user]}")
        assert answer.status_code == expected, answer.text
        if expected == 403:
            assert error_of(answer)[1] == "0x80040220"
    assert (data(http, job), data(http, mine)) == (b'{"name":"Ada"}', b'{"name":"Bob"}')
    assert put(http, mine, b"{}").status_code == 204


def test_too_much_is_refused_with_the_documented_code(
    http: httpx.Client, service: Service, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Announced it is refused at once, unannounced as soon as it is known."""
    monkeypatch.setattr(config, "DATA_INLINE_BYTES_MAX", 1_000)
    monkeypatch.setattr(config, "DATA_BYTES_MAX", 2_000_000)
    for content in (named(2_000_001), iter([named(1_500_000), named(1_500_000)])):
        status, code, told = error_of(put(http, job, content))
        assert (status, code) == (413, "0x80044a02")
        assert "1,953 KB" in told
    assert put(http, job, named(2_000_000)).status_code == 204
    assert len(data(http, job)) == 2_000_000
    nothing_is_left(service, files=1)


@pytest.mark.parametrize(
    ("content", "headers", "said"),
    [
        (b"\xff" * 10, {}, "UTF-8"),
        (b"x" * (LIMIT + 1) + b"\xc3", {}, "UTF-8"),
        (b"{}\0", {}, "NUL"),
        (b"{}", {"Content_Type": "text/plain; charset=latin-1"}, "latin-1"),
        (b"{}", {"Content_Encoding": "gzip"}, "gzip"),
        (b"{}", {"Content_Range": "bytes 0-1/4"}, "Content-Range"),
        (b"{}", {"If_None_Match": "*"}, "If-None-Match"),
    ],
)
def test_what_is_no_text_is_refused(
    http: httpx.Client, service: Service, job: str, content: bytes, headers: dict[str, str], said: str
) -> None:
    status, _, told = error_of(put(http, job, content, **headers))
    assert (status, said in told) == (415 if said == "gzip" else 400, True)
    assert data(http, job) == b'{"name":"Ada"}'
    nothing_is_left(service)


def test_letters_may_lie_across_pieces(http: httpx.Client, job: str) -> None:
    content = ("ä€😀" * 900_000).encode()
    assert put(http, job, iter([content[:1_000_001], content[1_000_001:]])).status_code == 204
    assert data(http, job) == content


def test_the_property_itself_stays_closed(http: httpx.Client, job: str) -> None:
    """The specification opens three columns for updates, and this is none of them."""
    for answer in (
        http.patch(job, json={"data": "{}"}),
        http.put(f"{job}/data", json={"value": "{}"}),
        http.delete(f"{job}/data"),
    ):
        assert error_of(answer)[:2] == (400, "0x80040203")
    assert error_of(http.patch(f"{job}/data/$value", content=b"{}"))[0] == 405
    assert error_of(http.put(f"{job}/name/$value", content=b"{}"))[0] == 405
    assert data(http, job) == b'{"name":"Ada"}'


def test_a_batch_takes_it_too(http: httpx.Client, service: Service, job: str) -> None:
    """In a change set it is undone with the rest."""
    answer = send(http, batch(part(f"PUT {job}/data/$value", '{"name":"Bob"}')))
    assert "204 No Content" in answer.text
    assert data(http, job) == b'{"name":"Bob"}'
    large = named(LIMIT + 1).decode()
    refused = part("POST accounts", '{"nosuch":1}', content_id="2")
    send(http, batch(changes(part(f"PUT {job}/data/$value", large, content_id="1"), refused)))
    assert data(http, job) == b'{"name":"Bob"}'
    nothing_is_left(service)
    made = part("POST accounts", '{"name":"Contoso"}', content_id="2")
    send(http, batch(changes(part(f"PUT {job}/data/$value", large, content_id="1"), made)))
    assert data(http, job) == large.encode()
    nothing_is_left(service, files=1)


@pytest.mark.parametrize("content", [b"[1]", b"null", b"{nope", b"12", b"[" * 100_000])
def test_a_run_says_that_data_is_no_object(http: httpx.Client, service: Service, job: str, content: bytes) -> None:
    """Data may be anything while it waits; who runs it says what he would have taken."""
    assert put(http, job, content).status_code == 204
    drain(service, FAR + timedelta(seconds=1))
    ended = http.get(f"{job}?$select=statuscode,errorcode,friendlymessage").json()
    assert (ended["statuscode"], ended["errorcode"]) == (31, signed(0x80044304))
    assert ended["friendlymessage"].startswith("The job's data is not a JSON object of parameters")
