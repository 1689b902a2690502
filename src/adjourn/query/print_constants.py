"""Filters that are true or false whatever a row holds, taken out before a filter is printed.

An empty filter inside another one is ignored; a filter all of whose parts are ignored is true, its negation false. No
language of ours has a word for either.
"""

from __future__ import annotations

import dataclasses

from adjourn.query.tree import Condition, Filter, Related


def without_constants(tree: Filter) -> Filter | bool:
    """The same filter with no empty ones in it; True or False if nothing else is left."""
    decided, undecided = tree.kind == "or", False
    parts: list[Condition | Filter | Related] = []
    for part in tree.conditions:
        if isinstance(part, Filter):
            if not part.conditions and not part.negated:
                continue
            found = without_constants(part)
            if found is decided:
                return decided != tree.negated
            if isinstance(found, bool):
                undecided = True
                continue
            part = found
        parts.append(part)
    if parts:
        return dataclasses.replace(tree, conditions=tuple(parts))
    # Only undecided constants (an "or" of false ones) keep an empty "or" from being true.
    return (not (decided and undecided)) != tree.negated
