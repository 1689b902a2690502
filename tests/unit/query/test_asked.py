"""Questions that were asked before are not parsed again, and never mistaken for one another."""

from __future__ import annotations

import dataclasses

import pytest

from adjourn.errors import QueryError
from adjourn.metadata.catalog import load
from adjourn.query import asked, odata_options

ACCOUNT = load().table("account")


def test_the_same_text_is_the_same_tree() -> None:
    first = asked.odata(ACCOUNT, load(), {"$select": "name", "$filter": "name eq 'a'"})
    assert asked.odata(ACCOUNT, load(), {"$select": "name", "$filter": "name eq 'a'"}) is first
    assert asked.odata(ACCOUNT, load(), {"$select": "name", "$filter": "name eq 'b'"}) != first
    assert first == odata_options.parse(ACCOUNT, load(), {"$select": "name", "$filter": "name eq 'a'"})
    text = "<fetch><entity name='account'><attribute name='name'/></entity></fetch>"
    assert asked.fetch(text, load()) is asked.fetch(text, load())


def test_another_table_or_other_metadata_is_another_question() -> None:
    options = {"$select": "createdon"}
    first = asked.odata(ACCOUNT, load(), options)
    assert asked.odata(load().table("contact"), load(), options).table == "contact"
    changed = dataclasses.replace(load(), version=99)
    assert asked.odata(ACCOUNT, changed, options) is not first


def test_a_refusal_is_not_kept_as_an_answer() -> None:
    for _ in range(2):
        with pytest.raises(QueryError):
            asked.odata(ACCOUNT, load(), {"$filter": "nonsense eq 1"})


def test_only_so_many_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked, "QUESTIONS_MAX", 3)
    monkeypatch.setattr(asked, "_kept", {})
    for number in range(10):
        asked.odata(ACCOUNT, load(), {"$top": str(number)})
        asked.odata(ACCOUNT, load(), {"$filter": f"name eq '{'x' * asked.CHARACTERS_MAX}{number}'"})
    assert len(asked._kept) == 3
