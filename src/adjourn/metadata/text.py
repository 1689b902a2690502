"""How texts are compared: without regard to case, with LIKE's wildcards. One definition for both stores and the tests.

`ascii_fold` gives the order of texts, `fold` their equality. SQLite registers `SCALAR_FUNCTIONS` as deterministic
functions on every connection; PostgreSQL has `fold_` from a migration and matches patterns by its own regular
expressions. Decision: docs/decisions, "How texts are compared".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from adjourn.metadata.dateparts import date_part

PATTERN_CHARACTERS_MAX = 4000
"""Length of a LIKE pattern. Dataverse's longest text columns that one filters by are of this length."""


def fold(text: str) -> str:
    """The form in which two texts are equal when they differ in case only."""
    return text.lower()


_ASCII = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def ascii_fold(text: str) -> str:
    """The form in which texts are ordered, by code points: only the letters A to Z lose their case."""
    return text.translate(_ASCII)


def like(pattern: str | None, text: str | None) -> int | None:
    """Whether a text matches a LIKE pattern: `%`, `_`, `[abc]`, `[a-c]`, `[^abc]`, whatever the case."""
    if pattern is None or text is None:
        return None
    return int(_compiled(fold(pattern)).fullmatch(fold(text)) is not None)


def to_regular_expression(pattern: str) -> str:
    """A LIKE pattern as a regular expression that both Python and PostgreSQL understand, without anchors."""
    return "".join(".*" if part is None else part for part in _parts(pattern))


def _parts(pattern: str) -> Iterator[str | None]:
    """The pattern's pieces as regular expressions for one character each; None for a `%`."""
    index = 0
    while index < len(pattern):
        character = pattern[index]
        end = pattern.find("]", index + 2) if character == "[" else -1
        if character == "%":
            yield None
        elif character == "_":
            yield "."
        elif character == "[" and end > 0:
            inner = pattern[index + 1 : end]
            negated = inner.startswith("^")
            body = inner[1:] if negated else inner
            yield _class(body, negated) if body else re.escape(pattern[index : end + 1])
            index = end
        else:
            yield character if character.isalnum() else re.escape(character)
        index += 1


def _class(body: str, negated: bool) -> str:
    ranges = re.sub(r"(.)-(.)", lambda found: "" if found[1] > found[2] else found[0], body, flags=re.DOTALL)
    if not ranges:  # [z-a] matches nothing, [^z-a] anything
        return "." if negated else "[^\\s\\S]"
    escaped = re.sub(r"([\\\[\]^&~|])", r"\\\1", ranges)
    if escaped.startswith("-") or escaped.endswith("-"):
        escaped = escaped.strip("-") + "\\-"
    return f"[{'^' if negated else ''}{escaped}]"


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    # Each piece between two % takes its first match and never tries another (an atomic group): right for LIKE, where
    # the first is always good enough, and the only way in which a hostile pattern cannot backtrack for ever.
    pieces: list[str] = [""]
    for part in _parts(pattern):
        if part is None:
            pieces.append("")
        else:
            pieces[-1] += part
    if len(pieces) == 1:
        return re.compile(pieces[0], re.DOTALL)
    middle = "".join(f"(?>.*?{piece})" for piece in pieces[1:-1] if piece)
    return re.compile(f"{pieces[0]}{middle}.*{pieces[-1]}", re.DOTALL)


SCALAR_FUNCTIONS: dict[str, tuple[Callable[..., Any], int]] = {
    "fold_": (lambda text: fold(text) if isinstance(text, str) else text, 1),
    "like_": (like, 2),
    "date_part_": (date_part, 3),
}
