"""docs/queries.md shows every operator as it is in the code, and every setting that changes what dates mean."""

from __future__ import annotations

import pytest
from tools import queries

from adjourn.metadata import fiscal
from adjourn.metadata.catalog import load
from adjourn.query.operators import OPERATORS, REFUSED_FUNCTIONS

DOCUMENT = queries.DOCUMENT.read_text()


def test_the_table_of_operators_is_that_of_the_code() -> None:
    assert queries.written(DOCUMENT) == DOCUMENT, "run `python -m tools.queries`"


@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_is_described(name: str) -> None:
    assert f"| `{name}` |" in DOCUMENT


@pytest.mark.parametrize("name", [*fiscal.COLUMNS, *REFUSED_FUNCTIONS])
def test_every_setting_and_every_refused_function_is_described(name: str) -> None:
    assert f"`{name}`" in DOCUMENT or f".{name}`" in DOCUMENT


def test_every_hierarchy_that_ships_is_described() -> None:
    trees = [table.hierarchy for table in load().tables.values() if table.hierarchy is not None]
    assert trees
    assert all(f"`{found.referencing}.{found.column}`" in DOCUMENT for found in trees)
