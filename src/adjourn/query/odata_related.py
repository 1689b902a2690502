"""Links to related records: what a lambda, a path inside a lambda, and an expanded collection follow.

A path through a lookup inside a lambda (`x:x/primarycontactid/fullname eq 'a'`) becomes a link of its own that asks
whether there is such a record. Where the condition also holds for null, and therefore for records whose lookup is
empty, the link asks that there is no record for which it does not hold.
"""

from __future__ import annotations

from adjourn.metadata.model import Catalog, ManyToMany, Relationship, Table
from adjourn.query.tree import Condition, Filter, Link, Related

_NEGATIVE = ("ne", "neq", "ne-userid", "ne-businessid")


def child_table(relationship: Relationship | ManyToMany, table: Table, catalog: Catalog) -> Table:
    """The table of a collection's records, for a collection of this table."""
    if isinstance(relationship, Relationship):
        return catalog.tables[relationship.referencing]
    return catalog.tables[relationship.table2 if relationship.table1 == table.logical else relationship.table1]


def near_and_far(relationship: ManyToMany, table: Table) -> tuple[str, str]:
    """The columns of the intersect table that lead to this table and to the other one."""
    if relationship.table1 == table.logical:
        return relationship.column1, relationship.column2
    return relationship.column2, relationship.column1


def lambda_link(
    relationship: Relationship | ManyToMany,
    parent: Table,
    table: Table,
    condition: Filter | None,
    alias: str,
    kind: str,
    position: int,
) -> Link:
    """The link of a lambda; through the intersect table where the relationship is many-to-many."""
    if isinstance(relationship, Relationship):
        to = relationship.referenced_column
        return Link(table.logical, relationship.column, to, alias, kind, filter=condition, position=position)
    near, far = near_and_far(relationship, parent)
    target = Link(table.logical, table.primary_id, far, f"{alias}t", filter=condition, hidden=True)
    return Link(relationship.intersect, near, parent.primary_id, alias, kind, links=(target,), position=position)


def along(hops: tuple[Relationship, ...], condition: Condition, alias: str) -> Related:
    """A condition on the record to which lookups lead, asked of the record where they begin."""
    negated = holds_for_null(condition)
    filter_ = Filter("and", (condition,), negated)
    for number, hop in reversed(list(enumerate(hops))):
        kind = "not any" if negated and number == 0 else "any"
        name = alias if number == 0 else f"{alias}p{number}"
        link = Link(
            hop.referenced, hop.referenced_column, hop.column, name, kind, filter=filter_, position=condition.position
        )
        filter_ = Filter("and", (Related(link),))
    return Related(link)


def holds_for_null(condition: Condition) -> bool:
    """Whether a condition holds where its column is null, or there is no record that has it."""
    operator, compared_with_null = condition.operator, None in condition.values
    if condition.valueof is not None or operator == "not-null":
        return False
    if operator in ("eq", "in"):
        return compared_with_null
    return operator == "null" or ((operator in _NEGATIVE or operator.startswith("not-")) and not compared_with_null)
