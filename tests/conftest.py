"""Stores for every test: freshly migrated and empty, made by copying a template.

`store` runs a test once on each database; `sqlite_store` and `postgres_store` on one of them. `database_url`,
`sqlite_url` and `postgres_url` give the URL alone, for tests that open the database themselves or in another process.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import postgres

from adjourn.store import open_store
from adjourn.store.contract import Store

DIALECTS = ("sqlite", "postgres")


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "template.db"
    open_store(f"sqlite:///{path}").close()
    return path


@pytest.fixture(scope="session")
def _postgres_template() -> Iterator[str]:
    cluster = postgres.cluster()
    name = cluster.create()
    open_store(cluster.url_of(name)).close()
    yield name
    cluster.drop(name)


@pytest.fixture
def sqlite_url(_sqlite_template: Path, tmp_path: Path) -> str:
    """The URL of an empty, migrated SQLite database."""
    path = tmp_path / "adjourn.db"
    shutil.copyfile(_sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_url(_postgres_template: str) -> Iterator[str]:
    """The URL of an empty, migrated PostgreSQL database."""
    cluster = postgres.cluster()
    name = cluster.create(template=_postgres_template)
    yield cluster.url_of(name)
    cluster.drop(name)


@pytest.fixture(params=DIALECTS)
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty, migrated database: the test runs once on each."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """An empty store: the test runs once on each database."""
    yield from _opened(database_url)


@pytest.fixture
def sqlite_store(sqlite_url: str) -> Iterator[Store]:
    """An empty SQLite store."""
    yield from _opened(sqlite_url)


@pytest.fixture
def postgres_store(postgres_url: str) -> Iterator[Store]:
    """An empty PostgreSQL store."""
    yield from _opened(postgres_url)


def _opened(url: str) -> Iterator[Store]:
    opened = open_store(url)
    yield opened
    opened.close()
