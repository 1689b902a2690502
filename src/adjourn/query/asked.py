"""Questions that were asked before: the same text over the same tables is the same tree, so it is parsed once.

Clients ask the same few questions again and again. Trees are immutable and hold no caller and no moment; what does,
`compile` fills in for each asking.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping

from adjourn.metadata.model import Catalog, Table
from adjourn.query import fetchxml, odata_options
from adjourn.query.tree import Query

QUESTIONS_MAX = 1_000
CHARACTERS_MAX = 4_000
"""Longer texts are seldom asked twice, and would fill the memory with trees."""

_kept: dict[Hashable, tuple[Catalog, Query]] = {}


def odata(table: Table, catalog: Catalog, options: Mapping[str, str]) -> Query:
    """`odata_options.parse`."""
    pairs = tuple(options.items())
    if sum(len(text) for _, text in pairs) > CHARACTERS_MAX:
        return odata_options.parse(table, catalog, options)
    return _known((table.logical, pairs), catalog, lambda: odata_options.parse(table, catalog, options))


def fetch(text: str, catalog: Catalog) -> Query:
    """`fetchxml.parse`."""
    if len(text) > CHARACTERS_MAX:
        return fetchxml.parse(text, catalog)
    return _known(text, catalog, lambda: fetchxml.parse(text, catalog))


def _known(key: Hashable, catalog: Catalog, parse: Callable[[], Query]) -> Query:
    found = _kept.get(key)
    if found is None or found[0] is not catalog:
        while len(_kept) >= QUESTIONS_MAX:
            _kept.pop(next(iter(_kept)), None)
        found = _kept[key] = (catalog, parse())
    return found[1]
