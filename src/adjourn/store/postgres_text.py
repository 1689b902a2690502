"""How texts and values travel between the contract and PostgreSQL.

Statements come with `:name` parameters and go with psycopg's `%(name)s`. Values come back as the contract's raw ones:
guids and dates as PostgreSQL prints them, moments with a fixed width, sums as integers. Text goes out without a type,
so that the column decides what it means: a guid, a moment or a text.
"""

from __future__ import annotations

import re
from functools import lru_cache

from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import AdaptersMap, Loader
from psycopg.types.string import StrDumperUnknown, TextLoader

_TOKEN = re.compile(
    r"""
      '(?:[^']|'')*'                        # a text: 'HH24:MI'
    | "(?:[^"]|"")*"                        # a name
    | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$       # a body: $$ … $$
    | --[^\n]*                              # a comment
    | ::                                    # a cast
    | :(?P<name>[A-Za-z_]\w*)               # a parameter
    | %
    """,
    re.VERBOSE | re.DOTALL,
)
_CACHED_STATEMENTS = 4096


@lru_cache(maxsize=_CACHED_STATEMENTS)
def translated(sql: str) -> bytes:
    """A statement with `:name` parameters as psycopg wants it; texts, names, casts and comments stay as they are."""
    return _TOKEN.sub(_replaced, sql).encode()


def _replaced(found: re.Match[str]) -> str:
    name = found["name"]
    return f"%({name})s" if name else found[0].replace("%", "%%")


class MomentLoader(Loader):
    """timestamptz in a session whose zone is UTC, `2030-01-01 00:00:00.5+00`, as `2030-01-01T00:00:00.500000Z`."""

    def load(self, data: Buffer) -> str:
        text = bytes(data).decode()
        return f"{text[:10]}T{text[11:19]}.{text[20:-3]:0<6}Z"


class NumberLoader(Loader):
    """numeric comes of sums and averages only: an integer without fraction digits, otherwise a float as on SQLite."""

    def load(self, data: Buffer) -> int | float:
        text = bytes(data).decode()
        return float(text) if "." in text or "N" in text else int(text)


def adapt(context: AdaptContext | AdaptersMap) -> None:
    """Teach a connection, or the map that connections begin with, the contract's values."""
    adapters = context if isinstance(context, AdaptersMap) else context.adapters
    adapters.register_dumper(str, StrDumperUnknown)
    for kind in ("uuid", "date"):
        adapters.register_loader(kind, TextLoader)
    adapters.register_loader("timestamptz", MomentLoader)
    adapters.register_loader("numeric", NumberLoader)
