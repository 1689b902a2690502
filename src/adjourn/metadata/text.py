"""How texts are compared: without regard to case, with LIKE's wildcards. One definition for both stores and the tests.

SQLite registers `SCALAR_FUNCTIONS` on every connection; PostgreSQL has the same by its own means (`query.dialects`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any


def fold(text: str) -> str:
    """The form in which two texts are equal when they differ in case only."""
    return text.lower()


def like(pattern: str | None, text: str | None) -> int | None:
    """Whether a text matches a LIKE pattern: `%`, `_`, `[abc]`, `[a-c]`, `[^abc]`, whatever the case."""
    if pattern is None or text is None:
        return None
    return int(_compiled(pattern).fullmatch(text) is not None)


def to_regular_expression(pattern: str) -> str:
    """A LIKE pattern as a regular expression that both Python and PostgreSQL understand."""
    parts: list[str] = []
    index = 0
    while index < len(pattern):
        character = pattern[index]
        end = pattern.find("]", index + 2) if character == "[" else -1
        if character == "%":
            parts.append(".*")
        elif character == "_":
            parts.append(".")
        elif character == "[" and end > 0:
            inner = pattern[index + 1 : end]
            negated = inner.startswith("^")
            body = inner[1:] if negated else inner
            escaped = re.sub(r"([\\\[\]^])", r"\\\1", body)
            parts.append(f"[{'^' if negated else ''}{escaped}]" if body else re.escape(pattern[index : end + 1]))
            index = end
        else:
            parts.append(re.escape(character) if not character.isalnum() else character)
        index += 1
    return "".join(parts)


def has_wildcards(pattern: str) -> bool:
    return any(character in pattern for character in "%_[")


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    # Runs of % would let a hostile pattern backtrack for ever; they mean the same as one.
    collapsed = re.sub(r"%+", "%", pattern)
    return re.compile(to_regular_expression(collapsed), re.IGNORECASE | re.DOTALL)


SCALAR_FUNCTIONS: dict[str, tuple[Callable[..., Any], int]] = {
    "fold_": (lambda text: fold(text) if isinstance(text, str) else text, 1),
    "like_": (like, 2),
}
