from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adjourn.errors import AdjournError, InvalidRequest, UnknownResource
from adjourn.webapi import url
from adjourn.webapi.url import Segment

ROOT = "http://host:8080/api/data/v9.2/"
ID = "0190a3c2-7c1e-7b30-9d2a-5f6e7d8c9b0a"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", ()),
        ("accounts", (Segment("accounts"),)),
        ("accounts/", (Segment("accounts"),)),
        (f"accounts({ID})/name", (Segment("accounts", ID), Segment("name"))),
        (f"accounts%28{ID}%29", (Segment("accounts", ID),)),
        ("accounts/%24count", (Segment("accounts"), Segment("$count"))),
        ("WhoAmI()", (Segment("WhoAmI", ""),)),
        ("EntityDefinitions(LogicalName='account')", (Segment("EntityDefinitions", "LogicalName='account'"),)),
        ("accounts(name='a/b')/fullname", (Segment("accounts", "name='a/b'"), Segment("fullname"))),
        ("accounts(name='a%2Fb')", (Segment("accounts", "name='a/b'"),)),
        ("accounts(name=%27O%27%27Brien%27)", (Segment("accounts", "name='O''Brien'"),)),
    ],
)
def test_a_path_is_taken_apart_into_decoded_segments(path: str, expected: tuple[Segment, ...]) -> None:
    assert url.parse_path(path) == expected


@pytest.mark.parametrize("path", ["accounts(1", "acc ounts", "(1)", "a-b", "..", "accounts)"])
def test_a_segment_that_is_no_name_is_not_found(path: str) -> None:
    with pytest.raises(UnknownResource, match="Resource not found for the segment"):
        url.parse_path(path)


def test_an_open_quote_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="unterminated literal"):
        url.parse_path("accounts(name='x)/y")


@pytest.mark.parametrize(
    "query",
    [
        "$filter=name%20eq%20%27a%27&$top=1",
        "%24filter=name+eq+'a'&%24top=1",
        "$filter=name eq 'a'&$top=1",
        "&$filter=name eq 'a'&&$top=1&",
    ],
)
def test_dollars_and_blanks_may_be_written_in_any_way(query: str) -> None:
    assert url.parse_query(query) == {"$filter": "name eq 'a'", "$top": "1"}


def test_a_value_may_hold_an_equals_sign_and_encoded_ampersands() -> None:
    assert url.parse_query("fetchXml=%3Cf%20a=%27b%26c%27%3E&x") == {"fetchXml": "<f a='b&c'>", "x": ""}


def test_an_option_given_twice_is_refused_by_name() -> None:
    with pytest.raises(InvalidRequest, match=r"'\$top' was specified more than once"):
        url.parse_query("$top=1&%24top=2")


@pytest.mark.parametrize("query", ["$filter=%ff", "$filter=%C3%28", "$filter=%00"])
def test_bytes_that_are_no_text_are_refused(query: str) -> None:
    with pytest.raises(InvalidRequest, match=r"UTF-8|NUL"):
        url.parse_query(query)


def test_a_long_address_is_refused_with_414() -> None:
    with pytest.raises(InvalidRequest) as caught:
        url.check_length("x" * 32_000, "y" * 1_000)
    assert caught.value.status == 414


@pytest.mark.parametrize(
    "address",
    [
        f"{ROOT}accounts({ID})",
        f"https://other.example/api/data/v9.0/accounts({ID})",
        f"/api/data/v9.2/accounts({ID})",
        f"/accounts({ID})",
        f"accounts({ID})",
    ],
)
def test_an_address_in_a_body_may_be_absolute_rooted_or_bare(address: str) -> None:
    assert url.relative(address, ROOT) == f"accounts({ID})"


def test_named_arguments_keep_commas_inside_quotes_and_brackets() -> None:
    found = url.named_arguments("A='x, ''y''', B=[1,2], C={'@odata.id':'accounts(1)'}, D=@p")
    assert found == {"A": "'x, ''y'''", "B": "[1,2]", "C": "{'@odata.id':'accounts(1)'}", "D": "@p"}
    assert url.literal_text(found["A"]) == "x, 'y'"


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_by_name(text: str) -> None:
    raw = text.encode("utf-8", "surrogatepass").decode("latin-1")
    for parse in (url.parse_path, url.parse_query, url.named_arguments):
        with contextlib.suppress(AdjournError):
            parse(raw)
