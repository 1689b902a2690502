"""A column beside another one, in a condition and in a link: answered where they are of one type, else refused by name."""

from __future__ import annotations

import itertools

import pytest

from adjourn import Organization
from adjourn.client import Client
from adjourn.errors import QueryError
from adjourn.metadata.model import Table

ASKED = (
    "<fetch top='1'><entity name='{table}'><attribute name='{key}'/>"
    "<filter><condition attribute='{a}' operator='ge' valueof='{b}'/></filter></entity></fetch>",
    "<fetch top='1'><entity name='{table}'><attribute name='{key}'/>"
    "<link-entity name='{table}' from='{a}' to='{b}' alias='other'/></entity></fetch>",
)


def one_of_each_type(table: Table) -> list[str]:
    found = {(column.type, column.precision): column.logical for column in table.columns.values() if column.readable}
    return list(found.values())


def refusal(org: Client, question: str) -> str | None:
    """Why a question is refused; None for one that is answered."""
    try:
        org.retrieve_multiple(question)
    except QueryError as error:
        return error.message
    return None


@pytest.mark.parametrize("name", ["account", "asyncoperation"])
def test_two_columns_of_any_types(database_url: str, name: str) -> None:
    answered = 0
    with Organization(database_url) as org:
        table = org.service.catalog.table(name)
        pairs = list(itertools.product(one_of_each_type(table), repeat=2))
        for (a, b), question in itertools.product(pairs, ASKED):
            said = refusal(org, question.format(table=name, key=table.primary_id, a=a, b=b))
            answered += said is None
            assert said is None or a in said or b in said, said
    assert 15 < answered < len(pairs)
