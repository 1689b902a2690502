from __future__ import annotations

import pytest
from tests.unit.query.core.questions import plan

from adjourn.errors import QueryError
from adjourn.query import cookie
from adjourn.query.cookie import Position
from adjourn.query.result import Rows, run
from adjourn.query.tree import Attribute, Order, Page, Query

KEY = b"a key of the service"
ID = "0190a3c2-7c1e-7b30-9d2a-5f6e7d8c9b0a"


def rows(name: str | None) -> Rows:
    query = Query("asyncoperation", (Attribute("name"),), orders=(Order("name"),), page=Page(1), language="fetchxml")
    found = plan(query)
    row = tuple({"name": name, "asyncoperationid": ID}[output.key] for output in found.outputs)
    return Rows(found, [row], True, None, tuple(row[sort.index] for sort in found.sort))


def test_a_fetchxml_cookie_names_the_order_columns_and_the_key() -> None:
    assert cookie.encode_fetchxml(rows('Z & "Co"')) == (
        '<cookie page="1"><name last=\'Z &amp; "Co"\' first=\'Z &amp; "Co"\' />'
        f'<asyncoperationid last="{{{ID.upper()}}}" first="{{{ID.upper()}}}" /></cookie>'
    )


@pytest.mark.parametrize("name", ["a", None, "<ä>%25&quot;'", ""])
def test_a_fetchxml_cookie_comes_back_in_each_form_in_which_clients_send_it(name: str | None) -> None:
    keys = (name, "{" + ID.upper() + "}")
    expected = Position(2, keys, before=keys)
    inner, annotation = cookie.encode_fetchxml(rows(name)), cookie.encode_annotation(rows(name))
    assert inner is not None
    assert annotation is not None
    assert cookie.decode_fetchxml(inner) == expected
    assert cookie.decode_fetchxml(annotation) == expected
    assert cookie.decode_fetchxml(annotation.split('pagingcookie="')[1].split('"')[0]) == expected
    assert 'pagenumber="2"' in annotation
    assert "%253ccookie%2520page%253d%25221%2522%253e" in annotation


def test_a_decoded_cookie_fits_the_question_it_came_from() -> None:
    position = cookie.decode_fetchxml(cookie.encode_fetchxml(rows("b")) or "")
    query = Query(
        "asyncoperation", (Attribute("name"),), orders=(Order("name"),), page=Page(1, position.number, position.after), language="fetchxml"
    )  # fmt: skip
    assert plan(query).parameters["a1"] == ID


def test_a_key_that_xml_cannot_hold_makes_no_cookie() -> None:
    assert cookie.encode_fetchxml(rows("a\x01")) is None


@pytest.mark.parametrize(
    "text",
    ["", "x", "<cookie", "<other/>", '<cookie page="x"/>', '<cookie page="1"><name first="a"/></cookie>', "<cookie>" * 90_000,
     '<!DOCTYPE x [<!ENTITY e "e">]><cookie page="1"/>'],
)  # fmt: skip
def test_a_text_that_is_no_cookie_is_refused(text: str) -> None:
    with pytest.raises(QueryError, match="paging cookie") as refusal:
        cookie.decode_fetchxml(text)
    assert refusal.value.code == 0x8004112A


@pytest.mark.parametrize("position", [Position(2), Position(3, ("ä", None, 1, 2.5, True))])
def test_a_skiptoken_comes_back_as_it_was(position: Position) -> None:
    assert cookie.decode_skiptoken(cookie.encode_skiptoken(position, KEY), KEY) == position


def test_a_changed_skiptoken_is_refused() -> None:
    token = cookie.encode_skiptoken(Position(2, ("a",)), KEY)
    for changed in (token[:-4] + "AAAA", "A" + token[1:], "", "ä", "a" * 20_000):
        with pytest.raises(QueryError, match="paging cookie"):
            cookie.decode_skiptoken(changed, KEY)
    with pytest.raises(QueryError, match="changed"):
        cookie.decode_skiptoken(token, b"another key")


def test_sort_keys_too_long_for_a_url_are_left_to_the_page_number() -> None:
    class Reader:
        dialect = "sqlite"

        def rows(self, sql: str, parameters: object) -> list[tuple[str, ...]]:
            return [("x" * 3000, ID), ("y", ID)]

    found = run(rows("a").plan, Reader())  # type: ignore[arg-type]
    assert found.more
    assert found.after is None
