from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support import pipeline_plugins

from adjourn.client import Client
from adjourn.pipeline.call import Call
from adjourn.service import Service
from adjourn.store.contract import Store


@pytest.fixture
def service(store: Store) -> Service:
    return Service(store)


@pytest.fixture
def org(service: Service) -> Client:
    """An organization as the administrator sees it, with no plug-ins."""
    return service.client(Call(caller=service.administrator()))


@pytest.fixture
def steps(service: Service) -> Iterator[Service]:
    """The tests' own steps and messages, registered."""
    pipeline_plugins.reset()
    service.register("tests.support.pipeline_plugins")
    yield service
    pipeline_plugins.reset()
