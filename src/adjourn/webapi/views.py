"""`savedQuery=` and `userQuery=`: a collection asked by a view, one of the system's or one of the caller's own.

The view's FetchXML is read as the caller: one that he may not see is refused as by its own address. Beside it stand
`$count` and the paging of the collection; the Web API documents no other option with a view. Source: webapi.md §11.
"""

from __future__ import annotations

import dataclasses

from adjourn.errors import InvalidRequest, QueryError
from adjourn.metadata import values
from adjourn.metadata.model import Table
from adjourn.query import asked
from adjourn.query.tree import Attribute, Condition, Filter, Page, Query
from adjourn.service import Service
from adjourn.webapi.exchange import Exchange

OPTIONS = {"savedQuery": "savedquery", "userQuery": "userquery"}
_BESIDE = ("$count", "$skiptoken", "tag")
_ENTITY_MISMATCH = 0x80041128


def named(exchange: Exchange) -> str | None:
    """The option that names a view, if one is there."""
    return next((name for name in OPTIONS if name in exchange.options), None)


def question(exchange: Exchange, service: Service, table: Table, option: str) -> Query:
    """The question that the view asks of the table. Raises NotFound, InvalidRequest, and QueryError for its FetchXML."""
    for name in exchange.options:
        if name != option and name not in _BESIDE:
            raise InvalidRequest(
                f"Query option '{name[:100]}' cannot be used together with {option}; accepted: $count.", code=0x0
            )
    counted = exchange.options.get("$count", "false")
    if counted not in ("true", "false"):
        raise InvalidRequest(f"$count must be true or false, found '{counted[:50]}'.")
    text = _fetchxml(exchange, service, OPTIONS[option], exchange.options[option])
    found = asked.fetch(text, service.catalog)
    if found.table != table.logical:
        raise QueryError(
            f"The view asks entity '{found.table}', but the address is that of '{table.entityset}' ({table.logical}).",
            code=_ENTITY_MISMATCH,
        )
    return dataclasses.replace(found, page=Page(found.page.size), total=counted == "true")


def _fetchxml(exchange: Exchange, service: Service, view: str, key: str) -> str:
    definition = service.catalog.tables[view]
    view_id = values.guid(key.strip().strip("'"), definition.primary_id)
    mine = Filter("and", (Condition(definition.primary_id, "eq", (view_id,)),))
    rows = service.retrieve_multiple(Query(view, (Attribute("fetchxml"),), filter=mine), exchange.call)
    if not rows.rows:
        raise service.missing(definition, view_id, exchange.call)
    text = rows.rows[0][next(o.index for o in rows.plan.outputs if o.key == "fetchxml")]
    if not text:
        raise InvalidRequest(f"The view {view_id} has no FetchXML, so there is nothing to ask.", code=0x80040203)
    return str(text)
