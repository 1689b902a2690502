from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adjourn.errors import InvalidRequest
from adjourn.webapi import multipart
from adjourn.webapi.exchange import Answer
from adjourn.webapi.multipart import ChangeSet, PartRequest

BATCH = """--batch_1
Content-Type: application/http
Content-Transfer-Encoding: binary

GET /api/data/v9.2/accounts?$filter=name eq 'a b' HTTP/1.1
Accept: application/json


--batch_1
Content-Type: multipart/mixed; boundary="changeset_2"

--changeset_2
Content-Type: application/http
Content-Transfer-Encoding: binary
Content-ID: 1

POST accounts HTTP/1.1
Content-Type: application/json

{"name":"x"}
--changeset_2--

--batch_1
Content-Type: application/http


DELETE accounts(1)
--batch_1--
"""


@pytest.mark.parametrize("line_end", ["\r\n", "\n"])
@pytest.mark.parametrize("content_type", ['multipart/mixed; boundary="batch_1"', "multipart/mixed;boundary=batch_1"])
def test_a_batch_is_taken_apart_whatever_its_line_ends(line_end: str, content_type: str) -> None:
    found = multipart.parse(BATCH.replace("\n", line_end).encode(), content_type)
    assert found == [
        PartRequest("GET", "/api/data/v9.2/accounts?$filter=name eq 'a b'", {"accept": "application/json"}, b"", None),
        ChangeSet((PartRequest("POST", "accounts", {"content-type": "application/json"}, b'{"name":"x"}', "1"),)),
        PartRequest("DELETE", "accounts(1)", {}, b"", None),
    ]


def test_a_request_without_headers_keeps_its_body() -> None:
    body = b'--b\r\nContent-Type: application/http\r\n\r\nPOST accounts HTTP/1.1\r\n\r\n{"a":1}\r\n--b--'
    assert multipart.parse(body, "multipart/mixed; boundary=b") == [
        PartRequest("POST", "accounts", {}, b'{"a":1}', None)
    ]


@pytest.mark.parametrize(
    ("body", "content_type", "reason"),
    [
        (BATCH, "application/json", "Content-Type must be multipart/mixed"),
        (BATCH, "multipart/mixed; boundary=other", "it has no part"),
        (BATCH.replace("--batch_1--", ""), "multipart/mixed; boundary=batch_1", "its end is missing"),
        (BATCH.replace("DELETE", "MOVE"), "multipart/mixed; boundary=batch_1", "is no request line"),
        (BATCH.replace("POST", "GET"), "multipart/mixed; boundary=batch_1", "a GET stands in a change set"),
        (
            BATCH.replace("application/http", "text/plain"),
            "multipart/mixed; boundary=batch_1",
            "must be application/http",
        ),
        ("", "multipart/mixed; boundary=b", "it has no part"),
    ],
)
def test_a_batch_that_cannot_be_read_says_why(body: str, content_type: str, reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason) as caught:
        multipart.parse(body.encode(), content_type)
    assert caught.value.hex == "0x80048d19"


def test_more_than_1000_requests_are_refused() -> None:
    part = b"--b\r\nContent-Type: application/http\r\n\r\nGET accounts HTTP/1.1\r\n\r\n"
    with pytest.raises(InvalidRequest, match="limited to 1000"):
        multipart.parse(part * 1001 + b"--b--", "multipart/mixed; boundary=b")


def test_an_answer_names_its_status_and_echoes_the_content_id() -> None:
    found = multipart.piece(Answer(204, b"", (("OData-EntityId", "x"),), ""), "7", "batchresponse_1")
    assert found == (
        b"--batchresponse_1\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\nContent-ID: 7\r\n\r\n"
        b"HTTP/1.1 204 No Content\r\nOData-Version: 4.0\r\nOData-EntityId: x\r\n\r\n\r\n"
    )


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(noise: bytes) -> None:
    for body in (
        noise,
        b"--b\r\n" + noise + b"\r\n--b--",
        b"--b\nContent-Type: application/http\n\n" + noise + b"\n--b--",
    ):
        with contextlib.suppress(InvalidRequest):
            multipart.parse(body, "multipart/mixed; boundary=b")
