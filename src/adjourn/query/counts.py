"""When a question about jobs can be answered from their counts instead of the jobs themselves.

`jobcount` holds, for each combination of six columns, how many jobs have it; triggers keep it, in every snapshot. A
question that only counts rows, and names only these columns, has the same answer there: `count(*)` becomes the sum of
n, and groups whose sum is 0 do not exist. It costs the same with a hundred jobs and with ten million.
A row's visibility depends on its owner and business unit only, which are among the six: the same predicate applies.
"""

from __future__ import annotations

from adjourn.query.logical import COUNTED_COLUMNS, COUNTED_TABLE
from adjourn.query.resolved import Group, Node, Predicate, Resolved, Test

_FILE = "datablobid"
"""Only whether there is one is counted, so it can be asked for null and not null, and for nothing else."""


def answers(resolved: Resolved) -> bool:
    """Whether an aggregate question can be answered from the counts."""
    root = resolved.root
    if not resolved.grouped or not _countable(root, root.children):
        return False
    for selected in resolved.selected:
        if selected.kind == "aggregate":
            key = selected.term.column.logical == root.table.primary_id
            if selected.aggregate != "count" and not (selected.aggregate == "countcolumn" and key):
                return False
        elif selected.part is not None or not _counted(selected.term.column.logical, root):
            return False
    return True


def answers_total(root: Node, children: tuple[Node, ...]) -> bool:
    """Whether the number of rows of a plain question can; `children` are the links that matter for it."""
    return _countable(root, children)


def _countable(root: Node, children: tuple[Node, ...]) -> bool:
    return root.table.logical == COUNTED_TABLE and not children and _fits(root.filter, root)


def _fits(predicate: Predicate | None, root: Node) -> bool:
    if predicate is None:
        return True
    if isinstance(predicate, Group):
        return all(_fits(part, root) for part in predicate.parts)
    if not isinstance(predicate, Test) or predicate.other is not None:
        return False
    logical = predicate.term.column.logical
    if logical == _FILE:
        return predicate.operator.name in ("null", "not-null")
    return _counted(logical, root)


def _counted(logical: str, root: Node) -> bool:
    if logical == _FILE:
        return False
    column = root.table.columns[logical]
    return (column.derives or logical) in COUNTED_COLUMNS
