"""Who asks, and which rows of a table he sees: the one place where a row's visibility is decided.

`predicate` is put into every logical table (`logical`), and both compilers may name logical tables only, so that no
query can go round it. Today every known caller sees every row, whatever his roles: roles and depths do not exist yet.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from adjourn import config
from adjourn.metadata.model import Table
from adjourn.store.contract import Dialect

_UTC_TIME_ZONE_CODE = 92


@dataclass(frozen=True, slots=True)
class Caller:
    """A user on whose behalf something happens.

    timezone_code: Dataverse's number of his time zone (`metadata.timezones`); days and weeks in queries are his.
    initiating_user_id: who really called, when this user is impersonated.
    """

    user_id: UUID
    business_unit_id: UUID
    team_ids: tuple[UUID, ...] = ()
    timezone_code: int = _UTC_TIME_ZONE_CODE
    is_administrator: bool = False
    initiating_user_id: UUID | None = None


PLATFORM = Caller(UUID(config.SYSTEM_USER_ID), UUID(config.ROOT_BUSINESS_UNIT_ID), is_administrator=True)
"""adjourn itself: its questions see every row, and are not cut into pages."""


def predicate(table: Table, caller: Caller, dialect: Dialect) -> tuple[str, dict[str, Any]]:
    """The condition, over the alias `s`, under which `caller` sees a row of `table`, with its parameters; "" for all.

    The text may depend on the caller's depths (`depths`), never on his ids: they are parameters.
    """
    return "", {}


def depths(caller: Caller) -> Hashable:
    """What of a caller the text of `predicate` depends on; part of the key under which a plan is kept."""
    return caller.is_administrator
