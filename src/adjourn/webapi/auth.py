"""Who calls: a bearer token, and perhaps another user on whose behalf.

One token is known so far, the system administrator's. The administrator may act for others by `MSCRMCallerID`.
Source: webapi.md §2 and §20.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
from collections.abc import Mapping

from adjourn.errors import NotSupported, PrivilegeDenied, Unauthenticated
from adjourn.metadata import values
from adjourn.query.security import Caller
from adjourn.service import Service

_MAY_NOT_ACT = 0x80040220


class Authenticator:
    """Knows tokens. Holds a digest of the administrator's, never the token itself."""

    def __init__(self, service: Service, admin_token: str) -> None:
        if not admin_token:
            raise ValueError("an empty token would let everybody in")
        self._service = service
        self._admin = _digest(admin_token)
        self.skiptoken_key = hashlib.sha256(b"skiptoken\x00" + admin_token.encode()).digest()
        """The same on all hosts, since they all know the same administrator's token."""

    def admits(self, headers: Mapping[str, str]) -> bool:
        """Whether the request bears a token that we know."""
        kind, _, token = headers.get("authorization", "").partition(" ")
        # Digests of equal length: the comparison takes as long whatever was sent.
        return kind.lower() == "bearer" and hmac.compare_digest(_digest(token.strip()), self._admin)

    def require(self, headers: Mapping[str, str]) -> bytes:
        """What tells bearers of different tokens apart. Raises Unauthenticated without a token that we know."""
        if not self.admits(headers):
            found = "authorization" in headers
            text = "The access token is not one that this service knows." if found else "No access token was sent."
            raise Unauthenticated(text)
        return self._admin

    def caller(self, headers: Mapping[str, str]) -> Caller:
        """The caller of an admitted request. Raises Unauthenticated, PrivilegeDenied, NotSupported."""
        self.require(headers)
        caller = self._service.administrator()
        if "callerobjectid" in headers:
            raise NotSupported(
                "Header 'CallerObjectId' is not supported; use MSCRMCallerID: <systemuserid>.", status=400
            )
        other = headers.get("mscrmcallerid")
        if other is None:
            return caller
        if not caller.is_administrator:
            raise PrivilegeDenied("Only an administrator may act for another user.", code=_MAY_NOT_ACT)
        acted = self._service.caller(values.guid(other, "MSCRMCallerID"))
        return dataclasses.replace(acted, initiating_user_id=caller.user_id)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
