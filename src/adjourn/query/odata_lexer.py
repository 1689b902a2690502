"""The tokens of OData's expression language, with their positions in the option's text.

One regular expression, tried in an order that matters: a guid and a date begin like numbers. Blanks separate tokens and
mean nothing else. Source: webapi.md §8; OData 4.0 ABNF.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from adjourn import errors
from adjourn.errors import InvalidRequest, QueryError
from adjourn.metadata import values

NAME, LITERAL, MARK, END = "name", "literal", "mark", "end"
_GUID = r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}"
_TOKENS = re.compile(
    rf"""(?P<blank>\s+)
    |(?P<guid>{_GUID})(?![\w-])
    |(?P<moment>-?\d{{4}}-\d{{2}}-\d{{2}}T\d{{2}}:\d{{2}}(?::\d{{2}}(?:\.\d{{1,12}})?)?(?:Z|[+-]\d{{2}}:?\d{{2}})?)(?!\w)
    |(?P<date>\d{{4}}-\d{{2}}-\d{{2}})(?![\w-])
    |(?P<number>[+-]?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?)(?![\w.])
    |(?P<text>'(?:[^']++|'')*+')
    |(?P<json>"(?:[^"\\]++|\\.)*+")
    |(?P<name>[@$]?[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)
    |(?P<mark>[()/,:=\[\];*])""",
    re.VERBOSE | re.ASCII,
)
_WORDS: dict[str, Any] = {"null": None, "true": True, "false": False}
_DIGITS_MAX = 400


@dataclass(frozen=True, slots=True)
class Token:
    """kind: name, literal, mark or end. value: the literal's Python value. text: as it stands there."""

    kind: str
    text: str
    position: int
    value: Any = None


def tokens(text: str) -> list[Token]:
    """The tokens of an expression, ended by one of kind END. Raises QueryError at the first character that fits none."""
    found: list[Token] = []
    index = 0
    while index < len(text):
        match = _TOKENS.match(text, index)
        if match is None:
            raise _unreadable(text, index)
        kind, part = match.lastgroup or "", match[0]
        if kind != "blank":
            found.append(_token(kind, part, index))
        index = match.end()
    found.append(Token(END, "the end", len(text)))
    return found


def _token(kind: str, part: str, position: int) -> Token:
    if kind == "name" and part in _WORDS:
        return Token(LITERAL, part, position, _WORDS[part])
    if kind in ("name", "mark"):
        return Token(kind, part, position)
    return Token(LITERAL, part, position, _value(kind, part, position))


def _value(kind: str, part: str, position: int) -> Any:
    try:
        match kind:
            case "guid":
                return UUID(part)
            case "text":
                return part[1:-1].replace("''", "'")
            case "json":
                return msgspec.json.decode(part)
            case "moment":
                return values.moment(part, "literal")
            case "date":
                return date.fromisoformat(part)
        if len(part) > _DIGITS_MAX:
            raise ValueError(part)
        return int(part) if part.lstrip("+-").isdigit() else Decimal(part)
    except (ValueError, ArithmeticError, msgspec.DecodeError, InvalidRequest):
        raise QueryError(
            f"'{part[:60]}' is no {kind} that can be.", code=errors.ODATA_NO_CODE, position=position
        ) from None


def _unreadable(text: str, index: int) -> QueryError:
    if text[index] == "'":
        return QueryError(
            f"There is an unterminated literal at position {index} in '{text[:200]}'.", code=errors.ODATA_NO_CODE
        )
    return QueryError(
        f"Syntax error: character '{text[index]}' is not valid at position {index} in '{text[:200]}'.",
        code=errors.ODATA_NO_CODE,
    )
