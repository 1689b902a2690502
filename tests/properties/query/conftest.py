"""Stores with the random organization of `world`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.properties.query import world

from adjourn.store import open_store
from adjourn.store.contract import Store

ROWS = world.build(seed=20260329)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with the random organization, which no test changes."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('world')}/world.db"
    else:
        from tests.support import postgres

        cluster = postgres.cluster()
        name = cluster.create()
        url = cluster.url_of(name)
    store = open_store(url)
    world.fill(store, ROWS)
    yield store
    store.close()
    if request.param == "postgres":
        cluster.drop(name)
