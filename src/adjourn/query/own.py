"""The tests that ask for what is the caller's own: himself, his business unit, his teams, his reports, his language.

Reports are the users below him by `systemuser.parentsystemuserid`, as many levels down as the organization's
`maxdepthforhierarchicalsecuritymodel` says. Source: fetchxml.md §6.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from adjourn.query import hierarchy
from adjourn.query.conditions import Asked, Site, among
from adjourn.query.literals import Circumstances


@dataclass(frozen=True, slots=True)
class Own:
    """One of the caller's ids."""

    ids: Callable[[Circumstances], list[str]]
    negative: bool = False

    def sql(self, site: Site) -> str:
        plain = among(site, site.expression, lambda asked: self.ids(asked.circumstances))
        return f"({plain}) IS NOT TRUE" if self.negative else plain

    def matches(self, value: Any, asked: Asked) -> bool:
        return (value in self.ids(asked.circumstances)) != self.negative


def user(c: Circumstances) -> list[str]:
    return [str(c.caller.user_id)]


def unit(c: Circumstances) -> list[str]:
    return [str(c.caller.business_unit_id)]


def teams(c: Circumstances) -> list[str]:
    return [str(team) for team in c.caller.team_ids]


def user_and_teams(c: Circumstances) -> list[str]:
    return user(c) + teams(c)


@dataclass(frozen=True, slots=True)
class Reports:
    """The caller or one of his reports; with_teams: or a team of the caller or of one of them."""

    with_teams: bool = False

    def sql(self, site: Site) -> str:
        users = hierarchy.below(
            site.catalog.tables["systemuser"],
            "parentsystemuserid",
            site.bind(lambda asked: user(asked.circumstances)[0], "uuid"),
            site.bind(lambda asked: asked.circumstances.caller.reports_depth, "bigint"),
        )
        plain = f"{site.expression} IN ({users})"
        if not self.with_teams:
            return plain
        return f"({plain} OR {site.expression} IN ({hierarchy.teams_of(users)}))"

    def matches(self, value: Any, asked: Asked) -> bool:
        return value in asked.once(self._ids)

    def _ids(self, asked: Asked) -> frozenset[str]:
        caller = asked.circumstances.caller
        parents = {row["systemuserid"]: row.get("parentsystemuserid") for row in asked.data.get("systemuser", ())}
        users = hierarchy.found_below(parents, str(caller.user_id), caller.reports_depth)
        if not self.with_teams:
            return frozenset(users)
        members = asked.data.get("teammembership", ())
        return frozenset(users | {row["teamid"] for row in members if row["systemuserid"] in users})


@dataclass(frozen=True, slots=True)
class Language:
    """The caller's language, as an LCID."""

    def sql(self, site: Site) -> str:
        return f"{site.expression} = {site.bind(_language, 'bigint')}"

    def matches(self, value: Any, asked: Asked) -> bool:
        return bool(value == _language(asked))


def _language(asked: Asked) -> int:
    return asked.circumstances.caller.language_code
