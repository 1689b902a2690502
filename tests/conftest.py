"""Stores for every test: a fresh organization, migrated and with the rows that all have, made by copying a template.

`store` runs a test once on each database; `sqlite_store` and `postgres_store` on one of them. `database_url`,
`sqlite_url` and `postgres_url` give the URL alone, for tests that open the database themselves or in another process.
"""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings
from tests.support import postgres
from tests.support.machine import Machine, watched

from adjourn.service import Service
from adjourn.store import open_store
from adjourn.store.contract import Store

DIALECTS = ("sqlite", "postgres")

# The test run asks the same of every commit, so that a red one is the commit's fault; `make fuzz` explores.
# How long an example takes, or its making, says something about the machine only.
BUSY: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("repeatable", derandomize=True, **BUSY)
settings.register_profile("exploring", derandomize=False, **BUSY)
settings.load_profile(os.environ.get("ADJOURN_HYPOTHESIS", "repeatable"))

# As the service's own logs: a traceback with the values of all variables, structlog's default where the package rich is
# installed, takes seconds.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)


def pytest_collection_finish() -> None:
    """The thousands of tests that were found are no garbage: no collection looks at them again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "template.db"
    Service.open(f"sqlite:///{path}").close()
    return path


@pytest.fixture(scope="session")
def _postgres_template() -> Iterator[str]:
    cluster = postgres.cluster()
    name = cluster.create()
    Service.open(cluster.url_of(name)).close()
    yield name
    cluster.drop(name)


@pytest.fixture
def sqlite_url(_sqlite_template: Path, tmp_path: Path) -> str:
    """The URL of a fresh organization on SQLite."""
    path = tmp_path / "adjourn.db"
    shutil.copyfile(_sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_url(_postgres_template: str) -> Iterator[str]:
    """The URL of a fresh organization on PostgreSQL."""
    cluster = postgres.cluster()
    name = cluster.create(template=_postgres_template)
    yield cluster.url_of(name)
    cluster.drop(name)


@pytest.fixture(params=DIALECTS)
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a fresh organization: the test runs once on each database."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """The store of a fresh organization: the test runs once on each database."""
    yield from _opened(database_url)


@pytest.fixture
def sqlite_store(sqlite_url: str) -> Iterator[Store]:
    """The same on SQLite."""
    yield from _opened(sqlite_url)


@pytest.fixture
def postgres_store(postgres_url: str) -> Iterator[Store]:
    """The same on PostgreSQL."""
    yield from _opened(postgres_url)


@pytest.fixture
def machine() -> Iterator[Machine]:
    """How busy the machine is during the test: bounds in milliseconds hold times its slowness."""
    with watched() as found:
        yield found


def _opened(url: str) -> Iterator[Store]:
    opened = open_store(url)
    yield opened
    opened.close()
