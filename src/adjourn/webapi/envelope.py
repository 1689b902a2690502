"""The JSON of a collection, put together as its rows come: the head, the rows, and what is known at the end only.

With an outlet it is handed over in pieces once it is too long to be sent as one; without one (a part of a `$batch`, a
client of HTTP/1.0) it is kept as a whole, up to a limit. What depends on the last row stands behind `value`: the link to
the next page, a FetchXML's cookie and whether there are more records.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from adjourn import errors
from adjourn.errors import QueryError
from adjourn.query.plan import Plan
from adjourn.query.result import Write
from adjourn.webapi.exchange import ENCODER, Answer
from adjourn.webapi.outlet import PIECE_BYTES, Outlet

KEPT_BYTES_MAX = 128 * 1024 * 1024
"""An answer that is kept as a whole until it is complete: 5,000 rows of 26 KiB each."""
Head = Callable[[Plan, int | None], Answer]
"""Makes an answer that ends where the rows are to stand, from the plan and the total."""
_COMMA = ord(",")


class Envelope:
    """One collection on its way. `begin`, any number of arrays to what it returned, `end`."""

    def __init__(self, head: Head, outlet: Outlet | None) -> None:
        self._make_head = head
        self._outlet = outlet
        self._head: Answer | None = None
        self._rows: list[bytearray] = []
        self._empty = True
        self._size = 0

    def begin(self, plan: Plan, total: int | None) -> None:
        """The rows follow."""
        self._head = self._make_head(plan, total)
        self._size = len(self._head.body)

    def add(self, array: bytearray) -> int:
        """Rows as a JSON array, which is changed in place: copying a page costs as much as writing it. Returns its length.

        Raises QueryError, ClientLeft, NoRoom.
        """
        if self._empty:
            self._empty = False
        else:
            array[0] = _COMMA
        del array[-1:]
        length = len(array)
        outlet, head = self._outlet, self._head
        assert head is not None
        if outlet is not None and outlet.begun:
            outlet.put(array)
            return length
        self._rows.append(array)
        self._size += length
        if outlet is None:
            if self._size > KEPT_BYTES_MAX:
                raise too_long()
        elif self._size >= PIECE_BYTES:
            outlet.begin(head, (head.body, *self._rows))
            self._rows.clear()
        return length

    def end(self, members: Mapping[str, Any]) -> Answer:
        """The answer, whose object closes with these members. What has been handed over is not in it again."""
        head = self._head
        assert head is not None
        tail = (b"[]" if self._empty else b"]") + (b"," + ENCODER.encode(members)[1:] if members else b"}")
        if self._outlet is not None and self._outlet.begun:
            self._outlet.end(tail)
            return Answer(head.status, b"", head.headers, head.content_type)
        return Answer(head.status, head.body, head.headers, head.content_type, rest=(*self._rows, tail))


class SingleRecord:
    """The one record of an answer that is no collection."""

    def __init__(self) -> None:
        self.body = b""

    def begin(self, plan: Plan, total: int | None) -> None:
        """Nothing stands around it."""

    def add(self, array: bytearray) -> int:
        self.body = bytes(array[2:-1])  # without the brackets of the array and the first brace of its record
        return len(array)


def writing(into: Envelope | SingleRecord, encode: Callable[[Any], bytearray]) -> Write:
    """Writes rows into it."""
    return lambda rows: into.add(encode(rows))


def too_long() -> QueryError:
    """What an answer is refused with that is kept as a whole and does not end."""
    return QueryError(
        f"The answer is longer than {KEPT_BYTES_MAX:,} bytes, and is not sent before it is complete. Ask for fewer records a "
        "page (Prefer: odata.maxpagesize) or for fewer columns ($select).",
        code=errors.ODATA_UNSUPPORTED,
    )
