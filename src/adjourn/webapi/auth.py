"""Who calls: a bearer token, and perhaps another user on whose behalf.

Three kinds of token: the administrator's (ADJOURN_ADMIN_TOKEN), those that `adjourn token create` made, and the JWTs of an
OpenID Connect issuer. Whoever was admitted once is known by his token's digest for a while, so that a request costs no
look-up: as long as nothing was committed where the store can say so (`Store.version`), for two seconds elsewhere, and
never beyond the token's end. Source: webapi.md §2 and §20.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
from collections.abc import Hashable, Mapping
from datetime import datetime
from uuid import UUID

from adjourn import config, runtime
from adjourn.errors import InvalidRequest, PrivilegeDenied, Unauthenticated
from adjourn.metadata import values
from adjourn.query import access_tokens
from adjourn.query.security import Caller
from adjourn.service import Service
from adjourn.webapi.oidc import Issuer

BEARERS_MAX = 10_000
RECHECK_SECONDS = 2.0
ACTING_HEADERS = ("mscrmcallerid", "callerobjectid")
_EXPIRED, _UNKNOWN_USER = 0x8004A101, 0x80072560
_USER_NAMES = ("preferred_username", "upn", "unique_name")
"""Claims that may hold a user's domain name. An e-mail address is not among them: its owner can often choose it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Bearer:
    """An admitted token. digest: tells it from others. expires: in seconds since 1970, None for never."""

    digest: bytes
    user_id: UUID
    expires: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class _Seen:
    bearer: Bearer
    version: Hashable | None
    until: float


class Authenticator:
    """Knows tokens by their digests. Thread-safe."""

    def __init__(self, service: Service, admin_token: str, issuer: Issuer | None = None) -> None:
        if not admin_token:
            raise ValueError("an empty token would let everybody in")
        self._service = service
        self._issuer = issuer
        self._admin = Bearer(access_tokens.digest(admin_token), UUID(config.ADMIN_USER_ID))
        self._seen: dict[bytes, _Seen] = {}
        self._lock = runtime.lock()
        self.skiptoken_key = hashlib.sha256(b"skiptoken\x00" + admin_token.encode()).digest()
        """The same on all hosts, since they all know the same administrator's token."""

    def challenge(self, host: str) -> str:
        """What a 401 tells clients: where tokens are to be had. Unquoted, as the SDK's parser wants it (webapi.md §20)."""
        issuer = self._issuer.url.removesuffix("/v2.0") if self._issuer is not None else host
        return f"Bearer authorization_uri={issuer}/oauth2/authorize, resource_id={host}/"

    def known(self, headers: Mapping[str, str]) -> Bearer | None:
        """Who bears the request's token, if that can be said at once. Raises Unauthenticated without a token."""
        found = access_tokens.digest(_token(headers))
        # Digests of equal length: the comparison takes as long whatever was sent.
        if hmac.compare_digest(found, self._admin.digest):
            return self._admin
        seen = self._seen.get(found)
        if seen is None:
            return None
        version = self._service.store.version()
        fresh = seen.version == version if version is not None else runtime.monotonic() < seen.until
        expires = seen.bearer.expires
        if not fresh or (expires is not None and runtime.now().timestamp() >= expires):
            return None
        return seen.bearer

    def bearer(self, headers: Mapping[str, str]) -> Bearer:
        """Who bears the request's token; may ask the store, or the issuer. Raises Unauthenticated, PrivilegeDenied, Busy."""
        known = self.known(headers)
        if known is not None:
            return known
        token = _token(headers)
        digest = access_tokens.digest(token)
        version = self._service.store.version()  # before anything is read
        bearer = (
            self._issued(token, digest) if self._issuer is not None and token.count(".") == 2 else self._made(digest)
        )
        self._service.caller(bearer.user_id)  # there is such a user, and he is enabled
        with self._lock:
            self._seen.pop(digest, None)  # to the end: the oldest go first
            while len(self._seen) >= BEARERS_MAX:
                del self._seen[next(iter(self._seen))]
            self._seen[digest] = _Seen(bearer, version, runtime.monotonic() + RECHECK_SECONDS)
        return bearer

    def caller(self, bearer: Bearer, headers: Mapping[str, str]) -> Caller:
        """The caller of an admitted request. Raises Unauthenticated, PrivilegeDenied, InvalidRequest."""
        caller = self._service.caller(bearer.user_id)
        other = self._impersonated(headers)
        if other is None:
            return caller
        try:
            return self._service.acting_as(caller, other)
        except Unauthenticated as error:  # not he who calls: a new token would not help him
            raise PrivilegeDenied(error.message, code=_UNKNOWN_USER) from None

    def _impersonated(self, headers: Mapping[str, str]) -> UUID | None:
        found = set()
        if "mscrmcallerid" in headers:
            found.add(values.guid(headers["mscrmcallerid"], "MSCRMCallerID"))
        if "callerobjectid" in headers:
            object_id = values.guid(headers["callerobjectid"], "CallerObjectId")
            user = self._service.find_user(azureactivedirectoryobjectid=object_id)
            if user is None:
                raise PrivilegeDenied(
                    f"No systemuser has azureactivedirectoryobjectid {object_id}.", code=_UNKNOWN_USER
                )
            found.add(user)
        if len(found) > 1:
            raise InvalidRequest("Headers 'MSCRMCallerID' and 'CallerObjectId' name two different users.")
        return next(iter(found), None)

    def _made(self, digest: bytes) -> Bearer:
        with self._service.store.read() as reader:
            found = access_tokens.find(reader, digest)
        if found is None:
            raise Unauthenticated("The access token is not one that this service knows.")
        if found.expires_on is not None and found.expires_on <= runtime.now():
            raise Unauthenticated(f"The access token expired on {_day(found.expires_on)}.", code=_EXPIRED)
        return Bearer(digest, found.user_id, found.expires_on.timestamp() if found.expires_on else None)

    def _issued(self, token: str, digest: bytes) -> Bearer:
        assert self._issuer is not None
        claims = self._issuer.claims(token)
        object_id = _guid(claims.get("oid", claims.get("sub")))
        user = self._service.find_user(azureactivedirectoryobjectid=object_id) if object_id is not None else None
        # A name may be given to somebody else one day, an object id never: who has another one is another.
        nobody_else = {"azureactivedirectoryobjectid": None} if object_id is not None else {}
        names = [claims[name] for name in _USER_NAMES if isinstance(claims.get(name), str)]
        for name in names if user is None else ():
            user = user or self._service.find_user(domainname=name, **nobody_else)
        if user is None:
            raise PrivilegeDenied(
                f"No systemuser is '{', '.join(str(found)[:200] for found in (object_id, *names) if found)}': give one the "
                "azureactivedirectoryobjectid of the token's oid, or its name as domainname.",
                code=_UNKNOWN_USER,
            )
        return Bearer(digest, user, float(claims["exp"]))


def _guid(claim: object) -> UUID | None:
    """What Entra ID puts into `oid`; other issuers have subjects of other kinds."""
    try:
        return UUID(claim) if isinstance(claim, str) else None
    except ValueError:
        return None


def _token(headers: Mapping[str, str]) -> str:
    if "authorization" not in headers:
        raise Unauthenticated("No access token was sent.")
    kind, _, token = headers["authorization"].partition(" ")
    if kind.lower() != "bearer" or not token.strip():
        raise Unauthenticated("The Authorization header must be 'Bearer <token>'.")
    return token.strip()


def _day(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")
