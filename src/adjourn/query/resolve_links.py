"""The links and filters of a question: which tables take part in it, and under which conditions.

Source: fetchxml.md §4 to §6 and §10.
"""

from __future__ import annotations

from collections.abc import Iterator

from adjourn import config, errors
from adjourn.errors import nearest
from adjourn.metadata.model import Column, ColumnType, Table
from adjourn.query.conditions import family
from adjourn.query.hierarchy import Related, relationship_of
from adjourn.query.operators import OPERATORS
from adjourn.query.resolve_names import ALIAS, Names
from adjourn.query.resolved import MATCH_FIRST, Group, Node, Predicate, RelatedRows, Sort, Term, Test
from adjourn.query.tree import Condition, Filter, Link
from adjourn.query.tree import Related as RelatedFilter
from adjourn.query.within import Within

VALUES_MAX = 50_000
"""Values of one `in`: they travel as one parameter, whose text must stay far below the body's limit."""
JOIN_KINDS = {"inner": "inner", "natural": "inner", "outer": "outer", MATCH_FIRST: MATCH_FIRST}
SEMI_KINDS = {"exists": "exists", "in": "in"}
RELATED_KINDS = {"any": "any", "not any": "not any", "all": "all", "not all": "any"}


class Links:
    """The links and filters of one question, numbered as they are met."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.numbers: dict[int, int] = {}
        self.links = 0
        self.conditions = 0
        self.next_number = 1

    def declare(self, link: Link, kinds: dict[str, str], *, named: bool = True) -> None:
        """Number a link and those below it, and remember the aliases that the rest of the question may name."""
        if link.kind not in kinds:
            others = JOIN_KINDS | SEMI_KINDS | RELATED_KINDS
            place = "inside a filter" if link.kind in RELATED_KINDS else "outside filters"
            text = f"is allowed {place} only" if link.kind in others else "does not exist"
            raise self.names.error(
                f"Link type '{link.kind[:100]}' {text}; accepted here: {', '.join(kinds)}."
                f"{'' if link.kind in others else nearest(link.kind, others)}",
                0x80041121,
                position=link.position,
            )
        self.links += 1
        if self.links > config.LINKS_MAX:
            raise self.names.error(
                f"A query may have {config.LINKS_MAX} links to other tables.", 0x8004430D, position=link.position
            )
        if self.names.fetchxml and not ALIAS.fullmatch(link.alias):
            raise self.names.error(
                f"Alias '{link.alias[:100]}' must begin with a letter or _ and go on with letters, digits and _.",
                0x80041109,
                position=link.position,
            )
        table = self.names.table(link.table, link.position)
        number, self.next_number = self.next_number, self.next_number + 1
        self.numbers[id(link)] = number
        if named:
            if link.alias in self.names.aliases:
                raise self.names.error(
                    f"Alias '{link.alias[:100]}' is used for two links.", 0x80041130, position=link.position
                )
            self.names.aliases[link.alias] = (number, table)
        below = named and kinds[link.kind] in ("inner", "outer")
        if link.links and link.kind == MATCH_FIRST:
            raise self.names.error(
                f"Links below a link of type '{MATCH_FIRST}' are not supported.", 0x80041121, position=link.position
            )
        for child in link.links:
            self.declare(child, JOIN_KINDS | SEMI_KINDS, named=below)

    def node(self, link: Link, parent: int, parent_table: Table) -> Node:
        """A link, declared before, as a node."""
        number = self.numbers[id(link)]
        table = self.names.table(link.table, link.position)
        kind = (JOIN_KINDS | SEMI_KINDS | RELATED_KINDS)[link.kind]
        from_, to = (
            self.names.column(table, link.from_, link.position),
            self.names.column(parent_table, link.to, link.position),
        )
        if "M" in (family(from_), family(to)):
            raise self.names.error(
                f"A column of several choices cannot join tables: '{table.logical}.{from_.logical}', "
                f"'{parent_table.logical}.{to.logical}'.",
                0x80041111,
                position=link.position,
            )
        if _joinable(from_) != _joinable(to):
            raise self.names.error(
                f"'{table.logical}.{from_.logical}' ({from_.type}) cannot be joined with '{parent_table.logical}."
                f"{to.logical}' ({to.type}): they must be of one type.",
                0x80041111,
                position=link.position,
            )
        if kind not in ("inner", "outer", MATCH_FIRST) and (link.columns or link.all_columns):
            raise self.names.error(
                f"A link of type '{link.kind}' only asks whether there are rows; it has no columns to answer.",
                0x80041121,
                position=link.position,
            )
        children = tuple(self.node(child, number, table) for child in link.links)
        where = self.filter(link.filter, number, table, link.alias)
        sorts: tuple[Sort, ...] = ()
        if kind == MATCH_FIRST:
            sorts = tuple(
                self.names.term_sort(Term(number, self.names.column(table, o.column or "", o.position)), o)
                for o in link.orders
            )
        return Node(number, kind, table, link.alias, parent, from_, to, where, children, sorts)

    def filter(self, tree: Filter | None, number: int, table: Table, alias: str | None) -> Predicate | None:
        """The filter of the root (alias None), or of a link, whose conditions can see its own columns only."""
        if tree is None or not (tree.conditions or tree.negated):
            return None
        if tree.kind not in ("and", "or"):
            raise self.names.error(f"A filter's type is 'and' or 'or', not '{tree.kind[:100]}'.", 0x800410FE)
        return Group(tree.kind, tuple(self.parts(tree, number, table, alias)), tree.negated)

    def parts(self, tree: Filter, number: int, table: Table, alias: str | None) -> Iterator[Predicate]:
        for part in tree.conditions:
            if isinstance(part, Filter):
                inner = self.filter(part, number, table, alias)
                if inner is not None:
                    yield inner
            elif isinstance(part, RelatedFilter):
                self.declare(part.link, RELATED_KINDS, named=False)
                yield RelatedRows(self.node(part.link, number, table))
            else:
                self.conditions += 1
                yield self.test(part, number, table, alias)

    def test(self, condition: Condition, number: int, table: Table, alias: str | None) -> Test:
        position = condition.position
        term = self.place(condition.entity, condition.column, number, table, alias, position)
        operator = OPERATORS.get(condition.operator)
        if operator is None:
            raise self.names.error(
                f"Operator '{condition.operator[:100]}' does not exist.{nearest(condition.operator, OPERATORS)}",
                0x80041120,
                errors.ODATA_UNSUPPORTED,
                position,
            )
        if family(term.column) not in operator.families or (
            isinstance(operator.test, Within) and operator.test.clock and term.column.type is ColumnType.DATE
        ):
            raise self.names.error(
                f"Operator '{operator.name}' does not fit column '{term.column.logical}' of '{term.column.table}', "
                f"which is of type {term.column.type}.",
                0x80041120,
                errors.ODATA_UNSUPPORTED,
                position,
            )
        if isinstance(operator.test, Related) and relationship_of(term.column, self.names.catalog) is None:
            raise self.names.error(
                f"Operator '{operator.name}' needs a hierarchy, and '{term.column.logical}' of '{term.column.table}' lies "
                "in none: it fits the key of a table with a hierarchical relationship, and lookups to such a table.",
                0x80041120,
                errors.ODATA_UNSUPPORTED,
                position,
            )
        other: Term | None = None
        if condition.valueof is not None:
            other = self.place(condition.valueof[0], condition.valueof[1], number, table, alias, position)
            same = family(other.column) == family(term.column) and other.column.precision == term.column.precision
            if (
                not operator.comparable
                or not same
                or (family(other.column) == "D" and other.column.type != term.column.type)
                # A two options column is of the family of choices, and stored as another type.
                or (other.column.type is ColumnType.BOOLEAN) != (term.column.type is ColumnType.BOOLEAN)
            ):
                raise self.names.error(
                    f"'{operator.name}' cannot compare '{term.column.logical}' ({term.column.type}) with column "
                    f"'{other.column.logical}' ({other.column.type}): eq ne gt ge lt le compare columns of one type.",
                    0x80041106,
                    errors.ODATA_UNSUPPORTED,
                    position,
                )
        elif operator.arity is None and not condition.values:
            raise self.names.error(
                f"Operator '{operator.name}' needs at least one value.", 0x80041106, position=position
            )
        elif operator.arity is not None and len(condition.values) != operator.arity:
            raise self.names.error(
                f"Operator '{operator.name}' takes {operator.arity} value{'' if operator.arity == 1 else 's'}, "
                f"found {len(condition.values)}.",
                0x80041106,
                position=position,
            )
        elif len(condition.values) > VALUES_MAX:
            raise self.names.error(
                f"A condition may have {VALUES_MAX:,} values, found {len(condition.values):,}.",
                0x8004430E,
                position=position,
            )
        return Test(term, operator, condition, other)

    def place(
        self, entity: str | None, column: str, number: int, table: Table, alias: str | None, position: int
    ) -> Term:
        """A column named in a filter: of the table where it stands, or of a joined link from the root's filter."""
        if entity is None or entity == alias:
            return Term(number, self.names.column(table, column, position))
        if alias is not None:
            raise self.names.error(
                f"A filter inside link '{alias}' can name its own columns only, not those of '{entity[:100]}'; "
                "put the condition into the outermost filter.",
                0x80041106,
                position=position,
            )
        found, found_table = self.names.aliased(entity, 0x80041106, position)
        return Term(found, self.names.column(found_table, column, position))


def _joinable(column: Column) -> str:
    """Columns of one join type can be joined: all that hold guids are one type."""
    kind = family(column)
    if kind in "OU":
        return "guid"
    return f"{column.type}{column.precision}" if kind in "NDC" and not column.type.is_choice else kind
