"""Finding the names of a question in the metadata, and refusing in its language's words and codes.

Source: fetchxml.md §9, webapi.md §18.
"""

from __future__ import annotations

import re

from adjourn import errors
from adjourn.errors import QueryError, nearest
from adjourn.metadata.model import Catalog, Column, Table
from adjourn.query.conditions import family
from adjourn.query.resolved import Sort, Sorting, Term
from adjourn.query.tree import NEVER, Order, Query

ALIAS = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""FetchXML's rule for aliases."""


class Names:
    """What may be named in one question: the tables' columns, and the joined links by their aliases."""

    def __init__(self, query: Query, catalog: Catalog) -> None:
        self.query = query
        self.catalog = catalog
        self.fetchxml = query.language == "fetchxml"
        self.aliases: dict[str, tuple[int, Table]] = {}

    def error(self, message: str, code: int, odata: int | None = None, position: int = NEVER) -> QueryError:
        """A refusal in the code of the query's language (`odata` where the Web API has one of its own)."""
        chosen = code if self.fetchxml or odata is None else odata
        return QueryError(message, code=chosen, position=position if position >= 0 else None)

    def table(self, name: str, position: int) -> Table:
        found = self.catalog.tables.get(name)
        if found is None:
            near = nearest(name, self.catalog.tables)
            raise self.error(f"Table '{name[:100]}' does not exist.{near}", 0x80041102, position=position)
        return found

    def column(self, table: Table, name: str, position: int) -> Column:
        found = table.columns.get(name)
        if found is not None and found.readable:
            return found
        shown, near = name[:100], nearest(name, (c.logical for c in table.columns.values() if c.readable))
        if self.fetchxml:
            message = (
                f"'{table.logical}' entity doesn't contain attribute with Name = '{shown}' and NameMapping = 'Logical'."
            )
        else:
            message = f"Could not find a property named '{shown}' on type 'Microsoft.Dynamics.CRM.{table.logical}'."
        raise self.error(message + near, 0x80041103, errors.ODATA_NO_CODE, position)

    def aliased(self, alias: str, code: int, position: int) -> tuple[int, Table]:
        found = self.aliases.get(alias)
        if found is None:
            near = nearest(alias, self.aliases)
            raise self.error(f"There is no link with the alias '{alias[:100]}'.{near}", code, position=position)
        return found

    def term_sort(self, term: Term, order: Order) -> Sort:
        """An order by a column of the join. Only the key of the question's own table is never null."""
        nullable = not (term.node == 0 and term.column.logical == self.table(self.query.table, NEVER).primary_id)
        return Sort(sorting(term.column, order), order.descending, term, nullable=nullable)


def sorting(column: Column, order: Order) -> Sorting:
    """How a column sorts: lookups by name, choices by number or label, texts folded."""
    if column.type.is_lookup:
        return "name"
    if column.choice is not None and order.by_label and family(column) != "M":
        return "label"
    return "text" if family(column) == "S" else "exact" if family(column) in "EM" else "value"
