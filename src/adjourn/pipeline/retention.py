"""How long finished system jobs are kept: the organization's settings, and the queries that they mean.

`organization.orgdborgsettings` is an XML text, `<OrgSettings>`, of which four elements are ours; others are kept as they are.
What they mean is done by a recurring bulk delete of SYSTEM (`operations.retention`). Source: semantics §9.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from lxml import etree

from adjourn import errors
from adjourn.errors import InvalidRequest

COLUMN = "orgdborgsettings"
INVALID = 0x80048514
"""InvalidOrgDBOrgSetting."""
DAYS_MAX = 36_500
_CHARACTERS_MAX = 1_000_000


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings, named as in Dataverse; the defaults are Dataverse's."""

    EnableSystemJobCleanup: bool = True
    SucceededSystemJobPersistenceInDays: int = 30
    FailedSystemJobPersistenceInDays: int = 60
    CancelledSystemJobPersistenceInDays: int = 60


NAMES = tuple(field.name for field in fields(Settings))
_STATUSES = {
    "SucceededSystemJobPersistenceInDays": 30,
    "FailedSystemJobPersistenceInDays": 31,
    "CancelledSystemJobPersistenceInDays": 32,
}


def settings(text: str | None) -> Settings:
    """The settings of a text; what it does not say is as usual. Raises InvalidRequest (0x80048514) naming what is wrong."""
    if not text or not text.strip():
        return Settings()
    found: dict[str, bool | int] = {}
    for element in _root(text):
        name = element.tag
        if not isinstance(name, str) or name not in NAMES:
            continue
        value = (element.text or "").strip()
        found[name] = _boolean(name, value) if name == NAMES[0] else _days(name, value)
    return Settings(**found)  # type: ignore[arg-type]


def queries(kept: Settings) -> tuple[str, ...]:
    """What is to be deleted now, as FetchXML: finished jobs older than their days, one query for each way to finish."""
    return tuple(
        "<fetch><entity name='asyncoperation'><attribute name='asyncoperationid'/><filter>"
        f"<condition attribute='statuscode' operator='eq' value='{status}'/>"
        f"<condition attribute='completedon' operator='olderthan-x-days' value='{getattr(kept, name)}'/>"
        "</filter></entity></fetch>"
        for name, status in _STATUSES.items()
    )


def _root(text: str) -> etree._Element:
    if len(text) > _CHARACTERS_MAX:
        raise InvalidRequest(f"'{COLUMN}' has more than {_CHARACTERS_MAX:,} characters.", code=INVALID)
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(text.encode(), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise InvalidRequest(f"'{COLUMN}' is no XML: {errors.said(error)}", code=INVALID) from None
    if root.getroottree().docinfo.doctype or root.tag != "OrgSettings":
        raise InvalidRequest(f"'{COLUMN}' must be one element <OrgSettings>, without a DOCTYPE.", code=INVALID)
    return root


def _boolean(name: str, value: str) -> bool:
    if value.lower() not in ("true", "false", "1", "0"):
        raise InvalidRequest(f"Setting '{name}' must be true or false, found '{value[:60]}'.", code=INVALID)
    return value.lower() in ("true", "1")


def _days(name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) < 9 and 1 <= int(value) <= DAYS_MAX):
        raise InvalidRequest(
            f"Setting '{name}' must be a whole number of days from 1 to {DAYS_MAX:,}, found '{value[:60]}'.",
            code=INVALID,
        )
    return int(value)
