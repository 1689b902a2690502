"""Reading the tokens of an OData expression one after the other, with its literals and parameter aliases.

A parameter alias (`@p`) stands for a value, a list of values, or the path to a property; where it may not stand, inside
$expand, it is refused by name. Source: webapi.md §6.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adjourn import errors
from adjourn.errors import QueryError
from adjourn.query.odata_lexer import END, LITERAL, MARK, NAME, Token, tokens

Aliases = Mapping[str, Any] | None
"""What the request's parameter aliases stand for: values, lists, and paths; None where they have no place."""


@dataclass(frozen=True, slots=True)
class AliasedPath:
    """A parameter alias that stands for a property: `@p1=primarycontactid/fullname`."""

    names: tuple[str, ...]


class Reader:
    """The tokens of one text, and where the reading has come."""

    def __init__(self, text: str, aliases: Aliases = None) -> None:
        self._text = text
        self._tokens = tokens(text)
        self._index = 0
        self._aliases = aliases

    @property
    def token(self) -> Token:
        return self._tokens[self._index]

    @property
    def following(self) -> Token:
        """The token after this one; the last one has none but itself."""
        return self._tokens[min(self._index + 1, len(self._tokens) - 1)]

    def back(self) -> None:
        """Stand at the token before again, to speak of it."""
        self._index -= 1

    def advance(self) -> Token:
        found = self.token
        if found.kind != END:
            self._index += 1
        return found

    def at(self, text: str) -> bool:
        return self.token.kind in (MARK, NAME) and self.token.text == text

    def accept(self, text: str) -> bool:
        if self.at(text):
            self._index += 1
            return True
        return False

    def expect(self, text: str) -> None:
        if not self.accept(text):
            raise self.wrong(f"'{text}'")

    def name(self) -> Token:
        if self.token.kind != NAME:
            raise self.wrong("a name")
        return self.advance()

    def finish(self) -> None:
        if self.token.kind != END:
            raise self.wrong("the end")

    def text_between(self, begin: int) -> str:
        """The text from a position to where the reading has come."""
        return self._text[begin : self.token.position].strip()

    def wrong(self, expected: str) -> QueryError:
        """The error for a token that does not belong where it stands."""
        found = self.token
        return QueryError(
            f"Syntax error: expected {expected}, found '{found.text[:60]}'.",
            code=errors.ODATA_NO_CODE,
            position=found.position,
        )

    def value(self) -> Any:
        """A literal, or what a parameter alias stands for; one that is never assigned is null."""
        token = self.advance()
        if token.kind == LITERAL and not token.text.startswith('"'):
            return token.value
        if token.kind == NAME and token.text.startswith("@"):
            found = self.alias(token)
            if not isinstance(found, AliasedPath | list):
                return found
            kind = "a property" if isinstance(found, AliasedPath) else "a list"
            raise QueryError(
                f"Parameter alias '{token.text[:60]}' stands for {kind}, where a value is expected.",
                code=errors.ODATA_NO_CODE,
                position=token.position,
            )
        self._index -= token.kind != END
        raise self.wrong("a value")

    def alias(self, token: Token) -> Any:
        """What the parameter alias of this name stands for: a value, a list, an AliasedPath; one never given is null."""
        if self._aliases is None:
            raise QueryError(
                f"Parameter alias '{token.text[:60]}' cannot be used inside $expand.",
                code=errors.ODATA_UNSUPPORTED,
                position=token.position,
            )
        return self._aliases.get(token.text)

    def aliased_path(self) -> list[tuple[str, int]] | None:
        """The property for which the parameter alias here stands; None if here is none."""
        token = self.token
        if token.kind != NAME or not token.text.startswith("@"):
            return None
        found = self.alias(token)
        if not isinstance(found, AliasedPath):
            raise QueryError(
                f"Parameter alias '{token.text[:60]}' stands for no property, where one is expected.",
                code=errors.ODATA_NO_CODE,
                position=token.position,
            )
        self.advance()
        return [(name, token.position) for name in found.names]

    def at_path(self) -> bool:
        """Whether a property or a path stands here, not a value."""
        token = self.token
        if token.kind != NAME or not token.text.startswith("@"):
            return token.kind == NAME
        return isinstance(self.alias(token), AliasedPath)

    def array(self) -> list[Any]:
        """The rest of a JSON array, after its '['."""
        found: list[Any] = []
        while not self.accept("]"):
            found.append(self.advance().value if self.token.text.startswith('"') else self.value())
            if not self.at("]"):
                self.expect(",")
        return found
