from __future__ import annotations

import contextlib
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adjourn import config
from adjourn.errors import InvalidRequest
from adjourn.webapi.exchange import json_object
from adjourn.webapi.payload import DECODER


def test_numbers_with_a_fraction_stay_exact() -> None:
    assert json_object(b'{"revenue": 0.1, "n": 3}', DECODER) == {"revenue": Decimal("0.1"), "n": 3}


def test_a_byte_order_mark_is_tolerated_and_the_last_of_two_equal_names_counts() -> None:
    assert json_object(b'\xef\xbb\xbf{"a": 1, "a": 2}', DECODER) == {"a": 2}


@pytest.mark.parametrize(
    "body", [b"", b"  ", b"[]", b"1", b'"x"', b"{", b'{"a":}', b'{"a":"\xff"}', b'{"a":1}x', b"{'a':1}", b"\x00"]
)
def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        json_object(body, DECODER)
    assert caught.value.hex == "0x80048d19"


def test_nesting_is_limited() -> None:
    depth = config.NESTING_MAX - 1
    assert json_object(b'{"a":' + b"[" * depth + b"]" * depth + b"}", DECODER)
    for deep in (config.NESTING_MAX, 100_000):
        with pytest.raises(InvalidRequest, match="nested deeper than 64"):
            json_object(b'{"a":' + b"[" * deep + b"]" * deep + b"}", DECODER)


def test_brackets_in_texts_are_no_nesting() -> None:
    text = "[{" * 200 + '\\"' + "[" * 100
    assert json_object(b'{"a": "' + text.encode() + b'"}', DECODER) == {"a": "[{" * 200 + '"' + "[" * 100}


def test_many_small_objects_are_not_deep() -> None:
    assert len(json_object(b'{"a": [' + b",".join([b'{"b": [1]}'] * 1000) + b"]}", DECODER)["a"]) == 1000


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(InvalidRequest):
        json_object(body, DECODER)
