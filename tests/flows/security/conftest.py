from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import pytest
from tests.support import roles

from adjourn.client import Client
from adjourn.pipeline.call import Call
from adjourn.service import Service
from adjourn.store.contract import Store


@pytest.fixture
def service(store: Store) -> Service:
    return Service(store)


@pytest.fixture
def org(service: Service) -> Client:
    return service.client(Call(caller=service.administrator()))


@dataclass(frozen=True)
class Place:
    """One user under test, and others at each distance from him: the nearest depth that reaches them is their key."""

    user: UUID
    owners: dict[str, tuple[str, UUID]]


@pytest.fixture
def place(org: Client) -> Place:
    """`mine` and my team's records are Basic, those of my unit Local, below it Deep, elsewhere Global."""
    sales = roles.unit(org, "Sales")
    below = roles.unit(org, "Sales North", sales)
    user = roles.user(org, "ada", sales, roles=())
    team = roles.team(org, "Ada's team", [user], roles.unit(org, "Elsewhere"))
    return Place(
        user,
        {
            "mine": ("systemuser", user),
            "team": ("team", team),
            "unit": ("systemuser", roles.user(org, "ben", sales)),
            "below": ("systemuser", roles.user(org, "cem", below)),
            "elsewhere": ("systemuser", roles.user(org, "dan")),
        },
    )
