"""A FetchXML text as checked elements: well formed, without document types, known by name, and not too deep.

Every element knows the position of its start tag in the text, so that errors can point at it. Attributes and elements
that the platform once had and that change nothing are accepted; unknown ones are refused.
Source: fetchxml.md §1 and §9.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from lxml import etree

from adjourn import config
from adjourn.errors import QueryError, TooLarge, nearest

INVALID_XML, INVALID_FETCH, EMPTY = 0x80040201, 0x80040303, 0x80041124
INVALID_NODE, NO_ATTRIBUTE, NO_ELEMENT, NOT_POSITIVE = 0x8004111C, 0x8004111E, 0x80041123, 0x8004110C
TOO_MANY = 0x8004430C
_BOOLEAN_CODES = {
    "useraworderby": 0x800410FD, "distinct": 0x80041115, "no-lock": 0x80041118, "descending": 0x80041119,
    "min-active-row-version": 0x8004111B, "groupby": 0x8004112E, "isquickfindfields": 0x80041138,
}  # fmt: skip
_CHILDREN = {
    "fetch": ("entity", "order"),
    "entity": ("all-attributes", "attribute", "order", "filter", "link-entity"),
    "link-entity": ("all-attributes", "attribute", "order", "filter", "link-entity"),
    "filter": ("condition", "filter", "link-entity"),
    "condition": ("value",),
}
_DECLARATION = re.compile(r"[\s\ufeff]*<\?xml\b[^>]*\?>")
_NO_FILE = re.compile(r" \(<string>, line \d+\)$")
"""What lxml appends though the text comes from no file; line and column stand before it."""
_DOCTYPE = re.compile(r"<!\s*(DOCTYPE|ENTITY|ELEMENT|ATTLIST|NOTATION)", re.IGNORECASE)
_MARKUP = re.compile(r"<!--.*?-->|<!\[CDATA\[.*?\]\]>|<\?.*?\?>|</|<", re.DOTALL)
"""In a well-formed text a '<' that is none of the others begins an element: attribute values cannot hold one."""


class Document:
    """The elements of one text. Raises QueryError with the documented code, TooLarge."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.root = _parsed(text)
        starts = (match.start() for match in _MARKUP.finditer(text) if match[0] == "<")
        # The dictionary also keeps lxml's element objects alive, which are its keys by identity.
        self._positions = dict(zip(self.root.iter(), starts, strict=True))
        self._check()

    def position(self, element: etree._Element) -> int:
        """Where an element begins, in characters of the text."""
        return int(self._positions[element])

    def error(self, message: str, code: int, element: etree._Element) -> QueryError:
        """A refusal that points at an element."""
        position = self.position(element)
        line = self._text.count("\n", 0, position) + 1
        column = position - self._text.rfind("\n", 0, position)
        return QueryError(f"{message} (line {line}, column {column})", code=code, position=position)

    def attributes(
        self, element: etree._Element, known: tuple[str, ...], later: tuple[str, ...] = ()
    ) -> Mapping[str, str]:
        """An element's attributes. later: those that are known to us and refused."""
        for name in element.attrib:
            if name in later:
                text = f"Attribute '{name}' of '{element.tag}' is not supported."
                raise self.error(text, INVALID_FETCH, element)
            if name not in known:
                shown, near = str(name)[:60], nearest(str(name), known)
                raise self.error(f"'{element.tag}' has no attribute '{shown}'.{near}", INVALID_FETCH, element)
        return {str(name): str(value) for name, value in element.attrib.items()}

    def required(self, found: Mapping[str, str], name: str, element: etree._Element) -> str:
        value = found.get(name)
        if not value:
            raise self.error(f"'{element.tag}' needs the attribute '{name}'.", NO_ATTRIBUTE, element)
        return value

    def boolean(self, found: Mapping[str, str], name: str, element: etree._Element, *, default: bool = False) -> bool:
        value = found.get(name)
        if value is None:
            return default
        if value not in ("true", "false", "1", "0"):
            text = f"'{name}' must be true, false, 1 or 0, found '{value[:40]}'."
            raise self.error(text, _BOOLEAN_CODES.get(name, INVALID_FETCH), element)
        return value in ("true", "1")

    def positive(self, found: Mapping[str, str], name: str, element: etree._Element, largest: int) -> int | None:
        text = found.get(name)
        if text is None:
            return None
        value = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
        if value < 1:
            message = f"'{name}' must be a whole number greater than zero, found '{text[:40]}'."
            raise self.error(message, NOT_POSITIVE, element)
        if value > largest:
            raise self.error(f"'{name}' is at most {largest:,}, found {value:,}.", INVALID_FETCH, element)
        return value

    def entity(self) -> etree._Element:
        """The one entity of the fetch."""
        found = [child for child in self.root if child.tag == "entity"]
        if len(found) != 1:
            raise self.error(f"'fetch' needs exactly one 'entity', found {len(found)}.", NO_ELEMENT, self.root)
        return found[0]

    def _check(self) -> None:
        """Element names, where they may stand, how deep and how many: before anything is read."""
        if self.root.tag != "fetch":
            shown = str(self.root.tag)[:60]
            raise self.error(f"The outermost element must be 'fetch', not '{shown}'.", INVALID_FETCH, self.root)
        stack: list[tuple[etree._Element, int]] = [(self.root, 1)]
        counted = 0
        while stack:
            element, depth = stack.pop()
            if depth > config.NESTING_MAX:
                text = f"The fetch is nested deeper than {config.NESTING_MAX} levels."
                raise self.error(text, INVALID_FETCH, element)
            if element.tag != "value" and any(text.strip() for text in _texts(element)):
                raise self.error(f"Text does not belong into '{element.tag}'.", INVALID_NODE, element)
            accepted = _CHILDREN.get(element.tag, ())
            for child in element:
                if child.tag not in accepted:
                    shown, near = str(child.tag)[:60], nearest(str(child.tag), accepted)
                    some = f"it takes {', '.join(accepted)}" if accepted else "it takes no elements"
                    raise self.error(
                        f"Element '{shown}' does not belong into '{element.tag}': {some}.{near}", INVALID_NODE, child
                    )
                counted += child.tag in ("condition", "link-entity")
                if counted > config.CONDITIONS_MAX:
                    text = f"A fetch may have {config.CONDITIONS_MAX} conditions and links."
                    raise self.error(text, TOO_MANY, child)
                stack.append((child, depth + 1))


def _texts(element: etree._Element) -> Iterator[str]:
    yield element.text or ""
    for child in element:
        yield child.tail or ""


def _parsed(text: str) -> etree._Element:
    if not text.strip():
        raise QueryError("The fetch is empty.", code=EMPTY)
    if len(text) > config.BODY_BYTES_MAX:
        raise TooLarge(f"The fetch is {len(text):,} characters long; at most {config.BODY_BYTES_MAX:,} are read.")
    if (refused := _DOCTYPE.search(text)) is not None:
        message = "A fetch may not have a document type, nor declare entities."
        raise QueryError(message, code=INVALID_XML, position=refused.start())
    # .NET writes "utf-16" into the declaration of a text that has long been decoded: it means nothing here.
    declaration = _DECLARATION.match(text)
    body = text[declaration.end() :] if declaration else text.lstrip("\ufeff")
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        return etree.fromstring(body.strip().encode("utf-8", "surrogatepass"), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        said = _NO_FILE.sub("", str(error))
        raise QueryError(f"The fetch is not well-formed XML: {said}", code=INVALID_XML) from None
