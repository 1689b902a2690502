"""Where the next page begins, as text: FetchXML's paging cookie, and the Web API's $skiptoken.

FetchXML: `<cookie page="1"><name last="Z Co" first="A Co" /><accountid last="{GUID}" first="{GUID}" /></cookie>`, one
element per sort key; a null is `lastnull="1"`. The values are read by the types of the sort keys when the next page is
compiled, so an altered cookie can only move the page's beginning. In the Web API the cookie comes URL-encoded twice.
$skiptoken: opaque and signed, so that what comes back is what we sent.
Source: fetchxml.md §7, webapi.md §7.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote
from xml.sax.saxutils import quoteattr

import msgspec
from lxml import etree

from adjourn.errors import QueryError
from adjourn.query.plan import SortOutput
from adjourn.query.result import Rows
from adjourn.query.tree import Query

COOKIE_CHARACTERS_MAX = 16_384
"""A cookie holds at most `result.KEYSET_CHARACTERS_MAX` characters of values; encoded twice they can be longer."""
_SIGNATURE_BYTES = 16
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
"""Characters that XML cannot hold, not even escaped."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page begins. number: from 1. after: as in `tree.Page`; None: found by number alone.

    before: where the page ends that lies two before it, the one before the cookie's.
    """

    number: int
    after: tuple[Any, ...] | None = None
    before: tuple[Any, ...] | None = None


def encode_fetchxml(rows: Rows) -> str | None:
    """The inner cookie of a page of which more follow; None when the next page is found by number alone."""
    if rows.after is None or any(isinstance(key, str) and _NOT_XML.search(key) for key in rows.after):
        return None
    first = rows.rows[0]
    elements = "".join(
        f"<{sort.name} {_value('last', sort, last)} {_value('first', sort, first[sort.index])} />"
        for sort, last in zip(rows.plan.sort, rows.after, strict=True)
    )
    return f'<cookie page="{rows.plan.number}">{elements}</cookie>'


def encode_annotation(rows: Rows) -> str | None:
    """The value of `@Microsoft.Dynamics.CRM.fetchxmlpagingcookie`: the cookie URL-encoded twice, in lower case."""
    inner = encode_fetchxml(rows)
    if inner is None:
        return None
    encoded = _quoted(_quoted(inner))
    return f'<cookie pagenumber="{rows.plan.number + 1}" pagingcookie="{encoded}" istracking="False" />'


def decode_fetchxml(text: str) -> Position:
    """A `paging-cookie`, as the client sends it: the inner cookie, or still URL-encoded, or the whole annotation.

    The position is that of the page after the cookie's; its values are texts. Raises QueryError (0x8004112A).
    """
    if len(text) > COOKIE_CHARACTERS_MAX * 3:
        raise _invalid("it is too long")
    for _ in range(2):
        if "%3c" in text[:9].lower() or "%253c" in text[:9].lower():
            text = unquote(text)
    element = _parsed(text)
    inner = element.get("pagingcookie")
    if inner is not None:
        element = _parsed(unquote(unquote(inner)))
    try:
        page = int(element.get("page") or "1")
    except ValueError:
        raise _invalid("its page is no number") from None
    if page < 1:
        raise _invalid("its page is no number from 1")
    children = list(element)
    for child in children:
        if child.get("last") is None and child.get("lastnull") != "1":
            raise _invalid(f"element '{str(child.tag)[:100]}' has no last value")
    after = tuple(child.get("last") for child in children)
    whole = all(child.get("first") is not None or child.get("firstnull") == "1" for child in children)
    before = tuple(child.get("first") for child in children) if whole else ()
    return Position(page + 1, after or None, before or None)


def scope(query: Query) -> str:
    """What of a question a position belongs to: a position of another table or in another order means nothing."""
    orders = ",".join(f"{o.entity}.{o.column or o.alias}{'-' if o.descending else ''}" for o in query.orders)
    return f"{query.table}:{query.aggregate}:{orders}"


def encode_skiptoken(position: Position, key: bytes, scope: str = "") -> str:
    """A position as a URL-safe text that only the holder of `key` can make, for questions of one scope."""
    payload = msgspec.json.encode([position.number, position.after])
    return base64.urlsafe_b64encode(_signature(payload, key, scope) + payload).decode().rstrip("=")


def decode_skiptoken(text: str, key: bytes, scope: str = "") -> Position:
    """Raises QueryError for a text that `encode_skiptoken` did not make with this key and this scope."""
    if len(text) > COOKIE_CHARACTERS_MAX:
        raise _invalid("it is too long")
    try:
        found = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (ValueError, binascii.Error):
        raise _invalid("it is not one of ours") from None
    signature, payload = found[:_SIGNATURE_BYTES], found[_SIGNATURE_BYTES:]
    # The last character has bits to spare: of the texts that mean the same only the one that we wrote is taken.
    written = base64.urlsafe_b64encode(found).decode().rstrip("=") == text
    if not written or not hmac.compare_digest(signature, _signature(payload, key, scope)):
        raise _invalid("it was changed, or belongs to another query; follow the nextLink as it is")
    number, after = msgspec.json.decode(payload)
    return Position(number, None if after is None else tuple(after))


def _signature(payload: bytes, key: bytes, scope: str) -> bytes:
    return hmac.new(key, scope.encode("utf-8", "surrogatepass") + b"\x00" + payload, hashlib.sha256).digest()[
        :_SIGNATURE_BYTES
    ]


def _value(end: str, sort: SortOutput, value: Any) -> str:
    if value is None:
        return f'{end}null="1"'
    if isinstance(value, bool):
        value = int(value)
    text = f"{{{value.upper()}}}" if sort.is_guid else _NOT_XML.sub("", str(value))
    return f"{end}={quoteattr(text)}"


def _quoted(text: str) -> str:
    return "".join(part.lower() if part.startswith("%") else part for part in _escapes(quote(text, safe="")))


def _escapes(text: str) -> list[str]:
    head, *rest = text.split("%")
    found = [head]
    for part in rest:
        found += ["%" + part[:2], part[2:]]
    return found


def _parsed(text: str) -> Any:
    if "<!" in text or "<?" in text:
        raise _invalid("it is not one of ours")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        element = etree.fromstring(text.encode("utf-8", "surrogatepass"), parser)
    except (etree.XMLSyntaxError, ValueError):
        raise _invalid("it is not well formed") from None
    if element.tag != "cookie":
        raise _invalid(f"its element is '{str(element.tag)[:100]}', not 'cookie'")
    return element


def _invalid(reason: str) -> QueryError:
    return QueryError(f"The paging cookie cannot be used: {reason}.", code=0x8004112A)
