"""One statement of the Web API's reference as a request and what its answer must say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

ALL = {"Prefer": 'odata.include-annotations="*"'}
FORMATTED = "@OData.Community.Display.V1.FormattedValue"
CRM = "Microsoft.Dynamics.CRM"


@dataclass(frozen=True)
class Fact:
    """One statement of the reference.

    holds: a text that the answer's body matches (a regular expression), or headers by name as "Name: pattern".
    """

    says: str
    request: str
    status: int
    holds: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
