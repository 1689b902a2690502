"""The address of a request: path segments with their keys, and query options, decoded.

    accounts(0190…)/primarycontactid/fullname      asyncoperations(asyncoperationid=0190…)/data/$value
    WhoAmI()      EntityDefinitions(LogicalName='account')      accounts/$count

Clients write `$` as `%24`, blanks as `%20`, `+` or as they are, and a `/` inside a quoted key with or without encoding;
all are accepted. Names are case-sensitive (webapi.md §1). This is syntax only: `resource` finds what is meant.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from adjourn import config
from adjourn.errors import InvalidRequest, UnknownResource

SEGMENTS_MAX = 32
"""No navigation is deeper; each hop is a query."""
OPTIONS_MAX = 200
_NAME = re.compile(r"\$?[A-Za-z_][A-Za-z0-9_.]*|\$\d{1,6}")
_ARGUMENT = re.compile(r"\s*(@?[A-Za-z_][A-Za-z0-9_]*)\s*=")


@dataclass(frozen=True, slots=True)
class Segment:
    """One part of a path. arguments: the text in its parentheses, None where there are none."""

    name: str
    arguments: str | None = None

    @property
    def text(self) -> str:
        return self.name if self.arguments is None else f"{self.name}({self.arguments})"


def parse_path(path: str) -> tuple[Segment, ...]:
    """The segments of a percent-encoded path behind the API's root. Raises UnknownResource, InvalidRequest."""
    pieces: list[str] = []
    open_piece = ""
    for raw in path.split("/"):
        decoded = decode(raw)
        open_piece = f"{open_piece}/{decoded}" if open_piece else decoded
        if open_piece.count("'") % 2:
            continue  # a slash inside a quoted key
        if open_piece:
            pieces.append(open_piece)
        open_piece = ""
    if open_piece:
        raise InvalidRequest(f"There is an unterminated literal in '{open_piece[:200]}'.", code=0x0)
    if len(pieces) > SEGMENTS_MAX:
        raise InvalidRequest(f"An address has at most {SEGMENTS_MAX} segments, found {len(pieces)}.")
    return tuple(_segment(piece) for piece in pieces)


def _segment(piece: str) -> Segment:
    name, bracket, rest = piece.partition("(")
    if not _NAME.fullmatch(name) or (bracket and not rest.endswith(")")):
        raise UnknownResource(f"Resource not found for the segment '{piece[:200]}'.")
    return Segment(name, rest[:-1].strip() if bracket else None)


def parse_query(query: str) -> dict[str, str]:
    """The options of a percent-encoded query, by decoded name. Raises InvalidRequest for one that stands twice."""
    options: dict[str, str] = {}
    pairs = [pair for pair in query.split("&") if pair]
    if len(pairs) > OPTIONS_MAX:
        raise InvalidRequest(f"A request has at most {OPTIONS_MAX} query options, found {len(pairs)}.")
    for pair in pairs:
        raw_name, _, raw_value = pair.partition("=")
        name = decode(raw_name.replace("+", " ")).strip()
        if name in options:
            raise InvalidRequest(
                f"Query option '{name[:100]}' was specified more than once, but it must be given once."
            )
        options[name] = decode(raw_value.replace("+", " "))
    return options


def decode(text: str) -> str:
    """Percent-decoded text. Raises InvalidRequest for what is not UTF-8, or holds a NUL."""
    if "%" not in text and text.isascii() and "\x00" not in text:
        return text
    try:
        decoded = unquote_to_bytes(text.encode("latin-1", "surrogateescape")).decode()
    except UnicodeError:
        raise InvalidRequest("The address is not valid UTF-8 behind its percent-encoding.") from None
    if "\x00" in decoded:
        raise InvalidRequest("The address contains a NUL character.")
    return decoded


def check_length(path: str, query: str, limit: int = config.URL_CHARACTERS_MAX) -> None:
    if len(path) + len(query) + 1 > limit:
        raise InvalidRequest(
            f"The address is longer than {limit:,} characters. Send a long query inside a $batch.", status=414
        )


def split_arguments(text: str, mark: str = ",") -> list[str]:
    """A list of arguments at its commas (or another mark), those inside quotes, brackets and braces left alone."""
    found, depth, quoted, start = [], 0, False, 0
    for index, character in enumerate(text):
        if character == "'":
            quoted = not quoted
        elif quoted:
            continue
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character == mark and depth == 0:
            found.append(text[start:index])
            start = index + 1
    found.append(text[start:])
    return [part.strip() for part in found if part.strip()]


def named_arguments(text: str) -> dict[str, str]:
    """`Name=value,…` as texts by name. Raises InvalidRequest."""
    found: dict[str, str] = {}
    for part in split_arguments(text):
        match = _ARGUMENT.match(part)
        if match is None:
            raise InvalidRequest(f"'{part[:100]}' must have the form Name=value.")
        if match[1] in found:
            raise InvalidRequest(f"'{match[1][:100]}' is given twice.")
        found[match[1]] = part[match.end() :].strip()
    return found


def literal_text(text: str) -> str:
    """A quoted text without its quotes, doubled ones made single; anything else as it is."""
    if len(text) >= 2 and text.startswith("'") and text.endswith("'"):
        return text[1:-1].replace("''", "'")
    return text


def relative(address: str, root: str) -> str:
    """An address as `@odata.bind` and `@odata.id` write it, relative to the root: absolute, rooted or bare.

    Only the path counts: the same service may be known by several hosts.
    """
    text = address.strip()
    for scheme in ("http://", "https://"):
        if text.lower().startswith(scheme):
            text = "/" + text[len(scheme) :].partition("/")[2]
    match = re.match(r"/?api/data/v\d+\.\d+/", text)
    return text[match.end() :] if match else text.lstrip("/")


def header_map(pairs: Mapping[str, str] | list[tuple[str, str]]) -> dict[str, str]:
    """Headers by lower-case name, repeated ones joined, blanks around their values cut."""
    found: dict[str, str] = {}
    for name, value in pairs.items() if isinstance(pairs, Mapping) else pairs:
        key, text = name.lower(), value.strip()
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found
