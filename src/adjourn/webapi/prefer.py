"""The Prefer header: what a client would like, and which annotations it wants.

Source: webapi.md §2 and §3. Unknown preferences are passed over, as RFC 7240 demands: an answer says in
`Preference-Applied` what was honoured.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from adjourn import config
from adjourn.errors import InvalidRequest

FORMATTED = "OData.Community.Display.V1.FormattedValue"
ATTRIBUTE = "OData.Community.Display.V1.AttributeName"
LOOKUP_TABLE = "Microsoft.Dynamics.CRM.lookuplogicalname"
NAVIGATION = "Microsoft.Dynamics.CRM.associatednavigationproperty"
TOTAL = "Microsoft.Dynamics.CRM.totalrecordcount"
TOTAL_EXCEEDED = "Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded"
METADATA_VERSION = "Microsoft.Dynamics.CRM.globalmetadataversion"
COOKIE = "Microsoft.Dynamics.CRM.fetchxmlpagingcookie"
MORE = "Microsoft.Dynamics.CRM.morerecords"

ERROR_DETAILS = "Microsoft.PowerApps.CDS.ErrorDetails.OperationStatus"

HEADER_CHARACTERS_MAX = 8_000
# Neither ever goes back to try again: a header is read in a time that its length bounds.
_BETWEEN_COMMAS = re.compile(r'(?:"(?:[^"\\]++|\\.)*+"|[^,])++')
_PREFERENCE = re.compile(r'\s*+([^\s=;,"]++)\s*+(?:=\s*+("(?:[^"\\]++|\\.)*+"|[^\s;,"]*+))?+')


@dataclass(frozen=True, slots=True)
class Annotations:
    """Which annotations to write."""

    formatted: bool = False
    attribute: bool = False
    lookup_table: bool = False
    navigation: bool = False
    total: bool = False
    total_exceeded: bool = False
    metadata_version: bool = False
    more: bool = False


NO_ANNOTATIONS = Annotations()


@dataclass(frozen=True, slots=True)
class Preferences:
    """What the client prefers. page_size: rows, at most `config.PAGE_ROWS_MAX`."""

    representation: bool = False
    annotations: Annotations = NO_ANNOTATIONS
    annotations_text: str | None = None
    page_size: int | None = None
    continue_on_error: bool = False

    def applied(self, *, paged: bool = False, annotated: bool = False, represented: bool = False) -> str | None:
        """The value of `Preference-Applied` for those that this answer honoured; None for none."""
        found = []
        if represented and self.representation:
            found.append("return=representation")
        if paged and self.page_size is not None:
            found.append(f"odata.maxpagesize={self.page_size}")
        if annotated and self.annotations_text is not None:
            found.append(f'odata.include-annotations="{self.annotations_text}"')
        return ", ".join(found) or None


NONE = Preferences()


def parse(headers: Mapping[str, str]) -> Preferences:
    """The preferences of a request. Raises InvalidRequest for a page size that is no number."""
    text = headers.get("prefer")
    return _parse(text) if text else NONE


@lru_cache(maxsize=512)
def _parse(text: str) -> Preferences:
    if len(text) > HEADER_CHARACTERS_MAX:
        raise InvalidRequest(f"The Prefer header is longer than {HEADER_CHARACTERS_MAX} characters.")
    found: dict[str, str] = {}
    for match in map(_PREFERENCE.match, _BETWEEN_COMMAS.findall(text)):
        if match is None:
            continue
        value = match[2] or ""
        # The first of a name that stands twice counts (RFC 7240).
        found.setdefault(match[1].lower(), value[1:-1] if value.startswith('"') else value)
    annotations_text = found.get("odata.include-annotations", found.get("include-annotations"))
    return Preferences(
        representation=found.get("return") == "representation",
        annotations=_annotations(annotations_text) if annotations_text else NO_ANNOTATIONS,
        annotations_text=annotations_text,
        page_size=_page_size(found.get("odata.maxpagesize", found.get("maxpagesize"))),
        continue_on_error=found.get("odata.continue-on-error", found.get("continue-on-error", "false")) in ("", "true"),
    )


def wants_error_details(headers: Mapping[str, str]) -> bool:
    """Whether an error is to have its members beside code and message. A header that cannot be read asks for none."""
    try:
        text = parse(headers).annotations_text
    except InvalidRequest:
        return False
    return text is not None and _chooser(text)(ERROR_DETAILS)


def _page_size(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or int(text[:10]) < 1:
        raise InvalidRequest(f"Preference odata.maxpagesize must be a number from 1, found '{text[:50]}'.")
    return min(int(text[:10]), config.PAGE_ROWS_MAX)


def _chooser(text: str) -> Callable[[str], bool]:
    """Which annotations a list of names and wildcards chooses; those with a minus are left out."""
    patterns = [part.strip() for part in text.split(",")]

    def wanted(name: str) -> bool:
        included = any(_fits(pattern, name) for pattern in patterns if not pattern.startswith("-"))
        return included and not any(_fits(pattern[1:], name) for pattern in patterns if pattern.startswith("-"))

    return wanted


def _annotations(text: str) -> Annotations:
    wanted = _chooser(text)
    return Annotations(
        formatted=wanted(FORMATTED),
        attribute=wanted(ATTRIBUTE),
        lookup_table=wanted(LOOKUP_TABLE),
        navigation=wanted(NAVIGATION),
        total=wanted(TOTAL),
        total_exceeded=wanted(TOTAL_EXCEEDED),
        metadata_version=wanted(METADATA_VERSION),
        more=wanted(MORE),
    )


def _fits(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
